//! The machines that keep the cluster alive: one at a time over all their groups, behind the guard.

use jiff::Timestamp;

use super::scene::{Availability, GroupScene, MachineScene, Scene, later, was_cordoned};
use super::turn::Turn;
use crate::etcd::guard;
use crate::roll::{HaltReason, Step};

/// Whether the guard lets a machine go at this moment: no flag asks it less.
pub(super) fn may_go_now(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    machine: &MachineScene<'_>,
) -> Result<(), String> {
    let limits = guard::Limits {
        report_age_max: guard::Limits::REPORT_AGE_MAX,
        lag_max: guard::Limits::LAG_MAX,
        snapshot_age_max: scene.p.cluster.snapshot_age_max,
        not_before: last_step(scene),
        one_member_downtime: scene.p.cluster.one_member_downtime,
    };
    let members = &scene.o.members;
    guard::may_go(&scene.p.topology, members, group.name(), scene.o.now, &limits)
        .map_err(|refusal| refusal.to_string())?;
    others_serve(scene, machine)
}

/// Every other machine of these groups serves, and none lacks.
fn others_serve(scene: &Scene<'_>, machine: &MachineScene<'_>) -> Result<(), String> {
    for group in scene.quorum() {
        let mut others = group.machines.iter().filter(|m| m.id() != machine.id());
        if let Some(m) = others.find(|m| m.availability != Availability::Available) {
            return Err(format!("{} of {} does not serve", m.id(), group.name()));
        }
        let is_own = group.machines.iter().any(|m| m.id() == machine.id());
        let is_counted = machine.availability == Availability::Available;
        let lacks = group.missing() - i32::from(is_own && !is_counted);
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

/// Until when the guard may say no.
pub(super) fn deadline(scene: &Scene<'_>, group: &GroupScene<'_>) -> Timestamp {
    let since = scene.o.memory.refused_since.unwrap_or(scene.o.now);
    later(since, group.policy.validate_timeout)
}

/// The guard says no for too long: machines that were drained are let be.
pub(super) fn let_be(
    group: &GroupScene<'_>,
    machines: &[&MachineScene<'_>],
    why: String,
    turn: &mut Turn,
) {
    for m in machines {
        if let Some(node) = m.node {
            turn.steps.push(Step::Skip {
                machine: m.id().to_owned(),
                node: node.name.clone(),
                uncordon: !was_cordoned(node),
            });
        }
    }
    turn.halt(refused(group, why));
}

/// The guard's no as a halt.
pub(super) fn refused(group: &GroupScene<'_>, why: String) -> HaltReason {
    HaltReason {
        group: Some(group.name().to_owned()),
        object: "quorum guard".to_owned(),
        message: format!("does not let a machine of {} go: {why}", group.name()),
        way_out: "bring every member back to health, then run the same command again".to_owned(),
    }
}
