//! The machines' roles and instance profiles.
//!
//! With a permissions boundary in the spec a role is given permissions only while it has that
//! boundary, so that an operator cannot give machines more than the boundary allows.

use serde_json::{Value, json};

use super::{Scope, Statement};

pub(super) fn statements(scope: &Scope) -> Vec<Statement> {
    let (grant, within) = match scope.boundaries.is_empty() {
        true => ("iam:DeleteRolePermissionsBoundary", Value::Null),
        false => (
            "iam:PutRolePermissionsBoundary",
            json!({ "StringEquals": { "iam:PermissionsBoundary": scope.boundaries } }),
        ),
    };
    let roles = scope.role_arns();
    vec![
        Statement::new(
            "GiveRolesPermissions",
            &["iam:AttachRolePolicy", "iam:CreateRole", grant, "iam:PutRolePolicy"],
            roles.clone(),
            within,
        ),
        Statement::new("ChangeRoles", &ROLES, roles, Value::Null),
        Statement::new("ChangeProfiles", &PROFILES, scope.profile_arns(), Value::Null),
    ]
}

const ROLES: [&str; 6] = [
    "iam:DeleteRole",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:TagRole",
    "iam:UntagRole",
    "iam:UpdateAssumeRolePolicy",
];

const PROFILES: [&str; 6] = [
    "iam:AddRoleToInstanceProfile",
    "iam:CreateInstanceProfile",
    "iam:DeleteInstanceProfile",
    "iam:RemoveRoleFromInstanceProfile",
    "iam:TagInstanceProfile",
    "iam:UntagInstanceProfile",
];
