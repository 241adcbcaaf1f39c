//! The quorum guard: whether a machine may be taken away now, by what etcd's members report.
//!
//! No flag turns it off, and every way to end a machine of the control plane or of etcd asks it:
//! rolling forward, rolling back, undoing, repairing. It knows no clock and no network; a "no" is a
//! value that says all reasons at once.
//!
//! Of each etcd cluster that the machine hosts a member of (of all clusters, if it hosts none) it
//! wants, all at once:
//!
//! 1. every member of the spec reports: lately, from a machine that stays, healthy, with a leader,
//!    without alarms, caught up. The newest word of a member may be that of a machine that is ending, while
//!    the next one has its place in the group, and not yet its volume;
//! 2. every member knows exactly the spec's members, all of them voters: no learner, none that never
//!    started, no ghost;
//! 3. all agree on term and leader, in two reports in a row that were both written after the last
//!    step, the second one before the first was too old: a member that has just come back, or whose
//!    machine has slept and sends what it was about to say, is believed when it says the same twice,
//!    that it is well among it;
//! 4. a verified snapshot that is young enough;
//! 5. minor versions that are one apart at most, as while etcd is upgraded (`etcd::version`); and once
//!    all members run the next one, the cluster version risen to it. A member that does not say its
//!    version is of an older kprod, which has to be replaceable;
//! 6. of the members that stay, enough are healthy for a quorum while the newcomer is not.
//!
//! A member that goes and is down already (no report, an old one, one of a machine that is no more, or not
//! healthy) is not asked: its machine may be replaced if all the others are well, which is how a broken one
//! is mended. It counts for nothing in rule 6 either way.
//!
//! A cluster of one member cannot keep its quorum while its machine is replaced. Its data outlives
//! the machine on its volume, so this is a pause and no loss; it needs the spec's word
//! (`rollingUpdate.oneMemberDowntime`), and all other rules hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::report::{
    EarlierReport, Facts, MemberFact, MemberReport, MemberRole, Topology, TopologyCluster,
};
use super::version::{Minor, Version};

/// What the guard asks of the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How old a member's newest report may be.
    pub report_age_max: Duration,
    /// Entries that a member may lag behind.
    pub lag_max: u64,
    /// How old the newest verified snapshot may be. There is always such a limit: without a snapshot
    /// nothing brings a cluster back that a mistake has ended.
    pub snapshot_age_max: Duration,
    /// When the last step was made: reports count that were written since.
    pub not_before: Timestamp,
    /// Whether a cluster of one member may be down while its machine is replaced.
    pub one_member_downtime: bool,
}

impl Limits {
    /// Members report every 10 s; three reports may be lost before one counts as missing.
    pub const REPORT_AGE_MAX: Duration = Duration::from_secs(45);
    /// A tenth of the gap at which an etcd server refuses writes.
    /// Source: etcd `server/etcdserver/v3_server.go`, `maxGapBetweenApplyAndCommitIndex`, 5,000.
    pub const LAG_MAX: u64 = 500;
}

/// Why a machine may not be taken away now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The group whose machine it is.
    pub group: String,
    /// All reasons, by etcd cluster and member; never empty.
    pub reasons: BTreeSet<RefusalReason>,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefusalReason {
    /// The etcd cluster; empty if none is known.
    pub etcd: String,
    /// The member, where it is one member's.
    pub member: Option<String>,
    /// What is the matter.
    pub why: Why,
}

/// What is the matter with a member, or with its cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The spec tells of no etcd cluster: nothing is known of any quorum.
    NoCluster,
    /// There is no report that can be read.
    NoReport,
    /// Its newest report is too old.
    Stale { age_secs: i64, age_secs_max: u64 },
    /// Its newest report is from the future: a clock is off, and no age can be told.
    Ahead { by_secs: i64 },
    /// Its newest report is of a machine that its group has not, or no longer for long.
    Elsewhere { instance_id: String },
    /// It fails its own health check.
    NotHealthy,
    /// It knows no leader among the members.
    NoLeader,
    /// It sees alarms.
    Alarms { alarms: BTreeSet<String> },
    /// It lags behind.
    Lag { lag: u64, lag_max: u64 },
    /// It is a learner, or is being made one.
    Learner,
    /// It is in the list and never started.
    Unstarted,
    /// It is in the list and not in the spec.
    Unknown,
    /// It is in the spec and not in the list.
    Absent,
    /// Its term is another one than `of` has.
    OtherTerm { term: u64, of: String, theirs: u64 },
    /// Its leader is another one than `of` has.
    OtherLeader { leader: String, of: String, theirs: String },
    /// It has not reported twice since the last step, or since it was silent.
    NotTwice,
    /// Its last two reports differ in term, leader or members.
    Unsettled,
    /// It is well by its last report, and was not by the one before.
    WellOnce,
    /// There is no verified snapshot.
    NoSnapshot,
    /// The newest verified snapshot is too old.
    SnapshotOld { age_secs: i64, age_secs_max: u64 },
    /// Members run versions that etcd does not mix.
    VersionsApart { lowest: Version, highest: Version },
    /// Every member runs a newer minor version than the cluster works at.
    VersionBehind { cluster: Minor, members: Minor },
    /// Too few would be left.
    Quorum { healthy_after: usize, needed: usize, members: usize },
    /// It is the only one.
    OnlyMember,
}

