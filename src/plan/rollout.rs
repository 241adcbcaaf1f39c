//! The pending rollout: which machines are not built from the wanted content, and why.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::Comparison;
use super::path;
use super::template::{self, WantedContent};
use super::{FieldChange, FieldClass, GroupRollout, MachineToReplace, Rollout, classify};
use crate::cloud::{Instance, Observation, Observed, TemplateFacts};
use crate::finding::{Finding, Severity};
use crate::resource::{AutoScalingGroup, Key, Kind, LaunchTemplateData, Resource};

/// The machines that a rolling update replaces once the compared changes are made.
///
/// A machine stays when its version has the wanted revision, whatever its number: equal content
/// never rolls. A group that does not exist yet, or is not ours, has no rollout.
pub(super) fn pending(
    comparisons: &BTreeMap<Key, Comparison<'_>>,
    observation: &Observation,
) -> Rollout {
    let mut groups: Vec<(u8, GroupRollout)> = comparisons
        .iter()
        .filter(|(key, _)| key.kind == Kind::AutoScalingGroup)
        .filter_map(|(key, comparison)| of_group(key, comparison, comparisons, observation))
        .collect();
    groups.sort_by(|(left_turn, left), (right_turn, right)| {
        (left_turn, &left.address).cmp(&(right_turn, &right.address))
    });
    Rollout { groups: groups.into_iter().map(|(_, group)| group).collect() }
}

fn of_group(
    key: &Key,
    comparison: &Comparison<'_>,
    comparisons: &BTreeMap<Key, Comparison<'_>>,
    observation: &Observation,
) -> Option<(u8, GroupRollout)> {
    let observed = comparison.observed.filter(|observed| observed.ownership.is_owned())?;
    let Resource::AutoScalingGroup(wanted) = &comparison.resolved else { return None };
    let template_key = Key::new(Kind::LaunchTemplate, &wanted.launch_template_name);
    let Resource::LaunchTemplate(template) = &comparisons.get(&template_key)?.resolved else {
        return None;
    };
    let content = WantedContent::of(&template.launch_template_data);
    let there = observation.resources.get(&template_key);
    let facts = there.and_then(|observed| observed.template.as_ref());
    let machines: Vec<&Instance> =
        machines(observed).filter(|machine| !runs_wanted(machine, &content, facts)).collect();
    if machines.is_empty() {
        return None;
    }
    let versions: BTreeSet<u64> =
        machines.iter().filter_map(|machine| machine.launch_template_version).collect();
    let causes = causes(&versions, &content.data, facts, there, observation);
    let machines = machines
        .into_iter()
        .map(|machine| MachineToReplace {
            instance_id: machine.instance_id.clone(),
            availability_zone: machine.availability_zone.clone(),
            version: machine.launch_template_version,
        })
        .collect();
    let launch_template_name = wanted.launch_template_name.clone();
    let group = GroupRollout { address: key.clone(), launch_template_name, machines, causes };
    Some((turn(&comparison.resolved), group))
}

/// Machines that are there to stay: those already on their way out are replaced anyway.
pub(super) fn machines(observed: &Observed) -> impl Iterator<Item = &Instance> {
    let instances = observed.group.iter().flat_map(|group| &group.instances);
    instances.filter(|instance| !instance.is_leaving())
}

/// The zones that a group is in, as far as they are known.
pub(super) fn zones(group: &AutoScalingGroup, observation: &Observation) -> BTreeSet<String> {
    let subnets = group.vpc_zone_identifier.iter();
    let of_subnets = subnets.filter_map(|id| Some(observation.facts.subnets.get(id)?.zone.clone()));
    of_subnets.chain(group.availability_zones.iter().cloned()).collect()
}

/// Whether a group has machines in zones that it is not in.
pub(super) fn has_strays(observed: &Observed, observation: &Observation) -> bool {
    let Resource::AutoScalingGroup(group) = &observed.resource else { return false };
    runs_outside(&zones(group, observation), observed)
}

