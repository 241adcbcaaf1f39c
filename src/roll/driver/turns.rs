//! The loop.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::RollReport;
use super::act::StepEnd;
use super::begin::KUBE_PATIENCE;
use super::edits::{Recent, TRUST_AFTER};
use super::failing::{Failing, wait_after};
use super::look::Look;
use crate::apply::failure::RERUN;
use crate::apply::journal::Journal;
use crate::apply::lease::{Lease, later};
use crate::apply::{StopSignal, millis, since};
use crate::cloud::Cloud;
use crate::error::{ExitCode, Failure};
use crate::event::{Event, RollEvent};
use crate::kube::Kube;
use crate::kube::drain::next_attempt;
use crate::roll::decide::Scene;
use crate::roll::estimate::{Observed, Times, Work, estimate};
use crate::roll::{
    Decision, EvictionAnswer, HaltReason, Observation, Policy, Progress, Step, Verdict, WaitReason,
    Waiting,
};

/// A group is changed only on a picture not older than this.
const FRESH: Duration = Duration::from_secs(5);
/// The drain of a machine begins on one not older than this; it can be undone.
const FRESH_FOR_DRAINING: Duration = Duration::from_secs(30);
/// A machine that is drained may end on an older one: nothing runs on it any more.
const FRESH_FOR_ENDING: Duration = Duration::from_secs(180);
/// How often AWS is asked for what no watch tells.
const POLL: Duration = Duration::from_secs(15);
/// How often it is asked while new machines will tell of themselves by their nodes.
const POLL_NODES: Duration = Duration::from_secs(180);
/// How often it is asked while nothing but machines that end is waited for: counted from the last write,
/// since a look before that can show nothing new.
const POLL_ENDS: Duration = Duration::from_secs(45);
/// What was just asked of the API server shows within this.
const RECENT: Duration = Duration::from_secs(3);
/// Members report every ten seconds.
const POLL_MEMBERS: Duration = Duration::from_secs(10);
/// No wait is longer, so that the lease is kept and a wish to stop or to pause is seen.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How the groups stand is announced at least so often, so that a wait that lasts is seen to last.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// So many turns at most: a bound for the loop itself, far above what the largest roll takes.
const TURNS_MAX: usize = 1_000_000;

/// One run.
pub(super) struct Run<'a, C: Cloud, K: Kube> {
    pub(super) cloud: &'a C,
    pub(super) kube: Option<&'a K>,
    pub(super) policy: &'a Policy,
    pub(super) holder: String,
    pub(super) cluster: String,
    pub(super) stop: &'a StopSignal,
    pub(super) announce: &'a (dyn Fn(Event) + Sync),
    pub(super) lease: Lease,
    pub(super) journal: Journal,
    pub(super) look: Look<'a>,
    pub(super) rng: fastrand::Rng,
    pub(super) started_at: Timestamp,
    /// Whether a call that changes something was sent.
    pub(super) has_begun: bool,
    pub(super) resumed: bool,
    pub(super) evictions: usize,
    pub(super) steps: usize,
    pub(super) replaced: BTreeMap<String, usize>,
    /// Requests to the API server that were just made.
    pub(super) recent: Recent,
    pub(super) failing: Failing,
    pub(super) progress: Progress,
    /// How long replacements take in this run.
    pub(super) observed: Observed,
    /// When that was announced last.
    pub(super) told_at: Timestamp,
}

/// What a turn leads to.
enum Next {
    Again,
    Wait(Vec<Waiting>),
    Over,
}

