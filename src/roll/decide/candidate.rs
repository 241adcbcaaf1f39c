//! Which machines could be begun with, and in which order.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::scene::{Availability, GroupScene, MachineScene, Scene};

/// Machines that could be begun with, in their order: broken ones, then those that nobody may use
/// anyway, then the oldest; what stands outside of its group goes last, since it is the surge.
pub(super) fn candidates<'s, 'a>(
    scene: &'s Scene<'a>,
    group: &'s GroupScene<'a>,
) -> impl Iterator<Item = &'s MachineScene<'a>> {
    let mut found: Vec<&MachineScene<'_>> = startable(scene, group).collect();
    found.sort_by(|left, right| order(left, right));
    let mut room = room(scene);
    // What stands outside of its group was begun with.
    found.into_iter().filter(move |m| {
        let goes = !m.machine.is_member || room > 0;
        room = room.saturating_sub(usize::from(m.machine.is_member));
        goes
    })
}

/// How many more machines a run may begin with: each counts from when it is taken out of its group, or
/// its drain begins.
fn room(scene: &Scene<'_>) -> usize {
    let Some(most) = scene.p.machines_max else { return usize::MAX };
    let begun = &scene.o.memory.begun;
    let is_detached = |m: &MachineScene<'_>| !m.machine.is_member && !begun.contains(m.id());
    let detached = scene.machines().filter(|(_, m)| is_detached(m)).count();
    most.saturating_sub(begun.len() + detached)
}

/// Whether a run has begun with as many machines as it may.
pub(super) fn is_enough(scene: &Scene<'_>) -> bool {
    room(scene) == 0
}

/// Machines that stand outside of a group and that nothing else was begun with: they go however many were.
pub(super) fn outside<'s, 'a>(
    scene: &'s Scene<'a>,
    group: &'s GroupScene<'a>,
) -> impl Iterator<Item = &'s MachineScene<'a>> {
    startable(scene, group).filter(|m| !m.machine.is_member)
}

/// The same in any order, and however many there may be.
pub(super) fn startable<'s, 'a>(
    scene: &'s Scene<'a>,
    group: &'s GroupScene<'a>,
) -> impl Iterator<Item = &'s MachineScene<'a>> {
    group
        .outdated()
        .filter(|m| !m.is_begun() && !scene.o.memory.skipped.contains_key(m.id()))
        .filter(|m| group.policy.drain_and_terminate || !m.machine.is_member)
        .filter(|m| !group.is_ending || is_left_over(group, m))
}

impl<'a> GroupScene<'a> {
    /// The machines to replace in the order in which they are begun with; those that are worked on first.
    pub fn in_order(&self) -> Vec<&MachineScene<'a>> {
        let mut found: Vec<&MachineScene<'a>> = self.outdated().collect();
        found.sort_by(|left, right| order(left, right));
        found
    }
}

/// Which of two machines goes first.
fn order(left: &MachineScene<'_>, right: &MachineScene<'_>) -> Ordering {
    (!left.is_begun(), urgency(left)).cmp(&(!right.is_begun(), urgency(right)))
}

/// A machine's place among the candidates.
fn urgency<'s>(m: &'s MachineScene<'_>) -> (bool, u8, Option<Timestamp>, &'s str) {
    (!m.machine.is_member, uselessness(m), m.machine.launched_at, m.id())
}

/// Broken machines come first, then those that nobody may use anyway.
pub(super) fn uselessness(m: &MachineScene<'_>) -> u8 {
    match m.availability {
        Availability::Unready | Availability::Overdue => 0,
        Availability::Cordoned => 1,
        _ => 2,
    }
}

/// Whether a machine has to go even when nothing new begins.
fn is_left_over(group: &GroupScene<'_>, m: &MachineScene<'_>) -> bool {
    let has_failed = m.machine.revision.is_some() && m.machine.revision == group.group.failed;
    let is_old = group.is_current(m.machine);
    !m.machine.is_member || m.is_surplus || (has_failed && !is_old)
}
