//! Launch templates, and what a launch from one needs.

use serde_json::{Value, json};

use super::{Scope, Statement};

pub(super) fn statements(scope: &Scope) -> Vec<Statement> {
    let templates = scope.ec2(&["launch-template/*"]);
    let mut statements = vec![
        Statement::new(
            "CreateLaunchTemplates",
            &["ec2:CreateLaunchTemplate"],
            templates.clone(),
            scope.becomes_owned(),
        ),
        Statement::new(
            "UseLaunchTemplates",
            &["ec2:CreateLaunchTemplateVersion", "ec2:DeleteLaunchTemplate", "ec2:RunInstances"],
            templates,
            scope.is_owned(),
        ),
        launch(scope),
        pass_roles(scope),
        // Those that a rolling update took out of their group.
        Statement::new(
            "EndMachines",
            &["ec2:TerminateInstances"],
            scope.ec2(&["instance/*"]),
            scope.is_owned(),
        ),
    ];
    statements.extend(disk_keys(scope));
    statements
}

/// Launches from a launch template only; that it is the cluster's is for `UseLaunchTemplates` to
/// say. Images go by no id: each rollout brings a new one, and the templates that name them are the
/// cluster's.
fn launch(scope: &Scope) -> Statement {
    let image = format!("arn:{}:ec2:{}::image/*", scope.partition, scope.region);
    let made = scope.ec2(&["instance/*", "network-interface/*", "volume/*"]);
    let subnets = scope.subnet_ids.iter().map(|id| scope.arn("ec2", &format!("subnet/{id}")));
    let pairs = scope.key_pairs.iter().map(|name| scope.arn("ec2", &format!("key-pair/{name}")));
    let resources = std::iter::once(image).chain(made).chain(subnets).chain(pairs);
    let from_template =
        json!({ "ArnLike": { "ec2:LaunchTemplate": scope.arn("ec2", "launch-template/*") } });
    Statement::new("LaunchMachines", &["ec2:RunInstances"], resources, from_template)
}

/// To EC2 and nobody else. The role inside a profile that the spec brings along is not known here.
fn pass_roles(scope: &Scope) -> Statement {
    let mut roles = scope.role_arns();
    if scope.has_given_profiles {
        roles = vec![scope.iam("role/*")];
    }
    let ec2 = format!("ec2.{}", scope.domain());
    let to_ec2 = json!({ "StringEquals": { "iam:PassedToService": ec2 } });
    Statement::new("PassRolesToMachines", &["iam:PassRole"], roles, to_ec2)
}

/// Disks that are encrypted by keys of one's own, through EBS only. That Auto Scaling's own role may
/// use the key is for the key's policy to say (Amazon EC2 Auto Scaling user guide, "Required AWS KMS
/// key policy for use with encrypted volumes").
fn disk_keys(scope: &Scope) -> Vec<Statement> {
    let (aliases, keys): (Vec<&String>, Vec<&String>) =
        scope.disk_keys.iter().partition(|key| key.contains("alias/"));
    let mut statements = Vec::new();
    if !keys.is_empty() {
        let keys = keys.into_iter().map(|key| key_arn(scope, key)).collect();
        let sids = ["UseDiskKeys", "GrantDiskKeys"];
        statements.extend(key_statements(scope, sids, keys, json!({})));
    }
    if !aliases.is_empty() {
        // KMS checks the key; an alias is a word about it (AWS KMS developer guide, "Use aliases to
        // control access to KMS keys").
        let names: Vec<&str> = aliases.iter().map(|alias| alias_name(alias)).collect();
        let called = json!({ "ForAnyValue:StringEquals": { "kms:ResourceAliases": names } });
        let any = vec![scope.arn("kms", "key/*")];
        let sids = ["UseDiskKeysByAlias", "GrantDiskKeysByAlias"];
        statements.extend(key_statements(scope, sids, any, called));
    }
    statements
}

fn key_statements(
    scope: &Scope,
    [using, granting]: [&'static str; 2],
    keys: Vec<String>,
    mut condition: Value,
) -> [Statement; 2] {
    let through = format!("ec2.{}.{}", scope.region, scope.domain());
    condition["StringEquals"] = json!({ "kms:ViaService": through });
    let mut grant = condition.clone();
    grant["Bool"] = json!({ "kms:GrantIsForAWSResource": "true" });
    let actions = [
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    ];
    [
        Statement::new(using, &actions, keys.clone(), condition),
        Statement::new(granting, &["kms:CreateGrant"], keys, grant),
    ]
}

/// A key's ARN, from the ARN or the id that the spec says.
fn key_arn(scope: &Scope, key: &str) -> String {
    if key.starts_with("arn:") { key.to_owned() } else { scope.arn("kms", &format!("key/{key}")) }
}

/// `alias/name`, of an alias or an alias's ARN.
fn alias_name(alias: &str) -> &str {
    alias.find("alias/").map_or(alias, |at| &alias[at..])
}
