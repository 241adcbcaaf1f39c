//! Auto scaling groups with their machines.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types::{
    self, Activity, AutoScalingGroup, LaunchTemplateSpecification, LifecycleState,
    ScalingActivityStatusCode,
};

use jiff::Timestamp;

use super::AwsCloud;
use super::observe::Found;
use super::tags::{TagSet, is_note};
use crate::cloud::shortfall::{abandoned_launches, failed_launch, unasked_ends};
use crate::cloud::{CloudError, CloudErrorKind, GroupFacts, Instance, Ownership, Query};
use crate::resource::{
    self, Attribute, GroupTag, InstanceRequirements, LifecycleHook, MixedInstancesPolicy, Ref,
    RequirementRange, Resource,
};

/// The biggest page. AWS may answer with fewer although there are more, so the token decides.
const PAGE: i32 = 100;
/// Newest activities that are looked through for machines that ended: as many as one call gives.
/// Source: Auto Scaling API reference, DescribeScalingActivities.
const ENDS_MAX: i32 = 100;

/// Newest activities that are looked through for a failed launch.
const ACTIVITIES_MAX: i32 = 20;

/// Reads all groups of the account: a filter knows tags only, and names matter as well. The answer
/// embeds every machine with its version, so that machines cost no call.
pub(super) async fn read(cloud: &AwsCloud, query: &Query) -> Result<Vec<Found>, CloudError> {
    let call = cloud.autoscaling.describe_auto_scaling_groups().max_records(PAGE);
    let page = |token| call.clone().set_next_token(token).send();
    let pages = cloud.pages("DescribeAutoScalingGroups", page, |page| page.next_token()).await?;
    let mut found = Vec::new();
    for group in pages.iter().flat_map(|page| page.auto_scaling_groups()) {
        let mut item = convert(group, &query.cluster);
        if item.observed.ownership.is_owned() {
            look_closer(cloud, query, &mut item).await?;
        }
        found.push(item);
    }
    Ok(found)
}

/// What costs a call a group: why one is short of machines, and hooks under `deep`.
async fn look_closer(cloud: &AwsCloud, query: &Query, found: &mut Found) -> Result<(), CloudError> {
    let name = found.key.name.clone();
    if let Some(facts) = &mut found.observed.group
        && !query.brief
    {
        let in_service = facts.instances.iter().filter(|i| i.lifecycle_state == "InService");
        if i32::try_from(in_service.count()).is_ok_and(|count| count < facts.desired_capacity) {
            (facts.failed_activity, facts.abandoned_at) = failed_launches(cloud, &name).await?;
        }
    }
    if query.deep
        && let Resource::AutoScalingGroup(group) = &mut found.observed.resource
    {
        group.lifecycle_hooks = hooks(cloud, &name).await?;
        found.observed.unread.clear();
    }
    Ok(())
}

/// What the newest failed launch says, if none has worked since, and when launches were abandoned.
/// Activities come newest first.
async fn failed_launches(
    cloud: &AwsCloud,
    group: &str,
) -> Result<(Option<String>, Vec<Timestamp>), CloudError> {
    let call = cloud.autoscaling.describe_scaling_activities().auto_scaling_group_name(group);
    let call = call.max_records(ACTIVITIES_MAX);
    let answer = cloud.read("DescribeScalingActivities", || call.clone().send()).await?;
    let told = |activity: &Activity| {
        let status = activity.status_code().map(ScalingActivityStatusCode::as_str);
        let at = activity.end_time().or(activity.start_time());
        let at = at.and_then(|at| Timestamp::from_second(at.secs()).ok()).unwrap_or_default();
        let texts = [activity.description(), status, activity.status_message()];
        (at, texts.map(|text| text.unwrap_or_default().to_owned()))
    };
    let told: Vec<_> = answer.activities().iter().map(told).collect();
    let failed = failed_launch(
        told.iter().map(|(_, [what, status, why])| (what.as_str(), status.as_str(), why.as_str())),
    );
    let abandoned = abandoned_launches(
        told.iter()
            .map(|(at, [what, status, why])| (*at, what.as_str(), status.as_str(), why.as_str())),
    );
    Ok((failed.map(str::to_owned), abandoned))
}

