//! What may begin: groups in their order, each prepared, and machines within every limit.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::candidate::{candidates, is_enough, outside, startable, uselessness};
use super::cordon;
use super::gate;
use super::quorum::{self, Work};
use super::repair;
use super::scene::{Availability, GroupScene, Scene, later};
use super::turn::Turn;
use super::worker;
use super::{assess, finish};
use crate::kube::drain::{BlockReason, DrainPolicy, drain};
use crate::roll::decide::scene::MachineScene;
use crate::roll::mark::{OUTDATED_TAINT, RollMark};
use crate::roll::{DrainOutcome, HaltReason, RolloutRole, Step, WaitReason};

/// Processes that would end or move machines behind the roll's back.
/// Source: Auto Scaling user guide, "Types of processes".
const SUSPENDED: [&str; 4] =
    ["AZRebalance", "AlarmNotification", "InstanceRefresh", "ScheduledActions"];

/// Begins what may begin.
pub(super) fn start(scene: &Scene<'_>, turn: &mut Turn) {
    if let Some(pause) = &scene.o.paused {
        return wait_for_pause(scene, pause.by.clone(), pause.why.clone(), turn);
    }
    if let Some(halt) = repair::too_broken(scene) {
        turn.halt(halt);
    }
    for halt in deleted(scene) {
        turn.halt(halt);
    }
    if scene.p.abort || !turn.halts.is_empty() {
        return end(scene, turn);
    }
    let has_outside =
        |group: &GroupScene<'_>| group.in_scope && outside(scene, group).next().is_some();
    if is_enough(scene) && !scene.groups.iter().any(has_outside) {
        return;
    }
    let Some(first) = scene.groups.iter().filter(|g| is_open(scene, g)).map(GroupScene::turn).min()
    else {
        return;
    };
    if first > 1 && !api_servers_allow(scene, turn) {
        return;
    }
    let groups: Vec<&GroupScene<'_>> = scene.groups.iter().filter(|g| is_open(scene, g)).collect();
    for group in groups.iter().filter(|group| group.turn() > first) {
        let of = groups.iter().find(|g| g.turn() == first).map_or("", |g| g.name()).to_owned();
        turn.queue(group, None, WaitReason::Turn { of }, None);
    }
    let now: Vec<&GroupScene<'_>> =
        groups.iter().filter(|group| group.turn() == first).copied().collect();
    let ready: Vec<&GroupScene<'_>> =
        now.into_iter().filter(|group| prepare(scene, group, turn)).collect();
    if !passes(scene, &ready, turn) {
        return;
    }
    match first {
        1 => begin_one(scene, &ready, turn),
        _ => worker::begin(scene, &ready, turn),
    }
}

/// Brings to its end what an earlier turn, or an earlier run, has begun with: machines outside of
/// their group, those of a revision that failed, and what a surge has added.
fn end(scene: &Scene<'_>, turn: &mut Turn) {
    let groups: Vec<&GroupScene<'_>> =
        scene.groups.iter().filter(|group| group.in_scope && group.is_ending).collect();
    for group in &groups {
        if let Some(version) = pin_before(scene, group) {
            turn.steps.push(Step::Pin { group: group.name().to_owned(), version });
        }
    }
    let quorum: Vec<&GroupScene<'_>> =
        groups.iter().filter(|group| group.policy.role.is_quorum()).copied().collect();
    begin_one(scene, &quorum, turn);
    for group in groups.iter().filter(|group| !group.policy.role.is_quorum()) {
        worker::drain(scene, group, None, turn);
    }
}

/// Where the pin of a group goes back to when nothing new begins: from a version that failed, or, where
/// all is undone, from one that nothing has shown to work.
fn pin_before(scene: &Scene<'_>, group: &GroupScene<'_>) -> Option<u64> {
    if !scene.p.abort {
        return assess::unfinished_rollback(group.group);
    }
    let from = group.group.mark.as_ref()?.from?;
    let is_untried = group.validated().next().is_none();
    (is_untried && group.group.pin != Some(from)).then_some(from)
}

/// Whether something of a group is left to do for this roll.
pub(super) fn is_open(scene: &Scene<'_>, group: &GroupScene<'_>) -> bool {
    let moves = group.group.mark.is_some() && group.is_in_flight();
    if is_enough(scene) {
        return group.in_scope && (moves || outside(scene, group).next().is_some());
    }
    let pending = startable(scene, group).next().is_some();
    group.in_scope && (moves || pending || (!group.is_pinned() && !scene.p.abort))
}

