//! How many machines have to serve, and who may change how many there are.

use std::collections::{BTreeMap, BTreeSet};

use super::Look;
use crate::cloud::Call;
use crate::kube::{KubeCall, Node, TaintEffect};
use crate::rehearsal::act::Act;
use crate::rehearsal::ledger::{Ledger, Loss, MachineBook, count};
use crate::rehearsal::truth;
use crate::roll::{GroupPolicy, RolloutRole};
use crate::sim::{Lifecycle, StoredGroup, Time};
use crate::spec::IntOrPercent;

/// I8: of each group as many machines serve as it should have, less what may be missing; nodes are
/// marked in bulk by soft taints alone.
pub fn i08(look: &Look<'_>) -> Result<(), String> {
    if let Some(Act::Kube(KubeCall::PatchNode { node, patch })) = look.act()
        && patch.add_taints.iter().any(|taint| taint.effect != TaintEffect::PreferNoSchedule)
    {
        return Err(format!("{node} gets a taint that keeps work away"));
    }
    for (group, going) in workers_that_go(look) {
        let Some(limits) = look.ledger.policy.groups.get(group) else { continue };
        let Some(stored) = look.world.groups.get(group) else { continue };
        let wanted = wanted(look, group, stored);
        let serve = look.ledger.known_to_serve(look.world.now, group);
        let after = serve - i32::try_from(going.len()).unwrap_or(i32::MAX);
        let floor = wanted - may_miss(look.ledger, limits, stored, wanted);
        if after < floor {
            return Err(format!(
                "{group}: {after} of {wanted} would serve without {going:?}, at least {floor} have to"
            ));
        }
    }
    Ok(())
}

/// I9: kprod raises a desired capacity by its surge alone, gives that back, and lowers it only together
/// with the machines that it has drained. What others changed stays changed.
pub fn i09(look: &Look<'_>) -> Result<(), String> {
    if look.is_end() {
        return desired_as_before(look);
    }
    match look.act() {
        Some(Act::Cloud(Call::SetDesiredCapacity {
            auto_scaling_group_name,
            desired_capacity,
        })) => sets_desired(look, auto_scaling_group_name, *desired_capacity),
        Some(Act::Cloud(Call::TerminateInstanceInAutoScalingGroup {
            auto_scaling_group_name: group,
            instance_ids,
            should_decrement_desired_capacity: true,
        })) => {
            let raised = look.ledger.groups.get(group).map_or(0, |book| book.raised);
            let shrinks = look.ledger.policy.retire.contains_key(group);
            let meddled = is_meddled(look, group);
            if count(instance_ids.iter()) > raised && !shrinks && !meddled {
                return Err(format!(
                    "{group} shrinks by {instance_ids:?}, {raised} of it is surge"
                ));
            }
            drained(look)
        }
        Some(act) if !act.ends().is_empty() => drained(look),
        _ => Ok(()),
    }
}

/// I10: of each zone, and of the whole cluster, no more workers are away than the policy says, those
/// counted that the world took; at the end every process that kprod suspended runs again.
pub fn i10(look: &Look<'_>) -> Result<(), String> {
    if look.is_end() {
        return resumed(look);
    }
    let going = workers_that_go(look);
    if going.is_empty() {
        return Ok(());
    }
    within_cluster(look, &going)?;
    within_zones(look, &going)
}

/// Workers that serve, and do not after an act: by group.
fn workers_that_go<'a>(look: &Look<'a>) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut going: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let Some(act) = look.act() else { return going };
    let (now, ledger) = (look.world.now, look.ledger);
    let mut add = |id: &str| {
        let Some((id, book)) = ledger.machines.get_key_value(id) else { return };
        if book.serves && ledger.role_of(id) == Some(RolloutRole::Node) {
            going.entry(&book.group).or_default().insert(id);
        }
    };
    match act {
        // One that is made only of nodes that take no work takes none away.
        Act::Kube(KubeCall::PatchNode { patch, .. }) if patch.if_away => {}
        Act::Kube(KubeCall::PatchNode { node, patch }) if patch.unschedulable == Some(true) => {
            let nodes = truth::nodes(look.world, &ledger.cluster);
            nodes.iter().filter(|(_, known)| known.name == *node).for_each(|(id, _)| add(id));
        }
        // Out of its target groups it serves nobody; elsewhere a detached machine goes on serving.
        Act::Cloud(Call::DetachInstances { auto_scaling_group_name, instance_ids, .. }) => {
            let stored = look.world.groups.get(auto_scaling_group_name);
            if stored.is_some_and(|stored| !stored.group.target_group_arns.is_empty()) {
                instance_ids.iter().for_each(|id| add(id));
            }
        }
        Act::Cloud(Call::DeregisterTargets { instance_ids, .. }) => {
            instance_ids.iter().for_each(|id| add(id));
        }
        // One that ends without a drain had no node when it was looked at; it serves since. So does one
        // whose cordon, which was there before kprod's, was taken off a moment ago.
        act => {
            act.ends().into_iter().filter(|id| !ledger.serves_unknown(now, id)).for_each(add);
        }
    }
    going
}

