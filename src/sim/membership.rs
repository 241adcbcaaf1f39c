//! Calls by which somebody moves machines into, out of and with a group: the autoscaler, an
//! operator, a rolling update.
//!
//! Limits and refusals are those of the Amazon EC2 Auto Scaling API reference; texts are AWS's own
//! where they are known from reports. AWS does not say whether a call for many machines may be done
//! by half; here it is all or none.

use std::collections::BTreeSet;

use super::group::invalid;
use super::{Answer, Lifecycle, Machine, Power, Refused, StoredGroup, World};
use crate::cloud::shortfall::ASKED_FOR;
use crate::cloud::{Call, Reply};
use crate::resource::MixedInstancesPolicy;

/// The tag by which a machine says which group it is in.
const GROUP_TAG: &str = "aws:autoscaling:groupName";

impl World {
    /// Seconds that a machine without load balancers takes to leave its group, or to join one: the
    /// least, and what chance adds.
    const MOVE_SECS: (u64, u64) = (2, 10);

    /// Sets the desired capacity, as an autoscaler would.
    ///
    /// # Errors
    /// When the group does not exist or the number is outside of its limits.
    pub fn set_desired_capacity(&mut self, name: &str, desired: i32) -> Result<(), String> {
        self.desire(name, desired).map(|_| ()).map_err(|refused| refused.message)
    }

    /// Takes an instance out of its group; it goes on running. The group replaces it unless its
    /// desired capacity is lowered with it.
    ///
    /// # Errors
    /// When the instance does not serve in a group, or the desired capacity is at its minimum already.
    pub fn detach(&mut self, instance_id: &str, decrement: bool) -> Result<(), String> {
        let group = self.machines.get(instance_id).and_then(|machine| machine.group.clone());
        let name = group.ok_or_else(|| format!("instance {instance_id} is in no group"))?;
        let ids = [instance_id.to_owned()].into();
        self.detach_instances(&name, &ids, decrement).map(|_| ()).map_err(|refused| refused.message)
    }

    pub(super) fn desire(&mut self, name: &str, desired: i32) -> Answer {
        let mut stored = self.group(name)?;
        let (min, max) = (stored.group.min_size, stored.group.max_size);
        let bound = match desired {
            _ if desired < min => Some(format!("below min value {min}")),
            _ if desired > max => Some(format!("above max value {max}")),
            _ => None,
        };
        if let Some(bound) = bound {
            return Err(invalid(format!(
                "New SetDesiredCapacity value {desired} is {bound} for the AutoScalingGroup."
            )));
        }
        stored.desired_capacity = desired;
        self.put_group(stored)
    }

    /// The desired capacity rises with the minimum, and never falls with it.
    pub(super) fn set_group_minimum(&mut self, name: &str, min_size: i32) -> Answer {
        let mut stored = self.group(name)?;
        stored.group.min_size = min_size;
        self.check_group(&stored.group)?;
        stored.desired_capacity = stored.desired_capacity.max(min_size);
        self.put_group(stored)
    }

    /// A template without a policy takes the place of the policy that was there.
    pub(super) fn pin_version(
        &mut self,
        name: &str,
        template: &str,
        version: u64,
        policy: Option<&MixedInstancesPolicy>,
    ) -> Answer {
        let mut stored = self.group(name)?;
        stored.group.launch_template_name = template.to_owned();
        stored.group.mixed_instances_policy = policy.cloned();
        stored.version = version;
        self.check_group(&stored.group)?;
        self.check_group_launch(&stored.group, version)?;
        self.put_group(stored)
    }

    /// Ends machines of a group. One that ends already is let be, and not counted twice: AWS documents
    /// no error for it, and users report none. The answer names those whose place stays.
    pub(super) fn terminate_members(
        &mut self,
        name: &str,
        ids: &BTreeSet<String>,
        shrinks: bool,
    ) -> Answer {
        check_count(ids, Call::TERMINATED_MAX)?;
        let stored = self.group(name)?;
        for id in ids {
            if self.machines.get(id).and_then(|machine| machine.group.as_deref()) != Some(name) {
                return Err(Refused::not_found(
                    "ValidationError",
                    format!(
                        "Instance Id not found - No managed instance found for instance ID: {id}"
                    ),
                ));
            }
        }
        let counted: Vec<String> = ids.iter().filter(|id| self.is_counted(id)).cloned().collect();
        if shrinks {
            self.shrink(stored, counted.len(), |stored| {
                format!(
                    "Currently, desiredSize equals minSize ({}). Terminating instance without \
                     replacement will violate group's min size constraint. Either set \
                     shouldDecrementDesiredCapacity flag to false or lower group's min size.",
                    stored.group.min_size
                )
            })?;
        }
        for id in &counted {
            self.note_termination(name, id, ASKED_FOR);
            self.end_machine(id);
            if let Some(machine) = self.machines.get_mut(id).filter(|_| shrinks) {
                machine.takes_its_place = true;
            }
        }
        self.wake(name);
        let keeps = |id: &&String| self.machines.get(*id).is_some_and(|m| !m.takes_its_place);
        let places_kept = ids.iter().filter(|_| shrinks).filter(keeps).cloned().collect();
        Ok(Reply { places_kept, ..Reply::default() })
    }

