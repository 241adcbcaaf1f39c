//! Security groups, volumes and interfaces: what machines are put into and what outlives them.
//!
//! What is new carries the cluster's tag from its first moment, what is changed carries it already.

use serde_json::{Value, json};

use super::{Scope, Statement};

pub(super) fn statements(scope: &Scope) -> Vec<Statement> {
    let mut statements = security_groups(scope);
    statements.extend(storage(scope));
    statements.extend(tags(scope));
    statements
}

/// What kprod tags in EC2 as it makes it.
const TAGGED: [&str; 4] =
    ["launch-template/*", "network-interface/*", "security-group/*", "volume/*"];

/// What kprod tags in EC2 later on: machines too, when they leave their group.
const RETAGGED: [&str; 5] =
    ["instance/*", "launch-template/*", "network-interface/*", "security-group/*", "volume/*"];

const RULES: [&str; 4] = [
    "ec2:AuthorizeSecurityGroupEgress",
    "ec2:AuthorizeSecurityGroupIngress",
    "ec2:RevokeSecurityGroupEgress",
    "ec2:RevokeSecurityGroupIngress",
];

fn security_groups(scope: &Scope) -> Vec<Statement> {
    let create = ["ec2:CreateSecurityGroup"];
    let change = [RULES.as_slice(), &["ec2:DeleteSecurityGroup"]].concat();
    let own = scope.ec2(&["security-group/*"]);
    let vpc = scope.ec2(&[&format!("vpc/{}", scope.vpc_id)]);
    let mut statements = vec![
        Statement::new("CreateSecurityGroups", &create, own.clone(), scope.becomes_owned()),
        Statement::new("CreateSecurityGroupsInVpc", &create, vpc, Value::Null),
        Statement::new("ChangeSecurityGroups", &change, own, scope.is_owned()),
    ];
    if !scope.ruled_groups.is_empty() {
        let given = groups(scope, &scope.ruled_groups);
        statements.push(Statement::new("ChangeRulesOfGivenGroups", &RULES, given, Value::Null));
    }
    statements
}

fn storage(scope: &Scope) -> Vec<Statement> {
    let subnets = scope.subnet_ids.iter().map(|id| scope.arn("ec2", &format!("subnet/{id}")));
    let interface = ["ec2:CreateNetworkInterface"];
    let modify = "ec2:ModifyNetworkInterfaceAttribute";
    vec![
        Statement::new(
            "CreateVolumesAndInterfaces",
            &["ec2:CreateNetworkInterface", "ec2:CreateVolume"],
            scope.ec2(&["network-interface/*", "volume/*"]),
            scope.becomes_owned(),
        ),
        Statement::new("CreateInterfacesInSubnets", &interface, subnets, Value::Null),
        Statement::new(
            "ChangeVolumesAndInterfaces",
            &["ec2:DeleteNetworkInterface", "ec2:DeleteVolume", modify, "ec2:ModifyVolume"],
            scope.ec2(&["network-interface/*", "volume/*"]),
            scope.is_owned(),
        ),
    ]
    .into_iter()
    .chain(use_of_groups(scope))
    .collect()
}

/// Putting machines and interfaces into security groups: the cluster's, and those that the spec
/// brings along.
fn use_of_groups(scope: &Scope) -> Vec<Statement> {
    let actions =
        ["ec2:CreateNetworkInterface", "ec2:ModifyNetworkInterfaceAttribute", "ec2:RunInstances"];
    let own = scope.ec2(&["security-group/*"]);
    let mut statements = vec![Statement::new("UseSecurityGroups", &actions, own, scope.is_owned())];
    if !scope.given_groups.is_empty() {
        let given = groups(scope, &scope.given_groups);
        statements.push(Statement::new("UseGivenSecurityGroups", &actions, given, Value::Null));
    }
    statements
}

fn groups<'i>(scope: &Scope, ids: impl IntoIterator<Item = &'i String>) -> Vec<String> {
    ids.into_iter().map(|id| scope.arn("ec2", &format!("security-group/{id}"))).collect()
}

/// Tags: at the moment of making, and later on what is the cluster's.
fn tags(scope: &Scope) -> Vec<Statement> {
    let at_creation = json!({ "StringEquals": { "ec2:CreateAction": [
        "CreateLaunchTemplate",
        "CreateNetworkInterface",
        "CreateSecurityGroup",
        "CreateVolume",
        "RunInstances",
    ] } });
    vec![
        Statement::new("TagWhatIsMade", &["ec2:CreateTags"], scope.ec2(&TAGGED), at_creation),
        Statement::new(
            "ChangeTags",
            &["ec2:CreateTags", "ec2:DeleteTags"],
            scope.ec2(&RETAGGED),
            scope.is_owned(),
        ),
    ]
}
