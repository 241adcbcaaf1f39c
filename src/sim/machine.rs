//! Instances: how they boot, serve and end.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::clock::Time;
use super::group::Activity;
use super::{LaunchFault, StoredVolume, World};
use crate::resource::{LifecycleHook, Tags};

/// An instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Its id.
    pub instance_id: String,
    /// Its group; none once detached.
    pub group: Option<String>,
    /// Its zone.
    pub availability_zone: String,
    /// Its subnet.
    pub subnet_id: String,
    /// Its address.
    pub private_ip_address: String,
    /// Its type.
    pub instance_type: String,
    /// Whether it is a spot instance.
    pub is_spot: bool,
    /// Where it is in its group's eyes.
    pub lifecycle: Lifecycle,
    /// Where it is in EC2's eyes.
    #[serde(default)]
    pub power: Power,
    /// What is wrong with it from its launch on.
    #[serde(default)]
    pub fault: Option<LaunchFault>,
    /// Whether EC2's status checks fail.
    #[serde(default)]
    pub is_impaired: bool,
    /// Whether it sleeps: nothing on it goes on, and EC2 does not know.
    #[serde(default)]
    pub is_asleep: bool,
    /// From when on its group's health check finds it broken; none while it is well.
    #[serde(default)]
    pub noticed_at: Option<Time>,
    /// Whether its group found it unhealthy.
    #[serde(default)]
    pub is_unhealthy: bool,
    /// Whether it was attached by hand: its group does not know its template.
    #[serde(default)]
    pub is_attached: bool,
    /// Whether it ends together with its place: its group wants one fewer since.
    #[serde(default)]
    pub takes_its_place: bool,
    /// When EC2 takes a spot instance back, once it has said so.
    #[serde(default)]
    pub reclaimed_at: Option<Time>,
    /// When it was launched.
    pub launched_at: Time,
    /// When its life goes on; none while it serves.
    pub due: Option<Time>,
    /// The launch template it came from.
    pub launch_template_name: String,
    /// The version it came from.
    pub version: u64,
    /// Its image.
    pub image_id: String,
    /// Security groups of the interface made for it; an existing interface has its own.
    pub security_groups: BTreeSet<String>,
    /// The existing interface that is its main one.
    pub network_interface_id: Option<String>,
    /// Whether scale-in leaves it alone.
    pub is_protected: bool,
    /// Whether it was launched to balance zones, on top of the desired capacity.
    pub balances: bool,
    /// Its tags.
    pub tags: Tags,
}

/// Where an instance is in its life; one that ended is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Lifecycle {
    /// It boots.
    Pending,
    /// It booted, and a launch hook has not been completed.
    PendingWait,
    /// It serves.
    InService,
    /// It is to end, and load balancers let it go.
    Deregistering,
    /// It is being taken out of its group.
    Detaching,
    /// It is to end, and a termination hook has not been completed.
    TerminatingWait,
    /// It ends.
    Terminating,
}

impl Lifecycle {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Lifecycle::Pending => "Pending",
            Lifecycle::PendingWait => "Pending:Wait",
            Lifecycle::InService => "InService",
            Lifecycle::Deregistering => "Terminating",
            Lifecycle::Detaching => "Detaching",
            Lifecycle::TerminatingWait => "Terminating:Wait",
            Lifecycle::Terminating => "Terminating",
        }
    }

    /// Whether the group counts it as capacity.
    pub fn counts(self) -> bool {
        matches!(self, Lifecycle::Pending | Lifecycle::PendingWait | Lifecycle::InService)
    }
}

/// Whether an instance runs.
/// Source: EC2 user guide, "Instance state changes".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Power {
    /// It starts.
    Pending,
    /// It runs.
    #[default]
    Running,
    /// It ends.
    ShuttingDown,
    /// It has ended; only its group has not noticed yet.
    Terminated,
}

impl Power {
    /// As EC2 writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Power::Pending => "pending",
            Power::Running => "running",
            Power::ShuttingDown => "shutting-down",
            Power::Terminated => "terminated",
        }
    }
}

impl Machine {
    /// Whether its system is up and its own software does its work.
    pub fn is_up(&self) -> bool {
        let starts = matches!(self.lifecycle, Lifecycle::Pending) && !self.is_attached;
        let works = !self.is_impaired && !self.is_asleep && self.fault.is_none();
        self.power == Power::Running && !starts && works
    }

    /// As Auto Scaling writes it.
    pub(super) fn health_status(&self) -> &'static str {
        if self.is_unhealthy { "Unhealthy" } else { "Healthy" }
    }
}

const LAUNCHING: &str = "autoscaling:EC2_INSTANCE_LAUNCHING";
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

