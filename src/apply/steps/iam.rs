//! Roles and instance profiles.

use super::{Step, StepContext, TagEdit};
use crate::cloud::{Call, Observed};
use crate::resource::{InstanceProfile, Role};

pub(super) fn create_role(role: &Role, context: &StepContext<'_>) -> Vec<Step> {
    let mut made = role.clone();
    made.tags = context.with_digest(&role.tags);
    let mut steps = vec![Step::ready(Call::CreateRole { role: Box::new(made) })];
    let empty = Role {
        inline_policies: Default::default(),
        attached_policy_arns: Default::default(),
        ..role.clone()
    };
    steps.extend(add_policies(&empty, role));
    steps
}

/// New permissions before old ones go: machines keep what both have.
pub(super) fn update_role(
    now: &Role,
    wanted: &Role,
    observed: &Observed,
    context: &StepContext<'_>,
) -> Vec<Step> {
    let role_name = &wanted.role_name;
    let mut steps = Vec::new();
    if now.assume_role_policy_document != wanted.assume_role_policy_document {
        steps.push(Step::ready(Call::UpdateAssumeRolePolicy {
            role_name: role_name.clone(),
            policy_document: wanted.assume_role_policy_document.clone(),
        }));
    }
    if now.permissions_boundary != wanted.permissions_boundary {
        steps.push(Step::ready(match &wanted.permissions_boundary {
            Some(boundary) => Call::PutRolePermissionsBoundary {
                role_name: role_name.clone(),
                permissions_boundary: boundary.clone(),
            },
            None => Call::DeleteRolePermissionsBoundary { role_name: role_name.clone() },
        }));
    }
    steps.extend(add_policies(now, wanted));
    steps.extend(remove_policies(now, wanted));
    let edit = TagEdit::between(&now.tags, &wanted.tags, observed, context);
    steps.extend(edit.steps(
        |tags| Call::TagRole { role_name: role_name.clone(), tags },
        |keys| Call::UntagRole { role_name: role_name.clone(), keys },
    ));
    steps
}

/// AWS deletes a role only when it has no policies.
pub(super) fn delete_role(role: &Role) -> Vec<Step> {
    let empty = Role {
        inline_policies: Default::default(),
        attached_policy_arns: Default::default(),
        ..role.clone()
    };
    let mut steps = remove_policies(role, &empty);
    steps.push(Step::ready(Call::DeleteRole { role_name: role.role_name.clone() }));
    steps
}

fn add_policies(now: &Role, wanted: &Role) -> Vec<Step> {
    let role_name = &wanted.role_name;
    let inline = wanted
        .inline_policies
        .iter()
        .filter(|(name, document)| now.inline_policies.get(*name) != Some(document))
        .map(|(name, document)| Call::PutRolePolicy {
            role_name: role_name.clone(),
            policy_name: name.clone(),
            policy_document: document.clone(),
        });
    let attached = wanted.attached_policy_arns.difference(&now.attached_policy_arns).map(|arn| {
        Call::AttachRolePolicy { role_name: role_name.clone(), policy_arn: arn.clone() }
    });
    inline.chain(attached).map(Step::ready).collect()
}

fn remove_policies(now: &Role, wanted: &Role) -> Vec<Step> {
    let role_name = &now.role_name;
    let inline =
        now.inline_policies.keys().filter(|name| !wanted.inline_policies.contains_key(*name)).map(
            |name| Call::DeleteRolePolicy {
                role_name: role_name.clone(),
                policy_name: name.clone(),
            },
        );
    let attached = now.attached_policy_arns.difference(&wanted.attached_policy_arns).map(|arn| {
        Call::DetachRolePolicy { role_name: role_name.clone(), policy_arn: arn.clone() }
    });
    inline.chain(attached).map(Step::ready).collect()
}

pub(super) fn create_profile(profile: &InstanceProfile, context: &StepContext<'_>) -> Vec<Step> {
    let mut steps = vec![Step::ready(Call::CreateInstanceProfile {
        instance_profile_name: profile.instance_profile_name.clone(),
        tags: context.with_digest(&profile.tags),
    })];
    let empty = InstanceProfile { roles: Default::default(), ..profile.clone() };
    steps.extend(change_roles(&empty, profile));
    steps
}

pub(super) fn update_profile(
    now: &InstanceProfile,
    wanted: &InstanceProfile,
    observed: &Observed,
    context: &StepContext<'_>,
) -> Vec<Step> {
    let name = &wanted.instance_profile_name;
    let mut steps = change_roles(now, wanted);
    let edit = TagEdit::between(&now.tags, &wanted.tags, observed, context);
    steps.extend(edit.steps(
        |tags| Call::TagInstanceProfile { instance_profile_name: name.clone(), tags },
        |keys| Call::UntagInstanceProfile { instance_profile_name: name.clone(), keys },
    ));
    steps
}

pub(super) fn delete_profile(profile: &InstanceProfile) -> Vec<Step> {
    let empty = InstanceProfile { roles: Default::default(), ..profile.clone() };
    let mut steps = change_roles(profile, &empty);
    steps.push(Step::ready(Call::DeleteInstanceProfile {
        instance_profile_name: profile.instance_profile_name.clone(),
    }));
    steps
}

/// A profile holds one role, so here the old one goes first.
fn change_roles(now: &InstanceProfile, wanted: &InstanceProfile) -> Vec<Step> {
    let name = &wanted.instance_profile_name;
    let remove =
        now.roles.difference(&wanted.roles).map(|role| Call::RemoveRoleFromInstanceProfile {
            instance_profile_name: name.clone(),
            role_name: role.clone(),
        });
    let add = wanted.roles.difference(&now.roles).map(|role| Call::AddRoleToInstanceProfile {
        instance_profile_name: name.clone(),
        role_name: role.clone(),
    });
    remove.chain(add).map(Step::ready).collect()
}
