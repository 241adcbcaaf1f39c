//! Launch templates. A version is made, proven, and only then named by the template's own tag: a
//! run that stops in between leaves a version that nobody launches from.

use super::{Step, StepContext, StepError, TagEdit, told};
use crate::cloud::{Call, Observed};
use crate::plan::existing_version;
use crate::resource::{
    Attribute, DIGEST_TAG, LaunchTemplate, LaunchTemplateData, Tags, VERSION_TAG,
};

pub(super) fn create(wanted: &LaunchTemplate, context: &StepContext<'_>) -> Vec<Step> {
    let data = &wanted.launch_template_data;
    let make = Step::ready(Call::CreateLaunchTemplate {
        launch_template_name: wanted.launch_template_name.clone(),
        version_description: data.revision(),
        data: Box::new(data.clone()),
        tags: wanted.tags.clone(),
        client_token: context.token(&data.content_digest()),
    });
    vec![make, prove(wanted, None, context), name_version(wanted, None, Tags::new(), context)]
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
    steps.push(prove(wanted, spare, context));
    steps.push(name_version(wanted, spare, edit.set, context));
    if !edit.remove.is_empty() {
        steps.push(Step::ready(Call::DeleteTags { resource_id: id, keys: edit.remove }));
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

fn prove(wanted: &LaunchTemplate, spare: Option<u64>, context: &StepContext<'_>) -> Step {
    let launch_template_name = wanted.launch_template_name.clone();
    let subnet_id = context.proof_subnet.clone();
    Step::with_own(move |own| {
        Ok(Call::ProveLaunchTemplateVersion {
            launch_template_name: launch_template_name.clone(),
            version: spare.map_or_else(|| own.version(), Ok)?,
            subnet_id: subnet_id.clone(),
        })
    })
}

/// Tags the template with its proven version, and with whatever other tags are due.
fn name_version(
    wanted: &LaunchTemplate,
    spare: Option<u64>,
    mut tags: Tags,
    context: &StepContext<'_>,
) -> Step {
    let data = &wanted.launch_template_data;
    let content = format!("{}:{}", data.revision(), data.content_digest());
    tags.insert(DIGEST_TAG.to_owned(), context.digest.clone());
    Step::with_own(move |own| {
        let version = spare.map_or_else(|| own.version(), Ok)?;
        let mut tags = tags.clone();
        tags.insert(VERSION_TAG.to_owned(), format!("{version}:{content}"));
        Ok(Call::CreateTags { resource_id: own.get(Attribute::Id)?, tags })
    })
}