fn wait_for_pause(scene: &Scene<'_>, by: String, why: String, turn: &mut Turn) {
    for group in scene.groups.iter().filter(|group| is_open(scene, group)) {
        let reason = WaitReason::Paused { by: by.clone(), why: why.clone() };
        turn.queue(group, None, reason, None);
    }
}

/// Groups that somebody deleted while they were rolled. Who did that may be about to do more.
fn deleted<'s>(scene: &'s Scene<'_>) -> impl Iterator<Item = HaltReason> + 's {
    let is_rolled = |name: &&String| {
        let in_scope = scene.p.only.is_empty() || scene.p.only.contains(*name);
        in_scope && scene.p.groups.contains_key(*name) && !scene.p.retire.contains_key(*name)
    };
    let names = scene.o.memory.deleted.iter().filter(is_rolled).filter(|_| !scene.p.abort);
    names.map(|name| HaltReason {
        group: Some(name.clone()),
        object: format!("group {name}"),
        message: "was deleted while it was rolled".to_owned(),
        way_out: format!(
            "see who deleted it; `kprod apply {}` makes it again, then run the same command again",
            scene.o.cluster
        ),
    })
}

/// Kubelets never run ahead of the API servers: workers go when every control-plane group is as
/// wanted, or runs the version that they would bring and would launch no older one. An API server that
/// is on its way is waited for.
/// Source: Kubernetes, "Version skew policy".
fn api_servers_allow(scene: &Scene<'_>, turn: &mut Turn) -> bool {
    let mut control_plane =
        scene.groups.iter().filter(|group| group.policy.role == RolloutRole::ControlPlane);
    let Some(behind) = control_plane.find(|group| is_behind(scene, group)) else { return true };
    let coming = behind.machines.iter().find_map(|m| match m.availability {
        Availability::Coming(until) if m.node.is_none() => Some((m, until)),
        _ => None,
    });
    match coming {
        Some((m, until)) => turn.queue(behind, Some(m), WaitReason::Node, Some(until)),
        None => turn.halt(ahead_of_the_api(scene, behind)),
    }
    false
}

fn ahead_of_the_api(scene: &Scene<'_>, behind: &GroupScene<'_>) -> HaltReason {
    let way_out = if assess::has_failed(behind.group, scene.p) {
        "change what its machines are built from, or give `--retry`"
    } else {
        "roll the control plane too: leave `--only` out, or name it there"
    };
    HaltReason {
        group: Some(behind.name().to_owned()),
        object: behind.name().to_owned(),
        message: "goes first: new workers could run a kubelet that is newer than its API server"
            .to_owned(),
        way_out: way_out.to_owned(),
    }
}

/// Whether an API server of a group is older than what workers would bring, or may come to be.
fn is_behind(scene: &Scene<'_>, group: &GroupScene<'_>) -> bool {
    let wanted = scene.p.kubernetes_version.as_deref().and_then(minor);
    let of = |m: &MachineScene<'_>| m.node.and_then(|node| minor(&node.kubelet_version));
    let staying = || group.machines.iter().filter(|m| m.availability != Availability::Leaving);
    // A repair brings no other version than there was.
    let wanted_now = wanted.filter(|_| scene.p.repair.is_none());
    if wanted_now.is_some_and(|wanted| staying().filter_map(of).any(|runs| runs < wanted)) {
        return true;
    }
    // One that went back to what it came from is not where the workers would go.
    let went_back = assess::has_failed(group.group, scene.p);
    if !went_back && group.outdated().next().is_none() && group.is_pinned() {
        return false;
    }
    let Some(wanted) = wanted else { return true };
    let runs_it = |m: &MachineScene<'_>| of(m).is_some_and(|runs| runs >= wanted);
    // What its next machine runs is known by those of the version that it is pinned to.
    let launches_it =
        staying().any(|m| group.group.pin.is_some() && m.machine.version == group.group.pin);
    !(staying().all(runs_it) && launches_it)
}

