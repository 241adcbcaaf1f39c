//! Auto scaling groups: their settings. What they do with their machines is in `launch` and
//! `machine`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::clock::Time;
use super::{Answer, Refused, World, check_tags};
use crate::cloud::{CloudErrorKind, Reply};
use crate::resource::{AutoScalingGroup, GroupTag, LifecycleHook, MixedInstancesPolicy, Ref};

/// An auto scaling group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredGroup {
    /// Its settings; every tag is among `tags`, and `target` is not looked at.
    pub group: AutoScalingGroup,
    /// The launch template version that new machines get.
    pub version: u64,
    /// Machines that it should have.
    pub desired_capacity: i32,
    /// Whether it was deleted by force and waits for its last machine to end.
    pub is_pending_delete: bool,
}

impl StoredGroup {
    /// Whether a process goes on.
    pub(super) fn runs(&self, process: &str) -> bool {
        !self.group.suspended_processes.contains(process)
    }
}

/// What a group is busy with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// When it looks at its machines next; none while all is well.
    pub check_at: Option<Time>,
    /// Launches that failed since the last one that worked.
    pub failures: u32,
    /// Scaling activities, oldest first.
    pub activities: VecDeque<Activity>,
}

/// A scaling activity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// When.
    pub at: Time,
    /// What was tried.
    pub description: String,
    /// `Successful` or `Failed`.
    pub status: String,
    /// Why it failed.
    pub message: String,
    /// Why it came to it; empty where nobody asks.
    #[serde(default)]
    pub cause: String,
}

impl Work {
    /// Activities that are kept.
    const ACTIVITIES_MAX: usize = 50;

    pub(super) fn note(&mut self, activity: Activity) {
        if self.activities.len() >= Self::ACTIVITIES_MAX {
            self.activities.pop_front();
        }
        self.activities.push_back(activity);
    }
}

impl World {
    /// How soon a group looks at its machines after a change, in milliseconds.
    const RECONCILE_MS: u64 = 3_000;

    /// Makes a group. Processes are suspended and metrics enabled by calls of their own, as in AWS.
    pub(super) fn create_group(&mut self, wanted: &AutoScalingGroup, version: u64) -> Answer {
        let name = wanted.auto_scaling_group_name.as_str();
        if let Some(known) = self.groups.get(name) {
            let (kind, what) = if known.is_pending_delete {
                (CloudErrorKind::InUse, "is pending delete")
            } else {
                (CloudErrorKind::AlreadyExists, "already exists")
            };
            let message = format!("AutoScalingGroup by this name already exists: {name} {what}");
            return Err(Refused::new(kind, "AlreadyExists", message));
        }
        let is_name =
            !name.is_empty() && name.len() <= 255 && name.chars().all(|c| !c.is_control());
        if !is_name || name.contains(':') {
            return Err(invalid(format!("group names take 1 to 255 characters, no colon: {name}")));
        }
        self.check_group(wanted)?;
        check_group_tags(&wanted.tags)?;
        for (hook_name, hook) in &wanted.lifecycle_hooks {
            check_hook(hook_name, hook)?;
        }
        self.check_target_groups(wanted.target_group_arns.iter().filter_map(Ref::known))?;
        self.check_group_launch(wanted, version)?;
        let group = AutoScalingGroup {
            suspended_processes: BTreeSet::new(),
            enabled_metrics: BTreeSet::new(),
            ..wanted.clone()
        };
        let stored = StoredGroup {
            desired_capacity: group.min_size,
            group,
            version,
            is_pending_delete: false,
        };
        let visibility = self.visibility();
        self.groups.put(name, stored, visibility);
        self.works.insert(name.to_owned(), Work::default());
        self.wake(name);
        Ok(Reply::default())
    }

