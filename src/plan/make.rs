//! From wanted and observed to a plan: compare, change, order, guard.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::{self, Comparison};
use super::precondition::precondition;
use super::select::Selection;
use super::{Action, Change, ForeignResource, ForeignRules, Plan, Reason};
use super::{guard, order, path, rollout, standing, unfinished};
use crate::cloud::{Foreignness, Observation, Observed, Ownership};
use crate::finding::{Finding, Severity, did_you_mean};
use crate::resource::{Key, Ref, Resource, ResourceSet, Rule};

/// What the user allows and asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// Whether resources may be deleted, and replaced ones deleted first.
    pub allow_delete: bool,
    /// Data-bearing resources that may be deleted, one by one; `allow_delete` is needed as well.
    pub delete_named: BTreeSet<Key>,
    /// Whether everything owned goes, data included; what is wanted does not count.
    pub destroy: bool,
    /// Plan these addresses and the changes that have to come first; all when empty.
    pub only: BTreeSet<Key>,
    /// Whether a revision that was rolled back may be tried again.
    pub retry: bool,
}

/// The plan that takes the observed world to the wanted one. Pure: the same arguments give the same
/// plan. Read the versions of [`super::versions_to_read`] into the observation first.
pub fn make(desired: &ResourceSet, observation: &Observation, options: &PlanOptions) -> Plan {
    let nothing = ResourceSet::new();
    let desired = if options.destroy { &nothing } else { desired };
    let comparisons = compare::compare_all(desired, observation);
    let foreign = foreign(desired, observation);
    let mut changes = wanted_changes(&comparisons);
    changes.extend(deletes(desired, observation, options.destroy));
    order::link(&mut changes, desired, observation);
    let mut rollout = rollout::pending(&comparisons, observation);
    let selected = Selection::of(&options.only, &changes, desired);
    selected.keep(&mut changes, &mut rollout);
    order::put_new_groups_last(&mut changes);
    let (changes, in_cycle) = order::order(changes);
    let mut refusals =
        guard::refusals(&changes, &foreign, &comparisons, desired, observation, options);
    refusals.retain(|refusal| refusal.address.as_ref().is_none_or(|key| selected.reads(key)));
    refusals.extend(guard::unknown_addresses(&options.only, desired, observation));
    refusals.extend(guard::cycle(&in_cycle));
    let mut findings = foreign_tags(&comparisons);
    findings.extend(standing::findings(observation));
    findings.extend(unfinished::findings(&comparisons, &observation.cluster));
    findings.extend(rollout::stale_pins(&comparisons, observation, &rollout));
    findings.extend(idle_deletes(&options.delete_named, &changes));
    Plan {
        cluster: observation.cluster.clone(),
        cloud: observation.cloud.clone(),
        account: observation.facts.account.clone(),
        region: observation.facts.region.clone(),
        observed_at: observation.taken_at.clone(),
        only: options.only.clone(),
        unchanged_count: unchanged_count(&comparisons),
        changes,
        foreign,
        foreign_rules: foreign_rules(observation, &comparisons),
        rollout,
        refusals,
        findings,
    }
}

fn unchanged_count(comparisons: &BTreeMap<Key, Comparison<'_>>) -> usize {
    let is_ours = |c: &&Comparison<'_>| c.observed.is_some_and(|o| o.ownership.is_owned());
    comparisons.values().filter(|c| c.action == Action::NoOp).filter(is_ours).count()
}

/// A change for each wanted resource that is not as wanted and may be touched.
fn wanted_changes(comparisons: &BTreeMap<Key, Comparison<'_>>) -> Vec<Change> {
    let touched: BTreeMap<&Key, &Comparison<'_>> = comparisons
        .iter()
        .filter(|(_, comparison)| comparison.action != Action::NoOp)
        .filter(|(_, comparison)| may_touch(comparison, comparisons))
        .collect();
    let changing: BTreeSet<Key> = touched.keys().map(|key| (*key).clone()).collect();
    touched.into_iter().map(|(key, c)| change(key, c, &changing)).collect()
}

/// Foreign resources are never changed, nor is anything that lives inside one.
fn may_touch(comparison: &Comparison<'_>, all: &BTreeMap<Key, Comparison<'_>>) -> bool {
    let is_foreign = |observed: &Observed| !observed.ownership.is_owned();
    if comparison.observed.is_some_and(is_foreign) {
        return false;
    }
    let parent = match comparison.symbolic {
        Resource::SecurityGroupRules(rules) => Some(&rules.group_id),
        Resource::Listener(listener) => Some(&listener.load_balancer_arn),
        _ => None,
    };
    match parent {
        Some(Ref::Of(key, _)) => {
            !all.get(key).and_then(|parent| parent.observed).is_some_and(is_foreign)
        }
        Some(Ref::Known(_)) | None => true,
    }
}

