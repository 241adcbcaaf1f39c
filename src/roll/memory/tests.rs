//! What a run remembers of its waits.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::time::Duration;

use jiff::Timestamp;

use super::{LAPSE, Memory};
use crate::apply::lease::later;
use crate::roll::{Decision, GroupProgress, Progress, Step, Verdict, WaitReason, Waiting};

const SECOND: Duration = Duration::from_secs(1);

/// A decision that waits for these.
fn waits(reasons: Vec<WaitReason>) -> Decision {
    let waiting = reasons.into_iter().map(|reason| Waiting {
        group: "cp".to_owned(),
        machine: Some("cp-0".to_owned()),
        reason,
        deadline: None,
    });
    let group = GroupProgress {
        group: "cp".to_owned(),
        done: 0,
        outdated: Default::default(),
        in_work: Default::default(),
        skipped: Default::default(),
        waiting: waiting.collect(),
    };
    let progress = Progress { groups: vec![group] };
    Decision { verdict: Verdict::Wait(Vec::new()), progress, halts: Vec::new(), is_stuck: false }
}

fn refusal() -> WaitReason {
    WaitReason::Quorum { why: "m1 is not healthy".to_owned() }
}

fn regression() -> WaitReason {
    WaitReason::Regression { object: "API server".to_owned(), what: "is not ready".to_owned() }
}

fn begun() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

#[test]
fn two_reasons_that_take_turns_both_grow_older() {
    let mut memory = Memory::default();
    for turn in 0..100 {
        let reason = if turn % 2 == 0 { refusal() } else { regression() };
        memory.learn(&waits(vec![reason]), later(begun(), SECOND * 30 * turn));
    }
    assert_eq!(memory.refused_since.unwrap().since, begun());
    assert_eq!(memory.regressed_since["API server"].since, later(begun(), SECOND * 30));
}

#[test]
fn what_was_over_for_long_enough_begins_anew() {
    let again = later(begun(), LAPSE + SECOND);
    let mut memory = Memory::default();
    for (reasons, now) in [
        (vec![refusal(), regression(), WaitReason::Termination], begun()),
        (Vec::new(), again),
        (vec![refusal(), regression(), WaitReason::Termination], again),
    ] {
        memory.learn(&waits(reasons), now);
    }
    assert_eq!(memory.refused_since.unwrap().since, again);
    assert_eq!(memory.regressed_since["API server"].since, again);
    assert_eq!(memory.leaving_since["cp-0"].since, again);
}

#[test]
fn the_guards_no_is_over_when_it_lets_a_machine_go() {
    let mut memory = Memory::default();
    memory.learn(&waits(vec![refusal()]), begun());
    let machines = ["cp-0".to_owned()].into();
    memory.made(&Step::Terminate { group: "cp".to_owned(), machines, shrink: false }, begun());
    assert_eq!(memory.refused_since, None);
}

/// Else the first machine of the version that a group goes back to would be late from the start.
#[test]
fn a_group_that_is_pinned_elsewhere_waits_for_its_machines_anew() {
    let lacking = || WaitReason::Machines { have: 0, want: 1, failed_activity: None };
    let mut memory = Memory::default();
    memory.learn(&waits(vec![lacking()]), begun());
    memory.made(&Step::Pin { group: "cp".to_owned(), version: 1 }, begun());
    let later = later(begun(), SECOND);
    memory.learn(&waits(vec![lacking()]), later);
    let since: Vec<Timestamp> = memory.lacking_since.values().map(|spell| spell.since).collect();
    assert_eq!(since, [later]);
}
