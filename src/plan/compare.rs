//! One wanted resource against what is there: references resolved, every field compared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::path::{self, Difference};
use super::template::{self, WantedContent};
use super::{Action, FieldChange, FieldClass, Reason, classify, unfinished};
use crate::cloud::{Observation, Observed};
use crate::resource::{
    Attribute, DIGEST_TAG, FAILED_TAG, FORMATTED_TAG, IMAGE_TAG, Key, OWN_TAG_PREFIX, ROLL_TAG,
    Resource, ResourceSet, TARGET_TAG, VERSION_TAG, read_target,
};

/// Tags that kprod keeps for itself. They never cause a difference: what they stand for does.
pub(super) const BOOKKEEPING_TAGS: [&str; 7] =
    [DIGEST_TAG, VERSION_TAG, TARGET_TAG, FAILED_TAG, FORMATTED_TAG, IMAGE_TAG, ROLL_TAG];

/// Tags that kprod's engines and AWS keep; a spec neither sets nor removes them.
const ENGINE_TAG_PREFIXES: [&str; 2] = [OWN_TAG_PREFIX, "aws:"];

/// Tags that only kops and Kubernetes give a meaning.
const OUR_TAG_PREFIXES: [&str; 3] = ["k8s.io/", "kubernetes.io/", "kops.k8s.io/"];

/// Whether a tag that is there and not wanted is taken away: one that kops or Kubernetes gives a
/// meaning is, any other was put by people or their tools and stays.
///
/// That is the price of having no state file: a label of the user's own that leaves the spec stays
/// on the resource; the plan says so in a note.
pub fn removes_tag(key: &str) -> bool {
    OUR_TAG_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// A template's content: what its versions hold, and its facts stand in for.
const CONTENT: &str = "launch_template_data";

/// A wanted resource beside what is there.
pub(super) struct Comparison<'w> {
    /// As wanted, with promises.
    pub(super) symbolic: &'w Resource,
    /// As wanted, references resolved as far as the observation knows them, with what is left to an
    /// unfinished roll.
    pub(super) resolved: Resource,
    /// What is there.
    pub(super) observed: Option<&'w Observed>,
    /// What is there as a plan shows it: a template with the content of its current version.
    pub(super) before: Option<Resource>,
    /// What has to happen.
    pub(super) action: Action,
    /// The fields that differ.
    pub(super) fields: Vec<FieldChange>,
    /// Keys of tags that others put.
    pub(super) foreign_tags: BTreeSet<String>,
    /// The launch template version that holds the wanted content without being named by the tag.
    pub(super) existing_version: Option<u64>,
}

/// Compares every wanted resource. A resource that is made again gives its dependants a new id, so
/// the comparison is repeated until no further resource has to be.
pub(super) fn compare_all<'w>(
    desired: &'w ResourceSet,
    observation: &'w Observation,
) -> BTreeMap<Key, Comparison<'w>> {
    let mut remade = BTreeSet::new();
    let mut comparisons = compare_round(desired, observation, &remade);
    // Each further round remakes at least one more resource, so this is the limit.
    for _ in 0..desired.len() {
        let next: BTreeSet<Key> = comparisons
            .iter()
            .filter(|(_, comparison)| comparison.action == Action::Replace)
            .map(|(key, _)| key.clone())
            .chain(remade.iter().cloned())
            .collect();
        if next == remade {
            break;
        }
        remade = next;
        comparisons = compare_round(desired, observation, &remade);
    }
    settle_targets(&mut comparisons);
    comparisons
}

