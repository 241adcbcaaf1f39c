//! The decision.

use std::collections::{BTreeMap, BTreeSet};

use super::{Journal, RestoreError, Sight, Step};
use crate::etcd::Phase;

/// What a restore does next, by what is there. Total and pure; each step is left out once what it
/// leads to is there.
///
/// # Errors
/// When an epoch is neither the one before nor the one that this restore begins.
pub fn decide(journal: &Journal, sight: &Sight) -> Result<Step, RestoreError> {
    if let Some(etcd) = unfenced(journal, sight)? {
        return Ok(Step::Fence { etcd });
    }
    let is_old = |(id, _): &(&String, _)| journal.old_volumes.contains(*id);
    let old: BTreeMap<_, _> = sight.volumes.iter().filter(is_old).collect();
    if !old.is_empty() {
        let volumes = old.into_iter().map(|(id, key)| (id.clone(), key.clone())).collect();
        return Ok(Step::SetAside { volumes });
    }
    let Some(noted) = &journal.machines else {
        return Ok(Step::NoteMachines { machines: all_hosts(sight) });
    };
    let leaving = there(sight, noted);
    if !leaving.is_empty() {
        return Ok(Step::EndMachines { machines: leaving });
    }
    let ending: BTreeSet<_> =
        sight.ending.values().flatten().filter(|id| noted.contains(*id)).cloned().collect();
    if !ending.is_empty() {
        return Ok(Step::AwaitEnd { machines: ending });
    }
    let made: BTreeSet<_> = sight.volumes.values().collect();
    let missing = sight.wanted.iter().filter(|key| !made.contains(key));
    let missing: BTreeSet<_> = missing.cloned().collect();
    if !missing.is_empty() {
        return Ok(Step::MakeVolumes { volumes: missing });
    }
    let members = waiting(journal, sight);
    if members.is_empty() {
        return Ok(Step::Finish);
    }
    let machines = machines_of(sight, &members);
    let stuck = there(sight, &machines.intersection(&journal.stuck).cloned().collect());
    match sight.gives_up && !stuck.is_empty() {
        true => Ok(Step::EndMachines { machines: stuck }),
        false => Ok(Step::Wait { members, machines }),
    }
}

/// The machines of all groups that host members, those that end already among them.
fn all_hosts(sight: &Sight) -> BTreeSet<String> {
    let of_group = |group| [&sight.machines, &sight.ending].map(|machines| machines.get(group));
    sight.hosts.keys().flat_map(of_group).flatten().flatten().cloned().collect()
}

/// Those of some machines that are there and stay, of groups that host members.
fn there(sight: &Sight, machines: &BTreeSet<String>) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for (group, known) in &sight.machines {
        let ours: BTreeSet<String> = known.intersection(machines).cloned().collect();
        if sight.hosts.contains_key(group) && !ours.is_empty() {
            found.insert(group.clone(), ours);
        }
    }
    found
}

/// The first etcd cluster whose epoch has not been followed yet.
fn unfenced(journal: &Journal, sight: &Sight) -> Result<Option<String>, RestoreError> {
    let mut first = None;
    for (etcd, target) in &journal.targets {
        let missing = || RestoreError::NoEpoch { etcd: etcd.clone() };
        let epoch = sight.epochs.get(etcd).ok_or_else(missing)?;
        if target.is_begun_by(epoch) {
            continue;
        }
        if epoch.number.saturating_add(1) != target.number {
            let (found, wanted) = (epoch.number, target.number);
            return Err(RestoreError::Overtaken { etcd: etcd.clone(), found, wanted });
        }
        let _ = first.get_or_insert_with(|| etcd.clone());
    }
    Ok(first)
}

/// The members that are not healthy voters of the new epoch yet. While that is open, nobody is: what
/// members say then is of the epoch before.
pub(super) fn waiting(journal: &Journal, sight: &Sight) -> BTreeSet<(String, String)> {
    let is_formed = |etcd: &String| {
        let epoch = sight.epochs.get(etcd);
        epoch.is_some_and(|epoch| matches!(epoch.phase, Phase::Closed { .. }))
    };
    let members =
        sight.hosts.iter().flat_map(|(group, members)| members.iter().map(move |m| (group, m)));
    members
        .filter(|(_, (etcd, _))| journal.targets.contains_key(etcd))
        .filter(|(group, member)| !is_formed(&member.0) || !is_well(journal, sight, group, member))
        .map(|(_, member)| member.clone())
        .collect()
}

/// Whether a member is well on a machine that stays: what one says that ends will not be true for long,
/// nor what another machine says than its group's.
fn is_well(journal: &Journal, sight: &Sight, group: &str, member: &(String, String)) -> bool {
    let Some(machine) = sight.well.get(member) else { return false };
    let has_to_go = journal.machines.as_ref().is_some_and(|noted| noted.contains(machine));
    let stays = sight.machines.get(group).is_some_and(|machines| machines.contains(machine));
    stays && !has_to_go
}

/// The machines of the groups that host members who are waited for.
fn machines_of(sight: &Sight, waiting: &BTreeSet<(String, String)>) -> BTreeSet<String> {
    let groups = sight.hosts.iter().filter(|(_, members)| !members.is_disjoint(waiting));
    groups.filter_map(|(group, _)| sight.machines.get(group)).flatten().cloned().collect()
}
