//! Which machines are to be replaced, and why.

use std::time::Duration;

use jiff::Timestamp;

use super::scene::{Availability, GroupScene, MachineScene, Scene, later};
use super::trouble;
use crate::kube::{Condition, Node};
use crate::roll::forced;
use crate::roll::mark::{KOPS_REPLACE_ANNOTATION, REPLACE_ANNOTATION};
use crate::roll::policy::Retire;
use crate::roll::{Group, Machine, MachineReason, Observation, Policy, Target};

/// So long a node's trouble lasts before a roll replaces its machine for that alone.
const BROKEN_FOR: Duration = Duration::from_secs(900);

/// What new machines of a group are to be built from: its target, unless that failed, or nothing is
/// to be rolled; then what it is pinned to.
pub(super) fn goal(group: &Group, p: &Policy) -> Option<Target> {
    let pinned = || {
        let (version, revision) = (group.pin?, group.pin_revision.clone().unwrap_or_default());
        Some(Target { version, revision })
    };
    if p.abort || p.repair.is_some() {
        return pinned();
    }
    let Some(target) = &group.target else { return pinned() };
    if has_failed(group, p) {
        return returning(group).or_else(pinned);
    }
    Some(target.clone())
}

/// Whether the group's target was left behind by an automatic rollback, and is not tried again.
pub(super) fn has_failed(group: &Group, p: &Policy) -> bool {
    let target = group.target.as_ref().map(|target| &target.revision);
    !p.retry && group.failed.is_some() && group.failed.as_ref() == target
}

/// Where a rollback that has not moved the pin yet goes.
fn returning(group: &Group) -> Option<Target> {
    if group.pin_revision.is_some() && group.pin_revision != group.failed {
        return None;
    }
    let version = group.mark.as_ref()?.from?;
    Some(Target { version, revision: String::new() })
}

/// Where the pin of a group has still to go back to: its target is noted as failed, and the call that was
/// to move the pin was never made.
pub(super) fn unfinished_rollback(group: &Group) -> Option<u64> {
    let target = group.target.as_ref()?;
    let has_failed = group.failed.as_ref() == Some(&target.revision);
    let back = returning(group).filter(|_| has_failed)?;
    (group.pin != Some(back.version)).then_some(back.version)
}

/// Whether a machine is built from a target. The number alone says so where the revision is not
/// known; equal content under another number says so as well.
pub(super) fn runs(machine: &Machine, target: &Target) -> bool {
    machine.version == Some(target.version)
        || (machine.revision.is_some()
            && machine.revision.as_deref() == Some(target.revision.as_str()))
}

/// Why a machine is to be replaced; empty when it stays.
pub(super) fn reasons(
    o: &Observation,
    p: &Policy,
    group: &GroupScene<'_>,
    machine: &Machine,
    node: Option<&Node>,
    availability: Availability,
) -> Vec<MachineReason> {
    let mut reasons = Vec::new();
    if machine.detached.is_some() && !machine.is_member {
        reasons.push(MachineReason::Detached);
    }
    reasons.extend(retired(group, machine));
    if p.abort {
        return reasons;
    }
    reasons.extend(unhealthy(o, p, machine, node));
    let never_joined = never_joined(o, p, group, machine, availability);
    reasons.extend(never_joined.filter(|_| machine.unhealthy.is_none()));
    if p.repair.is_some() {
        return reasons;
    }
    reasons.extend(of_revision(group, machine));
    reasons.extend(aged(o, group, machine));
    if p.force && forced::is_due(o, machine) {
        reasons.push(MachineReason::Forced);
    }
    let asked = [REPLACE_ANNOTATION, KOPS_REPLACE_ANNOTATION];
    let asked =
        asked.into_iter().find(|key| node.is_some_and(|n| n.annotations.contains_key(*key)));
    reasons.extend(asked.map(|key| MachineReason::Annotated { annotation: key.to_owned() }));
    reasons
}

fn of_revision(group: &GroupScene<'_>, machine: &Machine) -> Option<MachineReason> {
    let goal = group.goal.as_ref()?;
    if runs(machine, goal) {
        return None;
    }
    let Some(version) = machine.version else { return Some(MachineReason::Unknown) };
    let told = |version: u64, revision: Option<&str>| match revision {
        Some(revision) if !revision.is_empty() => format!("{version}:{revision}"),
        _ => version.to_string(),
    };
    Some(MachineReason::Revision {
        runs: told(version, machine.revision.as_deref()),
        target: told(goal.version, Some(&goal.revision)),
    })
}

fn retired(group: &GroupScene<'_>, machine: &Machine) -> Option<MachineReason> {
    let why = match group.retire? {
        Retire::All => "its group is removed".to_owned(),
        Retire::OutOf(zones) if !zones.contains(&machine.zone) => {
            format!("its group leaves {}", machine.zone)
        }
        Retire::OutOf(_) | Retire::DownTo(_) => return None,
    };
    Some(MachineReason::Retired { why })
}

