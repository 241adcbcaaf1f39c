//! Goal: a change becomes the right calls in the right order, and no field is ever forgotten.
//! Method: hand-written lists of operations for each kind, and laws over every field of a cluster in
//! which every kind occurs with every field set.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use serde_json::{Value, json};

use super::*;
use crate::cloud::Observation;
use crate::plan::sample::{CLUSTER, applied, full_cluster};
use crate::plan::{PlanOptions, make};
use crate::resource::{AutoScalingGroup, Kind, Ref, ResourceSet, SecurityGroupRules};

/// A change of one resource, whatever the world looks like.
fn change(action: Action, key: &Key, wanted: &Resource) -> Change {
    let world = crate::plan::sample::empty_world();
    let set = ResourceSet::from([(key.clone(), wanted.clone())]);
    let mut change = make(&set, &world, &PlanOptions::default()).changes.remove(0);
    change.action = action;
    change
}

fn resolved(wanted: &Resource, world: &Observation) -> Resource {
    wanted
        .resolve(&|key, attribute| match attribute {
            Attribute::Target => Some("1:0123456789abcdef".to_owned()),
            _ => world.attribute(key, attribute),
        })
        .unwrap()
}

/// Replies as AWS would give them.
fn own() -> Own {
    let known = [
        (Attribute::Id, "id-new"),
        (Attribute::Arn, "arn:new"),
        (Attribute::Certificate, "certificate"),
    ];
    let attributes = known.map(|(attribute, value)| (attribute, value.to_owned())).into();
    Own { attributes, version: Some(7) }
}

fn calls(steps: &[Step]) -> Vec<Call> {
    steps.iter().map(|step| step.call(&own()).unwrap()).collect()
}

fn operations(steps: &[Step]) -> Vec<String> {
    calls(steps).iter().map(Call::operation).collect()
}

/// The one resource of a kind, its key, and the world right after it was applied.
fn scene(kind: Kind) -> (Key, Resource, Observation) {
    let set = full_cluster();
    let world = applied(&set);
    let (key, wanted) = set.into_iter().find(|(key, _)| key.kind == kind).unwrap();
    (key, wanted, world)
}

/// What it takes to get from nothing to each kind.
fn creation(kind: Kind) -> Vec<&'static str> {
    match kind {
        Kind::SecurityGroup => vec!["CreateSecurityGroup"],
        Kind::SecurityGroupRules => vec!["AuthorizeSecurityGroupEgress"],
        Kind::Role => vec!["CreateRole", "PutRolePolicy", "AttachRolePolicy"],
        Kind::InstanceProfile => vec!["CreateInstanceProfile", "AddRoleToInstanceProfile"],
        Kind::LoadBalancer => vec!["CreateLoadBalancer", "ModifyLoadBalancerAttributes"],
        Kind::TargetGroup => vec!["CreateTargetGroup", "ModifyTargetGroupAttributes"],
        Kind::Listener => vec!["CreateListener"],
        Kind::HostedZone => vec!["CreateHostedZone", "ChangeTagsForResource"],
        Kind::DnsName => vec!["ChangeResourceRecordSets"],
        Kind::Volume => vec!["CreateVolume"],
        Kind::NetworkInterface => vec!["CreateNetworkInterface"],
        Kind::Authority => vec!["CreateAuthority", "PublishAuthority"],
        Kind::Epoch => vec!["CreateEpoch"],
        Kind::Asset => vec!["CreateAsset"],
        Kind::LaunchTemplate => vec!["CreateLaunchTemplate"],
        Kind::AutoScalingGroup => vec![
            "ProveLaunchTemplateVersion",
            "CreateAutoScalingGroup",
            "SuspendProcesses",
            "EnableMetricsCollection",
        ],
    }
}

/// What it takes to get from each kind to nothing.
fn removal(kind: Kind) -> Vec<&'static str> {
    match kind {
        Kind::SecurityGroup => vec!["DeleteSecurityGroup"],
        Kind::SecurityGroupRules => vec!["RevokeSecurityGroupEgress"],
        Kind::Role => vec!["DeleteRolePolicy", "DetachRolePolicy", "DeleteRole"],
        Kind::InstanceProfile => vec!["RemoveRoleFromInstanceProfile", "DeleteInstanceProfile"],
        Kind::LoadBalancer => vec!["DeleteLoadBalancer"],
        Kind::TargetGroup => vec!["DeleteTargetGroup"],
        Kind::Listener => vec!["DeleteListener"],
        Kind::HostedZone => vec!["DeleteHostedZone"],
        Kind::DnsName => vec!["ChangeResourceRecordSets"],
        Kind::Volume => vec!["DeleteVolume"],
        Kind::NetworkInterface => vec!["DeleteNetworkInterface"],
        Kind::Authority => vec!["DeleteAuthority"],
        // A report, certificates, the epoch itself.
        Kind::Epoch => vec!["DeleteObject", "DeleteObject", "DeleteObject"],
        Kind::Asset => vec!["DeleteObject"],
        Kind::LaunchTemplate => vec!["DeleteLaunchTemplate"],
        Kind::AutoScalingGroup => vec!["DeleteAutoScalingGroup"],
    }
}

