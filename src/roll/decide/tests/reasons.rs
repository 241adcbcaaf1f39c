//! Why machines are replaced that are built as wanted, and which are not begun with all the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::cordoned;
use super::layout::{Layout, at, condition};
use crate::roll::decision::Verdict;
use crate::roll::{Forced, MachineReason, Pause, RolloutRole, Stage, WaitReason};
use crate::spec::IntOrPercent;

/// A pool whose machines are all as wanted.
fn settled() -> Layout {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 4)]);
    (0..4).for_each(|index| layout.renew(&format!("one-{index}")));
    layout
}

/// Machines to replace that nothing was begun with, and why.
fn reasons(layout: &Layout) -> BTreeMap<String, Vec<MachineReason>> {
    layout.decide().progress.groups.remove(0).outdated
}

fn unhealthy(why: &str) -> Vec<MachineReason> {
    vec![MachineReason::Unhealthy { why: why.to_owned() }]
}

#[test]
fn people_ask_for_a_replacement_by_either_annotation_whatever_its_value() {
    for key in ["kprod.dev/replace", "kops.k8s.io/needs-update"] {
        let mut layout = settled();
        layout.node("one-1").annotations.insert(key.to_owned(), "no".to_owned());
        layout.node("one-2").annotations.insert("kops.k8s.io/instance".to_owned(), String::new());
        let annotated = vec![MachineReason::Annotated { annotation: key.to_owned() }];
        assert_eq!(reasons(&layout), [("one-1".to_owned(), annotated)].into());
        layout.taint("one-1");
        assert_eq!(cordoned(&layout), ["one-1"]);
    }
}

#[test]
fn machines_older_than_their_group_allows_are_replaced_the_oldest_first() {
    let mut layout = settled();
    let days = |days: i64| at(-86_400 * days);
    layout.machine("one-1").launched_at = Some(days(30));
    layout.machine("one-2").launched_at = Some(days(31));
    layout.machine("one-3").launched_at =
        Some(days(30).checked_add(Duration::from_secs(1)).unwrap());
    assert!(reasons(&layout).is_empty(), "its group allows any age");
    layout.limits("one").max_age = Some(Duration::from_secs(86_400 * 30));
    let aged = |hours| vec![MachineReason::Age { hours, hours_max: 720 }];
    let expected = [("one-1".to_owned(), aged(720)), ("one-2".to_owned(), aged(744))];
    assert_eq!(reasons(&layout), expected.into());
    for id in ["one-1", "one-2"] {
        layout.taint(id);
    }
    assert_eq!(cordoned(&layout), ["one-2"]);
}

#[test]
fn a_group_whose_machines_are_not_drained_gets_new_ones_alone() {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 3)]);
    layout.limits("one").drain_and_terminate = false;
    layout.limits("one").max_surge = IntOrPercent::Int(1);
    let Verdict::Act(steps) = layout.decide().verdict else { panic!() };
    let told = format!("{steps:?}");
    assert!(
        told.contains("Unmark") && !told.contains("Cordon"),
        "they are left as they are: {told}"
    );
    layout.detach("one-1");
    layout.group("one").desired = 2;
    assert_eq!(cordoned(&layout), ["one-1"], "what stands outside of its group goes all the same");
}

#[test]
fn while_somebody_pauses_a_roll_what_was_begun_ends_and_nothing_begins() {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 4), ("two", RolloutRole::Node, 2)]);
    layout.limits("one").max_unavailable = IntOrPercent::Int(2);
    layout.drain("one-0");
    layout.observation.memory.drained_since.insert("one-0".to_owned(), at(-20));
    let terminates = |layout: &Layout| {
        let Verdict::Act(steps) = layout.decide().verdict else { return Vec::new() };
        steps.iter().map(|step| format!("{step:?}")).collect::<Vec<_>>()
    };
    assert_eq!(cordoned(&layout), ["one-1", "two-0"]);
    let pause = Pause { by: "ann".to_owned(), at: at(-10), why: "lunch".to_owned() };
    layout.observation.paused = Some(pause);
    let steps = terminates(&layout);
    assert!(steps.len() == 1 && steps[0].starts_with("Terminate"), "{steps:?}");
    layout.machine("one-0").stage = Stage::Leaving;
    let Verdict::Wait(waits) = layout.decide().verdict else { panic!() };
    let told: Vec<(&str, bool)> = waits
        .iter()
        .map(|w| (w.group.as_str(), matches!(w.reason, WaitReason::Paused { .. })))
        .collect();
    let ends_and_comes = [("one", false), ("one", false)];
    assert_eq!(told, [&ends_and_comes[..], &[("one", true), ("two", true)]].concat());
    layout.observation.paused = None;
    assert_eq!(cordoned(&layout), ["two-0", "one-1"]);
}

