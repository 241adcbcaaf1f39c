//! What a run remembers of its own doing.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::decide::{drain_since, is_lacking_key_of, lacking_key};
use super::observation::{Memory, OwnCordon, Spell};
use super::{Decision, Group, Machine, Phase, Step, Verdict, WaitReason, Waiting};
use crate::apply::lease::later;
use crate::kube::KubeView;

impl Memory {
    /// Learns from a decision: since when things are as they are.
    pub fn learn(&mut self, decision: &Decision, now: Timestamp) {
        let waits: Vec<&Waiting> =
            decision.progress.groups.iter().flat_map(|group| &group.waiting).collect();
        let resting = waits.iter().filter(|wait| wait.reason == WaitReason::PostDrain);
        for machine in resting.filter_map(|wait| wait.machine.clone()) {
            self.drained_since.entry(machine).or_insert(now);
        }
        let groups = &decision.progress.groups;
        self.drained_since
            .retain(|id, _| groups.iter().any(|g| g.in_work.get(id) == Some(&Phase::Draining)));
        let lacking = waits.iter().filter_map(|wait| match wait.reason {
            WaitReason::Machines { have, .. } => Some(lacking_key(&wait.group, have)),
            _ => None,
        });
        // Each new machine that counts begins that wait anew.
        keep(&mut self.lacking_since, lacking, now, Duration::ZERO);
        let leaving = waits.iter().filter(|wait| wait.reason == WaitReason::Termination);
        keep(&mut self.leaving_since, leaving.filter_map(|wait| wait.machine.clone()), now, LAPSE);
        let regressed = waits.iter().filter_map(|wait| match &wait.reason {
            WaitReason::Regression { object, .. } => Some(object.clone()),
            _ => None,
        });
        keep(&mut self.regressed_since, regressed, now, LAPSE);
        let is_refused = waits.iter().any(|w| matches!(w.reason, WaitReason::Quorum { .. }));
        self.refused_since = match self.refused_since {
            Some(spell) if is_refused => Some(Spell { seen_at: now, ..spell }),
            None if is_refused => Some(Spell { since: now, seen_at: now }),
            spell => spell.filter(|spell| !spell.is_over(now, LAPSE)),
        };
        let is_stuck = decision.is_stuck && matches!(decision.verdict, Verdict::Wait(_));
        self.stuck_since = is_stuck.then(|| self.stuck_since.unwrap_or(now));
        for halt in &decision.halts {
            if !self.halts.contains(halt) {
                self.halts.push(halt.clone());
            }
        }
    }

    /// Learns what groups' notes say, and puts back the ones that somebody took off: none but a roll's
    /// own run takes its note away, and without it nobody could give back what it has taken.
    pub fn restore_marks(&mut self, groups: &mut BTreeMap<String, Group>) {
        for (name, group) in groups.iter_mut().filter(|(_, group)| !group.is_gone) {
            match &group.mark {
                Some(mark) => {
                    self.marks.insert(name.clone(), mark.clone());
                }
                None => {
                    group.mark = self.marks.get(name).cloned();
                    group.is_unmarked = group.mark.is_some();
                }
            }
        }
    }

    /// Learns whose nodes have been ready, and which cordons are there after all.
    pub fn know_nodes(&mut self, machines: &BTreeMap<String, Machine>, view: &KubeView) {
        self.joined.retain(|id| machines.contains_key(id));
        let known = machines.iter().filter_map(|(id, machine)| {
            let node = view.nodes.get(machine.node.as_ref()?)?;
            (node.is_ready() || node.was_ready()).then_some(id)
        });
        let new: Vec<String> = known.filter(|id| !self.joined.contains(*id)).cloned().collect();
        self.joined.extend(new);
        let shows_still = |name: &String| view.nodes.get(name).and_then(drain_since).is_some();
        self.uncordoned.retain(shows_still);
        for (name, cordon) in &mut self.cordoned {
            let shows = view.nodes.get(name).is_some_and(|node| drain_since(node).is_some());
            cordon.known_at = cordon.known_at.or(shows.then_some(view.seen_at));
        }
    }

