//! In which order, on whose things, and by whom.

use std::collections::BTreeSet;

use super::capacity::is_ending;
use super::{Look, Moment};
use crate::apply::lease;
use crate::cloud::Call;
use crate::kube::KubeCall;
use crate::rehearsal::act::Act;
use crate::rehearsal::ledger::count;
use crate::rehearsal::truth;
use crate::resource::{DETACHED_TAG, FAILED_TAG, OWNER_TAG, ROLL_TAG, TARGET_TAG, read_target};
use crate::roll::{DrainOutcome, RolloutRole};
use crate::sim::StoredGroup;

/// I6: only what carries the cluster's owner tag is touched; a machine is taken away from its group
/// only once its mark is on it.
pub fn i06(look: &Look<'_>) -> Result<(), String> {
    let Some(act) = look.act() else { return Ok(()) };
    let cluster = &look.ledger.cluster;
    if let Some(group) = group_of(act)
        && let Some(stored) = look.world.groups.get(group)
        && stored.group.tags.get(OWNER_TAG).is_none_or(|tag| tag.value != *cluster)
    {
        return Err(format!("group {group} is not the cluster's"));
    }
    for id in machines_of(act) {
        let foreign = look
            .world
            .machines
            .get(id)
            .filter(|machine| machine.tags.get(OWNER_TAG).is_none_or(|owner| owner != cluster));
        if foreign.is_some() {
            return Err(format!("machine {id} is not the cluster's"));
        }
    }
    Ok(())
}

/// I7: what a request names is there, or was: no empty name, no version that no template has.
pub fn i07(look: &Look<'_>) -> Result<(), String> {
    let Some(act) = look.act() else { return Ok(()) };
    let is_instance = |id: &&&str| id.starts_with("i-") && id.len() == 19;
    if let Some(id) = machines_of(act).iter().find(|id| !is_instance(id)) {
        return Err(format!("`{id}` is no instance"));
    }
    if group_of(act).is_some_and(str::is_empty) {
        return Err("a request for no group".to_owned());
    }
    match act {
        Act::Cloud(Call::PinLaunchTemplateVersion { launch_template_name, version, .. }) => {
            let template = look.world.templates.get(launch_template_name);
            let has = template.is_none_or(|known| known.versions.contains_key(version));
            if has {
                Ok(())
            } else {
                Err(format!("{launch_template_name} has no version {version}"))
            }
        }
        Act::Kube(KubeCall::PatchNode { node, .. } | KubeCall::DeleteNode { node, .. })
            if node.is_empty() =>
        {
            Err("a request for no node".to_owned())
        }
        _ => Ok(()),
    }
}

/// I11: no kubelet is newer than an API server, those of new machines included: a pool's pin moves when
/// the control plane has its version.
pub fn i11(look: &Look<'_>) -> Result<(), String> {
    let Some(Act::Cloud(Call::PinLaunchTemplateVersion {
        auto_scaling_group_name,
        launch_template_name,
        version,
        ..
    })) = look.act()
    else {
        return Ok(());
    };
    let ledger = look.ledger;
    let role = ledger.policy.groups.get(auto_scaling_group_name).map(|policy| policy.role);
    if role != Some(RolloutRole::Node) {
        return Ok(());
    }
    let pinned = truth::version_of(look.world, launch_template_name, *version);
    let api = ledger
        .machines
        .keys()
        .filter(|id| ledger.role_of(id) == Some(RolloutRole::ControlPlane))
        .filter_map(|id| look.world.machines.get(id.as_str()))
        .filter(|machine| !is_ending(machine.lifecycle))
        .filter_map(|m| truth::version_of(look.world, &m.launch_template_name, m.version))
        .min();
    match (pinned, api) {
        (Some(pinned), Some(api)) if pinned > api => Err(format!(
            "{auto_scaling_group_name} would launch kubelets of 1.{pinned}, an API server is 1.{api}"
        )),
        _ => Ok(()),
    }
}

/// I13: whoever changes something holds the lease, or has lost it too lately to know.
pub fn i13(look: &Look<'_>) -> Result<(), String> {
    let Moment::Before { who, act } = look.moment else { return Ok(()) };
    let cluster = &look.ledger.cluster;
    if matches!(act, Act::Put(_) | Act::Remove(_)) {
        // The lease itself, the journal and reports have conditions of their own.
        return Ok(());
    }
    let holder = truth::lease_holder(look.world, cluster);
    if holder.as_deref() == Some(who) {
        return Ok(());
    }
    let since_ms = look.world.now.since_ms(look.ledger.lease_changed_at);
    if u128::from(since_ms) <= lease::LONGEST_CALL.as_millis() {
        return Ok(());
    }
    Err(format!("{who} makes {}, the lease is {holder:?}'s", act.operation()))
}

