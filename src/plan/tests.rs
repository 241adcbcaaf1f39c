//! Laws of a plan, and the cases that each guard is for.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use super::sample::{applied, edit, empty_world, full_cluster};
use super::*;
use crate::cloud::Observation;
use crate::resource::ResourceSet;

fn address(text: &str) -> Key {
    text.parse().unwrap()
}

fn plan(desired: &ResourceSet, world: &Observation) -> Plan {
    make(desired, world, &PlanOptions::default())
}

#[test]
fn an_empty_world_gets_everything_in_order() {
    let desired = full_cluster();
    let plan = plan(&desired, &empty_world());
    let made: BTreeSet<Key> = plan.changes.iter().map(|c| c.address.clone()).collect();
    assert_eq!(made, desired.keys().cloned().collect());
    assert!(plan.changes.iter().all(|change| change.action == Action::Create));
    assert_eq!(plan.refusals, []);
    assert_respects_edges(&plan);
    let group = plan.changes.last().unwrap();
    assert_eq!(group.address, address("auto_scaling_group/nodes.test.example.com"));
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

fn assert_respects_edges(plan: &Plan) {
    let mut done = BTreeSet::new();
    for change in &plan.changes {
        assert!(change.depends_on.is_subset(&done), "{} is too early", change.address);
        done.insert(change.address.clone());
    }
}

#[test]
fn a_new_image_rolls_every_machine_and_says_why() {
    let before = full_cluster();
    let mut world = applied(&before);
    let template = address("launch_template/nodes.test.example.com");
    let desired = edit(&before, &template, |value| {
        value["launch_template_data"]["image_id"] = "ami-new".into();
    });
    super::sample::second_look(&desired, &before, &mut world);
    let plan = plan(&desired, &world);
    let changed: Vec<String> = plan.changes.iter().map(|c| c.address.to_string()).collect();
    assert_eq!(
        changed,
        [template.to_string(), "auto_scaling_group/nodes.test.example.com".to_owned()]
    );
    assert_eq!(plan.changes[0].fields.len(), 1, "{:?}", plan.changes[0].fields);
    assert_eq!(plan.changes[0].reason, Reason::SpecChanged);
    assert_eq!(plan.changes[1].reason, Reason::Follows);
    assert_eq!(plan.rollout.machine_count(), 2);
    let causes: Vec<&str> =
        plan.rollout.groups[0].causes.iter().map(|cause| cause.path.as_str()).collect();
    assert_eq!(causes, ["launch_template_data.image_id"]);
}

#[test]
fn foreign_resources_are_refused_and_never_changed() {
    let desired = full_cluster();
    let mut world = applied(&desired);
    let group = address("security_group/nodes.test.example.com");
    super::sample::make_foreign(&mut world, &group);
    world.resources.remove(&address("security_group_rules/nodes.test.example.com"));
    let plan = plan(&desired, &world);
    assert_eq!(plan.changes, [], "rules of a foreign group are not ours to write");
    assert_eq!(plan.refusals.len(), 1);
    assert_eq!(plan.refusals[0].guard, "foreign");
}
