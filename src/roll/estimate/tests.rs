//! The scene that rolling updates are measured by, and laws over arbitrary ones.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::{BudgetWork, GroupWork, Observed, Times, Work, bound, estimate, kops};
use crate::roll::{GroupProgress, Phase, Progress};

const fn mins(mins: u64) -> Duration {
    Duration::from_secs(mins * 60)
}

/// Five groups of twenty, so many at once in each.
fn five_of_twenty(slots: u32) -> Work {
    let workers = vec![GroupWork::new(20, slots, Times::ASSUMED); 5];
    Work { workers, ..Work::default() }
}

#[test]
fn five_groups_of_twenty_take_an_hour_half_of_one_and_twelve_minutes_and_kops_five_hours() {
    for (slots, wanted) in [(1, mins(60)), (2, mins(30)), (5, mins(12))] {
        let work = five_of_twenty(slots);
        assert_eq!((bound(&work), estimate(&work)), (Some(wanted), Some(wanted)), "{slots}");
    }
    assert_eq!(kops(&five_of_twenty(1).workers), Duration::from_secs(18_625), "5.2 hours");
}

#[test]
fn three_control_planes_go_one_after_the_other_before_the_workers() {
    let quorum = vec![GroupWork::new(1, 1, Times::ASSUMED); 3];
    let alone = Work { quorum: quorum.clone(), ..Work::default() };
    assert_eq!(bound(&alone), Some(Duration::from_secs(630)));
    let both = Work { quorum, ..five_of_twenty(5) };
    assert_eq!(bound(&both), Some(Duration::from_secs(630) + mins(12)));
    let bastions = vec![GroupWork::new(2, 1, Times::ASSUMED); 3];
    assert_eq!(bound(&Work { bastions, ..both }), Some(Duration::from_secs(990) + mins(12)));
}

#[test]
fn a_canary_takes_a_round_of_its_own_and_is_watched() {
    let mut work = five_of_twenty(5);
    work.workers[2].canary = 1;
    work.workers[2].canary_soak = mins(10);
    assert_eq!(bound(&work), Some(mins(3) + mins(10) + mins(12)));
    work.workers[2].canary = 30;
    assert_eq!(bound(&work), Some(mins(12) + mins(10)), "no more than there are");
}

#[test]
fn limits_that_groups_share_slow_them_down_together() {
    let mut work = five_of_twenty(5);
    work.cluster_slots = Some(10);
    assert_eq!(bound(&work), Some(mins(12)), "new ones come first, none is missing");
    work.workers.iter_mut().for_each(|group| group.surges = false);
    assert_eq!(bound(&work), Some(mins(30)));
    assert_eq!(estimate(&work), Some(mins(30) + Duration::from_secs(162)));
    work.cluster_slots = None;
    work.zone_slots = BTreeMap::from([(String::new(), 4), ("other".to_owned(), 1)]);
    assert_eq!(bound(&work), Some(mins(75)));
}

#[test]
fn a_budget_paces_what_it_covers_and_one_that_allows_none_never_ends() {
    let recovery = Duration::from_secs(40);
    let with = |evictions, allowed| Work {
        budgets: vec![BudgetWork { evictions, allowed, recovery }],
        ..five_of_twenty(5)
    };
    assert_eq!(bound(&with(100, 2)), Some(recovery * 50));
    assert_eq!(bound(&with(3, 2)), Some(mins(12)));
    assert_eq!((bound(&with(1, 0)), estimate(&with(1, 0))), (None, None));
    assert_eq!(bound(&with(0, 0)), Some(mins(12)), "it covers nothing that goes");
}

#[test]
fn what_is_under_way_counts_by_what_is_left_of_it() {
    let group = |machines, slots, in_flight, rest| GroupWork {
        in_flight,
        in_flight_rest: Duration::from_secs(rest),
        ..GroupWork::new(machines, slots, Times::ASSUMED)
    };
    let time = |group: GroupWork| {
        let work = Work { workers: vec![group], ..Work::default() };
        bound(&work).unwrap().as_secs()
    };
    assert_eq!(time(group(0, 5, 5, 70)), 70);
    assert_eq!(time(group(5, 5, 5, 70)), 250);
    assert_eq!(time(group(4, 5, 1, 70)), 180, "others need not wait for it");
    assert_eq!(time(group(0, 5, 0, 0)), 0);
}

#[test]
fn times_are_those_that_were_seen() {
    let at = |secs: i64| Timestamp::from_second(1_800_000_000 + secs).unwrap();
    let progress = |in_work: &[(&str, Phase)]| Progress {
        groups: vec![GroupProgress {
            group: "g".to_owned(),
            done: 0,
            outdated: BTreeMap::new(),
            in_work: in_work.iter().map(|(m, phase)| ((*m).to_owned(), *phase)).collect(),
            skipped: BTreeMap::new(),
            waiting: Vec::new(),
        }],
    };
    let mut seen = Observed::default();
    assert_eq!(seen.times(&Times::ASSUMED), Times::ASSUMED);
    seen.watch(&progress(&[("a", Phase::Draining)]), at(0));
    seen.watch(&progress(&[("a", Phase::Draining), ("b", Phase::Draining)]), at(10));
    seen.watch(&progress(&[("a", Phase::Leaving), ("b", Phase::Draining)]), at(40));
    seen.watch(&progress(&[("c", Phase::Booting)]), at(70));
    let times = seen.times(&Times::ASSUMED);
    assert_eq!(times.drain, Duration::from_secs(50), "of 40 and of 60");
    assert_eq!(times.terminate, Duration::from_secs(30));
    assert_eq!(times.boot, Times::ASSUMED.boot, "nothing has booted yet");
}