    /// Changes the settings. Desired capacity follows only when it falls outside of the new limits.
    /// How machines are launched changes only with a version.
    pub(super) fn update_group(
        &mut self,
        wanted: &AutoScalingGroup,
        version: Option<u64>,
    ) -> Answer {
        let name = wanted.auto_scaling_group_name.clone();
        let stored = self.group(&name)?;
        let policy = match version {
            Some(_) => wanted.mixed_instances_policy.clone(),
            None => stored.group.mixed_instances_policy.clone(),
        };
        let group = AutoScalingGroup {
            launch_template_name: stored.group.launch_template_name.clone(),
            target: stored.group.target.clone(),
            mixed_instances_policy: policy,
            target_group_arns: stored.group.target_group_arns.clone(),
            suspended_processes: stored.group.suspended_processes.clone(),
            enabled_metrics: stored.group.enabled_metrics.clone(),
            lifecycle_hooks: stored.group.lifecycle_hooks.clone(),
            tags: stored.group.tags.clone(),
            ..wanted.clone()
        };
        self.check_group(&group)?;
        if let Some(version) = version {
            self.check_group_launch(&group, version)?;
        }
        let version = version.unwrap_or(stored.version);
        let desired_capacity = stored.desired_capacity.clamp(group.min_size, group.max_size);
        self.put_group(StoredGroup { group, version, desired_capacity, ..stored })
    }

    pub(super) fn tag_group(&mut self, name: &str, tags: &BTreeMap<String, GroupTag>) -> Answer {
        let mut stored = self.group(name)?;
        stored.group.tags.extend(tags.iter().map(|(key, tag)| (key.clone(), tag.clone())));
        check_group_tags(&stored.group.tags)?;
        self.put_group(stored)
    }

    pub(super) fn untag_group(&mut self, name: &str, keys: &BTreeSet<String>) -> Answer {
        let mut stored = self.group(name)?;
        stored.group.tags.retain(|key, _| !keys.contains(key));
        self.put_group(stored)
    }

    pub(super) fn suspend_processes(&mut self, name: &str, some: &BTreeSet<String>) -> Answer {
        let mut stored = self.group(name)?;
        check_processes(some)?;
        stored.group.suspended_processes.extend(some.iter().cloned());
        self.put_group(stored)
    }

    pub(super) fn resume_processes(&mut self, name: &str, some: &BTreeSet<String>) -> Answer {
        let mut stored = self.group(name)?;
        check_processes(some)?;
        stored.group.suspended_processes.retain(|process| !some.contains(process));
        self.put_group(stored)
    }

    pub(super) fn enable_metrics(&mut self, name: &str, some: &BTreeSet<String>) -> Answer {
        let mut stored = self.group(name)?;
        if let Some(unknown) = some.iter().find(|metric| !METRICS.contains(&metric.as_str())) {
            return Err(invalid(format!("{unknown} is no group metric")));
        }
        stored.group.enabled_metrics.extend(some.iter().cloned());
        self.put_group(stored)
    }

    pub(super) fn disable_metrics(&mut self, name: &str, some: &BTreeSet<String>) -> Answer {
        let mut stored = self.group(name)?;
        stored.group.enabled_metrics.retain(|metric| !some.contains(metric));
        self.put_group(stored)
    }

    pub(super) fn attach_target_groups(&mut self, name: &str, arns: &BTreeSet<String>) -> Answer {
        let mut stored = self.group(name)?;
        self.check_target_groups(arns.iter().map(String::as_str))?;
        stored.group.target_group_arns.extend(arns.iter().cloned().map(Ref::Known));
        if stored.runs("AddToLoadBalancer") {
            self.add_members_to_targets(name, arns);
        }
        self.put_group(stored)
    }

    pub(super) fn detach_target_groups(&mut self, name: &str, arns: &BTreeSet<String>) -> Answer {
        let mut stored = self.group(name)?;
        let is_kept = |arn: &Ref| !arn.known().is_some_and(|arn| arns.contains(arn));
        stored.group.target_group_arns.retain(is_kept);
        self.take_members_from_targets(name, arns);
        self.put_group(stored)
    }

    pub(super) fn put_hook(&mut self, name: &str, hook_name: &str, hook: &LifecycleHook) -> Answer {
        const HOOKS_MAX: usize = 50;
        let mut stored = self.group(name)?;
        check_hook(hook_name, hook)?;
        stored.group.lifecycle_hooks.insert(hook_name.to_owned(), hook.clone());
        if stored.group.lifecycle_hooks.len() > HOOKS_MAX {
            return Err(Refused::quota("LimitExceeded", "a group takes 50 lifecycle hooks"));
        }
        self.put_group(stored)
    }

    pub(super) fn delete_hook(&mut self, name: &str, hook_name: &str) -> Answer {
        let mut stored = self.group(name)?;
        if stored.group.lifecycle_hooks.remove(hook_name).is_none() {
            return Err(Refused::not_found(
                "ValidationError",
                format!("no lifecycle hook found with name: {hook_name}"),
            ));
        }
        self.put_group(stored)
    }

