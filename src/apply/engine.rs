//! The run: lease, waves, waits, report. How it looks and calls is in `link`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex as AsyncMutex;

use super::failure::{RERUN, lease_failure, stopped, store_failure};
use super::incarnation::Incarnations;
use super::journal::{self, Journal, JournalRecord, JournalStep};
use super::lease::{self, Lease, LeaseError, LeaseRecord, LeaseRequest, later, sleep_or_stop};
use super::run_id::RunId;
use super::world::World;
use super::{ApplyReport, ApplyRequest, StopSignal, wave};
use crate::cloud::{Cloud, CloudError, Denial, Query, StoreError};
use crate::error::{ExitCode, Failure};
use crate::event::Event;
use crate::plan::Plan;
use crate::resource::Key;

/// That the lease is still ours may have been seen so long ago when a call is made. Whoever breaks it
/// and plans anew needs longer for that alone.
const LEASE_AGE_MAX: Duration = Duration::from_secs(1);

/// How one change ended.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// AWS answered every call.
    Done,
    /// There was nothing to do.
    AlreadyDone,
    /// It did not come about.
    Failed(Failure),
    /// It was not begun.
    Skipped(String),
}

/// Why a call gave no reply.
#[derive(Clone, Debug)]
pub(super) enum CallEnd {
    /// AWS said no, or nothing, as often as it makes sense to ask.
    Refused(CloudError),
    /// The run has to stop.
    Halted(Failure),
}

/// One run.
pub(super) struct Engine<'a, C: Cloud> {
    pub(super) cloud: &'a C,
    pub(super) plan: &'a Plan,
    pub(super) wait_timeout: Duration,
    pub(super) query: Query,
    pub(super) stop: &'a StopSignal,
    announce: &'a (dyn Fn(Event) + Sync),
    lease: AsyncMutex<Lease>,
    pub(super) journal: AsyncMutex<Journal>,
    incarnations: AsyncMutex<Incarnations>,
    pub(super) looking: AsyncMutex<()>,
    world: Mutex<World>,
    rng: Mutex<fastrand::Rng>,
    halted: Mutex<Option<Failure>>,
    /// Whether a call that changes something was sent: until then nothing is half done.
    pub(super) has_begun: AtomicBool,
    /// What AWS denied, each call once.
    pub(super) denied: Mutex<BTreeSet<Denial>>,
    /// The last run was killed, or did not do all that it should.
    pub(super) resumes: bool,
}

/// Applies a plan. Everything that happens is announced; the report says how it ended.
///
/// # Errors
/// When nothing was begun: the plan is refused (exit 5), another run holds the lease (exit 4), the
/// state bucket fails.
pub async fn run<C: Cloud>(
    cloud: &C,
    request: &ApplyRequest<'_>,
    stop: &StopSignal,
    announce: &(dyn Fn(Event) + Sync),
) -> Result<ApplyReport, Failure> {
    let started = cloud.now();
    let RunId { id: run, seed } = RunId::of(&request.holder, started);
    let rng = fastrand::Rng::with_seed(seed);
    let engine = begin(cloud, request, stop, announce, &run, rng).await?;
    let outcomes = engine.work().await;
    let denied = std::mem::take(&mut *engine.denials());
    let halted = engine.end(&outcomes).await;
    let mut report = ApplyReport {
        cluster: request.plan.cluster.clone(),
        run,
        is_simulated: cloud.name() == "sim",
        change_count: request.plan.changes.len(),
        done: Vec::new(),
        already_done: Vec::new(),
        failed: Vec::new(),
        skipped: Vec::new(),
        denied: denied.into_iter().collect(),
        rollout_machine_count: request.plan.rollout.machine_count(),
        elapsed: since(cloud.now(), started),
        failure: None,
    };
    fill(&mut report, outcomes, halted);
    announce(Event::ApplyFinished {
        done: report.done.len() + report.already_done.len(),
        failed: report.failed.len(),
        skipped: report.skipped.len(),
        elapsed_ms: millis(report.elapsed),
    });
    Ok(report)
}

