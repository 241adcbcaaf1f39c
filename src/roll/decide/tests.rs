//! Decisions about small clusters that are laid out by hand, and laws over arbitrary ones.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod drains;
mod ends;
mod laws;
mod layout;
mod reasons;
mod repairs;
mod surge;
mod versions;

use layout::{Layout, at, condition};

use super::Scene;
use crate::roll::decision::Verdict;
use crate::roll::mark::Raised;
use crate::roll::{RolloutRole, Stage, Step, TargetState, WaitReason};
use crate::spec::IntOrPercent;

/// Machines whose nodes a decision cordons.
fn cordoned(layout: &Layout) -> Vec<String> {
    let verdict = layout.decide().verdict;
    let Verdict::Act(steps) = verdict else { return Vec::new() };
    let machines = steps.iter().filter_map(|step| match step {
        Step::Cordon { machine, .. } => Some(machine.clone()),
        _ => None,
    });
    machines.collect()
}

/// What was taken out of its group has no way back: it is one of the few, and goes when another one serves.
#[test]
fn a_few_machines_are_those_that_were_taken_out_of_their_group_too() {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 4)]);
    layout.policy.machines_max = Some(2);
    layout.limits("one").max_surge = IntOrPercent::Int(1);
    layout.limits("one").max_unavailable = IntOrPercent::Int(0);
    layout.detach("one-3");
    layout.add("one", "one-9", "a");
    layout.renew("one-9");
    assert_eq!(cordoned(&layout), ["one-0"], "the surge itself goes last");
    layout.observation.memory.begun.insert("one-0".to_owned());
    assert_eq!(cordoned(&layout), ["one-3"], "one-0 and one-3 are the two");
    layout.unready("one-9");
    layout.limits("one").max_unavailable = IntOrPercent::Int(2);
    layout.limits("one").max_surge = IntOrPercent::Int(0);
    assert_eq!(cordoned(&layout), ["one-3"], "and no other one goes");
}

#[test]
fn machines_are_told_in_the_order_in_which_they_go() {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 5)]);
    let days = |days: i64| Some(at(-86_400 * days));
    layout.machine("one-1").launched_at = days(9);
    layout.machine("one-3").launched_at = days(20);
    layout.unready("one-4");
    layout.drain("one-2");
    let told = || -> Vec<String> {
        let scene = Scene::of(&layout.observation, &layout.policy);
        scene.groups[0].in_order().iter().map(|m| m.id().to_owned()).collect()
    };
    let order = ["one-2", "one-4", "one-3", "one-1", "one-0"];
    assert_eq!(told(), order);
    for id in order {
        assert_eq!(cordoned(&layout).first().map_or("one-2", String::as_str), id);
        layout.renew(id);
        layout.node(id).conditions.insert("Ready".to_owned(), condition("True", at(-600)));
    }
}

#[test]
fn what_somebody_else_cordoned_uses_up_its_zones_share() {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 3), ("two", RolloutRole::Node, 1)]);
    layout.policy.cluster.max_unavailable_per_zone = Some(IntOrPercent::Int(1));
    layout.limits("one").max_unavailable = IntOrPercent::Int(2);
    assert_eq!(cordoned(&layout), ["one-0", "one-1"], "two-0 is of the same zone as one-0");
    layout.renew("one-0");
    layout.node("one-0").unschedulable = true;
    assert_eq!(cordoned(&layout), ["one-1"], "none of zone a");
}

#[test]
fn a_full_zone_holds_up_no_machine_of_another_one() {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 3), ("two", RolloutRole::Node, 1)]);
    layout.policy.cluster.max_unavailable_per_zone = Some(IntOrPercent::Int(1));
    layout.limits("one").max_unavailable = IntOrPercent::Int(3);
    layout.unready("two-0");
    assert_eq!(cordoned(&layout), ["one-1", "one-2", "two-0"], "two-0 is away already");
}

