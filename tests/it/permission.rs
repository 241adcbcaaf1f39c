//! The policies that kprod prints hold all that it does, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use kprod::cloud::{Call, CloudError, CloudErrorKind, Denial};
use kprod::desired;
use kprod::facts::Facts;
use kprod::permission::{
    DOCUMENT_CHARS_MAX, Level, Scope, Statement, documents, missing, needs, operations, statements,
    type_of,
};
use kprod::resource::{Kind, Resource, ResourceSet};
use kprod::spec::Spec;
use serde_json::{Value, json};

use crate::apply::spec_of;
use crate::env;

const STAGING: &str = "staging.k8s.example.com";
const PROD: &str = "prod.k8s.example.com";

fn wanted(spec: &Spec) -> ResourceSet {
    desired::build(spec, &Facts::default()).resources
}

fn scope_of(spec: &Spec, resources: &ResourceSet) -> Scope {
    let account = spec.cluster.spec.account.as_deref();
    Scope::new(account, &desired::query(spec), resources.values())
}

/// A cluster that makes use of all that a policy can speak of.
fn full(boundary: Option<&str>) -> Scope {
    let spec = spec_of(STAGING);
    let mut resources = wanted(&spec);
    for resource in resources.values_mut() {
        match resource {
            Resource::LaunchTemplate(template) => {
                let data = &mut template.launch_template_data;
                data.key_name = Some("admin".to_owned());
                data.block_device_mappings[0].kms_key_id = Some("0aa-key".to_owned());
            }
            Resource::Role(role) => role.permissions_boundary = boundary.map(str::to_owned),
            _ => {}
        }
    }
    scope_of(&spec, &resources)
}

fn levels() -> [Level; 3] {
    [Level::Plan, Level::Apply, Level::State]
}

/// Names of all variants of `Call`: what reads them names them when it meets another.
fn calls() -> Vec<String> {
    let error = serde_json::from_value::<Call>(json!({"operation": "?"})).unwrap_err().to_string();
    let (_, names) = error.split_once("expected one of ").unwrap();
    let names: Vec<String> = names.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(names.len() > 60 && names.contains(&"CreateVolume".to_owned()), "{error}");
    names
}

/// Operations that the code of the AWS side asks an SDK client for, or names in a message.
fn asked_of_the_sdk() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in rust_files(&env::root().join("src/cloud/aws")) {
        let code = fs::read_to_string(file).unwrap();
        let code = code.split("#[cfg(test)]").next().unwrap();
        let dense: String = code.split_whitespace().collect();
        for client in ["ec2.", "autoscaling.", "elb.", "iam.", "route53.", "sts.", "s3.", "ssm."] {
            let calls = dense.split(client).skip(1);
            let names = calls.filter_map(|tail| tail.split_once("()")).map(|(name, _)| name);
            found.extend(names.map(str::to_owned));
        }
        found.extend(code.split('"').skip(1).step_by(2).map(str::to_owned));
    }
    let found: BTreeSet<String> = found.iter().filter_map(|word| operation(word)).collect();
    for known in ["DescribeVolumes", "PutObject", "PutBucketPolicy", "CreateRole"] {
        assert!(found.contains(known), "{known} is not among {found:?}");
    }
    found
}

/// A method or a word that may be an operation, in the API's spelling.
fn operation(word: &str) -> Option<String> {
    let is_word = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let name = if is_word { camel(word) } else { return None };
    let verbs = ["Describe", "Get", "List", "Head", "Create", "Put", "Delete", "Modify", "Set"];
    let is_asked = verbs.iter().any(|verb| {
        name.strip_prefix(verb).is_some_and(|rest| rest.starts_with(|c: char| c.is_uppercase()))
    });
    // An error's code.
    (is_asked && name != "DeleteConflict").then_some(name)
}

fn rust_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] }).collect()
}

fn camel(snake: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    snake.split('_').filter(|word| !word.is_empty()).map(capital).collect()
}

#[test]
fn what_each_call_needs_is_known() {
    for name in calls().into_iter().chain(asked_of_the_sdk()) {
        assert!(needs(&name).is_some(), "src/permission/need.rs does not know {name}");
    }
}

/// Of each need some statement of the level speaks, on a resource of each type.
#[test]
fn every_operation_is_covered() {
    let (free, bound) = (full(None), full(Some("arn:aws:iam::1:policy/bound")));
    for level in levels() {
        let both = [statements(&free, level), statements(&bound, level)];
        for operation in operations().filter(|operation| operation.level == level) {
            for need in operation.needs {
                for on in need.on {
                    let in_policy = |policy: &Vec<Statement>| {
                        policy.iter().any(|statement| statement.serves(need.action, on))
                    };
                    let (name, action) = (operation.name, need.action);
                    // A boundary is either set or taken away.
                    let is_covered = match action.contains("PermissionsBoundary") {
                        true => both.iter().any(in_policy),
                        false => both.iter().all(in_policy),
                    };
                    assert!(is_covered, "{name} of {level:?} lacks {action} on {on}");
                }
            }
        }
    }
}