/// Guards, lease, journal: everything before the first look.
async fn begin<'a, C: Cloud>(
    cloud: &'a C,
    request: &'a ApplyRequest<'a>,
    stop: &'a StopSignal,
    announce: &'a (dyn Fn(Event) + Sync),
    run: &str,
    rng: fastrand::Rng,
) -> Result<Engine<'a, C>, Failure> {
    let plan = request.plan;
    check_plan(plan, cloud.name())?;
    let wanted = LeaseRequest {
        cluster: plan.cluster.clone(),
        holder: request.holder.clone(),
        token: run.to_owned(),
        wait_max: request.lock_timeout,
    };
    let lease = lease::take(cloud, &wanted, stop, &|record, deadline| {
        announce(waiting_for_lease(record, deadline));
    })
    .await
    .map_err(|error| lease_failure(&error, &plan.cluster))?;
    announce(Event::LeaseTaken {
        holder: request.holder.clone(),
        expires_at: lease.record().expires_at.to_string(),
    });
    let (found, incarnations) = match read_state(cloud, &plan.cluster).await {
        Ok(state) => state,
        Err(error) => {
            lease.release(cloud).await;
            return Err(store_failure(&error, &plan.cluster));
        }
    };
    let journal = Journal::new(&plan.cluster, run, &request.holder, cloud.now(), &found);
    let resumes = found.record.as_ref().is_some_and(|last| !last.is_done());
    if let Some(last) = found.record
        && last.finished_at.is_none()
    {
        announce(Event::PreviousRunUnfinished {
            run: last.run.clone(),
            holder: last.holder.clone(),
            started_at: last.started_at.to_string(),
            unfinished: last.unfinished(),
        });
    }
    let mut query = request.query.clone();
    query.keys.extend(plan.changes.iter().map(|change| change.address.clone()));
    // A run has to see all that it writes, also what an unchanged plan is content not to read.
    query.deep = true;
    Ok(Engine {
        cloud,
        plan,
        wait_timeout: request.wait_timeout,
        query,
        stop,
        announce,
        lease: AsyncMutex::new(lease),
        journal: AsyncMutex::new(journal),
        incarnations: AsyncMutex::new(incarnations),
        looking: AsyncMutex::new(()),
        world: Mutex::new(World::default()),
        rng: Mutex::new(rng),
        halted: Mutex::new(None),
        has_begun: AtomicBool::new(false),
        denied: Mutex::default(),
        resumes,
    })
}

/// What earlier runs have left in the bucket.
async fn read_state<C: Cloud>(
    cloud: &C,
    cluster: &str,
) -> Result<(journal::Found, Incarnations), StoreError> {
    Ok((journal::find(cloud, cluster).await?, Incarnations::load(cloud, cluster).await?))
}

pub fn waiting_for_lease(record: &LeaseRecord, deadline: Timestamp) -> Event {
    Event::Waiting {
        address: None,
        what: format!("the lease that {} holds", record.holder),
        deadline: deadline.to_string(),
    }
}

/// What is wrong with a plan whatever the world looks like.
fn check_plan(plan: &Plan, cloud: &str) -> Result<(), Failure> {
    if let Some(refusal) = plan.refusals.first() {
        let details = plan.refusals.iter().map(|refusal| refusal.message.clone()).collect();
        return Err(Failure::refused("the plan may not be applied")
            .details(details)
            .hint(refusal.hint.clone()));
    }
    if plan.cloud != cloud {
        return Err(Failure::error(format!(
            "the plan was made for the cloud `{}`, this is `{cloud}`",
            plan.cloud
        )));
    }
    Ok(())
}

impl<'a, C: Cloud> Engine<'a, C> {
    /// Makes the changes wave by wave, then waits until they are seen.
    async fn work(&self) -> BTreeMap<Key, Outcome> {
        let mut outcomes = BTreeMap::new();
        let waves = wave::waves(&self.plan.changes);
        if !waves.is_empty() {
            self.announce(Event::ApplyStarted {
                cluster: self.plan.cluster.clone(),
                changes: self.plan.changes.len(),
                waves: waves.len(),
            });
            if let Err(failure) = self.check_all().await {
                self.halt(failure);
            }
        }
        for (number, changes) in waves.iter().enumerate() {
            self.begin_wave((number + 1, waves.len()), changes, &outcomes).await;
            let made = self.make_wave(changes, &outcomes).await;
            outcomes.extend(made);
        }
        for change in &self.plan.changes {
            outcomes.entry(change.address.clone()).or_insert_with(|| {
                Outcome::Failed(Failure::error("the plan's dependencies go round in a circle"))
            });
        }
        if self.halted().is_none()
            && let Err(failure) = self.settle(&outcomes).await
        {
            self.halt(failure);
        }
        outcomes
    }

    /// The next create of these is told apart from all that went before.
    pub(super) async fn forget_tokens(&self, removed: &[&Key]) -> Result<(), Failure> {
        let mut incarnations = self.incarnations.lock().await;
        incarnations
            .count(self.cloud, &self.plan.cluster, removed)
            .await
            .map_err(|error| Failure::new(ExitCode::Halted, error.to_string()).hint(RERUN))
    }

