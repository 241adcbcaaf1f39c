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

mod ills;
mod leaves;
mod snapshots;
mod start;
mod state;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::clock::Time;
use super::store::StoredObject;
use super::{Machine, StoredZone, World};
use crate::cloud::Entry;
use crate::etcd::epoch::{Epoch as Opened, Place, epoch_key, snapshots_key};
use crate::etcd::report::report_key;
use crate::etcd::{MemberReport, MemberRole, Phase, Topology, names};
use crate::resource::{FORMATTED_TAG, OWNER_TAG};

use ills::{Ills, lag, never_votes};
use start::{Bucket, Data, LOOK_MS, cluster_id, fnv};
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

/// Between two reports.
const REPORT_MS: i64 = 10_000;
/// Seconds from a running machine to the member's start: the least, and what its id adds.
const START_SECS: (u64, u64) = (5, 10);
/// Seconds until it has caught up, with its data and without.
const CATCH_UP_SECS: (u64, u64) = (5, 20);
const LEARN_SECS: (u64, u64) = (60, 60);
/// What a machine that serves already when it is first looked at has taken to boot, at most.
const BOOT_SECS_MAX: u64 = 100;
/// Terms that are remembered.
const EPOCHS_MAX: usize = 8;

impl World {
    /// Says where a cluster's members are, for worlds that no apply has made: the machine of each
    /// member's group.
    pub fn host_etcd(&mut self, cluster: &str, topology: &Topology) {
        let etcds = self.etcds.entry(cluster.to_owned()).or_default();
        for (name, wanted) in &topology.clusters {
            let etcd = etcds.entry(name.clone()).or_default();
            etcd.is_named = true;
            for (member, place) in &wanted.members {
                let host = Host::Group(place.group.clone());
                etcd.members.entry(member.clone()).or_insert_with(|| StoredMember::new(host, ""));
            }
            let place = |member: &String| {
                let host = names::member_host(cluster, name, member);
                Place { peer_url: format!("https://{host}"), client_url: format!("https://{host}") }
            };
            let members = wanted.members.keys().map(|member| (member.clone(), place(member)));
            let first = Opened::first(cluster, name, members.collect(), self.seed);
            let object = StoredObject::new(first.to_bytes(), &first.token, self.now);
            self.objects.entry(epoch_key(cluster, name)).or_insert(object);
        }
        self.members_found.0.remove(cluster);
        self.tend_members();
    }

