//! Waves: changes that do not depend on each other, in the order of their dependencies, and how one
//! wave is made.

use std::collections::{BTreeMap, BTreeSet};

use super::engine::{Engine, Outcome};
use super::journal::JournalStep;
use super::names;
use super::pool::{self, Task};
use crate::cloud::Cloud;
use crate::error::Failure;
use crate::event::Event;
use crate::plan::{Action, Change};
use crate::resource::Key;

/// So many changes at once: enough to hide latency, and EC2's buckets of mutating calls refill at
/// five a second.
const CONCURRENCY: usize = 8;
/// The changes by wave. Dependencies on what the plan does not change are met already. Changes that
/// depend on each other in a circle, as only a plan written by hand has them, are not among them.
pub(super) fn waves(changes: &[Change]) -> Vec<Vec<&Change>> {
    let planned: BTreeSet<&Key> = changes.iter().map(|change| &change.address).collect();
    let mut level: BTreeMap<&Key, usize> = BTreeMap::new();
    let mut waves: Vec<Vec<&Change>> = Vec::new();
    let mut rest: Vec<&Change> = changes.iter().collect();
    // Each round places at least one change, or there is a circle.
    while !rest.is_empty() {
        let (ready, blocked): (Vec<&Change>, Vec<&Change>) = rest.into_iter().partition(|change| {
            change.depends_on.iter().all(|key| !planned.contains(key) || level.contains_key(key))
        });
        if ready.is_empty() {
            break;
        }
        for change in &ready {
            level.insert(&change.address, waves.len());
        }
        waves.push(ready);
        rest = blocked;
    }
    waves
}

impl<C: Cloud> Engine<'_, C> {
    /// Writes down what is about to begin, before any of it does.
    pub(super) async fn begin_wave(
        &self,
        (wave, waves): (usize, usize),
        changes: &[&Change],
        earlier: &BTreeMap<Key, Outcome>,
    ) {
        if let Err(failure) = self.count_removals(changes).await {
            self.halt(failure);
        }
        if self.halted().is_some() {
            return;
        }
        self.announce(Event::WaveStarted { wave, waves, changes: changes.len() });
        let mut journal = self.journal.lock().await;
        for change in changes.iter().filter(|change| blocker(change, earlier).is_none()) {
            let intent = JournalStep::Intent { action: change.action };
            journal.add(self.cloud.now(), &change.address, intent);
        }
        journal.flush(self.cloud).await;
    }

    /// Makes the changes of a wave: each for itself, but all names of a zone together.
    pub(super) async fn make_wave(
        &self,
        changes: &[&Change],
        earlier: &BTreeMap<Key, Outcome>,
    ) -> Vec<(Key, Outcome)> {
        let tasks: Vec<Task<'_, Vec<(Key, Outcome)>>> = names::by_zone(changes)
            .into_iter()
            .map(|together| {
                Box::pin(async move {
                    let mut outcomes = Vec::new();
                    let mut ready = Vec::new();
                    for change in together {
                        // What stops the run is the reason for all that is left.
                        let failure = self.halted().map(|failure| failure.message);
                        match failure.or_else(|| blocker(change, earlier)) {
                            Some(why) => outcomes.push(self.skip(change, why)),
                            None => ready.push(change),
                        }
                    }
                    outcomes.extend(self.make_unless_halted(&ready).await);
                    outcomes
                }) as Task<'_, Vec<(Key, Outcome)>>
            })
            .collect();
        pool::bounded(CONCURRENCY, tasks).await.into_iter().flatten().collect()
    }

    async fn make_unless_halted(&self, changes: &[&Change]) -> Vec<(Key, Outcome)> {
        if changes.is_empty() {
            return Vec::new();
        }
        self.check_stop();
        if self.halted().is_none() {
            // What it says is remembered: the run is halted.
            let _ = self.ensure_lease().await;
        }
        if let Some(failure) = self.halted() {
            return changes.iter().map(|c| self.skip(c, failure.message.clone())).collect();
        }
        match changes {
            [change] => vec![(change.address.clone(), self.make(change).await)],
            names => self.make_names(names).await,
        }
    }

    fn skip(&self, change: &Change, why: String) -> (Key, Outcome) {
        let address = change.address.clone();
        self.announce(Event::ChangeSkipped { address: address.clone(), why: why.clone() });
        (address, Outcome::Skipped(why))
    }

    /// Tokens of what is removed now must not be used again.
    async fn count_removals(&self, changes: &[&Change]) -> Result<(), Failure> {
        if self.halted().is_some() {
            return Ok(());
        }
        let removed: Vec<&Key> = changes
            .iter()
            .filter(|change| matches!(change.action, Action::Delete | Action::Replace))
            .map(|change| &change.address)
            .collect();
        self.forget_tokens(&removed).await
    }
}

/// A change that must not begin because of one it depends on.
fn blocker(change: &Change, outcomes: &BTreeMap<Key, Outcome>) -> Option<String> {
    change.depends_on.iter().find_map(|key| match outcomes.get(key)? {
        Outcome::Done | Outcome::AlreadyDone => None,
        Outcome::Failed(_) => Some(format!("{key} failed")),
        Outcome::Skipped(_) => Some(format!("{key} was skipped")),
    })
}
