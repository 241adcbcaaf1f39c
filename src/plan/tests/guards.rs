//! Each guard: when it says no, and when it lets go.

use super::super::sample::{CLUSTER, applied, edit, empty_world, full_cluster, make_foreign};
use super::*;
use crate::cloud::{GroupFacts, asset};
use crate::pki;
use crate::resource::{Attribute, FORMATTED_TAG, Resource};

#[test]
fn foreign_resources_are_refused_and_never_changed() {
    let desired = full_cluster();
    let mut world = applied(&desired);
    make_foreign(&mut world, &address("security_group/nodes.test.example.com"));
    world.resources.remove(&address("security_group_rules/nodes.test.example.com"));
    let plan = plan(&desired, &world);
    assert_eq!(plan.changes, [], "rules of a foreign group are not ours to write");
    assert_eq!(guards(&plan), ["foreign"]);
}

#[test]
fn a_part_that_uses_a_foreign_resource_is_refused_too() {
    let desired = full_cluster();
    let mut world = applied(&desired);
    make_foreign(&mut world, &address(TEMPLATE));
    world.resources.remove(&address(GROUP));
    let only = BTreeSet::from([address(GROUP)]);
    let plan = make(&desired, &world, &PlanOptions { only, ..PlanOptions::default() });
    assert_eq!(guards(&plan), ["foreign"]);
    let only = BTreeSet::from([address(VOLUME)]);
    let plan = make(&desired, &world, &PlanOptions { only, ..PlanOptions::default() });
    assert!(plan.refusals.is_empty(), "a volume has nothing to do with it");
}

#[test]
fn a_misspelt_address_is_refused_with_a_suggestion() {
    let only = BTreeSet::from([address("auto_scaling_group/node.test.example.com")]);
    let options = PlanOptions { only, ..PlanOptions::default() };
    let plan = make(&full_cluster(), &empty_world(), &options);
    assert_eq!(guards(&plan), ["address"]);
    assert_eq!(plan.refusals[0].hint, format!("did you mean {GROUP}?"));
}

#[test]
fn data_is_deleted_only_by_name() {
    let mut desired = full_cluster();
    let world = applied(&desired);
    desired.remove(&address(VOLUME));
    let mut options = PlanOptions::default();
    assert_eq!(guards(&make(&desired, &world, &options)), ["data", "delete"]);
    options.allow_delete = true;
    assert_eq!(guards(&make(&desired, &world, &options)), ["data"]);
    options.delete_named.insert(address(VOLUME));
    let plan = make(&desired, &world, &options);
    assert!(plan.is_applyable());
    assert_eq!(addresses(&plan), [VOLUME]);
}

#[test]
fn an_authority_is_made_once_and_then_only_put_back() {
    let desired = full_cluster();
    let mut world = applied(&desired);
    let key = address("authority/etcd-peers-main.test.example.com");
    world.resources.remove(&key);
    let first = plan(&desired, &world);
    assert_eq!((addresses(&first), guards(&first)), (vec![key.to_string()], Vec::new()));
    let volume = world.resources.get_mut(&address(VOLUME)).unwrap();
    let Resource::Volume(formatted) = &mut volume.resource else { panic!() };
    formatted.tags.insert(FORMATTED_TAG.to_owned(), "true".to_owned());
    let mut others = world.clone();
    assert_eq!(guards(&plan(&desired, &world)), ["lost_authority"]);
    make_foreign(&mut others, &address(VOLUME));
    assert!(!guards(&plan(&desired, &others)).contains(&"lost_authority"), "others' volume");
}

#[test]
fn an_authority_without_its_key_is_refused_and_told() {
    let desired = full_cluster();
    let mut world = applied(&desired);
    let key = address("authority/etcd-peers-main.test.example.com");
    let found = world.resources.get_mut(&key).unwrap();
    let Resource::Authority(keyless) = &mut found.resource else { panic!() };
    keyless.key_spec = None;
    let refused = plan(&desired, &world);
    assert_eq!(
        (addresses(&refused), guards(&refused)),
        (vec![key.to_string()], vec!["lost_authority"])
    );
    assert_eq!(authorities_in_need(&world), [(key.clone(), pki::State::Keyless)]);
    assert!(refused.findings.is_empty(), "it is said once: {:?}", refused.findings);
    // Who did not ask does not know.
    world.resources.get_mut(&key).unwrap().unread.insert("key_spec".to_owned());
    let quiet = plan(&desired, &world);
    assert_eq!((addresses(&quiet), guards(&quiet)), (vec![], vec![]));
    assert_eq!(authorities_in_need(&world), []);
}