/// Each action and each resource of each statement is there for some operation of its level.
#[test]
fn nothing_is_allowed_that_no_operation_needs() {
    for level in levels() {
        let needs: Vec<_> = operations()
            .filter(|one| one.level == level || (level == Level::Apply && one.level == Level::Plan))
            .flat_map(|one| one.needs)
            .collect();
        for statement in statements(&full(None), level) {
            let sid = statement.sid;
            for action in &statement.actions {
                let is_needed = needs.iter().any(|need| {
                    need.action == *action && need.on.iter().any(|on| statement.serves(action, on))
                });
                assert!(is_needed, "{sid}: nothing needs {action}");
            }
            for resource in &statement.resources {
                let is_needed = needs.iter().any(|need| {
                    statement.actions.contains(&need.action) && need.on.contains(&type_of(resource))
                });
                assert!(is_needed, "{sid}: nothing needs {resource}");
            }
        }
    }
}

/// `*` stands only where AWS takes no resource, and never in an action.
#[test]
fn statements_are_as_narrow_as_aws_takes_them() {
    let full = full(Some("arn:aws:iam::1:policy/bound"));
    for statement in levels().into_iter().flat_map(|level| statements(&full, level)) {
        let sid = statement.sid;
        assert!(sid.chars().all(|c| c.is_ascii_alphanumeric()), "{sid}");
        assert!(statement.actions.iter().all(|action| !action.contains('*')), "{sid}");
        assert!(statement.actions.is_sorted(), "{sid}: {:?}", statement.actions);
        assert!(!statement.resources.is_empty(), "{sid} has no resource");
        if statement.resources.contains(&"*".to_owned()) {
            let takes_none = |action: &&str| {
                let needs = operations().flat_map(|operation| operation.needs);
                needs.filter(|need| need.action == *action).all(|need| need.on == ["*"])
            };
            assert!(statement.actions.iter().all(takes_none), "{sid}");
        }
    }
}

/// Whether an ARN means all of a type.
fn is_open(arn: &str) -> bool {
    arn.splitn(6, ':').nth(5).is_some_and(|last| last == format!("{}/*", type_of(arn)))
}

/// What goes by no name goes by a tag, a template or a record's name, unless AWS takes no condition.
#[test]
fn what_has_no_name_is_held_by_a_condition() {
    // Route53 knows no condition on a zone.
    let free = ["ChangeZone", "ReadRecords"];
    for statement in statements(&full(None), Level::Apply) {
        for resource in statement.resources.iter().filter(|arn| is_open(arn)) {
            let is_held = !statement.condition.is_null() || free.contains(&statement.sid);
            assert!(is_held, "{}: {resource}", statement.sid);
            let is_ec2_or_zone = resource.contains(":ec2:") || resource.contains(":route53:");
            assert!(is_ec2_or_zone, "{}: {resource}", statement.sid);
        }
    }
}

#[test]
fn a_plan_is_part_of_an_apply_and_each_id_is_given_once() {
    let full = full(None);
    let apply = statements(&full, Level::Apply);
    assert!(statements(&full, Level::Plan).iter().all(|statement| apply.contains(statement)));
    let sids: BTreeSet<&str> = apply.iter().map(|statement| statement.sid).collect();
    assert_eq!(sids.len(), apply.len());
}

/// The names that statements speak of are the names that things get.
#[test]
fn the_names_of_the_wanted_resources_are_those_of_the_statements() {
    for cluster in [STAGING, PROD] {
        let spec = spec_of(cluster);
        let resources = wanted(&spec);
        let scope = scope_of(&spec, &resources);
        let policy = statements(&scope, Level::Apply);
        let account = spec.cluster.spec.account.as_deref().unwrap();
        let mut checked = 0;
        for key in resources.keys() {
            let (region, name) = ("eu-west-3", &key.name);
            let (action, arn) = match key.kind {
                Kind::Role => ("iam:PassRole", format!("arn:aws:iam::{account}:role/{name}")),
                Kind::InstanceProfile => (
                    "iam:CreateInstanceProfile",
                    format!("arn:aws:iam::{account}:instance-profile/{name}"),
                ),
                Kind::LoadBalancer => (
                    "elasticloadbalancing:CreateLoadBalancer",
                    format!(
                        "arn:aws:elasticloadbalancing:{region}:{account}:loadbalancer/net/{name}/*"
                    ),
                ),
                Kind::TargetGroup => (
                    "elasticloadbalancing:CreateTargetGroup",
                    format!("arn:aws:elasticloadbalancing:{region}:{account}:targetgroup/{name}/*"),
                ),
                Kind::AutoScalingGroup => (
                    "autoscaling:CreateAutoScalingGroup",
                    format!(
                        "arn:aws:autoscaling:{region}:{account}:autoScalingGroup:*:\
                         autoScalingGroupName/{name}"
                    ),
                ),
                Kind::DnsName => {
                    assert!(name.ends_with(&format!(".{cluster}")), "{name}");
                    continue;
                }
                _ => continue,
            };
            let is_allowed = policy.iter().any(|statement| statement.is_about(action, &arn));
            assert!(is_allowed, "{action} on {arn}");
            checked += 1;
        }
        assert!(checked > 10, "{checked}");
        let strange = format!("arn:aws:iam::{account}:role/masters.other.example.com");
        assert!(!policy.iter().any(|statement| statement.is_about("iam:PassRole", &strange)));
    }
}

