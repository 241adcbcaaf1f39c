//! This run's own writes, laid over what is read until reads can be trusted to show them.
//!
//! Replies are trusted at once, reads only after a while: AWS is eventually consistent, and acting
//! twice on one reading would replace a machine twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::apply::lease::later;
use crate::roll::{Group, Machine, Stage, Step, TargetState};

/// A picture taken so long after a write shows it.
/// Source: EC2 API reference, "Eventual consistency", says seconds to minutes; Auto Scaling's own
/// listings follow within seconds.
pub(super) const TRUST_AFTER: Duration = Duration::from_secs(20);

/// Writes, oldest first.
#[derive(Debug, Default)]
pub(super) struct Edits {
    made: Vec<(Timestamp, Step)>,
}

impl Edits {
    /// Notes a step that was made, after a look whose picture of the cloud was taken at `seen_at`. Of
    /// machines that end, those of `kept` do not shrink their group.
    pub(super) fn add(
        &mut self,
        at: Timestamp,
        step: &Step,
        kept: &BTreeSet<String>,
        seen: &BTreeMap<String, Group>,
        seen_at: Timestamp,
    ) {
        if !step.is_cloud() {
            return;
        }
        self.made.push((at, step.clone()));
        // What shrinks a group is noted as the number that it leads to, so that it counts once.
        if let Step::Terminate { group, machines, shrink: true } = step {
            let from = self.desired(group, seen_at).or_else(|| Some(seen.get(group)?.desired));
            let count = i32::try_from(machines.difference(kept).count()).unwrap_or(0);
            if let Some(from) = from {
                let to = from.saturating_sub(count);
                self.made.push((at, Step::SetDesired { group: group.clone(), from, to }));
            }
        }
    }

    /// The desired capacity that was last written, while the picture does not show it for certain: what
    /// it shows later is what others have made of it.
    fn desired(&self, group: &str, seen_at: Timestamp) -> Option<i32> {
        self.hidden(seen_at).iter().rev().find_map(|step| match step {
            Step::SetDesired { group: of, to, .. } if of == group => Some(*to),
            _ => None,
        })
    }

    /// The writes that a picture taken at `seen_at` may not show, oldest first.
    pub(super) fn hidden(&self, seen_at: Timestamp) -> Vec<Step> {
        let hidden = self.made.iter().filter(|(at, _)| seen_at < later(*at, TRUST_AFTER));
        hidden.map(|(_, step)| step.clone()).collect()
    }

    /// When the newest write was made; the beginning of time for none.
    pub(super) fn newest(&self) -> Timestamp {
        self.made.iter().map(|(at, _)| *at).max().unwrap_or(Timestamp::MIN)
    }

    /// When a picture can be trusted to show every write; none when one taken at `seen_at` does.
    pub(super) fn trusted_at(&self, seen_at: Timestamp) -> Option<Timestamp> {
        let trusted = later(self.newest(), TRUST_AFTER);
        (seen_at < trusted).then_some(trusted)
    }

    /// Whether a machine was taken out of its group.
    pub(super) fn detaches(&self) -> bool {
        self.made.iter().any(|(_, step)| matches!(step, Step::Detach { .. }))
    }

    /// Whether machines outside of groups were ended so late that a reading of `at` may not show it.
    pub(super) fn ends_outside_unseen(&self, at: Timestamp) -> bool {
        self.made.iter().any(|(made_at, step)| {
            matches!(step, Step::TerminateDetached { .. }) && at < later(*made_at, TRUST_AFTER)
        })
    }

    /// Whether a machine was ended or taken out of its group.
    pub(super) fn ends(&self, id: &str) -> bool {
        self.made.iter().any(|(_, step)| match step {
            Step::Terminate { machines, .. }
            | Step::GiveUp { machines, .. }
            | Step::Detach { machines, .. } => machines.contains(id),
            _ => false,
        })
    }

    /// Lays over a picture taken at `seen_at` what was written since, or too shortly before.
    pub(super) fn apply(
        &self,
        seen_at: Timestamp,
        groups: &mut BTreeMap<String, Group>,
        machines: &mut BTreeMap<String, Machine>,
    ) {
        for step in self.hidden(seen_at) {
            edit(&step, groups, machines);
        }
    }

    /// Forgets what every picture shows by now; a while longer keeps what ends known. Whether there was
    /// something to forget.
    pub(super) fn forget(&mut self, now: Timestamp) -> bool {
        let keep = Duration::from_secs(600);
        let before = self.made.len();
        self.made.retain(|(at, _)| now < later(*at, keep));
        self.made.len() < before
    }
}