/// The minor version of `v1.34.2` or `1.34.2`.
fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Notes the roll on the group, keeps others' hands off it, moves the pin, taints what will go.
/// Whether all of that was done before this turn.
fn prepare(scene: &Scene<'_>, group: &GroupScene<'_>, turn: &mut Turn) -> bool {
    if group.group.is_gone {
        return true;
    }
    let before = turn.steps.len();
    let name = group.name().to_owned();
    if scene.p.retry && assess::has_failed_mark(group.group) {
        turn.steps.push(Step::ClearFailed { group: name.clone() });
    }
    let wanted = mark(scene, group, turn);
    if turn.mark_of(group) != Some(&wanted) {
        turn.steps.push(Step::Mark { group: name.clone(), mark: wanted.clone() });
    }
    let missing: Vec<String> =
        wanted.suspended.difference(&group.group.suspended).cloned().collect();
    if !missing.is_empty() {
        let processes = missing.into_iter().collect();
        turn.steps.push(Step::Suspend { group: name.clone(), processes });
    }
    if group.group.min > 0
        && let Some(to) = lowered_minimum(group)
    {
        turn.steps.push(Step::LowerMinimum { group: name.clone(), to });
    }
    if let Some(goal) = group.goal.as_ref().filter(|_| !group.is_pinned()) {
        turn.steps.push(Step::Pin { group: name, version: goal.version });
    }
    taint(scene, group, turn);
    turn.steps.len() == before
}

/// What the roll notes on a group; what an earlier run of it has noted stays.
fn mark(scene: &Scene<'_>, group: &GroupScene<'_>, turn: &Turn) -> RollMark {
    if let Some(mark) = turn.mark_of(group) {
        let moves = !group.is_pinned() && !assess::has_failed(group.group, scene.p);
        let from = if moves { group.group.pin } else { mark.from };
        let (id, from) = (scene.o.id.clone(), from.or(mark.from));
        let (raised, giving) = turn.surge_note(group);
        return RollMark { id, from, raised, giving, ..mark.clone() };
    }
    let suspended = SUSPENDED.into_iter().filter(|p| !group.group.suspended.contains(*p));
    RollMark {
        id: scene.o.id.clone(),
        began_at: scene.o.now,
        from: if group.is_pinned() { None } else { group.group.pin },
        suspended: suspended.map(str::to_owned).collect(),
        raised: None,
        giving: BTreeSet::new(),
    }
}

fn lowered_minimum(group: &GroupScene<'_>) -> Option<i32> {
    use crate::roll::Retire;
    let to = match group.retire? {
        Retire::All => 0,
        Retire::DownTo(most) => *most,
        Retire::OutOf(_) => return None,
    };
    (to < group.group.min).then_some(to)
}

/// All nodes that will go get a soft taint at once: evicted pods then move once, where there is room.
fn taint(scene: &Scene<'_>, group: &GroupScene<'_>, turn: &mut Turn) {
    if scene.view().is_none() || !group.policy.role.joins() {
        return;
    }
    let lacks = |m: &&MachineScene<'_>| {
        m.node.is_some_and(|node| node.taints.iter().all(|taint| taint.key != OUTDATED_TAINT))
    };
    let nodes: BTreeSet<String> = group
        .outdated()
        .filter(|m| !scene.o.memory.skipped.contains_key(m.id()))
        .filter(lacks)
        .filter_map(|m| m.node.map(|node| node.name.clone()))
        .collect();
    if !nodes.is_empty() {
        turn.steps.push(Step::Taint { nodes });
    }
}

/// The gate. A regression that lasts too long halts the roll.
fn passes(scene: &Scene<'_>, groups: &[&GroupScene<'_>], turn: &mut Turn) -> bool {
    let regressions = gate::regressions(scene);
    let Some(group) = groups.first() else { return true };
    for regression in &regressions {
        let since = scene.o.memory.regressed_since.get(&regression.object);
        let since = since.map_or(scene.o.now, |spell| spell.since);
        let until = later(since, group.policy.validate_timeout);
        let (object, what) = (regression.object.clone(), regression.what.clone());
        let reason = WaitReason::Regression { object, what };
        if scene.o.now < until {
            turn.queue(group, None, reason, Some(until));
            continue;
        }
        let halt = HaltReason {
            group: None,
            object: regression.object.clone(),
            message: format!(
                "{}, {} s after it began",
                regression.what,
                group.policy.validate_timeout.as_secs()
            ),
            way_out: "mend it, then run the same command again".to_owned(),
        };
        turn.overrun(group, None, reason, until, halt);
    }
    regressions.is_empty()
}

