//! The note of a surge stays true whatever an autoscaler does meanwhile, and each part of it is given back
//! once.

use std::sync::Arc;
use std::time::Duration;

use super::layout::{Layout, at};
use crate::roll::decision::Verdict;
use crate::roll::mark::{Raised, tail};
use crate::roll::{RolloutRole, Step};
use crate::spec::IntOrPercent;

/// Nine machines that are as wanted: two are a surge over five, two came from an autoscaler.
fn grown() -> Layout {
    let mut layout = Layout::new(&[("pool", RolloutRole::Node, 9)]);
    for at in 0..9 {
        layout.renew(&format!("pool-{at}"));
    }
    layout.group("pool").mark.as_mut().unwrap().raised = Some(Raised { base: 5, by: 2, made: 2 });
    // Machines end without a drain.
    layout.policy.cloudonly = true;
    layout
}

fn steps(layout: &Layout) -> Vec<Step> {
    match layout.decide().verdict {
        Verdict::Act(steps) => steps,
        _ => Vec::new(),
    }
}

#[test]
fn a_surge_is_given_back_once_whatever_an_autoscaler_has_added() {
    let mut layout = grown();
    for _ in 0..20 {
        for step in steps(&layout) {
            match step {
                Step::Mark { mark, .. } => layout.group("pool").mark = Some(mark),
                Step::Unmark { .. } => layout.group("pool").mark = None,
                Step::Terminate { machines, shrink, .. } => {
                    assert!(shrink, "{machines:?} would be launched anew");
                    layout.group("pool").desired -= i32::try_from(machines.len()).unwrap();
                    Arc::make_mut(&mut layout.observation.machines)
                        .retain(|id, _| !machines.contains(id));
                }
                _ => {}
            }
        }
    }
    assert_eq!(layout.group("pool").desired, 7);
    assert_eq!(layout.group("pool").mark, None);
}

/// Somebody had cordoned a new machine, so that the surge was to go with it, and counts on it again.
#[test]
fn a_surge_goes_with_an_old_machine_when_a_new_one_is_uncordoned_while_it_is_drained() {
    let mut layout = Layout::new(&[("pool", RolloutRole::Node, 4)]);
    layout.raise("pool", 1);
    for new in ["pool-1", "pool-2", "pool-3"] {
        layout.renew(new);
    }
    layout.halt();
    layout.drain("pool-3");
    let is_old = |step: &Step| matches!(step, Step::Cordon { machine, .. } if machine == "pool-0");
    assert!(!steps(&layout).iter().any(is_old), "the surge goes with pool-3");
    layout.node("pool-3").unschedulable = false;
    let steps = steps(&layout);
    assert!(steps.iter().any(is_old), "{steps:?}");
    let is_let_be = |step: &Step| matches!(step, Step::Release { node, .. } if node == "pool-3");
    assert!(steps.iter().any(is_let_be), "{steps:?}");
}

/// The API server may not have made it: the new machine may serve meanwhile.
#[test]
fn a_surge_goes_with_an_old_machine_when_a_new_ones_cordon_is_not_answered_or_was_taken_off() {
    let mut layout = Layout::new(&[("pool", RolloutRole::Node, 4)]);
    layout.raise("pool", 1);
    for new in ["pool-1", "pool-2", "pool-3"] {
        layout.renew(new);
    }
    layout.halt();
    let node = "pool-3".to_owned();
    let cordon = Step::Cordon {
        machine: node.clone(),
        node: node.clone(),
        at: layout.observation.now,
        was_cordoned: false,
        if_away: false,
    };
    let release = Step::Release { node, uncordon: true };
    let mut released = layout.clone();
    layout.observation.memory.doubted(&cordon);
    released.drain("pool-3");
    released.observation.memory.doubted(&release);
    for layout in [layout, released] {
        let steps = steps(&layout);
        let goes =
            |step: &Step| matches!(step, Step::Cordon { machine, .. } if machine == "pool-0");
        assert!(steps.iter().any(goes), "{steps:?}");
        assert!(steps.contains(&release), "{steps:?}");
    }
}

/// A run that was killed meant a machine to take its place of the surge with it; the next one has it
/// replaced.
#[test]
fn a_machine_that_is_replaced_is_noted_no_more_to_give_a_surge_back() {
    let mut layout = Layout::new(&[("pool", RolloutRole::Node, 4)]);
    layout.raise("pool", 1);
    layout.limits("pool").post_drain_delay = std::time::Duration::ZERO;
    layout.drain("pool-3");
    layout.group("pool").mark.as_mut().unwrap().giving = [tail("pool-3").to_owned()].into();
    let steps = steps(&layout);
    let [Step::Mark { mark, .. }, Step::Terminate { machines, shrink: false, .. }, ..] = &steps[..]
    else {
        panic!("{steps:?}")
    };
    assert_eq!(machines, &["pool-3".to_owned()].into());
    assert_eq!(mark.raised, Some(Raised { base: 3, by: 1, made: 1 }));
    assert!(mark.giving.is_empty(), "{mark}");
}

