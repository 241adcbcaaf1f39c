//! What holds a repair back: so many broken machines that it cannot be the machines, and how many it has in
//! hand, both over all groups, of whatever role.

use super::scene::{Availability, GroupScene, MachineScene, Scene, count};
use super::turn::Turn;
use crate::roll::HaltReason;

/// So many broken machines at once are not the machines' fault.
pub(super) fn too_broken(scene: &Scene<'_>) -> Option<HaltReason> {
    let repair = scene.p.repair.as_ref()?;
    let all = scene.machines().count();
    let broken = scene.machines().filter(|(_, m)| m.is_outdated()).count();
    let most = usize::try_from(repair.halt_above_percent).unwrap_or(100);
    if broken <= 1 || broken * 100 <= all * most {
        return None;
    }
    Some(HaltReason {
        group: None,
        object: scene.o.cluster.clone(),
        message: format!("{broken} of {all} machines are broken, more than {most} in a hundred"),
        way_out: "look for what they have in common: network, zone, API server, image; a repair \
                  replaces a few machines"
            .to_owned(),
    })
}

/// Machines that are being replaced: from when each is taken out of its group, or its drain begins, until
/// the one that comes in its place counts.
pub(super) fn in_hand(scene: &Scene<'_>) -> i32 {
    scene.groups.iter().map(of_group).sum()
}

fn of_group(group: &GroupScene<'_>) -> i32 {
    let number = |which: &dyn Fn(&MachineScene<'_>) -> bool| {
        count(group.machines.iter().filter(|m| which(m)))
    };
    let leaves = |m: &MachineScene<'_>| m.availability == Availability::Leaving;
    let is_drained = |m: &MachineScene<'_>| {
        matches!(m.availability, Availability::Draining(_)) && m.is_outdated()
    };
    // What comes in the place of a detached machine comes first, and its drain begins after that.
    let drained = number(&is_drained) + number(&|m| !m.machine.is_member && leaves(m));
    let detached = number(&|m| !m.machine.is_member && !m.is_begun());
    if group.group.mark.is_none() {
        return drained + detached;
    }
    // AWS launches another one as soon as a machine ends, or is detached: the two are one replacement.
    let ended = number(&|m| m.machine.is_member && leaves(m));
    let coming = group.lacking() + number(&|m| m.machine.is_member && !m.is_outdated() && comes(m));
    drained + coming.max(detached + ended)
}

fn comes(m: &MachineScene<'_>) -> bool {
    use Availability::{Coming, Overdue, Soaking};
    matches!(m.availability, Coming(_) | Soaking(_) | Overdue)
}

/// How many more machines a repair may begin with; no limit where none is repaired, and for what a repair
/// that halts has to put back.
pub(super) fn room(scene: &Scene<'_>, group: &GroupScene<'_>, turn: &Turn) -> Option<i32> {
    let repair = scene.p.repair.as_ref().filter(|_| !group.is_ending)?;
    let most = i32::try_from(repair.at_once).unwrap_or(i32::MAX);
    Some(most.saturating_sub(turn.tally.in_hand).max(0))
}

/// Why a repair may begin with no other machine, if so.
pub(super) fn is_enough(scene: &Scene<'_>, group: &GroupScene<'_>, turn: &Turn) -> Option<String> {
    let in_hand = turn.tally.in_hand;
    let noun = if in_hand == 1 { "machine is" } else { "machines are" };
    let is_full = room(scene, group, turn) == Some(0);
    is_full.then(|| format!("{in_hand} {noun} being replaced"))
}
