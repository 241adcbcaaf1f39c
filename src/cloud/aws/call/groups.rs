//! Calls of Auto Scaling. Only the making of a group says how many machines it has and which version
//! they are built from: the one belongs to the autoscaler, the other to the rolling update.
//!
//! Where AWS reads an empty list as everything (processes, metrics), nothing is sent for one.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types::{
    InstanceRequirements, InstancesDistribution, LaunchTemplate, LaunchTemplateOverrides,
    LaunchTemplateSpecification, LifecycleHookSpecification, MemoryMiBRequest,
    MixedInstancesPolicy, Tag, VCpuCountRequest,
};

use super::security::known;
use super::{Answer, done};
use crate::cloud::Reply;
use crate::cloud::aws::AwsCloud;
use crate::resource::{self, AutoScalingGroup, GroupTag, LifecycleHook};

/// How often a group's metrics are collected: the one interval there is (Amazon EC2 Auto Scaling API
/// Reference, EnableMetricsCollection).
const GRANULARITY: &str = "1Minute";

/// Makes a group with its tags, hooks and target groups in one call, so that its first machines have
/// them all. AWS starts with as many machines as the minimum.
pub(super) async fn create_auto_scaling_group(
    cloud: &AwsCloud,
    group: &AutoScalingGroup,
    version: u64,
) -> Answer {
    let name = &group.auto_scaling_group_name;
    let (template, policy) = launch_of(group, version);
    let lifetime = Some(group.max_instance_lifetime).filter(|seconds| *seconds != 0);
    let call = cloud
        .autoscaling
        .create_auto_scaling_group()
        .auto_scaling_group_name(name)
        .set_launch_template(template)
        .set_mixed_instances_policy(policy)
        .min_size(group.min_size)
        .max_size(group.max_size)
        .set_vpc_zone_identifier(subnets(group))
        .set_availability_zones(list(&group.availability_zones))
        .set_target_group_arns(known(&group.target_group_arns))
        .health_check_type(&group.health_check_type)
        .health_check_grace_period(group.health_check_grace_period)
        .new_instances_protected_from_scale_in(group.new_instances_protected_from_scale_in)
        .set_max_instance_lifetime(lifetime)
        .capacity_rebalance(group.capacity_rebalance)
        .set_lifecycle_hook_specification_list(hooks(&group.lifecycle_hooks))
        .set_tags(Some(tags(name, &group.tags)).filter(|tags| !tags.is_empty()));
    done(call.send().await.map_err(|e| cloud.failed("CreateAutoScalingGroup", e)))
}

/// Changes a group's settings. How its machines are launched is said only with a version, and a
/// desired capacity never: AWS moves it by itself where it falls outside of the new limits.
pub(super) async fn update_auto_scaling_group(
    cloud: &AwsCloud,
    group: &AutoScalingGroup,
    version: Option<u64>,
) -> Answer {
    let (template, policy) = version.map_or((None, None), |version| launch_of(group, version));
    let call = cloud
        .autoscaling
        .update_auto_scaling_group()
        .auto_scaling_group_name(&group.auto_scaling_group_name)
        .set_launch_template(template)
        .set_mixed_instances_policy(policy)
        .min_size(group.min_size)
        .max_size(group.max_size)
        .set_vpc_zone_identifier(subnets(group))
        .set_availability_zones(list(&group.availability_zones))
        .health_check_type(&group.health_check_type)
        .health_check_grace_period(group.health_check_grace_period)
        .new_instances_protected_from_scale_in(group.new_instances_protected_from_scale_in)
        .max_instance_lifetime(group.max_instance_lifetime)
        .capacity_rebalance(group.capacity_rebalance);
    done(call.send().await.map_err(|e| cloud.failed("UpdateAutoScalingGroup", e)))
}

