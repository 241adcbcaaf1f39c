//! What holds for every plan.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::Value;

use super::super::classify;
use super::super::path::{self, Path};
use super::super::sample::{applied, edit, empty_world, full_cluster, make_foreign, second_look};
use super::*;

#[test]
fn an_empty_world_gets_everything_and_groups_last() {
    let desired = full_cluster();
    let plan = plan(&desired, &empty_world());
    let made: BTreeSet<Key> = plan.changes.iter().map(|c| c.address.clone()).collect();
    assert_eq!(made, desired.keys().cloned().collect());
    assert!(plan.changes.iter().all(|change| change.action == Action::Create));
    assert_eq!(plan.refusals, []);
    assert_respects_edges(&plan);
    let group = plan.changes.last().unwrap();
    assert_eq!(group.address, address(GROUP));
    assert_eq!(group.depends_on.len(), desired.len() - 1, "machines look for all of it");
    assert!(group.unknown.contains("target"), "{:?}", group.unknown);
}

#[test]
fn a_world_as_wanted_has_nothing_to_do() {
    let desired = full_cluster();
    let world = applied(&desired);
    assert_eq!(versions_to_read(&desired, &world), BTreeMap::new());
    let plan = plan(&desired, &world);
    assert_eq!(plan.changes, []);
    assert!(!plan.has_changes());
    assert_eq!(plan.unchanged_count, desired.len());
}

#[test]
fn destroy_takes_everything_users_first() {
    let desired = full_cluster();
    let options = PlanOptions { destroy: true, ..PlanOptions::default() };
    let plan = make(&desired, &applied(&desired), &options);
    assert_eq!(plan.changes.len(), desired.len());
    assert!(plan.changes.iter().all(|change| change.action == Action::Delete));
    assert_eq!(plan.refusals, []);
    assert_respects_edges(&plan);
    let place = |text: &str| addresses(&plan).iter().position(|a| a == text).unwrap();
    for (first, then) in [
        ("security_group_rules/nodes.test.example.com", "security_group/nodes.test.example.com"),
        (GROUP, TEMPLATE),
        (GROUP, VOLUME),
        (GROUP, "security_group/nodes.test.example.com"),
        ("listener/api-test:443", "load_balancer/api-test"),
        ("listener/api-test:443", "target_group/tcp-test"),
        ("load_balancer/api-test", "security_group/nodes.test.example.com"),
        ("dns_name/api.internal.test.example.com", "hosted_zone/internal.test.example.com"),
        ("instance_profile/nodes.test.example.com", "role/nodes.test.example.com"),
        ("network_interface/etcd-a.test.example.com", "security_group/nodes.test.example.com"),
    ] {
        assert!(place(first) < place(then), "{first} before {then}");
    }
}

/// Another value of the same type.
fn other(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(format!("{text}x")),
        Value::Number(number) => (number.as_i64().unwrap() + 1).into(),
        Value::Bool(value) => Value::Bool(!value),
        Value::Array(items) => match items.first() {
            // A set of one item that is another one.
            Some(first) => Value::Array(vec![other(first)]),
            None => Value::Array(Vec::new()),
        },
        Value::Object(map) => {
            let mut map = map.clone();
            // The first field that can differ; a policy's version, a rule's or mapping's first.
            let key = map.keys().next().unwrap().clone();
            let changed = other(&map[&key]);
            map.insert(key, changed);
            Value::Object(map)
        }
        Value::Null => panic!("no field of the sample is null"),
    }
}

/// The place of a path in a serialised resource.
fn at<'v>(value: &'v mut Value, steps: &[String]) -> &'v mut Value {
    let mut place = value;
    for step in steps {
        place = match place {
            Value::Array(items) => &mut items[step.parse::<usize>().unwrap()],
            Value::Object(map) => map.get_mut(step).unwrap(),
            _ => panic!("{step}"),
        };
    }
    place
}