/// Whether a group has machines in other zones than these.
pub(super) fn runs_outside(zones: &BTreeSet<String>, observed: &Observed) -> bool {
    machines(observed).any(|machine| !zones.contains(&machine.availability_zone))
}

fn runs_wanted(machine: &Instance, content: &WantedContent, facts: Option<&TemplateFacts>) -> bool {
    let (Some(wanted), Some(version), Some(facts)) =
        (&content.revision, machine.launch_template_version, facts)
    else {
        return false;
    };
    template::revision_of(facts, version).is_some_and(|revision| revision == *wanted)
}

/// The fields in which the machines' versions differ from the wanted content, each once for each
/// value that runs.
fn causes(
    versions: &BTreeSet<u64>,
    wanted: &LaunchTemplateData,
    facts: Option<&TemplateFacts>,
    there: Option<&Observed>,
    observation: &Observation,
) -> Vec<FieldChange> {
    let mut causes: Vec<FieldChange> = Vec::new();
    let (Some(facts), Some(there)) = (facts, there) else { return causes };
    let after = serde_json::json!({ "launch_template_data": wanted });
    for data in versions.iter().filter_map(|version| facts.versions.get(version)).map(|v| &v.data) {
        let before = serde_json::json!({ "launch_template_data": data });
        for difference in path::differences(&before, &after) {
            let class = classify::classify(Kind::LaunchTemplate, &difference, there, observation);
            let cause = FieldChange {
                path: difference.path.text,
                before: difference.before,
                after: difference.after,
                class,
            };
            if class == FieldClass::RollsMachines && !causes.contains(&cause) {
                causes.push(cause);
            }
        }
    }
    causes.sort_by(|left, right| left.path.cmp(&right.path));
    causes
}

/// A remark for each group that would launch machines from something else than what is wanted,
/// though none that it has is to be replaced: an empty one, or one whose pin was moved by hand.
pub(super) fn stale_pins(
    comparisons: &BTreeMap<Key, Comparison<'_>>,
    observation: &Observation,
    rollout: &Rollout,
) -> Vec<Finding> {
    let is_told = |key: &Key| rollout.groups.iter().any(|group| group.address == *key);
    comparisons
        .iter()
        .filter(|(key, _)| key.kind == Kind::AutoScalingGroup && !is_told(key))
        .filter_map(|(key, comparison)| {
            let what = stale_pin(comparison, comparisons, observation)?;
            let message = format!(
                "new machines boot {what}, not what is wanted; a rolling update moves the group"
            );
            Some(Finding::new(Severity::Note, message).field(key.to_string()))
        })
        .collect()
}

fn stale_pin(
    comparison: &Comparison<'_>,
    comparisons: &BTreeMap<Key, Comparison<'_>>,
    observation: &Observation,
) -> Option<String> {
    let observed = comparison.observed.filter(|observed| observed.ownership.is_owned())?;
    let Resource::AutoScalingGroup(wanted) = &comparison.resolved else { return None };
    let template_key = Key::new(Kind::LaunchTemplate, &wanted.launch_template_name);
    let Resource::LaunchTemplate(template) = &comparisons.get(&template_key)?.resolved else {
        return None;
    };
    let Some(pin) = observed.group.as_ref()?.pin else {
        return Some("whatever version is the newest or the default".to_owned());
    };
    let facts = observation.resources.get(&template_key)?.template.as_ref()?;
    let content = WantedContent::of(&template.launch_template_data);
    let is_wanted =
        content.revision.is_some() && template::revision_of(facts, pin) == content.revision;
    (!is_wanted).then(|| format!("template version {pin}"))
}

/// Rolling order: bastions, then etcd and the control plane, then the rest. Told by kops' role
/// tags, which every group carries.
fn turn(group: &Resource) -> u8 {
    let tags = group.tags().unwrap_or_default();
    let has_role = |role: &str| tags.contains_key(&format!("k8s.io/role/{role}"));
    if has_role("bastion") {
        0
    } else if ["etcd", "control-plane", "master"].into_iter().any(has_role) {
        1
    } else {
        2
    }
}
