//! Drains whose cordon somebody took off.
//!
//! Work may come to such a node again, so nothing is moved off it and its machine does not end: it is
//! cordoned anew first, within the limits, since whoever uncordoned it may count on it.

use jiff::Timestamp;

use super::finish;
use super::quorum;
use super::scene::{GroupScene, MachineScene, Scene, drain_since, later};
use super::turn::Turn;
use super::worker;
use crate::kube::Node;
use crate::roll::{HaltReason, RolloutRole, Step, WaitReason};

/// Whether a roll had cordoned a node, and it is cordoned no more. Note and cordon come in one request,
/// so a watch that is late shows both or none.
pub(super) fn is_off(node: &Node) -> bool {
    !node.unschedulable && drain_since(node).is_some()
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
        return finish::give_up(group, m, node, uncordoned(group, node), turn);
    }
    let is_worker = group.policy.role == RolloutRole::Node;
    if is_worker && let Some(what) = worker::over_already(scene, group, m, turn) {
        return turn.work(group, Some(m), WaitReason::Limit { what }, Some(until));
    }
    if quorum::holds(scene, group, &[m], turn) {
        return;
    }
    let noted = drain_since(node).filter(|at| *at > Timestamp::MIN);
    turn.steps.push(Step::Cordon {
        machine: m.id().to_owned(),
        node: node.name.clone(),
        at: noted.unwrap_or(since),
        // Whoever had cordoned it does not want that any more.
        was_cordoned: false,
        if_away: false,
    });
}

fn uncordoned(group: &GroupScene<'_>, node: &Node) -> HaltReason {
    HaltReason {
        group: Some(group.name().to_owned()),
        object: format!("node {}", node.name),
        message: format!(
            "was uncordoned by somebody while it was drained, and is still, {} s after the drain began",
            group.policy.drain_timeout.as_secs() * 2
        ),
        way_out: "see who uncordons it, then run the same command again".to_owned(),
    }
}