#[test]
fn the_machines_that_take_a_surge_with_them_are_noted_before_they_go() {
    let mut layout = grown();
    layout.policy.abort = true;
    let steps = steps(&layout);
    let gone = steps.iter().position(|step| matches!(step, Step::Terminate { .. })).unwrap();
    let [Step::Mark { mark, .. }, Step::Terminate { machines, shrink: true, .. }] =
        &steps[gone - 1..=gone]
    else {
        panic!("{steps:?}")
    };
    assert_eq!(mark.raised, Some(Raised { base: 7, by: 2, made: 2 }));
    assert_eq!(&mark.giving, machines);
}

#[test]
fn a_note_stays_as_long_as_it_comes_to_what_is_left_of_its_surge() {
    let mut layout = grown();
    Arc::make_mut(&mut layout.observation.machines).remove("pool-8");
    let group = layout.group("pool");
    group.desired = 8;
    let mark = group.mark.as_mut().unwrap();
    mark.raised = Some(Raised { base: 7, by: 2, made: 2 });
    mark.giving = ["pool-8".to_owned()].into();
    let steps = steps(&layout);
    let [Step::Mark { mark, .. }, Step::Terminate { machines, shrink: true, .. }] = &steps[..]
    else {
        panic!("{steps:?}")
    };
    assert_eq!(mark.raised, Some(Raised { base: 7, by: 1, made: 1 }), "the next one is named");
    assert_eq!(&mark.giving, machines);
}

/// How a run may end at the call that gives a part of a surge back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// It is killed before.
    Before,
    /// It is killed right after, or the answer is lost.
    After,
    /// AWS was ending the machines before, and says that their places stay.
    Kept,
}

#[test]
fn a_surge_is_given_back_once_wherever_a_run_is_cut_off_and_whatever_others_do_then() {
    for cut in [Cut::Before, Cut::After, Cut::Kept] {
        for others in [0, 1, 2] {
            let mut layout = grown();
            let mut left = Some(cut);
            for _ in 0..30 {
                for step in steps(&layout) {
                    let now = left.take_if(|_| matches!(step, Step::Terminate { .. }));
                    follow(&mut layout, &step, now);
                    if now.is_some() {
                        layout.group("pool").desired += others;
                        break;
                    }
                }
                refill(&mut layout);
            }
            assert_eq!(left, None);
            assert_eq!(layout.group("pool").desired, 7 + others, "{cut:?}, {others} by others");
            assert_eq!(layout.group("pool").mark, None);
        }
    }
}

/// Does what a step says; or what becomes of it where a run is cut off.
fn follow(layout: &mut Layout, step: &Step, cut: Option<Cut>) {
    match step {
        Step::Mark { mark, .. } => layout.group("pool").mark = Some(mark.clone()),
        Step::Unmark { .. } => layout.group("pool").mark = None,
        Step::Terminate { machines, shrink, .. } => {
            assert!(shrink, "{machines:?} would be launched anew");
            if cut == Some(Cut::Before) {
                return;
            }
            Arc::make_mut(&mut layout.observation.machines).retain(|id, _| !machines.contains(id));
            match cut {
                Some(Cut::Kept) => {
                    layout.observation.memory.places_kept.extend(machines.iter().cloned());
                }
                _ => layout.group("pool").desired -= i32::try_from(machines.len()).unwrap(),
            }
        }
        _ => {}
    }
}

/// AWS launches as many machines as the group wants.
fn refill(layout: &mut Layout) {
    let wanted = usize::try_from(layout.group("pool").desired).unwrap();
    for number in 100.. {
        if layout.ids().len() >= wanted {
            return;
        }
        let id = format!("pool-{number}");
        layout.add("pool", &id, "a");
        layout.renew(&id);
    }
}

#[test]
fn a_surge_that_never_came_is_given_back_and_not_launched_again() {
    let mut layout = grown();
    layout.group("pool").mark.as_mut().unwrap().raised = Some(Raised { base: 8, by: 1, made: 1 });
    layout.policy.cloudonly = false;
    layout.node("pool-0").instance_id = None;
    layout.machine("pool-0").launched_at = Some(at(-3600));
    layout.observation.run_started_at = at(-3600);
    let steps = steps(&layout);
    assert!(!steps.iter().any(|step| matches!(step, Step::GiveUp { .. })), "{steps:?}");
    let gone = steps.iter().filter(|step| {
        matches!(step, Step::Terminate { machines, shrink: true, .. } if machines.contains("pool-0"))
    });
    assert_eq!(gone.count(), 1, "{steps:?}");
}

