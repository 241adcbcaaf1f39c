//! Changes that wait until machines were drained: what is made before a rolling update, and what
//! after it.
//!
//! AWS would carry such a change out by ending machines at once. A roll retires them first; then the
//! same change drains nobody, and the next plan has it without a refusal. A zone is left before, since a
//! group puts new machines where it has fewest, which is where they are retired; what keeps AWS from
//! ending those that are there still is that it does not balance zones until they are gone.

use std::collections::{BTreeMap, BTreeSet};

use super::classify::BALANCE;
use super::guard::MACHINES;
use super::rollout::{runs_outside, zones};
use super::unfinished::suspended_by_roll;
use super::{Action, Change, FieldClass, Plan};
use crate::cloud::Observation;
use crate::resource::{AutoScalingGroup, Key, Kind, Resource};

/// A plan in two parts, with a roll between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// What is made first; no change of it drains a machine.
    pub now: Plan,
    /// What is held back, as the whole plan has it.
    pub later: Vec<Change>,
    /// Groups whose machines, or some of them, go in between; by group's name.
    pub leaving: BTreeMap<String, Leaving>,
}

/// Which machines of a group go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// All: the group is removed.
    All,
    /// Those above this number: the maximum is lowered.
    Above(i32),
    /// Those in other zones than these: the group leaves a zone.
    OutOf(BTreeSet<String>),
}

/// Takes a plan apart. Of a group that changes in other ways too, those are made at once.
pub fn hold(plan: &Plan, observation: &Observation) -> Held {
    let leaving: BTreeMap<&Key, Leaving> = plan
        .changes
        .iter()
        .filter_map(|change| Some((&change.address, leaving(change, observation)?)))
        .collect();
    let whole = held_whole(plan, &leaving);
    let mut now = plan.clone();
    now.changes = plan
        .changes
        .iter()
        .filter(|change| !whole.contains(&change.address))
        .filter_map(|change| match leaving.contains_key(&change.address) {
            true => without_drains(change),
            false => Some(change.clone()),
        })
        .collect();
    now.refusals.retain(|refusal| {
        let is_answered = refusal.address.as_ref().is_some_and(|key| leaving.contains_key(key));
        !(refusal.guard == MACHINES && is_answered)
    });
    let waits =
        |change: &&Change| whole.contains(&change.address) || leaving.contains_key(&change.address);
    Held {
        later: plan.changes.iter().filter(waits).cloned().collect(),
        leaving: leaving.into_iter().map(|(key, leaving)| (key.name.clone(), leaving)).collect(),
        now,
    }
}

/// Which machines a change of a group would end.
fn leaving(change: &Change, observation: &Observation) -> Option<Leaving> {
    if change.address.kind != Kind::AutoScalingGroup {
        return None;
    }
    if change.action == Action::Delete {
        return (change.machine_count > 0).then_some(Leaving::All);
    }
    let drains = |name: &str| {
        let mut fields = change.fields.iter().filter(|f| f.class == FieldClass::DrainsFirst);
        fields.any(|field| top_level(&field.path) == name)
    };
    let Some(Resource::AutoScalingGroup(after)) = &change.after else { return None };
    // A group that both leaves a zone and gets smaller does so one after the other.
    if PLACES.into_iter().any(drains) || drains("suspended_processes") {
        let may_leave = waits_for(change, observation).is_none();
        return may_leave.then(|| Leaving::OutOf(zones(after, observation)));
    }
    drains("max_size").then_some(Leaving::Above(after.max_size))
}

/// What comes before a group can leave a place by a roll, if anything.
pub(super) fn waits_for(change: &Change, observation: &Observation) -> Option<&'static str> {
    let mut drained = change.fields.iter().filter(|f| f.class == FieldClass::DrainsFirst);
    if !drained.any(|field| PLACES.contains(&top_level(&field.path))) {
        return None;
    }
    if keeps_zone(change, observation) {
        return Some(
            "which machines are in a subnet of a zone that stays, nobody knows; make a group of \
             another name without it, then remove this one",
        );
    }
    // It balances zones again when it ends.
    let observed = observation.resources.get(&change.address)?;
    suspended_by_roll(observed)
        .contains(BALANCE)
        .then_some("an unfinished roll comes first: `kprod rolling-update CLUSTER --yes`")
}

/// Fields that say where a group's machines are.
const PLACES: [&str; 2] = ["vpc_zone_identifier", "availability_zones"];

/// Whether a group leaves a subnet of a zone that it stays in: which of its machines are there, no listing
/// of groups tells.
fn keeps_zone(change: &Change, observation: &Observation) -> bool {
    let (Some(Resource::AutoScalingGroup(before)), Some(Resource::AutoScalingGroup(after))) =
        (&change.before, &change.after)
    else {
        return false;
    };
    let stays = zones(after, observation);
    let observed = observation.resources.get(&change.address);
    let has_others = observed.is_some_and(|observed| runs_outside(&stays, observed));
    let mut left = before.vpc_zone_identifier.difference(&after.vpc_zone_identifier);
    left.any(|id| match observation.facts.subnets.get(id) {
        Some(subnet) => stays.contains(&subnet.zone),
        None => !has_others,
    })
}

/// Groups that go with their machines, and all changes that come after theirs.
fn held_whole(plan: &Plan, leaving: &BTreeMap<&Key, Leaving>) -> BTreeSet<Key> {
    let mut held: BTreeSet<Key> = leaving
        .iter()
        .filter(|(_, leaving)| **leaving == Leaving::All)
        .map(|(key, _)| (*key).clone())
        .collect();
    // Changes stand in an order that respects what they depend on.
    for change in &plan.changes {
        if !change.depends_on.is_disjoint(&held) {
            held.insert(change.address.clone());
        }
    }
    held
}

/// The part of a change that drains nobody; none when nothing is left of it.
fn without_drains(change: &Change) -> Option<Change> {
    let (Some(Resource::AutoScalingGroup(before)), Some(Resource::AutoScalingGroup(after))) =
        (&change.before, &change.after)
    else {
        return None;
    };
    let mut part = AutoScalingGroup { ..after.clone() };
    let mut held = BTreeSet::new();
    let mut fields = change.fields.clone();
    for field in fields.iter_mut().filter(|field| field.class == FieldClass::DrainsFirst) {
        match top_level(&field.path) {
            "max_size" => part.max_size = before.max_size,
            "suspended_processes" => {
                part.suspended_processes.clone_from(&before.suspended_processes);
            }
            place if PLACES.contains(&place) => {
                part.suspended_processes.insert(BALANCE.to_owned());
                field.class = FieldClass::InPlace;
                continue;
            }
            _ => return None,
        }
        held.insert(top_level(&field.path).to_owned());
    }
    fields.retain(|field| !held.contains(top_level(&field.path)));
    let after = Resource::AutoScalingGroup(part);
    let digest = Some(after.digest());
    (!fields.is_empty()).then(|| Change { after: Some(after), fields, digest, ..change.clone() })
}

/// The field at the top of a path.
fn top_level(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}
