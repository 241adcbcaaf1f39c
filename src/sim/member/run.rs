//! Members follow their machines: they end with them, and start on those that are up.

use std::collections::BTreeMap;

use super::ills::Ills;
use super::start::{Bucket, LOOK_MS};
use super::{Run, StoredEtcd, StoredMember};
use crate::boot::{Settings, user_data};
use crate::etcd::snapshot::{Schedule, Store};
use crate::etcd::{Minor, Version};
use crate::sim::clock::Time;
use crate::sim::{Machine, Shelf, StoredTemplate, StoredVolume};

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

/// The snapshots of a member whose machine is told nothing at all, as in a world that no apply has made.
pub(super) fn usual_store() -> Option<Store> {
    Some(Store { store: "s3://simulated-snapshots".to_owned(), schedule: Schedule::USUAL })
}

/// Machines, the volumes that they may hold, which etcd they run by their images, and what they are told by
/// their templates.
pub(super) struct Machines<'a> {
    pub(super) all: &'a BTreeMap<String, Machine>,
    pub(super) volumes: &'a Shelf<StoredVolume>,
    pub(super) etcds: &'a BTreeMap<String, Version>,
    pub(super) templates: &'a Shelf<StoredTemplate>,
}

/// A volume that a member was started on, with its machine and its place there.
pub(super) struct TakenVolume {
    pub(super) volume_id: String,
    pub(super) instance_id: String,
    pub(super) place: String,
}

impl Machines<'_> {
    fn program(&self, machine: &Machine) -> Version {
        self.etcds.get(&machine.image_id).copied().unwrap_or_else(usual_version)
    }

    /// What a machine is told of a member's snapshots.
    fn snapshots(&self, machine: &Machine, etcd: &str, member: &str) -> Option<Store> {
        let Some(told) = self.settings(machine) else { return usual_store() };
        let mut hosted = told.members.into_iter();
        hosted.find(|hosted| hosted.etcd == etcd && hosted.member == member)?.snapshots
    }

    /// What a machine is told by the user data that it was launched with.
    fn settings(&self, machine: &Machine) -> Option<Settings> {
        let template = self.templates.get(&machine.launch_template_name)?;
        user_data::settings_in(&template.versions.get(&machine.version)?.data.user_data)
    }

    /// Whether a machine gets a volume for a member: nobody else holds it, and its place there is free.
    /// Nothing detaches a volume but the machine's end, whatever becomes of its tags; so the machine of one
    /// that was set aside does not get the next one.
    /// Source: `node::etcd::volume`; EC2 API reference, "AttachVolume": a device name in use is refused.
    fn may_take(&self, machine: &Machine, volume_id: &str, place: &str) -> bool {
        let (id, volumes) = (machine.instance_id.as_str(), self.volumes);
        let holder = volumes.get(volume_id).and_then(|volume| volume.attached_to.as_deref());
        let is_in_the_way =
            |other: &StoredVolume| other.volume_id != volume_id && other.is_at(id, place);
        holder.is_none_or(|holder| holder == id) && !volumes.values().any(is_in_the_way)
    }
}

impl StoredEtcd {
    /// Ends members whose machine is gone, and starts those whose machine runs, gets their volume and
    /// decides so. Gives the volumes that were started on.
    pub(super) fn follow_machines(
        &mut self,
        machines: &Machines<'_>,
        bucket: &Bucket<'_>,
        now: Time,
        ills: &Ills<'_>,
    ) -> Vec<TakenVolume> {
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
            let (volume_id, place) = (member.volume_id.clone(), format!("{}/{name}", bucket.etcd));
            if machines.may_take(machine, &volume_id, &place) {
                let program = machines.program(machine);
                self.start(&name, machine, program, bucket, now, ills);
            }
            let run = self.members.get_mut(&name).and_then(|member| member.run.as_mut());
            match run {
                Some(run) => {
                    run.snapshots = machines.snapshots(machine, bucket.etcd, &name);
                    let instance_id = machine.instance_id.clone();
                    started.push(TakenVolume { volume_id, instance_id, place });
                }
                None => self.waits = true,
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
        let (instance_id, snapshots) = (machine.instance_id.clone(), usual_store());
        Self { instance_id, since, caught_up_at, joins, version, snapshots }
    }
}
