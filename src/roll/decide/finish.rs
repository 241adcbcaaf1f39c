//! Machines that were begun: drained, taken out of load balancers, ended.
//!
//! What was begun is brought to its end whatever else is wrong, since a half-drained machine helps
//! nobody. Each wait has its deadline, and the policy says what happens then.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::cordon;
use super::quorum;
use super::scene::{Availability, GroupScene, MachineScene, Scene, later, was_cordoned};
use super::turn::Turn;
use crate::kube::drain::{Drain, DrainPod, DrainPolicy, drain, next_attempt};
use crate::kube::{KubeView, Node};
use crate::roll::decision::PodStep;
use crate::roll::mark::{RollMark, tail};
use crate::roll::{
    DrainOutcome, EvictionAnswer, HaltReason, RolloutRole, Step, TargetState, WaitReason,
};

/// Most evictions asked for on one node in one turn.
const EVICTIONS_MAX: usize = 20;

/// How long a machine may take to end: an hour is what a termination hook waits if nobody says
/// otherwise, and ending takes minutes.
/// Source: Amazon EC2 Auto Scaling API reference, PutLifecycleHook, `HeartbeatTimeout`.
const END_MAX: Duration = Duration::from_secs(3_600 + 600);
/// A drain lasts so long at least: nodes and pods are seen by two watches, and a pod that came right
/// before the cordon may show up after it.
const SETTLE: Duration = Duration::from_secs(5);
/// So long a machine that is drained waits for others of its group.
const GATHER: Duration = Duration::from_secs(10);

/// Goes on with what was begun.
pub(super) fn finish(scene: &Scene<'_>, turn: &mut Turn) {
    for group in scene.groups.iter().filter(|group| group.in_scope) {
        let (mut ending, mut more_to_come) = (Vec::new(), false);
        for m in &group.machines {
            match m.availability {
                Availability::Draining(_) if !m.is_outdated() => {}
                Availability::Draining(since) => {
                    let Some(node) = m.node else { continue };
                    if let Some(why) = scene.o.memory.skipped.get(m.id()) {
                        // A watch is late, or the API server has not answered: it is let be for good.
                        let_be(m, node, why.clone(), turn);
                        continue;
                    }
                    match go_on(scene, group, m, node, since, turn) {
                        true => ending.push(m),
                        false => more_to_come = true,
                    }
                }
                Availability::Leaving if group.group.mark.is_some() || group.group.is_gone => {
                    wait_for_end(scene, group, m, turn);
                }
                _ => {}
            }
        }
        if !(more_to_come && awaits_others(scene, group, &ending, turn)) {
            end(scene, group, ending, turn);
        }
    }
    remove_nodes(scene, turn);
}

/// A machine that ends is waited for, within a limit.
fn wait_for_end(scene: &Scene<'_>, group: &GroupScene<'_>, m: &MachineScene<'_>, turn: &mut Turn) {
    let until = ends_until(scene, m);
    if scene.o.now < until {
        return turn.work(group, Some(m), WaitReason::Termination, Some(until));
    }
    let halt = HaltReason {
        group: Some(group.name().to_owned()),
        object: m.id().to_owned(),
        message: format!("does not end, {} s after it was told to", END_MAX.as_secs()),
        way_out: "look at its termination hooks and its state in EC2, then run the same command \
                  again"
            .to_owned(),
    };
    turn.overrun(group, Some(m), WaitReason::Termination, until, halt);
}

/// Until when a machine that ends may take.
pub(super) fn ends_until(scene: &Scene<'_>, m: &MachineScene<'_>) -> Timestamp {
    let since = scene.o.memory.leaving_since.get(m.id()).map(|spell| spell.since);
    later(since.unwrap_or(scene.o.now), END_MAX)
}

/// One machine's drain; whether it is over.
fn go_on(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    m: &MachineScene<'_>,
    node: &Node,
    since: Timestamp,
    turn: &mut Turn,
) -> bool {
    let Some(view) = scene.view() else { return true };
    if cordon::is_off(m, node) {
        cordon::again(scene, group, m, node, since, turn);
        return false;
    }
    let registered = registered(scene, group, m, since);
    if !registered.is_empty() && quorum::holds(scene, group, &[m], turn) {
        return false;
    }
    let is_deregistered = deregister(scene, group, m, registered, since, turn);
    let is_empty = empty(scene, view, group, m, node, since, turn);
    if !is_deregistered || !is_empty {
        return false;
    }
    let drained_at = scene.o.memory.drained_since.get(m.id()).copied();
    let rests_until = match group.policy.post_drain_delay {
        Duration::ZERO => Timestamp::MIN,
        delay => later(drained_at.unwrap_or(scene.o.now), delay),
    };
    let until = rests_until.max(later(since, SETTLE));
    let has_rested = until <= scene.o.now;
    if !has_rested {
        turn.work(group, Some(m), WaitReason::PostDrain, Some(until));
    }
    has_rested
}