/// One machine of those that the guard watches, if it lets it go: first one that serves nobody, since
/// while it is there no other one may go.
fn begin_one(scene: &Scene<'_>, groups: &[&GroupScene<'_>], turn: &mut Turn) {
    if !turn.working.is_empty() {
        return;
    }
    let firsts = groups.iter().filter_map(|group| Some((group, candidates(scene, group).next()?)));
    let Some((group, m)) = firsts.min_by_key(|(_, m)| uselessness(m)) else { return };
    if await_others(scene, turn) {
        return;
    }
    if let Some(what) = repair::is_enough(scene, group, turn) {
        return turn.queue(group, Some(m), WaitReason::Limit { what }, None);
    }
    match quorum::may_go_now(scene, group, m) {
        Err(why) => {
            quorum::await_yes(scene, group, m, why, Work::Queued, turn);
        }
        Ok(()) => {
            begin(scene, group, m, turn);
        }
    }
}

/// Waits for machines that come or go among those that the guard watches, whosever they are. Whether
/// there are any.
fn await_others(scene: &Scene<'_>, turn: &mut Turn) -> bool {
    let before = turn.queued.len();
    for (group, m) in scene.quorum().flat_map(|g| g.machines.iter().map(move |m| (g, m))) {
        let (reason, until) = match m.availability {
            Availability::Coming(until) => (WaitReason::Node, until),
            Availability::Soaking(until) => (WaitReason::Soak, until),
            _ if m.is_begun() => (WaitReason::Termination, finish::ends_until(scene, m)),
            _ => continue,
        };
        turn.queue(group, Some(m), reason, Some(until));
    }
    turn.queued.len() > before
}

/// Begins with a machine: a cordon where it is drained, its end where it is not. False when
/// something on it forbids that.
pub(super) fn begin(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    m: &MachineScene<'_>,
    turn: &mut Turn,
) -> bool {
    if is_held_up(scene, group, m, turn) {
        return false;
    }
    match m.node.filter(|_| finish::drains(group.policy.role, scene)) {
        Some(node) => turn.steps.push(cordon::step(m, node, scene.o.now)),
        None if m.machine.is_member => finish::end_members(group, &[m], turn),
        None => {
            let machines = [m.id().to_owned()].into();
            turn.steps.push(Step::TerminateDetached { machines });
        }
    }
    true
}

/// Whether something on a machine can never be evicted, so that it is better not begun with: the roll
/// halts, or waits where that may pass by itself.
fn is_held_up(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    m: &MachineScene<'_>,
    turn: &mut Turn,
) -> bool {
    let (Some(view), Some(node)) = (scene.view(), m.node) else { return false };
    if group.policy.on_drain_timeout != DrainOutcome::Fail || !node.is_ready() {
        return false;
    }
    let delete_bare_pods = group.policy.delete_bare_pods;
    let left = drain(view, &node.name, &DrainPolicy { delete_bare_pods, force: false });
    let ends = left.blocked.iter().map(|blocked| (may_pass_until(scene, &blocked.why), blocked));
    // What does not pass by itself comes first.
    let Some((until, blocked)) = ends.min_by_key(|(until, _)| *until) else { return false };
    match until {
        Some(_) => {
            let held = Some((blocked.pod.clone(), blocked.why.to_string()));
            turn.queue(group, Some(m), WaitReason::Pods { left: left.left(), held }, until);
        }
        None => turn.halt(HaltReason {
            group: Some(group.name().to_owned()),
            object: format!("pod {}", blocked.pod),
            message: format!("cannot be evicted from {}: {}", node.name, blocked.why),
            way_out: format!("{}; then run the same command again", blocked.why.way_out()),
        }),
    }
    true
}

/// So long a budget has to look as if it never allowed an eviction. One with a number for `minAvailable`
/// expects as many pods as there are: one less from the end of a pod until its controller has made
/// another one.
/// Source: Kubernetes, `pkg/controller/disruption`, `getExpectedPodCount`.
const CLOSED_LONG: Duration = Duration::from_secs(30);

/// Until when what holds a pod may pass by itself; none when it does not.
fn may_pass_until(scene: &Scene<'_>, why: &BlockReason) -> Option<Timestamp> {
    let BlockReason::Budget { budget, .. } = why else { return None };
    let spell = scene.o.memory.closed_since.get(budget);
    let until = later(spell.map_or(scene.o.now, |spell| spell.since), CLOSED_LONG);
    (scene.o.now < until).then_some(until)
}
