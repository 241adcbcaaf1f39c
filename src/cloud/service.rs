//! The AWS services, and which operation belongs to which.

/// An AWS service that kprod calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Auto Scaling.
    AutoScaling,
    /// EC2.
    Ec2,
    /// Elastic Load Balancing v2.
    ElasticLoadBalancing,
    /// IAM.
    Iam,
    /// Route 53.
    Route53,
    /// S3.
    S3,
    /// Systems Manager.
    Ssm,
    /// STS.
    Sts,
}

impl Service {
    /// The prefix of its actions in IAM policies.
    pub fn prefix(self) -> &'static str {
        match self {
            Service::AutoScaling => "autoscaling",
            Service::Ec2 => "ec2",
            Service::ElasticLoadBalancing => "elasticloadbalancing",
            Service::Iam => "iam",
            Service::Route53 => "route53",
            Service::S3 => "s3",
            Service::Ssm => "ssm",
            Service::Sts => "sts",
        }
    }

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Service::AutoScaling => "Auto Scaling",
            Service::Ec2 => "EC2",
            Service::ElasticLoadBalancing => "Elastic Load Balancing",
            Service::Iam => "IAM",
            Service::Route53 => "Route 53",
            Service::S3 => "S3",
            Service::Ssm => "Systems Manager",
            Service::Sts => "STS",
        }
    }

    /// The service of an operation that kprod makes, as [`super::Call::operation`] and
    /// [`super::CloudError::operation`] name it; none for what is no single AWS operation.
    pub fn of(operation: &str) -> Option<Self> {
        Some(match operation {
            "AttachInstances"
            | "AttachLoadBalancerTargetGroups"
            | "CompleteLifecycleAction"
            | "CreateAutoScalingGroup"
            | "CreateOrUpdateTags"
            | "DeleteAutoScalingGroup"
            | "DeleteGroupTags"
            | "DeleteLifecycleHook"
            | "DescribeAutoScalingGroups"
            | "DescribeLifecycleHooks"
            | "DescribeScalingActivities"
            | "DetachInstances"
            | "DetachLoadBalancerTargetGroups"
            | "DisableMetricsCollection"
            | "EnableMetricsCollection"
            | "PinLaunchTemplateVersion"
            | "PutLifecycleHook"
            | "RecordLifecycleActionHeartbeat"
            | "ResumeProcesses"
            | "SetDesiredCapacity"
            | "SetGroupMinimum"
            | "SuspendProcesses"
            | "TerminateInstanceInAutoScalingGroup"
            | "UpdateAutoScalingGroup" => Service::AutoScaling,
            "AttachVolume"
            | "AuthorizeSecurityGroupEgress"
            | "AuthorizeSecurityGroupIngress"
            | "CreateLaunchTemplate"
            | "CreateLaunchTemplateVersion"
            | "CreateNetworkInterface"
            | "CreateSecurityGroup"
            | "CreateTags"
            | "CreateVolume"
            | "DeleteLaunchTemplate"
            | "DeleteNetworkInterface"
            | "DeleteSecurityGroup"
            | "DeleteTags"
            | "DeleteVolume"
            | "DescribeImages"
            | "DescribeInstanceStatus"
            | "DescribeInstances"
            | "DescribeLaunchTemplateVersions"
            | "DescribeLaunchTemplates"
            | "DescribeNetworkInterfaces"
            | "DescribeSecurityGroups"
            | "DescribeSubnets"
            | "DescribeVolumes"
            | "DescribeVpcs"
            | "ModifyNetworkInterfaceAttribute"
            | "ModifyNetworkInterfaceDescription"
            | "ModifyNetworkInterfaceGroups"
            | "ModifyVolume"
            | "ProveLaunchTemplateVersion"
            | "RevokeSecurityGroupEgress"
            | "RevokeSecurityGroupIngress"
            | "RunInstances"
            | "TerminateInstances" => Service::Ec2,
            "AddTags"
            | "CreateListener"
            | "CreateLoadBalancer"
            | "CreateTargetGroup"
            | "DeleteListener"
            | "DeleteLoadBalancer"
            | "DeleteTargetGroup"
            | "DeregisterTargets"
            | "DescribeListeners"
            | "DescribeLoadBalancerAttributes"
            | "DescribeLoadBalancers"
            | "DescribeTags"
            | "DescribeTargetGroupAttributes"
            | "DescribeTargetGroups"
            | "DescribeTargetHealth"
            | "ModifyListener"
            | "ModifyLoadBalancerAttributes"
            | "ModifyTargetGroup"
            | "ModifyTargetGroupAttributes"
            | "RegisterTargets"
            | "RemoveTags"
            | "SetSecurityGroups"
            | "SetSubnets" => Service::ElasticLoadBalancing,
            "AddRoleToInstanceProfile"
            | "AttachRolePolicy"
            | "CreateInstanceProfile"
            | "CreateRole"
            | "DeleteInstanceProfile"
            | "DeleteRole"
            | "DeleteRolePermissionsBoundary"
            | "DeleteRolePolicy"
            | "DetachRolePolicy"
            | "GetAccountAuthorizationDetails"
            | "GetInstanceProfile"
            | "PutRolePermissionsBoundary"
            | "PutRolePolicy"
            | "RemoveRoleFromInstanceProfile"
            | "TagInstanceProfile"
            | "TagRole"
            | "UntagInstanceProfile"
            | "UntagRole"
            | "UpdateAssumeRolePolicy" => Service::Iam,
            "ChangeResourceRecordSets"
            | "ChangeTagsForResource"
            | "CreateHostedZone"
            | "DeleteHostedZone"
            | "GetHostedZone"
            | "ListHostedZones"
            | "ListResourceRecordSets"
            | "ListTagsForResource"
            | "UpdateHostedZoneComment" => Service::Route53,
            "CreateAsset" | "CreateEpoch" | "DeleteObject" | "GetObject" | "ListObjectsV2"
            | "PutObject" => Service::S3,
            _ if ["Bucket", "PublicAccessBlock"].iter().any(|part| operation.contains(part)) => {
                Service::S3
            }
            "CreateAuthority"
            | "DeleteAuthority"
            | "DescribeParameters"
            | "GetParameter"
            | "GetParametersByPath"
            | "PublishAuthority"
            | "ReadAuthority" => Service::Ssm,
            "AssumeRole" | "GetCallerIdentity" => Service::Sts,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call without a service would be made without a pace, and its error would name none.
    #[test]
    fn every_call_and_every_read_has_a_service() {
        let calls = include_str!("call.rs");
        let calls =
            calls.split_once("pub enum Call {").and_then(|(_, rest)| rest.split_once("\n}"));
        let variants = calls.map(|(body, _)| body).unwrap_or_default().lines();
        let variants = variants.filter_map(|line| line.strip_prefix("    "));
        let variants = variants.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
        let mut operations: Vec<&str> =
            variants.filter_map(|line| line.split([' ', '(', ',']).next()).collect();
        assert!(operations.len() > 60, "{operations:?}");
        let reads = [
            include_str!("aws/balancers.rs"),
            include_str!("aws/dns.rs"),
            include_str!("aws/ec2.rs"),
            include_str!("aws/groups.rs"),
            include_str!("aws/iam.rs"),
            include_str!("aws/instances.rs"),
            include_str!("aws/parameters.rs"),
            include_str!("aws/templates.rs"),
        ];
        for opening in ["read(\"", "pages(\""] {
            let starts = reads.iter().flat_map(|file| file.split(opening).skip(1));
            operations.extend(starts.filter_map(|rest| rest.split('"').next()));
        }
        let homeless: Vec<&&str> =
            operations.iter().filter(|operation| Service::of(operation).is_none()).collect();
        assert!(homeless.is_empty(), "{homeless:?}");
    }
}
