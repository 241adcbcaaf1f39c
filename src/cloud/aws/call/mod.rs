//! Making calls: one `Call`, one request to AWS, once.
//!
//! Each arm is one function named after the operation, in the file of its service. Whether to try
//! again is for the caller to say: before each attempt the engine looks at its lease and at what
//! is known of a lost answer.

mod balancers;
mod dns;
mod groups;
mod iam;
mod members;
mod objects;
mod parameters;
mod security;
mod storage;
mod templates;

use super::AwsCloud;
use crate::cloud::{Call, CloudError, Reply};
use crate::resource::Attribute;

/// What a call's function gives.
type Answer = Result<Reply, CloudError>;

/// Makes one call, once.
pub(super) async fn make(cloud: &AwsCloud, call: &Call) -> Answer {
    match call {
        // EC2.
        Call::CreateSecurityGroup { group_name, description, vpc_id, tags } => {
            security::create_security_group(cloud, group_name, description, vpc_id, tags).await
        }
        Call::AuthorizeSecurityGroupIngress { group_id, rules, description: mark } => {
            security::authorize_security_group_ingress(cloud, group_id, rules, mark).await
        }
        Call::AuthorizeSecurityGroupEgress { group_id, rules, description: mark } => {
            security::authorize_security_group_egress(cloud, group_id, rules, mark).await
        }
        Call::RevokeSecurityGroupIngress { group_id, rules } => {
            security::revoke_security_group_ingress(cloud, group_id, rules).await
        }
        Call::RevokeSecurityGroupEgress { group_id, rules } => {
            security::revoke_security_group_egress(cloud, group_id, rules).await
        }
        Call::DeleteSecurityGroup { group_id } => {
            security::delete_security_group(cloud, group_id).await
        }
        Call::CreateTags { resource_ids, tags } => {
            security::create_tags(cloud, resource_ids, tags).await
        }
        Call::DeleteTags { resource_ids, keys } => {
            security::delete_tags(cloud, resource_ids, keys).await
        }
        Call::TerminateInstances { instance_ids } => {
            members::terminate_instances(cloud, instance_ids).await
        }
        Call::CreateLaunchTemplate {
            launch_template_name: name,
            version_description: description,
            data,
            tags,
            client_token: token,
        } => templates::create_launch_template(cloud, name, description, data, tags, token).await,
        Call::CreateLaunchTemplateVersion {
            launch_template_name: name,
            version_description: description,
            data,
            client_token: token,
        } => templates::create_launch_template_version(cloud, name, description, data, token).await,
        Call::ProveLaunchTemplateVersion {
            launch_template_name: name,
            version,
            subnet_id: subnet,
            network_interfaces: interfaces,
        } => {
            let subnet = subnet.as_deref();
            templates::prove_launch_template_version(cloud, name, *version, subnet, interfaces)
                .await
        }
        Call::DeleteLaunchTemplate { launch_template_name } => {
            templates::delete_launch_template(cloud, launch_template_name).await
        }
        Call::CreateVolume { volume, client_token } => {
            storage::create_volume(cloud, volume, client_token).await
        }
        Call::ModifyVolume { volume_id, size, volume_type, iops, throughput } => {
            storage::modify_volume(cloud, volume_id, *size, volume_type, *iops, *throughput).await
        }
        Call::DeleteVolume { volume_id } => storage::delete_volume(cloud, volume_id).await,
        Call::CreateNetworkInterface { interface, client_token } => {
            storage::create_network_interface(cloud, interface, client_token).await
        }
        Call::ModifyNetworkInterfaceGroups { network_interface_id: id, groups } => {
            storage::modify_network_interface_groups(cloud, id, groups).await
        }
        Call::ModifyNetworkInterfaceDescription { network_interface_id: id, description } => {
            storage::modify_network_interface_description(cloud, id, description).await
        }
        Call::DeleteNetworkInterface { network_interface_id } => {
            storage::delete_network_interface(cloud, network_interface_id).await
        }

        // Auto Scaling.
        Call::CreateAutoScalingGroup { group, version } => {
            groups::create_auto_scaling_group(cloud, group, *version).await
        }
        Call::UpdateAutoScalingGroup { group, version } => {
            groups::update_auto_scaling_group(cloud, group, *version).await
        }
        Call::CreateOrUpdateTags { auto_scaling_group_name: group, tags } => {
            groups::create_or_update_tags(cloud, group, tags).await
        }
        Call::DeleteGroupTags { auto_scaling_group_name: group, keys } => {
            groups::delete_tags(cloud, group, keys).await
        }
        Call::SuspendProcesses { auto_scaling_group_name: group, processes } => {
            groups::suspend_processes(cloud, group, processes).await
        }
        Call::ResumeProcesses { auto_scaling_group_name: group, processes } => {
            groups::resume_processes(cloud, group, processes).await
        }
        Call::EnableMetricsCollection { auto_scaling_group_name: group, metrics } => {
            groups::enable_metrics_collection(cloud, group, metrics).await
        }
        Call::DisableMetricsCollection { auto_scaling_group_name: group, metrics } => {
            groups::disable_metrics_collection(cloud, group, metrics).await
        }
        Call::AttachLoadBalancerTargetGroups { auto_scaling_group_name: group, arns } => {
            groups::attach_load_balancer_target_groups(cloud, group, arns).await
        }
        Call::DetachLoadBalancerTargetGroups { auto_scaling_group_name: group, arns } => {
            groups::detach_load_balancer_target_groups(cloud, group, arns).await
        }
        Call::PutLifecycleHook { auto_scaling_group_name: group, name, hook } => {
            groups::put_lifecycle_hook(cloud, group, name, hook).await
        }
        Call::DeleteLifecycleHook { auto_scaling_group_name: group, name } => {
            groups::delete_lifecycle_hook(cloud, group, name).await
        }
        Call::DeleteAutoScalingGroup { auto_scaling_group_name: group, force } => {
            groups::delete_auto_scaling_group(cloud, group, *force).await
        }
        Call::SetDesiredCapacity { auto_scaling_group_name: group, desired_capacity } => {
            members::set_desired_capacity(cloud, group, *desired_capacity).await
        }
        Call::SetGroupMinimum { auto_scaling_group_name: group, min_size } => {
            members::set_group_minimum(cloud, group, *min_size).await
        }
        Call::PinLaunchTemplateVersion {
            auto_scaling_group_name: group,
            launch_template_name: template,
            version,
            mixed_instances_policy: policy,
        } => {
            groups::pin_launch_template_version(cloud, group, template, *version, policy.as_ref())
                .await
        }
        Call::TerminateInstanceInAutoScalingGroup {
            auto_scaling_group_name: group,
            instance_ids: ids,
            should_decrement_desired_capacity: shrinks,
        } => members::terminate_in_group(cloud, group, ids, *shrinks).await,
        Call::DetachInstances {
            auto_scaling_group_name: group,
            instance_ids: ids,
            should_decrement_desired_capacity: shrinks,
        } => members::detach_instances(cloud, group, ids, *shrinks).await,
        Call::AttachInstances { auto_scaling_group_name: group, instance_ids } => {
            members::attach_instances(cloud, group, instance_ids).await
        }

        // IAM.
        Call::CreateRole { role } => iam::create_role(cloud, role).await,
        Call::UpdateAssumeRolePolicy { role_name, policy_document } => {
            iam::update_assume_role_policy(cloud, role_name, policy_document).await
        }
        Call::PutRolePermissionsBoundary { role_name, permissions_boundary } => {
            iam::put_role_permissions_boundary(cloud, role_name, permissions_boundary).await
        }
        Call::DeleteRolePermissionsBoundary { role_name } => {
            iam::delete_role_permissions_boundary(cloud, role_name).await
        }
        Call::PutRolePolicy { role_name, policy_name, policy_document } => {
            iam::put_role_policy(cloud, role_name, policy_name, policy_document).await
        }
        Call::DeleteRolePolicy { role_name, policy_name } => {
            iam::delete_role_policy(cloud, role_name, policy_name).await
        }
        Call::AttachRolePolicy { role_name, policy_arn } => {
            iam::attach_role_policy(cloud, role_name, policy_arn).await
        }
        Call::DetachRolePolicy { role_name, policy_arn } => {
            iam::detach_role_policy(cloud, role_name, policy_arn).await
        }
        Call::TagRole { role_name, tags } => iam::tag_role(cloud, role_name, tags).await,
        Call::UntagRole { role_name, keys } => iam::untag_role(cloud, role_name, keys).await,
        Call::DeleteRole { role_name } => iam::delete_role(cloud, role_name).await,
        Call::CreateInstanceProfile { instance_profile_name, tags } => {
            iam::create_instance_profile(cloud, instance_profile_name, tags).await
        }
        Call::AddRoleToInstanceProfile { instance_profile_name, role_name } => {
            iam::add_role_to_instance_profile(cloud, instance_profile_name, role_name).await
        }
        Call::RemoveRoleFromInstanceProfile { instance_profile_name, role_name } => {
            iam::remove_role_from_instance_profile(cloud, instance_profile_name, role_name).await
        }
        Call::TagInstanceProfile { instance_profile_name, tags } => {
            iam::tag_instance_profile(cloud, instance_profile_name, tags).await
        }
        Call::UntagInstanceProfile { instance_profile_name, keys } => {
            iam::untag_instance_profile(cloud, instance_profile_name, keys).await
        }
        Call::DeleteInstanceProfile { instance_profile_name } => {
            iam::delete_instance_profile(cloud, instance_profile_name).await
        }

        // Elastic Load Balancing v2.
        Call::CreateLoadBalancer { load_balancer } => {
            balancers::create_load_balancer(cloud, load_balancer).await
        }
        Call::ModifyLoadBalancerAttributes {
            load_balancer_arn: arn,
            cross_zone_enabled: cross_zone,
            deletion_protection_enabled: protection,
        } => balancers::modify_load_balancer_attributes(cloud, arn, *cross_zone, *protection).await,
        Call::SetSecurityGroups { load_balancer_arn, security_groups } => {
            balancers::set_security_groups(cloud, load_balancer_arn, security_groups).await
        }
        Call::SetSubnets { load_balancer_arn, subnet_mappings } => {
            balancers::set_subnets(cloud, load_balancer_arn, subnet_mappings).await
        }
        Call::DeleteLoadBalancer { load_balancer_arn } => {
            balancers::delete_load_balancer(cloud, load_balancer_arn).await
        }
        Call::CreateTargetGroup { target_group } => {
            balancers::create_target_group(cloud, target_group).await
        }
        Call::ModifyTargetGroup { target_group_arn, health_check } => {
            balancers::modify_target_group(cloud, target_group_arn, health_check).await
        }
        Call::ModifyTargetGroupAttributes {
            target_group_arn: arn,
            deregistration_delay_seconds: delay,
            connection_termination_enabled: cut,
            preserve_client_ip_enabled: preserve,
        } => balancers::modify_target_group_attributes(cloud, arn, *delay, *cut, *preserve).await,
        Call::DeleteTargetGroup { target_group_arn } => {
            balancers::delete_target_group(cloud, target_group_arn).await
        }
        Call::CreateListener { listener } => balancers::create_listener(cloud, listener).await,
        Call::ModifyListener { listener_arn, listener } => {
            balancers::modify_listener(cloud, listener_arn, listener).await
        }
        Call::DeleteListener { listener_arn } => {
            balancers::delete_listener(cloud, listener_arn).await
        }
        Call::RegisterTargets { target_group_arn, instance_ids } => {
            balancers::register_targets(cloud, target_group_arn, instance_ids).await
        }
        Call::DeregisterTargets { target_group_arn, instance_ids } => {
            balancers::deregister_targets(cloud, target_group_arn, instance_ids).await
        }
        Call::AddTags { resource_arn, tags } => {
            balancers::add_tags(cloud, resource_arn, tags).await
        }
        Call::RemoveTags { resource_arn, keys } => {
            balancers::remove_tags(cloud, resource_arn, keys).await
        }

        // Systems Manager.
        Call::CreateAuthority { cluster, authority, parameter, tags } => {
            parameters::create_authority(cloud, cluster, authority, parameter, tags).await
        }
        Call::ReadAuthority { cluster, authority, parameter } => {
            parameters::read_authority(cloud, cluster, authority, parameter).await
        }
        Call::PublishAuthority { parameter, certificate, tags } => {
            parameters::publish_authority(cloud, parameter, certificate, tags).await
        }
        Call::DeleteAuthority { parameters } => {
            parameters::delete_authority(cloud, parameters).await
        }

        // The state bucket.
        Call::CreateEpoch { cluster, etcd, members } => {
            objects::create_epoch(cloud, cluster, etcd, members).await
        }
        Call::CreateAsset { cluster, sha256, size } => {
            objects::create_asset(cloud, cluster, sha256, *size).await
        }
        Call::DeleteObject { key } => objects::delete_object(cloud, key).await,

        // Route53.
        Call::CreateHostedZone { name, vpc_id, comment, caller_reference } => {
            dns::create_hosted_zone(cloud, name, vpc_id, comment, caller_reference).await
        }
        Call::ChangeTagsForResource { hosted_zone_id, add, remove } => {
            dns::change_tags_for_resource(cloud, hosted_zone_id, add, remove).await
        }
        Call::UpdateHostedZoneComment { hosted_zone_id, comment } => {
            dns::update_hosted_zone_comment(cloud, hosted_zone_id, comment).await
        }
        Call::DeleteHostedZone { hosted_zone_id } => {
            dns::delete_hosted_zone(cloud, hosted_zone_id).await
        }
        Call::ChangeResourceRecordSets { hosted_zone_id, delete, upsert } => {
            dns::change_resource_record_sets(cloud, hosted_zone_id, delete, upsert).await
        }
    }
}

