//! Why a member does not start, in words.

use std::fmt;

use super::{Join, MemberId, Stamp, Start};
use crate::etcd::epoch::ClusterId;
use crate::etcd::version::{Minor, Version};

/// Why to look again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitReason {
    /// kprod has not written it yet, or it was removed.
    #[error("there is no epoch in the state bucket: `kprod apply` writes it")]
    NoEpoch,
    /// The members with data are to come first.
    #[error("the cluster has formed, and no other member answers")]
    NobodySpeaks,
    /// Nobody can be added without a quorum.
    #[error("the cluster has no quorum: no member answers a linearizable read")]
    NoQuorum,
    /// The epoch is about to be closed.
    #[error("the cluster has formed without this member; its epoch is about to be closed")]
    HasFormed,
    /// One at a time.
    #[error("another member catches up first: {}", if name.is_empty() { "one just added" } else { name })]
    LearnerBefore {
        /// Its name; empty while it has not started.
        name: String,
    },
    /// Removing a lost member changes what a quorum is.
    #[error("{healthy} of the other members are healthy, {needed} are needed to replace this one")]
    TooFewToReplace {
        /// Healthy ones.
        healthy: usize,
        /// A quorum of those that are left.
        needed: usize,
    },
}

/// Why people have to decide.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefuseReason {
    /// What was there is lost, or somebody cleared it; or its machine was ended right before it made a file
    /// system, which nobody else can know.
    #[error(
        "the volume was to be formatted once, says its tag `kprod.dev/formatted`, and is empty now"
    )]
    Emptied,
    /// Not for kprod to overwrite.
    #[error("the volume holds what kprod did not put there: {what}")]
    Strange {
        /// What it looks like.
        what: String,
    },
    /// Data of unknown origin.
    #[error("the volume holds etcd's data without kprod's note of whose it is")]
    Unstamped,
    /// A volume at the wrong place.
    #[error("the volume is that of member {} of {} of {}", stamp.member, stamp.etcd, stamp.cluster)]
    OtherMember {
        /// Whose it is.
        stamp: Stamp,
    },
    /// Data from before, or after, a restore.
    #[error("the volume holds data of epoch {found}, the cluster is in epoch {wanted}")]
    OtherEpoch {
        /// The data's.
        found: u64,
        /// The state bucket's.
        wanted: u64,
    },
    /// Not in the epoch's list.
    #[error("epoch {number} has no such member")]
    NoMember {
        /// The epoch.
        number: u64,
    },
    /// Two clusters, where there should be one.
    #[error("member {member} belongs to the etcd cluster {found}, this one to {wanted}")]
    OtherCluster {
        /// Who said so.
        member: String,
        /// Its cluster.
        found: ClusterId,
        /// The epoch's, or another member's.
        wanted: ClusterId,
    },
    /// etcd takes no data of a member that was removed.
    #[error("the member was removed from its cluster: its data is of no more use there")]
    Removed,
    /// There was a cluster with data, which an empty one would hide.
    #[error("there are snapshots of this etcd cluster, and the epoch begins with none of them")]
    HasSnapshots,
    /// etcd does not go down.
    #[error("its program is etcd {program}, and the cluster is at version {reached} already")]
    ProgramTooOld {
        /// The program's.
        program: Version,
        /// The cluster's.
        reached: Minor,
    },
    /// etcd goes up one minor version at a time.
    #[error(
        "its program is etcd {program}, and the cluster is at version {reached}: etcd goes up one minor \
         version at a time"
    )]
    ProgramTooNew {
        /// The program's.
        program: Version,
        /// The cluster's.
        reached: Minor,
    },
    /// The next minor version takes data of some releases only.
    #[error(
        "its program is etcd {program}, which begins with data of {needed} or a later release, and the \
         data is of {wrote}"
    )]
    ProgramTooSoon {
        /// The program's.
        program: Version,
        /// Of whoever has the data.
        wrote: Version,
        /// The first release that would do.
        needed: Version,
    },
}

impl RefuseReason {
    /// Whether it is the program that must not start, while data and place are in order: what runs is
    /// of an earlier program then, and goes on.
    pub fn is_about_program(&self) -> bool {
        matches!(
            self,
            RefuseReason::ProgramTooOld { .. }
                | RefuseReason::ProgramTooNew { .. }
                | RefuseReason::ProgramTooSoon { .. }
        )
    }

    /// What people can do about it.
    pub fn way_out(&self) -> &'static str {
        match self {
            RefuseReason::Emptied => {
                "where the member has never run on it, its machine was ended before it made a file system: \
                 remove that tag, then end the machine, and the next one makes it; else see who emptied the \
                 volume, then delete it by name and apply: the member joins on a new one"
            }
            RefuseReason::Strange { .. } => {
                "look at what is on the volume; if nothing of it is needed, delete the volume by name \
                 and apply: the member then joins on a new one"
            }
            RefuseReason::Unstamped | RefuseReason::OtherMember { .. } => {
                "give the volume back to its member; if its data is not needed, delete it by name and \
                 apply"
            }
            RefuseReason::OtherEpoch { .. } | RefuseReason::NoMember { .. } => {
                "the volume is left as it is; `kprod apply` brings the machine to the volume of this \
                 epoch"
            }
            RefuseReason::OtherCluster { .. } => {
                "`kprod etcd status` shows who belongs where; end the machine that does not belong here"
            }
            RefuseReason::Removed => {
                "delete the volume by name and apply: the member then joins on a new one"
            }
            RefuseReason::HasSnapshots => {
                "`kprod etcd restore` forms the cluster from one; if it is to begin empty, move the \
                 snapshots out of `backupStore` first, and then their list out of the state bucket"
            }
            RefuseReason::ProgramTooOld { .. } => {
                "give the group an image with etcd of the cluster's minor version, or the one above it; \
                 the data is left as it is"
            }
            RefuseReason::ProgramTooNew { .. } => {
                "give all members the next minor version of etcd first, and the one after it once \
                 `kprod etcd status` tells that the cluster version has risen; the data is left as it is"
            }
            RefuseReason::ProgramTooSoon { .. } => {
                "give all members the newest release of their own minor version first, and the next one \
                 once `kprod etcd status` tells that they are well; the data is left as it is"
            }
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Start::Existing => write!(f, "starts on its data"),
            Start::Learner(join) => write!(f, "joins as a learner: {join}"),
            Start::Bootstrap => write!(f, "forms the epoch's cluster with its other members"),
            Start::Wait(reason) => write!(f, "waits: {reason}"),
            Start::Refuse(reason) => write!(f, "does not start: {reason}"),
        }
    }
}

impl fmt::Display for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Join::Add => write!(f, "it is not in the list yet"),
            Join::Replace { lost } => write!(f, "its data is lost, it replaces {lost}"),
            Join::Resume { added } => write!(f, "it was added before as {added}"),
        }
    }
}

impl fmt::Display for MemberId {
    /// As etcd's own tools and logs write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}