/// Machines that are drained wait a little for others of their group that are being drained: one call
/// then ends all of them. Whether they do.
fn awaits_others(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    ending: &[&MachineScene<'_>],
    turn: &mut Turn,
) -> bool {
    let drained = ending.iter().map(|m| scene.o.memory.drained_since.get(m.id()).copied());
    // Without a delay nobody has noted since when.
    let Some(first) = drained.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().min())
    else {
        return false;
    };
    let until = later(later(first, group.policy.post_drain_delay), GATHER);
    if until <= scene.o.now {
        return false;
    }
    for m in ending {
        turn.work(group, Some(m), WaitReason::PostDrain, Some(until));
    }
    true
}

/// The target groups that a machine has still to leave; none once they had their time.
fn registered(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    m: &MachineScene<'_>,
    since: Timestamp,
) -> BTreeSet<String> {
    let has_time = scene.o.now < later(since, group.policy.deregister_timeout);
    let targets = m.machine.targets.iter().flatten().filter(|_| has_time);
    targets
        .filter(|(_, state)| !matches!(state, TargetState::Draining | TargetState::Unused))
        .map(|(arn, _)| arn.clone())
        .collect()
}

/// Takes a machine out of its load balancers; whether it is out, or they had their time.
fn deregister(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    m: &MachineScene<'_>,
    registered: BTreeSet<String>,
    since: Timestamp,
    turn: &mut Turn,
) -> bool {
    let Some(targets) = &m.machine.targets else { return true };
    let deadline = later(since, group.policy.deregister_timeout);
    if scene.o.now >= deadline {
        return true;
    }
    if !registered.is_empty() {
        let machine = m.id().to_owned();
        turn.steps.push(Step::Deregister { machine, target_group_arns: registered });
        return false;
    }
    let is_draining = targets.values().any(|state| *state == TargetState::Draining);
    if is_draining {
        turn.work(group, Some(m), WaitReason::Deregistration, Some(deadline));
    }
    !is_draining
}

/// Evicts what is left on a node; whether nothing is.
fn empty(
    scene: &Scene<'_>,
    view: &KubeView,
    group: &GroupScene<'_>,
    m: &MachineScene<'_>,
    node: &Node,
    since: Timestamp,
    turn: &mut Turn,
) -> bool {
    let deadline = later(since, group.policy.drain_timeout);
    let is_late = scene.o.now >= deadline;
    let outcome = group.policy.on_drain_timeout;
    let force = is_late && outcome == DrainOutcome::Force;
    let policy = DrainPolicy { delete_bare_pods: group.policy.delete_bare_pods, force };
    let left = drain(view, &node.name, &policy);
    if is_empty(&left, node) {
        return true;
    }
    // Nobody ends pods on a node that does not answer: they go with the machine.
    if is_late && !node.is_ready() {
        return true;
    }
    if is_late && !force {
        give_up(group, m, node, not_drained(scene, group, node, &left), turn);
        return false;
    }
    if force && scene.o.now >= later(deadline, group.policy.drain_timeout) {
        if are_deleted(scene, &left) {
            return true;
        }
        if are_kept(scene, &left, group.policy.drain_timeout) {
            give_up(group, m, node, not_drained(scene, group, node, &left), turn);
            return false;
        }
    }
    evict(scene, node, &left, turn);
    let held = held(scene, &left);
    turn.work(group, Some(m), WaitReason::Pods { left: left.left(), held }, Some(deadline));
    false
}

/// Whether the API server has said yes to the deletion of every pod that is left: a run that slept over
/// the time has not asked yet, and one that was refused asks again.
fn are_deleted(scene: &Scene<'_>, left: &Drain) -> bool {
    let attempts = &scene.o.memory.evictions;
    left.delete.iter().all(|pod| {
        attempts.get(&pod.uid).is_some_and(|asked| {
            asked.deleting_since.is_some() && asked.answer == EvictionAnswer::Accepted
        })
    })
}