/// A managed policy takes 6,144 characters and a name of 128; a long name of a cluster, and a
/// cluster of many subnets, change nothing.
#[test]
fn documents_stay_within_what_iam_takes() {
    let long = format!("{}.example.com", ["a".repeat(25), "b".repeat(25)].join("."));
    for cluster in [STAGING, PROD, &long] {
        let mut spec = spec_of(STAGING);
        spec.cluster.metadata.name = cluster.to_owned();
        let scope = scope_of(&spec, &wanted(&spec));
        for level in levels() {
            let parts = documents(&scope, level);
            let all: Vec<Statement> =
                parts.iter().flat_map(|part| part.statements.clone()).collect();
            assert_eq!(all, statements(&scope, level), "in order, and none lost");
            assert!(parts.len() <= 5, "{} parts", parts.len());
            for part in parts {
                assert!(part.chars() <= DOCUMENT_CHARS_MAX, "{}: {}", part.name, part.chars());
                assert!(part.name.len() <= 128, "{}", part.name);
            }
        }
    }
}

/// With a boundary in the spec nobody gives a role permissions beyond it.
#[test]
fn a_permissions_boundary_binds_the_operator_too() {
    let boundary = "arn:aws:iam::1:policy/bound";
    let bound = statements(&full(Some(boundary)), Level::Apply);
    let gives = ["iam:AttachRolePolicy", "iam:CreateRole", "iam:PutRolePolicy"];
    for action in gives.into_iter().chain(["iam:PutRolePermissionsBoundary"]) {
        for statement in bound.iter().filter(|statement| statement.actions.contains(&action)) {
            let condition = &statement.condition["StringEquals"]["iam:PermissionsBoundary"];
            assert_eq!(*condition, json!([boundary]), "{action}");
        }
    }
    let lifts = |one: &Statement| one.actions.contains(&"iam:DeleteRolePermissionsBoundary");
    assert!(!bound.iter().any(lifts));
    assert!(statements(&full(None), Level::Apply).iter().any(lifts));
}

fn denied(operation: &str, message: &str) -> Vec<&'static str> {
    let error =
        CloudError::new(CloudErrorKind::Denied, operation, "UnauthorizedOperation", message);
    let denial = Denial::of(&error).unwrap();
    let policy = statements(&full(None), Level::Apply);
    missing(&denial, &policy).into_iter().map(|statement| statement.sid).collect()
}

#[test]
fn a_denial_is_answered_by_the_statement_that_is_missing() {
    let told = |action: &str, resource: &str| {
        format!(
            "User: arn:aws:iam::1:user/u is not authorized to perform: {action} on resource: \
             {resource} because no identity-based policy allows the {action} action"
        )
    };
    let volume = told("ec2:CreateVolume", "arn:aws:ec2:eu-west-3:210987654321:volume/*");
    assert_eq!(denied("CreateVolume", &volume), ["CreateVolumesAndInterfaces"]);
    let role = "arn:aws:iam::210987654321:role/nodes.staging.k8s.example.com";
    let pass = told("iam:PassRole", role);
    assert_eq!(denied("CreateAutoScalingGroup", &pass), ["PassRolesToMachines"]);
    // A resource that no statement names: the account's other roles are none of kprod's business.
    let strange = told("iam:PassRole", "arn:aws:iam::210987654321:role/admin");
    assert!(denied("AddRoleToInstanceProfile", &strange).contains(&"PassRolesToMachines"));
    // Nothing but the operation is known.
    let terse = denied("CreateVolume", "You are not authorized to perform this operation.");
    for sid in ["CreateVolumesAndInterfaces", "TagWhatIsMade", "UseDiskKeys"] {
        assert!(terse.contains(&sid), "{terse:?}");
    }
    assert!(!terse.contains(&"LaunchMachines"), "{terse:?}");
}

/// The program prints it without a cloud: what it prints is what IAM takes.
#[test]
fn the_printed_policies_are_inputs_to_create_policy() {
    let fleet = env::fleet();
    for level in ["plan", "apply", "state"] {
        let arguments = ["policy", STAGING, "--for", level, "-o", "json"];
        let output = env::kprod(fleet.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let inputs: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        for input in inputs {
            let name = input["PolicyName"].as_str().unwrap();
            assert!(name.starts_with(&format!("kprod-{STAGING}-{level}")), "{name}");
            let policy: Value =
                serde_json::from_str(input["PolicyDocument"].as_str().unwrap()).unwrap();
            assert_eq!(policy["Version"], "2012-10-17");
            for statement in policy["Statement"].as_array().unwrap() {
                assert_eq!(statement["Effect"], "Allow");
                assert!(statement["Sid"].is_string() && !statement["Resource"].is_null());
            }
        }
    }
    assert!(!fleet.path().join(".kprod").exists(), "no account was opened");
}
