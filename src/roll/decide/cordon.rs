//! The cordon that a drain begins with, and drains without one: somebody took it off, or nobody knows
//! whether it was made, since no answer came.
//!
//! Work may come to such a node, so nothing is moved off it and its machine does not end: it is
//! cordoned anew first, within the limits, since whoever uncordoned it may count on it.

use jiff::Timestamp;

use super::finish;
use super::quorum;
use super::scene::{GroupScene, MachineScene, Scene, drain_since, is_doubted, later};
use super::turn::Turn;
use super::worker;
use crate::kube::Node;
use crate::roll::{HaltReason, RolloutRole, Step, WaitReason};

/// The cordon that begins a drain, or goes on with one that began then.
pub(super) fn step(m: &MachineScene<'_>, node: &Node, at: Timestamp) -> Step {
    Step::Cordon {
        machine: m.id().to_owned(),
        node: node.name.clone(),
        at,
        // Whoever had cordoned it and has taken that off does not want it any more.
        was_cordoned: node.unschedulable,
        if_away: !node.takes_work(),
    }
}

/// Whether a drain goes on without a cordon that is known to be there. Note and cordon come in one
/// request, so a watch that is late shows both or none; one that this run has taken off is off, whatever
/// a watch still shows.
pub(super) fn is_off(m: &MachineScene<'_>, node: &Node) -> bool {
    m.is_cordon_unsure || (drain_since(node).is_some() && !node.unschedulable)
}

/// Cordons a node anew, and leaves its drain's time as it was. Where the cordon is taken off again and
/// again, or a limit stands against it, the machine is let be after twice that time.
pub(super) fn again(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    m: &MachineScene<'_>,
    node: &Node,
    since: Timestamp,
    turn: &mut Turn,
) {
    let until = later(since, group.policy.drain_timeout * 2);
    if scene.o.now >= until {
        return finish::give_up(group, m, node, uncordoned(scene, group, node), turn);
    }
    let is_worker = group.policy.role == RolloutRole::Node;
    if is_worker && let Some(what) = worker::over_already(scene, group, m, turn) {
        return turn.work(group, Some(m), WaitReason::Limit { what }, Some(until));
    }
    if quorum::holds(scene, group, &[m], turn) {
        return;
    }
    let noted = drain_since(node).filter(|at| *at > Timestamp::MIN);
    turn.steps.push(step(m, node, noted.unwrap_or(since)));
}

fn uncordoned(scene: &Scene<'_>, group: &GroupScene<'_>, node: &Node) -> HaltReason {
    let secs = group.policy.drain_timeout.as_secs() * 2;
    let (what, way_out) = if is_doubted(scene.o, node) {
        ("was to be cordoned, which the API server did not answer", "see what the API server lacks")
    } else {
        ("was uncordoned by somebody while it was drained", "see who uncordons it")
    };
    HaltReason {
        group: Some(group.name().to_owned()),
        object: format!("node {}", node.name),
        message: format!("{what}, and is not cordoned, {secs} s after the drain began"),
        way_out: format!("{way_out}, then run the same command again"),
    }
}