/// Moves the version that new machines get. AWS takes it as part of the template or, where there is
/// one, of the policy; the other one goes.
pub(super) async fn pin_launch_template_version(
    cloud: &AwsCloud,
    name: &str,
    template: &str,
    version: u64,
    policy: Option<&resource::MixedInstancesPolicy>,
) -> Answer {
    let (template, policy) = launch(template, policy, version);
    let call = cloud
        .autoscaling
        .update_auto_scaling_group()
        .auto_scaling_group_name(name)
        .set_launch_template(template)
        .set_mixed_instances_policy(policy);
    done(call.send().await.map_err(|e| cloud.failed("UpdateAutoScalingGroup", e)))
}

pub(super) async fn create_or_update_tags(
    cloud: &AwsCloud,
    name: &str,
    wanted: &BTreeMap<String, GroupTag>,
) -> Answer {
    let call = cloud.autoscaling.create_or_update_tags().set_tags(Some(tags(name, wanted)));
    done(call.send().await.map_err(|e| cloud.failed("CreateOrUpdateTags", e)))
}

/// Removes tags by key: a tag without a value goes whatever its value is.
pub(super) async fn delete_tags(cloud: &AwsCloud, name: &str, keys: &BTreeSet<String>) -> Answer {
    let tags = keys.iter().map(|key| tag_of(name).key(key).build()).collect();
    let call = cloud.autoscaling.delete_tags().set_tags(Some(tags));
    done(call.send().await.map_err(|e| cloud.failed("DeleteTags", e)))
}

pub(super) async fn suspend_processes(
    cloud: &AwsCloud,
    name: &str,
    processes: &BTreeSet<String>,
) -> Answer {
    if processes.is_empty() {
        return Ok(Reply::default());
    }
    let call = cloud.autoscaling.suspend_processes().auto_scaling_group_name(name);
    let call = call.set_scaling_processes(list(processes));
    done(call.send().await.map_err(|e| cloud.failed("SuspendProcesses", e)))
}

pub(super) async fn resume_processes(
    cloud: &AwsCloud,
    name: &str,
    processes: &BTreeSet<String>,
) -> Answer {
    if processes.is_empty() {
        return Ok(Reply::default());
    }
    let call = cloud.autoscaling.resume_processes().auto_scaling_group_name(name);
    let call = call.set_scaling_processes(list(processes));
    done(call.send().await.map_err(|e| cloud.failed("ResumeProcesses", e)))
}

pub(super) async fn enable_metrics_collection(
    cloud: &AwsCloud,
    name: &str,
    metrics: &BTreeSet<String>,
) -> Answer {
    if metrics.is_empty() {
        return Ok(Reply::default());
    }
    let call = cloud.autoscaling.enable_metrics_collection().auto_scaling_group_name(name);
    let call = call.granularity(GRANULARITY).set_metrics(list(metrics));
    done(call.send().await.map_err(|e| cloud.failed("EnableMetricsCollection", e)))
}

pub(super) async fn disable_metrics_collection(
    cloud: &AwsCloud,
    name: &str,
    metrics: &BTreeSet<String>,
) -> Answer {
    if metrics.is_empty() {
        return Ok(Reply::default());
    }
    let call = cloud.autoscaling.disable_metrics_collection().auto_scaling_group_name(name);
    let call = call.set_metrics(list(metrics));
    done(call.send().await.map_err(|e| cloud.failed("DisableMetricsCollection", e)))
}

pub(super) async fn attach_load_balancer_target_groups(
    cloud: &AwsCloud,
    name: &str,
    arns: &BTreeSet<String>,
) -> Answer {
    let call = cloud.autoscaling.attach_load_balancer_target_groups().auto_scaling_group_name(name);
    let call = call.set_target_group_arns(list(arns));
    done(call.send().await.map_err(|e| cloud.failed("AttachLoadBalancerTargetGroups", e)))
}

