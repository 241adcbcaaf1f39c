//! etcd members as the state bucket sees them: each reports every ten seconds, if its machine runs.
//!
//! Which members there are, and where, follows from what an apply has made: a volume for each, whose
//! tag names etcd cluster and member, and the member's name in the private zone, which points to the
//! interface that its machine has. A member is as old as its volume; it starts when a machine with its
//! interface serves and decides so, by the same function as on a real one (`etcd::start`), catches up
//! and is healthy; with a new volume it joins as a learner first. Leaders are elected among those that
//! are healthy; the first one closes the epoch. What a report says follows from all this when it is read,
//! as of the moment it was written at.
//!
//! Delays follow from the machine's id and not from the world's dice, so that looking changes nothing.

mod elect;
mod find;
mod ills;
mod leaves;
mod report;
mod run;
mod sleep;
mod snapshots;
mod start;
mod state;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::clock::Time;
use super::store::StoredObject;
use super::{Machine, World, fnv};
use crate::cloud::Entry;
use crate::etcd::epoch::{epoch_key, snapshots_key};
use crate::etcd::report::report_key;
use crate::etcd::snapshot::Store;
use crate::etcd::{MemberReport, Minor, Version};
use crate::resource::FORMATTED_TAG;

use ills::Ills;
use run::{Machines, TakenVolume, usual_store, usual_version};
use start::{Bucket, Data};
pub use state::MemberState;

/// One etcd cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoredEtcd {
    /// Its members by name.
    pub members: BTreeMap<String, StoredMember>,
    /// Whether it was named by [`World::host_etcd`] and not found by its volumes.
    is_named: bool,
    /// Terms and leaders, oldest first.
    epochs: VecDeque<Epoch>,
    /// Cluster versions, and since when, oldest first: none before all members were there.
    #[serde(default)]
    versions: Vec<(Time, Minor)>,
    /// When it had a leader for the first time.
    formed_at: Option<Time>,
    /// How many members its epoch names: they are voters whether their volumes are there or not.
    #[serde(default)]
    size: usize,
    /// When the newest snapshots were taken, oldest first.
    #[serde(default)]
    snapshots: VecDeque<Time>,
    /// When the next one may be due.
    #[serde(default)]
    next_snapshot: Option<Time>,
    /// The token of the epoch that its members have closed.
    #[serde(default)]
    closed: Option<String>,
    /// Whether a machine that is up has a member that does not run: it looks again soon.
    #[serde(default)]
    waits: bool,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredMember {
    /// Where it is to be found.
    host: Host,
    /// Its volume; empty where none is known.
    volume_id: String,
    /// What is on it; nothing before etcd has started there.
    #[serde(default)]
    data: Option<Data>,
    /// The machine it runs on.
    run: Option<Run>,
    /// What it reported last from a machine that is gone, and when.
    last: Option<(MemberReport, Time)>,
    /// What it had reported, and when, as something changed that ails a member: it stays as it was.
    #[serde(default)]
    kept: Option<(MemberReport, Time)>,
    /// When it fell silent.
    silent_since: Option<Time>,
    /// What it was about to report when its machine fell asleep.
    #[serde(default)]
    stale: Option<MemberReport>,
}

/// What a member's machine is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Host {
    Nowhere,
    Interface(String),
    Group(String),
}

/// A member's life on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    instance_id: String,
    /// When it started, and first reported.
    since: Time,
    /// When it has caught up; a learner votes from then on.
    caught_up_at: Time,
    /// Whether it joins as a learner.
    joins: bool,
    /// Its program.
    #[serde(default = "usual_version")]
    version: Version,
    /// Where its snapshots go, and when one is due, as its machine was told; none are taken without.
    #[serde(default = "usual_store")]
    snapshots: Option<Store>,
}

/// A term, from when on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Epoch {
    since: Time,
    term: u64,
    leader: Option<String>,
}

/// What ails a member ([`World::ail`]), by `<cluster>/<etcd>/<member>` in [`super::Faults::members`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberFault {
    /// It lags behind by so many entries.
    Slow { lag: u64 },
    /// It never becomes a voter.
    Learner,
    /// It fails its health check.
    Sick,
    /// It raises an alarm, which all members see.
    Alarm { name: String },
    /// It writes no further report.
    Silent,
    /// Its report is gone.
    Missing,
}

impl World {
    /// Brings the members up to now whose epoch or list of snapshots somebody is about to read: they may
    /// have closed the one, or added to the other.
    pub(super) fn mind_epoch(&mut self, key: &str) {
        let mut parts = key.split('/');
        let (Some("etcd"), Some(cluster), Some(etcd)) = (parts.next(), parts.next(), parts.next())
        else {
            return;
        };
        if key == epoch_key(cluster, etcd) || key == snapshots_key(cluster, etcd) {
            self.find_members(cluster);
            self.tend_members();
        }
    }

