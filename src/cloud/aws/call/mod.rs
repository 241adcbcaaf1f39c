//! Making calls: one `Call`, one request to AWS, once.
//!
//! Each arm is one function named after the operation, in the file of its service. Whether to try
//! again is for the caller to say: before each attempt the engine looks at its lease and at what
//! is known of a lost answer.

use super::AwsCloud;
use crate::cloud::{Call, CloudError, CloudErrorKind, Reply};

/// What a call's function gives.
type Answer = Result<Reply, CloudError>;

/// Makes one call, once.
pub(super) async fn make(_cloud: &AwsCloud, call: &Call) -> Answer {
    match call {
        // EC2 and Auto Scaling.
        Call::CreateSecurityGroup { .. }
        | Call::AuthorizeSecurityGroupIngress { .. }
        | Call::AuthorizeSecurityGroupEgress { .. }
        | Call::RevokeSecurityGroupIngress { .. }
        | Call::RevokeSecurityGroupEgress { .. }
        | Call::DeleteSecurityGroup { .. }
        | Call::CreateTags { .. }
        | Call::DeleteTags { .. }
        | Call::CreateLaunchTemplate { .. }
        | Call::CreateLaunchTemplateVersion { .. }
        | Call::ProveLaunchTemplateVersion { .. }
        | Call::DeleteLaunchTemplate { .. }
        | Call::CreateVolume { .. }
        | Call::ModifyVolume { .. }
        | Call::DeleteVolume { .. }
        | Call::CreateNetworkInterface { .. }
        | Call::ModifyNetworkInterfaceGroups { .. }
        | Call::ModifyNetworkInterfaceDescription { .. }
        | Call::DeleteNetworkInterface { .. }
        | Call::CreateAutoScalingGroup { .. }
        | Call::UpdateAutoScalingGroup { .. }
        | Call::CreateOrUpdateTags { .. }
        | Call::DeleteGroupTags { .. }
        | Call::SuspendProcesses { .. }
        | Call::ResumeProcesses { .. }
        | Call::EnableMetricsCollection { .. }
        | Call::DisableMetricsCollection { .. }
        | Call::AttachLoadBalancerTargetGroups { .. }
        | Call::DetachLoadBalancerTargetGroups { .. }
        | Call::PutLifecycleHook { .. }
        | Call::DeleteLifecycleHook { .. }
        | Call::DeleteAutoScalingGroup { .. } => Err(unsupported(call)),

        // IAM.
        Call::CreateRole { .. }
        | Call::UpdateAssumeRolePolicy { .. }
        | Call::PutRolePermissionsBoundary { .. }
        | Call::DeleteRolePermissionsBoundary { .. }
        | Call::PutRolePolicy { .. }
        | Call::DeleteRolePolicy { .. }
        | Call::AttachRolePolicy { .. }
        | Call::DetachRolePolicy { .. }
        | Call::TagRole { .. }
        | Call::UntagRole { .. }
        | Call::DeleteRole { .. }
        | Call::CreateInstanceProfile { .. }
        | Call::AddRoleToInstanceProfile { .. }
        | Call::RemoveRoleFromInstanceProfile { .. }
        | Call::TagInstanceProfile { .. }
        | Call::UntagInstanceProfile { .. }
        | Call::DeleteInstanceProfile { .. } => Err(unsupported(call)),

        // Elastic Load Balancing v2.
        Call::CreateLoadBalancer { .. }
        | Call::ModifyLoadBalancerAttributes { .. }
        | Call::SetSecurityGroups { .. }
        | Call::SetSubnets { .. }
        | Call::DeleteLoadBalancer { .. }
        | Call::CreateTargetGroup { .. }
        | Call::ModifyTargetGroup { .. }
        | Call::ModifyTargetGroupAttributes { .. }
        | Call::DeleteTargetGroup { .. }
        | Call::CreateListener { .. }
        | Call::ModifyListener { .. }
        | Call::DeleteListener { .. }
        | Call::AddTags { .. }
        | Call::RemoveTags { .. } => Err(unsupported(call)),

        // Route53.
        Call::CreateHostedZone { .. }
        | Call::ChangeTagsForResource { .. }
        | Call::UpdateHostedZoneComment { .. }
        | Call::DeleteHostedZone { .. }
        | Call::ChangeResourceRecordSets { .. } => Err(unsupported(call)),
    }
}

fn unsupported(call: &Call) -> CloudError {
    let kind = CloudErrorKind::Unsupported;
    let message = "this release does not make this call";
    CloudError::new(kind, call.operation(), "Unsupported", message)
}
