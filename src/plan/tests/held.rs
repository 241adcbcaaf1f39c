//! What waits for a roll: held back as a whole or in part, and nothing else.

use super::*;
use crate::plan::sample::{applied, edit, full_cluster, second_look};

fn allowed() -> PlanOptions {
    PlanOptions { allow_delete: true, ..PlanOptions::default() }
}

fn later(held: &Held) -> Vec<String> {
    held.later.iter().map(|change| change.address.to_string()).collect()
}

#[test]
fn a_plan_that_drains_nobody_is_made_as_it_is() {
    let before = full_cluster();
    let world = applied(&before);
    let desired = edit(&before, &address(GROUP), |value| value["max_size"] = 9.into());
    let plan = plan(&desired, &world);
    let held = hold(&plan, &world);
    assert_eq!((held.now, held.later, held.leaving), (plan, vec![], BTreeMap::new()));
}

#[test]
fn a_removed_group_waits_with_all_that_comes_after_it() {
    let before = full_cluster();
    let world = applied(&before);
    let mut desired = before.clone();
    desired.remove(&address(GROUP));
    desired.remove(&address(TEMPLATE));
    let whole = make(&desired, &world, &allowed());
    assert_eq!(guards(&whole), ["machines"]);
    let held = hold(&whole, &world);
    assert_eq!(later(&held), [GROUP, TEMPLATE]);
    assert_eq!((addresses(&held.now), held.now.refusals), (vec![], vec![]));
    assert_eq!(held.leaving, [("nodes.test.example.com".to_owned(), Leaving::All)].into());
}

#[test]
fn a_removal_that_nobody_allowed_stays_refused() {
    let before = full_cluster();
    let world = applied(&before);
    let mut desired = before.clone();
    desired.remove(&address(GROUP));
    let held = hold(&plan(&desired, &world), &world);
    assert_eq!(guards(&held.now), ["delete"]);
}

/// Of a group that also goes to another image and another minimum, only the maximum waits.
#[test]
fn the_part_of_a_change_that_drains_nobody_is_made_at_once() {
    let before = full_cluster();
    let mut world = applied(&before);
    let desired = edit(&before, &address(TEMPLATE), |value| {
        value["launch_template_data"]["image_id"] = "ami-4567".into();
    });
    second_look(&desired, &before, &mut world);
    let desired = edit(&desired, &address(GROUP), |value| {
        value["max_size"] = 1.into();
        value["min_size"] = 1.into();
    });
    let whole = plan(&desired, &world);
    let held = hold(&whole, &world);
    assert_eq!(held.leaving, [("nodes.test.example.com".to_owned(), Leaving::Above(1))].into());
    assert_eq!(later(&held), [GROUP]);
    assert_eq!(addresses(&held.now), addresses(&whole));
    let group = held.now.changes.iter().find(|change| change.address == address(GROUP)).unwrap();
    let paths: Vec<&str> = group.fields.iter().map(|field| field.path.as_str()).collect();
    assert_eq!(paths, ["min_size", "target"]);
    let (before, after) = (group.before.as_ref().unwrap(), group.after.as_ref().unwrap());
    assert_eq!(after.to_value()["max_size"], before.to_value()["max_size"]);
    assert_eq!(after.to_value()["min_size"], 1);
    assert!(held.now.is_applyable(), "{:?}", held.now.refusals);
}

#[test]
fn a_lost_subnet_tells_the_zones_that_stay() {
    let before = full_cluster();
    let world = applied(&before);
    let lost = edit(&before, &address(GROUP), |value| {
        value["vpc_zone_identifier"] = serde_json::json!(["subnet-a"]);
        value["max_size"] = 1.into();
        value["min_size"] = 1.into();
    });
    let held = hold(&plan(&lost, &world), &world);
    let zones = Leaving::OutOf(["eu-west-1a".to_owned()].into());
    assert_eq!(held.leaving, [("nodes.test.example.com".to_owned(), zones)].into());
    let [group] = held.now.changes.as_slice() else { panic!("{:?}", held.now.changes) };
    let paths: Vec<&str> = group.fields.iter().map(|field| field.path.as_str()).collect();
    assert_eq!(paths, ["min_size"], "neither subnets nor maximum move before the roll");
}
