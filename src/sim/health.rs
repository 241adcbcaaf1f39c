//! What befalls machines without their group's doing, and how the group finds out: instances that
//! anybody ends, spot capacity that EC2 takes back, status checks that fail, zones that go out.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::{Event, Time};
use super::{Answer, Lifecycle, Machine, Power, Refused, StoredGroup, World};
use crate::cloud::shortfall::unasked_ends;
use crate::cloud::{CloudError, Reply};

/// What a zone's outage does to its machines. None are launched there meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// They cannot be reached, and come back with the zone if nobody has ended them.
    Impaired,
    /// They are lost.
    Ended,
}

impl World {
    /// Seconds until a group notices that an instance does not run any more: the least, and what
    /// chance adds.
    const SHUTDOWN_NOTICED_SECS: (u64, u64) = (10, 20);
    /// Seconds for which status checks have to fail until a group calls a machine unhealthy.
    /// Source: Auto Scaling user guide, "Health checks for instances": it waits a few minutes for an
    /// impaired instance to recover.
    const IMPAIRED_NOTICED_SECS: u64 = 180;
    /// Seconds from a spot instance's notice to its end.
    /// Source: EC2 user guide, "Spot Instance interruption notices".
    const SPOT_NOTICE_SECS: u64 = 120;
    /// How long AWS knows of an instance that has ended, in milliseconds: about an hour.
    /// Source: EC2 user guide, "Terminate Amazon EC2 instances".
    const ENDED_KNOWN_MS: u64 = 3_600_000;