#[test]
fn a_lost_epoch_is_not_opened_again() {
    let desired = full_cluster();
    let mut world = applied(&desired);
    let key = address("epoch/main.test.example.com");
    world.resources.remove(&key);
    let first = plan(&desired, &world);
    assert_eq!((addresses(&first), guards(&first)), (vec![key.to_string()], Vec::new()));
    let mut formatted = world.clone();
    let volume = formatted.resources.get_mut(&address(VOLUME)).unwrap();
    let Resource::Volume(volume) = &mut volume.resource else { panic!() };
    volume.tags.insert(FORMATTED_TAG.to_owned(), "true".to_owned());
    assert!(guards(&plan(&desired, &formatted)).is_empty(), "of another etcd cluster");
    let volume = formatted.resources.get_mut(&address(VOLUME)).unwrap();
    let Resource::Volume(volume) = &mut volume.resource else { panic!() };
    volume.tags.insert("k8s.io/etcd/main".to_owned(), "a/a".to_owned());
    assert_eq!(guards(&plan(&desired, &formatted)), ["lost_epoch"]);
    let report = "etcd/test.example.com/main/report/a".to_owned();
    world.etcd_remains.insert(key.clone(), [report].into());
    assert_eq!(guards(&plan(&desired, &world)), ["lost_epoch"]);
    // Whoever destroys opens nothing.
    let destroy = PlanOptions { destroy: true, ..PlanOptions::default() };
    assert!(make(&desired, &world, &destroy).is_applyable());
}

#[test]
fn that_an_authority_ends_is_known_by_the_time_of_the_look() {
    let authority = pki::Authority::EtcdPeers("main".to_owned());
    let made: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let key = pki::PrivateKey::generate().unwrap();
    let signer = pki::Signer::make(&authority, sample::CLUSTER, key, made).unwrap();
    let desired = full_cluster();
    let mut world = applied(&desired);
    let address = address("authority/etcd-peers-main.test.example.com");
    let found = world.resources.get_mut(&address).unwrap();
    found.attributes.insert(Attribute::Certificate, signer.to_public());
    for (taken_at, expected) in [
        ("2026-01-02T00:00:00Z", None),
        ("2035-01-01T00:00:00Z", Some("it ends at 2035-12-30T00:00:00Z")),
        ("2036-01-01T00:00:00Z", Some("it ended at 2035-12-30T00:00:00Z")),
    ] {
        world.taken_at = taken_at.to_owned();
        let told = authorities_in_need(&world);
        let told: Vec<String> = told.iter().map(|(_, state)| state.to_string()).collect();
        assert_eq!(told.iter().map(String::as_str).next(), expected, "{taken_at}");
        let plan = plan(&desired, &world);
        assert_eq!((plan.changes.len(), plan.refusals.len()), (0, 0), "it is never replaced");
        assert!(plan.findings.is_empty(), "a lint says it: {:?}", plan.findings);
    }
}

#[test]
fn a_group_with_machines_is_not_deleted() {
    let mut desired = full_cluster();
    let mut world = applied(&desired);
    desired.remove(&address(GROUP));
    let options = PlanOptions { allow_delete: true, ..PlanOptions::default() };
    assert_eq!(guards(&make(&desired, &world, &options)), ["machines"]);
    world.resources.get_mut(&address(GROUP)).unwrap().group = Some(GroupFacts::default());
    assert!(make(&desired, &world, &options).is_applyable());
}

#[test]
fn machines_are_drained_before_a_lower_maximum_or_a_lost_subnet() {
    let before = full_cluster();
    let world = applied(&before);
    let with_max = |max: i32| edit(&before, &address(GROUP), |v| v["max_size"] = max.into());
    // Two machines run.
    for (max, refused) in [(7, vec![]), (2, vec![]), (1, vec!["machines"])] {
        let plan = plan(&with_max(max), &world);
        assert_eq!(addresses(&plan), [GROUP]);
        assert_eq!(guards(&plan), refused, "{max}");
    }
    let lost = edit(&before, &address(GROUP), |value| {
        value["vpc_zone_identifier"] = serde_json::json!(["subnet-a"]);
    });
    assert_eq!(guards(&plan(&lost, &world)), ["machines"]);
    let mut empty = world.clone();
    let group = empty.resources.get_mut(&address(GROUP)).unwrap().group.as_mut().unwrap();
    group.instances.retain(|instance| instance.availability_zone == "eu-west-1a");
    assert!(plan(&lost, &empty).is_applyable(), "nothing runs in the lost subnet's zone");
}

