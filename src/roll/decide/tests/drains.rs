//! Drains that others interfere with, or that a run sleeps over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::cordoned;
use super::layout::{Layout, at, stuck_pod};
use crate::kube::{Budget, LabelSelector, Owner, Pod, PodId, PodPhase};
use crate::roll::decision::Verdict;
use crate::roll::mark::{DRAIN_ANNOTATION, NEWCOMER_ANNOTATION, WAS_CORDONED_ANNOTATION};
use crate::roll::observation::OwnCordon;
use crate::roll::{
    DrainOutcome, EvictionAnswer, EvictionAttempt, Memory, RolloutRole, Stage, Step, TargetState,
    WaitReason,
};

/// Three machines, of which one is drained, as its note says; it rests no more.
fn drained() -> Layout {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 3)]);
    layout.limits("one").post_drain_delay = Duration::ZERO;
    let node = layout.node("one-0");
    node.unschedulable = true;
    node.annotations.insert(DRAIN_ANNOTATION.to_owned(), at(-60).to_string());
    layout
}

/// A pod of a node.
fn pod(node: &str) -> Pod {
    Pod {
        id: PodId { namespace: "shop".to_owned(), name: "cart".to_owned() },
        uid: "cart".to_owned(),
        node: Some(node.to_owned()),
        created_at: at(-7200),
        phase: PodPhase::Running,
        is_ready: true,
        deleted_until: None,
        grace_secs: 30,
        owner: None,
        is_mirror: false,
        has_empty_dir: false,
        priority_class: String::new(),
        labels: BTreeMap::new(),
        tolerates_all: false,
    }
}

fn steps(layout: &Layout) -> Vec<Step> {
    match layout.decide().verdict {
        Verdict::Act(steps) => steps,
        _ => Vec::new(),
    }
}

fn ends(layout: &Layout) -> bool {
    steps(layout).iter().any(|step| matches!(step, Step::Terminate { .. }))
}

#[test]
fn a_machine_does_not_end_at_the_moment_of_its_cordon() {
    let mut layout = drained();
    for (noted, end) in [(at(0), false), (at(-4), false), (at(-5), true)] {
        layout.node("one-0").annotations.insert(DRAIN_ANNOTATION.to_owned(), noted.to_string());
        assert_eq!(ends(&layout), end, "cordoned at {noted}");
    }
}

#[test]
fn a_node_that_somebody_uncordons_is_cordoned_anew_before_its_machine_ends() {
    let mut layout = drained();
    assert!(ends(&layout));
    layout.node("one-0").unschedulable = false;
    let steps = steps(&layout);
    let [Step::Cordon { machine, at: noted, was_cordoned: false, .. }] = &steps[..] else {
        panic!("{steps:?}")
    };
    assert_eq!((machine.as_str(), *noted), ("one-0", at(-60)), "its time does not begin anew");
}

/// A watch that is late shows the cordon that was taken off, and, in the same picture, no pod any more.
#[test]
fn a_machine_that_was_let_be_does_not_end_by_a_picture_from_before() {
    let mut layout = drained();
    let skip = Step::Skip {
        machine: "one-0".to_owned(),
        node: "one-0".to_owned(),
        uncordon: true,
        why: stuck_pod(),
    };
    for is_answered in [true, false] {
        let memory = &mut layout.observation.memory;
        *memory = Memory::default();
        if is_answered {
            memory.made(&skip, at(0))
        } else {
            memory.doubted(&skip)
        }
        assert_eq!(steps(&layout), std::slice::from_ref(&skip), "answered: {is_answered}");
    }
}

