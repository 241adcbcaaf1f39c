//! What an abort would do, seen before it begins: what a roll has begun and left, and how each part of
//! it is put back.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::{Availability, GroupScene, MachineScene, Scene};
use super::{Decision, MachineReason, Step, Verdict};

/// What of one group would be put back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undo {
    /// The group.
    pub group: String,
    /// The version that new machines get again.
    pub version: Option<u64>,
    /// Machines whose nodes take work again: the roll's cordon and its other marks go.
    pub uncordoned: Vec<String>,
    /// Machines whose nodes lose a roll's taint and annotations.
    pub unmarked: Vec<String>,
    /// Members that were about to be taken out of the group, and stay.
    pub kept: Vec<String>,
    /// Machines that are drained and ended, and why: those that stand outside of the group, and what a
    /// surge has added.
    pub ended: BTreeMap<String, Vec<MachineReason>>,
    /// Machines that end already: they are waited for.
    pub leaving: Vec<String>,
    /// New machines that do not count yet: they are waited for, too.
    pub coming: Vec<String>,
    /// Processes of the group that are resumed.
    pub processes: BTreeSet<String>,
    /// Whether the roll's note on the group is taken away.
    pub is_marked: bool,
}

impl Undo {
    /// Of every group that a roll has left something on, in rolling order. What is done at once follows
    /// from the decision, what comes later from the marks.
    pub(super) fn of(scene: &Scene<'_>, decision: &Decision) -> Vec<Self> {
        let steps = match &decision.verdict {
            Verdict::Act(steps) => steps.as_slice(),
            Verdict::Wait(_) | Verdict::Halted(_) | Verdict::Done => &[],
        };
        let groups = scene.groups.iter().map(|group| Self::of_group(group, steps));
        groups.filter(|undo| !undo.is_empty()).collect()
    }

    fn of_group(group: &GroupScene<'_>, steps: &[Step]) -> Self {
        let mut undo = Self { group: group.name().to_owned(), ..Self::default() };
        for step in steps {
            undo.add(group, step);
        }
        if let Some(mark) = &group.group.mark {
            undo.is_marked = true;
            let suspended = mark.suspended.intersection(&group.group.suspended);
            undo.processes = suspended.cloned().collect();
            undo.leaving = ids(group, |m| m.availability == Availability::Leaving);
            undo.coming = ids(group, |m| {
                matches!(m.availability, Availability::Coming(_) | Availability::Soaking(_))
            });
        }
        let ended = group.outdated().map(|m| (m.id().to_owned(), m.reasons.clone()));
        undo.ended = ended.collect();
        undo
    }

    fn add(&mut self, group: &GroupScene<'_>, step: &Step) {
        match step {
            Step::Pin { group: of, version } if of == group.name() => self.version = Some(*version),
            Step::Release { node, uncordon } => {
                let released =
                    ids(group, |m| m.node.is_some_and(|of_machine| of_machine.name == *node));
                match uncordon {
                    true => self.uncordoned.extend(released),
                    false => self.unmarked.extend(released),
                }
            }
            Step::UnmarkDetached { machines } => {
                self.kept.extend(ids(group, |m| machines.contains(m.id())));
            }
            _ => {}
        }
    }

    fn is_empty(&self) -> bool {
        let Self { group, .. } = self;
        *self == Self { group: group.clone(), ..Self::default() }
    }
}

/// The group's machines of which something holds.
fn ids(group: &GroupScene<'_>, holds: impl Fn(&MachineScene<'_>) -> bool) -> Vec<String> {
    group.machines.iter().filter(|m| holds(m)).map(|m| m.id().to_owned()).collect()
}