/// Whether a group has an instance and keeps it: what a member says from any other is no word of it any more.
pub type Keeps<'a> = dyn Fn(&str, &str) -> bool + 'a;

/// Whether the machine of `group` may be taken away now.
///
/// # Errors
/// Everything that speaks against it.
pub fn may_go(
    topology: &Topology,
    facts: &Facts,
    keeps: &Keeps<'_>,
    group: &str,
    now: Timestamp,
    limits: &Limits,
) -> Result<(), Refusal> {
    let nothing = BTreeMap::new();
    let is_host = topology.is_host(group);
    let mut reasons = BTreeSet::new();
    if topology.clusters.is_empty() {
        let (etcd, member) = (String::new(), None);
        reasons.insert(RefusalReason { etcd, member, why: Why::NoCluster });
    }
    for (etcd, cluster) in &topology.clusters {
        let on_group = topology.members_on(group).filter(|(hosted, _)| hosted == etcd);
        let leaving: BTreeSet<&str> = on_group.map(|(_, member)| member).collect();
        if is_host && leaving.is_empty() {
            continue;
        }
        let facts = facts.get(etcd).unwrap_or(&nothing);
        let case = Case { cluster, leaving, keeps: Some(keeps), facts, now, limits };
        reasons.extend(case.reasons().into_iter().map(|found| reason(etcd, found)));
    }
    if reasons.is_empty() { Ok(()) } else { Err(Refusal { group: group.to_owned(), reasons }) }
}

/// What is wrong with one etcd cluster although nobody goes. That a member said so only once is no fault
/// of it: who looks once has no second report. Nor is it asked which machines there are.
pub fn complaints(
    etcd: &str,
    cluster: &TopologyCluster,
    facts: &BTreeMap<String, MemberFact>,
    now: Timestamp,
    limits: &Limits,
) -> BTreeSet<RefusalReason> {
    let case = Case { cluster, leaving: BTreeSet::new(), keeps: None, facts, now, limits };
    case.condition().into_iter().map(|found| reason(etcd, found)).collect()
}

/// Members of so many that have to agree.
pub fn quorum(members: usize) -> usize {
    members / 2 + 1
}

fn reason(etcd: &str, (member, why): Found<'_>) -> RefusalReason {
    RefusalReason { etcd: etcd.to_owned(), member: member.map(str::to_owned), why }
}

/// A reason, with the member it is about.
type Found<'a> = (Option<&'a str>, Why);

/// One etcd cluster, some of whose members go.
struct Case<'a> {
    cluster: &'a TopologyCluster,
    leaving: BTreeSet<&'a str>,
    /// Which machines stay, where that is known.
    keeps: Option<&'a Keeps<'a>>,
    facts: &'a BTreeMap<String, MemberFact>,
    now: Timestamp,
    limits: &'a Limits,
}

impl<'a> Case<'a> {
    fn members(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.cluster.members.keys().map(String::as_str)
    }

    fn is_member(&self, name: &str) -> bool {
        self.cluster.members.contains_key(name)
    }

