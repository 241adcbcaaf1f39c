//! Workers: groups in parallel, each within its surge and its missing machines, all within those of
//! zone and cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::candidate::candidates;
use super::finish;
use super::repair;
use super::scene::{Availability, GroupScene, MachineScene, Scene, count, later};
use super::start::begin as begin_with;
use super::turn::Turn;
use crate::roll::mark::{DetachMark, Raised, RollMark};
use crate::roll::{Retire, RolloutRole, Step, WaitReason};
use crate::spec::IntOrPercent;

/// Most machines that one call detaches.
/// Source: Auto Scaling API reference, DetachInstances.
const DETACH_MAX: usize = 20;

/// So long machines that could be begun with wait for others of their group.
const GATHER: Duration = Duration::from_secs(15);

/// Begins with machines of groups that are prepared, the largest remainder first: it decides how long
/// the whole takes.
pub(super) fn begin(scene: &Scene<'_>, groups: &[&GroupScene<'_>], turn: &mut Turn) {
    let mut groups: Vec<&GroupScene<'_>> = groups.to_vec();
    groups.sort_by_key(|group| (std::cmp::Reverse(rounds(group)), group.name()));
    for group in groups {
        if !turn.halts.is_empty() {
            return;
        }
        let room = canary_room(scene, group, turn);
        let surged = surge(scene, group, room, turn);
        // What ends at once takes its place with it when a surge stands in for it: that is known once
        // the surge is noted.
        let awaits_surge = surged > 0 && !finish::drains(group.policy.role, scene);
        if !awaits_surge && !awaits_others(scene, group) {
            drain(scene, group, room.map(|room| room - surged), turn);
        }
    }
}

/// Whether more new machines of a group are about to count: what they make room for is begun with
/// together, which costs one look and one call, and the group loses no more than a soak by it. They are
/// waited for anyway ([`super::newcomer`]), so nothing stands still for it.
fn awaits_others(scene: &Scene<'_>, group: &GroupScene<'_>) -> bool {
    let is_close = |until: Timestamp| until <= later(scene.o.now, GATHER);
    let soaks = |m: &MachineScene<'_>| match m.availability {
        Availability::Soaking(until) => is_close(until) && !m.is_outdated(),
        _ => false,
    };
    group.group.mark.is_some() && group.machines.iter().any(soaks)
}

/// Rounds that a group still needs.
fn rounds(group: &GroupScene<'_>) -> i32 {
    count(group.outdated()) / (group.max_surge() + group.max_unavailable()).max(1)
}

/// How many more machines may be begun with before the canaries are validated and watched; no limit
/// once they are.
fn canary_room(scene: &Scene<'_>, group: &GroupScene<'_>, turn: &mut Turn) -> Option<i32> {
    let canaries = i32::try_from(group.policy.canary).unwrap_or(i32::MAX);
    if canaries == 0 || group.retire.is_some() || scene.p.repair.is_some() || scene.p.abort {
        return None;
    }
    let ends: Vec<Timestamp> =
        group.validated().map(|m| watched_until(group, m)).filter(|at| *at > scene.o.now).collect();
    let validated = count(group.validated());
    let watched = validated - count(ends.iter());
    if watched >= canaries {
        return None;
    }
    if let Some(until) = ends.iter().max() {
        turn.queue(group, None, WaitReason::Soak, Some(*until));
    }
    Some((canaries - validated - on_the_way(group)).max(0))
}

/// Until when a canary is watched.
fn watched_until(group: &GroupScene<'_>, m: &MachineScene<'_>) -> Timestamp {
    let ready = m.node.and_then(crate::kube::Node::ready_since).or(m.machine.launched_at);
    let soaked = later(ready.unwrap_or(Timestamp::MIN), group.policy.soak);
    later(soaked, group.policy.canary_soak)
}

/// New machines that are coming, or will have to come for what was begun.
fn on_the_way(group: &GroupScene<'_>) -> i32 {
    let is_coming = |m: &&MachineScene<'_>| {
        !m.is_outdated()
            && matches!(
                m.availability,
                Availability::Coming(_) | Availability::Soaking(_) | Availability::Overdue
            )
    };
    let is_draining = |m: &&MachineScene<'_>| {
        m.is_outdated()
            && m.machine.is_member
            && matches!(m.availability, Availability::Draining(_))
    };
    group.lacking()
        + count(group.machines.iter().filter(is_coming))
        + count(group.machines.iter().filter(is_draining))
}