/// Machines that a group should have, without kprod's surge: what others have just added cannot be known.
fn wanted(look: &Look<'_>, group: &str, stored: &StoredGroup) -> i32 {
    look.ledger.known_to_be_wanted(look.world.now, group, stored.desired_capacity)
}

/// How many of a group may be missing: a percentage rounds down, at least one. A group that can neither
/// surge nor miss one would never move: then one may be missing.
fn may_miss(ledger: &Ledger, limits: &GroupPolicy, stored: &StoredGroup, wanted: i32) -> i32 {
    let missing = match limits.max_unavailable {
        IntOrPercent::Int(count) => i32::try_from(count).unwrap_or(i32::MAX),
        IntOrPercent::Percent(0) => 0,
        IntOrPercent::Percent(percent) => share(wanted, percent).max(1),
    };
    let retires = ledger.policy.retire.contains_key(&stored.group.auto_scaling_group_name);
    if missing == 0 && (may_surge(limits, stored, wanted) == 0 || retires) { 1 } else { missing }
}

/// How many may be there too many: a percentage rounds up; behind target groups the maximum is the end.
fn may_surge(limits: &GroupPolicy, stored: &StoredGroup, wanted: i32) -> i32 {
    let surge = match limits.max_surge {
        IntOrPercent::Int(count) => i32::try_from(count).unwrap_or(i32::MAX),
        IntOrPercent::Percent(percent) => {
            let hundredths = i64::from(wanted.max(0)) * i64::from(percent);
            i32::try_from((hundredths + 99) / 100).unwrap_or(i32::MAX)
        }
    };
    match stored.group.target_group_arns.is_empty() {
        true => surge,
        false => surge.min(stored.group.max_size - wanted).max(0),
    }
}

/// So many of a hundred, rounded down.
fn share(of: i32, percent: u32) -> i32 {
    i32::try_from(i64::from(of.max(0)) * i64::from(percent) / 100).unwrap_or(i32::MAX)
}

/// Whether somebody else changed a group so lately that nobody can know.
fn is_meddled(look: &Look<'_>, group: &str) -> bool {
    let book = look.ledger.groups.get(group);
    book.is_some_and(|book| look.ledger.is_fresh(look.world.now, book.meddled_at))
}

fn sets_desired(look: &Look<'_>, group: &str, to: i32) -> Result<(), String> {
    let (Some(book), Some(stored)) = (look.ledger.groups.get(group), look.world.groups.get(group))
    else {
        return Ok(());
    };
    if is_meddled(look, group) {
        return Ok(());
    }
    let limits = &look.ledger.policy.groups[group];
    let (low, high) = book.base;
    let most = high + may_surge(limits, stored, high);
    if to < low || to > most {
        return Err(format!("{group} should have {low} to {most} machines, not {to}"));
    }
    let alive = look.world.members(group).filter(|machine| {
        // One that was launched this moment is in nobody's list yet.
        machine.lifecycle.counts() && look.world.now.since_ms(machine.launched_at) > 15_000
    });
    if to < stored.desired_capacity && count(alive) > to {
        return Err(format!("{group} is lowered to {to}: AWS would choose which machines go"));
    }
    Ok(())
}

/// Machines that end are empty: everything that a drain moves has been moved, or asked to end.
fn drained(look: &Look<'_>) -> Result<(), String> {
    let (Some(act), ledger) = (look.act(), look.ledger) else { return Ok(()) };
    if ledger.policy.cloudonly {
        return Ok(());
    }
    let nodes = truth::nodes(look.world, &ledger.cluster);
    for id in act.ends() {
        if ledger.is_freshly_uncordoned(look.world.now, id) {
            continue;
        }
        let Some(node) = nodes.get(id).filter(|node| node.is_ready()) else { continue };
        // Nobody drains a node that does not answer, nor can know at once that it does again.
        if came_back_lately(look, node) {
            continue;
        }
        let is_worker = ledger.role_of(id).is_some_and(RolloutRole::joins);
        let left = truth::pods_left(look.world, &ledger.cluster, &node.name);
        if is_worker && let Some(pod) = left.first() {
            return Err(format!("{id} ends with {} pods on it, such as {pod}", left.len()));
        }
        if is_worker && !node.unschedulable {
            return Err(format!("{id} ends and was never cordoned"));
        }
    }
    Ok(())
}