#[test]
fn what_failed_goes_within_the_limits_of_its_group() {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 3)]);
    layout.limits("one").max_surge = IntOrPercent::Int(1);
    layout.limits("one").max_unavailable = IntOrPercent::Int(0);
    layout.fail("one");
    layout.renew("one-0");
    assert_eq!(cordoned(&layout), [""; 0], "none may be missing, and no other one comes");
    layout.limits("one").max_surge = IntOrPercent::Int(0);
    assert_eq!(cordoned(&layout), ["one-0"], "a group without any room has to miss one");
}

#[test]
fn control_planes_wait_for_one_that_comes_even_when_it_will_be_replaced() {
    let mut layout = Layout::new(&[("cp", RolloutRole::ControlPlane, 3)]);
    assert_eq!(cordoned(&layout), ["cp-0"]);
    layout.machine("cp-1").stage = Stage::Booting;
    layout.machine("cp-1").launched_at = Some(at(-60));
    let verdict = layout.decide().verdict;
    let Verdict::Wait(waits) = verdict else { panic!("{verdict:?}") };
    let told: Vec<_> = waits.iter().map(|wait| (wait.machine.as_deref(), &wait.reason)).collect();
    assert_eq!(told, [(Some("cp-1"), &WaitReason::Node)]);
    assert!(waits.iter().all(|wait| wait.deadline > Some(at(0))), "{waits:?}");
}

#[test]
fn what_the_guard_watches_goes_one_by_one_over_all_groups() {
    let mut layout = Layout::new(&[
        ("cp-a", RolloutRole::ControlPlane, 1),
        ("cp-b", RolloutRole::ControlPlane, 1),
        ("cp-c", RolloutRole::ControlPlane, 1),
        ("etcd-a", RolloutRole::Etcd, 1),
    ]);
    let Verdict::Act(steps) = layout.decide().verdict else { panic!() };
    assert!(
        matches!(&steps[..], [Step::Terminate { machines, .. }] if machines.contains("etcd-a-0"))
    );
    layout.renew("etcd-a-0");
    for next in ["cp-a-0", "cp-b-0", "cp-c-0"] {
        assert_eq!(cordoned(&layout), [next]);
        layout.drain(next);
        assert_eq!(cordoned(&layout), [""; 0], "{next} is being drained");
        layout.machine(next).stage = Stage::Leaving;
        assert_eq!(cordoned(&layout), [""; 0], "{next} ends");
        layout.machine(next).stage = Stage::Booting;
        layout.machine(next).launched_at = Some(at(-60));
        layout.renew(next);
        assert_eq!(cordoned(&layout), [""; 0], "{next} comes");
        layout.machine(next).stage = Stage::Serving;
    }
}

#[test]
fn a_control_plane_waits_for_workers_that_an_earlier_run_has_begun_with() {
    let mut layout =
        Layout::new(&[("cp", RolloutRole::ControlPlane, 3), ("one", RolloutRole::Node, 2)]);
    layout.drain("one-0");
    let verdict = layout.decide().verdict;
    let Verdict::Wait(waits) = verdict else { panic!("{verdict:?}") };
    let told: Vec<_> = waits.iter().map(|wait| (wait.machine.as_deref(), &wait.reason)).collect();
    assert_eq!(told[0], (Some("one-0"), &WaitReason::PostDrain), "{waits:?}");
}

#[test]
fn a_surge_is_given_back_by_what_serves_nobody_and_never_by_what_is_missed() {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 4)]);
    layout.limits("one").max_surge = IntOrPercent::Int(1);
    layout.limits("one").max_unavailable = IntOrPercent::Int(0);
    layout.renew("one-0");
    layout.raise("one", 1);
    layout.halt();
    assert_eq!(cordoned(&layout), ["one-1"], "all four serve, three have to");
    layout.unready("one-0");
    assert_eq!(cordoned(&layout), ["one-0"]);
    layout.unready("one-2");
    layout.machine("one-2").launched_at = Some(at(-1));
    assert_eq!(cordoned(&layout), ["one-2"], "the newest of those");
}