    /// Closes the journal, gives the lease back, and says why the run stopped early, if it did.
    async fn end(self, outcomes: &BTreeMap<Key, Outcome>) -> Option<Failure> {
        let halted = self.halted();
        let is_failed = outcomes.values().any(|outcome| matches!(outcome, Outcome::Failed(_)));
        let ending = match &halted {
            Some(failure) => failure.message.clone(),
            None if is_failed => "some changes failed".to_owned(),
            None => JournalRecord::DONE.to_owned(),
        };
        self.journal.into_inner().close(self.cloud, &ending).await;
        self.lease.into_inner().release(self.cloud).await;
        halted
    }

    pub(super) fn announce(&self, event: Event) {
        (self.announce)(event);
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What AWS denied so far.
    pub(super) fn denials(&self) -> MutexGuard<'_, BTreeSet<Denial>> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number drawn evenly from 0 to 1.
    pub(super) fn draw(&self) -> f64 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }

    pub(super) async fn incarnation_of(&self, address: &Key) -> u64 {
        self.incarnations.lock().await.of(address)
    }

    /// Why nothing new may begin, if so.
    pub(super) fn halted(&self) -> Option<Failure> {
        self.halted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on nothing new begins. The first reason counts.
    pub(super) fn halt(&self, failure: Failure) {
        let mut halted = self.halted.lock().unwrap_or_else(PoisonError::into_inner);
        halted.get_or_insert(failure);
    }

    /// Halts when the user asked to stop, and says so once.
    pub(super) fn check_stop(&self) {
        if self.stop.is_requested() && self.halted().is_none() {
            self.announce(Event::Stopping);
            self.halt(stopped());
        }
    }

    /// Waits. Ends early, with the reason, when the run has to stop.
    pub(super) async fn pause(&self, duration: Duration) -> Result<(), Failure> {
        sleep_or_stop(self.cloud, duration, self.stop).await;
        self.check_stop();
        self.halted().map_or(Ok(()), Err)
    }

    /// Keeps the lease, whatever goes on for long without a call.
    pub(super) async fn keep_lease(&self) -> Result<(), Failure> {
        let kept = self.lease.lock().await.keep(self.cloud).await;
        self.unless_lost(kept)
    }

    /// Makes sure that the lease is ours for one more call. Halts when somebody broke it, or took it
    /// over. Calls that begin at the same time share a look.
    pub(super) async fn ensure_lease(&self) -> Result<(), Failure> {
        let ensured = self.lease.lock().await.ensure(self.cloud, LEASE_AGE_MAX).await;
        self.unless_lost(ensured)
    }

    fn unless_lost(&self, lease: Result<(), LeaseError>) -> Result<(), Failure> {
        lease.map_err(|error| {
            let failure = lease_failure(&error, &self.plan.cluster);
            self.halt(failure.clone());
            failure
        })
    }

    pub(super) async fn note(&self, address: &Key, what: JournalStep) {
        let mut journal = self.journal.lock().await;
        let now = self.cloud.now();
        journal.add(now, address, what);
        if journal.is_due(now) {
            journal.flush(self.cloud).await;
        }
    }
}

/// Sorts outcomes into the report and finds the gravest failure.
fn fill(report: &mut ApplyReport, outcomes: BTreeMap<Key, Outcome>, halted: Option<Failure>) {
    let mut failures: Vec<Failure> = halted.into_iter().collect();
    for (key, outcome) in outcomes {
        match outcome {
            Outcome::Done => report.done.push(key),
            Outcome::AlreadyDone => report.already_done.push(key),
            Outcome::Skipped(why) => report.skipped.push((key, why)),
            Outcome::Failed(failure) => {
                report.failed.push((key, failure.message.clone()));
                failures.push(failure);
            }
        }
    }
    let order = [ExitCode::Refused, ExitCode::Stale, ExitCode::Error];
    let rank = |failure: &Failure| order.iter().position(|code| *code == failure.code);
    failures.sort_by_key(|failure| rank(failure).unwrap_or(order.len()));
    report.failure = failures.into_iter().next();
}

/// The time between two moments; zero if they are the other way round.
pub fn since(now: Timestamp, started: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(started)).unwrap_or_default()
}

pub(super) fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    let by = jiff::SignedDuration::try_from(by).unwrap_or_default();
    at.checked_sub(by).unwrap_or(Timestamp::MIN)
}

pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// When a wait that begins now ends.
pub(super) fn deadline(now: Timestamp, wait: Duration) -> Timestamp {
    later(now, wait)
}