impl<C: Cloud, K: Kube> Run<'_, C, K> {
    /// Turns until it is over.
    pub(super) async fn turns(&mut self) -> Result<(), Failure> {
        let first = self.observe().await?;
        self.identify(&first).await?;
        let mut is_first = true;
        for _ in 0..TURNS_MAX {
            let o = self.observe().await?;
            let decision = self.decide(&o, std::mem::take(&mut is_first));
            match self.follow(&o, decision).await? {
                Next::Again => {}
                Next::Wait(waits) => self.wait(&o, &waits).await?,
                Next::Over => return Ok(()),
            }
        }
        Err(Failure::new(ExitCode::Halted, "the roll does not come to an end").hint(RERUN))
    }

    fn decide(&mut self, o: &Observation, is_first: bool) -> Decision {
        let policy = self.policy;
        let scene = Scene::of(o, policy);
        let decision = scene.decide();
        if is_first {
            self.announce_start(&decision);
        }
        self.learn(&scene, &decision);
        decision
    }

    /// Looks; an API server that does not answer is waited for within limits.
    async fn observe(&mut self) -> Result<Observation, Failure> {
        let started = self.cloud.now();
        let mut attempt = 0;
        loop {
            let failure = match self.look.observe(self.cloud, self.kube).await {
                Ok(observation) => return Ok(observation),
                Err(failure) => failure,
            };
            let is_over = self.cloud.now() >= later(started, KUBE_PATIENCE);
            if !self.has_begun || is_over || !is_passing(&failure) {
                return Err(self.worded(failure));
            }
            attempt += 1;
            (self.announce)(Event::Retrying {
                address: None,
                operation: "Look".to_owned(),
                attempt,
                wait_ms: millis(POLL),
                why: failure.message,
            });
            self.pause(POLL).await?;
        }
    }

    /// Before anything was begun there is nothing to go on with.
    pub(super) fn worded(&self, failure: Failure) -> Failure {
        match failure.code {
            ExitCode::Halted if !self.has_begun => Failure { code: ExitCode::Error, ..failure },
            ExitCode::Error if self.has_begun => Failure { code: ExitCode::Halted, ..failure },
            _ => failure,
        }
    }

    fn announce_start(&self, decision: &Decision) {
        let (only, most) = (&self.policy.only, self.policy.machines_max);
        let groups = decision.progress.groups.iter();
        let groups = groups.filter(|group| only.is_empty() || only.contains(&group.group));
        let (outdated, in_work) = groups.fold((0, 0), |(outdated, in_work), group| {
            (outdated + group.outdated.len(), in_work + group.in_work.len())
        });
        let machines = outdated.min(most.unwrap_or(usize::MAX)) + in_work;
        (self.announce)(Event::Roll(RollEvent::Started {
            cluster: self.cluster.clone(),
            roll: self.look.id.clone(),
            resumed: self.resumed,
            aborts: self.policy.abort,
            machines,
        }));
    }

    fn learn(&mut self, scene: &Scene<'_>, decision: &Decision) {
        let o = scene.o;
        self.look.memory.learn(decision, o.now);
        self.observed.watch(&decision.progress, o.now);
        if self.progress != decision.progress || o.now >= later(self.told_at, TELL_AGAIN) {
            self.told_at = o.now;
            self.progress = decision.progress.clone();
            (self.announce)(Event::Roll(RollEvent::Progress {
                progress: Box::new(decision.progress.clone()),
                eta: self.eta(scene),
            }));
        }
    }

    /// When it may be over, RFC 3339; none if a budget never lets it end.
    fn eta(&self, scene: &Scene<'_>) -> Option<String> {
        let times = self.observed.times(&Times::ASSUMED);
        let left = estimate(&Work::left(scene, &times))?;
        Some(later(scene.o.now, left).to_string())
    }

    async fn follow(&mut self, o: &Observation, decision: Decision) -> Result<Next, Failure> {
        match decision.verdict {
            Verdict::Act(steps) => {
                let steps = self.recent.without(o.now, steps);
                if steps.is_empty() {
                    return Ok(Next::Wait(Vec::new()));
                }
                if !self.is_fresh_enough(o, &steps) {
                    self.look.is_stale = true;
                    return Ok(Next::Again);
                }
                if self.steps == 0 {
                    self.write_down().await?;
                }
                self.make(o, steps).await?;
                Ok(Next::Again)
            }
            Verdict::Wait(waits) => Ok(Next::Wait(waits)),
            Verdict::Halted(_) | Verdict::Done if self.settles(o).await? => Ok(Next::Again),
            Verdict::Halted(reasons) => {
                (self.announce)(Event::Roll(RollEvent::Halted { reasons: reasons.clone() }));
                Err(halted(&reasons))
            }
            Verdict::Done => {
                self.end_forced(o).await?;
                Ok(Next::Over)
            }
        }
    }

    /// A run ends when its own writes are seen, and groups that are missing are known to be deleted:
    /// whoever looks next sees what it says. Whether there was something to wait for.
    async fn settles(&mut self, o: &Observation) -> Result<bool, Failure> {
        let own = self.look.edits.trusted_at(o.cloud_seen_at);
        let Some(at) = own.max(self.look.missing_until()) else { return Ok(false) };
        self.look.is_stale = true;
        if let Ok(wait) = Duration::try_from(at.duration_since(o.now)) {
            self.pause(wait).await?;
        }
        Ok(true)
    }

    /// What ends a drained machine may rest on an older picture than what begins with another one. A
    /// picture of this very turn is as fresh as one can be, however long AWS took to give it.
    fn is_fresh_enough(&self, o: &Observation, steps: &[Step]) -> bool {
        if self.look.is_new {
            return true;
        }
        let ends = |step: &Step| {
            matches!(
                step,
                Step::Terminate { shrink: false, .. }
                    | Step::TerminateDetached { .. }
                    | Step::Evict { .. }
                    | Step::DeletePods { .. }
                    | Step::Release { .. }
                    | Step::Skip { .. }
                    | Step::DeleteNode { .. }
                    | Step::Protect { .. }
                    | Step::Taint { .. }
            )
        };
        let drains = |step: &Step| matches!(step, Step::Cordon { .. }) || ends(step);
        // AWS takes a number, and nobody else's change since is to be lost by it.
        let resizes = |step: &Step| matches!(step, Step::SetDesired { .. });
        let limit = match () {
            () if steps.iter().any(resizes) => Duration::ZERO,
            () if steps.iter().all(ends) => FRESH_FOR_ENDING,
            () if steps.iter().all(drains) => FRESH_FOR_DRAINING,
            () => FRESH,
        };
        o.now < later(o.cloud_seen_at, limit)
    }

    /// Makes the steps of a turn. One that fails ends the turn: what comes next is decided anew.
    async fn make(&mut self, o: &Observation, steps: Vec<Step>) -> Result<(), Failure> {
        self.look.outdate();
        for step in steps {
            self.look.memory.making(&step);
            let end = self.act(&step, o).await?;
            let (why, is_unknown) = match end {
                StepEnd::Made => {
                    self.after(o, &step);
                    if self.look.memory.keeps_a_place(&step) {
                        // More was decided as if it had gone.
                        self.look.is_stale = true;
                        return Ok(());
                    }
                    continue;
                }
                StepEnd::Moved(why) => (why, false),
                StepEnd::Unknown(why) => (why, true),
            };
            (self.announce)(Event::Roll(RollEvent::StepFailed {
                step: Box::new(step.clone()),
                why: why.clone(),
            }));
            let count = self.failing.failed(&step, &why)?;
            // A lost answer is looked up once reads can be trusted to show what it did.
            let wait = if is_unknown { TRUST_AFTER } else { wait_after(count) };
            self.look.doubt();
            return self.pause(wait).await;
        }
        Ok(())
    }

    /// What a step that was made is remembered by.
    fn after(&mut self, o: &Observation, step: &Step) {
        self.steps += 1;
        self.failing.made(step);
        let now = self.cloud.now();
        self.look.memory.made(step, now);
        let kept = &self.look.memory.places_kept;
        self.look.edits.add(now, step, kept, &o.groups, o.cloud_seen_at);
        self.look.note(step);
        self.recent.add(now, step);
        let ended = match step {
            Step::Terminate { machines, .. } | Step::TerminateDetached { machines } => machines,
            _ => &Default::default(),
        };
        for id in ended {
            if let Some(machine) = o.machines.get(id) {
                *self.replaced.entry(machine.group.clone()).or_default() += 1;
            }
        }
        (self.announce)(Event::Roll(RollEvent::Step { step: Box::new(step.clone()) }));
    }

    /// Waits until something may have changed, or falls due.
    async fn wait(&mut self, o: &Observation, waits: &[Waiting]) -> Result<(), Failure> {
        let poll = self.poll_at(o, waits);
        let due = waits.iter().filter_map(|wait| wait.deadline).filter(|at| *at > o.now).min();
        let retry = self.next_eviction(o.now);
        let members = waits.iter().any(|wait| matches!(wait.reason, WaitReason::Quorum { .. }));
        let members = members.then(|| later(o.now, POLL_MEMBERS));
        let strangers = o.kube.as_deref().and_then(|view| self.look.strangers_due(view));
        let until = [Some(poll), due, retry, members, strangers].into_iter().flatten().min();
        let most = if waits.is_empty() { RECENT } else { WAIT_MAX };
        let until = until.unwrap_or(Timestamp::MAX).min(later(o.now, most));
        let wait = since(until, o.now).max(Duration::from_millis(100));
        if let (Some(kube), Some(view)) = (self.kube, o.kube.as_ref()) {
            tokio::select! {
                biased;
                () = self.stop.requested() => {}
                () = kube.changed(view.generation, wait) => {}
            }
        }
        let left = if self.kube.is_some() { Duration::ZERO } else { wait };
        self.pause(left).await?;
        self.after_wait(o, poll).await
    }

    async fn after_wait(&mut self, o: &Observation, poll: Timestamp) -> Result<(), Failure> {
        let now = self.cloud.now();
        if now >= poll {
            self.look.is_stale = true;
        } else if now >= later(o.now, POLL_MEMBERS) || self.look.memory.refused_since.is_some() {
            self.look.read_members(self.cloud).await?;
        }
        if let Some(kube) = self.kube
            && let Ok(view) = kube.view().await
            && self.look.strangers_due(&view).is_some_and(|due| due <= now)
        {
            self.look.is_stale = true;
        }
        Ok(())
    }

    /// When AWS is asked next: often for what no watch tells, seldom for machines whose nodes will.
    fn poll_at(&self, o: &Observation, waits: &[Waiting]) -> Timestamp {
        let needs_cloud = waits.iter().any(|wait| {
            let role = self.policy.groups.get(&wait.group).map(|policy| policy.role);
            let joins = role.is_some_and(|role| role.joins()) && o.kube.is_some();
            let is_quorum = role.is_some_and(|role| role.is_quorum());
            match &wait.reason {
                WaitReason::Deregistration => true,
                WaitReason::Machines { .. } | WaitReason::Termination | WaitReason::Node => {
                    !joins || is_quorum
                }
                WaitReason::Quorum { .. } | WaitReason::Limit { .. } => is_quorum,
                WaitReason::Paused { .. } => true,
                _ => false,
            }
        });
        let is_end = |wait: &Waiting| matches!(wait.reason, WaitReason::Termination);
        let only_ends = !waits.is_empty() && waits.iter().all(is_end);
        match () {
            () if needs_cloud => later(o.cloud_seen_at, POLL),
            () if only_ends => later(self.look.edits.newest().max(o.cloud_seen_at), POLL_ENDS),
            () => later(o.cloud_seen_at, POLL_NODES),
        }
    }

    fn next_eviction(&self, now: Timestamp) -> Option<Timestamp> {
        let attempts = self.look.memory.evictions.values();
        let again = attempts.filter_map(|attempt| match &attempt.answer {
            EvictionAnswer::Accepted => None,
            EvictionAnswer::NotNow { retry_after_secs, .. } => {
                let retry_after = retry_after_secs.map(Duration::from_secs);
                Some(next_attempt(attempt.at, attempt.count, retry_after))
            }
            EvictionAnswer::Failed { .. } => Some(next_attempt(attempt.at, attempt.count, None)),
        });
        again.filter(|at| *at > now).min()
    }

    /// Closes the journal, gives the lease back, sums up.
    pub(super) async fn end(mut self, failure: Option<Failure>, outcome: &str) -> RollReport {
        if self.has_begun {
            self.journal.close(self.cloud, outcome).await;
        }
        self.lease.release(self.cloud).await;
        let elapsed = since(self.cloud.now(), self.started_at);
        let replaced = self.replaced.values().sum();
        if failure.is_none() {
            let elapsed_ms = millis(elapsed);
            (self.announce)(Event::Roll(RollEvent::Finished { replaced, elapsed_ms }));
        }
        RollReport {
            cluster: self.cluster,
            roll: self.look.id.clone(),
            is_simulated: self.cloud.name() == "sim",
            resumed: self.resumed,
            replaced: std::mem::take(&mut self.replaced),
            evictions: self.evictions,
            steps: self.steps,
            progress: self.progress,
            elapsed,
            failure,
        }
    }
}

/// Whether waiting may help.
fn is_passing(failure: &Failure) -> bool {
    failure.code == ExitCode::Halted
}

/// Why a roll halted, as a failure.
fn halted(reasons: &[HaltReason]) -> Failure {
    let told = |reason: &HaltReason| format!("{} {}", reason.object, reason.message);
    let message = match reasons {
        [one] => told(one),
        several => format!("the roll halted for {} reasons", several.len()),
    };
    let details = if reasons.len() > 1 { reasons.iter().map(told).collect() } else { Vec::new() };
    let mut ways_out: Vec<&str> = reasons.iter().map(|reason| reason.way_out.as_str()).collect();
    ways_out.dedup();
    Failure::new(ExitCode::Halted, message).details(details).hint(ways_out.join("; "))
}