    pub(super) fn detach_instances(
        &mut self,
        name: &str,
        ids: &BTreeSet<String>,
        shrinks: bool,
    ) -> Answer {
        check_count(ids, Call::DETACHED_MAX)?;
        let stored = self.group(name)?;
        for id in ids {
            let machine = self.machines.get(id);
            if machine.and_then(|machine| machine.group.as_deref()) != Some(name) {
                return Err(invalid(format!(
                    "The instance {id} is not part of Auto Scaling group {name}."
                )));
            }
            if machine.is_none_or(|machine| machine.lifecycle != Lifecycle::InService) {
                return Err(invalid(format!("The instance {id} is not in InService or Standby.")));
            }
        }
        if shrinks {
            self.shrink(stored, ids.len(), |stored| sizes(stored, "detach", ids.len()))?;
        }
        for id in ids {
            let gone = self.deregister_everywhere(id);
            let moved = self.now.plus_secs(Self::MOVE_SECS.0 + self.draw(Self::MOVE_SECS.1));
            let due = gone.map_or(moved, |gone| gone.max(moved));
            self.set_lifecycle(id, Lifecycle::Detaching, Some(due));
        }
        self.wake(name);
        Ok(Reply::default())
    }

    /// A machine is out of its group, and says so; one that ended meanwhile is gone, since nobody else
    /// has it in a list.
    pub(super) fn leave_group(&mut self, instance_id: &str) {
        self.shade(instance_id);
        let Some(machine) = self.machines.get_mut(instance_id) else { return };
        let name = machine.group.take();
        machine.lifecycle = Lifecycle::InService;
        machine.due = None;
        machine.is_unhealthy = false;
        machine.tags.remove(GROUP_TAG);
        if machine.power == Power::Terminated {
            self.machines.remove(instance_id);
            self.ended.insert(instance_id.to_owned(), self.now);
        }
        if let Some(name) = name {
            self.member_left(&name);
        }
    }

    pub(super) fn attach_instances(&mut self, name: &str, ids: &BTreeSet<String>) -> Answer {
        check_count(ids, Call::DETACHED_MAX)?;
        let mut stored = self.group(name)?;
        let zones = self.zones_of(&stored.group);
        for id in ids {
            self.check_attachable(id, name, &zones)?;
        }
        let more = i32::try_from(ids.len()).unwrap_or(i32::MAX);
        let desired = stored.desired_capacity.saturating_add(more);
        if desired > stored.group.max_size {
            return Err(invalid(sizes(&stored, "attach", ids.len())));
        }
        stored.desired_capacity = desired;
        for id in ids {
            let due = self.now.plus_secs(Self::MOVE_SECS.0 + self.draw(Self::MOVE_SECS.1));
            self.shade(id);
            let Some(machine) = self.machines.get_mut(id) else { continue };
            machine.group = Some(name.to_owned());
            machine.tags.insert(GROUP_TAG.to_owned(), name.to_owned());
            machine.lifecycle = Lifecycle::Pending;
            machine.is_attached = true;
            machine.due = Some(due);
        }
        self.put_group(stored)
    }

    fn check_attachable(
        &self,
        id: &str,
        group: &str,
        zones: &BTreeSet<String>,
    ) -> Result<(), Refused> {
        let Some(machine) = self.machines.get(id) else {
            return Err(invalid(format!("Invalid Instance ID(s): [{id}] specified.")));
        };
        if let Some(other) = &machine.group {
            return Err(invalid(format!(
                "The instance {id} is already part of another AutoScalingGroup: {other}."
            )));
        }
        if machine.power != Power::Running {
            return Err(invalid(format!("The instance {id} is not in correct state: running.")));
        }
        if !zones.contains(&machine.availability_zone) {
            return Err(invalid(format!(
                "The availability zone of instance {id} is not one of Auto Scaling group {group}."
            )));
        }
        Ok(())
    }

    /// Lowers the desired capacity with machines that leave, not below the minimum.
    fn shrink(
        &mut self,
        mut stored: StoredGroup,
        by: usize,
        refusal: impl FnOnce(&StoredGroup) -> String,
    ) -> Result<(), Refused> {
        let fewer = i32::try_from(by).unwrap_or(i32::MAX);
        let desired = stored.desired_capacity.saturating_sub(fewer);
        if desired < stored.group.min_size {
            return Err(invalid(refusal(&stored)));
        }
        stored.desired_capacity = desired;
        self.put_group(stored).map(|_| ())
    }

    fn is_counted(&self, instance_id: &str) -> bool {
        self.machines.get(instance_id).is_some_and(|machine| machine.lifecycle.counts())
    }

    /// An instance as a mutating call knows it.
    pub(super) fn instance(&self, id: &str) -> Result<&Machine, Refused> {
        self.machines.get(id).ok_or_else(|| {
            Refused::not_found(
                "InvalidInstanceID.NotFound",
                format!("The instance ID '{id}' does not exist"),
            )
        })
    }
}

fn check_count(ids: &BTreeSet<String>, most: usize) -> Result<(), Refused> {
    if (1..=most).contains(&ids.len()) {
        return Ok(());
    }
    Err(invalid(format!("name 1 to {most} instances, not {}", ids.len())))
}

/// Why a group's sizes do not let machines in or out.
fn sizes(stored: &StoredGroup, verb: &str, count: usize) -> String {
    let group = &stored.group;
    format!(
        "AutoScalingGroup {} has min-size={}, max-size={}, and desired-size={}. To {verb} {count} \
         instance{}, please update the AutoScalingGroup sizes appropriately.",
        group.auto_scaling_group_name,
        group.min_size,
        group.max_size,
        stored.desired_capacity,
        if count == 1 { "" } else { "s" }
    )
}
