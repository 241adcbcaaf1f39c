//! What each member reports about itself and about its cluster.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::version::{Minor, Version};

/// What a member is in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// It counts for the quorum.
    Voter,
    /// It catches up and does not count yet.
    Learner,
    /// It is in the member list and has never started.
    Unstarted,
}

/// One member's report: the content of [`report_key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberReport {
    /// Version of this form.
    pub format_version: u32,
    /// The member's name.
    pub member: String,
    /// The machine it runs on.
    pub instance_id: String,
    /// Counts this member's reports; two with the same number are one.
    pub sequence: u64,
    /// Whether it answered its own health check: a linearizable read.
    pub is_healthy: bool,
    /// The term it is in.
    pub term: u64,
    /// Who it takes for the leader; none while there is an election.
    pub leader: Option<String>,
    /// Entries that it has not applied yet.
    pub lag: u64,
    /// Alarms that are raised in the cluster, such as `NOSPACE`.
    pub alarms: BTreeSet<String>,
    /// All members as it knows them, by name.
    pub members: BTreeMap<String, MemberRole>,
    /// When the newest verified snapshot of the cluster was taken, on the bucket's clock; none if there
    /// is none.
    pub snapshot_at: Option<Timestamp>,
    /// The version of its program; none of a member that does not run, or that an older kprod tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The cluster version as it knows it; none while etcd has not decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_version: Option<Minor>,
}

impl MemberReport {
    /// Raised when an older kprod could no longer read it.
    pub const FORMAT_VERSION: u32 = 1;

    /// Of a member that does not run, as its machine tells it.
    pub fn blank(member: &str, instance_id: &str, sequence: u64) -> Self {
        Self {
            format_version: Self::FORMAT_VERSION,
            member: member.to_owned(),
            instance_id: instance_id.to_owned(),
            sequence,
            is_healthy: false,
            term: 0,
            leader: None,
            lag: 0,
            alarms: BTreeSet::new(),
            members: BTreeMap::new(),
            snapshot_at: None,
            version: None,
            cluster_version: None,
        }
    }
}

/// What a member reports, and when the bucket received it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFact {
    /// The report.
    pub report: MemberReport,
    /// When it was written, on the bucket's clock.
    pub written_at: Timestamp,
    /// The report before it, if this run saw one: two in a row have to agree.
    pub before: Option<EarlierReport>,
}

/// A member's report before its newest one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierReport {
    /// The report.
    pub report: MemberReport,
    /// When it was written, on the bucket's clock.
    pub written_at: Timestamp,
}

/// What is known of all members: by etcd cluster and member; one without a report is absent.
pub type Facts = BTreeMap<String, BTreeMap<String, MemberFact>>;

impl MemberFact {
    /// What is known once a report was read, given what was known before: only a report with a higher
    /// number is a further one. A machine that is new may count from the start again: then what
    /// another machine said is no report before it.
    pub fn next(known: Option<&MemberFact>, report: MemberReport, written_at: Timestamp) -> Self {
        let Some(known) = known else { return Self { report, written_at, before: None } };
        if known.report.instance_id != report.instance_id {
            return Self { report, written_at, before: None };
        }
        if known.report.sequence == report.sequence {
            return Self { report, written_at, before: known.before.clone() };
        }
        let earlier = EarlierReport { report: known.report.clone(), written_at: known.written_at };
        Self { report, written_at, before: Some(earlier) }
    }
}

/// The object of the state bucket that holds a member's report.
pub fn report_key(cluster: &str, etcd: &str, member: &str) -> String {
    format!("etcd/{cluster}/{etcd}/report/{member}")
}

/// Which members there should be, and where: from the spec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// The etcd clusters by name (`main`, `events`).
    pub clusters: BTreeMap<String, TopologyCluster>,
}

/// One etcd cluster of a topology.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyCluster {
    /// Its members by name.
    pub members: BTreeMap<String, TopologyMember>,
}

/// One member of a topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyMember {
    /// The auto scaling group whose machine hosts it.
    pub group: String,
    /// The zone of that group; none if it has not exactly one.
    #[serde(default)]
    pub zone: Option<String>,
}

impl Topology {
    /// The members that a group's machine hosts: etcd cluster and member.
    pub fn members_on<'a>(&'a self, group: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.clusters.iter().flat_map(move |(etcd, cluster)| {
            let on_group = cluster.members.iter().filter(move |(_, member)| member.group == group);
            on_group.map(move |(name, _)| (etcd.as_str(), name.as_str()))
        })
    }

    /// Whether a group's machine hosts a member.
    pub fn is_host(&self, group: &str) -> bool {
        self.members_on(group).next().is_some()
    }
}
