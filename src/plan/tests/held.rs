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

/// A group in two zones with machines in both, and the same without one of them.
fn leaves_a_zone() -> (ResourceSet, Observation) {
    let before = edit(&full_cluster(), &address(GROUP), |value| {
        value["availability_zones"] = serde_json::json!([]);
        value["suspended_processes"] = serde_json::json!([]);
    });
    let world = applied(&before);
    let lost = edit(&before, &address(GROUP), |value| {
        value["vpc_zone_identifier"] = serde_json::json!(["subnet-a"]);
    });
    (lost, world)
}

fn paths(change: &Change) -> Vec<(&str, FieldClass)> {
    change.fields.iter().map(|field| (field.path.as_str(), field.class)).collect()
}

/// New machines come where a group has fewest: it leaves the zone before its machines there go, and
/// balances no zones meanwhile, which would end them.
#[test]
fn a_zone_is_left_before_its_machines_go_and_nobody_balances_zones_meanwhile() {
    let (lost, world) = leaves_a_zone();
    let lost = edit(&lost, &address(GROUP), |value| {
        value["max_size"] = 1.into();
        value["min_size"] = 1.into();
    });
    let held = hold(&plan(&lost, &world), &world);
    let zones = Leaving::OutOf(["eu-west-1a".to_owned()].into());
    assert_eq!(held.leaving, [("nodes.test.example.com".to_owned(), zones)].into());
    let [group] = held.now.changes.as_slice() else { panic!("{:?}", held.now.changes) };
    let in_place = FieldClass::InPlace;
    assert_eq!(paths(group), [("min_size", in_place), ("vpc_zone_identifier", in_place)]);
    let after = group.after.as_ref().unwrap().to_value();
    assert_eq!(after["suspended_processes"], serde_json::json!(["AZRebalance"]));
    assert_eq!(after["vpc_zone_identifier"], serde_json::json!(["subnet-a"]));
    assert_eq!(after["max_size"], 6, "the maximum waits");
    assert!(held.now.is_applyable(), "{:?}", held.now.refusals);
}

/// Whoever goes on after a kill finds a group that has left the zone, and machines that have not.
#[test]
fn zones_are_balanced_again_once_nobody_is_left_in_one_that_was_left() {
    let (lost, mut world) = leaves_a_zone();
    let found = world.resources.get_mut(&address(GROUP)).unwrap();
    let Resource::AutoScalingGroup(group) = &mut found.resource else { panic!() };
    group.vpc_zone_identifier.remove("subnet-b");
    group.suspended_processes.insert("AZRebalance".to_owned());
    let killed = plan(&lost, &world);
    assert_eq!(guards(&killed), ["machines"]);
    let [change] = killed.changes.as_slice() else { panic!("{:?}", addresses(&killed)) };
    assert_eq!(paths(change), [("suspended_processes", FieldClass::DrainsFirst)]);
    let held = hold(&killed, &world);
    let zones = Leaving::OutOf(["eu-west-1a".to_owned()].into());
    assert_eq!(held.leaving, [("nodes.test.example.com".to_owned(), zones)].into());
    assert_eq!((addresses(&held.now), held.now.refusals), (vec![], vec![]));

    let found = world.resources.get_mut(&address(GROUP)).unwrap();
    found.group.as_mut().unwrap().instances.retain(|i| i.availability_zone == "eu-west-1a");
    let done = plan(&lost, &world);
    assert_eq!(paths(&done.changes[0]), [("suspended_processes", FieldClass::InPlace)]);
    assert_eq!(guards(&done), Vec::<&str>::new());
}

/// No roll could tell the machines that go, or would end before the zones are balanced again.
#[test]
fn what_a_roll_cannot_answer_stays_refused_with_another_way_out() {
    let (lost, mut world) = leaves_a_zone();
    let mark = "id=r began=2026-11-21T10:11:12Z suspended=AZRebalance";
    let found = world.resources.get_mut(&address(GROUP)).unwrap();
    found.group.as_mut().unwrap().mark = Some(mark.to_owned());
    let hint = |world: &Observation| {
        let held = hold(&plan(&lost, world), world);
        assert_eq!((held.leaving, guards(&held.now)), (BTreeMap::new(), vec!["machines"]));
        held.now.refusals[0].hint.clone()
    };
    assert!(hint(&world).contains("kprod rolling-update"));
    let found = world.resources.get_mut(&address(GROUP)).unwrap();
    found.group.as_mut().unwrap().mark = None;
    let same = world.facts.subnets["subnet-a"].zone.clone();
    world.facts.subnets.get_mut("subnet-b").unwrap().zone = same;
    let found = world.resources.get_mut(&address(GROUP)).unwrap();
    found.group.as_mut().unwrap().instances.retain(|i| i.availability_zone == "eu-west-1a");
    assert!(hint(&world).contains("make a group of another name"));
}