#[test]
fn each_kind_is_made_and_removed_by_its_calls_in_order() {
    for kind in Kind::ALL {
        let (key, wanted, world) = scene(kind);
        let after = resolved(&wanted, &world);
        let create = change(Action::Create, &key, &wanted);
        let context = StepContext::new(CLUSTER, &create);
        let made = steps(&create, None, Some(&after), &context).unwrap();
        assert_eq!(operations(&made), creation(kind), "creating {kind}");

        let delete = change(Action::Delete, &key, &wanted);
        let observed = world.resources.get(&key);
        let gone = steps(&delete, observed, None, &context).unwrap();
        assert_eq!(operations(&gone), removal(kind), "removing {kind}");
        let nothing = steps(&delete, None, None, &context).unwrap();
        assert!(nothing.is_empty(), "removing {kind} that is gone");
    }
}

#[test]
fn what_is_as_wanted_takes_no_step_whatever_the_plan_says() {
    let set = full_cluster();
    let world = applied(&set);
    for (key, wanted) in &set {
        for action in [Action::Create, Action::Update, Action::Replace] {
            let change = change(action, key, wanted);
            let context = StepContext::new(CLUSTER, &change);
            let observed = &world.resources[key];
            let done = steps(&change, Some(observed), Some(&observed.resource), &context).unwrap();
            assert_eq!(operations(&done), Vec::<String>::new(), "{action:?} {key}");
        }
    }
}

#[test]
fn a_promise_never_goes_out() {
    for (key, wanted) in full_cluster() {
        if wanted.references().is_empty() {
            continue;
        }
        let change = change(Action::Create, &key, &wanted);
        let context = StepContext::new(CLUSTER, &change);
        let result = steps(&change, None, Some(&wanted), &context);
        assert!(matches!(result, Err(StepError::Unresolved(_))), "{key}");
    }
}

/// Every leaf of a resource, as a path of keys.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, item) in map {
                leaves(
                    item,
                    &format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")),
                    found,
                );
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &format!("{path}/{index}"), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

/// Another value of the same type.
fn other(value: &Value) -> Value {
    match value {
        Value::Bool(flag) => json!(!flag),
        Value::Number(number) => json!(number.as_i64().unwrap() + 1),
        Value::String(text) => json!(format!("{text}x")),
        _ => Value::Null,
    }
}

/// AWS names the key of every encrypted volume, also of one that was made without naming any.
#[test]
fn a_field_that_was_not_read_and_is_not_wanted_asks_for_no_step() {
    let (key, wanted, world) = scene(Kind::Volume);
    let Resource::Volume(mut volume) = wanted else { panic!("{key}") };
    volume.kms_key_id = None;
    let wanted = Resource::Volume(volume);
    let change = change(Action::Update, &key, &wanted);
    let context = StepContext::new(CLUSTER, &change);
    let mut observed = world.resources[&key].clone();
    observed.unread.insert("kms_key_id".to_owned());
    observed.digest = Some(context.digest.clone());
    let steps = steps(&change, Some(&observed), Some(&wanted), &context).unwrap();
    assert_eq!(operations(&steps), Vec::<String>::new());
}

/// The law against forgotten fields: whatever differs is either changed by a call or refused.
#[test]
fn every_field_that_differs_takes_a_step_or_is_refused() {
    let set = full_cluster();
    let world = applied(&set);
    let mut forgotten = Vec::new();
    for (key, wanted) in &set {
        let change = change(Action::Update, key, wanted);
        let context = StepContext::new(CLUSTER, &change);
        let mut observed = world.resources[key].clone();
        // Versions were read: the content is compared, too.
        observed.unread.clear();
        let value = observed.resource.to_value();
        let mut paths = Vec::new();
        leaves(&value, "", &mut paths);
        for path in paths {
            let mut edited = value.clone();
            let leaf = edited.pointer_mut(&path).unwrap();
            *leaf = other(leaf);
            // A name is the identity: under another one it is another resource.
            let is_name =
                path.matches('/').count() == 1 && *leaf == json!(format!("{}x", key.name));
            let Ok(after) = Resource::from_value(key.kind, edited) else { continue };
            if is_name || after == observed.resource {
                continue;
            }
            match steps(&change, Some(&observed), Some(&after), &context) {
                Ok(steps) if steps.is_empty() => forgotten.push(format!("{key} {path}")),
                Ok(_) | Err(StepError::Immutable(_)) => {}
                Err(error) => panic!("{key}: {path}: {error}"),
            }
        }
    }
    assert_eq!(forgotten, Vec::<String>::new());
}