/// Machines that end although no call asked for it, of a group's newest activities. A service that knows
/// no such group has nothing to tell of it.
pub(super) async fn places_kept(
    cloud: &AwsCloud,
    group: &str,
) -> Result<BTreeSet<String>, CloudError> {
    let call = cloud.autoscaling.describe_scaling_activities().auto_scaling_group_name(group);
    let call = call.max_records(ENDS_MAX);
    let answer = match cloud.read("DescribeScalingActivities", || call.clone().send()).await {
        Ok(answer) => answer,
        Err(error) if error.kind == CloudErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    Ok(kept_by(answer.activities().iter()))
}

/// The machines whose end these activities tell, and no call asked for.
pub(super) fn kept_by<'a>(activities: impl Iterator<Item = &'a Activity>) -> BTreeSet<String> {
    unasked_ends(
        activities.map(|it| (it.description().unwrap_or_default(), it.cause().unwrap_or_default())),
    )
}

async fn hooks(
    cloud: &AwsCloud,
    group: &str,
) -> Result<BTreeMap<String, LifecycleHook>, CloudError> {
    let call = cloud.autoscaling.describe_lifecycle_hooks().auto_scaling_group_name(group);
    let answer = cloud.read("DescribeLifecycleHooks", || call.clone().send()).await?;
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let hooks = answer.lifecycle_hooks().iter().map(|hook| {
        let converted = LifecycleHook {
            lifecycle_transition: text(hook.lifecycle_transition()),
            heartbeat_timeout: hook.heartbeat_timeout().unwrap_or_default(),
            default_result: text(hook.default_result()),
        };
        (text(hook.lifecycle_hook_name()), converted)
    });
    Ok(hooks.collect())
}

/// A group in the words of a wanted one, with what only AWS knows beside it.
fn convert(group: &AutoScalingGroup, cluster: &str) -> Found {
    let notes = TagSet::new(group.tags().iter().map(|tag| (tag.key(), tag.value())));
    let ownership = Ownership::of(&notes.tags, cluster);
    let name = group.auto_scaling_group_name().unwrap_or_default();
    let template = launch_template(group);
    let subnets: BTreeSet<String> = group
        .vpc_zone_identifier()
        .unwrap_or_default()
        .split(',')
        .map(|subnet| subnet.trim().to_owned())
        .filter(|subnet| !subnet.is_empty())
        .collect();
    // AWS also lists the zones that the subnets are in.
    let zones = if subnets.is_empty() { group.availability_zones() } else { &[] };
    let suspended = group.suspended_processes().iter().filter_map(|p| p.process_name());
    let metrics = group.enabled_metrics().iter().filter_map(|metric| metric.metric());

    let resource = Resource::AutoScalingGroup(resource::AutoScalingGroup {
        auto_scaling_group_name: name.to_owned(),
        launch_template_name: template
            .and_then(|template| template.launch_template_name())
            .unwrap_or_default()
            .to_owned(),
        target: Ref::Known(notes.target.unwrap_or_default()),
        mixed_instances_policy: group.mixed_instances_policy().map(mixed_instances_policy),
        min_size: group.min_size().unwrap_or_default(),
        max_size: group.max_size().unwrap_or_default(),
        vpc_zone_identifier: subnets,
        availability_zones: zones.iter().cloned().collect(),
        target_group_arns: group.target_group_arns().iter().cloned().map(Ref::Known).collect(),
        health_check_type: group.health_check_type().unwrap_or_default().to_owned(),
        health_check_grace_period: group.health_check_grace_period().unwrap_or_default(),
        new_instances_protected_from_scale_in: group
            .new_instances_protected_from_scale_in()
            .unwrap_or(false),
        max_instance_lifetime: group.max_instance_lifetime().unwrap_or_default(),
        capacity_rebalance: group.capacity_rebalance().unwrap_or(false),
        suspended_processes: suspended.map(str::to_owned).collect(),
        enabled_metrics: metrics.map(str::to_owned).collect(),
        lifecycle_hooks: BTreeMap::new(),
        tags: group_tags(group),
    });
    let mut found = Found::new(name, resource, ownership)
        .attribute(Attribute::Arn, group.auto_scaling_group_arn())
        .digest(notes.digest)
        .unread(&["lifecycle_hooks"]);
    found.observed.group = Some(GroupFacts {
        desired_capacity: group.desired_capacity().unwrap_or_default(),
        pin: template.and_then(|template| template.version()).and_then(|v| v.parse().ok()),
        failed_revision: notes.failed,
        mark: notes.mark,
        instances: instances(group),
        failed_activity: None,
        abandoned_at: Vec::new(),
    });
    found
}

