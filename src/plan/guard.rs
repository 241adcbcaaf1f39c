//! Guards: what a plan may say but nobody may apply, each with the way out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::compare::Comparison;
use super::template::WantedContent;
use super::{
    Action, Change, FieldChange, FieldClass, ForeignResource, PlanOptions, Refusal, classify,
    describe_foreign,
};
use super::{hold, order, path};
use crate::cloud::{Observation, epoch};
use crate::finding::did_you_mean;
use crate::pki::PUT_KEY_BACK;
use crate::resource::{Attribute, FORMATTED_TAG, Key, Kind, Resource, ResourceSet, etcd_tag};

/// The guard of machines that would end without a drain; a roll is its answer.
pub(super) const MACHINES: &str = "machines";
/// Its way out.
const DRAIN_FIRST: &str =
    "`kprod apply CLUSTER --roll` drains and ends them, then makes the change";

fn refusal(
    guard: &str,
    address: &Key,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Refusal {
    Refusal {
        guard: guard.to_owned(),
        address: Some(address.clone()),
        message: message.into(),
        hint: hint.into(),
    }
}

/// Everything that stands against applying these changes, by address.
pub(super) fn refusals(
    changes: &[Change],
    foreign: &[ForeignResource],
    comparisons: &BTreeMap<Key, Comparison<'_>>,
    desired: &ResourceSet,
    observation: &Observation,
    options: &PlanOptions,
) -> Vec<Refusal> {
    let mut found: Vec<Refusal> = foreign.iter().filter_map(in_the_way).collect();
    for change in changes {
        match lost_authority(change, observation) {
            Some(lost) => found.push(lost),
            None => found.extend(forbidden_fields(change)),
        }
        found.extend(drained_first(change, observation));
        found.extend(lost_epoch(change, observation));
        if !options.destroy {
            found.extend(deletes(change, options));
            found.extend(replaced_in_use(change, desired, observation));
        }
    }
    found.extend(no_program(desired));
    if !options.retry {
        found.extend(failed_revisions(comparisons));
    }
    found.sort_by(|left, right| {
        (&left.address, &left.guard, &left.message).cmp(&(
            &right.address,
            &right.guard,
            &right.message,
        ))
    });
    found
}

fn in_the_way(foreign: &ForeignResource) -> Option<Refusal> {
    foreign.in_the_way.then(|| {
        refusal(
            "foreign",
            &foreign.address,
            format!("exists and is not ours: {}", describe_foreign(&foreign.why)),
            "kprod never changes what it does not own; remove it, or give the cluster or the \
             instance group another name",
        )
    })
}

/// An authority that is gone, or its key, although machines have worked under it: they show what the old
/// one signed, and would refuse what a new one signs.
fn lost_authority(change: &Change, observation: &Observation) -> Option<Refusal> {
    if change.address.kind != Kind::Authority {
        return None;
    }
    let lost = |message, way_out| refusal("lost_authority", &change.address, message, way_out);
    match (change.action, &change.before) {
        (Action::Create, _) if has_formatted_volumes(observation) => Some(lost(
            "it is gone, and the cluster's etcd was made under it; a new one would be refused by \
             all that the old one signed for",
            "put its two parameters back from where they are kept safe",
        )),
        (Action::Update, Some(Resource::Authority(before))) if before.key_spec.is_none() => {
            Some(lost("its key is gone, and it can sign nothing", PUT_KEY_BACK))
        }
        _ => None,
    }
}

/// Whether etcd has ever worked on a volume of ours: one is marked before its machine first formats it.
fn has_formatted_volumes(observation: &Observation) -> bool {
    let mut owned = observation.resources.values().filter(|found| found.ownership.is_owned());
    owned.any(|found| match &found.resource {
        Resource::Volume(volume) => volume.tags.contains_key(FORMATTED_TAG),
        _ => false,
    })
}

/// What to do about an epoch that is lost.
pub const LOST_EPOCH_WAY_OUT: &str = "put the object's last version back; if the etcd cluster is gone \
                                      for good, move its snapshots elsewhere and remove whatever else \
                                      is named here, or take another name for the new cluster";

/// An epoch that is not there although its etcd cluster was: a new one would let its machines form an
/// empty cluster.
fn lost_epoch(change: &Change, observation: &Observation) -> Option<Refusal> {
    let remains = etcd_remains(change, observation);
    (!remains.is_empty()).then(|| {
        refusal(
            "lost_epoch",
            &change.address,
            format!(
                "its object is gone, and the etcd cluster was there: {}; a new epoch would let an \
                 empty cluster form in its place",
                remains.join(", ")
            ),
            LOST_EPOCH_WAY_OUT,
        )
    })
}

/// Members of etcd whose machines would start nothing: no program is pinned.
fn no_program(desired: &ResourceSet) -> Option<Refusal> {
    let is_wanted = |kind: Kind| desired.keys().any(|key| key.kind == kind);
    (is_wanted(Kind::Epoch) && !is_wanted(Kind::Asset)).then(|| Refusal {
        guard: "no_program".to_owned(),
        address: None,
        message: "no program is pinned for the machines that host etcd: they would start nothing"
            .to_owned(),
        hint:
            "`kprod node pin` pins what was built for machines with this kprod, `kprod node pin FILE` \
             another program; keep kprod.lock, which it writes, in Git"
                .to_owned(),
    })
}

/// What tells that the etcd cluster was there whose first epoch a change is to open.
pub fn etcd_remains(change: &Change, observation: &Observation) -> Vec<String> {
    let etcd = epoch::of_key(&change.address, &observation.cluster);
    let Some(etcd) = etcd.filter(|_| change.action == Action::Create) else { return Vec::new() };
    if observation.resources.contains_key(&change.address) {
        return Vec::new();
    }
    let is_formatted = |resource: &Resource| match resource {
        Resource::Volume(volume) => {
            volume.tags.contains_key(&etcd_tag(etcd)) && volume.tags.contains_key(FORMATTED_TAG)
        }
        _ => false,
    };
    let owned = observation.resources.iter().filter(|(_, found)| found.ownership.is_owned());
    let formatted = owned.filter(|(_, found)| is_formatted(&found.resource));
    let remains = observation.etcd_remains.get(&change.address).into_iter().flatten().cloned();
    formatted.map(|(key, _)| format!("{key} is formatted")).chain(remains).collect()
}

fn deletes(change: &Change, options: &PlanOptions) -> Vec<Refusal> {
    let mut found = Vec::new();
    let address = &change.address;
    let verb = match change.action {
        Action::Delete => "deletes",
        Action::Replace => "replaces, hence deletes,",
        Action::Create | Action::Update | Action::NoOp => return found,
    };
    if !options.allow_delete {
        found.push(refusal(
            "delete",
            address,
            format!("this plan {verb} it"),
            "pass --allow-delete when that is what you want",
        ));
    }
    if address.kind.is_data_bearing() && !options.delete_named.contains(address) {
        found.push(refusal(
            "data",
            address,
            format!("this plan {verb} it with the data it holds"),
            format!("name it when that is what you want: --delete {address}"),
        ));
    }
    if change.machine_count > 0 {
        found.push(refusal(
            MACHINES,
            address,
            format!(
                "it has {}; a group is drained before it is deleted",
                machines_text(change.machine_count)
            ),
            DRAIN_FIRST,
        ));
    }
    found
}

fn machines_text(count: usize) -> String {
    if count == 1 { "1 machine".to_owned() } else { format!("{count} machines") }
}

fn forbidden_fields(change: &Change) -> Vec<Refusal> {
    let text = |value: &Option<Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "nothing".to_owned(),
    };
    let what = |field: &FieldChange| match (&field.before, &field.after) {
        (None, Some(Value::Object(_))) => "be added".to_owned(),
        (Some(Value::Object(_)), None) => "be taken away".to_owned(),
        (before, after) => format!("change from {} to {}", text(before), text(after)),
    };
    change
        .fields
        .iter()
        .filter(|field| field.class == FieldClass::Forbidden)
        .map(|field| {
            refusal(
                "forbidden_field",
                &change.address,
                format!("{} cannot {}", field.path, what(field)),
                classify::why(change.address.kind, &field.path),
            )
        })
        .collect()
}