/// A slot more once made it longer: the longest hold was that of the group with nothing to do.
#[test]
fn a_group_without_machines_costs_nothing() {
    let all = GroupWork { surges: false, ..GroupWork::new(4, 8, Times::ASSUMED) };
    let times = Times { drain: Duration::from_secs(9_000), ..Times::ASSUMED };
    let none = GroupWork { machines: [(String::new(), 0)].into(), times, ..all.clone() };
    let zone_slots: BTreeMap<_, _> = [(String::new(), 8)].into();
    let alone =
        Work { workers: vec![all.clone()], zone_slots: zone_slots.clone(), ..Work::default() };
    let beside = Work { workers: vec![all, none], zone_slots, ..Work::default() };
    assert_eq!(estimate(&beside), estimate(&alone));
}

fn any_group() -> impl Strategy<Value = GroupWork> {
    let machines = proptest::collection::btree_map("[a-c]", 0_u32..30, 0..3);
    let parts = (0_u64..200, 0_u64..60, 0_u64..200, 0_u64..60);
    let canary = (0_u32..3, 0_u64..600);
    (machines, 1_u32..8, any::<bool>(), parts, canary, (0_u32..4, 0_u64..400)).prop_map(
        |(machines, slots, surges, parts, canary, in_flight)| {
            let secs = Duration::from_secs;
            let times = Times {
                drain: secs(parts.0),
                terminate: secs(parts.1),
                boot: secs(parts.2),
                validate: secs(parts.3),
                join: secs(30),
            };
            GroupWork {
                machines,
                slots,
                surges,
                times,
                canary: canary.0,
                canary_soak: secs(canary.1),
                in_flight: in_flight.0,
                in_flight_rest: secs(in_flight.1).min(times.slot()),
            }
        },
    )
}

fn any_work() -> impl Strategy<Value = Work> {
    let groups = || proptest::collection::vec(any_group(), 0..4);
    let zones = proptest::collection::btree_map("[a-c]", 1_u32..9, 0..3);
    let budget = (0_u32..50, 0_u32..4, 0_u64..90).prop_map(|(evictions, allowed, recovery)| {
        BudgetWork { evictions, allowed, recovery: Duration::from_secs(recovery) }
    });
    let budgets = proptest::collection::vec(budget, 0..3);
    let rest = (zones, proptest::option::of(1_u32..9), budgets);
    (groups(), groups(), groups(), rest).prop_map(|(bastions, quorum, workers, rest)| Work {
        bastions,
        quorum,
        workers,
        zone_slots: rest.0,
        cluster_slots: rest.1,
        budgets: rest.2,
    })
}

proptest! {
    #[test]
    fn no_estimate_beats_the_bound_or_is_more_than_twice_it(work in any_work()) {
        let (least, likely) = (bound(&work), estimate(&work));
        prop_assert_eq!(least.is_none(), likely.is_none());
        if let (Some(least), Some(likely)) = (least, likely) {
            prop_assert!(least <= likely && likely <= least * 2 + Duration::from_secs(500));
        }
    }

    #[test]
    fn more_slots_are_never_slower(work in any_work(), which in any::<prop::sample::Index>()) {
        let mut faster = work.clone();
        let groups = faster.workers.len();
        if groups > 0 {
            faster.workers[which.index(groups)].slots += 1;
        }
        faster.zone_slots.values_mut().for_each(|slots| *slots += 1);
        faster.cluster_slots = faster.cluster_slots.map(|slots| slots + 1);
        if let (Some(slow), Some(fast)) = (bound(&work), bound(&faster)) {
            prop_assert!(fast <= slow, "bound {fast:?} after {slow:?}");
        }
        if let (Some(slow), Some(fast)) = (estimate(&work), estimate(&faster)) {
            // Shares of milliseconds are cut off.
            prop_assert!(fast <= slow + Duration::from_millis(2), "{fast:?} after {slow:?}");
        }
    }

    #[test]
    fn more_machines_are_never_faster(work in any_work()) {
        let mut more = work.clone();
        for group in more.workers.iter_mut().chain(&mut more.quorum).chain(&mut more.bastions) {
            group.machines.values_mut().for_each(|count| *count += 1);
        }
        if let (Some(few), Some(many)) = (estimate(&work), estimate(&more)) {
            prop_assert!(many >= few);
        }
    }

    #[test]
    fn kops_is_never_faster_than_one_at_a_time(machines in 1_u32..50, groups in 1_usize..6) {
        let workers = vec![GroupWork::new(machines, 1, Times::ASSUMED); groups];
        let least = bound(&Work { workers: workers.clone(), ..Work::default() });
        prop_assert!(kops(&workers) >= least.unwrap());
    }
}