/// Old rules go only after new ones are there, each direction in one call.
#[test]
fn rules_are_added_before_others_are_removed() {
    let (key, wanted, world) = scene(Kind::SecurityGroupRules);
    let change = change(Action::Update, &key, &wanted);
    let Resource::SecurityGroupRules(now) = &world.resources[&key].resource else { panic!() };
    let mut rules = SecurityGroupRules { rules: BTreeSet::new(), ..now.clone() };
    for (port, is_egress) in [(1, true), (2, true), (3, false), (4, false)] {
        let mut rule = now.rules.first().unwrap().clone();
        (rule.from_port, rule.to_port, rule.is_egress) = (port, port, is_egress);
        rules.rules.insert(rule);
    }
    let context = StepContext::new(CLUSTER, &change);
    let after = Resource::SecurityGroupRules(rules);
    let made = steps(&change, world.resources.get(&key), Some(&after), &context).unwrap();
    let expected = [
        "AuthorizeSecurityGroupIngress",
        "AuthorizeSecurityGroupEgress",
        "RevokeSecurityGroupEgress",
    ];
    assert_eq!(operations(&made), expected);
}

/// AWS puts a rule into each new group, and refuses to hold a rule twice.
#[test]
fn a_rule_that_is_there_already_is_not_added_again() {
    let (key, wanted, world) = scene(Kind::SecurityGroupRules);
    let change = change(Action::Update, &key, &wanted);
    let context = StepContext::new(CLUSTER, &change);
    let mut observed = world.resources[&key].clone();
    let after = observed.resource.clone();
    let Resource::SecurityGroupRules(rules) = &mut observed.resource else { panic!() };
    observed.foreign_rules = std::mem::take(&mut rules.rules);
    assert!(steps(&change, Some(&observed), Some(&after), &context).unwrap().is_empty());
}

/// The tag that names a version says number, revision and content.
#[test]
fn a_new_version_is_made_and_named() {
    let (key, wanted, world) = scene(Kind::LaunchTemplate);
    let change = change(Action::Update, &key, &wanted);
    let context = StepContext::new(CLUSTER, &change);
    let mut after = world.resources[&key].resource.clone();
    let Resource::LaunchTemplate(template) = &mut after else { panic!() };
    template.launch_template_data.user_data.push('x');
    let data = template.launch_template_data.clone();
    let made = steps(&change, world.resources.get(&key), Some(&after), &context).unwrap();
    assert_eq!(operations(&made), ["CreateLaunchTemplateVersion", "CreateTags"]);
    let Call::CreateTags { tags, .. } = &calls(&made)[1] else { panic!() };
    let named = |number| format!("{number}:{}:{}", data.revision(), data.content_digest());
    assert_eq!(tags.get(crate::resource::VERSION_TAG), Some(&named(7)));
    // The first version needs no call of its own for that.
    let made = calls(&steps(&change, None, Some(&after), &context).unwrap());
    let [Call::CreateLaunchTemplate { tags, .. }] = made.as_slice() else { panic!("{made:#?}") };
    assert_eq!(tags.get(crate::resource::VERSION_TAG), Some(&named(1)));
    assert_eq!(tags.get(DIGEST_TAG), Some(&context.digest));
}

/// A token that comes again with other parameters would be refused.
#[test]
fn a_template_with_other_tags_has_another_token() {
    let (key, mut wanted, world) = scene(Kind::LaunchTemplate);
    let mut token = || {
        let change = change(Action::Create, &key, &wanted);
        let context = StepContext::new(CLUSTER, &change);
        let made = steps(&change, None, Some(&resolved(&wanted, &world)), &context).unwrap();
        let Resource::LaunchTemplate(template) = &mut wanted else { panic!() };
        template.tags.insert("team".to_owned(), "b".to_owned());
        let Call::CreateLaunchTemplate { client_token, .. } = calls(&made).remove(0) else {
            panic!()
        };
        client_token
    };
    assert_ne!(token(), token());
}

/// What an earlier run made and did not name is used, not made again.
#[test]
fn a_version_left_by_a_killed_run_is_taken_up() {
    let (key, wanted, world) = scene(Kind::LaunchTemplate);
    let change = change(Action::Update, &key, &wanted);
    let context = StepContext::new(CLUSTER, &change);
    let mut observed = world.resources[&key].clone();
    let Resource::LaunchTemplate(template) = &observed.resource else { panic!() };
    let data = template.launch_template_data.clone();
    let facts = observed.template.as_mut().unwrap();
    facts.wanted = None;
    let version =
        crate::cloud::VersionFacts { revision: Some(data.revision()), data: data.clone() };
    facts.versions.insert(3, version);
    let after = observed.resource.clone();
    let made = calls(&steps(&change, Some(&observed), Some(&after), &context).unwrap());
    let [Call::CreateTags { tags, .. }] = made.as_slice() else { panic!("{made:#?}") };
    let named = format!("3:{}:{}", data.revision(), data.content_digest());
    assert_eq!(tags.get(crate::resource::VERSION_TAG), Some(&named));
}