    pub(super) fn delete_group(&mut self, name: &str, force: bool) -> Answer {
        let mut stored = self.group(name)?;
        if self.members(name).next().is_none() {
            self.remove_group(name);
            return Ok(Reply::default());
        }
        if !force {
            return Err(Refused::in_use(
                "ResourceInUse",
                "you cannot delete an AutoScalingGroup while there are instances in it",
            ));
        }
        stored.is_pending_delete = true;
        stored.group.min_size = 0;
        stored.desired_capacity = 0;
        let answer = self.put_group(stored);
        let members: Vec<String> = self.members(name).map(|m| m.instance_id.clone()).collect();
        for instance_id in members {
            self.end_machine(&instance_id);
        }
        answer
    }

    pub(super) fn remove_group(&mut self, name: &str) {
        let visibility = self.visibility();
        self.groups.remove(name, visibility);
        self.works.remove(name);
    }

    /// A group as a mutating call knows it.
    pub(super) fn group(&self, name: &str) -> Result<StoredGroup, Refused> {
        let stored = self.groups.usable(name, self.now).cloned().ok_or_else(|| {
            Refused::not_found(
                "ValidationError",
                format!("AutoScalingGroup name not found - no such group: {name}"),
            )
        })?;
        if stored.is_pending_delete {
            return Err(Refused::in_use(
                "ScalingActivityInProgress",
                format!("AutoScalingGroup {name} is pending delete"),
            ));
        }
        Ok(stored)
    }

    pub(super) fn put_group(&mut self, stored: StoredGroup) -> Answer {
        let name = stored.group.auto_scaling_group_name.clone();
        let visibility = self.visibility();
        self.groups.put(&name, stored, visibility);
        self.wake(&name);
        Ok(Reply::default())
    }

    /// Has a group look at its machines soon.
    pub(super) fn wake(&mut self, name: &str) {
        let soon = self.now.plus_ms(Self::RECONCILE_MS);
        if let Some(work) = self.works.get_mut(name) {
            work.check_at = Some(work.check_at.map_or(soon, |at| at.min(soon)));
        }
    }

    fn check_target_groups<'a>(&self, arns: impl Iterator<Item = &'a str>) -> Result<(), Refused> {
        for arn in arns {
            self.target_group(arn)
                .map_err(|refused| Refused { code: "ValidationError".to_owned(), ..refused })?;
        }
        Ok(())
    }

    pub(super) fn check_group(&self, group: &AutoScalingGroup) -> Result<(), Refused> {
        if group.min_size < 0 || group.max_size < group.min_size {
            return Err(invalid(format!(
                "min size {} and max size {} do not fit",
                group.min_size, group.max_size
            )));
        }
        if !matches!(group.health_check_type.as_str(), "EC2" | "ELB") {
            return Err(invalid(format!("invalid health check type {}", group.health_check_type)));
        }
        if group.health_check_grace_period < 0 {
            return Err(invalid("the health check grace period is negative".to_owned()));
        }
        const DAY_SECS: i32 = 86_400;
        const YEAR_SECS: i32 = 31_536_000;
        let lifetime = group.max_instance_lifetime;
        if lifetime != 0 && !(DAY_SECS..=YEAR_SECS).contains(&lifetime) {
            return Err(invalid(format!(
                "maximum instance lifetime {lifetime} is not 0 or a day to a year"
            )));
        }
        for subnet_id in &group.vpc_zone_identifier {
            if !self.subnets.contains_key(subnet_id) {
                return Err(Refused::not_found(
                    "ValidationError",
                    format!("the subnet ID '{subnet_id}' does not exist"),
                ));
            }
        }
        for zone in &group.availability_zones {
            if !self.subnets.values().any(|subnet| subnet.availability_zone == *zone) {
                return Err(invalid(format!("{zone} is no availability zone of {}", self.region)));
            }
        }
        if group.vpc_zone_identifier.is_empty() == group.availability_zones.is_empty() {
            return Err(invalid("give either subnets or availability zones".to_owned()));
        }
        group.mixed_instances_policy.as_ref().map_or(Ok(()), check_policy)
    }
}

