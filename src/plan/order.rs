//! The order of changes: what comes first, and why nothing can wait for itself.
//!
//! A change comes after the changes of what it refers to. A delete comes after everything that used
//! the resource has gone or let go of it. Ties are broken by address.

use std::collections::{BTreeMap, BTreeSet};

use super::path;
use super::{Action, Change};
use crate::cloud::{Observation, asset};
use crate::resource::{Attribute, Key, Kind, Resource, ResourceSet};

/// Kinds that a machine may hold on to in ways that no field tells (an interface's groups, an
/// attachment): they go after every group that goes.
const HELD_BY_MACHINES: [Kind; 9] = [
    Kind::SecurityGroup,
    Kind::Role,
    Kind::InstanceProfile,
    Kind::TargetGroup,
    Kind::Volume,
    Kind::NetworkInterface,
    Kind::Authority,
    Kind::Epoch,
    Kind::Asset,
];

/// Keys that a resource names without a reference.
pub(super) fn named(resource: &Resource) -> BTreeSet<Key> {
    match resource {
        Resource::AutoScalingGroup(group) => {
            BTreeSet::from([Key::new(Kind::LaunchTemplate, &group.launch_template_name)])
        }
        Resource::LaunchTemplate(template) => template
            .launch_template_data
            .iam_instance_profile_name
            .iter()
            .map(|name| Key::new(Kind::InstanceProfile, name))
            .chain(asset::named(template))
            .collect(),
        Resource::InstanceProfile(profile) => {
            profile.roles.iter().map(|role| Key::new(Kind::Role, role)).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// Kinds that others refer to by id, ARN or DNS name. The rest is named: their ids may be names, and
/// a name is no proof that one resource uses another.
pub(super) const USED_BY_ID: [Kind; 6] = [
    Kind::SecurityGroup,
    Kind::LoadBalancer,
    Kind::TargetGroup,
    Kind::HostedZone,
    Kind::Volume,
    Kind::NetworkInterface,
];

/// The observed resources by what AWS calls them.
fn keys_by_id(observation: &Observation) -> BTreeMap<&str, &Key> {
    let mut index = BTreeMap::new();
    for (key, observed) in &observation.resources {
        if USED_BY_ID.contains(&key.kind) {
            for attribute in [Attribute::Id, Attribute::Arn, Attribute::DnsName] {
                if let Some(value) = observed.attributes.get(&attribute) {
                    index.insert(value.as_str(), key);
                }
            }
        }
    }
    index
}

/// Writes each change's `depends_on`: what it cannot be made without, and for a delete what has to
/// let go first.
pub(super) fn link(changes: &mut [Change], desired: &ResourceSet, observation: &Observation) {
    let by_key: BTreeMap<Key, &Change> =
        changes.iter().map(|change| (change.address.clone(), change)).collect();
    let mut edges = edges(&by_key, desired, observation);
    for (name, first) in switches(&by_key, desired) {
        edges.entry(name).or_default().insert(first);
    }
    for change in changes {
        change.depends_on = edges.remove(&change.address).unwrap_or_default();
    }
}

/// A name that moves to a new load balancer moves when that one has somebody to send clients to: its
/// listeners are made, and the groups that are there have joined their target groups.
fn switches(changes: &BTreeMap<Key, &Change>, desired: &ResourceSet) -> Vec<(Key, Key)> {
    let refers = |key: &Key, to: &Key| {
        desired.get(key).is_some_and(|resource| resource.references().contains(to))
    };
    let of_kind = |kind: Kind, action: fn(Action) -> bool| {
        changes
            .iter()
            .filter(move |(key, change)| key.kind == kind && action(change.action))
            .map(|(key, _)| key)
    };
    let mut switches = Vec::new();
    for balancer in of_kind(Kind::LoadBalancer, |a| matches!(a, Action::Create | Action::Replace)) {
        let listeners: Vec<&Key> = of_kind(Kind::Listener, |action| action != Action::Delete)
            .filter(|listener| refers(listener, balancer))
            .collect();
        let serves = |group: &Key| {
            listeners.iter().filter_map(|listener| desired.get(listener)).any(|listener| {
                listener
                    .references()
                    .iter()
                    .any(|target| target.kind == Kind::TargetGroup && refers(group, target))
            })
        };
        let groups: Vec<&Key> = of_kind(Kind::AutoScalingGroup, |action| action == Action::Update)
            .filter(|group| serves(group))
            .collect();
        for name in of_kind(Kind::DnsName, |action| action == Action::Update) {
            if refers(name, balancer) {
                let first = listeners.iter().chain(&groups);
                switches.extend(first.map(|key| (name.clone(), (*key).clone())));
            }
        }
    }
    switches
}

/// Puts new groups last: a group launches its machines at once, and they look for rules, volumes,
/// names and policies that no field of the group tells.
pub(super) fn put_new_groups_last(changes: &mut [Change]) {
    let is_group = |change: &Change| change.address.kind == Kind::AutoScalingGroup;
    let first: BTreeSet<Key> = changes
        .iter()
        .filter(|change| change.action != Action::Delete && !is_group(change))
        .filter(|change| change.address.kind != Kind::LaunchTemplate)
        .map(|change| change.address.clone())
        .collect();
    for change in changes {
        if is_group(change) && change.action == Action::Create {
            change.depends_on.extend(first.iter().cloned());
        }
    }
}

/// Sorts the changes so that each comes after those it depends on.
///
/// Gives the keys of changes that would wait for each other; their edges are dropped so that the
/// plan can still be read.
pub(super) fn order(changes: Vec<Change>) -> (Vec<Change>, BTreeSet<Key>) {
    sort(changes.into_iter().map(|change| (change.address.clone(), change)).collect())
}

fn edges(
    changes: &BTreeMap<Key, &Change>,
    desired: &ResourceSet,
    observation: &Observation,
) -> BTreeMap<Key, BTreeSet<Key>> {
    let ids = keys_by_id(observation);
    let is_delete = |key: &Key| changes.get(key).is_some_and(|c| c.action == Action::Delete);
    let mut edges: BTreeMap<Key, BTreeSet<Key>> = BTreeMap::new();
    for (key, change) in changes {
        let entry = edges.entry(key.clone()).or_default();
        if let Some(wanted) = desired.get(key).filter(|_| change.action != Action::Delete) {
            let needs = wanted.references().into_iter().chain(named(wanted));
            entry.extend(
                needs.filter(|need| need != key && changes.contains_key(need) && !is_delete(need)),
            );
        }
        for used in change.before.iter().flat_map(|before| used_by(before, &ids)) {
            if used != *key && is_delete(&used) {
                edges.entry(used).or_default().insert(key.clone());
            }
        }
    }
    let groups: BTreeSet<Key> = changes
        .keys()
        .filter(|key| key.kind == Kind::AutoScalingGroup && is_delete(key))
        .cloned()
        .collect();
    for (key, needs) in &mut edges {
        if is_delete(key) && HELD_BY_MACHINES.contains(&key.kind) {
            needs.extend(groups.iter().cloned());
        }
    }
    edges
}

/// The keys of what an observed resource uses: by id, and by name.
fn used_by(before: &Resource, ids: &BTreeMap<&str, &Key>) -> BTreeSet<Key> {
    let value = before.to_value();
    let by_id = path::strings(&value).into_iter().filter_map(|text| ids.get(text));
    by_id.map(|key| (*key).clone()).chain(named(before)).collect()
}

/// Sorts by level, the longest way to a change from one that waits for nothing, so that changes
/// which may be made together stand together. Nothing waits for a delete but deletes, so these
/// come last.
fn sort(mut pending: BTreeMap<Key, Change>) -> (Vec<Change>, BTreeSet<Key>) {
    let mut levels: BTreeMap<Key, usize> = BTreeMap::new();
    let mut in_cycle = BTreeSet::new();
    let mut placed: Vec<(bool, usize, Change)> = Vec::new();
    for level in 0..=pending.len() {
        let is_ready = |change: &Change| change.depends_on.iter().all(|n| levels.contains_key(n));
        let mut ready: Vec<Key> =
            pending.values().filter(|c| is_ready(c)).map(|c| c.address.clone()).collect();
        if ready.is_empty()
            && let Some(change) = pending.values_mut().next()
        {
            // Only a circle leaves nothing ready: take the first change out of it.
            change.depends_on.retain(|need| levels.contains_key(need));
            in_cycle.insert(change.address.clone());
            ready.push(change.address.clone());
        }
        for key in ready {
            if let Some(change) = pending.remove(&key) {
                placed.push((change.action == Action::Delete, level, change));
            }
            levels.insert(key, level);
        }
    }
    placed.sort_by(|(is_delete, level, change), (other_is_delete, other_level, other)| {
        (is_delete, level, &change.address).cmp(&(other_is_delete, other_level, &other.address))
    });
    (placed.into_iter().map(|(_, _, change)| change).collect(), in_cycle)
}
