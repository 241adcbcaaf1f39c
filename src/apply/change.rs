//! One change: look, ask the gate, compute the steps, make the calls; and again when an answer was
//! lost or something turned out to be there.

use jiff::Timestamp;

use super::engine::{CallEnd, Engine, Outcome, millis, since};
use super::failure::{RERUN, foreign, held_zone, lost_epoch, stale};
use super::gate::{self, Gate};
use super::journal::JournalStep;
use super::link::is_done_in_part;
use super::steps::{self, Own, Step, StepContext, StepError, template};
use super::world::Made;
use crate::cloud::retry::RetryLimits;
use crate::cloud::{Call, Cloud, CloudError, CloudErrorKind, Observation, Observed};
use crate::error::{ExitCode, Failure};
use crate::event::Event;
use crate::plan::{self, Action, Change};
use crate::resource::{Attribute, Key, LaunchTemplateInterface, Resource};

/// Looks that a surprise gets before it counts, over half a minute or so: reads lag.
const SURPRISES_MAX: u32 = 8;

/// What a change has come to so far.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) own: Own,
    calls_made: usize,
    looks: u32,
    surprises: u32,
    started: Timestamp,
    looking_since: Timestamp,
    /// Look at a world no older than this.
    not_before: Option<Timestamp>,
    /// AWS says that this call's work is done; reads do not show it yet.
    unseen: Option<Call>,
    /// The call whose answer was lost.
    lost: Option<Call>,
    /// Of a launch template: the version that holds what is wanted, if one does, and its revision.
    target: Option<(Option<u64>, String)>,
}

impl Attempt {
    /// The call's answer was lost: look again, at a world not older than `not_before`.
    pub(super) fn lose(&mut self, call: Call, not_before: Timestamp) {
        self.lost = Some(call);
        self.looks += 1;
        self.not_before = Some(not_before);
    }

    /// A template's target is not in any reply; others refer to it.
    fn learn_target(&mut self) {
        let Some((found, revision)) = &self.target else { return };
        if let Some(version) = found.or(self.own.version) {
            self.own.attributes.insert(Attribute::Target, format!("{version}:{revision}"));
        }
    }
}

/// How one turn ended.
pub(super) enum Turn {
    Over(Outcome),
    /// Look again: why.
    Again(String),
}

/// What a look leaves to do.
pub(super) enum Next {
    /// These calls; none when the world is as wanted.
    Steps(Vec<Step>),
    /// Nothing now.
    Turn(Turn),
}