/// The steps of a path: names, keys without quotes, positions.
fn steps(path: &Path) -> Vec<String> {
    let mut steps = Vec::new();
    let mut rest = path.text.as_str();
    while !rest.is_empty() {
        let (step, after) = if let Some(inner) = rest.strip_prefix('[') {
            let end = if inner.starts_with('"') {
                inner.find("\"]").unwrap() + 1
            } else {
                inner.find(']').unwrap()
            };
            (&inner[..end], &inner[end + 1..])
        } else {
            let rest = rest.strip_prefix('.').unwrap_or(rest);
            rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()))
        };
        steps.push(step.trim_matches('"').to_owned());
        rest = after;
    }
    steps
}

/// Every field of every kind of the sample.
fn all_leaves() -> Vec<(Key, Path)> {
    let desired = full_cluster();
    let mut all = Vec::new();
    for (key, resource) in &desired {
        let value = resource.to_value();
        all.extend(path::leaves(&value).into_iter().map(|(path, _)| (key.clone(), path)));
    }
    all
}

#[test]
fn the_sample_has_every_field_and_each_is_classed() {
    let desired = full_cluster();
    let kinds: BTreeSet<Kind> = desired.keys().map(|key| key.kind).collect();
    assert_eq!(kinds, Kind::ALL.into());
    for (key, resource) in &desired {
        let debug = format!("{resource:?}");
        for gap in ["None", "{}", "[]"] {
            assert!(!debug.contains(gap), "{key} leaves a field out: {debug}");
        }
    }
    for (key, path) in all_leaves() {
        assert!(classify::is_classed(key.kind, &path.shape), "{} {}", key.kind, path.shape);
    }
}

#[test]
fn each_changed_field_appears_exactly_once_and_nothing_else_but_what_follows() {
    let before = full_cluster();
    for (key, path) in all_leaves() {
        let desired = edit(&before, &key, |value| {
            let place = at(value, &steps(&path));
            *place = other(place);
        });
        let mut world = applied(&before);
        second_look(&desired, &before, &mut world);
        let plan = plan(&desired, &world);
        let case = format!("{key} {}", path.text);
        let change = plan.changes.iter().find(|change| change.address == key).expect(&case);
        let fields: Vec<&str> = change.fields.iter().map(|field| field.path.as_str()).collect();
        assert_eq!(fields, [path.text.as_str()], "{case}");
        assert!([Action::Update, Action::Replace].contains(&change.action), "{case}");
        let reasons = plan.changes.iter().filter(|other| other.address != key);
        for other in reasons {
            let is_child = other.reason == Reason::CannotUpdate && change.action == Action::Replace;
            assert!(other.reason == Reason::Follows || is_child, "{case}: {}", other.address);
        }
        assert_respects_edges(&plan);
    }
}

#[test]
fn each_removed_field_appears_or_is_a_tag_that_stays() {
    let before = full_cluster();
    let mut removed = 0;
    for (key, path) in all_leaves() {
        let mut value = before[&key].to_value();
        let mut parent = steps(&path);
        let name = parent.pop().unwrap();
        let Value::Object(fields) = at(&mut value, &parent) else { continue };
        fields.remove(&name).unwrap();
        let Ok(resource) = Resource::from_value(key.kind, value) else { continue };
        let mut desired = before.clone();
        desired.insert(key.clone(), resource);
        let mut world = applied(&before);
        second_look(&desired, &before, &mut world);
        let plan = plan(&desired, &world);
        let change = plan.changes.iter().find(|change| change.address == key);
        removed += 1;
        if let Some(tag) = path.tag_key().filter(|tag| !removes_tag(tag)) {
            assert!(change.is_none(), "{key} {tag}");
            assert_eq!(plan.findings.is_empty(), tag.starts_with("kprod.dev/"), "{key} {tag}");
        } else {
            let fields: Vec<&str> =
                change.unwrap().fields.iter().map(|field| field.path.as_str()).collect();
            assert_eq!(fields, [path.text.as_str()], "{key}");
        }
    }
    assert!(removed > 30, "{removed}");
}