#[test]
fn an_epoch_keeps_the_members_that_it_was_opened_for() {
    let before = full_cluster();
    let other = edit(&before, &address("epoch/main.test.example.com"), |value| {
        value["members"]["b"] = value["members"]["a"].clone();
    });
    for (wanted, there, said) in [
        (&other, &before, "members.b cannot be added"),
        (&before, &other, "members.b cannot be taken away"),
    ] {
        let plan = plan(wanted, &applied(there));
        assert_eq!(guards(&plan), ["forbidden_field"]);
        assert_eq!(plan.refusals[0].message, said);
        assert!(plan.refusals[0].hint.contains("a new cluster of another name"));
    }
}

#[test]
fn a_volume_grows_and_does_not_shrink() {
    let before = full_cluster();
    let world = applied(&before);
    let sized = |size: i32| edit(&before, &address(VOLUME), |v| v["size"] = size.into());
    assert!(plan(&sized(40), &world).is_applyable());
    let shrunk = plan(&sized(10), &world);
    assert_eq!(guards(&shrunk), ["forbidden_field"]);
    assert!(shrunk.refusals[0].hint.contains("can only grow"), "{:?}", shrunk.refusals);
}

#[test]
fn a_failed_revision_waits_for_other_content_or_retry() {
    let desired = full_cluster();
    let mut world = applied(&desired);
    let (_, revision, _) = world.resources[&address(TEMPLATE)]
        .template
        .as_ref()
        .and_then(|facts| facts.wanted.clone())
        .unwrap();
    let group = world.resources.get_mut(&address(GROUP)).unwrap().group.as_mut().unwrap();
    group.failed_revision = Some(revision);
    assert_eq!(guards(&plan(&desired, &world)), ["failed_revision"]);
    let retry = PlanOptions { retry: true, ..PlanOptions::default() };
    assert_eq!(make(&desired, &world, &retry).refusals, []);
    let group = world.resources.get_mut(&address(GROUP)).unwrap().group.as_mut().unwrap();
    group.failed_revision = Some("another".to_owned());
    assert_eq!(plan(&desired, &world).refusals, []);
}

#[test]
fn a_load_balancer_is_made_again_with_what_hangs_on_it() {
    let before = full_cluster();
    let world = applied(&before);
    let desired = edit(&before, &address("load_balancer/api-test"), |value| {
        value["scheme"] = "internet-facing".into();
    });
    let options = PlanOptions { allow_delete: true, ..PlanOptions::default() };
    let plan = make(&desired, &world, &options);
    let actions: Vec<(String, Action)> =
        plan.changes.iter().map(|c| (c.address.to_string(), c.action)).collect();
    assert_eq!(
        actions,
        [
            ("load_balancer/api-test".to_owned(), Action::Replace),
            ("listener/api-test:443".to_owned(), Action::Replace),
            ("dns_name/api.internal.test.example.com".to_owned(), Action::Update),
        ]
    );
    assert!(plan.is_applyable(), "{:?}", plan.refusals);
    assert!(precondition_holds(&plan.changes[1], None), "a listener goes with its load balancer");
}

#[test]
fn what_is_in_use_is_not_made_again() {
    let before = full_cluster();
    let world = applied(&before);
    let options = PlanOptions { allow_delete: true, ..PlanOptions::default() };
    for (key, field) in [
        ("security_group/nodes.test.example.com", "description"),
        ("target_group/tcp-test", "protocol"),
        ("network_interface/etcd-a.test.example.com", "subnet_id"),
    ] {
        let desired = edit(&before, &address(key), |value| value[field] = "other".into());
        let plan = make(&desired, &world, &options);
        assert_eq!(guards(&plan), ["in_use"], "{key}");
    }
}

