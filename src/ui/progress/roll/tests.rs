//! A roll as it is told, from its events alone.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;

use super::ledger::Ledger;
use super::line::Lines;
use super::{live, put_back, summary, wire};
use crate::event::RollEvent;
use crate::kube::PodId;
use crate::roll::decision::PodStep;
use crate::roll::{
    GroupProgress, HaltReason, MachineReason, Phase, Progress, Step, WaitReason, Waiting,
};
use crate::ui::Style;

const CLUSTER: &str = "prod.k8s.example.com";
const CONTROL_PLANE: &str = "control-plane.masters.prod.k8s.example.com";
const POOL: &str = "general-eu-west-3a.prod.k8s.example.com";
const OLD: &str = "i-0a0a0a0a0a0a0a0a0";
const NEW: &str = "i-0b0b0b0b0b0b0b0b0";
const HELD: &str = "i-0c0c0c0c0c0c0c0c0";

fn at(secs: i64) -> Timestamp {
    Timestamp::new(1_795_248_000 + secs, 0).unwrap()
}

fn group(name: &str, done: usize, outdated: &[&str], in_work: &[(&str, Phase)]) -> GroupProgress {
    let reason = MachineReason::Revision {
        runs: "00ff00ff00ff00ff".to_owned(),
        target: "11ee11ee11ee11ee".to_owned(),
    };
    GroupProgress {
        group: name.to_owned(),
        done,
        outdated: outdated.iter().map(|m| ((*m).to_owned(), vec![reason.clone()])).collect(),
        in_work: in_work.iter().map(|(m, phase)| ((*m).to_owned(), *phase)).collect(),
        skipped: BTreeMap::new(),
        waiting: Vec::new(),
    }
}

fn waits(group: &str, machine: Option<&str>, reason: WaitReason, until: Option<i64>) -> Waiting {
    let (group, machine) = (group.to_owned(), machine.map(str::to_owned));
    Waiting { group, machine, reason, deadline: until.map(at) }
}

fn progress(groups: Vec<GroupProgress>) -> RollEvent {
    let eta = Some(at(1800).to_string());
    RollEvent::Progress { progress: Box::new(Progress { groups }), eta }
}

fn pool(in_work: &[(&str, Phase)], waiting: Vec<Waiting>) -> GroupProgress {
    GroupProgress { waiting, ..group(POOL, 0, &[], in_work) }
}

/// One machine of the control plane is replaced; then a pool's machine is held by a budget, and the
/// roll halts.
fn events() -> Vec<(i64, RollEvent)> {
    let draining = WaitReason::Pods { left: 7, held: None };
    let held = WaitReason::Pods {
        left: 1,
        held: Some((PodId::new("shop", "db-0"), "budget shop/db allows 0 now".to_owned())),
    };
    let turn = waits(POOL, None, WaitReason::Turn { of: "control-plane".to_owned() }, None);
    let with = |mut progress: GroupProgress, waiting: Vec<Waiting>| {
        progress.waiting = waiting;
        progress
    };
    let later = || with(group(POOL, 0, &[HELD], &[]), vec![turn.clone()]);
    let node = |m: &str, reason, until| waits(CONTROL_PLANE, Some(m), reason, Some(until));
    let evict = |pod: &str| Step::Evict {
        node: HELD.to_owned(),
        pods: vec![PodStep { pod: PodId::new("shop", pod), uid: format!("uid-{pod}") }],
    };
    let step = |step| RollEvent::Step { step: Box::new(step) };
    let started = RollEvent::Started {
        cluster: CLUSTER.to_owned(),
        roll: "20261121T080000Z-0f".to_owned(),
        resumed: false,
        aborts: false,
        machines: 2,
    };
    let reason = HaltReason {
        group: Some(POOL.to_owned()),
        object: "pod shop/db-0".to_owned(),
        message: "did not leave within 15m; budget shop/db allows 0 disruptions".to_owned(),
        way_out: "mend the budget, then run the same command again".to_owned(),
    };
    let old = |phase| vec![(OLD, phase)];
    let cp = |done, outdated: &[&str], in_work: &[(&str, Phase)]| {
        group(CONTROL_PLANE, done, outdated, in_work)
    };
    let drains = with(cp(0, &[], &old(Phase::Draining)), vec![node(OLD, draining, 900)]);
    let boots = with(cp(0, &[], &[(NEW, Phase::Booting)]), vec![node(NEW, WaitReason::Node, 700)]);
    vec![
        (0, started),
        (0, progress(vec![cp(0, &[OLD], &[]), later()])),
        (1, step(Step::Pin { group: CONTROL_PLANE.to_owned(), version: 2 })),
        (2, progress(vec![drains, later()])),
        (62, progress(vec![cp(0, &[], &old(Phase::Leaving)), later()])),
        (95, progress(vec![boots, later()])),
        (180, progress(vec![cp(0, &[], &[(NEW, Phase::Soaking)]), later()])),
        (190, progress(vec![cp(0, &[], &[(NEW, Phase::Booting)]), later()])),
        (195, progress(vec![cp(1, &[], &[]), later()])),
        (198, step(Step::Unmark { group: CONTROL_PLANE.to_owned() })),
        (200, progress(vec![cp(1, &[], &[]), pool(&[(HELD, Phase::Draining)], vec![])])),
        (201, step(evict("db-0"))),
        (201, step(evict("web-1"))),
        (206, step(evict("db-0"))),
        (
            210,
            progress(vec![
                cp(1, &[], &[]),
                pool(&[(HELD, Phase::Draining)], vec![waits(POOL, Some(HELD), held, Some(1100))]),
            ]),
        ),
        (290, step(evict("db-0"))),
        (1100, RollEvent::Halted { reasons: vec![reason] }),
    ]
}

