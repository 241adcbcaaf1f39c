//! Marks go from what is finished: nodes that stay are released, processes resumed, notes taken away.
//!
//! A roll that halts tidies as well, as far as nothing depends on a mark any more: what is left then
//! is a cluster that works.

use std::collections::BTreeSet;

use super::assess;
use super::scene::{Availability, GroupScene, MachineScene, Scene, was_cordoned};
use super::start::is_open;
use super::turn::Turn;
use crate::roll::Step;
use crate::roll::mark::{NEWCOMER_ANNOTATION, OUTDATED_TAINT, RollMark};

/// Takes away what is not needed any more.
pub(super) fn tidy(scene: &Scene<'_>, turn: &mut Turn) {
    for group in scene.groups.iter().filter(|group| group.in_scope) {
        let is_over = !is_open(scene, group) || !turn.halts.is_empty();
        for m in &group.machines {
            release(group, m, is_over, turn);
        }
        unmark_members(group, turn);
        if is_over && !turn.touches(group.name()) && !turn.works_on(group.name()) {
            close(scene, group, turn);
        }
    }
}

/// Puts back notes that somebody took off: what they say is still to be undone.
pub(super) fn restore_marks(scene: &Scene<'_>, turn: &mut Turn) {
    for group in scene.groups.iter().filter(|group| group.in_scope && group.group.is_unmarked) {
        if let Some(mark) = &group.group.mark {
            let mark = mark.clone();
            turn.steps.push(Step::Mark { group: group.name().to_owned(), mark });
        }
    }
}

/// Takes a roll's marks off a node that stays: at once what says that it is worked on, at the end
/// what says that it will be.
fn release(group: &GroupScene<'_>, m: &MachineScene<'_>, is_over: bool, turn: &mut Turn) {
    let Some(node) = m.node else { return };
    let is_tainted = node.taints.iter().any(|taint| taint.key == OUTDATED_TAINT);
    let is_new = node.annotations.contains_key(NEWCOMER_ANNOTATION);
    let stays = !m.is_outdated() && m.availability != Availability::Leaving;
    let is_drained = matches!(m.availability, Availability::Draining(_));
    let counts = m.availability == Availability::Available;
    let is_due = (stays && (is_drained || is_tainted || (is_new && counts)))
        || (is_over && is_tainted && !m.is_begun())
        || (is_new && counts && !group.is_current(m.machine));
    if is_due && !turn.begins(m) {
        let uncordon = is_drained && !was_cordoned(node);
        turn.steps.push(Step::Release { node: node.name.clone(), uncordon });
    }
}

/// Members that were about to be detached, and stay.
fn unmark_members(group: &GroupScene<'_>, turn: &mut Turn) {
    let machines: BTreeSet<String> = group
        .machines
        .iter()
        .filter(|m| m.machine.is_member && m.machine.detached.is_some() && !m.is_outdated())
        .map(|m| m.id().to_owned())
        .collect();
    if !machines.is_empty() {
        turn.steps.push(Step::UnmarkDetached { machines });
    }
}

/// Gives a group back its processes, and takes the note away unless a surge still needs it.
fn close(scene: &Scene<'_>, group: &GroupScene<'_>, turn: &mut Turn) {
    let Some(mark) = &group.group.mark else { return };
    let name = group.name().to_owned();
    let processes: BTreeSet<String> =
        mark.suspended.intersection(&group.group.suspended).cloned().collect();
    if !processes.is_empty() {
        turn.steps.push(Step::Resume { group: name.clone(), processes });
    }
    let is_needed = group.raised() > 0
        || group.detached().next().is_some()
        || (assess::has_failed(group.group, scene.p) && !group.is_pinned());
    if !is_needed {
        turn.steps.push(Step::Unmark { group: name });
    } else if !mark.suspended.is_empty() {
        let mark = RollMark { suspended: BTreeSet::new(), ..mark.clone() };
        turn.steps.push(Step::Mark { group: name, mark });
    }
}
