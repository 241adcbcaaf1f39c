//! Launch templates: which version holds the wanted content, and which versions are worth reading.
//!
//! A template's tag tells the content of the version last made from the spec, so an unchanged plan
//! reads no versions. Only when that content is not the wanted one, or machines run another
//! version, does a second look read the few versions that matter.

use std::collections::{BTreeMap, BTreeSet};

use crate::cloud::{Observation, TemplateFacts, VersionFacts};
use crate::resource::{Attribute, Key, Kind, LaunchTemplateData, Resource, ResourceSet};

use super::compare::compare_all;
use super::path;

/// The content that a template should have.
pub(super) struct WantedContent {
    /// The content, references resolved as far as the observation knows them.
    pub(super) data: LaunchTemplateData,
    /// Its revision, unless something in it is only known after apply.
    pub(super) revision: Option<String>,
}

impl WantedContent {
    /// Of a resolved template.
    pub(super) fn of(data: &LaunchTemplateData) -> Self {
        let value = serde_json::to_value(data).unwrap_or_default();
        let is_known = path::promises(&value).is_empty();
        Self { data: data.clone(), revision: is_known.then(|| data.revision()) }
    }

    /// The version that holds it already, if one does: the one the tag names, or one that a run
    /// made right before it was killed.
    pub(super) fn existing_version(&self, facts: &TemplateFacts) -> Option<u64> {
        let revision = self.revision.as_ref()?;
        let digest = self.data.content_digest();
        if let Some((version, _, content)) = &facts.wanted
            && *content == digest
            && *version <= facts.latest_version
        {
            return Some(*version);
        }
        let holds = |version: &VersionFacts| {
            version.data.content_digest() == digest
                || (version.revision.as_ref() == Some(revision)
                    && version.data.tag_specifications == self.data.tag_specifications)
        };
        facts.versions.iter().rev().find(|(_, version)| holds(version)).map(|(number, _)| *number)
    }
}

/// The version of a template that holds this content already, if one that was read does. Planning and
/// applying ask the same question, so that an apply makes no version which its plan did not announce.
pub fn existing_version(data: &LaunchTemplateData, facts: &TemplateFacts) -> Option<u64> {
    WantedContent::of(data).existing_version(facts)
}

/// `<version>:<revision>` of a template's wanted content, if both are known before an apply.
pub(super) fn target(
    key: &Key,
    desired: &ResourceSet,
    observation: &Observation,
    lookup: &dyn Fn(&Key, Attribute) -> Option<String>,
) -> Option<String> {
    let Resource::LaunchTemplate(template) = desired.get(key)?.resolve(lookup).ok()? else {
        return None;
    };
    let facts = observation.resources.get(key)?.template.as_ref()?;
    let wanted = WantedContent::of(&template.launch_template_data);
    let version = wanted.existing_version(facts)?;
    Some(format!("{version}:{}", wanted.revision?))
}

/// The revision of a version, as far as it is known.
pub(super) fn revision_of(facts: &TemplateFacts, version: u64) -> Option<String> {
    if let Some((number, revision, _)) = &facts.wanted
        && *number == version
    {
        return Some(revision.clone());
    }
    let found = facts.versions.get(&version)?;
    Some(found.revision.clone().unwrap_or_else(|| found.data.revision()))
}

/// The content that a plan shows as "before": that of the version the tag names, else of the
/// newest one that was read.
pub(super) fn content_before(facts: &TemplateFacts) -> Option<&LaunchTemplateData> {
    let tagged = facts.wanted.as_ref().and_then(|(version, ..)| facts.versions.get(version));
    tagged.or_else(|| facts.versions.values().next_back()).map(|version| &version.data)
}

/// The versions that a second look should read, by template name; empty when nothing changed and
/// every machine runs the wanted content. Pass the answer of
/// [`crate::cloud::Cloud::versions`] to [`merge_versions`].
pub fn versions_to_read(
    desired: &ResourceSet,
    observation: &Observation,
) -> BTreeMap<String, BTreeSet<u64>> {
    let running = running_versions(observation);
    let mut wanted = BTreeMap::new();
    for (key, comparison) in compare_all(desired, observation) {
        let facts = comparison.observed.and_then(|observed| observed.template.as_ref());
        let (Some(facts), Resource::LaunchTemplate(template)) = (facts, &comparison.resolved)
        else {
            continue;
        };
        let content = template.launch_template_data.content_digest();
        let tagged = facts.wanted.as_ref();
        let is_current = tagged.is_some_and(|(number, _, digest)| {
            *digest == content && *number <= facts.latest_version
        });
        let mut versions: BTreeSet<u64> = running
            .get(key.name.as_str())
            .into_iter()
            .flatten()
            .copied()
            .filter(|version| tagged.is_none_or(|(number, ..)| number != version))
            .collect();
        if !is_current || !versions.is_empty() {
            versions.extend(tagged.map(|(number, ..)| *number));
        }
        if !is_current {
            versions.insert(facts.latest_version);
        }
        versions.retain(|version| *version > 0 && !facts.versions.contains_key(version));
        if !versions.is_empty() {
            wanted.insert(key.name, versions);
        }
    }
    wanted
}

/// The versions that machines run or would be launched from, by template name.
fn running_versions(observation: &Observation) -> BTreeMap<&str, BTreeSet<u64>> {
    let mut running: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for observed in observation.resources.values() {
        if let (Resource::AutoScalingGroup(group), Some(facts)) =
            (&observed.resource, &observed.group)
        {
            let versions = running.entry(group.launch_template_name.as_str()).or_default();
            versions.extend(facts.instances.iter().filter_map(|i| i.launch_template_version));
            versions.extend(facts.pin);
        }
    }
    running
}

/// Adds versions that were read to an observation, so that it can be recorded with them.
pub fn merge_versions(
    observation: &mut Observation,
    versions: BTreeMap<String, BTreeMap<u64, VersionFacts>>,
) {
    for (name, versions) in versions {
        let key = Key::new(Kind::LaunchTemplate, name);
        if let Some(observed) = observation.resources.get_mut(&key) {
            let facts = observed.template.get_or_insert_default();
            let newest = versions.keys().next_back().copied().unwrap_or_default();
            facts.latest_version = facts.latest_version.max(newest);
            facts.versions.extend(versions);
        }
    }
}
