//! The machines that keep the cluster alive: one at a time over all their groups, behind the guard.

use jiff::Timestamp;

use super::scene::{Availability, GroupScene, MachineScene, Scene, count, later, was_cordoned};
use super::turn::Turn;
use crate::etcd::guard;
use crate::roll::{HaltReason, Step, WaitReason};

/// Whether the guard lets a machine go at this moment: no flag asks it less.
pub(super) fn may_go_now(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    machine: &MachineScene<'_>,
) -> Result<(), String> {
    let limits = scene.p.cluster.guard_limits(last_step(scene));
    let (topology, members) = (&scene.p.topology, &scene.o.members);
    let keeps = |group: &str, id: &str| scene.o.keeps(group, id);
    guard::may_go(topology, members, &keeps, group.name(), scene.o.now, &limits)
        .map_err(|refusal| refusal.to_string())?;
    others_serve(scene, machine)
}

/// Every other machine of these groups serves, and none lacks. One that never came up takes nothing away
/// when it goes, so others that never came up do not hold it: each would hold the other for ever. What
/// their members say was asked before.
fn others_serve(scene: &Scene<'_>, machine: &MachineScene<'_>) -> Result<(), String> {
    let is_excused = |m: &&MachineScene<'_>| {
        m.id() == machine.id() || (machine.never_served() && m.never_served())
    };
    let serves = |m: &&MachineScene<'_>| m.availability == Availability::Available;
    for group in scene.quorum() {
        let mut asked = group.machines.iter().filter(|m| !is_excused(m));
        if let Some(m) = asked.find(|m| !serves(m)) {
            return Err(format!("{} of {} does not serve", m.id(), group.name()));
        }
        let excused = group.machines.iter().filter(is_excused).filter(|m| !serves(m));
        let lacks = group.missing() - count(excused);
        if lacks > 0 {
            return Err(format!("{} lacks {lacks} machines", group.name()));
        }
    }
    Ok(())
}

/// When the newest of these machines came: reports from before say nothing about it.
fn last_step(scene: &Scene<'_>) -> Timestamp {
    let came = |m: &MachineScene<'_>| {
        let ready = m.node.and_then(crate::kube::Node::ready_since);
        ready.or(m.machine.launched_at).unwrap_or(Timestamp::MIN)
    };
    let hosts = scene.quorum().filter(|group| scene.p.topology.is_host(group.name()));
    hosts.flat_map(|group| &group.machines).map(came).max().unwrap_or(Timestamp::MIN)
}

/// Whether anything was begun with the machine that the guard does not let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// It is on its way: nothing else ends before this does.
    Begun,
    /// Nothing was: it may as well stay.
    Queued,
}

/// Waits for the guard to let a machine go, within a limit. Whether that is over, which halts the roll.
pub(super) fn await_yes(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    m: &MachineScene<'_>,
    why: String,
    whose: Work,
    turn: &mut Turn,
) -> bool {
    let since = scene.o.memory.refused_since.map_or(scene.o.now, |spell| spell.since);
    let deadline = later(since, group.policy.validate_timeout);
    let halt = refused(group, &why);
    let reason = WaitReason::Quorum { why };
    match whose {
        _ if scene.o.now >= deadline => turn.overrun(group, Some(m), reason, deadline, halt),
        Work::Begun => turn.work(group, Some(m), reason, Some(deadline)),
        Work::Queued => turn.queue(group, Some(m), reason, Some(deadline)),
    }
    scene.o.now >= deadline
}

/// Whether the guard holds machines that were begun. Whatever takes more of them (cordon, place behind a
/// load balancer, the machine itself) asks it anew: others may have gone since. Held for too long, they
/// are let be.
pub(super) fn holds(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    machines: &[&MachineScene<'_>],
    turn: &mut Turn,
) -> bool {
    let Some(m) = machines.first().filter(|_| group.policy.role.is_quorum()) else { return false };
    let Err(why) = may_go_now(scene, group, m) else { return false };
    if await_yes(scene, group, m, why.clone(), Work::Begun, turn) {
        let_be(machines, &refused(group, &why), turn);
    }
    true
}

/// The guard says no for too long: machines that were drained are let be.
fn let_be(machines: &[&MachineScene<'_>], why: &HaltReason, turn: &mut Turn) {
    for m in machines {
        if let Some(node) = m.node {
            turn.steps.push(Step::Skip {
                machine: m.id().to_owned(),
                node: node.name.clone(),
                uncordon: !was_cordoned(node),
                why: why.clone(),
            });
        }
    }
}

/// The guard's no as a halt.
fn refused(group: &GroupScene<'_>, why: &str) -> HaltReason {
    HaltReason {
        group: Some(group.name().to_owned()),
        object: "quorum guard".to_owned(),
        message: format!("does not let a machine of {} go: {why}", group.name()),
        way_out: "bring every member back to health, then run the same command again".to_owned(),
    }
}