#[test]
fn a_node_that_was_released_is_cordoned_anew_before_its_machine_ends() {
    let mut layout = drained();
    let release = Step::Release { node: "one-0".to_owned(), uncordon: true };
    for is_answered in [true, false] {
        let memory = &mut layout.observation.memory;
        *memory = Memory::default();
        if is_answered {
            memory.made(&release, at(0))
        } else {
            memory.doubted(&release)
        }
        let machines = layout.observation.machines.clone();
        let view = layout.observation.kube.clone().unwrap();
        layout.observation.memory.know_nodes(&machines, &view);
        let steps = steps(&layout);
        let [cordon @ Step::Cordon { .. }] = &steps[..] else { panic!("{steps:?}") };
        layout.observation.memory.made(cordon, at(0));
        assert!(ends(&layout), "it is cordoned again");
        layout.observation.memory.doubted(&release);
        layout.node("one-0").annotations.remove(DRAIN_ANNOTATION);
        let view = layout.observation.kube.clone().unwrap();
        layout.observation.memory.know_nodes(&machines, &view);
        assert!(layout.observation.memory.uncordoned.is_empty(), "it shows");
        layout = drained();
    }
}

/// Whether it was made nobody knows, for as long as nobody answers.
#[test]
fn a_cordon_without_an_answer_counts_and_is_asked_for_again_before_anything_else() {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 3)]);
    let [first @ Step::Cordon { .. }] = &steps(&layout)[..] else { panic!() };
    let first = first.clone();
    layout.observation.memory.doubted(&first);
    for secs in [1, 29, 31, 600] {
        layout.seen_at(secs);
        assert_eq!(steps(&layout), std::slice::from_ref(&first), "{secs} s later");
    }
    for answered in [1, 600] {
        layout.seen_at(answered + 29);
        layout.observation.memory.made(&first, at(answered));
        assert_eq!(cordoned(&layout), [""; 0], "it was answered, and the watch is late");
        layout.observation.now = at(answered + 80);
        assert_eq!(cordoned(&layout), [""; 0], "the watch has been cut off since");
        layout.seen_at(answered + 30);
        assert_eq!(
            cordoned(&layout),
            ["one-0"],
            "it was answered, and somebody has taken it off since"
        );
    }
}

#[test]
fn a_cordon_that_shows_needs_no_answer_and_one_that_is_given_up_is_forgotten() {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 3)]);
    let [first @ Step::Cordon { .. }] = &steps(&layout)[..] else { panic!() };
    let first = first.clone();
    layout.observation.memory.doubted(&first);
    let mut shown = layout.clone();
    shown.drain("one-0");
    let view = shown.observation.kube.clone().unwrap();
    let machines = shown.observation.machines.clone();
    shown.observation.memory.know_nodes(&machines, &view);
    assert!(shown.observation.memory.cordoned["one-0"].known_at.is_some());
    assert_eq!(cordoned(&shown), [""; 0]);
    let node = "one-0".to_owned();
    layout.observation.memory.made(&Step::Release { node: node.clone(), uncordon: true }, at(0));
    assert_eq!(cordoned(&layout), ["one-0"], "it begins anew");
    layout.observation.memory.made(&first, at(0));
    layout.observation.memory.made(&Step::Release { node, uncordon: false }, at(0));
    assert_eq!(cordoned(&layout), [""; 0], "other marks were taken off");
}

#[test]
fn somebody_elses_cordon_outlives_one_without_an_answer() {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 3)]);
    layout.node("one-0").unschedulable = true;
    let [first @ Step::Cordon { was_cordoned: true, .. }] = &steps(&layout)[..] else { panic!() };
    let first = first.clone();
    layout.observation.memory.doubted(&first);
    assert_eq!(steps(&layout), [first]);
    layout.renew("one-0");
    layout.node("one-0").unschedulable = true;
    let steps = steps(&layout);
    let is_kept =
        |step: &Step| matches!(step, Step::Release { node, uncordon: false } if node == "one-0");
    assert!(steps.iter().any(is_kept), "{steps:?}");
}

/// What this run remembers of the cordon is over then: the machine does not end by it, nor count as gone.
#[test]
fn somebody_elses_cordon_that_they_took_off_is_off_for_the_roll_too() {
    let mut layout = drained();
    let memory = &mut layout.observation.memory;
    memory.cordoned.insert("one-0".to_owned(), OwnCordon { at: at(-2), known_at: Some(at(-2)) });
    layout.renew("one-0");
    let node = layout.node("one-0");
    node.annotations.insert(WAS_CORDONED_ANNOTATION.to_owned(), "true".to_owned());
    node.unschedulable = false;
    let release = Step::Release { node: "one-0".to_owned(), uncordon: true };
    assert!(steps(&layout).contains(&release));
    layout.observation.memory.made(&release, at(0));
    layout.node("one-0").annotations.clear();
    assert!(!steps(&layout).contains(&release));
}