/// The template that new machines are launched from; with a mixed instances policy it is in there.
fn launch_template(group: &AutoScalingGroup) -> Option<&LaunchTemplateSpecification> {
    let policy = group.mixed_instances_policy().and_then(|policy| policy.launch_template());
    group.launch_template().or_else(|| policy?.launch_template_specification())
}

fn group_tags(group: &AutoScalingGroup) -> BTreeMap<String, GroupTag> {
    let tags = group.tags().iter().filter_map(|tag| {
        let value = tag.value().unwrap_or_default().to_owned();
        let propagate_at_launch = tag.propagate_at_launch().unwrap_or(false);
        Some((tag.key()?.to_owned(), GroupTag { value, propagate_at_launch }))
    });
    tags.filter(|(key, _)| !is_note(key)).collect()
}

/// The machines, terminated ones left out.
fn instances(group: &AutoScalingGroup) -> Vec<Instance> {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let alive = |instance: &&types::Instance| {
        instance.lifecycle_state() != Some(&LifecycleState::Terminated)
    };
    let instances = group.instances().iter().filter(alive).map(|instance| Instance {
        instance_id: text(instance.instance_id()),
        availability_zone: text(instance.availability_zone()),
        instance_type: text(instance.instance_type()),
        lifecycle_state: text(instance.lifecycle_state().map(|state| state.as_str())),
        health_status: text(instance.health_status()),
        launch_template_version: instance
            .launch_template()
            .and_then(|template| template.version()?.parse().ok()),
        protected_from_scale_in: instance.protected_from_scale_in().unwrap_or(false),
    });
    let mut instances: Vec<Instance> = instances.collect();
    instances.sort();
    instances
}

pub(super) fn mixed_instances_policy(policy: &types::MixedInstancesPolicy) -> MixedInstancesPolicy {
    let overrides = policy.launch_template().map(|template| template.overrides());
    let overrides = overrides.unwrap_or_default();
    let requirements = overrides.iter().find_map(|item| item.instance_requirements());
    let distribution = policy.instances_distribution();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let spot_allocation_strategy = text(distribution.and_then(|d| d.spot_allocation_strategy()));
    // Other strategies choose pools themselves.
    let by_pools = spot_allocation_strategy == "lowest-price";
    MixedInstancesPolicy {
        overrides: overrides.iter().filter_map(|i| i.instance_type()).map(str::to_owned).collect(),
        instance_requirements: requirements.map(instance_requirements),
        on_demand_allocation_strategy: text(
            distribution.and_then(|d| d.on_demand_allocation_strategy()),
        ),
        on_demand_base_capacity: distribution
            .and_then(|d| d.on_demand_base_capacity())
            .unwrap_or(0),
        // AWS's default is all on-demand.
        on_demand_percentage_above_base_capacity: distribution
            .and_then(|d| d.on_demand_percentage_above_base_capacity())
            .unwrap_or(100),
        spot_allocation_strategy,
        spot_instance_pools: distribution
            .and_then(|d| d.spot_instance_pools())
            .filter(|_| by_pools),
        spot_max_price: distribution
            .and_then(|d| d.spot_max_price())
            .filter(|price| !price.is_empty())
            .map(str::to_owned),
    }
}

fn instance_requirements(requirements: &types::InstanceRequirements) -> InstanceRequirements {
    let range = |min: Option<i32>, max| RequirementRange { min: min.unwrap_or_default(), max };
    let (vcpus, memory) = (requirements.v_cpu_count(), requirements.memory_mib());
    InstanceRequirements {
        vcpu_count: range(vcpus.and_then(|r| r.min()), vcpus.and_then(|r| r.max())),
        memory_mib: range(memory.and_then(|r| r.min()), memory.and_then(|r| r.max())),
        excluded_instance_types: requirements.excluded_instance_types().iter().cloned().collect(),
    }
}