impl<C: Cloud> Engine<'_, C> {
    /// Makes one change.
    pub(super) async fn make(&self, change: &Change) -> Outcome {
        let mut attempt = self.begin(change);
        let outcome = self.turns(change, &mut attempt).await;
        self.finish(change, attempt, &outcome).await;
        outcome
    }

    /// Says that a change begins.
    pub(super) fn begin(&self, change: &Change) -> Attempt {
        let (address, action) = (change.address.clone(), change.action);
        self.announce(Event::ChangeStarted { address, action });
        let started = self.cloud.now();
        Attempt {
            own: Own::default(),
            calls_made: 0,
            looks: 0,
            surprises: 0,
            started,
            looking_since: started,
            not_before: None,
            unseen: None,
            lost: None,
            target: None,
        }
    }

    /// Remembers how a change ended, and says so.
    pub(super) async fn finish(&self, change: &Change, attempt: Attempt, outcome: &Outcome) {
        let (address, action) = (change.address.clone(), change.action);
        match outcome {
            Outcome::Done | Outcome::AlreadyDone => {
                self.world().remember(&address, Made { action, own: attempt.own });
                self.note(&address, JournalStep::Done).await;
            }
            Outcome::Failed(failure) => {
                let why = failure.message.clone();
                self.note(&address, JournalStep::Failed { why }).await;
            }
            Outcome::Skipped(_) => {}
        }
        self.announce(match outcome {
            Outcome::Done => {
                let elapsed_ms = millis(since(self.cloud.now(), attempt.started));
                Event::ChangeDone { address, action, elapsed_ms }
            }
            Outcome::AlreadyDone => Event::ChangeAlreadyDone { address },
            Outcome::Failed(failure) => {
                Event::ChangeFailed { address, action, why: failure.message.clone() }
            }
            Outcome::Skipped(why) => Event::ChangeSkipped { address, why: why.clone() },
        });
    }

    /// Looks and calls until the change is made, or cannot be.
    pub(super) async fn turns(&self, change: &Change, attempt: &mut Attempt) -> Outcome {
        loop {
            let why = match self.turn(change, attempt).await {
                Ok(Turn::Over(outcome)) => return outcome,
                Ok(Turn::Again(why)) => why,
                Err(failure) => return Outcome::Failed(failure),
            };
            let limits = self.cloud.retry().within(RetryLimits::LOOK);
            attempt.looks += 1;
            let elapsed = since(self.cloud.now(), attempt.looking_since);
            let Some(wait) = limits.wait(attempt.looks, elapsed, self.draw()) else {
                if attempt.unseen.is_some() && change.action == Action::Create {
                    // Made once under this token, and removed by somebody since.
                    let _ = self.forget_tokens(&[&change.address]).await;
                }
                let failure = Failure::new(ExitCode::Halted, why);
                return Outcome::Failed(failure.hint(RERUN));
            };
            if let Err(failure) = self.pause(wait).await {
                return Outcome::Failed(failure);
            }
            attempt.not_before = Some(self.cloud.now());
        }
    }

    /// One look and what follows from it.
    async fn turn(&self, change: &Change, attempt: &mut Attempt) -> Result<Turn, Failure> {
        let observation = match attempt.not_before {
            Some(oldest) => self.look(oldest).await?,
            None => self.recent().await?,
        };
        let steps = match self.next_steps(change, &observation, attempt).await? {
            Next::Steps(steps) => steps,
            Next::Turn(turn) => return Ok(turn),
        };
        let is_idle = steps.is_empty() && attempt.calls_made == 0;
        for step in steps {
            let call = step.call(&attempt.own).map_err(|error| step_failure(change, &error))?;
            if attempt.unseen.as_ref() == Some(&call) {
                let why = format!("{} is there, and cannot be seen yet", change.address);
                return Ok(Turn::Again(why));
            }
            match self.call(&change.address, &call).await {
                Ok(reply) => {
                    attempt.own.learn(&reply);
                    attempt.calls_made += 1;
                    attempt.unseen = None;
                }
                Err(end) => return self.after_error(change, call, end, attempt).await,
            }
        }
        attempt.learn_target();
        Ok(Turn::Over(if is_idle { Outcome::AlreadyDone } else { Outcome::Done }))
    }

    /// What an observation leaves to do: asks the gate, then computes the steps.
    pub(super) async fn next_steps(
        &self,
        change: &Change,
        observation: &Observation,
        attempt: &mut Attempt,
    ) -> Result<Next, Failure> {
        let after = self
            .world()
            .resolve(change, observation)
            .map_err(|error| Failure::error(format!("{}: {error}", change.address)))?;
        let observed = self.observed(change, observation, after.as_ref()).await?;
        if let Some(turn) = self.ask_gate(change, observed.as_ref(), after.as_ref(), attempt) {
            return Ok(Next::Turn(turn));
        }
        let others = gate::names_of_others(change, observation);
        if !others.is_empty() {
            let failure = held_zone(&change.address, others);
            return Ok(Next::Turn(surprise(attempt, failure)));
        }
        let remains = plan::etcd_remains(change, observation);
        if !remains.is_empty() {
            return Err(lost_epoch(&change.address, remains));
        }
        if let Some(observed) = &observed {
            for (attribute, value) in &observed.attributes {
                attempt.own.attributes.entry(*attribute).or_insert_with(|| value.clone());
            }
        }
        let context = self.context(change, observation).await;
        match steps::steps(change, observed.as_ref(), after.as_ref(), &context) {
            Ok(steps) => {
                attempt.target = target_of(observed.as_ref(), after.as_ref());
                Ok(Next::Steps(steps))
            }
            Err(error) => Ok(Next::Turn(surprise(attempt, step_failure(change, &error)))),
        }
    }

    /// The resource as observed; for a template also the version that the plan found to hold what
    /// is wanted, and the one that an earlier run may have left.
    async fn observed(
        &self,
        change: &Change,
        observation: &Observation,
        after: Option<&Resource>,
    ) -> Result<Option<Observed>, Failure> {
        let Some(mut observed) = observation.resources.get(&change.address).cloned() else {
            return Ok(None);
        };
        if let Some(Resource::LaunchTemplate(wanted)) = after
            && template::named_version(&observed, &wanted.launch_template_data).is_none()
        {
            let name = &wanted.launch_template_name;
            let versions =
                self.versions(name, change.existing_version.into_iter().collect()).await?;
            observed.template.get_or_insert_default().versions.extend(versions);
        }
        Ok(Some(observed))
    }

    /// The gate counts until the first call; from then on what is there is our own doing, and only
    /// its owner matters.
    fn ask_gate(
        &self,
        change: &Change,
        observed: Option<&Observed>,
        after: Option<&Resource>,
        attempt: &mut Attempt,
    ) -> Option<Turn> {
        let has_begun = attempt.calls_made > 0 || attempt.looks > attempt.surprises;
        let is_expected = has_begun || self.world().parent_is_new(change);
        match gate::ask(change, observed, after, is_expected) {
            Gate::Open => None,
            Gate::Moved(moves) => Some(surprise(attempt, stale(change, moves))),
            Gate::Foreign(_) => Some(surprise(attempt, foreign(&change.address))),
        }
    }

    async fn context<'a>(
        &'a self,
        change: &'a Change,
        observation: &Observation,
    ) -> StepContext<'a> {
        let mut context = StepContext::new(&self.plan.cluster, change);
        context.incarnation = self.incarnation_of(&change.address).await;
        context.parent_is_new = self.world().parent_is_new(change);
        context.launch_interfaces = self.launch_interfaces(change, observation);
        context
    }

    /// Interfaces of the template that a change's group launches from, where the plan changes it.
    fn launch_interfaces(
        &self,
        change: &Change,
        observation: &Observation,
    ) -> Vec<LaunchTemplateInterface> {
        let template = template::used_by(change);
        let wanted =
            self.plan.changes.iter().find(|other| Some(&other.address) == template.as_ref());
        match wanted.and_then(|wanted| self.world().resolve(wanted, observation).ok()?) {
            Some(Resource::LaunchTemplate(wanted)) => {
                wanted.launch_template_data.network_interfaces
            }
            _ => Vec::new(),
        }
    }

    async fn after_error(
        &self,
        change: &Change,
        call: Call,
        end: CallEnd,
        attempt: &mut Attempt,
    ) -> Result<Turn, Failure> {
        let error = match end {
            CallEnd::Refused(error) => error,
            CallEnd::Halted(failure) => return Err(failure),
        };
        let why = format!("{}: {error}", change.address);
        match error.kind {
            CloudErrorKind::AlreadyExists => {
                attempt.unseen = Some(call);
                Ok(Turn::Again(why))
            }
            CloudErrorKind::AnswerLost => {
                attempt.lost = Some(call);
                Ok(Turn::Again(why))
            }
            // Not every call that is made twice says so; these errors come when a read that lags
            // did not show that the first one took effect.
            _ if attempt.lost.as_ref() == Some(&call) || is_lagging(&call, &error) => {
                Ok(surprise(attempt, self.failure_of(&error)))
            }
            CloudErrorKind::NotFound if change.action == Action::Create => {
                // AWS may have answered a create with what somebody removed since: this one, or that
                // of what it names.
                let made: Vec<Key> = template::used_by(change).into_iter().collect();
                let made = made.iter().chain((attempt.calls_made > 0).then_some(&change.address));
                self.forget_tokens(&made.collect::<Vec<_>>()).await?;
                Err(self.failure_of(&error))
            }
            _ => Err(self.failure_of(&error)),
        }
    }
}