#[test]
fn a_node_that_somebody_uncordons_is_waited_for_while_others_are_missed() {
    let mut layout = drained();
    layout.node("one-0").unschedulable = false;
    layout.unready("one-1");
    layout.machine("one-1").stage = Stage::Leaving;
    let Verdict::Wait(waits) = layout.decide().verdict else { panic!() };
    let wait = waits.iter().find(|wait| wait.machine.as_deref() == Some("one-0")).unwrap();
    assert!(matches!(wait.reason, WaitReason::Limit { .. }), "{wait:?}");
    assert_eq!(wait.deadline, Some(at(2 * 900 - 60)));
}

#[test]
fn who_uncordons_a_node_for_ever_has_it_left_alone() {
    let mut layout = drained();
    layout.node("one-0").unschedulable = false;
    layout.node("one-0").annotations.insert(DRAIN_ANNOTATION.to_owned(), at(-1800).to_string());
    layout.observation.run_started_at = at(-3600);
    let decision = layout.decide();
    assert!(decision.halts.iter().any(|halt| halt.object == "node one-0"), "{decision:?}");
    let Verdict::Act(steps) = decision.verdict else { panic!() };
    assert!(matches!(&steps[0], Step::Skip { machine, .. } if machine == "one-0"), "{steps:?}");
}

#[test]
fn pods_that_are_to_go_by_force_are_asked_to_end_even_by_a_run_that_slept_over_it() {
    let mut layout = drained();
    layout.limits("one").on_drain_timeout = DrainOutcome::Force;
    layout.node("one-0").annotations.insert(DRAIN_ANNOTATION.to_owned(), at(-3600).to_string());
    layout.observation.run_started_at = at(-3600);
    let pod = pod("one-0");
    let view = Arc::make_mut(layout.observation.kube.as_mut().unwrap());
    view.pods.insert("one-0".to_owned(), [(pod.id.clone(), pod)].into());
    let told = steps(&layout);
    assert!(matches!(&told[..], [Step::DeletePods { .. }]), "{told:?}");
    let no = || EvictionAnswer::Failed { message: "a webhook says no".to_owned() };
    let mut told = |deleting_since, answer| {
        let attempt = EvictionAttempt { at: at(-60), count: 1, deleting_since, answer };
        layout.observation.memory.evictions = [("cart".to_owned(), attempt)].into();
        steps(&layout)
    };
    for (since, answer) in [
        (None, EvictionAnswer::Accepted),
        (None, no()),
        (Some(at(-60)), no()),
        (Some(at(-899)), no()),
    ] {
        let told = told(since, answer);
        assert!(matches!(&told[..], [Step::DeletePods { .. }]), "{since:?}: {told:?}");
    }
    let over = told(Some(at(-60)), EvictionAnswer::Accepted);
    assert!(over.iter().any(|step| matches!(step, Step::Terminate { .. })), "{over:?}");
    let kept = told(Some(at(-900)), no());
    assert!(matches!(&kept[0], Step::Skip { machine, .. } if machine == "one-0"), "{kept:?}");
    let halts = layout.decide().halts;
    let named = halts.iter().find(|halt| halt.object == "pod shop/cart").unwrap();
    assert!(named.message.contains("a webhook says no"), "{named:?}");
}