/// Marks as many machines as have to go from a group that gets smaller: outdated ones first, then
/// the oldest.
pub(super) fn retire_surplus(group: &mut GroupScene<'_>) {
    let Some(Retire::DownTo(most)) = group.retire else { return };
    let most = usize::try_from(*most).unwrap_or(0);
    let mut staying: Vec<usize> = (0..group.machines.len())
        .filter(|index| group.machines[*index].availability != Availability::Leaving)
        .collect();
    let surplus = staying.len().saturating_sub(most);
    staying.sort_by_key(|index| {
        let m = &group.machines[*index];
        let age = m.machine.launched_at.unwrap_or(Timestamp::MIN);
        (!m.is_drained(), !m.is_outdated(), age, m.machine.instance_id.clone())
    });
    for index in staying.into_iter().take(surplus) {
        let why = format!("its group shrinks to {most}");
        group.machines[index].is_surplus = true;
        group.machines[index].reasons.push(MachineReason::Retired { why });
    }
}

/// Marks as many machines as a surge has brought and nothing else takes away: all of it when nothing
/// new begins any more, else what exceeds the machines that are to go anyway, since others may have
/// ended some of those. The group gives them back: those that no work runs on first, then old ones, then
/// the newest. One that is ready and only does not count yet is no burden: an old one goes in its place
/// once it counts. So does one in the place of a machine that somebody uncordoned while it was drained.
pub(super) fn return_surge(group: &mut GroupScene<'_>) {
    let going = group.outdated().filter(|m| m.machine.is_member).count();
    let going = if group.is_ending { 0 } else { going };
    let raised = usize::try_from(group.raised()).unwrap_or(0).saturating_sub(going);
    if raised == 0 || group.lacking() > 0 {
        return;
    }
    let mut members: Vec<usize> = (0..group.machines.len())
        .filter(|index| {
            let m = &group.machines[*index];
            m.machine.is_member && m.availability != Availability::Leaving
        })
        .collect();
    members.sort_by_key(|index| {
        let m = &group.machines[*index];
        let works = m.works() || (m.is_begun() && !m.is_drained());
        let age = m.machine.launched_at.map(std::cmp::Reverse);
        (!m.is_drained(), works, group.is_current(m.machine), age, m.machine.instance_id.clone())
    });
    for index in members.into_iter().take(raised) {
        let m = &mut group.machines[index];
        m.is_surplus = true;
        if m.reasons.is_empty() {
            let why = "the surge is given back".to_owned();
            m.reasons.push(MachineReason::Retired { why });
        }
    }
}

/// Broken for longer than a repair waits: the cloud says so, or the node does.
fn unhealthy(
    o: &Observation,
    p: &Policy,
    machine: &Machine,
    node: Option<&Node>,
) -> Option<MachineReason> {
    let broken_for = p.repair.as_ref().map_or(BROKEN_FOR, |repair| repair.broken_for);
    if machine.stage == crate::roll::Stage::Leaving {
        return None;
    }
    if let Some(why) = &machine.unhealthy {
        return Some(MachineReason::Unhealthy { why: why.clone() });
    }
    let is_old = |condition: &Condition| later(condition.since, broken_for) <= o.now;
    let (kind, condition) = trouble::of(node?).find(|(_, condition)| is_old(condition))?;
    let why = format!("{kind} is {}: {}", condition.status, condition.reason);
    Some(MachineReason::Unhealthy { why })
}

/// Launched long ago and no node yet. What becomes of the machines that a roll has brought is decided as
/// they are watched.
fn never_joined(
    o: &Observation,
    p: &Policy,
    group: &GroupScene<'_>,
    machine: &Machine,
    availability: Availability,
) -> Option<MachineReason> {
    let is_watched = p.repair.is_none()
        && group.group.mark.is_some()
        && !is_older_than_the_roll(o, group, machine);
    let is_late = availability == Availability::Overdue && !is_watched;
    is_late.then(|| MachineReason::Unhealthy { why: "it never joined the cluster".to_owned() })
}

fn aged(o: &Observation, group: &GroupScene<'_>, machine: &Machine) -> Option<MachineReason> {
    let (most, launched_at) = (group.policy.max_age?, machine.launched_at?);
    if later(launched_at, most) > o.now {
        return None;
    }
    let hours = o.now.duration_since(launched_at).as_hours().unsigned_abs();
    Some(MachineReason::Age { hours, hours_max: most.as_secs() / 3600 })
}

/// Whether a machine was there before the roll began with its group.
pub(super) fn is_older_than_the_roll(
    o: &Observation,
    group: &GroupScene<'_>,
    machine: &Machine,
) -> bool {
    let mark = group.group.mark.as_ref().filter(|mark| mark.id == o.id);
    let began_at = mark.map_or(o.run_started_at, |mark| mark.began_at);
    machine.launched_at.is_none_or(|at| at < began_at)
}

impl Scene<'_> {
    /// Whether no machine is left that a roll which is to replace every machine is still about: in the
    /// groups that were named to it, not of those that this run is kept to.
    pub fn is_forced_over(&self) -> bool {
        let is_left = |group: &GroupScene<'_>, m: &MachineScene<'_>| {
            let goes = group.policy.drain_and_terminate || !m.machine.is_member;
            goes && m.availability != Availability::Leaving && forced::is_due(self.o, m.machine)
        };
        let noted =
            |name: &str| self.o.forced.as_ref().is_some_and(|f| f.groups.contains_key(name));
        !self.machines().any(|(group, m)| noted(group.name()) && is_left(group, m))
    }
}

/// Whether an automatic rollback has left its note on a group.
pub(super) fn has_failed_mark(group: &Group) -> bool {
    group.failed.is_some()
}