/// A new version's number is not known yet, its revision mostly is: a target that moves to another
/// number with the same revision rolls nothing.
fn settle_targets(comparisons: &mut BTreeMap<Key, Comparison<'_>>) {
    let revisions: BTreeMap<String, String> = comparisons
        .iter()
        .filter_map(|(key, comparison)| match &comparison.resolved {
            Resource::LaunchTemplate(template) => {
                let content = WantedContent::of(&template.launch_template_data);
                Some((key.name.clone(), content.revision?))
            }
            _ => None,
        })
        .collect();
    for comparison in comparisons.values_mut() {
        let Resource::AutoScalingGroup(group) = &comparison.resolved else { continue };
        let Some(wanted) = revisions.get(&group.launch_template_name) else { continue };
        for field in comparison.fields.iter_mut().filter(|field| field.path == "target") {
            let before = field.before.as_ref().and_then(Value::as_str).unwrap_or_default();
            if read_target(before).is_some_and(|(_, revision)| revision == wanted) {
                field.class = FieldClass::InPlace;
            }
        }
    }
}

fn compare_round<'w>(
    desired: &'w ResourceSet,
    observation: &'w Observation,
    remade: &BTreeSet<Key>,
) -> BTreeMap<Key, Comparison<'w>> {
    let known = |key: &Key, attribute| {
        let is_known = attribute != Attribute::Target && !remade.contains(key);
        is_known.then(|| observation.attribute(key, attribute)).flatten()
    };
    let lookup = |key: &Key, attribute| match attribute {
        Attribute::Target if remade.contains(key) => None,
        Attribute::Target => template::target(key, desired, observation, &known),
        _ => known(key, attribute),
    };
    desired
        .iter()
        .map(|(key, wanted)| {
            // A value that does not fit its field after resolving stays a promise.
            let resolved = wanted.resolve(&lookup).unwrap_or_else(|_| wanted.clone());
            let observed = observation.resources.get(key);
            (key.clone(), compare(wanted, resolved, observed, observation))
        })
        .collect()
}

fn compare<'w>(
    symbolic: &'w Resource,
    mut resolved: Resource,
    observed: Option<&'w Observed>,
    observation: &'w Observation,
) -> Comparison<'w> {
    let Some(found) = observed else {
        return Comparison {
            symbolic,
            resolved,
            observed: None,
            before: None,
            action: Action::Create,
            fields: Vec::new(),
            foreign_tags: BTreeSet::new(),
            existing_version: None,
        };
    };
    unfinished::leave_to_roll(&mut resolved, found);
    let (before, existing_version) = before_of(&resolved, found);
    let mut differences = path::differences(&before.to_value(), &resolved.to_value());
    differences.retain(|difference| was_read(found, difference));
    let foreign_tags = drop_tags_that_stay(&mut differences);
    let kind = resolved.kind();
    let mut fields: Vec<FieldChange> = differences
        .into_iter()
        .map(|difference| FieldChange {
            class: classify::classify(kind, &difference, found, observation),
            path: difference.path.text,
            before: difference.before,
            after: difference.after,
        })
        .collect();
    fields.extend(unnamed_content(&resolved, found, &fields, existing_version));
    Comparison {
        symbolic,
        action: action_for(&fields),
        resolved,
        observed,
        before: Some(before),
        fields,
        foreign_tags,
        existing_version,
    }
}

fn action_for(fields: &[FieldChange]) -> Action {
    if fields.is_empty() {
        Action::NoOp
    } else if fields.iter().any(|field| field.class == FieldClass::ReplacesResource) {
        Action::Replace
    } else {
        Action::Update
    }
}

/// The observed resource as it is compared, and for a template the version that holds the wanted
/// content. Versions never change, so a template whose tag names the wanted content has it.
fn before_of(resolved: &Resource, found: &Observed) -> (Resource, Option<u64>) {
    if let (Resource::SecurityGroupRules(wanted), Resource::SecurityGroupRules(there)) =
        (resolved, &found.resource)
    {
        // AWS holds each rule once, whoever put it: one of others that is wanted too is there. So
        // the egress rule that AWS puts into each new group is no difference.
        let mut before = there.clone();
        before.rules.extend(found.foreign_rules.intersection(&wanted.rules).cloned());
        return (Resource::SecurityGroupRules(before), None);
    }
    let (Resource::LaunchTemplate(wanted), Resource::LaunchTemplate(there), Some(facts)) =
        (resolved, &found.resource, &found.template)
    else {
        return (found.resource.clone(), None);
    };
    let content = WantedContent::of(&wanted.launch_template_data);
    let version = content.existing_version(facts);
    let tagged = facts.wanted.as_ref().map(|(number, ..)| *number);
    let mut before = there.clone();
    if version.is_some() && version == tagged {
        before.launch_template_data = wanted.launch_template_data.clone();
    } else if let Some(data) = template::content_before(facts) {
        before.launch_template_data = data.clone();
    } else if found.unread.contains(CONTENT) {
        before.launch_template_data = wanted.launch_template_data.clone();
    }
    (Resource::LaunchTemplate(before), version.filter(|_| version != tagged))
}