    /// The keys of reports that members of this world have written.
    pub(super) fn reporting_members(&mut self, cluster: &str, etcd: &str) -> Vec<String> {
        self.find_members(cluster);
        self.tend_members();
        let known = self.etcds.get(cluster).and_then(|etcds| etcds.get(etcd));
        let members = known.into_iter().flat_map(|known| known.members.keys());
        let reported = members.filter(|name| self.newest_report(cluster, etcd, name).is_some());
        reported.map(|member| report_key(cluster, etcd, member)).collect()
    }

    /// Says which etcd machines of an image run.
    pub fn set_etcd_of_image(&mut self, image_id: &str, version: Version) {
        self.etcd_versions.insert(image_id.to_owned(), version);
    }

    /// Loses a member's data: it joins as a learner when it next starts.
    pub fn lose_volume(&mut self, cluster: &str, etcd: &str, member: &str) {
        let etcds = self.etcds.get_mut(cluster);
        let etcd = etcds.and_then(|etcds| etcds.get_mut(etcd));
        if let Some(member) = etcd.and_then(|etcd| etcd.members.get_mut(member)) {
            member.data = None;
        }
    }

    /// A member's newest report, where `key` is that of one.
    pub(super) fn member_report(&mut self, key: &str) -> Option<Entry> {
        let mut parts = key.strip_prefix("etcd/")?.split('/');
        let (cluster, etcd) = (parts.next()?, parts.next()?);
        let member = (parts.next()? == "report").then(|| parts.next())??;
        self.find_members(cluster);
        self.tend_members();
        let (report, at) = self.newest_report(cluster, etcd, member)?;
        let body = serde_json::to_vec(&report).ok()?;
        Some(Entry { body, etag: format!("{:016x}", at.0), written_at: at.timestamp() })
    }

    /// A machine's life went on: members may have to follow.
    pub(super) fn stir_members(&mut self, instance_id: &str) {
        let Some(machine) = self.machines.get(instance_id) else { return };
        let mut hosts = self.etcds.values().flat_map(BTreeMap::values).flat_map(StoredEtcd::hosts);
        if hosts.any(|host| host.is(machine)) {
            self.members_due = Some(self.now);
        }
    }

    /// Brings members and leaders up to now.
    pub(super) fn tend_members(&mut self) {
        let now = self.now;
        let mut etcds = std::mem::take(&mut self.etcds);
        let (mut due, mut closed, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        for (cluster, etcds) in &mut etcds {
            for (name, etcd) in etcds {
                let ills = Ills::of(&self.faults.members, cluster, name);
                let bucket = Bucket { cluster, etcd: name, objects: &self.objects };
                let machines = Machines {
                    all: &self.machines,
                    volumes: &self.volumes,
                    etcds: &self.etcd_versions,
                    templates: &self.templates,
                };
                taken.extend(etcd.follow_machines(&machines, &bucket, now, &ills));
                etcd.elect(now, &ills);
                etcd.raise_version(now);
                closed.extend(etcd.close(&bucket));
                etcd.note_silence(now, &ills);
                due.extend(etcd.next_change(now));
            }
        }
        self.etcds = etcds;
        self.members_due = due.into_iter().min();
        for (key, epoch) in closed {
            let body = epoch.to_bytes();
            let etag = format!("{:016x}", fnv(&String::from_utf8_lossy(&body)));
            self.objects.insert(key, StoredObject::new(body, &etag, now));
        }
        for TakenVolume { volume_id, instance_id, place } in taken {
            self.volumes.edit(&volume_id, |known| {
                known.volume.tags.entry(FORMATTED_TAG.to_owned()).or_insert_with(|| "1".to_owned());
                known.attach(&instance_id, &place);
            });
        }
        let next = self.take_snapshots();
        self.members_due = self.members_due.into_iter().chain(next).min();
    }

    fn newest_report(
        &self,
        cluster: &str,
        etcd: &str,
        member: &str,
    ) -> Option<(MemberReport, Time)> {
        let ills = Ills::of(&self.faults.members, cluster, etcd);
        if ills.any(member, |fault| *fault == MemberFault::Missing) {
            return None;
        }
        self.etcds.get(cluster)?.get(etcd)?.newest_report(member, self.now, &ills)
    }
}

impl Host {
    fn is(&self, machine: &Machine) -> bool {
        match self {
            Host::Nowhere => false,
            Host::Interface(id) => machine.network_interface_id.as_ref() == Some(id),
            Host::Group(name) => machine.group.as_ref() == Some(name),
        }
    }
}

impl StoredMember {
    fn new(host: Host, volume_id: &str) -> Self {
        Self {
            host,
            volume_id: volume_id.to_owned(),
            data: None,
            run: None,
            last: None,
            kept: None,
            silent_since: None,
            stale: None,
        }
    }

    /// Whether a machine hosts it, and is up.
    fn runs_on(&self, machine: &Machine) -> bool {
        self.host.is(machine) && machine.is_up()
    }

    /// Whether it votes at a moment, as the others know it. One that is down still does.
    fn votes(&self, at: Time) -> bool {
        match (&self.run, &self.data) {
            (Some(run), _) => !run.joins || run.caught_up_at <= at,
            (None, data) => data.as_ref().is_none_or(|data| data.votes),
        }
    }
}
