//! After the last wave: wait until reads show what was written, and until new groups have their
//! machines. An apply that ends is an apply whose next plan is empty.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::engine::{Engine, Outcome, deadline, since};
use super::failure::RERUN;
use super::steps::{self, StepContext};
use crate::cloud::retry::RetryLimits;
use crate::cloud::{Cloud, Observation, Observed};
use crate::error::{ExitCode, Failure};
use crate::event::Event;
use crate::plan::{Action, Change};
use crate::resource::{Key, Kind, Resource};

/// How long writes may take to be seen. AWS advises to allow for five minutes; machines of a group
/// that goes take longer to end.
const SEEN_TIMEOUT: Duration = Duration::from_secs(300);
/// The same when something is removed.
const GONE_TIMEOUT: Duration = Duration::from_secs(900);

impl<C: Cloud> Engine<'_, C> {
    /// Waits for what this run made.
    pub(super) async fn settle(&self, outcomes: &BTreeMap<Key, Outcome>) -> Result<(), Failure> {
        let made: Vec<&Change> = self
            .plan
            .changes
            .iter()
            .filter(|change| matches!(outcomes.get(&change.address), Some(Outcome::Done)))
            .collect();
        self.wait_until_seen(&made).await?;
        self.wait_for_machines(&made).await
    }

    async fn wait_until_seen(&self, made: &[&Change]) -> Result<(), Failure> {
        if made.is_empty() {
            return Ok(());
        }
        let removes = made.iter().any(|change| change.action == Action::Delete);
        let limit = if removes { GONE_TIMEOUT } else { SEEN_TIMEOUT };
        let until = deadline(self.cloud.now(), limit);
        let mut announced = 0;
        let mut last_unseen = Vec::new();
        let seen = self.poll(
            limit,
            async || self.look(self.cloud.now()).await,
            |observation| {
                let unseen = self.unseen(made, observation);
                last_unseen.clone_from(&unseen);
                if unseen.is_empty() {
                    return Ok(());
                }
                if announced != unseen.len() {
                    announced = unseen.len();
                    self.announce(Event::Waiting {
                        address: (unseen.len() == 1).then(|| unseen[0].clone()),
                        what: format!("{} changes to be seen", unseen.len()),
                        deadline: until.to_string(),
                    });
                }
                let complaints = unseen.iter().map(|key| format!("{key} is not seen as written"));
                let message = format!("not finished after {} s", limit.as_secs());
                Err(Failure::new(ExitCode::Halted, message)
                    .details(complaints.collect())
                    .hint(RERUN))
            },
        );
        let Err(failure) = seen.await else { return Ok(()) };
        if self.halted().is_none() {
            // AWS may have answered a create with what somebody else removed since: its token is
            // used up, and the next run needs another one.
            let created: Vec<&Key> = made
                .iter()
                .filter(|change| change.action == Action::Create)
                .map(|change| &change.address)
                .filter(|key| last_unseen.contains(key))
                .collect();
            self.forget_tokens(&created).await?;
        }
        Err(failure)
    }

    /// Changes whose work a reader would not see as done: computing their steps gives some.
    fn unseen(&self, made: &[&Change], observation: &Observation) -> Vec<Key> {
        made.iter()
            .filter(|change| !self.is_seen(change, observation))
            .map(|change| change.address.clone())
            .collect()
    }

    fn is_seen(&self, change: &Change, observation: &Observation) -> bool {
        let observed = observation.resources.get(&change.address);
        if change.action == Action::Delete {
            return observed.is_none_or(is_empty_rule_set);
        }
        if observed.is_none() {
            return false;
        }
        let Ok(after) = self.world().resolve(change, observation) else { return false };
        let context = StepContext::new(&self.plan.cluster, change);
        let steps = steps::steps(change, observed, after.as_ref(), &context);
        steps.is_ok_and(|steps| steps.is_empty())
    }

    async fn wait_for_machines(&self, made: &[&Change]) -> Result<(), Failure> {
        let limit = self.wait_timeout;
        let groups: Vec<&Key> = made
            .iter()
            .filter(|change| change.action == Action::Create)
            .map(|change| &change.address)
            .filter(|key| key.kind == Kind::AutoScalingGroup)
            .collect();
        if (groups.is_empty() && !self.resumes) || limit.is_zero() {
            return Ok(());
        }
        let until = deadline(self.cloud.now(), limit);
        let mut announced: BTreeMap<Key, (String, &str)> = BTreeMap::new();
        self.poll(
            limit,
            async || self.look_at_groups().await,
            |seen| {
                let older = if self.resumes { self.older_groups(seen) } else { Vec::new() };
                let awaited: BTreeSet<&Key> = groups.iter().copied().chain(older).collect();
                let missing = missing_machines(&awaited, seen);
                for (key, lack @ (what, _)) in &missing {
                    if announced.get(key) != Some(lack) {
                        self.announce(Event::Waiting {
                            address: Some(key.clone()),
                            what: what.clone(),
                            deadline: until.to_string(),
                        });
                    }
                }
                announced.clone_from(&missing);
                if missing.is_empty() { Ok(()) } else { Err(short(&missing, limit)) }
            },
        )
        .await
    }

    /// Groups that are there to stay. A run that goes on from one that did not end waits for theirs
    /// as well: that one may have made them.
    fn older_groups<'o>(&self, seen: &'o BTreeMap<Key, Observed>) -> Vec<&'o Key> {
        let goes = |key: &Key| {
            let mut changes = self.plan.changes.iter();
            changes.any(|change| change.address == *key && change.action == Action::Delete)
        };
        let is_asked = |key: &Key| self.plan.only.is_empty() || self.plan.only.contains(key);
        seen.iter()
            .filter(|(key, found)| {
                found.group.is_some() && found.ownership.is_owned() && !goes(key)
            })
            .map(|(key, _)| key)
            .filter(|key| is_asked(key))
            .collect()
    }

    /// Looks until `check` is content; what it says to the last look becomes the failure.
    async fn poll<T>(
        &self,
        limit: Duration,
        look: impl AsyncFn() -> Result<Arc<T>, Failure>,
        mut check: impl FnMut(&T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let started = self.cloud.now();
        let mut looks = 0;
        loop {
            self.keep_lease().await?;
            let Err(failure) = check(&*look().await?) else { return Ok(()) };
            looks += 1;
            let elapsed = since(self.cloud.now(), started);
            if elapsed >= limit {
                return Err(failure);
            }
            let schedule =
                RetryLimits { attempts_max: u32::MAX, deadline: limit, ..RetryLimits::LOOK };
            let wait = schedule.wait(looks, elapsed, self.draw()).unwrap_or(RetryLimits::LOOK.base);
            self.pause(wait.max(RetryLimits::LOOK.base / 2)).await?;
        }
    }
}

