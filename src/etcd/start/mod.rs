//! What a starting member does: a function of its volume, the epoch and what the other members say.
//!
//! This is where a second cluster, or an empty one over somebody's data, would be born, so it knows no
//! clock, no cloud and no etcd: whoever asks gathers a [`Sight`], and makes what [`decide`] says. What
//! is not known is never taken for "not there": a look that failed is no sight, and is made again.

mod decide;
mod reason;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::epoch::{ClusterId, Epoch};
use super::version::{DataVersion, Minor, Version};

pub use decide::{decide, reached};
pub use reason::{RefuseReason, WaitReason};

/// Everything that a starting member knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Who it is.
    pub identity: Identity,
    /// What its volume holds.
    pub volume: Volume,
    /// The version of the program that would run.
    pub program: Version,
    /// The epoch in the state bucket, read now; none if there is no such object.
    pub epoch: Option<Epoch>,
    /// What each of the epoch's other members says, by name; one that is absent is silent.
    pub others: BTreeMap<String, Answer>,
    /// Whether a member has reported to the state bucket, since the epoch was opened, that it belongs
    /// to a cluster.
    pub has_reported: bool,
    /// Whether the state bucket holds snapshots of this etcd cluster.
    pub has_snapshots: bool,
}

/// Which member of which etcd cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The cluster.
    pub cluster: String,
    /// The etcd cluster: `main` or `events`.
    pub etcd: String,
    /// The member.
    pub member: String,
}

/// What a member's volume holds. It was found by its serial, never by where it is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Volume {
    /// Nothing, and it never held anything: no signature, a first MiB of zeroes, and no tag that says
    /// it was to be formatted; or one of this machine's, which has not come to it yet.
    Blank,
    /// Nothing, although its tag says that it was formatted: what was on it is lost.
    Emptied,
    /// Something that kprod did not put there.
    Strange {
        /// What it looks like.
        what: String,
    },
    /// A file system of kprod's.
    Ours {
        /// Whose it is; none before a member was to start on it.
        stamp: Option<Stamp>,
        /// What of versions is known about its data; none where an older kprod started etcd on it.
        version: Option<DataVersion>,
        /// Whether etcd has ever started on it.
        has_data: bool,
    },
}

/// Whose data a volume holds: a file beside the data, written before etcd starts on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// Version of this form.
    pub format_version: u32,
    /// The cluster.
    pub cluster: String,
    /// The etcd cluster.
    pub etcd: String,
    /// The member.
    pub member: String,
    /// The number of its epoch.
    pub epoch: u64,
    /// The epoch's token.
    pub token: String,
}

/// What another member says when it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing, for whatever reason.
    Silent,
    /// It belongs to a cluster that has formed: etcd serves nobody before.
    Speaks(View),
}

/// A cluster as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Which cluster.
    pub cluster_id: ClusterId,
    /// Whether the member answered a linearizable read before it gave the list: it has a quorum, and
    /// the list is not older than the question.
    pub is_healthy: bool,
    /// The version of the member's own program; none if it did not say.
    pub program: Option<Version>,
    /// The cluster version; none while etcd has not decided, or did not say.
    pub cluster_version: Option<Minor>,
    /// The cluster's members.
    pub members: Vec<Listed>,
}

/// A member in another one's list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The id that etcd gave it.
    pub id: MemberId,
    /// Its name; empty for one that was added and has never started.
    pub name: String,
    /// Where others reach it.
    pub peer_urls: BTreeSet<String>,
    /// Where clients reach it, as it said itself; none before its first start.
    pub client_urls: BTreeSet<String>,
    /// Whether it does not count for the quorum yet.
    pub is_learner: bool,
}

/// The id that etcd gives a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberId(pub u64);

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Start on the data that is there.
    Existing,
    /// Join the cluster that is there, without a vote at first.
    Learner(Join),
    /// Form the epoch's cluster, together with its other members: empty, or from the snapshot that the
    /// epoch names.
    Bootstrap,
    /// Look again: time, or somebody else, may change it.
    Wait(WaitReason),
    /// Leave everything as it is: only people can change it.
    Refuse(RefuseReason),
}

/// How to get into the member list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// It is not in there: add it.
    Add,
    /// It is in there with data that is lost: remove that, then add it.
    Replace {
        /// The one that lost its data.
        lost: MemberId,
    },
    /// An earlier attempt added it and it never started: go on as that one.
    Resume {
        /// The one that was added.
        added: MemberId,
    },
}

impl Stamp {
    /// Raised when an older kprod could no longer read it.
    pub const FORMAT_VERSION: u32 = 1;

    /// The stamp of a member that starts under an epoch.
    pub fn new(identity: &Identity, epoch: &Epoch) -> Self {
        Self {
            format_version: Self::FORMAT_VERSION,
            cluster: identity.cluster.clone(),
            etcd: identity.etcd.clone(),
            member: identity.member.clone(),
            epoch: epoch.number,
            token: epoch.token.clone(),
        }
    }

    /// Whether it is a member's own.
    pub fn is_of(&self, identity: &Identity) -> bool {
        (&self.cluster, &self.etcd, &self.member)
            == (&identity.cluster, &identity.etcd, &identity.member)
    }
}

impl Listed {
    /// Whether it has ever started: only then does it say where clients reach it.
    pub fn is_started(&self) -> bool {
        !self.client_urls.is_empty()
    }
}

impl View {
    /// The members that count for the quorum.
    pub fn voters(&self) -> impl Iterator<Item = &Listed> {
        self.members.iter().filter(|listed| !listed.is_learner)
    }
}