/// I14: each machine is in its group, or marked as taken out of it, or gone; none is replaced that is
/// as wanted; at the end no mark is left.
pub fn i14(look: &Look<'_>) -> Result<(), String> {
    match look.act() {
        Some(Act::Cloud(Call::DetachInstances { instance_ids, .. })) => {
            let bare = instance_ids.iter().find(|id| {
                let machine = look.world.machines.get(*id);
                machine.is_some_and(|machine| !machine.tags.contains_key(DETACHED_TAG))
            });
            bare.map_or(Ok(()), |id| Err(format!("{id} is detached and nothing marks it")))
        }
        Some(act) => needed(look, act),
        None => nothing_left(look),
    }
}

/// I15: every wait has its end, and what happens then is declared: pods are deleted against their
/// budgets only where the policy says so.
pub fn i15(look: &Look<'_>) -> Result<(), String> {
    let Some(Act::Kube(KubeCall::DeletePod { pod, .. })) = look.act() else { return Ok(()) };
    let cluster = look.world.clusters.get(&look.ledger.cluster);
    let Some(known) = cluster.and_then(|cluster| cluster.pod(pod)) else { return Ok(()) };
    let node = known.pod.node.as_deref();
    let nodes = truth::nodes(look.world, &look.ledger.cluster);
    let host = nodes.iter().find(|(_, host)| Some(host.name.as_str()) == node);
    let book = host.and_then(|(id, _)| look.ledger.machines.get(*id));
    let limits = book.and_then(|book| look.ledger.policy.groups.get(&book.group));
    let allowed = limits.is_none_or(|limits| {
        let is_bare = known.pod.owner.is_none();
        limits.on_drain_timeout == DrainOutcome::Force || (is_bare && limits.delete_bare_pods)
    });
    if allowed { Ok(()) } else { Err(format!("pod {pod} is deleted, not evicted")) }
}

/// Machines that end, or are drained for that, are outdated, or broken, or a surge that is given back.
fn needed(look: &Look<'_>, act: Act<'_>) -> Result<(), String> {
    let ledger = look.ledger;
    if ledger.policy.abort || !ledger.policy.retire.is_empty() {
        return Ok(());
    }
    let going: BTreeSet<&str> = act.ends().into_iter().chain(look.drained()).collect();
    for id in &going {
        // It was begun with while nobody could use it, or had no node yet. Who cordons it has seen that
        // somebody can.
        if look.drained() != Some(*id) && ledger.serves_unknown(look.world.now, id) {
            continue;
        }
        let (Some(book), Some(machine)) = (ledger.machines.get(*id), look.world.machines.get(*id))
        else {
            continue;
        };
        let Some(group) = ledger.groups.get(&book.group) else { continue };
        let is_settled = !ledger.is_fresh(look.world.now, group.target_changed_at)
            && !ledger.is_fresh(look.world.now, group.meddled_at);
        let wanted = look.world.groups.get(&book.group).and_then(wanted_version);
        let is_current = wanted == Some(machine.version);
        let is_needed = is_current
            && is_settled
            && book.serves
            && machine.group.is_some()
            && !ledger.is_forced(machine, &book.group);
        if is_needed && !(may_shrink(act) && gives_back(look, &book.group, &going)) {
            return Err(format!("{id} of {} goes, it is as wanted and serves", book.group));
        }
    }
    Ok(())
}

/// Whether machines that an act takes away may take their places with them.
fn may_shrink(act: Act<'_>) -> bool {
    match act {
        Act::Cloud(Call::TerminateInstanceInAutoScalingGroup {
            should_decrement_desired_capacity,
            ..
        }) => *should_decrement_desired_capacity,
        act => matches!(act, Act::Kube(_)),
    }
}

/// Whether machines take with them what a surge has added: as much of it as there are no outdated
/// machines left to take it, nor others that do so already.
fn gives_back(look: &Look<'_>, group: &str, going: &BTreeSet<&str>) -> bool {
    let Some(book) = look.ledger.groups.get(group) else { return false };
    let wanted = look.world.groups.get(group).and_then(wanted_version);
    // What a process meant to drain and was killed before is drained by nobody.
    let drained = truth::drained(look.world, &look.ledger.cluster);
    let taking = look.world.members(group).filter(|machine| {
        let id = machine.instance_id.as_str();
        let takes = wanted != Some(machine.version) || drained.contains(id);
        going.contains(id) || (takes && !is_ending(machine.lifecycle))
    });
    count(taking) <= book.raised
}

