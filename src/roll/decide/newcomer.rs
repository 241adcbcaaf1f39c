//! New machines: kept from the autoscaler until they count, given up when they do not come, and the
//! way back when what they are built from does not work.

use std::time::Duration;

use jiff::Timestamp;

use super::assess::{has_failed, is_older_than_the_roll};
use super::quorum::{self, Work};
use super::scene::{Availability, GroupScene, MachineScene, Scene, count, later};
use super::turn::Turn;
use crate::roll::mark::NEWCOMER_ANNOTATION;
use crate::roll::{HaltReason, RolloutRole, Step, WaitReason};

/// Watches what has come and what has not.
pub(super) fn watch(scene: &Scene<'_>, turn: &mut Turn) {
    let rolled = |group: &&GroupScene<'_>| group.in_scope && group.group.mark.is_some();
    for group in scene.groups.iter().filter(rolled) {
        let lack = lack(scene, group);
        let is_late = lack.as_ref().is_some_and(|lack| lack.is_over);
        for m in group.machines.iter().filter(|m| !m.is_outdated()) {
            await_machine(scene, group, m, is_late, turn);
        }
        if let Some(Lack { reason, until, .. }) = lack {
            wait(group, None, reason, until, is_late, turn);
        }
        judge(scene, group, is_late, turn);
    }
}

/// What a new machine waits for.
fn await_machine(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    m: &MachineScene<'_>,
    is_late: bool,
    turn: &mut Turn,
) {
    let (reason, until) = match m.availability {
        Availability::Coming(until) => (WaitReason::Node, until),
        Availability::Soaking(until) => (WaitReason::Soak, until),
        _ => return,
    };
    wait(group, Some(m), reason, until, is_late, turn);
    if scene.view().is_some() && group.policy.role == RolloutRole::Node {
        protect(m, turn);
    }
}

/// Notes a wait for new machines. Those of a group that is late hold up no halt: where each ends before it
/// counts, and is launched anew, there is always one on its way.
fn wait(
    group: &GroupScene<'_>,
    m: Option<&MachineScene<'_>>,
    reason: WaitReason,
    until: Timestamp,
    is_late: bool,
    turn: &mut Turn,
) {
    match is_late {
        true => turn.queue(group, m, reason, Some(until)),
        false => turn.work(group, m, reason, Some(until)),
    }
}

/// The autoscaler would take an empty newcomer for a machine that nobody needs.
fn protect(m: &MachineScene<'_>, turn: &mut Turn) {
    let Some(node) = m.node else { return };
    if !node.annotations.contains_key(NEWCOMER_ANNOTATION) {
        turn.steps.push(Step::Protect { node: node.name.clone() });
    }
}

/// What a group waits for that lacks machines.
struct Lack {
    reason: WaitReason,
    until: Timestamp,
    is_over: bool,
}

/// How long a group may wait for its new machines, and whether that is over: not for one of them, since
/// each may end and be launched anew, but for one more that counts.
fn lack(scene: &Scene<'_>, group: &GroupScene<'_>) -> Option<Lack> {
    let is_coming = |m: &&MachineScene<'_>| {
        let is_new = !m.is_outdated() && !failed_before(scene, group, m);
        let is_here = !matches!(m.availability, Availability::Available | Availability::Leaving);
        is_new && m.machine.is_member && is_here
    };
    let coming = count(group.machines.iter().filter(is_coming));
    if group.lacking() == 0 && coming == 0 {
        return None;
    }
    let have = usize::try_from(count(group.validated())).unwrap_or(0);
    let missing = usize::try_from(group.lacking() + coming).unwrap_or(0);
    let key = lacking_key(group.name(), have);
    let since = scene.o.memory.lacking_since.get(&key).map_or(scene.o.now, |spell| spell.since);
    let time = group.policy.boot_timeout + group.policy.soak + MARGIN;
    // AWS may be slow to launch: one that is on its way has its own time, as far as that of one more.
    let due = group.machines.iter().filter(is_coming).filter_map(|m| match m.availability {
        Availability::Coming(until) | Availability::Soaking(until) => Some(until),
        _ => None,
    });
    let until = due.fold(later(since, time), Timestamp::max).min(later(since, time * 2));
    let failed_activity = group.group.failed_activity.clone();
    let reason = WaitReason::Machines { have, want: have + missing, failed_activity };
    let is_over = scene.o.now >= until || is_given_up(scene, group);
    Some(Lack { reason, until, is_over })
}

/// Launches of a host of etcd in a row whose hook nobody completed, after which no further one is waited
/// for: its member does not start, whatever machine it is given.
const ABANDONED_MAX: usize = 2;

/// Whether launches of a host of etcd were abandoned so often in a row, since this run works on its group.
/// A group that has gone back to what it ran has its whole time for that.
fn is_given_up(scene: &Scene<'_>, group: &GroupScene<'_>) -> bool {
    let began_at = group.group.mark.as_ref().map_or(Timestamp::MAX, |mark| mark.began_at);
    let since = began_at.max(scene.o.run_started_at);
    let abandoned = group.group.abandoned_at.iter().filter(|at| **at >= since).count();
    let is_host = scene.p.topology.is_host(group.name());
    is_host && abandoned >= ABANDONED_MAX && !has_failed(group.group, scene.p)
}

/// What a wait for new machines is remembered by: one that is there begins it anew.
pub(in crate::roll) fn lacking_key(group: &str, have: usize) -> String {
    format!("{group} {have}")
}

/// Whether a wait is one of a group's.
pub(in crate::roll) fn is_lacking_key_of(key: &str, group: &str) -> bool {
    key.split_once(' ').is_some_and(|(name, _)| name == group)
}