/// What [`Attempt::learn_target`] needs to know of a template.
fn target_of(
    observed: Option<&Observed>,
    after: Option<&Resource>,
) -> Option<(Option<u64>, String)> {
    let Some(Resource::LaunchTemplate(wanted)) = after else { return None };
    let data = &wanted.launch_template_data;
    let found = observed.and_then(|observed| {
        template::named_version(observed, data).or_else(|| template::spare_version(observed, data))
    });
    Some((found, data.revision()))
}

/// Looks again a few times before a surprise counts as one.
fn surprise(attempt: &mut Attempt, failure: Failure) -> Turn {
    attempt.surprises += 1;
    if attempt.surprises >= SURPRISES_MAX {
        return Turn::Over(Outcome::Failed(failure));
    }
    Turn::Again(failure.message)
}

/// Whether an error may be all there is to see of an earlier run's success: a batch of records is
/// refused as a whole when one record to delete is gone already, and a profile that holds its role
/// already reports a quota.
fn is_lagging(call: &Call, error: &CloudError) -> bool {
    match call {
        Call::ChangeResourceRecordSets { delete, .. } => {
            !delete.is_empty() && error.kind == CloudErrorKind::Invalid
        }
        Call::AddRoleToInstanceProfile { .. } => error.kind == CloudErrorKind::QuotaReached,
        _ => is_done_in_part(call, error),
    }
}

fn step_failure(change: &Change, error: &StepError) -> Failure {
    let code = match error {
        StepError::Immutable(_) => ExitCode::Stale,
        StepError::Unresolved(_) | StepError::Untold(_) | StepError::Incomplete(_) => {
            ExitCode::Error
        }
    };
    Failure::new(code, format!("{}: {error}", change.address)).hint("plan again")
}