/// A new target is a tag, set once its version is proven; pin and desired capacity belong to others.
#[test]
fn a_new_target_is_proven_and_only_sets_the_tag() {
    let (key, wanted, world) = scene(Kind::AutoScalingGroup);
    let change = change(Action::Update, &key, &wanted);
    let context = StepContext::new(CLUSTER, &change);
    let mut after = world.resources[&key].resource.clone();
    let Resource::AutoScalingGroup(group) = &mut after else { panic!() };
    group.target = Ref::Known("9:fedcba9876543210".to_owned());
    let subnet = group.vpc_zone_identifier.first().cloned();
    let made = steps(&change, world.resources.get(&key), Some(&after), &context).unwrap();
    assert_eq!(operations(&made), ["ProveLaunchTemplateVersion", "CreateOrUpdateTags"]);
    let Call::ProveLaunchTemplateVersion { version: 9, subnet_id, .. } = &calls(&made)[0] else {
        panic!()
    };
    assert_eq!(*subnet_id, subnet);
}

/// AWS takes a policy only with its template, so the group's own pin goes with it; other settings
/// change without a word about either.
#[test]
fn a_changed_policy_names_the_pin_as_it_is() {
    let (key, wanted, mut world) = scene(Kind::AutoScalingGroup);
    let change = change(Action::Update, &key, &wanted);
    let context = StepContext::new(CLUSTER, &change);
    let observed = world.resources.get_mut(&key).unwrap();
    observed.group.as_mut().unwrap().pin = Some(4);
    let named_pin = |edit: fn(&mut AutoScalingGroup)| {
        let mut after = observed.resource.clone();
        let Resource::AutoScalingGroup(group) = &mut after else { panic!() };
        edit(group);
        let made = steps(&change, Some(observed), Some(&after), &context).unwrap();
        let Call::UpdateAutoScalingGroup { version, .. } = calls(&made)[0] else { panic!() };
        version
    };
    assert_eq!(named_pin(|group| group.max_size += 1), None);
    assert_eq!(named_pin(|group| group.mixed_instances_policy = None), Some(4));
}

/// A group that leaves a zone must not balance zones until its machines there were drained.
#[test]
fn processes_are_suspended_before_a_group_changes_and_resumed_after_it_has() {
    let (key, wanted, world) = scene(Kind::AutoScalingGroup);
    let change = change(Action::Update, &key, &wanted);
    let context = StepContext::new(CLUSTER, &change);
    let mut after = world.resources[&key].resource.clone();
    let Resource::AutoScalingGroup(group) = &mut after else { panic!() };
    group.max_size += 1;
    group.suspended_processes = ["Launch".to_owned()].into();
    let made = steps(&change, world.resources.get(&key), Some(&after), &context).unwrap();
    let wanted = ["SuspendProcesses", "UpdateAutoScalingGroup", "ResumeProcesses"];
    assert_eq!(operations(&made), wanted);
}

/// Only `destroy` takes a group with its machines.
#[test]
fn a_group_is_forced_away_only_with_its_cluster() {
    let (key, wanted, world) = scene(Kind::AutoScalingGroup);
    let mut change = change(Action::Delete, &key, &wanted);
    for (reason, forced) in [(Reason::NotWanted, false), (Reason::Destroy, true)] {
        change.reason = reason;
        let context = StepContext::new(CLUSTER, &change);
        let made = steps(&change, world.resources.get(&key), None, &context).unwrap();
        let Call::DeleteAutoScalingGroup { force, .. } = calls(&made)[0] else { panic!() };
        assert_eq!(force, forced);
    }
}

/// Equal content gives an equal token, and a resource made again after its removal another one.
#[test]
fn a_token_is_of_content_and_incarnation() {
    let (key, wanted, world) = scene(Kind::Volume);
    let change = change(Action::Create, &key, &wanted);
    let after = resolved(&wanted, &world);
    let token = |incarnation| {
        let context = StepContext { incarnation, ..StepContext::new(CLUSTER, &change) };
        let made = steps(&change, None, Some(&after), &context).unwrap();
        let Call::CreateVolume { client_token, .. } = calls(&made).remove(0) else { panic!() };
        client_token
    };
    assert_eq!(token(0), token(0));
    assert_ne!(token(0), token(1));
}