/// The answer of a call that AWS decides nothing about.
fn done<T>(answer: Result<T, CloudError>) -> Answer {
    answer.map(|_| Reply::default())
}

/// A reply with what AWS decided about a new resource. What it leaves out is the caller's to miss.
fn told<const N: usize>(attributes: [(Attribute, Option<&str>); N]) -> Reply {
    let attributes = attributes.into_iter();
    let attributes = attributes.filter_map(|(key, value)| Some((key, value?.to_owned())));
    Reply { attributes: attributes.collect(), ..Reply::default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use aws_sdk_iam::config::endpoint as iam;
    use aws_sdk_route53::config::endpoint as route53;
    use iam::ResolveEndpoint as _;
    use route53::ResolveEndpoint as _;

    #[tokio::test]
    async fn global_services_are_called_in_the_partition_of_the_region() {
        for (region, iam_url, route53_url) in [
            ("eu-west-3", "https://iam.amazonaws.com", "https://route53.amazonaws.com"),
            (
                "us-gov-east-1",
                "https://iam.us-gov.amazonaws.com",
                "https://route53.us-gov.amazonaws.com",
            ),
            (
                "cn-northwest-1",
                "https://iam.cn-north-1.amazonaws.com.cn",
                "https://route53.amazonaws.com.cn",
            ),
        ] {
            let params = iam::Params::builder().region(region).build().unwrap();
            let resolver = iam::DefaultResolver::new();
            let endpoint = resolver.resolve_endpoint(&params).await.unwrap();
            assert_eq!(endpoint.url(), iam_url);
            let params = route53::Params::builder().region(region).build().unwrap();
            let resolver = route53::DefaultResolver::new();
            let endpoint = resolver.resolve_endpoint(&params).await.unwrap();
            assert_eq!(endpoint.url(), route53_url);
        }
    }
}