    /// Learns since when budgets have looked as if they never allowed an eviction.
    pub fn know_budgets(&mut self, view: &KubeView) {
        let closed = view.budgets.values().filter(|budget| budget.is_blocked_for_ever());
        let closed = closed.map(|budget| budget.id.clone());
        keep(&mut self.closed_since, closed, view.seen_at, Duration::ZERO);
    }

    /// Learns from a step that is about to be made, whatever becomes of it: a note that goes now was
    /// taken off by nobody else.
    pub fn making(&mut self, step: &Step) {
        if let Step::Unmark { group } = step {
            self.marks.remove(group);
        }
    }

    /// Whether AWS went on wanting a machine in the place of one that a step has ended together with it.
    pub fn keeps_a_place(&self, step: &Step) -> bool {
        match step {
            Step::Terminate { machines, shrink: true, .. } => {
                !machines.is_disjoint(&self.places_kept)
            }
            _ => false,
        }
    }

    /// Learns from a step whose request to the API server was not answered: it may have been made.
    pub fn doubted(&mut self, step: &Step) {
        match step {
            Step::Cordon { node, at, .. } => {
                self.cordoned.insert(node.clone(), OwnCordon { at: *at, known_at: None });
            }
            Step::Release { node, uncordon: true } => {
                self.uncordoned.insert(node.clone());
            }
            Step::Skip { machine, why, .. } => {
                self.skipped.insert(machine.clone(), why.clone());
            }
            _ => {}
        }
    }

    /// Learns from a step that was made just now.
    pub fn made(&mut self, step: &Step, now: Timestamp) {
        match step {
            Step::Cordon { machine, node, at, .. } => {
                self.begun.insert(machine.clone());
                self.cordoned.insert(node.clone(), OwnCordon { at: *at, known_at: Some(now) });
                self.uncordoned.remove(node);
                self.refused_since = None;
            }
            Step::Terminate { machines, .. } | Step::TerminateDetached { machines } => {
                self.begun.extend(machines.iter().cloned());
                self.refused_since = None;
            }
            Step::GiveUp { group, machines } => {
                self.refused_since = None;
                let count = u32::try_from(machines.len()).unwrap_or(u32::MAX);
                let known = self.given_up.entry(group.clone()).or_default();
                *known = known.saturating_add(count);
            }
            // The wait for what was launched before says nothing about what is launched from now on.
            Step::Pin { group, .. } => {
                self.lacking_since.retain(|key, _| !is_lacking_key_of(key, group));
            }
            // What takes other marks off leaves a cordon that is known to be there.
            Step::Release { node, uncordon } => {
                let stays = |cordon: &OwnCordon| cordon.known_at.is_some() && !uncordon;
                self.cordoned.retain(|name, cordon| name != node || stays(cordon));
                if *uncordon {
                    self.uncordoned.insert(node.clone());
                }
            }
            Step::Skip { machine, node, why, .. } => {
                self.cordoned.remove(node);
                self.skipped.insert(machine.clone(), why.clone());
            }
            _ => {}
        }
    }
}

/// So long something may not show between two looks and still be the same: another reason that comes and
/// goes hides it meanwhile, and two that take turns would have no end.
const LAPSE: Duration = Duration::from_secs(60);

impl Spell {
    /// Whether it was seen last too long ago.
    fn is_over(self, now: Timestamp, lapse: Duration) -> bool {
        later(self.seen_at, lapse) < now
    }
}

/// Keeps the spells of what still is so, begins those of what is so from now on, drops what was not seen
/// for longer than `lapse`.
fn keep<K: Ord>(
    known: &mut BTreeMap<K, Spell>,
    now_so: impl Iterator<Item = K>,
    now: Timestamp,
    lapse: Duration,
) {
    for key in now_so {
        let begun = Spell { since: now, seen_at: now };
        known.entry(key).and_modify(|spell| spell.seen_at = now).or_insert(begun);
    }
    known.retain(|_, spell| !spell.is_over(now, lapse));
}

#[cfg(test)]
mod tests;
