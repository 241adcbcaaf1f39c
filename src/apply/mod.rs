//! Apply: makes the changes of a plan, in waves, under a lease.
//!
//! The plan leaves no choice; what is left is to be careful. Before each change the world is looked
//! at again. A change is a list of calls computed from what is there ([`steps`]), so that a run
//! killed at any instant is finished by the next one with the same code: there is no resume logic.
//! Replies are trusted at once, reads only after a while; a lost answer is looked up, never guessed.

mod change;
mod engine;
pub mod failure;
mod gate;
mod incarnation;
pub mod journal;
pub mod lease;
mod link;
mod names;
pub(crate) mod pool;
mod precheck;
mod run_id;
mod settle;
pub mod steps;
mod stop;
pub mod store;
mod wave;
mod world;

use std::time::Duration;

pub use engine::{millis, run, since, waiting_for_lease};
pub use failure::{lease_failure, store_failure};
pub use incarnation::forget_tokens;
pub use run_id::RunId;
pub use stop::StopSignal;

use crate::cloud::{Cloud, Denial, Query};
use crate::error::{ExitCode, Failure};
use crate::event::Event;
use crate::plan::Plan;
use crate::resource::Key;

/// What to apply, and how.
#[derive(Clone, Debug)]
pub struct ApplyRequest<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What to look at; the plan's own addresses are added.
    pub query: &'a Query,
    /// Who applies, for the lease: user, host, process.
    pub holder: String,
    /// How long to wait for another run's lease; zero for not at all.
    pub lock_timeout: Duration,
    /// How long a new group may take to have its machines in service; zero for not to wait. A
    /// control plane with etcd forms within a few minutes, spot capacity may take longer.
    pub wait_timeout: Duration,
}

/// Whether the last run on a cluster was killed, or stopped before all was done: then there may be
/// machines to wait for even when there is nothing left to make. A hint, as the journal is.
///
/// # Errors
/// When the state bucket cannot be read (exit 1).
pub async fn is_unfinished<C: Cloud>(cloud: &C, cluster: &str) -> Result<bool, Failure> {
    let last = journal::read_last(cloud, cluster).await;
    let last = last.map_err(|error| store_failure(&error, cluster))?;
    Ok(last.is_some_and(|last| !last.is_done()))
}

/// Waits at most `wait_max` until no run holds the lease of `cluster`; a wait is announced.
///
/// # Errors
/// Exit 4 when another run still holds it at the end.
pub async fn wait_for_others<C: Cloud>(
    cloud: &C,
    cluster: &str,
    wait_max: Duration,
    announce: &(dyn Fn(Event) + Sync),
) -> Result<(), Failure> {
    lease::wait_until_free(cloud, cluster, wait_max, &|record, deadline| {
        announce(engine::waiting_for_lease(record, deadline));
    })
    .await
    .map_err(|error| failure::lease_failure(&error, cluster))
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct ApplyReport {
    /// The cluster.
    pub cluster: String,
    /// The run's id, in the journal.
    pub run: String,
    /// Whether the cloud is the simulator.
    pub is_simulated: bool,
    /// How many changes the plan has.
    pub change_count: usize,
    /// Changes made.
    pub done: Vec<Key>,
    /// Changes that found the world as wanted.
    pub already_done: Vec<Key>,
    /// Changes that failed, and why.
    pub failed: Vec<(Key, String)>,
    /// Changes that were not begun, and why.
    pub skipped: Vec<(Key, String)>,
    /// Calls that the credentials may not make, each once.
    pub denied: Vec<Denial>,
    /// Machines that a rolling update would replace now.
    pub rollout_machine_count: usize,
    /// How long it took, on the cloud's clock.
    pub elapsed: Duration,
    /// What went wrong, and the way out; none when all is done. Of several, the gravest.
    pub failure: Option<Failure>,
}

impl ApplyReport {
    /// What the program ends with.
    pub fn exit_code(&self) -> ExitCode {
        self.failure.as_ref().map_or(ExitCode::Done, |failure| failure.code)
    }
}
