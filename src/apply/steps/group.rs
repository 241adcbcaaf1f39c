//! Auto scaling groups. Neither the pin nor the desired capacity of an existing group is ever
//! touched here: they belong to the rolling update and to the autoscaler.

use std::collections::{BTreeMap, BTreeSet};

use super::{Step, StepContext, StepError, immutable, removes_tag};
use crate::cloud::{Call, Observed};
use crate::resource::{AutoScalingGroup, DIGEST_TAG, GroupTag, Ref, TARGET_TAG, read_target};

/// A new group starts at its target's version at once: there is nothing to roll yet. AWS validates
/// nothing of a template at its creation, so the version is proven first, by launching nothing.
pub(super) fn create(
    wanted: &AutoScalingGroup,
    context: &StepContext<'_>,
) -> Result<Vec<Step>, StepError> {
    let version = pinned_version(&wanted.target)?;
    let mut made = wanted.clone();
    made.tags.insert(DIGEST_TAG.to_owned(), own_tag(&context.digest));
    made.tags.insert(TARGET_TAG.to_owned(), own_tag(&wanted.target.to_string()));
    let mut steps = vec![
        prove(wanted, version, context),
        Step::ready(Call::CreateAutoScalingGroup { group: Box::new(made), version }),
    ];
    steps.extend(suspend(&BTreeSet::new(), wanted));
    steps.extend(change_metrics(&BTreeSet::new(), wanted));
    Ok(steps)
}

pub(super) fn update(
    now: &AutoScalingGroup,
    wanted: &AutoScalingGroup,
    observed: &Observed,
    context: &StepContext<'_>,
) -> Result<Vec<Step>, StepError> {
    immutable("launch_template_name", &now.launch_template_name, &wanted.launch_template_name)?;
    let mut steps = Vec::new();
    if now.target != wanted.target {
        // A rolling update launches from it.
        steps.push(prove(wanted, pinned_version(&wanted.target)?, context));
    }
    // A group that leaves a zone is balanced no more before it does, and again only after it has.
    steps.extend(suspend(&now.suspended_processes, wanted));
    if settings_of(now) != settings_of(wanted) {
        let version = pin_for_policy(now, wanted, observed)?;
        let group = Box::new(wanted.clone());
        steps.push(Step::ready(Call::UpdateAutoScalingGroup { group, version }));
    }
    steps.extend(resume(&now.suspended_processes, wanted));
    steps.extend(change_metrics(&now.enabled_metrics, wanted));
    steps.extend(change_target_groups(now, wanted));
    steps.extend(change_hooks(now, wanted));
    steps.extend(change_tags(now, wanted, observed, context));
    Ok(steps)
}

pub(super) fn delete(now: &AutoScalingGroup, context: &StepContext<'_>) -> Vec<Step> {
    vec![Step::ready(Call::DeleteAutoScalingGroup {
        auto_scaling_group_name: now.auto_scaling_group_name.clone(),
        force: context.destroys,
    })]
}

fn prove(wanted: &AutoScalingGroup, version: u64, context: &StepContext<'_>) -> Step {
    Step::ready(Call::ProveLaunchTemplateVersion {
        launch_template_name: wanted.launch_template_name.clone(),
        version,
        // A group that names zones has its subnet from the template's interface.
        subnet_id: wanted.vpc_zone_identifier.first().cloned(),
        network_interfaces: context.launch_interfaces.clone(),
    })
}

/// The pin as it is, where the mixed instances policy changes: AWS takes the two together. A group
/// that somebody let follow `$Latest` has none; it gets the version that it should go to.
fn pin_for_policy(
    now: &AutoScalingGroup,
    wanted: &AutoScalingGroup,
    observed: &Observed,
) -> Result<Option<u64>, StepError> {
    if now.mixed_instances_policy == wanted.mixed_instances_policy {
        return Ok(None);
    }
    let pin = observed.group.as_ref().and_then(|facts| facts.pin);
    pin.map_or_else(|| pinned_version(&wanted.target), Ok).map(Some)
}

/// The numeric version in a target `<version>:<revision>`.
fn pinned_version(target: &Ref) -> Result<u64, StepError> {
    let text = target.known().ok_or_else(|| StepError::Unresolved(target.to_string()))?;
    let version = read_target(text).map(|(version, _)| version);
    version.ok_or(StepError::Incomplete("a numeric launch template version"))
}

fn own_tag(value: &str) -> GroupTag {
    GroupTag { value: value.to_owned(), propagate_at_launch: false }
}

/// The group with everything blanked that `UpdateAutoScalingGroup` does not set. By subtraction, so
/// that a new field counts as a setting until somebody says otherwise.
fn settings_of(group: &AutoScalingGroup) -> AutoScalingGroup {
    AutoScalingGroup {
        target: Ref::Known(String::new()),
        target_group_arns: BTreeSet::new(),
        suspended_processes: BTreeSet::new(),
        enabled_metrics: BTreeSet::new(),
        lifecycle_hooks: BTreeMap::new(),
        tags: BTreeMap::new(),
        ..group.clone()
    }
}