#[test]
fn a_machine_that_is_left_for_a_later_roll_keeps_this_one_from_its_end() {
    let mut layout = drained();
    layout.limits("one").on_drain_timeout = DrainOutcome::Skip;
    layout.node("one-0").annotations.insert(DRAIN_ANNOTATION.to_owned(), at(-3600).to_string());
    layout.observation.run_started_at = at(-3600);
    let pod = pod("one-0");
    let view = Arc::make_mut(layout.observation.kube.as_mut().unwrap());
    view.pods.insert("one-0".to_owned(), [(pod.id.clone(), pod)].into());
    let decision = layout.decide();
    assert_eq!(decision.halts, [], "the others go on");
    let Verdict::Act(steps) = decision.verdict else { panic!() };
    let skip = steps.iter().find(|step| matches!(step, Step::Skip { .. })).unwrap();
    layout.observation.memory.made(skip, at(0));
    layout.node("one-0").unschedulable = false;
    layout.node("one-0").annotations.clear();
    layout.node("one-0").taints.clear();
    ["one-1", "one-2"].iter().for_each(|id| layout.renew(id));
    layout.group("one").mark = None;
    let Verdict::Halted(halts) = layout.decide().verdict else { panic!("{:?}", layout.decide()) };
    let [halt] = &halts[..] else { panic!("{halts:?}") };
    assert_eq!(halt.object, "pod shop/cart");
    assert!(halt.message.contains("one-0"), "{halt:?}");
    layout.renew("one-0");
    assert_eq!(layout.decide().verdict, Verdict::Done, "somebody else has replaced it");
}

/// Before that, every outcome is an eviction that is asked for and waited for, up to a moment that is told.
#[test]
fn pods_are_evicted_until_the_time_for_it_is_over_and_forced_only_where_that_is_wished() {
    for outcome in [DrainOutcome::Fail, DrainOutcome::Skip, DrainOutcome::Force] {
        let mut layout = drained();
        layout.limits("one").on_drain_timeout = outcome;
        let owner = Owner { kind: "ReplicaSet".to_owned(), name: "cart".to_owned() };
        let pod = Pod { owner: Some(owner), ..pod("one-0") };
        let view = Arc::make_mut(layout.observation.kube.as_mut().unwrap());
        view.pods.insert("one-0".to_owned(), [(pod.id.clone(), pod)].into());
        let told = steps(&layout);
        assert!(matches!(&told[..], [Step::Evict { .. }]), "{outcome:?}: {told:?}");

        let answer = EvictionAnswer::Accepted;
        let asked = EvictionAttempt { at: at(-1), count: 1, deleting_since: None, answer };
        layout.observation.memory.evictions = [("cart".to_owned(), asked)].into();
        let Verdict::Wait(waits) = layout.decide().verdict else { panic!("{outcome:?}") };
        let wait = waits.iter().find(|wait| matches!(wait.reason, WaitReason::Pods { .. }));
        assert_eq!(wait.unwrap().deadline, Some(at(900 - 60)), "{outcome:?}");

        layout.observation.memory.evictions.clear();
        layout.node("one-0").annotations.insert(DRAIN_ANNOTATION.to_owned(), at(-901).to_string());
        layout.observation.run_started_at = at(-3600);
        let forces = steps(&layout).iter().any(|step| matches!(step, Step::DeletePods { .. }));
        assert_eq!(forces, outcome == DrainOutcome::Force, "{outcome:?}");
    }
}

/// Two API servers, of which one is being drained.
fn a_pair() -> Layout {
    let mut layout = Layout::new(&[
        ("cp-a", RolloutRole::ControlPlane, 1),
        ("cp-b", RolloutRole::ControlPlane, 1),
    ]);
    layout.drain("cp-a-0");
    layout
}

#[test]
fn a_machine_of_the_control_plane_leaves_no_load_balancer_while_another_one_is_missed() {
    let mut layout = a_pair();
    layout.machine("cp-a-0").targets = Some([("api".to_owned(), TargetState::Healthy)].into());
    let leaves =
        |layout: &Layout| steps(layout).iter().any(|step| matches!(step, Step::Deregister { .. }));
    assert!(leaves(&layout));
    layout.unready("cp-b-0");
    assert!(!leaves(&layout));
    let Verdict::Wait(waits) = layout.decide().verdict else { panic!() };
    assert!(waits.iter().any(|wait| matches!(wait.reason, WaitReason::Quorum { .. })), "{waits:?}");
}