#[test]
fn a_surge_is_not_given_back_by_a_newcomer_that_is_about_to_count_while_an_old_machine_is_there() {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 4)]);
    layout.limits("one").max_surge = IntOrPercent::Int(1);
    layout.limits("one").max_unavailable = IntOrPercent::Int(0);
    layout.raise("one", 1);
    layout.halt();
    layout.soaks("one-3");
    assert_eq!(cordoned(&layout), [""; 0], "three have to serve, and three do until one-3 counts");
    layout.limits("one").max_unavailable = IntOrPercent::Int(1);
    assert_eq!(cordoned(&layout), ["one-0"]);
    layout.machine("one-3").targets = Some([("arn".to_owned(), TargetState::Initial)].into());
    assert_eq!(cordoned(&layout), ["one-0"], "load balancers are about to send work to one-3");
    ["one-0", "one-1", "one-2"].iter().for_each(|id| layout.renew(id));
    assert_eq!(cordoned(&layout), ["one-3"], "the newest, where all are as wanted");
}

#[test]
fn machines_that_are_not_drained_end_once_the_surge_that_stands_in_for_them_is_noted() {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 3)]);
    layout.policy.cloudonly = true;
    layout.limits("one").max_surge = IntOrPercent::Int(3);
    layout.group("one").target_group_arns.insert("arn:shop".to_owned());
    let Verdict::Act(steps) = layout.decide().verdict else { panic!() };
    let [
        Step::Mark { mark: before, .. },
        Step::SetDesired { to: 6, .. },
        Step::Mark { mark: after, .. },
    ] = &steps[..]
    else {
        panic!("{steps:?}")
    };
    let raised = Raised { base: 3, by: 3, made: 0 };
    assert_eq!(before.raised, Some(raised));
    assert_eq!(after.raised, Some(Raised { made: 3, ..raised }));
    layout.group("one").desired = 6;
    layout.raise("one", 3);
    let Verdict::Act(steps) = layout.decide().verdict else { panic!() };
    let [Step::Mark { mark, .. }, Step::Terminate { shrink: true, machines, .. }] = &steps[..]
    else {
        panic!("{steps:?}")
    };
    assert_eq!((machines.len(), mark.raised), (1, Some(Raised { base: 3, by: 3, made: 3 })));
    assert_eq!(&mark.giving, machines);
}

#[test]
fn what_took_no_work_is_let_be_when_it_is_back_by_then() {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 4)]);
    layout.unready("one-1");
    layout.node("one-2").unschedulable = true;
    layout.limits("one").max_unavailable = IntOrPercent::Int(3);
    let Verdict::Act(steps) = layout.decide().verdict else { panic!() };
    let told = steps.iter().filter_map(|step| match step {
        Step::Cordon { machine, if_away, .. } => Some((machine.as_str(), *if_away)),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told, [("one-1", true), ("one-2", true), ("one-0", false)]);
}

#[test]
fn no_more_of_a_group_are_worked_on_at_once_though_they_serve_nobody() {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 6)]);
    for broken in ["one-1", "one-2", "one-4"] {
        layout.unready(broken);
    }
    for (surge, missing, expected) in [(0, 1, 1), (0, 2, 2), (0, 3, 3), (1, 1, 2)] {
        layout.limits("one").max_surge = IntOrPercent::Int(surge);
        layout.limits("one").max_unavailable = IntOrPercent::Int(missing);
        assert_eq!(cordoned(&layout), ["one-1", "one-2", "one-4"][..expected]);
    }
    layout.limits("one").max_surge = IntOrPercent::Int(0);
    layout.limits("one").max_unavailable = IntOrPercent::Int(2);
    layout.drain("one-1");
    assert_eq!(cordoned(&layout), ["one-2"], "one-1 is on its way");
}

#[test]
fn what_is_ready_and_does_not_count_yet_goes_within_the_limits_as_well() {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 4)]);
    layout.policy.cluster.max_unavailable_per_zone = Some(IntOrPercent::Int(1));
    layout.limits("one").max_unavailable = IntOrPercent::Int(4);
    layout.machine("one-0").stage = Stage::Leaving;
    layout.machine("one-3").launched_at = Some(at(-60));
    layout.machine("one-3").targets = Some([("arn".to_owned(), TargetState::Initial)].into());
    assert_eq!(cordoned(&layout), ["one-1", "one-2"], "one-3 is in the zone of one-0");
}