#[test]
fn a_machine_that_never_joined_is_replaced_where_nothing_else_is_to_be_done() {
    let mut layout = Layout::new(&[("pool", RolloutRole::Node, 2)]);
    for id in ["pool-0", "pool-1"] {
        layout.renew(id);
    }
    layout.node("pool-0").instance_id = None;
    layout.machine("pool-0").launched_at = Some(at(-3600));
    layout.observation.run_started_at = at(-3600);
    let mark = layout.group("pool").mark.take();
    let begun = steps(&layout);
    assert!(begun.iter().any(|step| matches!(step, Step::Mark { .. })), "{begun:?}");
    layout.group("pool").mark = mark;
    let goes = |step: &Step| matches!(step, Step::Terminate { machines, .. } if machines.contains("pool-0"));
    assert!(steps(&layout).iter().any(goes));
}

/// `pool` waits for what `other` lacks: a machine that is as wanted, was launched a minute ago and never
/// joins.
fn held_up_by_another_group() -> Layout {
    let mut layout =
        Layout::new(&[("other", RolloutRole::Node, 1), ("pool", RolloutRole::Node, 2)]);
    layout.policy.cluster.max_unavailable = Some(IntOrPercent::Int(1));
    layout.limits("other").boot_timeout = Duration::from_secs(1800);
    layout.renew("other-0");
    layout.never_joins("other-0", at(-60));
    layout.group("other").mark = None;
    layout.observation.run_started_at = at(-3600);
    layout
}

#[test]
fn what_lacks_elsewhere_is_waited_for_until_it_may_be_replaced() {
    let mut layout = held_up_by_another_group();
    layout.observation.memory.stuck_since = Some(at(-1000));
    let Verdict::Wait(waits) = layout.decide().verdict else { panic!("it has time left") };
    assert_eq!(waits.iter().map(|wait| wait.deadline).collect::<Vec<_>>(), [Some(at(1740))]);
    layout.seen_at(1740);
    let goes = |step: &Step| matches!(step, Step::Mark { group, .. } if group == "other");
    assert!(steps(&layout).iter().any(goes));
}

#[test]
fn launches_elsewhere_that_never_last_are_not_waited_for_for_ever() {
    let mut layout = held_up_by_another_group();
    layout.observation.memory.stuck_since = Some(at(-3600));
    assert!(matches!(layout.decide().verdict, Verdict::Halted(_)));
}

#[test]
fn a_note_that_somebody_takes_off_is_put_back_as_it_was_and_one_that_a_roll_takes_off_is_not() {
    let mut layout = grown();
    let Layout { observation: o, .. } = &mut layout;
    o.memory.restore_marks(Arc::make_mut(&mut o.groups));
    let mark = o.groups["pool"].mark.clone();
    for is_own in [false, true] {
        let Layout { observation: o, .. } = &mut layout;
        Arc::make_mut(&mut o.groups).get_mut("pool").unwrap().mark = None;
        if is_own {
            o.memory.making(&Step::Unmark { group: "pool".to_owned() });
        }
        o.memory.restore_marks(Arc::make_mut(&mut o.groups));
        assert_eq!(o.groups["pool"].mark, mark.clone().filter(|_| !is_own));
        let noted =
            steps(&layout).into_iter().next().filter(|step| matches!(step, Step::Mark { .. }));
        let put_back = mark.clone().map(|mark| Step::Mark { group: "pool".to_owned(), mark });
        assert_eq!(noted == put_back, !is_own, "{noted:?}");
        layout.group("pool").is_unmarked = false;
    }
}

#[test]
fn what_is_known_of_a_surge_stays_known_while_more_of_it_is_noted() {
    let mut layout = Layout::new(&[("pool", RolloutRole::Node, 4)]);
    layout.limits("pool").max_surge = IntOrPercent::Int(2);
    layout.group("pool").target_group_arns.insert("arn:shop".to_owned());
    layout.raise("pool", 1);
    let steps = steps(&layout);
    let is_growth = |pair: &[Step]| match pair {
        [
            Step::Mark { mark: before, .. },
            Step::SetDesired { from: 4, to: 5, .. },
            Step::Mark { mark: after, .. },
        ] => {
            before.raised == Some(Raised { base: 3, by: 2, made: 1 })
                && after.raised == Some(Raised { base: 3, by: 2, made: 2 })
        }
        _ => false,
    };
    assert!(steps.windows(3).any(is_growth), "{steps:?}");
}

#[test]
fn the_note_of_a_roll_stays_while_a_machine_is_left_outside_of_its_group() {
    let mut layout = Layout::new(&[("one", RolloutRole::Node, 3)]);
    layout.add("one", "one-3", "b");
    for id in ["one-1", "one-2", "one-3"] {
        layout.renew(id);
    }
    layout.detach("one-0");
    layout.skip("one-0");
    layout.halt();
    let unmarks = |layout: &Layout| match layout.decide().verdict {
        Verdict::Act(steps) => steps.iter().any(|step| matches!(step, Step::Unmark { .. })),
        _ => false,
    };
    assert!(!unmarks(&layout), "nobody would know of it any more");
    Arc::make_mut(&mut layout.observation.machines).remove("one-0");
    assert!(unmarks(&layout));
}