#[test]
fn a_node_of_the_control_plane_is_not_cordoned_anew_while_another_one_is_missed() {
    let mut layout = a_pair();
    layout.node("cp-a-0").unschedulable = false;
    let cordons =
        |layout: &Layout| steps(layout).iter().any(|step| matches!(step, Step::Cordon { .. }));
    assert!(cordons(&layout));
    layout.unready("cp-b-0");
    assert!(!cordons(&layout), "{:?}", steps(&layout));
}

/// A pod of a node whose budget wants two of the pods that are there; so many it counts.
fn budgeted(layout: &mut Layout, node: &str, expected_pods: u32) {
    let owner = Owner { kind: "ReplicaSet".to_owned(), name: "cart".to_owned() };
    let pod = Pod { owner: Some(owner), ..pod(node) };
    let budget = Budget {
        id: PodId { namespace: "shop".to_owned(), name: "cart".to_owned() },
        selector: Some(LabelSelector::default()),
        disruptions_allowed: expected_pods.saturating_sub(2),
        current_healthy: expected_pods,
        desired_healthy: 2,
        expected_pods,
        is_observed: true,
    };
    let view = Arc::make_mut(layout.observation.kube.as_mut().unwrap());
    view.pods.insert(node.to_owned(), [(pod.id.clone(), pod)].into());
    view.budgets = [(budget.id.clone(), budget)].into();
}

/// Between the end of one of three pods and the making of another one the budget counts two.
#[test]
fn a_budget_that_is_short_of_a_pod_for_a_moment_holds_a_machine_up_and_halts_only_when_it_stays_so()
{
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 3)]);
    for node in ["one-0", "one-1", "one-2"] {
        budgeted(&mut layout, node, 3);
    }
    let begun = cordoned(&layout);
    assert_eq!(begun.len(), 1, "three pods, two have to be healthy");
    let look = |layout: &mut Layout, secs: i64, expected_pods: u32| {
        layout.seen_at(secs);
        for node in ["one-0", "one-1", "one-2"] {
            budgeted(layout, node, expected_pods);
        }
        let view = layout.observation.kube.clone().unwrap();
        layout.observation.memory.know_budgets(&view);
        layout.decide()
    };
    for secs in [10, 20, 39] {
        let decision = look(&mut layout, secs, 2);
        assert_eq!(decision.halts, [], "{secs} s");
        assert_eq!(cordoned(&layout), [""; 0], "{secs} s");
        let waiting = &decision.progress.groups[0].waiting[0];
        assert!(matches!(&waiting.reason, WaitReason::Pods { held: Some(_), .. }), "{waiting:?}");
        assert_eq!(waiting.deadline, Some(at(40)));
    }
    assert_eq!(look(&mut layout, 40, 3).halts, []);
    assert_eq!(cordoned(&layout), begun, "another pod was made");
    assert_eq!(look(&mut layout, 41, 2).halts, [], "it begins anew");
    assert_eq!(look(&mut layout, 70, 2).halts, []);
    let halts = look(&mut layout, 71, 2).halts;
    assert!(halts[0].message.contains("budget shop/cart never allows an eviction"), "{halts:?}");
}

/// A newcomer that counts by now loses the mark of one, and one that is to be replaced already, since its
/// group should run something else again, is begun with in the same turn.
#[test]
fn what_a_turn_begins_with_keeps_its_marks_though_it_was_a_newcomer() {
    let mut layout = Layout::new(&[("pool", RolloutRole::Node, 3)]);
    let newcomer = (NEWCOMER_ANNOTATION.to_owned(), String::new());
    layout.node("pool-0").annotations.extend([newcomer]);
    let Verdict::Act(steps) = layout.decide().verdict else { panic!() };
    let begins = |step: &Step| matches!(step, Step::Cordon { machine, .. } if machine == "pool-0");
    let lets_go = |step: &Step| matches!(step, Step::Release { node, .. } if node == "pool-0");
    assert!(steps.iter().any(begins) && !steps.iter().any(lets_go), "{steps:?}");
}
