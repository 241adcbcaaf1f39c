//! What a run remembers of its own doing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::decide::lacking_key;
use super::observation::Memory;
use super::{Decision, Phase, Step, Verdict, WaitReason, Waiting};

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
        keep(&mut self.lacking_since, lacking, now);
        let leaving = waits.iter().filter(|wait| wait.reason == WaitReason::Termination);
        keep(&mut self.leaving_since, leaving.filter_map(|wait| wait.machine.clone()), now);
        let regressed = waits.iter().filter_map(|wait| match &wait.reason {
            WaitReason::Regression { object, .. } => Some(object.clone()),
            _ => None,
        });
        keep(&mut self.regressed_since, regressed, now);
        let is_refused = waits.iter().any(|w| matches!(w.reason, WaitReason::Quorum { .. }));
        self.refused_since = is_refused.then(|| self.refused_since.unwrap_or(now));
        let is_stuck = decision.is_stuck && matches!(decision.verdict, Verdict::Wait(_));
        self.stuck_since = is_stuck.then(|| self.stuck_since.unwrap_or(now));
        for halt in &decision.halts {
            if !self.halts.contains(halt) {
                self.halts.push(halt.clone());
            }
        }
    }

    /// Learns from a step that was made.
    pub fn made(&mut self, step: &Step) {
        match step {
            Step::Cordon { machine, at, .. } => {
                self.begun.insert(machine.clone());
                self.cordoned.insert(machine.clone(), *at);
            }
            Step::Terminate { machines, .. } | Step::TerminateDetached { machines } => {
                self.begun.extend(machines.iter().cloned());
            }
            Step::GiveUp { group, machines } => {
                let count = u32::try_from(machines.len()).unwrap_or(u32::MAX);
                let known = self.given_up.entry(group.clone()).or_default();
                *known = known.saturating_add(count);
            }
            Step::Skip { machine, .. } => {
                self.cordoned.remove(machine);
                self.skipped.insert(machine.clone());
            }
            _ => {}
        }
    }
}

/// Keeps the moments of what still is so, adds what is so from now on, drops the rest.
fn keep(
    known: &mut BTreeMap<String, Timestamp>,
    now_so: impl Iterator<Item = String>,
    now: Timestamp,
) {
    let now_so: BTreeSet<String> = now_so.collect();
    known.retain(|key, _| now_so.contains(key));
    for key in now_so {
        known.entry(key).or_insert(now);
    }
}