/// Whether the API server has refused to delete a pod for so long that asking again does not help.
fn are_kept(scene: &Scene<'_>, left: &Drain, limit: Duration) -> bool {
    let attempts = &scene.o.memory.evictions;
    left.delete.iter().any(|pod| {
        attempts.get(&pod.uid).is_some_and(|asked| {
            let since = asked.deleting_since.filter(|_| asked.answer != EvictionAnswer::Accepted);
            since.is_some_and(|since| scene.o.now >= later(since, limit))
        })
    })
}

/// Whether a drain is over. Pods that were deleted from a node that does not answer are not waited
/// for: no kubelet will ever confirm.
fn is_empty(left: &Drain, node: &Node) -> bool {
    left.evict.is_empty()
        && left.delete.is_empty()
        && left.blocked.is_empty()
        && (left.leaving.is_empty() || !node.is_ready())
}

/// Asks for the evictions whose time has come.
fn evict(scene: &Scene<'_>, node: &Node, left: &Drain, turn: &mut Turn) {
    let attempts = &scene.o.memory.evictions;
    let is_due = |pod: &&DrainPod| {
        attempts.get(&pod.uid).is_none_or(|attempt| {
            let retry_after = match &attempt.answer {
                EvictionAnswer::NotNow { retry_after_secs, .. } => {
                    retry_after_secs.map(Duration::from_secs)
                }
                EvictionAnswer::Accepted | EvictionAnswer::Failed { .. } => None,
            };
            next_attempt(attempt.at, attempt.count, retry_after) <= scene.o.now
        })
    };
    let step = |pod: &DrainPod| PodStep { pod: pod.pod.clone(), uid: pod.uid.clone() };
    let due: Vec<PodStep> =
        left.evict.iter().filter(is_due).take(EVICTIONS_MAX).map(step).collect();
    let gone: Vec<PodStep> =
        left.delete.iter().filter(is_due).take(EVICTIONS_MAX).map(step).collect();
    if !due.is_empty() {
        turn.steps.push(Step::Evict { node: node.name.clone(), pods: due });
    }
    if !gone.is_empty() {
        turn.steps.push(Step::DeletePods { node: node.name.clone(), pods: gone });
    }
}

/// The first pod that something holds, and what.
fn held(scene: &Scene<'_>, left: &Drain) -> Option<(crate::kube::PodId, String)> {
    let blocked = left.blocked.first().map(|b| (b.pod.clone(), b.why.to_string()));
    blocked.or_else(|| left.first_held()).or_else(|| {
        let asked = left.evict.iter().chain(&left.delete);
        asked.into_iter().find_map(|pod| match &scene.o.memory.evictions.get(&pod.uid)?.answer {
            EvictionAnswer::NotNow { message, .. } | EvictionAnswer::Failed { message } => {
                Some((pod.pod.clone(), message.clone()))
            }
            EvictionAnswer::Accepted => None,
        })
    })
}

/// The drain took too long: the machine is let be, and the policy says what that means.
pub(super) fn give_up(
    group: &GroupScene<'_>,
    m: &MachineScene<'_>,
    node: &Node,
    why: HaltReason,
    turn: &mut Turn,
) {
    let_be(m, node, why.clone(), turn);
    // A machine outside of its group cannot stay there for a later roll without anybody knowing.
    let is_left = group.policy.on_drain_timeout == DrainOutcome::Skip && m.machine.is_member;
    if !is_left {
        turn.halt(why);
    }
}

/// Takes a drain's marks off the node of a machine that is left for a later roll.
fn let_be(m: &MachineScene<'_>, node: &Node, why: HaltReason, turn: &mut Turn) {
    turn.steps.push(Step::Skip {
        machine: m.id().to_owned(),
        node: node.name.clone(),
        uncordon: !was_cordoned(node),
        why,
    });
}

/// What is left on a node when its time is up, as a reason to halt.
fn not_drained(scene: &Scene<'_>, group: &GroupScene<'_>, node: &Node, left: &Drain) -> HaltReason {
    let (object, why) = match held(scene, left) {
        Some((pod, why)) => (format!("pod {pod}"), format!("does not leave {}: {why}", node.name)),
        None => match (left.leaving.first(), left.evict.first()) {
            (Some(pod), _) => (format!("pod {pod}"), format!("is still ending on {}", node.name)),
            (None, Some(pod)) => {
                (format!("pod {}", pod.pod), format!("was not yet evicted from {}", node.name))
            }
            (None, None) => (format!("node {}", node.name), "was not drained".to_owned()),
        },
    };
    HaltReason {
        group: Some(group.name().to_owned()),
        object,
        message: format!("{why}, {} s after the drain began", group.policy.drain_timeout.as_secs()),
        way_out: "mend the budget or the pod, then run the same command again; or set \
                  `onDrainTimeout` or `drainTimeout` of the group"
            .to_owned(),
    }
}

