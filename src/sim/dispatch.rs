//! Which operation handles which call: one line each, none forgotten.

use super::{Answer, World};
use crate::cloud::Call;

impl World {
    /// Makes a call, without clock, faults or log.
    pub(super) fn execute(&mut self, call: &Call) -> Answer {
        match call {
            Call::CreateSecurityGroup { group_name, description, vpc_id, tags } => {
                self.create_security_group(group_name, description, vpc_id, tags)
            }
            Call::AuthorizeSecurityGroupIngress { group_id, rules, description } => {
                self.authorize_rules(group_id, rules, description, false)
            }
            Call::AuthorizeSecurityGroupEgress { group_id, rules, description } => {
                self.authorize_rules(group_id, rules, description, true)
            }
            Call::RevokeSecurityGroupIngress { group_id, rules } => {
                self.revoke_rules(group_id, rules, false)
            }
            Call::RevokeSecurityGroupEgress { group_id, rules } => {
                self.revoke_rules(group_id, rules, true)
            }
            Call::DeleteSecurityGroup { group_id } => self.delete_security_group(group_id),
            Call::CreateTags { resource_ids, tags } => self.create_tags(resource_ids, tags),
            Call::DeleteTags { resource_ids, keys } => self.delete_tags(resource_ids, keys),
            Call::TerminateInstances { instance_ids } => self.terminate_instances(instance_ids),

            Call::CreateLaunchTemplate {
                launch_template_name: name,
                version_description,
                data,
                tags,
                client_token,
            } => self.create_template(name, version_description, data, tags, client_token),
            Call::CreateLaunchTemplateVersion {
                launch_template_name: name,
                version_description,
                data,
                client_token,
            } => self.create_template_version(name, version_description, data, client_token),
            Call::ProveLaunchTemplateVersion {
                launch_template_name, version, subnet_id, ..
            } => self.prove_template_version(launch_template_name, *version, subnet_id.as_deref()),
            Call::DeleteLaunchTemplate { launch_template_name } => {
                self.delete_template(launch_template_name)
            }

            Call::CreateVolume { volume, client_token } => self.create_volume(volume, client_token),
            Call::ModifyVolume { volume_id, size, volume_type, iops, throughput } => {
                self.modify_volume(volume_id, *size, volume_type, *iops, *throughput)
            }
            Call::DeleteVolume { volume_id } => self.delete_volume(volume_id),
            Call::CreateNetworkInterface { interface, client_token } => {
                self.create_interface(interface, client_token)
            }
            Call::ModifyNetworkInterfaceGroups { network_interface_id, groups } => {
                self.modify_interface_groups(network_interface_id, groups)
            }
            Call::ModifyNetworkInterfaceDescription { network_interface_id, description } => {
                self.modify_interface_description(network_interface_id, description)
            }
            Call::DeleteNetworkInterface { network_interface_id } => {
                self.delete_interface(network_interface_id)
            }

            Call::CreateRole { role } => self.create_role(role),
            Call::UpdateAssumeRolePolicy { role_name, policy_document } => {
                self.update_trust(role_name, policy_document)
            }
            Call::PutRolePermissionsBoundary { role_name, permissions_boundary } => {
                self.put_boundary(role_name, permissions_boundary)
            }
            Call::DeleteRolePermissionsBoundary { role_name } => self.delete_boundary(role_name),
            Call::PutRolePolicy { role_name, policy_name, policy_document } => {
                self.put_role_policy(role_name, policy_name, policy_document)
            }
            Call::DeleteRolePolicy { role_name, policy_name } => {
                self.delete_role_policy(role_name, policy_name)
            }
            Call::AttachRolePolicy { role_name, policy_arn } => {
                self.attach_role_policy(role_name, policy_arn)
            }
            Call::DetachRolePolicy { role_name, policy_arn } => {
                self.detach_role_policy(role_name, policy_arn)
            }
            Call::TagRole { role_name, tags } => self.tag_role(role_name, tags),
            Call::UntagRole { role_name, keys } => self.untag_role(role_name, keys),
            Call::DeleteRole { role_name } => self.delete_role(role_name),
            Call::CreateInstanceProfile { instance_profile_name, tags } => {
                self.create_profile(instance_profile_name, tags)
            }
            Call::AddRoleToInstanceProfile { instance_profile_name, role_name } => {
                self.add_role_to_profile(instance_profile_name, role_name)
            }
            Call::RemoveRoleFromInstanceProfile { instance_profile_name, role_name } => {
                self.remove_role_from_profile(instance_profile_name, role_name)
            }
            Call::TagInstanceProfile { instance_profile_name, tags } => {
                self.tag_profile(instance_profile_name, tags)
            }
            Call::UntagInstanceProfile { instance_profile_name, keys } => {
                self.untag_profile(instance_profile_name, keys)
            }
            Call::DeleteInstanceProfile { instance_profile_name } => {
                self.delete_profile(instance_profile_name)
            }

            Call::CreateAuthority { cluster, authority, parameter, .. } => {
                self.create_authority(cluster, authority, parameter)
            }
            Call::ReadAuthority { cluster, authority, parameter } => {
                self.read_authority(cluster, authority, parameter)
            }
            Call::PublishAuthority { parameter, certificate, .. } => {
                self.publish_authority(parameter, certificate)
            }
            Call::DeleteAuthority { parameters } => self.delete_authority(parameters),

            Call::CreateEpoch { cluster, etcd, members } => {
                self.create_epoch(cluster, etcd, members)
            }
            Call::CreateAsset { cluster, sha256, size } => {
                self.create_asset(cluster, sha256, *size)
            }
            Call::DeleteObject { key } => self.delete_object(key),

            Call::CreateLoadBalancer { load_balancer } => self.create_load_balancer(load_balancer),
            Call::ModifyLoadBalancerAttributes {
                load_balancer_arn,
                cross_zone_enabled,
                deletion_protection_enabled,
            } => self.modify_balancer_attributes(
                load_balancer_arn,
                *cross_zone_enabled,
                *deletion_protection_enabled,
            ),
            Call::SetSecurityGroups { load_balancer_arn, security_groups } => {
                self.set_balancer_groups(load_balancer_arn, security_groups)
            }
            Call::SetSubnets { load_balancer_arn, subnet_mappings } => {
                self.set_balancer_subnets(load_balancer_arn, subnet_mappings)
            }
            Call::DeleteLoadBalancer { load_balancer_arn } => {
                self.delete_load_balancer(load_balancer_arn)
            }
            Call::CreateTargetGroup { target_group } => self.create_target_group(target_group),
            Call::ModifyTargetGroup { target_group_arn, health_check } => {
                self.modify_target_group(target_group_arn, health_check)
            }
            Call::ModifyTargetGroupAttributes {
                target_group_arn,
                deregistration_delay_seconds,
                connection_termination_enabled,
                preserve_client_ip_enabled,
            } => self.modify_target_group_attributes(
                target_group_arn,
                *deregistration_delay_seconds,
                *connection_termination_enabled,
                *preserve_client_ip_enabled,
            ),
            Call::DeleteTargetGroup { target_group_arn } => {
                self.delete_target_group(target_group_arn)
            }
            Call::CreateListener { listener } => self.create_listener(listener),
            Call::ModifyListener { listener_arn, listener } => {
                self.modify_listener(listener_arn, listener)
            }
            Call::DeleteListener { listener_arn } => self.delete_listener(listener_arn),
            Call::RegisterTargets { target_group_arn, instance_ids } => {
                self.register_targets(target_group_arn, instance_ids)
            }
            Call::DeregisterTargets { target_group_arn, instance_ids } => {
                self.deregister_targets(target_group_arn, instance_ids)
            }
            Call::AddTags { resource_arn, tags } => self.add_balancer_tags(resource_arn, tags),
            Call::RemoveTags { resource_arn, keys } => {
                self.remove_balancer_tags(resource_arn, keys)
            }

            Call::CreateHostedZone { name, vpc_id, comment, caller_reference } => {
                self.create_hosted_zone(name, vpc_id, comment, caller_reference)
            }
            Call::ChangeTagsForResource { hosted_zone_id, add, remove } => {
                self.change_zone_tags(hosted_zone_id, add, remove)
            }
            Call::UpdateHostedZoneComment { hosted_zone_id, comment } => {
                self.update_zone_comment(hosted_zone_id, comment)
            }
            Call::DeleteHostedZone { hosted_zone_id } => self.delete_hosted_zone(hosted_zone_id),
            Call::ChangeResourceRecordSets { hosted_zone_id, delete, upsert } => {
                self.change_records(hosted_zone_id, delete, upsert)
            }

            Call::CreateAutoScalingGroup { group, version } => self.create_group(group, *version),
            Call::UpdateAutoScalingGroup { group, version } => self.update_group(group, *version),
            Call::CreateOrUpdateTags { auto_scaling_group_name, tags } => {
                self.tag_group(auto_scaling_group_name, tags)
            }
            Call::DeleteGroupTags { auto_scaling_group_name, keys } => {
                self.untag_group(auto_scaling_group_name, keys)
            }
            Call::SuspendProcesses { auto_scaling_group_name, processes } => {
                self.suspend_processes(auto_scaling_group_name, processes)
            }
            Call::ResumeProcesses { auto_scaling_group_name, processes } => {
                self.resume_processes(auto_scaling_group_name, processes)
            }
            Call::EnableMetricsCollection { auto_scaling_group_name, metrics } => {
                self.enable_metrics(auto_scaling_group_name, metrics)
            }
            Call::DisableMetricsCollection { auto_scaling_group_name, metrics } => {
                self.disable_metrics(auto_scaling_group_name, metrics)
            }
            Call::AttachLoadBalancerTargetGroups { auto_scaling_group_name, arns } => {
                self.attach_target_groups(auto_scaling_group_name, arns)
            }
            Call::DetachLoadBalancerTargetGroups { auto_scaling_group_name, arns } => {
                self.detach_target_groups(auto_scaling_group_name, arns)
            }
            Call::PutLifecycleHook { auto_scaling_group_name, name, hook } => {
                self.put_hook(auto_scaling_group_name, name, hook)
            }
            Call::DeleteLifecycleHook { auto_scaling_group_name, name } => {
                self.delete_hook(auto_scaling_group_name, name)
            }
            Call::DeleteAutoScalingGroup { auto_scaling_group_name, force } => {
                self.delete_group(auto_scaling_group_name, *force)
            }
            Call::SetDesiredCapacity { auto_scaling_group_name, desired_capacity } => {
                self.desire(auto_scaling_group_name, *desired_capacity)
            }
            Call::SetGroupMinimum { auto_scaling_group_name, min_size } => {
                self.set_group_minimum(auto_scaling_group_name, *min_size)
            }
            Call::PinLaunchTemplateVersion {
                auto_scaling_group_name: name,
                launch_template_name: template,
                version,
                mixed_instances_policy: policy,
            } => self.pin_version(name, template, *version, policy.as_ref()),
            Call::TerminateInstanceInAutoScalingGroup {
                auto_scaling_group_name: name,
                instance_ids,
                should_decrement_desired_capacity: shrinks,
            } => self.terminate_members(name, instance_ids, *shrinks),
            Call::DetachInstances {
                auto_scaling_group_name: name,
                instance_ids,
                should_decrement_desired_capacity: shrinks,
            } => self.detach_instances(name, instance_ids, *shrinks),
            Call::AttachInstances { auto_scaling_group_name: name, instance_ids } => {
                self.attach_instances(name, instance_ids)
            }
        }
    }
}