/// Rules are gone when none of ours is left in a group that others still read.
fn is_empty_rule_set(observed: &Observed) -> bool {
    matches!(&observed.resource, Resource::SecurityGroupRules(rules) if rules.rules.is_empty())
}

/// What each group still lacks, in words, and the way out.
fn missing_machines(
    groups: &BTreeSet<&Key>,
    seen: &BTreeMap<Key, Observed>,
) -> BTreeMap<Key, (String, &'static str)> {
    groups
        .iter()
        .filter_map(|key| {
            let observed = seen.get(*key);
            let lack = match observed.map(|observed| (&observed.resource, &observed.group)) {
                // What is wanted above the minimum is the autoscaler's affair.
                Some((Resource::AutoScalingGroup(group), Some(facts))) => {
                    (facts.shortfall_of(group.min_size)?, facts.way_out())
                }
                _ => ("the group is not seen".to_owned(), "look at it in the console"),
            };
            Some(((*key).clone(), lack))
        })
        .collect()
}

/// The failure of a run whose groups did not come to their machines in time.
fn short(missing: &BTreeMap<Key, (String, &'static str)>, limit: Duration) -> Failure {
    let ways_out: BTreeSet<&str> = missing.values().map(|(_, way_out)| *way_out).collect();
    let ways_out: Vec<&str> = ways_out.into_iter().collect();
    let who = match missing.first_key_value() {
        Some((key, _)) if missing.len() == 1 => format!("{key} lacks machines"),
        _ => format!("{} groups lack machines", missing.len()),
    };
    let details = missing.iter().map(|(key, (what, _))| format!("{key}: {what}"));
    Failure::new(ExitCode::Halted, format!("{who} after {} s", limit.as_secs()))
        .details(details.collect())
        .hint(format!("{}; {RERUN}", ways_out.join("; ")))
}
