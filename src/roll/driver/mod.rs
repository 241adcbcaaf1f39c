//! The driver: observe, decide, act, announce, until nothing is left to do.
//!
//! It decides nothing. What it remembers ([`super::observation::Memory`], its own writes that reads
//! may not show yet) may be lost at any instant: the next run reads the marks and goes on.

mod act;
mod begin;
mod edits;
mod failing;
mod failure;
mod look;
mod turns;

use std::collections::BTreeMap;
use std::time::Duration;

pub use failure::kube_failure;
pub use look::{Look, look};

use super::policy::Policy;
use super::{Decision, Progress};
use crate::apply::StopSignal;
use crate::apply::journal::JournalRecord;
use crate::cloud::{Cloud, Query};
use crate::error::{ExitCode, Failure};
use crate::event::Event;
use crate::kube::Kube;

/// What to roll, and how.
#[derive(Clone, Debug)]
pub struct RollRequest<'a> {
    /// What limits the roll.
    pub policy: &'a Policy,
    /// What to look at: the cluster and its groups.
    pub query: &'a Query,
    /// Who rolls, for the lease: user, host, process.
    pub holder: String,
    /// How long to wait for another run's lease; zero for not at all.
    pub lock_timeout: Duration,
}

/// How a roll ended.
#[derive(Clone, Debug)]
pub struct RollReport {
    /// The cluster.
    pub cluster: String,
    /// The roll's id: that of the run that began it.
    pub roll: String,
    /// Whether the cloud is the simulator.
    pub is_simulated: bool,
    /// Whether it went on with what an earlier run began.
    pub resumed: bool,
    /// Machines that were ended to be replaced, by group.
    pub replaced: BTreeMap<String, usize>,
    /// Evictions that were accepted.
    pub evictions: usize,
    /// Steps that were made.
    pub steps: usize,
    /// How the groups stood at the end.
    pub progress: Progress,
    /// How long it took, on the cloud's clock.
    pub elapsed: Duration,
    /// Why it did not come to its end, and the way out; none when all is done.
    pub failure: Option<Failure>,
}

impl RollReport {
    /// Machines that were replaced, over all groups.
    pub fn replaced_count(&self) -> usize {
        self.replaced.values().sum()
    }

    /// What the program ends with.
    pub fn exit_code(&self) -> ExitCode {
        self.failure.as_ref().map_or(ExitCode::Done, |failure| failure.code)
    }
}

/// Rolls. Everything that happens is announced; the report says how it ended.
///
/// # Errors
/// When nothing was begun: another run holds the lease (exit 4), or the cloud, the cluster or the
/// state bucket cannot be read.
pub async fn run<C: Cloud, K: Kube>(
    cloud: &C,
    kube: Option<&K>,
    request: &RollRequest<'_>,
    stop: &StopSignal,
    announce: &(dyn Fn(Event) + Sync),
) -> Result<RollReport, Failure> {
    let mut run = begin::begin(cloud, kube, request, stop, announce).await?;
    let ended = run.turns().await;
    let (failure, outcome) = match ended {
        Ok(()) => (None, JournalRecord::DONE.to_owned()),
        Err(failure) => (Some(failure.clone()), failure.message),
    };
    Ok(run.end(failure, &outcome).await)
}

/// Looks once and decides, without a lease and without changing anything: for a plan, and for
/// `kprod status`.
///
/// # Errors
/// When the cloud, the cluster or the state bucket cannot be read.
pub async fn preview<C: Cloud, K: Kube>(
    cloud: &C,
    kube: Option<&K>,
    query: &Query,
    policy: &Policy,
) -> Result<(super::Observation, Decision), Failure> {
    let observation = look(cloud, kube, query, policy).await?;
    let decision = super::decide(&observation, policy);
    Ok((observation, decision))
}