/// Ends machines that are drained: those of the group in one call, of which as many shrink it as its
/// surge or its retirement asks for; those outside in another.
fn end(scene: &Scene<'_>, group: &GroupScene<'_>, ending: Vec<&MachineScene<'_>>, turn: &mut Turn) {
    let (members, detached): (Vec<_>, Vec<_>) =
        ending.into_iter().partition(|m| m.machine.is_member);
    if !detached.is_empty() {
        let machines = detached.iter().map(|m| m.id().to_owned()).collect();
        turn.steps.push(Step::TerminateDetached { machines });
    }
    if members.is_empty() {
        return;
    }
    if quorum::holds(scene, group, &members, turn) {
        return;
    }
    end_members(group, &members, turn);
}

/// Ends members of a group: all that are replaced in one call, and as many of those that take their place
/// with them as a note names.
pub(super) fn end_members(group: &GroupScene<'_>, members: &[&MachineScene<'_>], turn: &mut Turn) {
    let shrinking = shrink_count(group, members.len(), turn);
    let (stay, shrink) = members.split_at(members.len() - shrinking);
    let step = |some: &[&MachineScene<'_>], shrink| {
        let machines = some.iter().map(|m| m.id().to_owned()).collect();
        Step::Terminate { group: group.name().to_owned(), machines, shrink }
    };
    if !stay.is_empty() {
        // An earlier run may have meant one of them to take its place with it.
        if stay.iter().any(|m| turn.gives(group, m)) {
            note_surge(group, &[], turn);
        }
        turn.steps.push(step(stay, false));
    }
    for some in shrink.chunks(RollMark::GIVING_MAX) {
        note_surge(group, some, turn);
        turn.steps.push(step(some, true));
    }
}

/// Keeps the note of a surge true while machines take a part of it with them: it says what the group has
/// without the surge, whatever others have made of that, and which machines go. So neither a killed run
/// nor a lost answer nor an autoscaler makes a part of it be given back twice.
fn note_surge(group: &GroupScene<'_>, going: &[&MachineScene<'_>], turn: &mut Turn) {
    let Some(mark) = turn.mark_of(group).filter(|mark| mark.raised.is_some()) else { return };
    let raised = turn.still_raised(group);
    let giving = going.iter().filter(|_| raised.is_some()).map(|m| tail(m.id()).to_owned());
    let noted = RollMark { raised, giving: giving.collect(), ..mark.clone() };
    if noted != *mark {
        turn.steps.push(Step::Mark { group: group.name().to_owned(), mark: noted });
    }
}

/// How many of `ending` machines take their place with them, after what this turn has ended already.
fn shrink_count(group: &GroupScene<'_>, ending: usize, turn: &Turn) -> usize {
    if group.retire.is_some_and(|retire| !matches!(retire, crate::roll::Retire::OutOf(_))) {
        return ending;
    }
    let raised = usize::try_from(turn.raised(group)).unwrap_or(0);
    if group.is_ending {
        return raised.min(ending);
    }
    // The last machines of a roll give back what its surge has added.
    let (ended, _) = turn.ended(group.name());
    let members = group.outdated().filter(|m| m.machine.is_member).count();
    let left = members.saturating_sub(ended).saturating_sub(ending);
    raised.saturating_sub(left).min(ending)
}

/// Objects of nodes that a roll drained and whose machine is gone.
fn remove_nodes(scene: &Scene<'_>, turn: &mut Turn) {
    let Some(view) = scene.view() else { return };
    for node in view.nodes.values() {
        let Some(instance_id) = &node.instance_id else { continue };
        let is_ours = super::scene::drain_since(node).is_some();
        let is_gone = !scene.o.machines.contains_key(instance_id);
        if is_ours && is_gone && !node.is_ready() {
            turn.steps.push(Step::DeleteNode { node: node.name.clone(), uid: node.uid.clone() });
        }
    }
}

/// Whether a role's machines are drained before they end.
pub(super) fn drains(role: RolloutRole, scene: &Scene<'_>) -> bool {
    role.joins() && scene.view().is_some()
}