/// Whether a node that had been ready before is ready again for so short that nobody can know.
fn came_back_lately(look: &Look<'_>, node: &Node) -> bool {
    let since = node.ready_since().filter(|_| node.was_ready());
    let since = since.map(|since| Time(since.as_millisecond()));
    since.is_some_and(|since| look.ledger.is_fresh(look.world.now, since))
}

fn desired_as_before(look: &Look<'_>) -> Result<(), String> {
    for (group, book) in &look.ledger.groups {
        let Some(stored) = look.world.groups.get(group) else { continue };
        let (low, high) = book.base;
        let retires = look.ledger.policy.retire.contains_key(group);
        if !(low..=high).contains(&stored.desired_capacity) && !retires && !book.is_excused {
            return Err(format!(
                "{group} is left with {} machines wanted, it should be {low} to {high}",
                stored.desired_capacity
            ));
        }
    }
    Ok(())
}

fn resumed(look: &Look<'_>) -> Result<(), String> {
    for (group, book) in &look.ledger.groups {
        let Some(stored) = look.world.groups.get(group) else { continue };
        let left: Vec<&String> =
            stored.group.suspended_processes.difference(&book.suspended).collect();
        if !left.is_empty() && !book.is_excused {
            return Err(format!("{group} is left with {left:?} suspended"));
        }
    }
    Ok(())
}

fn within_cluster(look: &Look<'_>, going: &BTreeMap<&str, BTreeSet<&str>>) -> Result<(), String> {
    let Some(limit) = look.ledger.policy.cluster.max_unavailable else { return Ok(()) };
    let (mut before, mut after, mut all) = (0, 0, 0);
    for group in look.ledger.of_role(|role| role == RolloutRole::Node) {
        let Some(stored) = look.world.groups.get(group) else { continue };
        let wanted = wanted(look, group, stored);
        let serve = look.ledger.known_to_serve(look.world.now, group);
        let less = going.get(group).map_or(0, |going| count(going.iter()));
        all += look.ledger.wanted_at_most(look.world.now, group, stored.desired_capacity);
        before += (wanted - serve).max(0);
        after += (wanted - serve + less).max(0);
    }
    let most = limit_of(limit, all);
    if after > before && after > most {
        return Err(format!("{after} of {all} workers would be missing, {most} may be"));
    }
    Ok(())
}

fn within_zones(look: &Look<'_>, going: &BTreeMap<&str, BTreeSet<&str>>) -> Result<(), String> {
    let Some(limit) = look.ledger.policy.cluster.max_unavailable_per_zone else { return Ok(()) };
    let ledger = look.ledger;
    let workers: Vec<(&String, &MachineBook)> = ledger
        .machines
        .iter()
        .filter(|(id, _)| ledger.role_of(id) == Some(RolloutRole::Node))
        .collect();
    let losses: Vec<&Loss> = ledger.fresh_losses(look.world.now).collect();
    let lost: BTreeSet<&str> = losses.iter().map(|loss| loss.instance_id.as_str()).collect();
    for id in going.values().flatten() {
        let zone = &ledger.machines[*id].zone;
        let of_zone: Vec<_> = workers.iter().filter(|(_, book)| book.zone == *zone).collect();
        let away = of_zone
            .iter()
            .filter(|(id, book)| book.has_served && !book.serves && !lost.contains(id.as_str()));
        let going = going.values().flatten().filter(|id| ledger.machines[**id].zone == *zone);
        let away = count(away) + count(going);
        // A share is one of what is known to be there: a loss that cannot be known takes nothing from it.
        let gone = losses.iter().filter(|loss| {
            let is_worker = ledger.policy.groups.get(&loss.group).map(|group| group.role);
            is_worker == Some(RolloutRole::Node)
                && loss.zone == *zone
                && !ledger.machines.contains_key(&loss.instance_id)
        });
        let most = limit_of(limit, count(of_zone.iter()) + count(gone));
        if away > most {
            return Err(format!("{away} workers of {zone} would be away, {most} may be"));
        }
    }
    Ok(())
}

/// A limit over all, at least one.
fn limit_of(limit: IntOrPercent, all: i32) -> i32 {
    match limit {
        IntOrPercent::Int(count) => i32::try_from(count).unwrap_or(i32::MAX),
        IntOrPercent::Percent(percent) => share(all, percent).max(1),
    }
}

/// Whether a machine is on its way out.
pub(super) fn is_ending(lifecycle: Lifecycle) -> bool {
    !lifecycle.counts()
}