    fn reasons(&self) -> Vec<Found<'a>> {
        let unsettled = |member: &'a str| Some((Some(member), self.settled(member)?));
        let mut found = self.condition();
        found.extend(self.asked().into_iter().filter_map(unsettled));
        found
    }

    /// All but that it has been so for two reports.
    fn condition(&self) -> Vec<Found<'a>> {
        let asked = self.asked();
        let mut found: Vec<Found<'a>> = Vec::new();
        for member in &asked {
            found.extend(self.well(member).into_iter().map(|why| (Some(*member), why)));
            found.extend(self.membership(member));
        }
        found.extend(self.agreement(&asked));
        found.extend(self.snapshot().map(|why| (None, why)));
        found.extend(self.versions(&asked).map(|why| (None, why)));
        found.extend(self.quorum());
        found
    }

    fn fact(&self, member: &str) -> Option<&'a MemberFact> {
        self.facts.get(member)
    }

    fn asked(&self) -> Vec<&'a str> {
        self.members().filter(|member| self.is_asked(member)).collect()
    }

    /// Whether what a member says counts: not that of one that goes and is down already.
    fn is_asked(&self, member: &str) -> bool {
        !self.leaving.contains(member) || self.is_up(member)
    }

    /// Whether a member said lately that it is healthy.
    fn is_up(&self, member: &str) -> bool {
        let fact = self.fact(member);
        fact.is_some_and(|fact| self.unheard(member, fact).is_none() && fact.report.is_healthy)
    }

    /// Why a member's newest report says nothing of how it is now.
    fn unheard(&self, member: &str, fact: &MemberFact) -> Option<Why> {
        age(fact, self.now, self.limits).or_else(|| self.elsewhere(member, fact))
    }

    /// Whether it is the word of a machine that does not stay.
    fn elsewhere(&self, member: &str, fact: &MemberFact) -> Option<Why> {
        let instance_id = &fact.report.instance_id;
        let group = &self.cluster.members.get(member)?.group;
        let stays = self.keeps?(group, instance_id);
        (!stays).then(|| Why::Elsewhere { instance_id: instance_id.clone() })
    }

    /// Rule 1: a member is well.
    fn well(&self, member: &str) -> Vec<Why> {
        let Some(fact) = self.fact(member) else { return vec![Why::NoReport] };
        if let Some(why) = self.unheard(member, fact) {
            return vec![why];
        }
        self.ails(&fact.report)
    }

    /// What ails a member by one of its reports.
    fn ails(&self, report: &MemberReport) -> Vec<Why> {
        let MemberReport { is_healthy, leader, lag, alarms, .. } = report;
        let mut whys = Vec::new();
        if !is_healthy {
            whys.push(Why::NotHealthy);
        }
        if leader.as_deref().is_none_or(|leader| !self.is_member(leader)) {
            whys.push(Why::NoLeader);
        }
        if !alarms.is_empty() {
            whys.push(Why::Alarms { alarms: alarms.clone() });
        }
        if *lag > self.limits.lag_max {
            whys.push(Why::Lag { lag: *lag, lag_max: self.limits.lag_max });
        }
        whys
    }

    /// Rule 2: a member knows the spec's members, all of them voters.
    fn membership(&self, member: &str) -> Vec<Found<'a>> {
        let Some(fact) = self.fact(member) else { return Vec::new() };
        let known = &fact.report.members;
        let wrong_roles = known.iter().filter_map(|(name, role)| match role {
            _ if !self.is_member(name) => Some((Some(name.as_str()), Why::Unknown)),
            MemberRole::Voter => None,
            MemberRole::Learner => Some((Some(name.as_str()), Why::Learner)),
            MemberRole::Unstarted => Some((Some(name.as_str()), Why::Unstarted)),
        });
        let absent = self.members().filter(|name| !known.contains_key(*name));
        wrong_roles.chain(absent.map(|name| (Some(name), Why::Absent))).collect()
    }

    /// Rule 3, between members: one term and one leader.
    fn agreement(&self, asked: &[&'a str]) -> Vec<Found<'a>> {
        let mut reports =
            asked.iter().filter_map(|member| Some((*member, &self.fact(member)?.report)));
        let Some((of, first)) = reports.next() else { return Vec::new() };
        let mut found = Vec::new();
        for (member, report) in reports {
            if report.term != first.term {
                let why =
                    Why::OtherTerm { term: report.term, of: of.to_owned(), theirs: first.term };
                found.push((Some(member), why));
            }
            // One that knows no leader has been told of.
            if let (Some(leader), Some(theirs)) = (&report.leader, &first.leader)
                && leader != theirs
            {
                let (leader, theirs) = (leader.clone(), theirs.clone());
                found.push((Some(member), Why::OtherLeader { leader, of: of.to_owned(), theirs }));
            }
        }
        found
    }

    /// Rule 3, of one member: the same twice since the last step.
    fn settled(&self, member: &str) -> Option<Why> {
        let fact = self.fact(member)?;
        let silence_max = signed(self.limits.report_age_max);
        let is_one_of_two = |before: &&EarlierReport| {
            let silence = fact.written_at.duration_since(before.written_at);
            before.written_at >= self.limits.not_before && silence <= silence_max
        };
        let Some(before) = fact.before.as_ref().filter(is_one_of_two) else {
            return Some(Why::NotTwice);
        };
        let told = |report: &'a MemberReport| (report.term, &report.leader, &report.members);
        if told(&before.report) != told(&fact.report) {
            return Some(Why::Unsettled);
        }
        let is_well = |report| self.ails(report).is_empty();
        (is_well(&fact.report) && !is_well(&before.report)).then_some(Why::WellOnce)
    }

    /// Rule 4: a snapshot to come back to. One that a member told of long ago is there still.
    fn snapshot(&self) -> Option<Why> {
        let taken = self.facts.values().filter_map(|fact| fact.report.snapshot_at);
        let Some(newest) = taken.max() else { return Some(Why::NoSnapshot) };
        let age = self.now.duration_since(newest);
        (age > signed(self.limits.snapshot_age_max)).then(|| Why::SnapshotOld {
            age_secs: age.as_secs(),
            age_secs_max: self.limits.snapshot_age_max.as_secs(),
        })
    }

    /// Rule 5: what the members run may be mixed, and no upgrade is half done.
    fn versions(&self, asked: &[&'a str]) -> Option<Why> {
        let reports = || asked.iter().filter_map(|member| Some(&self.fact(member)?.report));
        let known = || reports().filter_map(|report| report.version);
        let (lowest, highest) = (known().min()?, known().max()?);
        if highest.minor.may_follow(lowest.minor).is_err() {
            return Some(Why::VersionsApart { lowest, highest });
        }
        // While one is away, nobody knows whether it is the last of the older ones.
        let is_whole = known().count() == self.cluster.members.len();
        let cluster = reports().filter_map(|report| report.cluster_version).max()?;
        let members = lowest.minor;
        (is_whole && cluster < members).then_some(Why::VersionBehind { cluster, members })
    }

    /// Rule 6: members stay what they are while a machine is replaced, so as many vote after as
    /// before; healthy are those that stay and are up.
    fn quorum(&self) -> Option<Found<'a>> {
        let members = self.cluster.members.len();
        if members == 1 && !self.leaving.is_empty() {
            let only = self.members().next();
            return (!self.limits.one_member_downtime).then_some((only, Why::OnlyMember));
        }
        let stays = |member: &&str| !self.leaving.contains(*member) && self.is_up(member);
        let healthy_after = self.members().filter(stays).count();
        let needed = quorum(members);
        let why = Why::Quorum { healthy_after, needed, members };
        (healthy_after < needed).then_some((None, why))
    }
}

/// What is wrong with the age of a report.
pub(super) fn age(fact: &MemberFact, now: Timestamp, limits: &Limits) -> Option<Why> {
    let age = now.duration_since(fact.written_at);
    let max = signed(limits.report_age_max);
    if age > max {
        let age_secs_max = limits.report_age_max.as_secs();
        return Some(Why::Stale { age_secs: age.as_secs(), age_secs_max });
    }
    (age < -max).then(|| Why::Ahead { by_secs: -age.as_secs() })
}

fn signed(limit: Duration) -> SignedDuration {
    SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX)
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, reason) in self.reasons.iter().enumerate() {
            write!(f, "{}{reason}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.member, self.etcd.as_str()) {
            (Some(member), etcd) => write!(f, "etcd {etcd}, member {member}: {}", self.why),
            (None, "") => write!(f, "{}", self.why),
            (None, etcd) => write!(f, "etcd {etcd}: {}", self.why),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::NoCluster => write!(f, "no etcd cluster is known"),
            Why::NoReport => write!(f, "there is no report of it that can be read"),
            Why::Stale { age_secs, age_secs_max } => {
                write!(f, "its last report is {age_secs} s old, at most {age_secs_max} s count")
            }
            Why::Ahead { by_secs } => {
                write!(f, "its last report is {by_secs} s ahead of the clock")
            }
            Why::Elsewhere { instance_id } => {
                write!(f, "its last report is of {instance_id}, which its group does not keep")
            }
            Why::NotHealthy => write!(f, "it is not healthy"),
            Why::NoLeader => write!(f, "it knows no leader"),
            Why::Alarms { alarms } => {
                let alarms: Vec<&str> = alarms.iter().map(String::as_str).collect();
                write!(f, "alarm {}", alarms.join(", "))
            }
            Why::Lag { lag, lag_max } => write!(f, "it lags by {lag} entries, at most {lag_max}"),
            Why::Learner => write!(f, "it is a learner"),
            Why::Unstarted => write!(f, "it was added and never started"),
            Why::Unknown => write!(f, "it is a member and the spec does not name it"),
            Why::Absent => write!(f, "the spec names it and it is no member"),
            Why::OtherTerm { term, of, theirs } => {
                write!(f, "it is in term {term}, member {of} in {theirs}")
            }
            Why::OtherLeader { leader, of, theirs } => {
                write!(f, "its leader is {leader}, that of member {of} is {theirs}")
            }
            Why::NotTwice => {
                write!(f, "it has not reported twice since the last step, or since it was silent")
            }
            Why::Unsettled => write!(f, "its last two reports differ in term, leader or members"),
            Why::WellOnce => write!(f, "it was not well in the report before its last one"),
            Why::NoSnapshot => write!(f, "there is no verified snapshot"),
            Why::SnapshotOld { age_secs, age_secs_max } => write!(
                f,
                "the newest verified snapshot is {age_secs} s old, at most {age_secs_max} s count"
            ),
            Why::VersionsApart { lowest, highest } => {
                write!(
                    f,
                    "members run etcd {lowest} and {highest}, more than one minor version apart"
                )
            }
            Why::VersionBehind { cluster, members } => write!(
                f,
                "all members run etcd {members}, and the cluster version is still {cluster}"
            ),
            Why::Quorum { healthy_after, needed, members } => write!(
                f,
                "{healthy_after} of {members} members would be left and healthy, {needed} are needed"
            ),
            Why::OnlyMember => write!(f, "it is the only member: etcd is down without it"),
        }
    }
}