fn ledger() -> Ledger {
    let mut ledger = Ledger::default();
    for (secs, event) in events() {
        ledger.take(at(secs), &event);
    }
    ledger
}

#[test]
fn lines_tell_each_step_once_with_its_limit_and_fit() {
    let mut ledger = Ledger::default();
    let mut text = String::new();
    for (secs, event) in events() {
        let told = ledger.take(at(secs), &event);
        let style = Style::plain();
        let lines = Lines { cluster: CLUSTER, aborts: false, width: 80, style, is_simulated: true };
        let told = told.iter().map(|told| lines.told(at(secs), told));
        for line in lines.event(&event).into_iter().chain(told) {
            let _ = writeln!(text, "{line}");
        }
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn the_live_view_shows_groups_that_are_not_done() {
    let mut ledger = Ledger::default();
    for (secs, event) in events().into_iter().take(15) {
        ledger.take(at(secs), &event);
    }
    let view = live::view(&ledger, at(215));
    assert_eq!(view.head, "1 of 2 machines replaced, 1 in work, 3m30s, about 26m25s to go");
    let held = "shop/db-0 is held: budget shop/db allows 0 now";
    let message = format!("drains, at most 14m45s for 1 pod to leave; {held} ({HELD})");
    assert_eq!(view.groups, [("general-eu-west-3a".to_owned(), 0, 1, message)]);
}

#[test]
fn the_last_words_count_machines_evictions_and_waits() {
    insta::assert_snapshot!(summary::of(&ledger(), 80, true));
}

/// A newcomer that disappears before it counts is no replacement.
#[test]
fn who_is_lost_before_it_counts_is_not_called_validated() {
    let mut ledger = Ledger::default();
    ledger.take(at(0), &progress(vec![group(POOL, 3, &[], &[(NEW, Phase::Booting)])]));
    let told = ledger.take(at(50), &progress(vec![group(POOL, 3, &[OLD], &[])]));
    assert!(format!("{told:?}").contains("Lost"), "{told:?}");
}

/// A wait that is over and begins again is one wait, as long as both together.
#[test]
fn waits_add_up() {
    let mut ledger = Ledger::default();
    let waiting = || vec![waits(POOL, None, WaitReason::Quorum { why: "w".to_owned() }, None)];
    for (secs, waiting) in [(0, waiting()), (40, vec![]), (100, waiting()), (150, vec![])] {
        ledger.take(at(secs), &progress(vec![pool(&[], waiting)]));
    }
    let waits: Vec<Duration> = ledger.longest_waits().iter().map(|(_, lasted)| *lasted).collect();
    assert_eq!(waits, [Duration::from_secs(90)]);
}

#[test]
fn the_form_of_the_records_is_a_contract() {
    let mut records: Vec<String> =
        events().iter().map(|(secs, event)| wire::record(at(*secs), event).to_string()).collect();
    records.push(wire::summary(&ledger()).to_string());
    insta::assert_snapshot!(records.join("\n"));
}

fn step(step: Step) -> RollEvent {
    RollEvent::Step { step: Box::new(step) }
}

/// What is told of events that happen ten seconds after each other, and the last words.
fn told(events: &[RollEvent]) -> (String, Ledger) {
    let mut ledger = Ledger::default();
    let mut text = String::new();
    for (secs, event) in (0..).step_by(10).zip(events) {
        let told = ledger.take(at(secs), event);
        let (style, aborts) = (Style::plain(), ledger.aborts);
        let lines = Lines { cluster: CLUSTER, aborts, width: 80, style, is_simulated: true };
        let told = told.iter().map(|told| lines.told(at(secs), told));
        for line in lines.event(event).into_iter().chain(told) {
            let _ = writeln!(text, "{line}");
        }
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    (text, ledger)
}

/// A drain is taken back, and a machine that stands outside of its group ends.
#[test]
fn an_abort_tells_what_it_puts_back_and_calls_nothing_replaced() {
    let group_of = |name: &str| name.to_owned();
    let release = |node: &str, uncordon| Step::Release { node: node.to_owned(), uncordon };
    let processes = ["AZRebalance", "ScheduledActions"].map(str::to_owned).into();
    let left = WaitReason::Pods { left: 2, held: None };
    let drains = || vec![waits(POOL, Some(HELD), left.clone(), Some(900))];
    let events = [
        RollEvent::Started {
            cluster: CLUSTER.to_owned(),
            roll: "20261121T080000Z-0f".to_owned(),
            resumed: true,
            aborts: true,
            machines: 2,
        },
        progress(vec![
            group(CONTROL_PLANE, 0, &[], &[(OLD, Phase::Draining)]),
            pool(&[(HELD, Phase::Detached)], vec![]),
        ]),
        step(Step::Pin { group: group_of(CONTROL_PLANE), version: 1 }),
        step(release(OLD, true)),
        step(release(NEW, false)),
        progress(vec![
            group(CONTROL_PLANE, 1, &[], &[]),
            pool(&[(HELD, Phase::Draining)], drains()),
        ]),
        step(Step::Unmark { group: group_of(CONTROL_PLANE) }),
        step(Step::TerminateDetached { machines: [HELD.to_owned()].into() }),
        progress(vec![group(CONTROL_PLANE, 1, &[], &[]), pool(&[], vec![])]),
        step(Step::Resume { group: group_of(POOL), processes }),
        step(Step::Unmark { group: group_of(POOL) }),
        RollEvent::Finished { replaced: 1, elapsed_ms: 110_000 },
    ];
    let (text, ledger) = told(&events);
    let lines = [
        "SIMULATED putting back what a roll of prod.k8s.example.com has begun",
        "  general-eu-west-3a i-0c0c0c0c0c0c0c0c0 waits outside its group",
        "  control-plane: new machines boot version 1 again",
        "  i-0a0a0a0a0a0a0a0a0: uncordoned, marks taken off",
        "  i-0b0b0b0b0b0b0b0b0: marks taken off",
        "  control-plane i-0a0a0a0a0a0a0a0a0 stays",
        "  general-eu-west-3a i-0c0c0c0c0c0c0c0c0 drains, waits for 2 pods to leave, at",
        "      most 14m10s",
        "control-plane: put back after 1m00s",
        "  general-eu-west-3a i-0c0c0c0c0c0c0c0c0 is gone after 1m10s",
        "  general-eu-west-3a: resumed AZRebalance, ScheduledActions",
        "general-eu-west-3a: put back after 1m40s",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    let last = [
        "SIMULATED put prod.k8s.example.com back in 1m50s",
        "  1 machine ended: i-0c0c0c0c0c0c0c0c0",
        "  1 node uncordoned: i-0a0a0a0a0a0a0a0a0",
        "  1 node freed of marks: i-0b0b0b0b0b0b0b0b0",
        "  1 pin put back: control-plane",
        "  1 group with processes resumed: general-eu-west-3a",
        "  2 groups released by the roll: control-plane, general-eu-west-3a",
    ];
    let said = put_back::summary(&ledger, 80, true);
    assert_eq!(said.lines().collect::<Vec<_>>(), last);
}

#[test]
fn canaries_that_are_watched_for_long_are_told_at_once() {
    let watched = |until| pool(&[], vec![waits(POOL, None, WaitReason::Soak, Some(until))]);
    let (text, _) = told(&[progress(vec![watched(120)])]);
    let line = "  general-eu-west-3a waits for its canaries to prove themselves, at most 2m00s\n";
    assert_eq!(text, line);
    let own = vec![waits(POOL, Some(NEW), WaitReason::Soak, Some(120))];
    let (text, _) = told(&[progress(vec![watched(20)]), progress(vec![pool(&[], own)])]);
    assert_eq!(text, "");
}

#[test]
fn a_pause_is_told_once_for_all_groups_with_its_way_out() {
    let paused = |of: &str| {
        let reason = WaitReason::Paused { by: "ann@laptop".to_owned(), why: "lunch".to_owned() };
        GroupProgress { waiting: vec![waits(of, None, reason, None)], ..group(of, 0, &[OLD], &[]) }
    };
    let both = || progress(vec![paused(CONTROL_PLANE), paused(POOL)]);
    let (text, mut ledger) = told(&[progress(vec![paused(POOL)]), both(), both()]);
    assert_eq!(text.matches("ann@laptop").count(), 1, "{text}");
    assert!(text.contains("`--resume`"), "{text}");
    ledger.take(at(300), &both());
    assert_eq!(summary::of(&ledger, 80, true).matches("ann@laptop").count(), 1);
}

/// A part of a roll says that it is one.
#[test]
fn machines_that_are_left_are_counted_with_how_to_go_on() {
    let left = || group(POOL, 1, &[OLD, HELD], &[]);
    let (text, _) = told(&[
        progress(vec![pool(&[(NEW, Phase::Leaving)], vec![])]),
        progress(vec![left()]),
        step(Step::Unmark { group: POOL.to_owned() }),
    ]);
    assert!(text.ends_with("general-eu-west-3a: 1 machine replaced in 20s, 2 left\n"), "{text}");
    let progress = Progress { groups: vec![left()] };
    let told = summary::left_over(&progress, Some(1), false).unwrap();
    assert!(told.contains("2 machines are left") && told.contains("same command"), "{told}");
    let told = summary::left_over(&progress, None, true).unwrap();
    assert!(told.contains("leave --only out"), "{told}");
    assert_eq!(summary::left_over(&Progress::default(), Some(1), false), None);
}