pub(super) async fn detach_load_balancer_target_groups(
    cloud: &AwsCloud,
    name: &str,
    arns: &BTreeSet<String>,
) -> Answer {
    let call = cloud.autoscaling.detach_load_balancer_target_groups().auto_scaling_group_name(name);
    let call = call.set_target_group_arns(list(arns));
    done(call.send().await.map_err(|e| cloud.failed("DetachLoadBalancerTargetGroups", e)))
}

pub(super) async fn put_lifecycle_hook(
    cloud: &AwsCloud,
    group: &str,
    name: &str,
    hook: &LifecycleHook,
) -> Answer {
    let call = cloud
        .autoscaling
        .put_lifecycle_hook()
        .auto_scaling_group_name(group)
        .lifecycle_hook_name(name)
        .lifecycle_transition(&hook.lifecycle_transition)
        .heartbeat_timeout(hook.heartbeat_timeout)
        .default_result(&hook.default_result);
    done(call.send().await.map_err(|e| cloud.failed("PutLifecycleHook", e)))
}

pub(super) async fn delete_lifecycle_hook(cloud: &AwsCloud, group: &str, name: &str) -> Answer {
    let call = cloud.autoscaling.delete_lifecycle_hook().auto_scaling_group_name(group);
    let call = call.lifecycle_hook_name(name);
    done(call.send().await.map_err(|e| cloud.failed("DeleteLifecycleHook", e)))
}

pub(super) async fn delete_auto_scaling_group(cloud: &AwsCloud, name: &str, force: bool) -> Answer {
    let call = cloud.autoscaling.delete_auto_scaling_group().auto_scaling_group_name(name);
    done(
        call.force_delete(force)
            .send()
            .await
            .map_err(|e| cloud.failed("DeleteAutoScalingGroup", e)),
    )
}

fn launch_of(
    group: &AutoScalingGroup,
    version: u64,
) -> (Option<LaunchTemplateSpecification>, Option<MixedInstancesPolicy>) {
    launch(&group.launch_template_name, group.mixed_instances_policy.as_ref(), version)
}

/// What machines are launched from, by a numeric version: the template itself, or a policy that
/// holds it.
fn launch(
    template: &str,
    policy: Option<&resource::MixedInstancesPolicy>,
    version: u64,
) -> (Option<LaunchTemplateSpecification>, Option<MixedInstancesPolicy>) {
    let template = LaunchTemplateSpecification::builder()
        .launch_template_name(template)
        .version(version.to_string())
        .build();
    match policy {
        Some(policy) => (None, Some(mixed_instances_policy(policy, template))),
        None => (Some(template), None),
    }
}

/// A policy as a whole. An empty price is said, too: it takes away one that was set before.
fn mixed_instances_policy(
    policy: &resource::MixedInstancesPolicy,
    template: LaunchTemplateSpecification,
) -> MixedInstancesPolicy {
    let types = policy.overrides.iter().map(|instance_type| {
        LaunchTemplateOverrides::builder().instance_type(instance_type).build()
    });
    let requirements = policy.instance_requirements.iter().map(|requirements| {
        let requirements = instance_requirements(requirements);
        LaunchTemplateOverrides::builder().instance_requirements(requirements).build()
    });
    let overrides: Vec<LaunchTemplateOverrides> = types.chain(requirements).collect();
    let distribution = InstancesDistribution::builder()
        .on_demand_allocation_strategy(&policy.on_demand_allocation_strategy)
        .on_demand_base_capacity(policy.on_demand_base_capacity)
        .on_demand_percentage_above_base_capacity(policy.on_demand_percentage_above_base_capacity)
        .spot_allocation_strategy(&policy.spot_allocation_strategy)
        .set_spot_instance_pools(policy.spot_instance_pools)
        .spot_max_price(policy.spot_max_price.as_deref().unwrap_or_default())
        .build();
    let template = LaunchTemplate::builder()
        .launch_template_specification(template)
        .set_overrides(Some(overrides))
        .build();
    MixedInstancesPolicy::builder()
        .launch_template(template)
        .instances_distribution(distribution)
        .build()
}

