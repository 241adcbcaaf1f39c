//! The gate in front of each change: does the world still look as the plan assumed?
//!
//! Three answers besides "yes": it is as wanted already (success), it moved only towards the plan
//! (an earlier run was killed half-way: go on), or it moved elsewhere (stale: stop, and say what).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::cloud::{Foreignness, Observation, Observed, Ownership};
use crate::plan::{Action, Change, precondition_holds};
use crate::resource::{Attribute, Kind, Resource};

/// What the gate says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Gate {
    /// Make the change.
    Open,
    /// The world is not what the plan saw.
    Moved(Vec<String>),
    /// Somebody else's resource stands there.
    Foreign(Foreignness),
}

/// Asks the gate. `after` is what is wanted, references resolved as far as known; `is_expected` says
/// that this run made the parent, so that the resource's being there is no surprise.
pub(super) fn ask(
    change: &Change,
    observed: Option<&Observed>,
    after: Option<&Resource>,
    is_expected: bool,
) -> Gate {
    if let Some(Observed { ownership: Ownership::Foreign(why), .. }) = observed {
        return Gate::Foreign(why.clone());
    }
    if precondition_holds(change, observed) || is_expected {
        return Gate::Open;
    }
    match (&change.before, observed) {
        // Ours, and the plan did not see it yet: an earlier run made it, and reads lag. It is
        // adopted, and brought to what is wanted.
        (None, Some(_)) | (None, None) => Gate::Open,
        (Some(_), None) => match change.action {
            Action::Delete | Action::Replace => Gate::Open,
            Action::Create | Action::Update | Action::NoOp => {
                Gate::Moved(vec!["it was there, and is gone".to_owned()])
            }
        },
        (Some(before), Some(now)) => {
            let mut moves = strange_moves(change, before, now, after);
            if change.action == Action::Delete {
                // AWS sets the sizes of a group that is being deleted to zero.
                moves.retain(|line| !is_shrinking(line));
            }
            if moves.is_empty() { Gate::Open } else { Gate::Moved(moves) }
        }
    }
}

/// Names of others in a zone that is to go: Route53 deletes no zone that holds any.
pub(super) fn names_of_others(change: &Change, observation: &Observation) -> Vec<String> {
    let zone = observation.resources.get(&change.address);
    let (Action::Delete, Some(zone)) = (change.action, zone) else { return Vec::new() };
    if change.address.kind != Kind::HostedZone {
        return Vec::new();
    }
    let id = zone.attributes.get(&Attribute::Id).map(String::as_str);
    observation
        .resources
        .iter()
        .filter(|(_, found)| !found.ownership.is_owned())
        .filter_map(|(key, found)| match &found.resource {
            Resource::DnsName(name) if name.hosted_zone_id.known() == id => Some(key.to_string()),
            _ => None,
        })
        .collect()
}

fn is_shrinking(line: &str) -> bool {
    let is_size = line.starts_with("min_size: ") || line.starts_with("max_size: ");
    is_size && line.ends_with(", 0 now")
}

/// Fields that are neither as the plan saw them nor as it wants them. What the plan did not read is
/// left out: a run looks deeper than an unchanged plan needs to.
fn strange_moves(
    change: &Change,
    before_resource: &Resource,
    now_observed: &Observed,
    after_resource: Option<&Resource>,
) -> Vec<String> {
    let unread = change.unread.union(&now_observed.unread).cloned().collect();
    let before = fields(before_resource, &unread);
    let after = after_resource.map(|after| fields(after, &unread)).unwrap_or_default();
    let now = fields(&with_shared_rules(before_resource, now_observed), &unread);
    let paths = before.keys().chain(now.keys());
    let mut moves: Vec<String> = paths
        .filter(|path| {
            let (was, is) = (before.get(*path), now.get(*path));
            is != was && is != after.get(*path)
        })
        .map(|path| {
            let (was, is) = (before.get(path), now.get(path));
            format!("{path}: {} when planned, {} now", text(was), text(is))
        })
        .collect();
    moves.extend(strange_content(before_resource, now_observed, after_resource));
    moves.sort();
    moves.dedup();
    moves
}

/// A template whose tag names a content that is neither the planned nor the wanted one.
fn strange_content(before: &Resource, now: &Observed, after: Option<&Resource>) -> Option<String> {
    let (version, _, content) = now.template.as_ref()?.wanted.as_ref()?;
    let known = [Some(before), after].into_iter().flatten();
    let is_known = known.into_iter().any(|resource| match resource {
        Resource::LaunchTemplate(t) => t.launch_template_data.content_digest() == *content,
        _ => false,
    });
    (!is_known).then(|| format!("version {version} has a content that the plan did not see"))
}

/// What is there, with the rules of others that the plan counted as there.
fn with_shared_rules(before: &Resource, now: &Observed) -> Resource {
    match (before, &now.resource) {
        (Resource::SecurityGroupRules(before), Resource::SecurityGroupRules(rules)) => {
            let mut rules = rules.clone();
            rules.rules.extend(now.foreign_rules.intersection(&before.rules).cloned());
            Resource::SecurityGroupRules(rules)
        }
        _ => now.resource.clone(),
    }
}

fn text(value: Option<&Value>) -> String {
    value.map_or_else(|| "absent".to_owned(), Value::to_string)
}

/// A resource's leaves by path. Items of a list of scalars or objects are leaves by their own text:
/// kprod's lists are mostly sets, and a set that is half-way between two states has items of both.
fn fields(resource: &Resource, unread: &BTreeSet<String>) -> BTreeMap<String, Value> {
    let mut value = resource.to_value();
    if let Some(object) = value.as_object_mut() {
        for field in unread {
            object.remove(field);
        }
        // Versions are immutable; which one counts is told by the tag: `strange_content`.
        object.remove("launch_template_data");
    }
    let mut leaves = BTreeMap::new();
    flatten("", &value, &mut leaves);
    leaves.retain(|path, _| !path.starts_with("tags[\"kprod.dev/"));
    leaves
}

fn flatten(path: &str, value: &Value, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) => {
            for (key, item) in map {
                let below = match path {
                    "" => key.clone(),
                    "tags" => format!("{path}[\"{key}\"]"),
                    _ => format!("{path}.{key}"),
                };
                flatten(&below, item, leaves);
            }
        }
        Value::Array(items) => {
            for item in items {
                leaves.insert(format!("{path}[{item}]"), Value::Bool(true));
            }
        }
        scalar => {
            leaves.insert(path.to_owned(), scalar.clone());
        }
    }
}