/// A template whose tag does not name the wanted content changes, even when no field can be told to
/// differ: a run was killed before naming the version it made, or versions were not read.
fn unnamed_content(
    resolved: &Resource,
    found: &Observed,
    fields: &[FieldChange],
    existing_version: Option<u64>,
) -> Option<FieldChange> {
    let (Resource::LaunchTemplate(wanted), Some(facts)) = (resolved, &found.template) else {
        return None;
    };
    let data = &wanted.launch_template_data;
    let digest = data.content_digest();
    let (tagged, is_named, is_same_revision) = match &facts.wanted {
        Some((version, revision, content)) => (
            Some(Value::String(content.clone())),
            *content == digest && *version <= facts.latest_version,
            *revision == data.revision(),
        ),
        None => (None, false, false),
    };
    if is_named || fields.iter().any(|field| field.path.starts_with(CONTENT)) {
        return None;
    }
    let rolls = existing_version.is_none() && !is_same_revision;
    Some(FieldChange {
        path: CONTENT.to_owned(),
        before: tagged,
        after: Some(Value::String(digest)),
        class: if rolls { FieldClass::RollsMachines } else { FieldClass::InPlace },
    })
}

/// Whether a difference is in a field that was read. A template's content is compared by what its
/// facts say, whatever the observation holds in its place.
fn was_read(found: &Observed, difference: &Difference) -> bool {
    let field = difference.path.text.split(['.', '[']).next().unwrap_or_default();
    field == CONTENT || !found.unread.contains(field)
}

/// Drops differences in tags that cause no change, and gives the keys of tags that others put.
fn drop_tags_that_stay(differences: &mut Vec<Difference>) -> BTreeSet<String> {
    let mut foreign = BTreeSet::new();
    differences.retain(|difference| {
        let Some(key) = difference.path.tag_key() else { return true };
        if BOOKKEEPING_TAGS.contains(&key.as_str()) {
            return false;
        }
        if difference.after.is_some() || removes_tag(&key) {
            return true;
        }
        if !ENGINE_TAG_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
            foreign.insert(key);
        }
        false
    });
    foreign
}

/// Whether a path is another one or lies below it.
fn is_within(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Why a resource that is there changes. `changing` are the keys that this plan changes.
pub(super) fn reason(comparison: &Comparison<'_>, changing: &BTreeSet<Key>) -> Reason {
    if comparison.action == Action::Create {
        return Reason::NotThere;
    }
    if comparison.action == Action::Replace {
        return Reason::CannotUpdate;
    }
    let symbolic = comparison.symbolic.to_value();
    let promised = path::leaves(&symbolic);
    let follows = |field: &FieldChange| {
        field.path == "target"
            || promised
                .iter()
                .filter(|(path, _)| is_within(&path.text, &field.path))
                .flat_map(|(_, value)| path::promises(value))
                .any(|key| changing.contains(&key))
    };
    let all_follow = comparison.fields.iter().all(follows);
    let digest = comparison.observed.and_then(|observed| observed.digest.as_ref());
    match digest {
        Some(digest) if *digest != comparison.symbolic.digest() => Reason::SpecChanged,
        _ if all_follow => Reason::Follows,
        Some(_) => Reason::Drifted,
        None => Reason::Differs,
    }
}
