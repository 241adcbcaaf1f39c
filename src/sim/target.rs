//! Machines registered with target groups: checked, in use, and let go with a delay.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::clock::{Event, Time};
use super::{Answer, Lifecycle, Machine, Power, Refused, World};
use crate::cloud::{CloudError, Reply, TargetState, TargetsByGroup};
use crate::resource::{Ref, TargetGroup};

/// A machine's place in a target group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Where it is; whether the machine is well is seen when it is read.
    pub state: TargetState,
    /// When it goes on; none once it is in use.
    pub until: Option<Time>,
}

impl World {
    /// Instances that are registered with a target group and not on their way out.
    pub fn targets(&self, target_group_arn: &str) -> BTreeSet<String> {
        let registered = self.registrations.get(target_group_arn).into_iter().flatten();
        let stays = registered.filter(|(_, known)| known.state != TargetState::Draining);
        stays.map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn register_targets(&mut self, arn: &str, ids: &BTreeSet<String>) -> Answer {
        self.target_group(arn)?;
        check_targets(ids)?;
        for id in ids {
            let machine = self.machines.get(id).filter(|m| m.power != Power::Terminated);
            let Some(machine) = machine else {
                return Err(invalid_target(format!("Instance ID '{id}' is not valid")));
            };
            if machine.power != Power::Running {
                return Err(invalid_target(format!(
                    "The following targets are not in a running state and cannot be registered: \
                     '{id}'"
                )));
            }
        }
        for id in ids {
            self.register(arn, id);
        }
        Ok(Reply::default())
    }

    /// One that is not registered is none to deregister: AWS says nothing.
    pub(super) fn deregister_targets(&mut self, arn: &str, ids: &BTreeSet<String>) -> Answer {
        self.target_group(arn)?;
        check_targets(ids)?;
        for id in ids {
            self.deregister(arn, id);
        }
        Ok(Reply::default())
    }

    /// A machine that serves gets into its group's target groups.
    pub(super) fn add_to_target_groups(&mut self, instance_id: &str) {
        let Some(machine) = self.machines.get(instance_id) else { return };
        let group = machine.group.as_ref().and_then(|name| self.groups.get(name));
        let Some(stored) = group.filter(|stored| stored.runs("AddToLoadBalancer")) else { return };
        let arns: Vec<String> = stored
            .group
            .target_group_arns
            .iter()
            .filter_map(Ref::known)
            .map(str::to_owned)
            .collect();
        for arn in arns {
            self.register(&arn, instance_id);
        }
    }

    /// Machines that serve in a group get into target groups that are attached to it.
    pub(super) fn add_members_to_targets(&mut self, group: &str, arns: &BTreeSet<String>) {
        for id in self.serving_members(group) {
            for arn in arns {
                self.register(arn, &id);
            }
        }
    }

    /// Machines of a group leave target groups that are detached from it.
    pub(super) fn take_members_from_targets(&mut self, group: &str, arns: &BTreeSet<String>) {
        for id in self.serving_members(group) {
            for arn in arns {
                self.deregister(arn, &id);
            }
        }
    }

    fn serving_members(&self, group: &str) -> Vec<String> {
        let serve = |machine: &&Machine| machine.lifecycle == Lifecycle::InService;
        self.members(group).filter(serve).map(|machine| machine.instance_id.clone()).collect()
    }

    fn register(&mut self, arn: &str, instance_id: &str) {
        let Some(stored) = self.target_groups.get(arn) else { return };
        let until = self.now.plus_secs(first_checks_secs(&stored.target_group));
        let registered = self.registrations.entry(arn.to_owned()).or_default();
        let known = registered.get(instance_id);
        if known.is_some_and(|known| known.state != TargetState::Draining) {
            return;
        }
        let registration = Registration { state: TargetState::Initial, until: Some(until) };
        registered.insert(instance_id.to_owned(), registration);
        self.schedule(until, target_event(arn, instance_id));
    }

    /// Starts the end of a registration, and tells when it is over; none for what is not registered.
    fn deregister(&mut self, arn: &str, instance_id: &str) -> Option<Time> {
        let delay = self.target_groups.get(arn)?.target_group.deregistration_delay_seconds;
        let until = self.now.plus_secs(u64::from(delay));
        let known = self.registrations.get_mut(arn)?.get_mut(instance_id)?;
        if known.state == TargetState::Draining {
            return known.until;
        }
        *known = Registration { state: TargetState::Draining, until: Some(until) };
        self.schedule(until, target_event(arn, instance_id));
        Some(until)
    }

    /// Takes a machine out of all target groups, and tells when the last one lets it go.
    pub(super) fn deregister_everywhere(&mut self, instance_id: &str) -> Option<Time> {
        let holds = |(arn, registered): (&String, &BTreeMap<String, Registration>)| {
            registered.contains_key(instance_id).then(|| arn.clone())
        };
        let arns: Vec<String> = self.registrations.iter().filter_map(holds).collect();
        arns.iter().filter_map(|arn| self.deregister(arn, instance_id)).max()
    }

    /// A registration's time has come. One that began anew meanwhile has another time.
    pub(super) fn target_falls_due(&mut self, arn: &str, instance_id: &str) {
        let now = self.now;
        let Some(registered) = self.registrations.get_mut(arn) else { return };
        let Some(known) = registered.get_mut(instance_id) else { return };
        if known.until.is_none_or(|until| until > now) {
            return;
        }
        if known.state == TargetState::Draining {
            registered.remove(instance_id);
        } else {
            *known = Registration { state: TargetState::Healthy, until: None };
        }
    }

    /// Reads what target groups do with the machines registered with them.
    ///
    /// # Errors
    /// When the fault plan says so.
    pub fn read_targets(&mut self, arns: &BTreeSet<String>) -> Result<TargetsByGroup, CloudError> {
        let mut found = TargetsByGroup::new();
        for arn in arns {
            self.begin_read("DescribeTargetHealth")?;
            self.record("DescribeTargetHealth", false, "ok");
            if self.target_groups.by_key(arn, self.now).is_none() {
                continue;
            }
            let is_used = self
                .listeners
                .values()
                .any(|known| known.listener.target_group_arn.known() == Some(arn));
            let registered = self.registrations.get(arn).into_iter().flatten();
            let states =
                registered.map(|(id, known)| (id.clone(), self.state_of(id, *known, is_used)));
            found.insert(arn.clone(), states.collect());
        }
        Ok(found)
    }

    fn state_of(&self, instance_id: &str, known: Registration, is_used: bool) -> TargetState {
        let machine = self.machines.get(instance_id);
        if !is_used || machine.is_none_or(|machine| machine.power != Power::Running) {
            return TargetState::Unused;
        }
        let is_well = machine.is_some_and(|m| !m.is_impaired && !m.is_asleep && m.fault.is_none());
        match known.state {
            TargetState::Healthy | TargetState::Initial if !is_well => TargetState::Unhealthy,
            state => state,
        }
    }
}

/// Seconds until a new target has passed its first checks.
fn first_checks_secs(group: &TargetGroup) -> u64 {
    let check = &group.health_check;
    let secs = check.interval_seconds.saturating_mul(check.healthy_threshold_count);
    u64::try_from(secs).unwrap_or(0)
}

fn target_event(arn: &str, instance_id: &str) -> Event {
    Event::Target { target_group_arn: arn.to_owned(), instance_id: instance_id.to_owned() }
}

fn check_targets(ids: &BTreeSet<String>) -> Result<(), Refused> {
    if !ids.is_empty() {
        return Ok(());
    }
    Err(Refused::invalid("ValidationError", "At least one target must be specified"))
}

fn invalid_target(message: String) -> Refused {
    Refused::invalid("InvalidTarget", message)
}
