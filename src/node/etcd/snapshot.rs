//! Snapshots by a member's machine: whether one is due is decided by the list; it is taken of the member
//! itself, held to its own sum, uploaded, read back and compared, and only then recorded.
//!
//! It goes on beside the watch over the member, which says how the member is: a large database takes
//! minutes, and reports go on meanwhile.

mod deliver;
mod keep;
mod save;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::cloud::archive::NoAddress;
use crate::cloud::{CloudError, StoreError};
use crate::etcd::epoch::Epoch;
use crate::etcd::snapshot::{Content, ContentError, ToolingError, examine};
use crate::etcd::version::{NoVersion, Version};
use crate::node::host::{HostError, off_thread, open};
use crate::snapshot::SnapshotStoreError;

pub(super) use keep::Keeper;
pub(super) use save::Tools;

/// What watch and keeper tell each other.
#[derive(Debug, Default)]
pub(super) struct Shared {
    health: Mutex<Option<Health>>,
    newest: Mutex<Option<Timestamp>>,
    /// Snapshots that have left the list, and may still lie in the archive.
    gone: Mutex<BTreeSet<String>>,
    is_taking: AtomicBool,
}

/// How the member is, for whoever takes a snapshot of it.
#[derive(Clone, Debug)]
pub(super) struct Health {
    /// Its epoch.
    pub(super) epoch: Epoch,
    /// Whether it is a healthy voter of that epoch's cluster.
    pub(super) is_well: bool,
    /// Its version; none when it does not answer.
    pub(super) version: Option<Version>,
    /// Its term.
    pub(super) term: u64,
    /// The members that vote.
    pub(super) voters: BTreeSet<String>,
    /// Who leads.
    pub(super) leader: Option<String>,
}

/// Why there is no snapshot, or none that can be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The state bucket or the archive failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The list of snapshots cannot be read or written.
    #[error(transparent)]
    List(#[from] SnapshotStoreError),
    /// The cluster's certificates could not be read.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The machine failed, or etcd's program.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The address that it should be at is none.
    #[error(transparent)]
    Address(#[from] NoAddress),
    /// A version of etcd that kprod cannot do it with.
    #[error(transparent)]
    Tooling(#[from] ToolingError),
    /// What should be etcd's program is none.
    #[error(transparent)]
    Program(#[from] NoVersion),
    /// What etcd gave is no snapshot.
    #[error("the snapshot `{what}` cannot be used: {why}")]
    Content {
        /// Which.
        what: String,
        /// Why.
        why: ContentError,
    },
    /// What lies in the archive is another one than was put there.
    #[error("the snapshot `{object}` has the sum {found}, and was recorded with {wanted}")]
    Changed {
        /// Where it lies.
        object: String,
        /// The sum of what is there.
        found: String,
        /// The sum that it had.
        wanted: String,
    },
    /// It is not there.
    #[error("there is no snapshot `{object}`")]
    Missing {
        /// Where it should be.
        object: String,
    },
    /// etcd's program says something that makes no sense.
    #[error("{program} does not say what the snapshot holds: {said}")]
    Senseless {
        /// The program.
        program: String,
        /// What it says.
        said: String,
    },
}

impl Shared {
    /// What the watch has seen.
    pub(super) fn see(&self, health: Option<Health>) {
        *lock(&self.health) = health;
    }

    /// When the newest verified snapshot was taken, as far as is known.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        *lock(&self.newest)
    }

    /// Whether one is being taken: who is about to give the member up waits for it.
    pub(super) fn is_taking(&self) -> bool {
        self.is_taking.load(Ordering::SeqCst)
    }

    /// Says whether one is being taken.
    pub(super) fn set_taking(&self, is_taking: bool) {
        self.is_taking.store(is_taking, Ordering::SeqCst);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a snapshot's file and holds it to its own sum.
pub(super) async fn look_into(path: PathBuf, what: &str) -> Result<Content, SnapshotError> {
    let read = off_thread(move || open(&path).map(examine)).await?;
    read.map_err(|why| SnapshotError::Content { what: what.to_owned(), why })
}
