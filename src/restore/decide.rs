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
    let made: BTreeSet<_> = sight.volumes.values().collect();
    let missing = sight.wanted.iter().filter(|key| !made.contains(key));
    let missing: BTreeSet<_> = missing.cloned().collect();
    if !missing.is_empty() {
        return Ok(Step::MakeVolumes { volumes: missing });
    }
    let Some(noted) = &journal.machines else {
        let hosts = sight.hosts.keys().filter_map(|group| sight.machines.get(group));
        return Ok(Step::NoteMachines { machines: hosts.flatten().cloned().collect() });
    };
    let leaving = there(sight, noted);
    if !leaving.is_empty() {
        return Ok(Step::EndMachines { machines: leaving });
    }
    let members = waiting(journal, sight);
    if members.is_empty() {
        return Ok(Step::Finish);
    }
    let machines = machines_of(sight, &members);
    let stuck = there(sight, &machines.intersection(&journal.stuck).cloned().collect());
    match stuck.is_empty() {
        false => Ok(Step::EndMachines { machines: stuck }),
        true => Ok(Step::Wait { members, machines }),
    }
}

/// Those of some machines that are there, of groups that host members.
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
fn waiting(journal: &Journal, sight: &Sight) -> BTreeSet<(String, String)> {
    let is_formed = |etcd: &String| {
        let epoch = sight.epochs.get(etcd);
        epoch.is_some_and(|epoch| matches!(epoch.phase, Phase::Closed { .. }))
    };
    let members = sight.hosts.values().flatten();
    members
        .filter(|(etcd, _)| journal.targets.contains_key(etcd))
        .filter(|member| !is_formed(&member.0) || !sight.well.contains(*member))
        .cloned()
        .collect()
}

/// The machines of the groups that host members who are waited for.
fn machines_of(sight: &Sight, waiting: &BTreeSet<(String, String)>) -> BTreeSet<String> {
    let groups = sight.hosts.iter().filter(|(_, members)| !members.is_disjoint(waiting));
    groups.filter_map(|(group, _)| sight.machines.get(group)).flatten().cloned().collect()
}
