//! IAM: a role and an instance profile for each role of machines, unless its groups bring their
//! own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::draft::Draft;
use super::name::Names;
use super::{policy, tag};
use crate::resource::{InstanceProfile, Resource, Role as IamRole};
use crate::spec::{Field, InstanceGroup, Kind, PolicyRole, Role, Spec};

/// The most characters of a role's inline policies together, without white space.
/// Source: IAM user guide, "IAM and AWS STS quotas".
const POLICIES_MAX: usize = 10_240;

/// The instance profile of a group's machines: ours by name, or the user's by ARN.
pub(super) struct Profile {
    pub(super) name: Option<String>,
    pub(super) arn: Option<String>,
}

/// Which profile a group's machines have.
pub(super) fn profile(spec: &Spec, group: &InstanceGroup) -> Profile {
    match given(group) {
        Some(arn) => Profile { name: None, arn: Some(arn.to_owned()) },
        None => Profile { name: Some(Names::of(spec.name()).role(group.spec.role)), arn: None },
    }
}

fn given(group: &InstanceGroup) -> Option<&str> {
    group.spec.iam.as_ref()?.profile.as_deref()
}

/// Builds the roles and profiles that some group needs.
pub(super) fn build(spec: &Spec, draft: &mut Draft<'_>) {
    for role in [Role::ControlPlane, Role::Node, Role::Etcd, Role::Bastion] {
        if spec.groups_of(role).any(|group| given(group).is_none()) {
            add(spec, role, draft);
        }
    }
}

fn add(spec: &Spec, role: Role, draft: &mut Draft<'_>) {
    let name = Names::of(spec.name()).role(role);
    let field = Field::new(Kind::Cluster, spec.name(), "spec.iam");
    let external = spec.cluster.spec.external_policies.get(&policy_role(role));
    let boundary = spec.cluster.spec.iam.as_ref().and_then(|iam| iam.permissions_boundary.clone());
    let inline_policies = inline_policies(spec, role, &name);
    check_size(&inline_policies, &field, &name, draft);
    let iam_role = IamRole {
        role_name: name.clone(),
        assume_role_policy_document: policy::trust(spec),
        permissions_boundary: boundary,
        inline_policies,
        attached_policy_arns: external.into_iter().flatten().cloned().collect(),
        tags: tag::base(spec, &name),
    };
    let profile = InstanceProfile {
        instance_profile_name: name.clone(),
        roles: BTreeSet::from([name.clone()]),
        tags: tag::base(spec, &name),
    };
    draft.add(&field, &name, Resource::Role(iam_role));
    draft.add(&field, &name, Resource::InstanceProfile(profile));
}

/// Our own policy, and beside it the statements that the spec adds. What is not a list of
/// statements is left to the check.
fn inline_policies(spec: &Spec, role: Role, name: &str) -> BTreeMap<String, Value> {
    let own = policy::of(spec, role).map(|policy| (name.to_owned(), policy));
    let added = spec.cluster.spec.additional_policies.get(&policy_role(role));
    let added = added.and_then(|text| serde_json::from_str::<Vec<Value>>(text).ok());
    let added = added.filter(|statements| !statements.is_empty());
    let added = added.map(|list| (format!("additional.{name}"), policy::document(list)));
    own.into_iter().chain(added).collect()
}

/// Reports inline policies that are too long together.
fn check_size(
    policies: &BTreeMap<String, Value>,
    field: &Field,
    name: &str,
    draft: &mut Draft<'_>,
) {
    let characters: usize =
        policies.values().map(|policy| policy.to_string().chars().count()).sum();
    if characters > POLICIES_MAX {
        let message = format!(
            "role `{name}` has {characters} characters of inline policies; AWS takes {POLICIES_MAX}"
        );
        // Ours alone, or with what the spec adds.
        let way_out = match policies.len() {
            1 => {
                "host etcd on groups of the role `Etcd`, which has a policy of its own, or have fewer \
                 members, shorter names, or one key for all of their volumes"
            }
            _ => "move `additionalPolicies` to `externalPolicies`",
        };
        draft.error(field, message, way_out);
    }
}

/// The word of the spec for whose policies they are.
fn policy_role(role: Role) -> PolicyRole {
    match role {
        Role::ControlPlane => PolicyRole::Master,
        Role::Node => PolicyRole::Node,
        Role::Bastion => PolicyRole::Bastion,
        Role::Etcd => PolicyRole::Etcd,
    }
}
