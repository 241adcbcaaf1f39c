//! A repair: what counts as broken, for how long, how many go at once, and when it is not the machines.

use std::sync::Arc;
use std::time::Duration;

use super::cordoned;
use super::layout::{Layout, at, condition};
use crate::roll::decision::Verdict;
use crate::roll::{RepairPolicy, RolloutRole, Stage, Step, WaitReason};
use crate::spec::IntOrPercent;

const POOLS: [(&str, RolloutRole, i32); 3] =
    [("one", RolloutRole::Node, 4), ("two", RolloutRole::Node, 3), ("three", RolloutRole::Node, 3)];

/// Groups whose machines are all as wanted, and a repair that takes one at a time and any share.
fn repair(groups: &[(&str, RolloutRole, i32)]) -> Layout {
    let mut layout = Layout::new(groups);
    layout.ids().iter().for_each(|id| layout.renew(id));
    layout.policy.repair = Some(RepairPolicy {
        broken_for: Duration::from_secs(600),
        at_once: 1,
        halt_above_percent: 100,
    });
    layout
}

fn limits(layout: &mut Layout) -> &mut RepairPolicy {
    layout.policy.repair.as_mut().unwrap()
}

/// A node does not answer since so many seconds, and is known to be replaced.
fn breaks(layout: &mut Layout, id: &str, secs: i64) {
    layout.node(id).conditions.insert("Ready".to_owned(), condition("Unknown", at(-secs)));
    layout.taint(id);
}