/// How the world differs from the spec: for each resource, whether it is wanted and how it is there.
fn scenes() -> impl Strategy<Value = Vec<(bool, u8, usize)>> {
    let count = full_cluster().len();
    prop::collection::vec((prop::bool::weighted(0.8), 0u8..6, 0usize..1000), count)
}

/// Builds a scene: 0 is absent, 1 foreign, 2 and 3 changed in one field, others as wanted.
fn scene(choices: &[(bool, u8, usize)]) -> (ResourceSet, Observation) {
    let all = full_cluster();
    let mut desired = ResourceSet::new();
    let mut world = applied(&all);
    for ((key, resource), (wanted, there, field)) in all.iter().zip(choices) {
        if *wanted {
            desired.insert(key.clone(), resource.clone());
        }
        match there {
            0 => drop(world.resources.remove(key)),
            1 => make_foreign(&mut world, key),
            2 | 3 => {
                let observed = world.resources.get_mut(key).unwrap();
                let mut value = observed.resource.to_value();
                let paths: Vec<Path> =
                    path::leaves(&value).into_iter().map(|(path, _)| path).collect();
                let place = at(&mut value, &steps(&paths[field % paths.len()]));
                *place = other(place);
                observed.resource = Resource::from_value(key.kind, value).unwrap();
            }
            _ => {}
        }
    }
    (desired, world)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_plan_is_ordered_leaves_others_alone_and_guards_deletes(choices in scenes()) {
        let (desired, world) = scene(&choices);
        let plan = plan(&desired, &world);
        assert_respects_edges(&plan);
        prop_assert_eq!(&plan, &make(&desired, &world, &PlanOptions::default()));
        prop_assert!(!guards(&plan).contains(&"cycle"));
        for change in &plan.changes {
            let observed = world.resources.get(&change.address);
            prop_assert!(observed.is_none_or(|o| o.ownership.is_owned()), "{}", change.address);
            prop_assert!(precondition_holds(change, observed));
            prop_assert_eq!(
                change.after.is_some(),
                desired.contains_key(&change.address)
            );
            // What is made does not run ahead of what it refers to.
            for need in change.after.iter().flat_map(Resource::references) {
                let is_made = plan.changes.iter().any(|c| c.address == need && c.after.is_some());
                prop_assert!(!is_made || change.depends_on.contains(&need));
            }
        }
        let removes = plan.changes.iter().any(|c| {
            matches!(c.action, Action::Delete | Action::Replace)
        });
        prop_assert!(!removes || guards(&plan).contains(&"delete"));
        prop_assert!(!removes || !plan.is_applyable());
        let in_the_way = plan.foreign.iter().filter(|f| f.in_the_way).count();
        prop_assert_eq!(guards(&plan).iter().filter(|g| **g == "foreign").count(), in_the_way);
    }

    #[test]
    fn any_part_of_a_plan_is_a_part_of_the_whole(
        choices in scenes(),
        picked in prop::collection::btree_set(0usize..13, 1..4),
    ) {
        let (desired, world) = scene(&choices);
        let whole = plan(&desired, &world);
        let all: Vec<Key> = full_cluster().into_keys().collect();
        let only: BTreeSet<Key> = picked.iter().map(|index| all[*index].clone()).collect();
        let part = make(&desired, &world, &PlanOptions { only: only.clone(), ..PlanOptions::default() });
        assert_respects_edges(&part);
        for change in &whole.changes {
            prop_assert!(!only.contains(&change.address)
                || part.changes.iter().any(|c| c.address == change.address));
        }
        for change in &part.changes {
            let same = whole.changes.iter().find(|c| c.address == change.address).unwrap();
            prop_assert_eq!(&change.fields, &same.fields);
        }
    }
}