#[test]
fn a_precondition_sees_what_matters_and_no_more() {
    let desired = full_cluster();
    let world = applied(&desired);
    let observed = &world.resources[&address(GROUP)];
    let digest = precondition(Some(observed));
    let mut moved = observed.clone();
    moved.group.as_mut().unwrap().desired_capacity = 5;
    moved.group.as_mut().unwrap().instances.clear();
    moved.digest = None;
    assert_eq!(precondition(Some(&moved)), digest, "the autoscaler's doing");
    moved.attributes.insert(crate::resource::Attribute::Arn, "another".to_owned());
    assert_ne!(precondition(Some(&moved)), digest, "deleted and made again by hand");
    assert_ne!(precondition(None), digest);
}

/// Machines that host etcd start the program that is pinned; without one they would come up for nothing.
#[test]
fn without_a_pinned_program_nothing_is_made() {
    let mut desired = full_cluster();
    assert_eq!(guards(&plan(&desired, &empty_world())), Vec::<&str>::new());
    let world = applied(&desired);
    desired.retain(|key, _| key.kind != Kind::Asset);
    for world in [&empty_world(), &world] {
        let plan = plan(&desired, world);
        assert_eq!(guards(&plan), ["no_program"]);
        assert!(plan.refusals[0].hint.contains("`kprod node pin`"));
    }
    let destroyed = PlanOptions { destroy: true, ..PlanOptions::default() };
    assert_eq!(guards(&make(&desired, &world, &destroyed)), Vec::<&str>::new());
    // Without members nobody fetches anything.
    desired.retain(|key, _| key.kind != Kind::Epoch);
    assert_eq!(guards(&plan(&desired, &empty_world())), Vec::<&str>::new());
}

/// A machine that comes up from an older version of its template fetches the program of that time.
#[test]
fn a_program_stays_until_the_cluster_goes() {
    let desired = full_cluster();
    let mut other = desired.clone();
    let old = other.extract_if(.., |key, _| key.kind == Kind::Asset).next().unwrap().0;
    let new = asset::resource(CLUSTER, &"cd".repeat(32), 9);
    let new_key = Key::new(Kind::Asset, asset::name(&"cd".repeat(32), CLUSTER));
    other.insert(new_key.clone(), new);
    let world = applied(&desired);
    assert_eq!(addresses(&plan(&other, &world)), [new_key.to_string()]);
    let mut both = applied(&other);
    both.resources.insert(old.clone(), world.resources[&old].clone());
    assert_eq!(addresses(&plan(&other, &both)), Vec::<String>::new());
    let destroyed = PlanOptions { destroy: true, ..PlanOptions::default() };
    let gone = addresses(&make(&other, &both, &destroyed));
    assert!(gone.contains(&old.to_string()) && gone.contains(&new_key.to_string()), "{gone:?}");
    let last_group = gone.iter().rposition(|address| address.starts_with("auto_scaling_group/"));
    let first = gone.iter().position(|address| address.starts_with("asset/"));
    assert!(first > last_group, "{gone:?}");
}

#[test]
fn templates_come_after_the_program_that_their_machines_fetch() {
    let template = address(TEMPLATE);
    let key = asset::key(CLUSTER, &"ab".repeat(32));
    let desired = edit(&full_cluster(), &template, |value| {
        value["launch_template_data"]["user_data"] = format!("#!/bin/sh\nfetch {key}\n").into();
    });
    let plan = plan(&desired, &empty_world());
    assert_respects_edges(&plan);
    let change = plan.changes.iter().find(|change| change.address == template).unwrap();
    assert!(change.depends_on.iter().any(|key| key.kind == Kind::Asset), "{change:?}");
}

/// An object that is not what its name says is made again, when somebody has agreed to that.
#[test]
fn a_program_that_was_cut_short_is_made_again() {
    let desired = full_cluster();
    let mut world = applied(&desired);
    let key = desired.keys().find(|key| key.kind == Kind::Asset).unwrap();
    let short = asset::resource(CLUSTER, &"ab".repeat(32), 3);
    world.resources.get_mut(key).unwrap().resource = short;
    let refused = plan(&desired, &world);
    assert_eq!((guards(&refused), addresses(&refused)), (vec!["delete"], vec![key.to_string()]));
    assert_eq!(refused.changes[0].action, Action::Replace);
}
