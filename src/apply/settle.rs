//! After the last wave: wait until reads show what was written, and until new groups have their
//! machines. An apply that ends is an apply whose next plan is empty.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::engine::{Engine, Outcome, deadline, since};
use super::failure::RERUN;
use super::steps::{self, StepContext};
use crate::cloud::retry::RetryLimits;
use crate::cloud::{Cloud, GroupFacts, Observation};
use crate::error::{ExitCode, Failure};
use crate::event::Event;
use crate::plan::{Action, Change};
use crate::resource::{Key, Kind, Resource};

/// How long writes may take to be seen. AWS advises to allow for five minutes; machines of a group
/// that goes take longer to end.
const SEEN_TIMEOUT: Duration = Duration::from_secs(300);
/// The same when something is removed.
const GONE_TIMEOUT: Duration = Duration::from_secs(900);

/// How much a look has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// All that a run may have written.
    All,
    /// The machines of groups; what costs a call each is left out.
    Machines,
}

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
        let seen = self.poll(limit, Depth::All, |observation| {
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
            Err(unseen.iter().map(|key| format!("{key} is not seen as written")).collect())
        });
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
        let mut announced: BTreeMap<Key, String> = BTreeMap::new();
        self.poll(limit, Depth::Machines, |observation| {
            let older = if self.resumes { self.older_groups(observation) } else { Vec::new() };
            let awaited: BTreeSet<&Key> = groups.iter().copied().chain(older).collect();
            let missing = missing_machines(&awaited, observation);
            for (key, what) in &missing {
                if announced.get(key) != Some(what) {
                    self.announce(Event::Waiting {
                        address: Some(key.clone()),
                        what: what.clone(),
                        deadline: until.to_string(),
                    });
                }
            }
            announced.clone_from(&missing);
            if missing.is_empty() {
                return Ok(());
            }
            Err(missing.into_iter().map(|(key, what)| format!("{key}: {what}")).collect())
        })
        .await
    }

    /// Groups that are there to stay. A run that goes on from one that did not end waits for theirs
    /// as well: that one may have made them.
    fn older_groups<'o>(&self, observation: &'o Observation) -> Vec<&'o Key> {
        let goes = |key: &Key| {
            let mut changes = self.plan.changes.iter();
            changes.any(|change| change.address == *key && change.action == Action::Delete)
        };
        let is_asked = |key: &Key| self.plan.only.is_empty() || self.plan.only.contains(key);
        observation
            .resources
            .iter()
            .filter(|(key, found)| {
                found.group.is_some() && found.ownership.is_owned() && !goes(key)
            })
            .map(|(key, _)| key)
            .filter(|key| is_asked(key))
            .collect()
    }

    /// Looks until `check` is content; its complaints of the last look become the failure.
    async fn poll(
        &self,
        limit: Duration,
        depth: Depth,
        mut check: impl FnMut(&Observation) -> Result<(), Vec<String>>,
    ) -> Result<(), Failure> {
        let started = self.cloud.now();
        let mut looks = 0;
        loop {
            self.keep_lease().await?;
            let observation = match depth {
                Depth::All => self.look(self.cloud.now()).await?,
                Depth::Machines => self.look_at_machines().await?,
            };
            let Err(complaints) = check(&observation) else { return Ok(()) };
            looks += 1;
            let elapsed = since(self.cloud.now(), started);
            if elapsed >= limit {
                let message = format!("not finished after {} s", limit.as_secs());
                return Err(Failure::new(ExitCode::Halted, message)
                    .details(complaints)
                    .hint(RERUN));
            }
            let schedule =
                RetryLimits { attempts_max: u32::MAX, deadline: limit, ..RetryLimits::LOOK };
            let wait = schedule.wait(looks, elapsed, self.draw()).unwrap_or(RetryLimits::LOOK.base);
            self.pause(wait.max(RetryLimits::LOOK.base / 2)).await?;
        }
    }
}

/// Rules are gone when none of ours is left in a group that others still read.
fn is_empty_rule_set(observed: &crate::cloud::Observed) -> bool {
    matches!(&observed.resource, Resource::SecurityGroupRules(rules) if rules.rules.is_empty())
}

/// What each group still lacks, in words.
fn missing_machines(groups: &BTreeSet<&Key>, observation: &Observation) -> BTreeMap<Key, String> {
    groups
        .iter()
        .filter_map(|key| {
            let observed = observation.resources.get(*key);
            let what = match observed.map(|observed| (&observed.resource, &observed.group)) {
                Some((Resource::AutoScalingGroup(group), Some(facts))) => {
                    missing_of(facts, group.min_size)?
                }
                _ => "the group is not seen".to_owned(),
            };
            Some(((*key).clone(), what))
        })
        .collect()
}

fn missing_of(facts: &GroupFacts, min_size: i32) -> Option<String> {
    // What is wanted above the minimum is the autoscaler's affair.
    let wanted = usize::try_from(min_size).unwrap_or_default();
    let in_service =
        facts.instances.iter().filter(|instance| instance.lifecycle_state == "InService").count();
    if in_service >= wanted {
        return None;
    }
    let mut what = format!("{in_service} of {wanted} machines in service");
    for instance in facts.instances.iter().filter(|i| i.lifecycle_state != "InService").take(3) {
        what.push_str(&format!("; {} is {}", instance.instance_id, instance.lifecycle_state));
    }
    if let Some(activity) = &facts.failed_activity {
        what.push_str(&format!("; last failed activity: {activity}"));
    }
    Some(what)
}