/// Whether a machine never came up and was launched before the roll began with its group: that says
/// nothing about what new machines are built from now. It is replaced like any other that is broken.
fn failed_before(scene: &Scene<'_>, group: &GroupScene<'_>, m: &MachineScene<'_>) -> bool {
    m.availability == Availability::Overdue && is_older_than_the_roll(scene.o, group, m.machine)
}

/// The time of a launch itself, on top of that of its boot.
const MARGIN: Duration = Duration::from_secs(60);

/// What becomes of new machines that are too late, and of a group that lacks some for too long.
fn judge(scene: &Scene<'_>, group: &GroupScene<'_>, is_late: bool, turn: &mut Turn) {
    let overdue: Vec<&MachineScene<'_>> = group
        .machines
        .iter()
        .filter(|m| m.availability == Availability::Overdue && m.machine.is_member)
        // What the surge has brought is given back, and not launched again.
        .filter(|m| group.is_current(m.machine) && !m.is_surplus)
        .filter(|m| !failed_before(scene, group, m))
        .collect();
    let dying = group.machines.iter().any(|m| {
        m.availability == Availability::Leaving && group.is_current(m.machine) && !m.is_outdated()
    });
    let given_up = scene.o.memory.given_up.get(group.name()).copied().unwrap_or(0);
    let failed = overdue.len() + usize::try_from(given_up).unwrap_or(usize::MAX);
    if overdue.is_empty() && !is_late {
        return;
    }
    let is_machines_fault = !overdue.is_empty() || dying || group.group.is_machines_fault;
    if is_machines_fault && failed_too_many(scene, group, failed) {
        return return_to(scene, group, &overdue, turn);
    }
    if !overdue.is_empty() {
        return give_up(scene, group, &overdue, turn);
    }
    turn.halt(short(scene, group));
}

/// A canary may not fail at all; later, so many may as the policy says, and one always.
fn failed_too_many(scene: &Scene<'_>, group: &GroupScene<'_>, failed: usize) -> bool {
    let is_canary = group.validated().next().is_none();
    let size = usize::try_from(group.wanted()).unwrap_or(0);
    let percent = usize::try_from(scene.p.cluster.failure_percent).unwrap_or(100);
    is_canary || failed > (size * percent / 100).max(1)
}

/// The pin goes back to what the group came from; what was launched from the failed revision is
/// replaced like any other machine that is not as wanted.
fn return_to(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    overdue: &[&MachineScene<'_>],
    turn: &mut Turn,
) {
    let target = group.group.target.as_ref();
    let from = group.group.mark.as_ref().and_then(|mark| mark.from);
    let failed = target.filter(|_| !has_failed(group.group, scene.p));
    let (Some(target), Some(from)) = (failed, from.filter(|from| group.group.pin != Some(*from)))
    else {
        return give_up_or_halt(scene, group, overdue, turn);
    };
    let group_name = group.name().to_owned();
    turn.steps
        .push(Step::MarkFailed { group: group_name.clone(), revision: target.revision.clone() });
    turn.steps.push(Step::Pin { group: group_name, version: from });
    let why = match is_given_up(scene, group) {
        true => format!("{ABANDONED_MAX} launches in a row did not complete their hook"),
        false => "its machines did not become ready".to_owned(),
    };
    turn.halt(HaltReason {
        group: Some(group.name().to_owned()),
        object: format!("version {} of {}", target.version, group.group.launch_template_name),
        message: format!("failed: {why}; the group is back at version {from}"),
        way_out: "change what the machines are built from, or give `--retry`".to_owned(),
    });
}

/// There is nowhere to go back to.
fn give_up_or_halt(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    overdue: &[&MachineScene<'_>],
    turn: &mut Turn,
) {
    let given_up = scene.o.memory.given_up.get(group.name()).copied().unwrap_or(0);
    if given_up == 0 && !overdue.is_empty() {
        return give_up(scene, group, overdue, turn);
    }
    turn.halt(short(scene, group));
}

/// Ends machines that did not come up; the group launches others. Machines that the guard watches
/// hold a member's volume and address: nothing else can come while they are there. They go one at a time.
fn give_up(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    overdue: &[&MachineScene<'_>],
    turn: &mut Turn,
) {
    let mut overdue = overdue;
    if let Some(m) = overdue.first().filter(|_| group.policy.role.is_quorum()) {
        if let Err(why) = quorum::may_go_now(scene, group, m) {
            quorum::await_yes(scene, group, m, why, Work::Begun, turn);
            return;
        }
        overdue = &overdue[..1];
    }
    let machines = overdue.iter().map(|m| m.id().to_owned()).collect();
    turn.steps.push(Step::GiveUp { group: group.name().to_owned(), machines });
}

/// A group that did not get its machines in time.
fn short(scene: &Scene<'_>, group: &GroupScene<'_>) -> HaltReason {
    let serves = |m: &&MachineScene<'_>| {
        use Availability::{Coming, Leaving, Overdue, Soaking};
        m.machine.is_member && !matches!(m.availability, Coming(_) | Soaking(_) | Overdue | Leaving)
    };
    let have = group.machines.iter().filter(serves).count();
    let why = group.group.failed_activity.as_deref();
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    let in_vain = match is_given_up(scene, group) {
        true => {
            format!(" after {ABANDONED_MAX} launches in a row that did not complete their hook")
        }
        // What came in the place of a machine that was given up had as long again.
        false => {
            format!(", and no more came up within {} s", group.policy.boot_timeout.as_secs())
        }
    };
    HaltReason {
        group: Some(group.name().to_owned()),
        object: group.name().to_owned(),
        message: format!("has {have} of {} machines in service{in_vain}{why}", group.group.desired),
        way_out: format!(
            "{}; then run the same command again",
            group.group.way_out.unwrap_or("see its scaling activities")
        ),
    }
}
