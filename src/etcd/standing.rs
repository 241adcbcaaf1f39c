//! How the etcd clusters stand at a moment, by what their members report.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::domains::Domains;
use super::guard::{self, Limits, RefusalReason};
use super::report::{Facts, MemberFact, MemberRole, Topology, TopologyCluster, TopologyMember};
use super::version::Minor;

/// The etcd clusters of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whose they are.
    pub cluster: String,
    /// When the reports were read, on the cloud's clock.
    pub observed_at: Timestamp,
    /// By name.
    pub etcds: BTreeMap<String, EtcdStanding>,
}

/// One etcd cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdStanding {
    /// Its members by name.
    pub members: BTreeMap<String, MemberStanding>,
    /// What an outage of a zone leaves.
    pub domains: Domains,
    /// When the newest verified snapshot was taken; none if no member knows of one.
    pub snapshot_at: Option<Timestamp>,
    /// The cluster version; none while no member knows of one.
    pub cluster_version: Option<Minor>,
    /// All that is wrong, as the quorum guard would say it if nobody went.
    pub complaints: BTreeSet<RefusalReason>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStanding {
    /// The group whose machine hosts it.
    pub group: String,
    /// The zone of that group.
    pub zone: Option<String>,
    /// What it reported last; none if there is nothing that can be read.
    pub fact: Option<MemberFact>,
    /// What it is, as far as that can be told.
    pub state: MemberState,
}

/// What a member is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It leads.
    Leader,
    /// It votes.
    Follower,
    /// It catches up and does not vote.
    Learner,
    /// It is in the list and never started.
    Unstarted,
    /// It fails its own health check.
    NotHealthy,
    /// Its report is too old, or from the future, to say anything.
    Silent,
    /// There is no report.
    NoReport,
}

impl MemberState {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            MemberState::Leader => "leader",
            MemberState::Follower => "follower",
            MemberState::Learner => "learner",
            MemberState::Unstarted => "unstarted",
            MemberState::NotHealthy => "not_healthy",
            MemberState::Silent => "silent",
            MemberState::NoReport => "no_report",
        }
    }

    fn is_up(self) -> bool {
        matches!(self, MemberState::Leader | MemberState::Follower)
    }
}

impl Standing {
    /// By the members' reports.
    pub fn of(
        cluster: &str,
        topology: &Topology,
        facts: &Facts,
        now: Timestamp,
        limits: &Limits,
    ) -> Self {
        let nothing = BTreeMap::new();
        let etcd = |(name, wanted): (&String, &TopologyCluster)| {
            let facts = facts.get(name).unwrap_or(&nothing);
            let member = |(member, place): (&String, &TopologyMember)| {
                let fact = facts.get(member).cloned();
                let state = state(member, fact.as_ref(), now, limits);
                let (group, zone) = (place.group.clone(), place.zone.clone());
                (member.clone(), MemberStanding { group, zone, fact, state })
            };
            let members: BTreeMap<String, MemberStanding> =
                wanted.members.iter().map(member).collect();
            let up = members.iter().filter(|(_, member)| member.state.is_up());
            let up = up.map(|(name, _)| name.as_str()).collect();
            let standing = EtcdStanding {
                domains: Domains::of(wanted, &up),
                cluster_version: facts.values().filter_map(|f| f.report.cluster_version).max(),
                snapshot_at: facts.values().filter_map(|fact| fact.report.snapshot_at).max(),
                complaints: guard::complaints(name, wanted, facts, now, limits),
                members,
            };
            (name.clone(), standing)
        };
        let etcds = topology.clusters.iter().map(etcd).collect();
        Self { cluster: cluster.to_owned(), observed_at: now, etcds }
    }

    /// Whether every member is a healthy voter, and a young snapshot is there.
    pub fn is_well(&self) -> bool {
        self.etcds.values().all(|etcd| etcd.complaints.is_empty())
    }
}

fn state(member: &str, fact: Option<&MemberFact>, now: Timestamp, limits: &Limits) -> MemberState {
    let Some(fact) = fact else { return MemberState::NoReport };
    if guard::age(fact, now, limits).is_some() {
        return MemberState::Silent;
    }
    let report = &fact.report;
    match report.members.get(member) {
        _ if !report.is_healthy => MemberState::NotHealthy,
        Some(MemberRole::Learner) => MemberState::Learner,
        Some(MemberRole::Unstarted) => MemberState::Unstarted,
        _ if report.leader.as_deref() == Some(member) => MemberState::Leader,
        _ => MemberState::Follower,
    }
}

#[cfg(test)]
mod tests;