impl World {
    /// Seconds from launch to the end of boot: the least, and what chance adds.
    pub(super) const BOOT_SECS: (u64, u64) = (35, 30);
    /// Seconds that a machine's own software takes to complete a hook.
    const HOOK_SECS: (u64, u64) = (15, 20);
    /// Seconds that an instance takes to end.
    const END_SECS: (u64, u64) = (20, 20);

    /// A group's machines, ending ones among them, by id.
    pub fn members<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Machine> {
        self.machines.values().filter(move |machine| machine.group.as_deref() == Some(group))
    }

    /// Protects an instance from scale-in, or lifts the protection.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn set_protection(&mut self, instance_id: &str, is_protected: bool) -> Result<(), String> {
        let machine = self
            .machines
            .get_mut(instance_id)
            .ok_or_else(|| format!("the instance ID '{instance_id}' does not exist"))?;
        machine.is_protected = is_protected;
        Ok(())
    }

    /// Starts the end of a machine that its group gives up: out of load balancers, then its
    /// termination hook. What does not run any more is not waited for.
    /// Source: Auto Scaling user guide, "Use Elastic Load Balancing" and "How lifecycle hooks work".
    pub(super) fn end_machine(&mut self, instance_id: &str) {
        let Some(machine) = self.machines.get(instance_id) else { return };
        if !machine.lifecycle.counts() {
            return;
        }
        let served = machine.lifecycle == Lifecycle::InService && machine.power == Power::Running;
        let is_forced = machine.group.as_ref().and_then(|name| self.groups.get(name));
        let is_forced = is_forced.is_some_and(|group| group.is_pending_delete);
        let let_go = self.deregister_everywhere(instance_id);
        match let_go {
            Some(until) if served && !is_forced => {
                self.set_lifecycle(instance_id, Lifecycle::Deregistering, Some(until));
            }
            _ if served => self.run_termination_hook(instance_id),
            _ => self.start_terminating(instance_id),
        }
    }

    fn run_termination_hook(&mut self, instance_id: &str) {
        match self.hook_of(instance_id, TERMINATING) {
            Some(hook) => {
                let due = self.hook_due(instance_id, &hook);
                self.set_lifecycle(instance_id, Lifecycle::TerminatingWait, Some(due));
            }
            None => self.start_terminating(instance_id),
        }
    }

    pub(super) fn start_terminating(&mut self, instance_id: &str) {
        let due = self.end_of_now();
        self.shade(instance_id);
        if let Some(machine) = self.machines.get_mut(instance_id)
            && machine.power < Power::ShuttingDown
        {
            machine.power = Power::ShuttingDown;
        }
        self.set_lifecycle(instance_id, Lifecycle::Terminating, Some(due));
    }

    /// When an instance that begins to end now has ended.
    pub(super) fn end_of_now(&mut self) -> Time {
        let drawn = Self::END_SECS.0 + self.draw(Self::END_SECS.1);
        self.now.plus_secs(self.end_secs.unwrap_or(drawn))
    }

    /// What comes next in a machine's life.
    pub(super) fn machine_falls_due(&mut self, instance_id: &str) {
        let Some(machine) = self.machines.get(instance_id) else { return };
        match machine.lifecycle {
            Lifecycle::Pending if machine.fault == Some(LaunchFault::Ends) => {
                self.note_end(
                    instance_id,
                    "instance failed to start: Client.InstanceInitiatedShutdown",
                );
                self.start_terminating(instance_id);
            }
            Lifecycle::Pending => self.machine_is_up(instance_id),
            Lifecycle::PendingWait => self.launch_hook_ends(instance_id),
            Lifecycle::InService => self.set_lifecycle(instance_id, Lifecycle::InService, None),
            Lifecycle::Deregistering => self.run_termination_hook(instance_id),
            Lifecycle::Detaching => self.leave_group(instance_id),
            Lifecycle::TerminatingWait => self.start_terminating(instance_id),
            Lifecycle::Terminating => self.machine_is_gone(instance_id),
        }
    }

    /// A machine runs: its launch hook comes first, if its group has one.
    fn machine_is_up(&mut self, instance_id: &str) {
        self.shade(instance_id);
        let Some(machine) = self.machines.get_mut(instance_id) else { return };
        machine.power = Power::Running;
        if machine.fault == Some(LaunchFault::Impaired) {
            self.impair(instance_id);
        }
        match self.hook_of(instance_id, LAUNCHING) {
            Some(hook) => {
                let due = self.hook_due(instance_id, &hook);
                self.set_lifecycle(instance_id, Lifecycle::PendingWait, Some(due));
            }
            None => self.enters_service(instance_id),
        }
    }

    /// A machine serves from now on: load balancers get it.
    fn enters_service(&mut self, instance_id: &str) {
        self.set_lifecycle(instance_id, Lifecycle::InService, None);
        self.add_to_target_groups(instance_id);
    }

    /// The machine's own software completed the hook, unless it was silent until the timeout.
    fn launch_hook_ends(&mut self, instance_id: &str) {
        let hook = self.hook_of(instance_id, LAUNCHING);
        let abandons = hook.is_some_and(|hook| hook.default_result == "ABANDON");
        if self.is_silent(instance_id) && abandons {
            self.note_end(instance_id, "lifecycle hook timed out: ABANDON");
            self.start_terminating(instance_id);
        } else {
            self.enters_service(instance_id);
        }
    }

    fn machine_is_gone(&mut self, instance_id: &str) {
        self.release(instance_id);
        self.shade(instance_id);
        let Some(machine) = self.machines.remove(instance_id) else { return };
        self.cluster_loses(&machine);
        self.ended.insert(instance_id.to_owned(), self.now);
        let Some(name) = machine.group else { return };
        self.member_left(&name);
    }

    /// A group has one member less: one that is being deleted goes with its last.
    pub(super) fn member_left(&mut self, name: &str) {
        let is_pending_delete = self.groups.get(name).is_some_and(|g| g.is_pending_delete);
        if is_pending_delete && self.members(name).next().is_none() {
            self.remove_group(name);
        }
        self.wake(name);
    }

    /// What an instance held is free once it has ended.
    pub(super) fn release(&mut self, instance_id: &str) {
        for registered in self.registrations.values_mut() {
            registered.remove(instance_id);
        }
        let Some(machine) = self.machines.get(instance_id) else { return };
        if let Some(id) = &machine.network_interface_id {
            self.interfaces.edit(id, |known| known.attached_to = None);
        }
        let volumes: Vec<String> = self
            .volumes
            .values()
            .filter(|known| known.attached_to.as_deref() == Some(instance_id))
            .map(|known| known.volume_id.clone())
            .collect();
        for id in volumes {
            self.volumes.edit(&id, StoredVolume::come_free);
        }
    }

    fn hook_of(&self, instance_id: &str, transition: &str) -> Option<LifecycleHook> {
        let name = self.machines.get(instance_id)?.group.as_ref()?;
        let hooks = &self.groups.get(name)?.group.lifecycle_hooks;
        hooks.values().find(|hook| hook.lifecycle_transition == transition).cloned()
    }

    fn is_silent(&self, instance_id: &str) -> bool {
        let Some(machine) = self.machines.get(instance_id) else { return false };
        let group = machine.group.as_ref();
        machine.fault.is_some() || group.is_some_and(|name| self.faults.silent_hooks.contains(name))
    }

    /// When a hook ends: by the machine's own software, or by its timeout.
    fn hook_due(&mut self, instance_id: &str, hook: &LifecycleHook) -> Time {
        let timeout = u64::try_from(hook.heartbeat_timeout).unwrap_or(0);
        let own = Self::HOOK_SECS.0 + self.draw(Self::HOOK_SECS.1);
        let secs = if self.is_silent(instance_id) { timeout } else { own.min(timeout) };
        self.now.plus_secs(secs)
    }

    pub(super) fn set_lifecycle(
        &mut self,
        instance_id: &str,
        lifecycle: Lifecycle,
        due: Option<Time>,
    ) {
        self.shade(instance_id);
        let Some(machine) = self.machines.get_mut(instance_id) else { return };
        machine.lifecycle = lifecycle;
        machine.due = due;
        self.cluster_follows(instance_id);
        let Some(machine) = self.machines.get(instance_id) else { return };
        if let Some(name) = machine.group.clone() {
            if lifecycle == Lifecycle::InService {
                // A launch has worked when the machine serves; a failed hook fails it.
                self.note_launch(&name, instance_id);
                if let Some(work) = self.works.get_mut(&name) {
                    work.failures = 0;
                }
            }
            self.wake(&name);
        }
    }

    fn note_end(&mut self, instance_id: &str, message: &str) {
        let Some(name) = self.machines.get(instance_id).and_then(|m| m.group.clone()) else {
            return;
        };
        let at = self.now;
        if let Some(work) = self.works.get_mut(&name) {
            work.failures = work.failures.saturating_add(1);
            work.note(Activity {
                at,
                description: format!("Launching a new EC2 instance: {instance_id}"),
                status: "Failed".to_owned(),
                message: message.to_owned(),
                cause: String::new(),
            });
        }
    }
}