/// Group metrics (Amazon EC2 Auto Scaling API Reference, EnableMetricsCollection).
const METRICS: [&str; 23] = [
    "GroupMinSize",
    "GroupMaxSize",
    "GroupDesiredCapacity",
    "GroupInServiceInstances",
    "GroupPendingInstances",
    "GroupStandbyInstances",
    "GroupTerminatingInstances",
    "GroupTotalInstances",
    "GroupInServiceCapacity",
    "GroupPendingCapacity",
    "GroupStandbyCapacity",
    "GroupTerminatingCapacity",
    "GroupTotalCapacity",
    "GroupTerminatingRetainedInstances",
    "GroupTerminatingRetainedCapacity",
    "WarmPoolDesiredCapacity",
    "WarmPoolWarmedCapacity",
    "WarmPoolPendingCapacity",
    "WarmPoolTerminatingCapacity",
    "WarmPoolTotalCapacity",
    "WarmPoolPendingRetainedCapacity",
    "GroupAndWarmPoolDesiredCapacity",
    "GroupAndWarmPoolTotalCapacity",
];

/// Processes (Amazon EC2 Auto Scaling User Guide, "Types of processes").
const PROCESSES: [&str; 9] = [
    "Launch",
    "Terminate",
    "AddToLoadBalancer",
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "ReplaceUnhealthy",
    "ScheduledActions",
];

fn check_processes(some: &BTreeSet<String>) -> Result<(), Refused> {
    match some.iter().find(|process| !PROCESSES.contains(&process.as_str())) {
        Some(unknown) => Err(invalid(format!("{unknown} is no scaling process"))),
        None => Ok(()),
    }
}

fn check_hook(name: &str, hook: &LifecycleHook) -> Result<(), Refused> {
    let is_valid = !name.is_empty()
        && name.len() <= 255
        && super::is_made_of(name, "-_/")
        && matches!(
            hook.lifecycle_transition.as_str(),
            "autoscaling:EC2_INSTANCE_LAUNCHING" | "autoscaling:EC2_INSTANCE_TERMINATING"
        )
        && (30..=7200).contains(&hook.heartbeat_timeout)
        && matches!(hook.default_result.as_str(), "CONTINUE" | "ABANDON");
    if is_valid { Ok(()) } else { Err(invalid(format!("lifecycle hook {name} is not valid"))) }
}

fn check_policy(policy: &MixedInstancesPolicy) -> Result<(), Refused> {
    const OVERRIDES_MAX: usize = 40;
    if policy.overrides.len() > OVERRIDES_MAX {
        return Err(invalid(format!("a mixed instances policy takes {OVERRIDES_MAX} overrides")));
    }
    let unique: BTreeSet<&String> = policy.overrides.iter().collect();
    if unique.len() != policy.overrides.len() {
        return Err(invalid("an instance type is named twice in the overrides".to_owned()));
    }
    if !policy.overrides.is_empty() && policy.instance_requirements.is_some() {
        return Err(invalid("overrides name types or requirements, not both".to_owned()));
    }
    let by_requirements = policy.instance_requirements.is_some();
    let on_demand: &[&str] =
        if by_requirements { &["lowest-price"] } else { &["prioritized", "lowest-price"] };
    if !on_demand.contains(&policy.on_demand_allocation_strategy.as_str()) {
        return Err(invalid(format!(
            "on-demand allocation strategy {} is not valid here",
            policy.on_demand_allocation_strategy
        )));
    }
    let strategy = policy.spot_allocation_strategy.as_str();
    let is_strategy = matches!(
        strategy,
        "lowest-price"
            | "capacity-optimized"
            | "capacity-optimized-prioritized"
            | "price-capacity-optimized"
    );
    if !is_strategy {
        return Err(invalid(format!("spot allocation strategy {strategy} is not valid")));
    }
    if policy.spot_instance_pools.is_some() && strategy != "lowest-price" {
        return Err(invalid("spot instance pools go with lowest-price only".to_owned()));
    }
    if policy.on_demand_base_capacity < 0
        || !(0..=100).contains(&policy.on_demand_percentage_above_base_capacity)
    {
        return Err(invalid("on-demand base or percentage is out of range".to_owned()));
    }
    Ok(())
}

fn check_group_tags(tags: &BTreeMap<String, GroupTag>) -> Result<(), Refused> {
    check_tags(tags.iter().map(|(key, tag)| (key, &tag.value)))
}

pub(super) fn invalid(message: String) -> Refused {
    Refused::invalid("ValidationError", message)
}