impl Refusal {
    /// What somebody has to do if waiting does not help: of the first reason.
    pub fn way_out(&self) -> &'static str {
        self.reasons.first().map_or("", |reason| reason.why.way_out())
    }

    /// Whether time may mend it all without anybody's help.
    pub fn is_passing(&self) -> bool {
        self.reasons.iter().all(|reason| reason.why.is_passing())
    }
}

impl Why {
    /// What somebody has to do if waiting does not help.
    pub fn way_out(&self) -> &'static str {
        match self {
            Why::NoCluster => "name the etcd clusters in `etcdClusters`",
            Why::NoReport | Why::Stale { .. } => {
                "see why the member does not report: its machine, its service, its way to the state \
                 bucket"
            }
            Why::Ahead { .. } => "set the clock of this machine",
            Why::Elsewhere { .. } => {
                "wait until the member reports from the machine that its group has; if it does not, see \
                 why that one does not get its volume"
            }
            Why::NotHealthy | Why::NoLeader | Why::Lag { .. } => {
                "see what ails the member: its disk, its network, its log"
            }
            Why::Alarms { .. } => "mend the cause of the alarm, then disarm it",
            Why::Learner | Why::Unstarted => {
                "wait until the member has caught up and votes, or remove it"
            }
            Why::Unknown | Why::Absent => "make the members those of `etcdMembers`",
            Why::OtherTerm { .. }
            | Why::OtherLeader { .. }
            | Why::NotTwice
            | Why::Unsettled
            | Why::WellOnce => "wait until the members agree; if they do not, see their network",
            Why::NoSnapshot | Why::SnapshotOld { .. } => {
                "see why snapshots fail, or take one, then run again"
            }
            Why::VersionsApart { .. } => {
                "bring the odd member back to a version next to that of the others, by its program \
                 alone: its data stays"
            }
            Why::VersionBehind { .. } => {
                "wait until the leader raises it, seconds after all members are up; if it does not, see \
                 its log"
            }
            Why::Quorum { .. } => "bring members back until enough are healthy",
            Why::OnlyMember => {
                "have three members, or accept the pause with `oneMemberDowntime: true` in the \
                 cluster's `rollingUpdate`"
            }
        }
    }

    /// Whether time may mend it without anybody's help.
    pub fn is_passing(&self) -> bool {
        !matches!(
            self,
            Why::NoCluster
                | Why::Unknown
                | Why::Absent
                | Why::OnlyMember
                | Why::VersionsApart { .. }
        )
    }
}

#[cfg(test)]
mod tests;