/// A change that AWS would carry out by terminating machines without a drain.
fn drained_first(change: &Change, observation: &Observation) -> Option<Refusal> {
    let fields: Vec<&FieldChange> =
        change.fields.iter().filter(|field| field.class == FieldClass::DrainsFirst).collect();
    let names: Vec<&str> = fields.iter().map(|field| field.path.as_str()).collect();
    let what = match names.as_slice() {
        [] => return None,
        ["suspended_processes"] => "machines run where their group is no more".to_owned(),
        names => format!("{} leaves no room for machines that run", names.join(", ")),
    };
    let way_out = match hold::waits_for(change, observation) {
        Some(way_out) => way_out,
        None => DRAIN_FIRST,
    };
    Some(refusal(MACHINES, &change.address, format!("{what}; they are drained first"), way_out))
}

/// AWS does not delete what is in use, and the new one needs the same name.
fn replaced_in_use(
    change: &Change,
    desired: &ResourceSet,
    observation: &Observation,
) -> Option<Refusal> {
    let key = &change.address;
    if change.action != Action::Replace || !order::USED_BY_ID.contains(&key.kind) {
        return None;
    }
    let observed = observation.resources.get(key)?;
    let ids: BTreeSet<&str> = [Attribute::Id, Attribute::Arn]
        .iter()
        .filter_map(|attribute| observed.attributes.get(attribute))
        .map(String::as_str)
        .collect();
    let mut users: BTreeSet<String> = observation
        .resources
        .iter()
        .filter(|(user, other)| *user != key && !goes_along(key.kind, &other.resource, &ids))
        .filter(|(_, other)| {
            path::strings(&other.resource.to_value()).into_iter().any(|text| ids.contains(text))
        })
        .map(|(user, _)| user.to_string())
        .collect();
    users.extend(running_groups_of(key, desired, observation).iter().map(Key::to_string));
    let users: Vec<String> = users.into_iter().collect();
    (!users.is_empty()).then(|| {
        refusal(
            "in_use",
            key,
            format!("cannot be made again while it is used by {}", users.join(", ")),
            "undo the change; AWS neither deletes what is in use nor takes the same name twice",
        )
    })
}

