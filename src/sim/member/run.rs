//! Members follow their machines: they end with them, and start on those that are up.

use std::collections::BTreeMap;

use super::ills::Ills;
use super::start::{Bucket, LOOK_MS};
use super::{Run, StoredEtcd, StoredMember};
use crate::etcd::{Minor, Version};
use crate::sim::Machine;
use crate::sim::clock::Time;

/// Seconds from a running machine to the member's start: the least, and what its id adds.
const START_SECS: (u64, u64) = (5, 10);
/// Seconds until it has caught up, with its data and without.
const CATCH_UP_SECS: (u64, u64) = (5, 20);
const LEARN_SECS: (u64, u64) = (60, 60);
/// What a machine that serves already when it is first looked at has taken to boot, at most.
const BOOT_SECS_MAX: u64 = 100;

/// The etcd of an image of which nothing else is said.
pub(super) fn usual_version() -> Version {
    Version { minor: Minor::of_three(5), patch: 30 }
}

/// Machines, and which etcd they run by their images.
pub(super) struct Machines<'a> {
    pub(super) all: &'a BTreeMap<String, Machine>,
    pub(super) etcds: &'a BTreeMap<String, Version>,
}

impl Machines<'_> {
    fn program(&self, machine: &Machine) -> Version {
        self.etcds.get(&machine.image_id).copied().unwrap_or_else(usual_version)
    }
}

impl StoredEtcd {
    /// Ends members whose machine is gone, and starts those whose machine runs and decides so. Gives the
    /// volumes that were started on.
    pub(super) fn follow_machines(
        &mut self,
        machines: &Machines<'_>,
        bucket: &Bucket<'_>,
        now: Time,
        ills: &Ills<'_>,
    ) -> Vec<String> {
        let is_kept = |member: &StoredMember| {
            let run = member.run.as_ref();
            let machine = run.and_then(|run| machines.all.get(&run.instance_id));
            machine.is_some_and(|machine| member.runs_on(machine))
        };
        let moved = self.members.iter().filter(|(_, member)| !is_kept(member));
        let moved: Vec<String> = moved.map(|(name, _)| name.clone()).collect();
        for name in moved {
            let last = self.newest_report(&name, now, ills);
            let Some(member) = self.members.get_mut(&name) else { continue };
            member.last = last;
            if let (Some(run), Some(data)) = (member.run.take(), &mut member.data) {
                data.votes |= run.caught_up_at <= now;
            }
        }
        let mut started = Vec::new();
        self.waits = false;
        let idle = self.members.iter().filter(|(_, member)| member.run.is_none());
        let idle: Vec<String> = idle.map(|(name, _)| name.clone()).collect();
        for name in idle {
            let Some(member) = self.members.get(&name) else { continue };
            let Some(machine) = machines.all.values().find(|machine| member.runs_on(machine))
            else {
                continue;
            };
            let program = machines.program(machine);
            self.start(&name, machine, program, bucket, now, ills);
            match self.members.get(&name) {
                Some(member) if member.run.is_some() => started.push(member.volume_id.clone()),
                _ => self.waits = true,
            }
        }
        started
    }

    /// When a member has caught up next.
    pub(super) fn next_change(&self, now: Time) -> Option<Time> {
        let runs = self.members.values().filter_map(|member| member.run.as_ref());
        let again = self.waits.then(|| now.plus_ms(LOOK_MS));
        runs.map(|run| run.caught_up_at).filter(|at| *at > now).chain(again).min()
    }
}

impl Run {
    /// A member's start on a machine that runs; one that ran before anybody looked is long up.
    pub(super) fn begin(
        machine: &Machine,
        version: Version,
        joins: bool,
        now: Time,
        is_first_look: bool,
    ) -> Self {
        let id = machine.instance_id.bytes();
        let chance = id.fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let secs = |(least, spread): (u64, u64), chance: u64| least + chance % spread;
        let booted = machine.launched_at.plus_secs(BOOT_SECS_MAX);
        let from = if is_first_look { booted.min(now) } else { now };
        let since = from.plus_secs(secs(START_SECS, chance));
        let catch_up = if joins { LEARN_SECS } else { CATCH_UP_SECS };
        let caught_up_at = since.plus_secs(secs(catch_up, chance / 16));
        Self { instance_id: machine.instance_id.clone(), since, caught_up_at, joins, version }
    }
}