fn instance_requirements(wanted: &resource::InstanceRequirements) -> InstanceRequirements {
    let (vcpus, memory) = (&wanted.vcpu_count, &wanted.memory_mib);
    InstanceRequirements::builder()
        .v_cpu_count(VCpuCountRequest::builder().min(vcpus.min).set_max(vcpus.max).build())
        .memory_mib(MemoryMiBRequest::builder().min(memory.min).set_max(memory.max).build())
        .set_excluded_instance_types(list(&wanted.excluded_instance_types))
        .build()
}

fn hooks(hooks: &BTreeMap<String, LifecycleHook>) -> Option<Vec<LifecycleHookSpecification>> {
    let hooks = hooks.iter().map(|(name, hook)| {
        LifecycleHookSpecification::builder()
            .lifecycle_hook_name(name)
            .lifecycle_transition(&hook.lifecycle_transition)
            .heartbeat_timeout(hook.heartbeat_timeout)
            .default_result(&hook.default_result)
            .build()
    });
    Some(hooks.collect::<Vec<_>>()).filter(|hooks| !hooks.is_empty())
}

fn tags(group: &str, tags: &BTreeMap<String, GroupTag>) -> Vec<Tag> {
    let tag = |(key, tag): (&String, &GroupTag)| {
        tag_of(group)
            .key(key)
            .value(&tag.value)
            .propagate_at_launch(tag.propagate_at_launch)
            .build()
    };
    tags.iter().map(tag).collect()
}

fn tag_of(group: &str) -> aws_sdk_autoscaling::types::builders::TagBuilder {
    Tag::builder().resource_id(group).resource_type("auto-scaling-group")
}

/// Subnets as AWS takes them: one text, with commas.
fn subnets(group: &AutoScalingGroup) -> Option<String> {
    let subnets: Vec<&str> = group.vpc_zone_identifier.iter().map(String::as_str).collect();
    (!subnets.is_empty()).then(|| subnets.join(","))
}

/// A list as AWS takes it: an empty one is left out.
pub(super) fn list(items: &BTreeSet<String>) -> Option<Vec<String>> {
    (!items.is_empty()).then(|| items.iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cloud::aws::groups;
    use crate::resource::RequirementRange;

    fn policy() -> impl Strategy<Value = resource::MixedInstancesPolicy> {
        let range = || {
            (0..9i32, proptest::option::of(9..99i32))
                .prop_map(|(min, max)| RequirementRange { min, max })
        };
        let excluded = proptest::collection::btree_set("[a-z]\\d\\.\\*", 0..3);
        let requirements = (range(), range(), excluded).prop_map(
            |(vcpu_count, memory_mib, excluded_instance_types)| resource::InstanceRequirements {
                vcpu_count,
                memory_mib,
                excluded_instance_types,
            },
        );
        let kinds = proptest::collection::vec("[a-z]\\d\\.large", 0..5);
        let price = proptest::option::of("0\\.\\d\\d");
        (kinds, proptest::option::of(requirements), 0..9i32, 0..=100i32, any::<bool>(), price)
            .prop_map(
                |(overrides, instance_requirements, base, above, by_pools, spot_max_price)| {
                    let spot = if by_pools { "lowest-price" } else { "price-capacity-optimized" };
                    resource::MixedInstancesPolicy {
                        overrides,
                        instance_requirements,
                        on_demand_allocation_strategy: "lowest-price".to_owned(),
                        on_demand_base_capacity: base,
                        on_demand_percentage_above_base_capacity: above,
                        spot_allocation_strategy: spot.to_owned(),
                        spot_instance_pools: by_pools.then_some(2),
                        spot_max_price,
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn a_policy_is_read_back_as_it_was_written(policy in policy()) {
            let template = LaunchTemplateSpecification::builder().version("3").build();
            let written = mixed_instances_policy(&policy, template);
            prop_assert_eq!(groups::mixed_instances_policy(&written), policy);
        }
    }
}
