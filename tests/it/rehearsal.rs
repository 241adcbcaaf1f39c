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
use super::on_call::applied;

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
    let fleet = applied();
    let at = fleet.path();
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

/// Halts that differ in nothing but the machine are one; a seed is named, and tells how it came to it.
#[test]
fn a_way_to_halt_is_told_once_with_a_seed_that_tells_its_steps() {
    let fleet = applied();
    let at = fleet.path();
    let rehearse = |more: &[&str]| {
        let change = ["rehearse", STAGING, "--set", "image=ami-0123456789abcdef0"];
        let faults = ["--faults", "join-fail=1"];
        let (code, text, said) = run(at, &[&change[..], &faults, more].concat());
        assert_eq!(code, 0, "{said}");
        text
    };
    let forecast: Value = serde_json::from_str(&rehearse(&["--seeds", "2", "-o", "json"])).unwrap();
    let [halt] = forecast["halts"].as_array().unwrap().as_slice() else { panic!("{forecast:#}") };
    assert_eq!(
        (&halt["seeds"], &halt["seed"], &halt["in_peace"]),
        (&2.into(), &1.into(), &false.into())
    );
    assert_eq!((&forecast["ended"], &forecast["told"]), (&0.into(), &Value::Null));

    let told =
        &serde_json::from_str::<Value>(&rehearse(&["--seed", "1", "-o", "json"])).unwrap()["told"];
    assert_eq!((&told["seed"], &told["faults"]), (&1.into(), &"join-fail=1".into()));
    let last = told["timeline"].as_array().unwrap().iter().rfind(|r| r["event"] == "roll_halted");
    assert!(last.is_some(), "{told:#}");
    assert!(told["blows"][0]["what"].as_str().unwrap().contains("never joins"), "{told:#}");

    let text = rehearse(&["--seed", "1"]);
    assert!(text.starts_with("SIMULATED rehearsal of staging.k8s.example.com, seed 1\n"), "{text}");
    assert!(text.contains("! i-") && text.contains("would have halted 1 of 1 times (exit 6)"));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

/// No machine ever boots, no watch ever tells the newest: the roll halts, or takes longer.
#[test]
fn what_goes_wrong_every_time_ends_a_roll_within_its_limits() {
    let fleet = applied();
    let at = fleet.path();
    for (faults, ended) in [("boot-fail=1", 0), ("stale=1", 1)] {
        let rehearse = ["rehearse", STAGING, "--force", "--faults", faults, "--seeds", "1"];
        let (code, text, said) = run(at, &[&rehearse[..], &["-o", "json"]].concat());
        assert_eq!(code, 0, "{faults}: {said}");
        let forecast: Value = serde_json::from_str(&text).unwrap();
        let halts = forecast["halts"].as_array().unwrap().len();
        assert_eq!((&forecast["ended"], halts), (&ended.into(), 1 - ended), "{faults}: {text}");
    }
}

/// What strikes nothing would look as if all were well.
#[test]
fn faults_that_nobody_would_heed_are_refused() {
    let fleet = env::fleet();
    for (arguments, words) in [
        (
            &["rehearse", STAGING, "--faults", "spot=0.1,az-outage=eu-west-3z"][..],
            &["no group of the cluster is in eu-west-3z", "eu-west-3a, eu-west-3b, eu-west-3c"][..],
        ),
        (&["rehearse", STAGING, "--faults", "capacity=a"], &["capacity=a", "eu-west-3a"]),
        (&["rehearse", STAGING, "--faults", "random,spot=1"], &["`random` stands alone"]),
        (&["rehearse", STAGING, "--seeds", "3"], &["without faults", "--faults random"]),
        (&["simulate", "--faults", "spot=0.9,az-outage=foo"], &["`spot=0.9`", "spot,az-outage"]),
    ] {
        let (code, out, said) = run(fleet.path(), arguments);
        assert_eq!((code, out.as_str()), (64, ""), "{arguments:?}: {said}");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
}

#[test]
fn a_fault_that_is_none_is_told_with_its_neighbour() {
    let fleet = env::fleet();
    let (code, _, said) = run(fleet.path(), &["rehearse", STAGING, "--faults", "sport=0.1"]);
    assert_eq!(code, 64);
    assert!(said.contains("`sport` is no fault") && said.contains("did you mean `spot`"), "{said}");
}