fn edit(
    step: &Step,
    groups: &mut BTreeMap<String, Group>,
    machines: &mut BTreeMap<String, Machine>,
) {
    let mut each = |ids: &BTreeSet<String>, change: &dyn Fn(&mut Machine)| {
        for id in ids {
            if let Some(machine) = machines.get_mut(id) {
                change(machine);
            }
        }
    };
    match step {
        Step::MarkDetached { mark, machines: ids } => {
            each(ids, &|machine| machine.detached = Some(mark.clone()));
        }
        Step::UnmarkDetached { machines: ids } => each(ids, &|machine| machine.detached = None),
        Step::Detach { machines: ids, .. } => each(ids, &|machine| {
            machine.is_member = false;
            machine.targets = None;
        }),
        Step::Deregister { machine, target_group_arns } => {
            set_targets(machines, machine, target_group_arns, TargetState::Draining);
        }
        Step::Register { machine, target_group_arns } => {
            set_targets(machines, machine, target_group_arns, TargetState::Initial);
        }
        Step::TerminateDetached { machines: ids }
        | Step::Terminate { machines: ids, .. }
        | Step::GiveUp { machines: ids, .. } => {
            each(ids, &|machine| machine.stage = Stage::Leaving);
        }
        _ => edit_group(step, groups),
    }
}

fn set_targets(
    machines: &mut BTreeMap<String, Machine>,
    id: &str,
    arns: &BTreeSet<String>,
    state: TargetState,
) {
    let Some(machine) = machines.get_mut(id) else { return };
    let targets = machine.targets.get_or_insert_default();
    targets.extend(arns.iter().map(|arn| (arn.clone(), state)));
}

fn edit_group(step: &Step, groups: &mut BTreeMap<String, Group>) {
    let Some(group) = step.group().and_then(|name| groups.get_mut(name)) else { return };
    match step {
        Step::Mark { mark, .. } => group.mark = Some(mark.clone()),
        Step::Unmark { .. } => group.mark = None,
        Step::Suspend { processes, .. } => group.suspended.extend(processes.iter().cloned()),
        Step::Resume { processes, .. } => {
            group.suspended.retain(|process| !processes.contains(process));
        }
        Step::Pin { version, .. } => group.pin = Some(*version),
        Step::MarkFailed { revision, .. } => group.failed = Some(revision.clone()),
        Step::ClearFailed { .. } => group.failed = None,
        Step::SetDesired { to, .. } => group.desired = *to,
        Step::LowerMinimum { to, .. } => group.min = *to,
        _ => {}
    }
}

/// Requests to the API server that this run has just made: a watch that is late would have them made
/// again and again.
#[derive(Debug, Default)]
pub(super) struct Recent {
    made: BTreeMap<String, Timestamp>,
}

/// So long a request is not made again.
const QUIET: Duration = Duration::from_secs(15);

impl Recent {
    /// Notes a step that was made.
    pub(super) fn add(&mut self, at: Timestamp, step: &Step) {
        self.made.retain(|_, made_at| at < later(*made_at, QUIET));
        for key in keys(step) {
            self.made.insert(key, at);
        }
    }

    /// The steps without what was made a moment ago.
    pub(super) fn without(&self, now: Timestamp, steps: Vec<Step>) -> Vec<Step> {
        let is_new = |key: &String| self.made.get(key).is_none_or(|at| now >= later(*at, QUIET));
        let rest = steps.into_iter().filter_map(|step| match step {
            Step::Taint { nodes } => {
                let nodes: BTreeSet<String> =
                    nodes.into_iter().filter(|node| is_new(&format!("taint {node}"))).collect();
                (!nodes.is_empty()).then_some(Step::Taint { nodes })
            }
            step => keys(&step).iter().all(is_new).then_some(step),
        });
        rest.collect()
    }
}

fn keys(step: &Step) -> Vec<String> {
    match step {
        Step::Taint { nodes } => nodes.iter().map(|node| format!("taint {node}")).collect(),
        Step::Cordon { node, .. } => vec![format!("cordon {node}")],
        Step::Release { node, .. } | Step::Skip { node, .. } => vec![format!("release {node}")],
        Step::Protect { node } => vec![format!("protect {node}")],
        Step::DeleteNode { uid, .. } => vec![format!("delete {uid}")],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::collections::{BTreeMap, BTreeSet};

    use super::{Edits, Group, Step, TRUST_AFTER, later};

    #[test]
    fn a_write_that_a_picture_shows_hides_nothing_that_others_wrote_since() {
        let name = "pool".to_owned();
        let began = "2026-01-01T12:00:00Z".parse().unwrap();
        let group =
            |desired| BTreeMap::from([(name.clone(), Group { desired, ..Group::gone(&name) })]);
        let set = Step::SetDesired { group: name.clone(), from: 4, to: 6 };
        let machines = ["i-1".to_owned()].into();
        let shrink = Step::Terminate { group: name.clone(), machines, shrink: true };
        let none = BTreeSet::new();
        for (waits, seen, left) in [(TRUST_AFTER, 8, 7), (TRUST_AFTER / 2, 4, 5)] {
            let mut edits = Edits::default();
            edits.add(began, &set, &none, &group(4), began);
            let now = later(began, waits);
            edits.add(now, &shrink, &none, &group(seen), now);
            let mut groups = group(seen);
            edits.apply(now, &mut groups, &mut BTreeMap::new());
            assert_eq!(groups[&name].desired, left, "{seen} were seen after {waits:?}");
        }
    }
}