#[test]
fn only_conditions_that_are_known_to_be_bad_are_a_reason() {
    let of = |kind: &str, status: &str| {
        let mut layout = settled();
        layout.node("one-0").conditions.insert(kind.to_owned(), condition(status, at(-900)));
        reasons(&layout).remove("one-0")
    };
    for (kind, status) in [
        ("Ready", "False"),
        ("Ready", "Unknown"),
        ("DiskPressure", "True"),
        ("NetworkUnavailable", "True"),
        ("KernelDeadlock", "True"),
        ("ReadonlyFilesystem", "True"),
        ("FrequentContainerdRestart", "True"),
        ("NetworkingReady", "False"),
        ("StorageReady", "False"),
    ] {
        let why = format!("{kind} is {status}: Kubelet");
        assert_eq!(of(kind, status), Some(unhealthy(&why)), "{kind}");
    }
    for (kind, status) in [
        ("DiskPressure", "False"),
        ("DiskPressure", "Unknown"),
        ("MemoryPressure", "True"),
        ("PIDPressure", "True"),
        ("KernelDeadlock", "False"),
        ("NetworkingReady", "True"),
        ("NetworkingReady", "Unknown"),
        ("SomebodysOwn", "True"),
        ("SomebodysOwn", "False"),
    ] {
        assert_eq!(of(kind, status), None, "{kind} {status}");
    }
}

#[test]
fn a_condition_is_a_reason_once_it_has_lasted() {
    let mut layout = settled();
    let mut since = |secs: i64| {
        let problem = condition("True", at(-secs));
        layout.node("one-0").conditions.insert("KernelDeadlock".to_owned(), problem);
        reasons(&layout).len()
    };
    assert_eq!((since(899), since(900)), (0, 1));
}

/// A machine is to go by force as long as it is older than the roll that was asked for: of the run's own
/// beginning nothing is to be known then.
#[test]
fn by_force_each_machine_goes_that_was_there_before_the_roll_whichever_run_of_it_this_is() {
    let mut layout = settled();
    layout.policy.force = true;
    let names = |layout: &Layout| reasons(layout).into_keys().collect::<Vec<_>>();
    let all = ["one-0", "one-1", "one-2", "one-3"];
    assert_eq!(names(&layout), all);
    // The run began 600 s ago, and another clock says so.
    layout.machine("one-0").launched_at = Some(at(-611));
    layout.machine("one-1").launched_at = Some(at(-610));
    layout.machine("one-2").launched_at = Some(at(-100));
    assert_eq!(names(&layout), ["one-0", "one-3"]);
    // Its note may be gone, and say another moment.
    layout.group("one").mark.as_mut().unwrap().began_at = at(-50);
    assert_eq!(names(&layout), ["one-0", "one-3"]);
    let roll = |group: &str, secs: i64| Forced {
        format_version: 1,
        roll: "roll-0".to_owned(),
        groups: [(group.to_owned(), at(-secs))].into(),
    };
    layout.observation.forced = Some(Arc::new(roll("one", 5_000)));
    assert_eq!(names(&layout), ["one-3"], "one-0 came in an earlier run of the same roll");
    layout.observation.forced = Some(Arc::new(roll("two", 5_000)));
    assert_eq!(names(&layout), ["one-0", "one-3"]);
    layout.policy.force = false;
    assert_eq!(names(&layout), [""; 0], "without it only what is not as wanted goes");
}