    /// Ends an instance, as EC2 does when anybody asks; its group replaces it once it notices.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn terminate_instance(&mut self, instance_id: &str) -> Result<(), String> {
        let ids = [instance_id.to_owned()].into();
        self.terminate_instances(&ids).map(|_| ()).map_err(|refused| refused.message)
    }

    pub(super) fn terminate_instances(&mut self, ids: &BTreeSet<String>) -> Answer {
        let now = self.now;
        self.ended.retain(|_, at| now.since_ms(*at) < Self::ENDED_KNOWN_MS);
        if ids.is_empty() {
            return Err(Refused::invalid("MissingParameter", "name the instances to end"));
        }
        for id in ids.iter().filter(|id| !self.ended.contains_key(*id)) {
            self.instance(id)?;
        }
        for id in ids {
            self.shut_down(id);
        }
        Ok(Reply::default())
    }

    /// An instance ends, whoever wanted it. No hook of its group holds it.
    fn shut_down(&mut self, instance_id: &str) {
        let Some(machine) = self.machines.get(instance_id) else { return };
        if machine.power >= Power::ShuttingDown {
            return;
        }
        if matches!(machine.lifecycle, Lifecycle::Deregistering | Lifecycle::TerminatingWait) {
            return self.start_terminating(instance_id);
        }
        if machine.lifecycle == Lifecycle::Detaching {
            self.leave_group(instance_id);
        }
        let ends = self.end_of_now();
        let (least, spread) = Self::SHUTDOWN_NOTICED_SECS;
        let noticed = self.now.plus_secs(least + self.draw(spread));
        self.shade(instance_id);
        let Some(machine) = self.machines.get_mut(instance_id) else { return };
        machine.power = Power::ShuttingDown;
        machine.due = None;
        self.cluster_follows(instance_id);
        let instance_id = instance_id.to_owned();
        self.schedule(ends, Event::Ended { instance_id: instance_id.clone() });
        self.is_broken_from(&instance_id, noticed);
    }

    /// An instance has ended. Its group may not have noticed, and lists it until it does.
    pub(super) fn instance_has_ended(&mut self, instance_id: &str) {
        self.release(instance_id);
        self.shade(instance_id);
        let Some(machine) = self.machines.get_mut(instance_id) else { return };
        machine.power = Power::Terminated;
        let ended = machine.clone();
        if ended.group.is_none() {
            self.machines.remove(instance_id);
            self.ended.insert(instance_id.to_owned(), self.now);
        }
        self.cluster_loses(&ended);
    }

    /// EC2 tells a spot instance that it takes it back in two minutes, and does.
    ///
    /// # Errors
    /// When there is no such instance, or it is none of spot.
    pub fn reclaim_spot(&mut self, instance_id: &str) -> Result<(), String> {
        let at = self.now.plus_secs(Self::SPOT_NOTICE_SECS);
        let machine = self.machines.get_mut(instance_id);
        let machine =
            machine.ok_or_else(|| format!("the instance ID '{instance_id}' does not exist"))?;
        if !machine.is_spot {
            return Err(format!("instance {instance_id} is no spot instance"));
        }
        if machine.reclaimed_at.is_none() {
            machine.reclaimed_at = Some(at);
            self.schedule(at, Event::Reclaimed { instance_id: instance_id.to_owned() });
        }
        Ok(())
    }

    pub(super) fn spot_is_reclaimed(&mut self, instance_id: &str) {
        self.shut_down(instance_id);
    }

    /// The system of a machine does not work from now on: EC2's status checks fail, and its group
    /// gives it up after a while.
    pub fn impair(&mut self, instance_id: &str) {
        let Some(machine) = self.machines.get_mut(instance_id) else { return };
        if machine.is_impaired || machine.power >= Power::ShuttingDown {
            return;
        }
        machine.is_impaired = true;
        let group = machine.group.as_ref().and_then(|name| self.groups.get(name));
        let grace = group.map_or(0, |stored| stored.group.health_check_grace_period);
        let grace = u64::try_from(grace).unwrap_or(0);
        let Some(machine) = self.machines.get(instance_id) else { return };
        let graced = machine.launched_at.plus_secs(grace);
        let noticed = self.now.plus_secs(Self::IMPAIRED_NOTICED_SECS).max(graced);
        self.is_broken_from(instance_id, noticed);
        self.cluster_follows(instance_id);
    }

    /// The system of a machine works again. What its group has given up stays so.
    pub fn repair(&mut self, instance_id: &str) {
        let Some(machine) = self.machines.get_mut(instance_id) else { return };
        machine.is_impaired = false;
        if machine.power == Power::Running {
            machine.noticed_at = None;
        }
        self.cluster_follows(instance_id);
    }

    /// A zone goes out.
    pub fn begin_outage(&mut self, zone: &str, outage: Outage) {
        self.faults.zones_out.insert(zone.to_owned());
        for instance_id in self.machines_in(zone) {
            match outage {
                Outage::Impaired => self.impair(&instance_id),
                Outage::Ended => self.shut_down(&instance_id),
            }
        }
    }

    /// A zone is back, with those of its machines that nobody has ended.
    pub fn end_outage(&mut self, zone: &str) {
        self.faults.zones_out.remove(zone);
        for instance_id in self.machines_in(zone) {
            let fault = self.machines.get(&instance_id).and_then(|machine| machine.fault);
            if fault.is_none() {
                self.repair(&instance_id);
            }
        }
    }

    fn machines_in(&self, zone: &str) -> Vec<String> {
        let in_zone = self.machines.values().filter(|m| m.availability_zone == zone);
        in_zone.map(|machine| machine.instance_id.clone()).collect()
    }

    fn is_broken_from(&mut self, instance_id: &str, noticed: Time) {
        let Some(machine) = self.machines.get_mut(instance_id) else { return };
        machine.noticed_at = Some(machine.noticed_at.map_or(noticed, |at| at.min(noticed)));
        if let Some(group) = machine.group.clone() {
            self.schedule(noticed, Event::HealthCheck { group });
        }
    }

    /// A group's health check, and the end of what it finds, as far as its processes go on.
    /// Source: Auto Scaling user guide, "Types of processes" and "How suspended processes affect
    /// other processes".
    pub(super) fn check_health(&mut self, stored: &StoredGroup) {
        let (name, now) = (stored.group.auto_scaling_group_name.as_str(), self.now);
        let counted = |machine: &&Machine| machine.lifecycle.counts();
        if stored.runs("HealthCheck") {
            let is_broken = |m: &&Machine| m.noticed_at.is_some_and(|at| at <= now);
            let broken = self.members(name).filter(counted).filter(is_broken);
            let broken: Vec<String> = broken.map(|machine| machine.instance_id.clone()).collect();
            for id in broken {
                self.shade(&id);
                if let Some(machine) = self.machines.get_mut(&id) {
                    machine.is_unhealthy = true;
                }
            }
        }
        if !stored.runs("ReplaceUnhealthy") {
            return;
        }
        // A machine that never served is ended although terminating is suspended.
        let ends = |machine: &&Machine| {
            machine.is_unhealthy
                && (stored.runs("Terminate") || machine.lifecycle != Lifecycle::InService)
        };
        let given_up: Vec<String> = self
            .members(name)
            .filter(counted)
            .filter(ends)
            .map(|machine| machine.instance_id.clone())
            .collect();
        for id in given_up {
            self.note_termination(name, &id, "in response to a health check");
            self.end_machine(&id);
        }
    }

    /// Reads which machines of a group end although no call asked for it.
    ///
    /// # Errors
    /// When the fault plan says so.
    pub fn read_places_kept(&mut self, group: &str) -> Result<BTreeSet<String>, CloudError> {
        self.begin_read("DescribeScalingActivities")?;
        self.settle();
        self.record("DescribeScalingActivities", false, "ok");
        let activities = self.works.get(group).into_iter().flat_map(|work| &work.activities);
        Ok(unasked_ends(activities.map(|it| (it.description.as_str(), it.cause.as_str()))))
    }

    /// Reads which of these instances fail EC2's status checks, and how. Checks of a machine that
    /// starts or ends say nothing.
    ///
    /// # Errors
    /// When the fault plan says so.
    pub fn read_statuses(
        &mut self,
        ids: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, String>, CloudError> {
        let mut found = BTreeMap::new();
        for check in ["instance", "system"] {
            self.begin_read("DescribeInstanceStatus")?;
            self.record("DescribeInstanceStatus", false, "ok");
            // What is wrong with one machine is its own; with a zone, the hardware's.
            let is_of = |machine: &&Machine| {
                let by_zone = self.faults.zones_out.contains(&machine.availability_zone);
                machine.is_impaired
                    && machine.power == Power::Running
                    && by_zone == (check == "system")
            };
            let failing = ids.iter().filter_map(|id| self.machines.get(id)).filter(is_of);
            let told = |machine: &Machine| {
                (machine.instance_id.clone(), format!("{check} status check: impaired"))
            };
            found.extend(failing.map(told));
        }
        Ok(found)
    }
}
