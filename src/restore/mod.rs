//! Restoring etcd: every etcd cluster of a cluster begins anew with a snapshot, all of one time.
//!
//! What is to happen next is decided by what is there ([`decide()`]); the driver makes one step, looks
//! again, and keeps nothing between two looks but one object of the state bucket: which snapshots, which
//! volumes were there before, which machines have to go. So a run that is killed at any instant is
//! finished by the next one.
//!
//! The order is what makes it safe. First each epoch is followed by one that begins with its snapshot:
//! from then on no member of the old cluster starts again, and those that run stop. Then the old volumes
//! are set aside: they keep their data, lose their members' tags, and are never deleted. The machines end,
//! and only when they are gone are new volumes made: a machine that is about to end takes none of them, and
//! forms nothing. Those that their groups bring find blank volumes and an epoch that tells them what to
//! begin with. Whoever says that it is well counts only on a machine that stays.

mod decide;
mod driver;
mod journal;
mod look;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::etcd::Epoch;
use crate::etcd::snapshot::{Moment, Record, Tooling, ToolingError};
use crate::resource::Key;

pub use decide::decide;
pub use driver::{RestoreReport, RestoreRequest, VolumePlan, run};
pub use journal::{Journal, Target, journal_key, read};
pub use look::volumes;

/// What a restore does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// An epoch that begins with the snapshot follows the one that is there.
    Fence {
        /// The etcd cluster.
        etcd: String,
    },
    /// Volumes of the time before lose their members' tags, and keep their data.
    SetAside {
        /// Their addresses, by id.
        volumes: BTreeMap<String, Key>,
    },
    /// It is noted which machines have to go: those that were there before the old volumes were set aside.
    NoteMachines {
        /// Their ids.
        machines: BTreeSet<String>,
    },
    /// Machines end; their groups bring others.
    EndMachines {
        /// Ids by group.
        machines: BTreeMap<String, BTreeSet<String>>,
    },
    /// Machines that have to go end, and are waited for: as long as they run they would take new volumes.
    AwaitEnd {
        /// Their ids.
        machines: BTreeSet<String>,
    },
    /// Members get volumes that never held anything.
    MakeVolumes {
        /// Their addresses.
        volumes: BTreeSet<Key>,
    },
    /// Members form their clusters.
    Wait {
        /// Who is not well yet, as etcd cluster and member.
        members: BTreeSet<(String, String)>,
        /// The machines that host them now: if it takes too long, they have to go as well.
        machines: BTreeSet<String>,
    },
    /// All members are well.
    Finish,
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sight {
    /// The epochs, by etcd cluster.
    pub epochs: BTreeMap<String, Epoch>,
    /// The members' volumes that carry the cluster's tag: addresses by id.
    pub volumes: BTreeMap<String, Key>,
    /// The addresses that members' volumes should have.
    pub wanted: BTreeSet<Key>,
    /// Machines that are there and stay, by group.
    pub machines: BTreeMap<String, BTreeSet<String>>,
    /// Machines that are there and end or leave, by group.
    pub ending: BTreeMap<String, BTreeSet<String>>,
    /// Groups, with the members that each hosts, as etcd cluster and member.
    pub hosts: BTreeMap<String, BTreeSet<(String, String)>>,
    /// Members that have lately said that they are healthy voters, with the machine that said so, which is
    /// in service.
    pub well: BTreeMap<(String, String), String>,
    /// Whether machines that an earlier run has waited for in vain have had their time in this run too.
    pub gives_up: bool,
}

/// Why a restore cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// There is nothing to restore over.
    #[error("etcd {etcd} has no epoch: it was never formed, or its epoch is gone")]
    NoEpoch {
        /// The etcd cluster.
        etcd: String,
    },
    /// It moved on without this restore.
    #[error("etcd {etcd} is in epoch {found}, this restore is about to open {wanted}")]
    Overtaken {
        /// The etcd cluster.
        etcd: String,
        /// The epoch that is there.
        found: u64,
        /// The epoch that this restore opens.
        wanted: u64,
    },
    /// The snapshots are of a version that kprod does not restore.
    #[error(transparent)]
    Version(#[from] ToolingError),
}

/// What each etcd cluster is to begin with.
///
/// # Errors
/// When there is no epoch to follow, or a snapshot's version is none that kprod restores.
pub fn targets(
    moment: &Moment,
    epochs: &BTreeMap<String, Epoch>,
) -> Result<BTreeMap<String, Target>, RestoreError> {
    let target = |(etcd, record): (&String, &Record)| {
        let missing = || RestoreError::NoEpoch { etcd: etcd.clone() };
        let epoch = epochs.get(etcd).ok_or_else(missing)?;
        let bump_revisions = Tooling::of(record.etcd_version)?.bump();
        Ok((etcd.clone(), Target::new(epoch, record, bump_revisions)))
    };
    moment.iter().map(target).collect()
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let some = |count: usize, one: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {one}s"),
        };
        match self {
            Step::Fence { etcd } => {
                write!(f, "etcd {etcd}: its next epoch begins with the snapshot")
            }
            Step::SetAside { volumes } => {
                write!(
                    f,
                    "{} set aside, with all that is on them",
                    some(volumes.len(), "old volume")
                )
            }
            Step::MakeVolumes { volumes } => {
                write!(f, "{} to make", some(volumes.len(), "new volume"))
            }
            Step::NoteMachines { machines } => {
                write!(f, "{} noted that have to go", some(machines.len(), "machine"))
            }
            Step::EndMachines { machines } => {
                let count = machines.values().map(BTreeSet::len).sum();
                write!(f, "{} ended; their groups bring others", some(count, "machine"))
            }
            Step::AwaitEnd { machines } => {
                write!(f, "waiting for {} to end", some(machines.len(), "machine"))
            }
            Step::Wait { members, .. } => {
                let names: Vec<String> =
                    members.iter().map(|(etcd, member)| format!("{etcd}/{member}")).collect();
                write!(f, "waiting for members to be healthy voters: {}", names.join(", "))
            }
            Step::Finish => write!(f, "every member is a healthy voter"),
        }
    }
}