/// Whether a user of a replaced resource is no obstacle: it goes with its parent, or is content to
/// be pointed elsewhere afterwards. Templates hold nothing; the machines made from them do.
fn goes_along(replaced: Kind, user: &Resource, ids: &BTreeSet<&str>) -> bool {
    match (replaced, user) {
        (Kind::SecurityGroup, Resource::SecurityGroupRules(rules)) => {
            rules.group_id.known().is_some_and(|id| ids.contains(id))
        }
        (_, Resource::LaunchTemplate(_))
        | (Kind::LoadBalancer, Resource::Listener(_) | Resource::DnsName(_))
        | (Kind::TargetGroup, Resource::AutoScalingGroup(_)) => true,
        _ => false,
    }
}

/// Groups with machines whose template refers to a resource: the machines hold on to it.
fn running_groups_of(key: &Key, desired: &ResourceSet, observation: &Observation) -> Vec<Key> {
    let refers = |template: &str| {
        let template = desired.get(&Key::new(Kind::LaunchTemplate, template));
        template.is_some_and(|template| template.references().contains(key))
    };
    observation
        .resources
        .iter()
        .filter(|(_, observed)| {
            observed.group.as_ref().is_some_and(|group| !group.instances.is_empty())
        })
        .filter(|(_, observed)| match &observed.resource {
            Resource::AutoScalingGroup(group) => refers(&group.launch_template_name),
            _ => false,
        })
        .map(|(group, _)| group.clone())
        .collect()
}

/// The revision that an automatic rollback left behind is not rolled again by the next run.
fn failed_revisions(comparisons: &BTreeMap<Key, Comparison<'_>>) -> Vec<Refusal> {
    comparisons
        .iter()
        .filter_map(|(key, comparison)| {
            let observed = comparison.observed.filter(|o| o.ownership.is_owned())?;
            let failed = observed.group.as_ref()?.failed_revision.as_ref()?;
            let Resource::AutoScalingGroup(group) = &comparison.resolved else { return None };
            let template = Key::new(Kind::LaunchTemplate, &group.launch_template_name);
            let Resource::LaunchTemplate(template) = &comparisons.get(&template)?.resolved else {
                return None;
            };
            let wanted = WantedContent::of(&template.launch_template_data).revision?;
            (wanted == *failed).then(|| {
                refusal(
                    Refusal::FAILED_REVISION,
                    key,
                    format!("revision {wanted} was rolled back from here"),
                    "change what it is built from, or pass --retry to try the same again",
                )
            })
        })
        .collect()
}

/// Addresses that `--only` names and neither the spec nor the cloud knows.
pub(super) fn unknown_addresses(
    only: &BTreeSet<Key>,
    desired: &ResourceSet,
    observation: &Observation,
) -> Vec<Refusal> {
    let known: BTreeSet<&Key> = desired.keys().chain(observation.resources.keys()).collect();
    let names: Vec<String> = known.iter().map(|key| key.to_string()).collect();
    only.iter()
        .filter(|key| !known.contains(key))
        .map(|key| {
            let near = did_you_mean(&key.to_string(), names.iter().map(String::as_str));
            let hint = near.map_or_else(
                || "run plan without --only to see every address".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            refusal("address", key, "neither the spec nor the cloud has such a resource", hint)
        })
        .collect()
}

/// Changes that would wait for each other.
pub(super) fn cycle(keys: &BTreeSet<Key>) -> Option<Refusal> {
    let first = keys.first()?;
    let names: Vec<String> = keys.iter().map(Key::to_string).collect();
    Some(refusal(
        "cycle",
        first,
        format!("changes wait for each other around {}", names.join(", ")),
        "break the circle of references between these resources",
    ))
}
