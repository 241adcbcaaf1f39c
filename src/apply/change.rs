//! One change: look, ask the gate, compute the steps, make the calls; and again when an answer was
//! lost or something turned out to be there.

use jiff::Timestamp;

use super::engine::{CallEnd, Engine, Outcome, millis, since};
use super::failure::{RERUN, cloud_failure, foreign, stale};
use super::gate::{self, Gate};
use super::journal::JournalStep;
use super::retry::RetryLimits;
use super::steps::{self, Own, StepContext, StepError, template};
use super::world::{Made, proof_subnet};
use crate::cloud::{Call, Cloud, CloudError, CloudErrorKind, Observation, Observed};
use crate::error::{ExitCode, Failure};
use crate::event::Event;
use crate::plan::{Action, Change};
use crate::resource::{Attribute, Resource};

/// Looks that a surprise gets before it counts, over half a minute or so: reads lag.
const SURPRISES_MAX: u32 = 8;

/// What a change has come to so far.
#[derive(Debug)]
struct Attempt {
    own: Own,
    calls_made: usize,
    looks: u32,
    surprises: u32,
    looking_since: Timestamp,
    /// Look at a world no older than this.
    not_before: Option<Timestamp>,
    /// AWS says that this call's work is done; reads do not show it yet.
    unseen: Option<Call>,
    /// The call whose answer was lost.
    lost: Option<Call>,
}

/// How one turn ended.
enum Turn {
    Over(Outcome),
    /// Look again: why.
    Again(String),
}

impl<C: Cloud> Engine<'_, C> {
    /// Makes one change.
    pub(super) async fn make(&self, change: &Change) -> Outcome {
        let started = self.cloud.now();
        let (address, action) = (change.address.clone(), change.action);
        self.announce(Event::ChangeStarted { address: address.clone(), action });
        self.note(&address, JournalStep::Intent { action }).await;
        let mut attempt = Attempt {
            own: Own::default(),
            calls_made: 0,
            looks: 0,
            surprises: 0,
            looking_since: started,
            not_before: None,
            unseen: None,
            lost: None,
        };
        let outcome = self.turns(change, &mut attempt).await;
        match &outcome {
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
        self.announce(match &outcome {
            Outcome::Done => {
                let elapsed_ms = millis(since(self.cloud.now(), started));
                Event::ChangeDone { address, action, elapsed_ms }
            }
            Outcome::AlreadyDone => Event::ChangeAlreadyDone { address },
            Outcome::Failed(failure) => {
                Event::ChangeFailed { address, action, why: failure.message.clone() }
            }
            Outcome::Skipped(why) => Event::ChangeSkipped { address, why: why.clone() },
        });
        outcome
    }

    async fn turns(&self, change: &Change, attempt: &mut Attempt) -> Outcome {
        loop {
            let why = match self.turn(change, attempt).await {
                Ok(Turn::Over(outcome)) => return outcome,
                Ok(Turn::Again(why)) => why,
                Err(failure) => return Outcome::Failed(failure),
            };
            attempt.looks += 1;
            let elapsed = since(self.cloud.now(), attempt.looking_since);
            let Some(wait) = RetryLimits::LOOK.wait(attempt.looks, elapsed, self.draw()) else {
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
        let after = self
            .world()
            .resolve(change, &observation)
            .map_err(|error| Failure::error(format!("{}: {error}", change.address)))?;
        let observed = self.observed(change, &observation, after.as_ref()).await?;
        if let Some(turn) = self.ask_gate(change, observed.as_ref(), after.as_ref(), attempt) {
            return Ok(turn);
        }
        if let Some(observed) = &observed {
            for (attribute, value) in &observed.attributes {
                attempt.own.attributes.entry(*attribute).or_insert_with(|| value.clone());
            }
        }
        let context = self.context(change, &observation).await;
        let steps = match steps::steps(change, observed.as_ref(), after.as_ref(), &context) {
            Ok(steps) => steps,
            Err(error) => return Ok(surprise(attempt, step_failure(change, &error))),
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
        self.learn_target(observed.as_ref(), after.as_ref(), &mut attempt.own);
        Ok(Turn::Over(if is_idle { Outcome::AlreadyDone } else { Outcome::Done }))
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
        if matches!(change.after, Some(Resource::LaunchTemplate(_))) {
            let name = &change.address.name;
            context.proof_subnet = proof_subnet(&self.plan.changes, observation, name);
        }
        context
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
                Ok(surprise(attempt, cloud_failure(&error)))
            }
            CloudErrorKind::NotFound
                if change.action == Action::Create && attempt.calls_made > 0 =>
            {
                // AWS answered the create with what somebody removed since.
                self.forget_tokens(&[&change.address]).await?;
                Err(cloud_failure(&error))
            }
            _ => Err(cloud_failure(&error)),
        }
    }

    /// A template's target is not in any reply; others refer to it.
    fn learn_target(&self, observed: Option<&Observed>, after: Option<&Resource>, own: &mut Own) {
        let Some(Resource::LaunchTemplate(wanted)) = after else { return };
        let data = &wanted.launch_template_data;
        let found = observed.and_then(|observed| {
            template::named_version(observed, data)
                .or_else(|| template::spare_version(observed, data))
        });
        if let Some(version) = found.or(own.version) {
            let target = format!("{version}:{}", data.revision());
            own.attributes.insert(Attribute::Target, target);
        }
    }
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
        _ => false,
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
