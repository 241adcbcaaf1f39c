//! How the groups stand, for people.

use super::scene::{Availability, GroupScene, MachineScene, Scene};
use super::turn::Turn;
use crate::roll::decision::Phase;
use crate::roll::{GroupProgress, Progress};

/// The progress of a turn.
pub(super) fn progress(scene: &Scene<'_>, turn: &Turn) -> Progress {
    Progress { groups: scene.groups.iter().map(|group| of_group(scene, group, turn)).collect() }
}

fn of_group(scene: &Scene<'_>, group: &GroupScene<'_>, turn: &Turn) -> GroupProgress {
    let mut progress = GroupProgress {
        group: group.name().to_owned(),
        done: 0,
        outdated: Default::default(),
        in_work: Default::default(),
        skipped: Default::default(),
        waiting: Vec::new(),
    };
    for m in &group.machines {
        let id = || m.id().to_owned();
        if let Some(phase) = phase(m) {
            progress.in_work.insert(id(), phase);
        } else if let Some(why) = scene.o.memory.skipped.get(m.id()).filter(|_| m.is_outdated()) {
            progress.skipped.insert(id(), format!("{} {}", why.object, why.message));
        } else if m.is_outdated() {
            progress.outdated.insert(id(), m.reasons.clone());
        } else if m.availability == Availability::Available {
            progress.done += 1;
        }
    }
    let waits = turn.working.iter().chain(&turn.queued);
    progress.waiting = waits.filter(|wait| wait.group == group.name()).cloned().collect();
    progress
}

/// How far the work on a machine is; none for one that nothing was begun with.
fn phase(m: &MachineScene<'_>) -> Option<Phase> {
    match m.availability {
        Availability::Draining(_) => Some(Phase::Draining),
        Availability::Leaving => Some(Phase::Leaving),
        _ if m.machine.detached.is_some() && !m.machine.is_member => Some(Phase::Detached),
        Availability::Coming(_) | Availability::Overdue if !m.is_outdated() => Some(Phase::Booting),
        Availability::Soaking(_) if !m.is_outdated() => Some(Phase::Soaking),
        _ => None,
    }
}
