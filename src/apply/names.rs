//! DNS names: all that one zone gets in a wave goes in one batch, or as few as Route53 takes.
//!
//! A batch is atomic: one bad record refuses all of it. Then each name is tried for itself, so that
//! only the bad one fails. When a batch's answer is lost, each name is looked up.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::change::{Attempt, Next};
use super::engine::{CallEnd, Engine, Outcome, millis};
use super::steps::batch::{self, Batch};
use crate::cloud::retry::RetryLimits;
use crate::cloud::{Call, Cloud, CloudErrorKind};
use crate::error::Failure;
use crate::event::Event;
use crate::plan::Change;
use crate::resource::{Key, Resource};

/// The changes as they are made: names of one zone together, everything else alone.
pub(super) fn by_zone<'a>(changes: &[&'a Change]) -> Vec<Vec<&'a Change>> {
    let mut zones: BTreeMap<String, usize> = BTreeMap::new();
    let mut groups: Vec<Vec<&Change>> = Vec::new();
    for change in changes {
        let known = zone_of(change).and_then(|zone| match zones.get(&zone) {
            Some(index) => groups.get_mut(*index),
            None => {
                zones.insert(zone, groups.len());
                None
            }
        });
        match known {
            Some(group) => group.push(change),
            None => groups.push(vec![change]),
        }
    }
    groups
}

fn zone_of(change: &Change) -> Option<String> {
    match change.after.as_ref().or(change.before.as_ref())? {
        Resource::DnsName(name) => Some(name.hosted_zone_id.to_string()),
        _ => None,
    }
}

/// A name on its way.
struct Name<'a> {
    change: &'a Change,
    attempt: Attempt,
    /// Its part of the batch.
    call: Call,
}

impl<C: Cloud> Engine<'_, C> {
    /// Makes the changes of several names of one zone.
    pub(super) async fn make_names(&self, changes: &[&Change]) -> Vec<(Key, Outcome)> {
        let mut outcomes = Vec::new();
        let mut names = Vec::new();
        for change in changes {
            let mut attempt = self.begin(change);
            match self.part_of_batch(change, &mut attempt).await {
                Some(call) => names.push(Name { change, attempt, call }),
                None => outcomes.push(self.make_alone(change, attempt).await),
            }
        }
        for batch in batch::split(names, |name| &name.call) {
            outcomes.extend(self.make_batch(batch).await);
        }
        outcomes
    }

    /// The one call that a name needs; none when it needs no call or none may be made now, which
    /// [`Engine::turns`] tells apart.
    async fn part_of_batch(&self, change: &Change, attempt: &mut Attempt) -> Option<Call> {
        let observation = self.recent().await.ok()?;
        match self.next_steps(change, &observation, attempt).await.ok()? {
            Next::Steps(steps) => match steps.as_slice() {
                [step] => step.call(&attempt.own).ok(),
                _ => None,
            },
            Next::Turn(_) => None,
        }
    }

    async fn make_alone(&self, change: &Change, mut attempt: Attempt) -> (Key, Outcome) {
        let outcome = self.turns(change, &mut attempt).await;
        self.finish(change, attempt, &outcome).await;
        (change.address.clone(), outcome)
    }

    async fn make_batch(&self, batch: Batch<Name<'_>>) -> Vec<(Key, Outcome)> {
        let fate = self.call_batch(&batch).await;
        let mut outcomes = Vec::new();
        for Name { change, mut attempt, call } in batch.members {
            let outcome = match &fate {
                Fate::Done => Outcome::Done,
                Fate::Failed(failure) => Outcome::Failed(failure.clone()),
                Fate::Alone => {
                    outcomes.push(self.make_alone(change, attempt).await);
                    continue;
                }
                Fate::Lost(seen_since) => {
                    attempt.lose(call, *seen_since);
                    outcomes.push(self.make_alone(change, attempt).await);
                    continue;
                }
            };
            self.finish(change, attempt, &outcome).await;
            outcomes.push((change.address.clone(), outcome));
        }
        outcomes
    }

    async fn call_batch(&self, batch: &Batch<Name<'_>>) -> Fate {
        let Some(first) = batch.members.first().map(|name| &name.change.address) else {
            return Fate::Done;
        };
        let error = match self.call(first, &batch.call).await {
            Ok(_) => return Fate::Done,
            Err(CallEnd::Halted(failure)) => return Fate::Failed(failure),
            Err(CallEnd::Refused(error)) => error,
        };
        let is_lost = error.kind == CloudErrorKind::AnswerLost;
        if !is_lost && error.kind.is_retriable() {
            // It was tried as often as makes sense; name by name it would be no better.
            return Fate::Failed(self.failure_of(&error));
        }
        let wait = if is_lost { RetryLimits::LOOK.base } else { Duration::ZERO };
        self.announce(Event::Retrying {
            address: Some(first.clone()),
            operation: batch.call.operation(),
            attempt: 1,
            wait_ms: millis(wait),
            why: format!("each of {} names for itself: {error}", batch.members.len()),
        });
        match (is_lost, self.pause(wait).await) {
            (_, Err(failure)) => Fate::Failed(failure),
            (true, Ok(())) => Fate::Lost(self.cloud.now()),
            (false, Ok(())) => Fate::Alone,
        }
    }
}

/// What became of a batch.
enum Fate {
    /// All of it was made.
    Done,
    /// None of it came about, nor would it name by name.
    Failed(Failure),
    /// It was refused: each name for itself.
    Alone,
    /// Nobody knows: look each name up, in a world not older than this.
    Lost(Timestamp),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{PlanOptions, make, sample};
    use crate::resource::Kind;

    #[test]
    fn names_of_a_zone_are_made_together_and_nothing_else_is() {
        let world = sample::empty_world();
        let plan = make(&sample::full_cluster(), &world, &PlanOptions::default());
        let changes: Vec<&Change> = plan.changes.iter().collect();
        let groups = by_zone(&changes);
        assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), changes.len());
        for group in &groups {
            let zones: Vec<Option<String>> = group.iter().map(|change| zone_of(change)).collect();
            assert!(group.len() == 1 || zones.iter().all(|zone| *zone == zones[0]));
            assert!(group.len() == 1 || group[0].address.kind == Kind::DnsName);
        }
    }
}