/// The version that machines of a group should have: its target, unless that was rolled back; then the
/// one that the group is pinned to since.
fn wanted_version(stored: &StoredGroup) -> Option<u64> {
    let tags = &stored.group.tags;
    let (version, revision) = read_target(&tags.get(TARGET_TAG)?.value)?;
    let has_failed = tags.get(FAILED_TAG).is_some_and(|failed| failed.value == revision);
    Some(if has_failed { stored.version } else { version })
}

fn nothing_left(look: &Look<'_>) -> Result<(), String> {
    let (world, ledger) = (look.world, look.ledger);
    for (name, stored) in world.groups.iter().filter(|(name, _)| ledger.groups.contains_key(*name))
    {
        if let Some(tag) = stored.group.tags.get(ROLL_TAG) {
            return Err(format!("{name} is left with the mark {}", tag.value));
        }
        let target = stored.group.tags.get(TARGET_TAG);
        let target = target.and_then(|tag| Some(read_target(&tag.value)?.0));
        let members: Vec<_> = world.members(name).filter(|m| !is_ending(m.lifecycle)).collect();
        let old = members.iter().find(|m| Some(m.version) != target);
        if let Some(machine) = old {
            return Err(format!("{} of {name} is as it was", machine.instance_id));
        }
        if let Some(machine) = members.iter().find(|machine| ledger.is_forced(machine, name)) {
            return Err(format!("{} of {name} is still there", machine.instance_id));
        }
        // One that AWS has launched to balance zones stands beside the one that AWS ends for it.
        let has = count(members.iter().filter(|machine| !machine.balances));
        if has != stored.desired_capacity {
            return Err(format!("{name} has {has} machines, not {}", stored.desired_capacity));
        }
    }
    for id in ledger.machines.keys() {
        let Some(machine) = world.machines.get(id) else { continue };
        if is_ending(machine.lifecycle) {
            continue;
        }
        if machine.group.is_none() {
            return Err(format!("{id} is left outside of its group"));
        }
        if machine.tags.contains_key(DETACHED_TAG) {
            return Err(format!("{id} is left with the mark of a detached machine"));
        }
    }
    clean_nodes(look)
}

fn clean_nodes(look: &Look<'_>) -> Result<(), String> {
    for (id, node) in truth::nodes(look.world, &look.ledger.cluster) {
        let taint = node.taints.iter().find(|taint| taint.key.starts_with("kprod.dev/"));
        let note = node.annotations.keys().find(|key| key.starts_with("kprod.dev/"));
        if let Some(left) = taint.map(|taint| &taint.key).or(note) {
            return Err(format!("{id} is left with {left}"));
        }
        if node.unschedulable && !look.ledger.cordoned_by_others.contains(id) {
            return Err(format!("{id} is left cordoned"));
        }
    }
    Ok(())
}

/// The auto scaling group that a request changes.
fn group_of(act: Act<'_>) -> Option<&str> {
    let Act::Cloud(call) = act else { return None };
    match call {
        Call::UpdateAutoScalingGroup { group, .. } => Some(&group.auto_scaling_group_name),
        Call::CreateOrUpdateTags { auto_scaling_group_name, .. }
        | Call::DeleteGroupTags { auto_scaling_group_name, .. }
        | Call::SuspendProcesses { auto_scaling_group_name, .. }
        | Call::ResumeProcesses { auto_scaling_group_name, .. }
        | Call::SetDesiredCapacity { auto_scaling_group_name, .. }
        | Call::SetGroupMinimum { auto_scaling_group_name, .. }
        | Call::PinLaunchTemplateVersion { auto_scaling_group_name, .. }
        | Call::TerminateInstanceInAutoScalingGroup { auto_scaling_group_name, .. }
        | Call::DetachInstances { auto_scaling_group_name, .. }
        | Call::AttachInstances { auto_scaling_group_name, .. }
        | Call::DeleteAutoScalingGroup { auto_scaling_group_name, .. } => {
            Some(auto_scaling_group_name)
        }
        _ => None,
    }
}

/// The machines that a request names.
fn machines_of(act: Act<'_>) -> BTreeSet<&str> {
    let Act::Cloud(call) = act else { return BTreeSet::new() };
    match call {
        Call::TerminateInstanceInAutoScalingGroup { instance_ids, .. }
        | Call::TerminateInstances { instance_ids }
        | Call::DetachInstances { instance_ids, .. }
        | Call::AttachInstances { instance_ids, .. }
        | Call::RegisterTargets { instance_ids, .. }
        | Call::DeregisterTargets { instance_ids, .. } => {
            instance_ids.iter().map(String::as_str).collect()
        }
        Call::CreateTags { resource_ids, .. } | Call::DeleteTags { resource_ids, .. } => {
            let ids = resource_ids.iter().map(String::as_str);
            ids.filter(|id| id.starts_with("i-")).collect()
        }
        _ => BTreeSet::new(),
    }
}