/// What one group waits for at a limit.
fn limit(layout: &Layout) -> Vec<String> {
    let progress = layout.decide().progress;
    let waits = progress.groups.iter().flat_map(|group| &group.waiting);
    let told = waits.filter_map(|wait| match &wait.reason {
        WaitReason::Limit { what } => Some(format!("{}: {what}", wait.group)),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_machine_is_broken_once_it_has_been_for_long_enough_and_no_sooner() {
    let mut layout = repair(&POOLS);
    breaks(&mut layout, "two-1", 599);
    layout.taint("two-1");
    assert_eq!(cordoned(&layout), [""; 0]);
    breaks(&mut layout, "two-1", 600);
    assert_eq!(cordoned(&layout), ["two-1"]);
    limits(&mut layout).broken_for = Duration::from_secs(601);
    assert_eq!(cordoned(&layout), [""; 0]);
}

#[test]
fn what_the_cloud_calls_broken_goes_at_once() {
    let mut layout = repair(&POOLS);
    layout.machine("one-2").unhealthy = Some("fails its status checks".to_owned());
    layout.taint("one-2");
    assert_eq!(cordoned(&layout), ["one-2"]);
}

#[test]
fn a_machine_that_never_joined_is_replaced_once_its_boot_is_overdue() {
    let ended = |secs: i64| {
        let mut layout = repair(&POOLS);
        layout.never_joins("three-0", at(-secs));
        let Verdict::Act(steps) = layout.decide().verdict else { return Vec::new() };
        let ended = steps.into_iter().filter_map(|step| match step {
            Step::Terminate { machines, .. } => Some(machines),
            _ => None,
        });
        ended.flatten().collect()
    };
    assert_eq!(ended(599), [""; 0], "its group gives it 600 s");
    assert_eq!(ended(600), ["three-0"]);
}

#[test]
fn a_repair_leaves_alone_what_only_a_roll_replaces() {
    let mut layout = repair(&POOLS);
    layout.make_old("one-0");
    layout.limits("two").max_age = Some(Duration::from_secs(1));
    layout.node("three-0").annotations.insert("kprod.dev/replace".to_owned(), String::new());
    assert!(layout.decide().progress.groups.iter().all(|group| group.outdated.is_empty()));
}

#[test]
fn more_broken_machines_than_a_share_of_the_fleet_are_not_the_machines() {
    let mut layout = repair(&POOLS);
    limits(&mut layout).halt_above_percent = 20;
    breaks(&mut layout, "one-0", 900);
    breaks(&mut layout, "two-0", 900);
    assert_eq!(cordoned(&layout).len(), 1, "two of ten are the share");
    breaks(&mut layout, "three-0", 900);
    assert_eq!(cordoned(&layout), [""; 0], "three of ten are more");
    let halts = layout.decide().halts;
    assert_eq!(halts.len(), 1);
    assert_eq!(halts[0].object, "c.example.com");
    assert_eq!(halts[0].message, "3 of 10 machines are broken, more than 20 in a hundred");
    limits(&mut layout).halt_above_percent = 30;
    assert_eq!(cordoned(&layout).len(), 1);
}

#[test]
fn one_broken_machine_is_repaired_whatever_the_share() {
    let mut layout = repair(&[("one", RolloutRole::Node, 2)]);
    limits(&mut layout).halt_above_percent = 0;
    breaks(&mut layout, "one-0", 900);
    assert_eq!(cordoned(&layout), ["one-0"]);
    breaks(&mut layout, "one-1", 900);
    assert_eq!(cordoned(&layout), [""; 0]);
}

#[test]
fn as_many_are_repaired_at_once_over_all_groups_as_the_limit_says() {
    let mut layout = repair(&POOLS);
    for id in ["one-0", "two-0", "three-0"] {
        breaks(&mut layout, id, 900);
    }
    assert_eq!(cordoned(&layout), ["one-0"]);
    assert_eq!(
        limit(&layout),
        ["three: 1 machine is being replaced", "two: 1 machine is being replaced"]
    );
    limits(&mut layout).at_once = 2;
    assert_eq!(cordoned(&layout), ["one-0", "three-0"]);
    layout.drain("one-0");
    assert_eq!(cordoned(&layout), ["three-0"]);
    limits(&mut layout).at_once = 9;
    assert_eq!(cordoned(&layout), ["three-0", "two-0"]);
}

/// One that ends is in hand until the one in its place counts.
#[test]
fn the_next_one_is_repaired_when_the_one_before_is_replaced_and_no_sooner() {
    let mut layout = repair(&POOLS);
    breaks(&mut layout, "one-0", 900);
    breaks(&mut layout, "two-0", 900);
    layout.drain("one-0");
    assert_eq!(cordoned(&layout), [""; 0], "one-0 is drained");
    layout.machine("one-0").stage = Stage::Leaving;
    assert_eq!(cordoned(&layout), [""; 0], "one-0 ends");
    Arc::make_mut(&mut layout.observation.machines).remove("one-0");
    assert_eq!(cordoned(&layout), [""; 0], "the next one is about to be launched");
    layout.add("one", "one-9", "a");
    layout.soaks("one-9");
    assert_eq!(cordoned(&layout), [""; 0], "it does not count yet");
    layout.node("one-9").conditions.insert("Ready".to_owned(), condition("True", at(-60)));
    assert_eq!(cordoned(&layout), ["two-0"]);
}

/// A machine that serves, and whose node has a problem, is taken out of its group until another one serves.
#[test]
fn a_surge_is_a_machine_in_hand_as_well() {
    let mut layout = repair(&POOLS);
    for (group, ..) in POOLS {
        layout.limits(group).max_surge = IntOrPercent::Int(1);
        layout.limits(group).max_unavailable = IntOrPercent::Int(0);
        let id = format!("{group}-0");
        let problem = condition("True", at(-900));
        layout.node(&id).conditions.insert("KernelDeadlock".to_owned(), problem);
        layout.taint(&id);
    }
    let begun = |layout: &Layout| {
        let Verdict::Act(steps) = layout.decide().verdict else { return Vec::new() };
        let begun = steps.into_iter().filter_map(|step| match step {
            Step::Detach { machines, .. } => Some(machines.into_iter().collect::<Vec<_>>()),
            Step::Cordon { machine, .. } => Some(vec![format!("cordon {machine}")]),
            _ => None,
        });
        begun.flatten().collect::<Vec<_>>()
    };
    assert_eq!(begun(&layout), ["one-0"]);
    layout.detach("one-0");
    assert_eq!(begun(&layout), [""; 0], "its group launches another one");
    layout.add("one", "one-9", "a");
    layout.renew("one-9");
    assert_eq!(begun(&layout), ["cordon one-0"], "it has the place of one-0 by now");
    layout.drain("one-0");
    assert_eq!(begun(&layout), [""; 0], "two-0 waits for the end of it");
    Arc::make_mut(&mut layout.observation.machines).remove("one-0");
    assert_eq!(begun(&layout), ["three-0"]);
    limits(&mut layout).at_once = 2;
    assert_eq!(begun(&layout), ["three-0", "two-0"]);
}

#[test]
fn hosts_of_etcd_and_the_control_plane_are_counted_too() {
    let groups = [
        ("etcd-a", RolloutRole::Etcd, 1),
        ("cp", RolloutRole::ControlPlane, 3),
        ("one", RolloutRole::Node, 3),
    ];
    let mut layout = repair(&groups);
    breaks(&mut layout, "cp-1", 900);
    breaks(&mut layout, "one-0", 900);
    assert_eq!(cordoned(&layout), ["cp-1"], "the control plane goes first");
    // A worker that serves on stands outside of its group, left by a repair that was killed.
    layout.node("one-0").conditions.insert("Ready".to_owned(), condition("True", at(-900)));
    layout.detach("one-0");
    layout.group("one").desired = 2;
    assert_eq!(cordoned(&layout), [""; 0], "one-0 is in hand");
    assert_eq!(limit(&layout), ["cp: 1 machine is being replaced"]);
    limits(&mut layout).at_once = 2;
    assert_eq!(cordoned(&layout), ["cp-1"]);
}