    /// From now on somebody else runs the members of a cluster on its machines.
    pub fn leave_members_to_others(&mut self, cluster: &str) {
        self.members_elsewhere.insert(cluster.to_owned());
        self.etcds.remove(cluster);
    }

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
        let (mut due, mut closed, mut formatted) = (Vec::new(), Vec::new(), Vec::new());
        for (cluster, etcds) in &mut etcds {
            for (name, etcd) in etcds {
                let ills = Ills::of(&self.faults.members, cluster, name);
                let bucket = Bucket { cluster, etcd: name, objects: &self.objects };
                formatted.extend(etcd.follow_machines(&self.machines, &bucket, now, &ills));
                etcd.elect(now, &ills);
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
        for volume_id in formatted {
            let mark = |known: &mut super::StoredVolume| {
                known.volume.tags.entry(FORMATTED_TAG.to_owned()).or_insert_with(|| "1".to_owned());
            };
            self.volumes.edit(&volume_id, mark);
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

    /// Finds a cluster's members by their volumes; where there are none, what was named stays.
    fn find_members(&mut self, cluster: &str) {
        let changes = [self.zones.changes(), self.volumes.changes(), self.interfaces.changes()];
        if self.members_elsewhere.contains(cluster) {
            return;
        }
        if self.members_found.0.get(cluster) == Some(&changes) {
            return;
        }
        self.members_found.0.insert(cluster.to_owned(), changes);
        let zone = format!("internal.{cluster}");
        let zones: Vec<&StoredZone> =
            self.zones.values().filter(|known| known.name == zone).collect();
        let mut found: BTreeMap<String, BTreeMap<String, (Host, String)>> = BTreeMap::new();
        for volume in self.volumes.values() {
            if volume.volume.tags.get(OWNER_TAG).is_none_or(|owner| owner != cluster) {
                continue;
            }
            let tags = volume.volume.tags.iter();
            let tag = tags.filter_map(|(key, value)| {
                Some((key.strip_prefix("k8s.io/etcd/")?, value.split_once('/')?.0))
            });
            for (etcd, member) in tag {
                let host = self.member_host(&zone, &zones, etcd, member);
                let members = found.entry(etcd.to_owned()).or_default();
                members.insert(member.to_owned(), (host, volume.volume_id.clone()));
            }
        }
        let etcds = self.etcds.entry(cluster.to_owned()).or_default();
        etcds.retain(|name, etcd| etcd.is_named || found.contains_key(name));
        for (name, members) in found {
            etcds.entry(name).or_default().replace_members(members);
        }
        if etcds.is_empty() {
            self.etcds.remove(cluster);
        }
    }

    /// The interface that a member's name points to (`desired::dns`).
    fn member_host(&self, zone: &str, zones: &[&StoredZone], etcd: &str, member: &str) -> Host {
        let name = match etcd {
            "main" => format!("etcd-{member}.{zone}"),
            other => format!("etcd-{other}-{member}.{zone}"),
        };
        let records = zones.iter().filter_map(|known| known.records.get(&name)?.get("A"));
        let addresses: Vec<&str> = records
            .flat_map(|records| records.resource_records.iter().filter_map(|value| value.known()))
            .collect();
        let mut interfaces = self.interfaces.values();
        interfaces
            .find(|known| addresses.contains(&known.private_ip_address.as_str()))
            .map_or(Host::Nowhere, |known| Host::Interface(known.network_interface_id.clone()))
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

impl StoredEtcd {
    fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.members.values().map(|member| &member.host)
    }

    /// Takes over the members that volumes tell of. One whose volume is another one starts blank; a
    /// cluster of which no volume is left is another cluster.
    fn replace_members(&mut self, found: BTreeMap<String, (Host, String)>) {
        let is_same = |name: &String, volume: &String| {
            self.members.get(name).is_some_and(|known| known.volume_id == *volume)
        };
        if !self.members.is_empty() && !found.iter().any(|(name, (_, id))| is_same(name, id)) {
            *self = Self::default();
        }
        self.members.retain(|name, _| found.contains_key(name));
        for (name, (host, volume_id)) in found {
            let known =
                self.members.entry(name).or_insert_with(|| StoredMember::new(Host::Nowhere, ""));
            known.host = host;
            if known.volume_id != volume_id {
                known.volume_id = volume_id;
                known.data = None;
            }
        }
    }

    /// Ends members whose machine is gone, and starts those whose machine runs and decides so. Gives the
    /// volumes that were started on.
    fn follow_machines(
        &mut self,
        machines: &BTreeMap<String, Machine>,
        bucket: &Bucket<'_>,
        now: Time,
        ills: &Ills<'_>,
    ) -> Vec<String> {
        let is_kept = |member: &StoredMember| {
            let run = member.run.as_ref();
            let machine = run.and_then(|run| machines.get(&run.instance_id));
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
            let Some(machine) = machines.values().find(|machine| member.runs_on(machine)) else {
                continue;
            };
            self.start(&name, machine, bucket, now, ills);
            match self.members.get(&name) {
                Some(member) if member.run.is_some() => started.push(member.volume_id.clone()),
                _ => self.waits = true,
            }
        }
        started
    }

    /// The epoch, closed for the cluster that has formed; none if it is closed already.
    fn close(&mut self, bucket: &Bucket<'_>) -> Option<(String, Opened)> {
        self.formed_at?;
        let token =
            self.members.values().find_map(|member| Some(&member.data.as_ref()?.stamp.token));
        let token = token?.clone();
        if self.closed.as_ref() == Some(&token) {
            return None;
        }
        let (epoch, _) = bucket.epoch().filter(|(epoch, _)| epoch.token == token)?;
        self.closed = Some(token);
        let is_open = epoch.phase == Phase::Open;
        let closed = is_open.then(|| epoch.closed(cluster_id(&epoch.token)).ok())??;
        Some((epoch_key(bucket.cluster, bucket.etcd), closed))
    }

    /// A leader among those that are healthy, if they are enough; the one they have, if they can.
    fn elect(&mut self, now: Time, ills: &Ills<'_>) {
        let able: Vec<&String> =
            self.members.keys().filter(|name| self.is_able(name, now, ills)).collect();
        let enough = able.len() > self.members.len().max(self.size) / 2;
        let is_first_look = self.epochs.is_empty();
        let (term, leader) = match self.epochs.back() {
            Some(epoch) => (epoch.term, epoch.leader.as_ref()),
            None => (1, None),
        };
        let chosen = match leader {
            Some(leader) if enough && able.contains(&leader) => Some(leader),
            _ => able.first().copied().filter(|_| enough),
        };
        if chosen != leader || is_first_look {
            // What stood before anybody looked stood for long.
            let since = if is_first_look { Time(0) } else { now };
            let term = if chosen.is_some() { term + 1 } else { term };
            let leader = chosen.cloned();
            self.epochs.push_back(Epoch { since, term, leader });
            if self.epochs.len() > EPOCHS_MAX {
                self.epochs.pop_front();
            }
        }
        if self.formed_at.is_none() && self.epochs.back().is_some_and(|e| e.leader.is_some()) {
            let runs = self.members.values().filter_map(|member| member.run.as_ref());
            self.formed_at = runs.map(|run| run.caught_up_at).filter(|at| *at <= now).max();
        }
    }

    /// Whether a member is up, caught up and votes.
    fn is_able(&self, name: &str, at: Time, ills: &Ills<'_>) -> bool {
        let Some(run) = self.members.get(name).and_then(|member| member.run.as_ref()) else {
            return false;
        };
        let is_ill =
            |fault: &MemberFault| matches!(fault, MemberFault::Sick | MemberFault::Learner);
        run.caught_up_at <= at && !ills.any(name, is_ill)
    }

    /// Notes since when something has been silent: faults come without a date.
    fn note_silence(&mut self, now: Time, ills: &Ills<'_>) {
        for (name, member) in &mut self.members {
            let is_silent = ills.any(name, |fault| *fault == MemberFault::Silent);
            let since = member.silent_since.unwrap_or(now);
            member.silent_since = is_silent.then_some(since);
        }
    }

    /// When a member has caught up next.
    fn next_change(&self, now: Time) -> Option<Time> {
        let runs = self.members.values().filter_map(|member| member.run.as_ref());
        let again = self.waits.then(|| now.plus_ms(LOOK_MS));
        runs.map(|run| run.caught_up_at).filter(|at| *at > now).chain(again).min()
    }

    fn newest_report(
        &self,
        name: &str,
        now: Time,
        ills: &Ills<'_>,
    ) -> Option<(MemberReport, Time)> {
        let member = self.members.get(name)?;
        let until = member.silent_since.map_or(now, |since| since.min(now));
        let Some(run) = member.run.as_ref().filter(|run| run.since <= until) else {
            return member.last.clone();
        };
        let lived = until.0 - run.since.0;
        let at = Time(run.since.0 + lived - lived % REPORT_MS);
        let kept = member.kept.as_ref().filter(|(_, kept_at)| *kept_at >= at);
        if let Some(kept) = kept {
            return Some(kept.clone());
        }
        Some((self.report(name, run, at, ills), at))
    }

    /// What a member says at a moment.
    fn report(&self, name: &str, run: &Run, at: Time, ills: &Ills<'_>) -> MemberReport {
        let (term, leader) = self.leader(at);
        let alarms = self.members.keys().flat_map(|member| ills.of_member(member));
        let alarms = alarms.filter_map(|fault| match fault {
            MemberFault::Alarm { name } => Some(name.clone()),
            _ => None,
        });
        MemberReport {
            format_version: MemberReport::FORMAT_VERSION,
            member: name.to_owned(),
            instance_id: run.instance_id.clone(),
            sequence: u64::try_from(at.0 / REPORT_MS).unwrap_or(0),
            is_healthy: self.is_healthy(name, at, ills),
            term,
            leader: leader.cloned(),
            lag: lag(name, run, at, ills),
            alarms: alarms.collect(),
            members: self.roles(at, ills),
            snapshot_at: self.snapshot(at).map(Time::timestamp),
        }
    }

    /// The term and the leader at a moment.
    fn leader(&self, at: Time) -> (u64, Option<&String>) {
        let epoch = self.epochs.iter().rev().find(|epoch| epoch.since <= at);
        epoch.map_or((1, None), |epoch| (epoch.term, epoch.leader.as_ref()))
    }

    /// Whether a member says at a moment that it is well: it is, and there is a leader.
    fn is_healthy(&self, name: &str, at: Time, ills: &Ills<'_>) -> bool {
        self.leader(at).1.is_some() && self.is_able(name, at, ills)
    }

    fn roles(&self, at: Time, ills: &Ills<'_>) -> BTreeMap<String, MemberRole> {
        let role = |(name, member): (&String, &StoredMember)| {
            let votes = member.votes(at) && !ills.any(name, never_votes);
            (name.clone(), if votes { MemberRole::Voter } else { MemberRole::Learner })
        };
        self.members.iter().map(role).collect()
    }
}

impl Run {
    /// A member's start on a machine that runs; one that ran before anybody looked is long up.
    fn begin(machine: &Machine, joins: bool, now: Time, is_first_look: bool) -> Self {
        let id = machine.instance_id.bytes();
        let chance = id.fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let secs = |(least, spread): (u64, u64), chance: u64| least + chance % spread;
        let booted = machine.launched_at.plus_secs(BOOT_SECS_MAX);
        let from = if is_first_look { booted.min(now) } else { now };
        let since = from.plus_secs(secs(START_SECS, chance));
        let catch_up = if joins { LEARN_SECS } else { CATCH_UP_SECS };
        let caught_up_at = since.plus_secs(secs(catch_up, chance / 16));
        Self { instance_id: machine.instance_id.clone(), since, caught_up_at, joins }
    }
}
