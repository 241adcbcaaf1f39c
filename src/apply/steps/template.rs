//! Launch templates. A version is made, and then named by the template's own tag: a run that stops in
//! between leaves a version that nobody launches from. What launches from a version proves it first:
//! see the groups.

use super::{Step, StepContext, StepError, TagEdit, told};
use crate::cloud::{Call, Observed};
use crate::plan::{Change, existing_version};
use crate::resource::{
    Attribute, DIGEST_TAG, Key, Kind, LaunchTemplate, LaunchTemplateData, Resource, Tags,
    VERSION_TAG,
};

/// A new template's first version is number 1 (EC2 API, CreateLaunchTemplate), so its name comes with
/// the other tags.
pub(super) fn create(wanted: &LaunchTemplate, context: &StepContext<'_>) -> Vec<Step> {
    let data = &wanted.launch_template_data;
    let mut tags = context.with_digest(&wanted.tags);
    tags.insert(VERSION_TAG.to_owned(), version_name(1, data));
    // The token tells calls with different tags apart as well: AWS refuses a token that comes again
    // with other parameters.
    let token = format!("{}:{}", context.digest, data.content_digest());
    vec![Step::ready(Call::CreateLaunchTemplate {
        launch_template_name: wanted.launch_template_name.clone(),
        version_description: data.revision(),
        data: Box::new(data.clone()),
        tags,
        client_token: context.token(&token),
    })]
}

pub(super) fn update(
    now: &LaunchTemplate,
    wanted: &LaunchTemplate,
    observed: &Observed,
    context: &StepContext<'_>,
) -> Result<Vec<Step>, StepError> {
    let data = &wanted.launch_template_data;
    let id = told(observed, Attribute::Id)?;
    let edit = TagEdit::between(&now.tags, &wanted.tags, observed, context);
    if named_version(observed, data).is_some() {
        return Ok(edit.ec2_steps(&id));
    }
    let mut steps = Vec::new();
    let spare = spare_version(observed, data);
    if spare.is_none() {
        steps.push(Step::ready(Call::CreateLaunchTemplateVersion {
            launch_template_name: wanted.launch_template_name.clone(),
            version_description: data.revision(),
            data: Box::new(data.clone()),
            client_token: context.token(&data.content_digest()),
        }));
    }
    steps.push(name_version(wanted, spare, edit.set, context));
    if !edit.remove.is_empty() {
        steps.push(Step::ready(Call::DeleteTags { resource_ids: [id].into(), keys: edit.remove }));
    }
    Ok(steps)
}

pub(super) fn delete(now: &LaunchTemplate) -> Vec<Step> {
    vec![Step::ready(Call::DeleteLaunchTemplate {
        launch_template_name: now.launch_template_name.clone(),
    })]
}

/// The version that the template's tag names, if it has the wanted content.
pub(in crate::apply) fn named_version(
    observed: &Observed,
    data: &LaunchTemplateData,
) -> Option<u64> {
    let (version, _, content) = observed.template.as_ref()?.wanted.as_ref()?;
    (*content == data.content_digest()).then_some(*version)
}

/// A version with the wanted content that the template's tag does not name: an older one, or one
/// that an earlier run made and did not come to name.
pub(in crate::apply) fn spare_version(
    observed: &Observed,
    data: &LaunchTemplateData,
) -> Option<u64> {
    existing_version(data, observed.template.as_ref()?)
}

/// The template that a change's group launches from.
pub(in crate::apply) fn used_by(change: &Change) -> Option<Key> {
    match &change.after {
        Some(Resource::AutoScalingGroup(group)) => {
            Some(Key::new(Kind::LaunchTemplate, &group.launch_template_name))
        }
        _ => None,
    }
}

/// Tags the template with the version that counts from now on, and with whatever other tags are due.
fn name_version(
    wanted: &LaunchTemplate,
    spare: Option<u64>,
    mut tags: Tags,
    context: &StepContext<'_>,
) -> Step {
    let data = wanted.launch_template_data.clone();
    tags.insert(DIGEST_TAG.to_owned(), context.digest.clone());
    Step::with_own(move |own| {
        let version = spare.map_or_else(|| own.version(), Ok)?;
        let mut tags = tags.clone();
        tags.insert(VERSION_TAG.to_owned(), version_name(version, &data));
        Ok(Call::CreateTags { resource_ids: [own.get(Attribute::Id)?].into(), tags })
    })
}

/// What [`VERSION_TAG`] says of a version.
fn version_name(version: u64, data: &LaunchTemplateData) -> String {
    format!("{version}:{}:{}", data.revision(), data.content_digest())
}
