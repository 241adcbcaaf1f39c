//! The quick proof: some seeds of the simulation, some requests of a small world, kept seeds; and
//! `kprod rehearse` as people use it.

#![allow(clippy::print_stderr, reason = "a failing seed is told in full")]

use kprod::rehearsal::dice::Strike;
use kprod::rehearsal::small::{Blow, exhaust};
use kprod::rehearsal::swarm::Swarm;
use kprod::rehearsal::weather::Happening;
use serde_json::Value;

use super::cli::{STAGING, run};
use super::env;

/// Seeds of a quick run; `kprod simulate` makes as many as one likes.
const SEEDS: u64 = 6;

fn assert_holds(first: u64, count: u64) {
    let swarm = Swarm { first, count, threads: 2, only: None, twice_every: 3, tells_all: false };
    let tally = swarm.run(&|_| ()).unwrap();
    for failed in &tally.failed {
        eprintln!("{}", failed.lines.join("\n"));
        eprintln!("seed {} {:?} with {}", failed.seed, failed.violation, failed.faults);
    }
    assert!(tally.failed.is_empty());
    assert!(tally.replaced > 0);
}

#[test]
fn no_seed_breaks_an_invariant() {
    assert_holds(1, SEEDS);
}

/// Seeds under which something was broken once.
#[test]
fn seeds_that_failed_once_hold() {
    let kept = include_str!("../seeds.txt").lines();
    for line in kept.filter(|line| !line.starts_with('#')) {
        let seed = line.split_whitespace().next().unwrap().parse().unwrap();
        assert_holds(seed, 1);
    }
}

/// Every 100th request here; `kprod simulate --small-worlds` strikes each one.
#[test]
fn no_fault_at_a_request_of_a_small_world_breaks_an_invariant() {
    let blows = [
        Blow::Strike(Strike::CrashBefore),
        Blow::Strike(Strike::CrashAfter),
        Blow::Strike(Strike::Lost),
        Blow::Happening(Happening::Reclaim, 3),
    ];
    let exhausted = exhaust(&blows, 100, 2).unwrap();
    assert!(exhausted.failed.is_empty(), "{:#?}", exhausted.failed);
    assert!(exhausted.cases >= 16, "{}", exhausted.cases);
}

#[test]
fn a_rehearsal_tells_how_long_a_roll_takes_and_what_would_halt_it_and_changes_nothing() {
    let fleet = env::fleet();
    let at = fleet.path();
    let (code, _, said) = run(at, &["apply", STAGING, "--yes"]);
    assert_eq!(code, 0, "{said}");
    let change = ["--set", "image=ami-0123456789abcdef0"];
    let plan = [&["plan", STAGING, "-o", "json"][..], &change].concat();
    let (_, before, _) = run(at, &plan);

    let rehearse = [&["rehearse", STAGING, "-o", "json"][..], &change].concat();
    let faults = ["--faults", "az-outage=eu-west-3b", "--seeds", "1"];
    let (code, text, said) = run(at, &[&rehearse[..], &faults].concat());
    assert_eq!(code, 0, "{said}");
    let forecast: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&forecast["format_version"], &forecast["replaced"]), (&1.into(), &6.into()));
    assert!(forecast["peaceful_secs"].as_u64().unwrap() > 300, "{text}");
    assert_eq!((&forecast["violations"], &forecast["seeds"]), (&0.into(), &1.into()), "{text}");

    let (_, after, _) = run(at, &plan);
    let rollout = |text: &str| serde_json::from_str::<Value>(text).unwrap()["rollout"].clone();
    assert_eq!(rollout(&before), rollout(&after));

    let (code, text, said) = run(at, &["rehearse", STAGING]);
    assert_eq!(code, 0, "{said}");
    assert!(text.contains("machines replaced   0"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn a_fault_that_is_none_is_told_with_its_neighbour() {
    let fleet = env::fleet();
    let (code, _, said) = run(fleet.path(), &["rehearse", STAGING, "--faults", "sport=0.1"]);
    assert_eq!(code, 64);
    assert!(said.contains("`sport` is no fault") && said.contains("did you mean `spot`"), "{said}");
}