fn change(key: &Key, comparison: &Comparison<'_>, changing: &BTreeSet<Key>) -> Change {
    let after = comparison.resolved.to_value();
    let unknown = path::leaves(&after)
        .into_iter()
        .filter(|(_, value)| !path::promises(value).is_empty())
        .map(|(path, _)| path.text)
        .collect();
    Change {
        address: key.clone(),
        action: comparison.action,
        reason: compare::reason(comparison, changing),
        before: comparison.before.clone(),
        after: Some(comparison.resolved.clone()),
        fields: comparison.fields.clone(),
        unknown,
        depends_on: BTreeSet::new(),
        unread: comparison.observed.map(|found| found.unread.clone()).unwrap_or_default(),
        precondition: precondition(comparison.observed),
        digest: Some(comparison.symbolic.digest()),
        existing_version: comparison.existing_version,
        machine_count: comparison.observed.map_or(0, machine_count),
    }
}

/// A delete for each owned resource that nobody wants.
fn deletes(desired: &ResourceSet, observation: &Observation, destroy: bool) -> Vec<Change> {
    observation
        .resources
        .iter()
        .filter(|(key, observed)| observed.ownership.is_owned() && !desired.contains_key(key))
        .filter(|(key, _)| destroy || !key.kind.is_kept())
        .filter(|(_, observed)| !is_empty_rule_set(&observed.resource))
        .map(|(key, observed)| Change {
            address: key.clone(),
            action: Action::Delete,
            reason: if destroy { Reason::Destroy } else { Reason::NotWanted },
            before: Some(observed.resource.clone()),
            after: None,
            fields: Vec::new(),
            unknown: BTreeSet::new(),
            depends_on: BTreeSet::new(),
            unread: observed.unread.clone(),
            precondition: precondition(Some(observed)),
            digest: None,
            existing_version: None,
            machine_count: machine_count(observed),
        })
        .collect()
}

fn machine_count(observed: &Observed) -> usize {
    observed.group.as_ref().map_or(0, |group| group.instances.len())
}

/// A group without rules of ours has nothing to delete.
fn is_empty_rule_set(resource: &Resource) -> bool {
    matches!(resource, Resource::SecurityGroupRules(rules) if rules.rules.is_empty())
}

fn foreign(desired: &ResourceSet, observation: &Observation) -> Vec<ForeignResource> {
    observation
        .resources
        .iter()
        .filter_map(|(key, observed)| match &observed.ownership {
            Ownership::Owned => None,
            Ownership::Foreign(why) => Some(ForeignResource {
                address: key.clone(),
                id: id_of(observed),
                why: why.clone(),
                in_the_way: desired.contains_key(key),
            }),
        })
        .collect()
}

fn id_of(observed: &Observed) -> Option<String> {
    use crate::resource::Attribute;
    let attribute = |attribute| observed.attributes.get(&attribute).cloned();
    attribute(Attribute::Id).or_else(|| attribute(Attribute::Arn))
}

/// Others' rules in our groups, those left out that the spec wants as well.
fn foreign_rules(
    observation: &Observation,
    comparisons: &BTreeMap<Key, Comparison<'_>>,
) -> Vec<ForeignRules> {
    let is_wanted = |key: &Key, rule: &Rule| match comparisons.get(key).map(|c| &c.resolved) {
        Some(Resource::SecurityGroupRules(wanted)) => wanted.rules.contains(rule),
        _ => false,
    };
    let owned = observation.resources.iter().filter(|(_, found)| found.ownership.is_owned());
    owned
        .map(|(key, found)| {
            let rules = found.foreign_rules.iter().filter(|rule| !is_wanted(key, rule));
            ForeignRules { address: key.clone(), rules: rules.cloned().collect() }
        })
        .filter(|foreign| !foreign.rules.is_empty())
        .collect()
}

/// A note for each resource that carries tags which others put.
fn foreign_tags(comparisons: &BTreeMap<Key, Comparison<'_>>) -> Vec<Finding> {
    comparisons
        .iter()
        .filter(|(_, c)| c.observed.is_some_and(|o| o.ownership.is_owned()))
        .filter(|(_, c)| !c.foreign_tags.is_empty())
        .map(|(key, c)| {
            let names: Vec<&str> = c.foreign_tags.iter().map(String::as_str).collect();
            Finding::new(
                Severity::Note,
                format!(
                    "carries tags that the spec does not name; they stay: {}",
                    names.join(", ")
                ),
            )
            .field(key.to_string())
        })
        .collect()
}

/// A remark for each `--delete` that names nothing which this plan deletes: a slip of the pen would
/// else go unseen.
fn idle_deletes(named: &BTreeSet<Key>, changes: &[Change]) -> Vec<Finding> {
    let deleted: Vec<String> = changes
        .iter()
        .filter(|change| matches!(change.action, Action::Delete | Action::Replace))
        .map(|change| change.address.to_string())
        .collect();
    named
        .iter()
        .map(ToString::to_string)
        .filter(|name| !deleted.contains(name))
        .map(|name| {
            let finding = Finding::warning("--delete names it, and this plan does not delete it");
            let finding = match did_you_mean(&name, deleted.iter().map(String::as_str)) {
                Some(near) => finding.hint(format!("did you mean {near}?")),
                None => finding,
            };
            finding.field(name)
        })
        .collect()
}

/// Why a resource is not ours, as a fragment.
pub fn describe_foreign(why: &Foreignness) -> String {
    match why {
        Foreignness::Kops => "it carries kops' tags for a cluster of this name".to_owned(),
        Foreignness::OtherCluster(other) => format!("cluster {other} owns it"),
        Foreignness::Untagged => "it has the wanted name and nobody's tag".to_owned(),
    }
}