fn suspend(now: &BTreeSet<String>, wanted: &AutoScalingGroup) -> Option<Step> {
    let processes: BTreeSet<String> = wanted.suspended_processes.difference(now).cloned().collect();
    let auto_scaling_group_name = wanted.auto_scaling_group_name.clone();
    (!processes.is_empty())
        .then(|| Step::ready(Call::SuspendProcesses { auto_scaling_group_name, processes }))
}

fn resume(now: &BTreeSet<String>, wanted: &AutoScalingGroup) -> Option<Step> {
    let processes: BTreeSet<String> =
        now.difference(&wanted.suspended_processes).cloned().collect();
    let auto_scaling_group_name = wanted.auto_scaling_group_name.clone();
    (!processes.is_empty())
        .then(|| Step::ready(Call::ResumeProcesses { auto_scaling_group_name, processes }))
}

fn change_metrics(now: &BTreeSet<String>, wanted: &AutoScalingGroup) -> Vec<Step> {
    let name = &wanted.auto_scaling_group_name;
    let mut steps = Vec::new();
    let enable: BTreeSet<String> = wanted.enabled_metrics.difference(now).cloned().collect();
    let disable: BTreeSet<String> = now.difference(&wanted.enabled_metrics).cloned().collect();
    if !enable.is_empty() {
        steps.push(Step::ready(Call::EnableMetricsCollection {
            auto_scaling_group_name: name.clone(),
            metrics: enable,
        }));
    }
    if !disable.is_empty() {
        steps.push(Step::ready(Call::DisableMetricsCollection {
            auto_scaling_group_name: name.clone(),
            metrics: disable,
        }));
    }
    steps
}

/// Attached before others are detached: a machine is never out of every target group.
fn change_target_groups(now: &AutoScalingGroup, wanted: &AutoScalingGroup) -> Vec<Step> {
    let name = &wanted.auto_scaling_group_name;
    let arns = |from: &BTreeSet<Ref>, without: &BTreeSet<Ref>| -> BTreeSet<String> {
        from.difference(without).map(Ref::to_string).collect()
    };
    let attach = arns(&wanted.target_group_arns, &now.target_group_arns);
    let detach = arns(&now.target_group_arns, &wanted.target_group_arns);
    let mut steps = Vec::new();
    if !attach.is_empty() {
        steps.push(Step::ready(Call::AttachLoadBalancerTargetGroups {
            auto_scaling_group_name: name.clone(),
            arns: attach,
        }));
    }
    if !detach.is_empty() {
        steps.push(Step::ready(Call::DetachLoadBalancerTargetGroups {
            auto_scaling_group_name: name.clone(),
            arns: detach,
        }));
    }
    steps
}

fn change_hooks(now: &AutoScalingGroup, wanted: &AutoScalingGroup) -> Vec<Step> {
    let group = &wanted.auto_scaling_group_name;
    let put = wanted
        .lifecycle_hooks
        .iter()
        .filter(|(name, hook)| now.lifecycle_hooks.get(*name) != Some(hook))
        .map(|(name, hook)| Call::PutLifecycleHook {
            auto_scaling_group_name: group.clone(),
            name: name.clone(),
            hook: hook.clone(),
        });
    let remove =
        now.lifecycle_hooks.keys().filter(|name| !wanted.lifecycle_hooks.contains_key(*name)).map(
            |name| Call::DeleteLifecycleHook {
                auto_scaling_group_name: group.clone(),
                name: name.clone(),
            },
        );
    put.chain(remove).map(Step::ready).collect()
}

/// The target goes with the other tags, in one call, last: what it points to is all there by then.
fn change_tags(
    now: &AutoScalingGroup,
    wanted: &AutoScalingGroup,
    observed: &Observed,
    context: &StepContext<'_>,
) -> Vec<Step> {
    let name = &wanted.auto_scaling_group_name;
    let mut set: BTreeMap<String, GroupTag> = wanted
        .tags
        .iter()
        .filter(|(key, tag)| now.tags.get(*key) != Some(tag))
        .map(|(key, tag)| (key.clone(), tag.clone()))
        .collect();
    if now.target != wanted.target {
        set.insert(TARGET_TAG.to_owned(), own_tag(&wanted.target.to_string()));
    }
    if observed.digest.as_deref() != Some(context.digest.as_str()) {
        set.insert(DIGEST_TAG.to_owned(), own_tag(&context.digest));
    }
    let remove: BTreeSet<String> = now
        .tags
        .keys()
        .filter(|key| !wanted.tags.contains_key(*key) && removes_tag(key))
        .cloned()
        .collect();
    let mut steps = Vec::new();
    if !set.is_empty() {
        let auto_scaling_group_name = name.clone();
        steps.push(Step::ready(Call::CreateOrUpdateTags { auto_scaling_group_name, tags: set }));
    }
    if !remove.is_empty() {
        let auto_scaling_group_name = name.clone();
        steps.push(Step::ready(Call::DeleteGroupTags { auto_scaling_group_name, keys: remove }));
    }
    steps
}