/// Brings machines above what the group should have: by raising its desired capacity behind target
/// groups, else by taking old machines out of it. Gives how many.
fn surge(scene: &Scene<'_>, group: &GroupScene<'_>, room: Option<i32>, turn: &mut Turn) -> i32 {
    let extra = count(group.detached()) + group.raised();
    let members: Vec<&MachineScene<'_>> = candidates(scene, group)
        .filter(|m| m.machine.is_member && m.availability == Availability::Available)
        .collect();
    // A surge for machines that are on their way out already would come when nobody needs it.
    let useful = count(members.iter()) - group.raised();
    let more = (group.max_surge() - extra).min(useful).min(room.unwrap_or(i32::MAX)).max(0);
    let more = repair::room(scene, group, turn).map_or(more, |room| more.min(room));
    if more == 0 {
        return 0;
    }
    let brought = match group.raises() {
        true => raise(scene, group, more, turn),
        false => detach(scene, group, &members, more, turn),
    };
    turn.tally.in_hand += brought;
    brought
}

fn detach(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    members: &[&MachineScene<'_>],
    more: i32,
    turn: &mut Turn,
) -> i32 {
    // The last in order are detached, and drained after all others.
    let most = usize::try_from(more).unwrap_or(0).min(DETACH_MAX);
    let machines: BTreeSet<String> =
        members.iter().rev().take(most).map(|m| m.id().to_owned()).collect();
    let detached = count(machines.iter());
    let name = group.name().to_owned();
    let mark = DetachMark { group: name.clone(), id: scene.o.id.clone() };
    turn.steps.push(Step::MarkDetached { mark, machines: machines.clone() });
    turn.steps.push(Step::Detach { group: name, machines });
    detached
}

fn raise(scene: &Scene<'_>, group: &GroupScene<'_>, more: i32, turn: &mut Turn) -> i32 {
    let Some(mark) = &group.group.mark else { return 0 };
    let by = group.raised() + more;
    let base = group.wanted();
    let from = group.group.desired;
    let to = (base + by).min(group.group.max);
    if to <= from {
        return 0;
    }
    let name = group.name().to_owned();
    let note = |made: i32| {
        let raised = Some(Raised { base, by: to - base, made });
        let giving = BTreeSet::new();
        let mark = RollMark { id: scene.o.id.clone(), raised, giving, ..mark.clone() };
        Step::Mark { group: name.clone(), mark }
    };
    // What was raised before is known to have been, whether or not more of it comes.
    turn.steps.push(note(group.raised()));
    turn.steps.push(Step::SetDesired { group: name.clone(), from, to });
    turn.steps.push(note(to - base));
    to - from
}

/// Begins to drain as many as may be missing.
pub(super) fn drain(scene: &Scene<'_>, group: &GroupScene<'_>, room: Option<i32>, turn: &mut Turn) {
    let mut available = group.available();
    let mut begun = count(group.machines.iter().filter(|m| m.is_begun() && m.is_outdated()));
    let mut room = room.unwrap_or(i32::MAX);
    let mut held = None;
    for m in candidates(scene, group) {
        // A detached machine is the surge: it goes when its group needs it no more.
        let is_spare = !m.machine.is_member;
        if begun >= at_once(scene, group) {
            break;
        }
        if let Some(what) = repair::is_enough(scene, group, turn).filter(|_| !is_spare) {
            held.get_or_insert((m, what));
            continue;
        }
        if (room <= 0 && !is_spare) || detaches(turn, m) {
            continue;
        }
        let serves = m.availability == Availability::Available;
        let left = available - i32::from(serves);
        if let Some(what) =
            over_its_own(group, m, left).or(over_the_whole(scene, group, m, left, turn))
        {
            // A full zone holds up no machine of another one.
            held.get_or_insert((m, what));
            continue;
        }
        if !begin_with(scene, group, m, turn) {
            break;
        }
        begun += 1;
        turn.tally.in_hand += i32::from(!is_spare);
        if serves {
            turn.tally.missing += i32::from(left < group.wanted());
        }
        if m.works() {
            turn.tally.goes(group.name(), &m.machine.zone);
        }
        available = left;
        room = room.saturating_sub(i32::from(!is_spare));
    }
    if let Some((m, what)) = held {
        turn.queue(group, Some(m), WaitReason::Limit { what }, comes_until(scene));
    }
}

/// Until when a worker that is on its way may take, whosever it is: what lacks now is there then, or is
/// replaced. Launches that end before they serve are not waited for for ever.
fn comes_until(scene: &Scene<'_>) -> Option<Timestamp> {
    let since = scene.o.memory.stuck_since.unwrap_or(scene.o.now);
    let workers = scene.machines().filter(|(group, _)| group.policy.role == RolloutRole::Node);
    let ends = workers.filter_map(|(group, m)| match m.availability {
        Availability::Coming(until) | Availability::Soaking(until) => {
            Some(until.min(later(since, group.policy.boot_timeout * 2)))
        }
        _ => None,
    });
    ends.max()
}

/// Whether this very turn takes a machine out of its group.
fn detaches(turn: &Turn, m: &MachineScene<'_>) -> bool {
    turn.steps
        .iter()
        .any(|step| matches!(step, Step::Detach { machines, .. } if machines.contains(m.id())))
}

/// The group's own limit, if a machine's end would break it.
fn over_its_own(group: &GroupScene<'_>, m: &MachineScene<'_>, left: i32) -> Option<String> {
    if !m.works() {
        return None;
    }
    if m.is_surplus && group.retire.is_some() {
        return None;
    }
    // What stands outside its group is there so that nobody misses it.
    let most = if m.machine.is_member { group.max_unavailable() } else { 0 };
    let most = if group.max_surge() == 0 { group.max_unavailable() } else { most };
    if left >= group.wanted() - most {
        return None;
    }
    Some(missing(group, left + 1))
}

fn missing(group: &GroupScene<'_>, serve: i32) -> String {
    let missing = (group.wanted() - serve).max(0);
    format!("{missing} of {} machines are missing", group.wanted())
}

/// Which limit is broken while a machine is away that is counted so already: it is not taken away anew.
pub(super) fn over_already(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    m: &MachineScene<'_>,
    turn: &Turn,
) -> Option<String> {
    let serve = group.available();
    let is_missed = !m.is_surplus || group.retire.is_none();
    if is_missed && serve < group.wanted() - group.max_unavailable() {
        return Some(missing(group, serve));
    }
    over_limits(scene, group, &m.machine.zone, serve, 0, turn)
}

/// Machines of a group that may be worked on at once.
fn at_once(scene: &Scene<'_>, group: &GroupScene<'_>) -> i32 {
    let own = (group.max_surge() + group.max_unavailable()).max(i32::from(group.is_ending));
    let own = if matches!(group.retire, Some(Retire::All | Retire::DownTo(_))) {
        own.max(1)
    } else {
        own
    };
    // A repair has a limit of its own, over all groups.
    if scene.p.repair.is_some() { own.max(1) } else { own }
}

/// Which limit of the cluster, of a zone, or of the group in that zone a machine would break.
fn over_the_whole(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    m: &MachineScene<'_>,
    left: i32,
    turn: &Turn,
) -> Option<String> {
    if !m.works() {
        return None;
    }
    over_limits(scene, group, &m.machine.zone, left, 1, turn)
}

/// The same for so many more machines of a zone than are away.
fn over_limits(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    zone: &str,
    left: i32,
    more: i32,
    turn: &Turn,
) -> Option<String> {
    let of = |limit: IntOrPercent, all: i32| match limit {
        IntOrPercent::Int(count) => i32::try_from(count).unwrap_or(i32::MAX),
        IntOrPercent::Percent(percent) => {
            (all * i32::try_from(percent).unwrap_or(100) / 100).max(1)
        }
    };
    let tally = &turn.tally;
    if let Some(limit) = scene.p.cluster.max_unavailable
        && left < group.wanted()
        && tally.missing + more > of(limit, tally.wanted)
    {
        return Some(format!("{} workers of the cluster are missing", tally.missing));
    }
    let away = tally.by_zone.get(zone).copied().unwrap_or(0);
    let size = tally.zone_size.get(zone).copied().unwrap_or(0);
    if let Some(limit) = scene.p.cluster.max_unavailable_per_zone
        && away + more > of(limit, size)
    {
        return Some(format!("{away} workers of {zone} are away"));
    }
    let key = (group.name().to_owned(), zone.to_owned());
    let away = tally.by_group.get(&key).copied().unwrap_or(0);
    let size = count(group.machines.iter().filter(|other| other.machine.zone == zone));
    if let Some(limit) = group.policy.max_unavailable_per_zone
        && away + more > of(limit, size)
    {
        return Some(format!("{away} of its machines in {zone} are away"));
    }
    None
}
