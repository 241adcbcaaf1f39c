//! Bad days on the way of an apply: each has its outcome, its exit code, and a message that names
//! what is wrong and the way out. When the world is mended, the same command ends well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kprod::apply::{self, StopSignal};
use kprod::cloud::sim::SimCloud;
use kprod::error::ExitCode;
use kprod::event::Event;
use kprod::plan::PlanOptions;
use kprod::resource::{RecordSet, Ref};
use kprod::sim::{Shortage, World};
use kprod::spec::Role;

use crate::apply::{account_for, plan, request, spec_of, told};
use crate::cli::{STAGING, run};
use crate::env;

const ZONE: &str = "eu-west-3a";

/// Meddles with the account that the program works on.
fn meddle(at: &Path, with: impl FnOnce(&mut World)) {
    let cloud = SimCloud::open(&at.join(".kprod"), "210987654321", "eu-west-3").unwrap();
    cloud.with_world(with).unwrap();
}

/// An apply that is to end in a given way, whose message has all these words.
fn apply_ends(at: &Path, expected: i32, words: &[&str]) {
    let (code, _, said) = run(at, &["apply", STAGING, "--yes", "--wait-timeout", "5m"]);
    assert_eq!(code, expected, "{said}");
    // Lines are broken to fit the terminal.
    let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in words {
        assert!(flat.contains(word), "no `{word}` in {said}");
    }
}

fn assert_unchanged(at: &Path) {
    let (code, text, _) = run(at, &["plan", STAGING, "--detailed-exitcode"]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_zone_without_capacity_is_named_with_its_group() {
    let fleet = env::fleet();
    let at = fleet.path();
    let shortage = Shortage { availability_zone: ZONE.to_owned(), instance_type: None };
    meddle(at, |world| world.faults.shortages = BTreeSet::from([shortage]));
    let group = format!("auto_scaling_group/control-plane-{ZONE}.masters.{STAGING}");
    let lacks = format!("{group} lacks machines");
    let why = format!("capacity in the Availability Zone you requested ({ZONE})");
    apply_ends(at, 6, &[&lacks, "0 of 1 machines in service", &why, "more machine types or zones"]);
    // Only the machines lack; the other zones have theirs.
    assert_unchanged(at);
    meddle(at, |world| world.faults.shortages.clear());
    apply_ends(at, 0, &[]);
}

#[test]
fn a_quota_of_machines_is_told_by_the_group_that_runs_into_it() {
    let fleet = env::fleet();
    let at = fleet.path();
    meddle(at, |world| world.faults.machines_max = Some(3));
    let words = ["machines after 300 s", "vCPU limit", "a quota of the account is reached"];
    apply_ends(at, 6, &words);
    meddle(at, |world| world.faults.machines_max = None);
    apply_ends(at, 0, &[]);
    assert_unchanged(at);
}

#[test]
fn a_quota_of_resources_is_named() {
    let fleet = env::fleet();
    let at = fleet.path();
    let exhausted = BTreeSet::from(["CreateVolume".to_owned()]);
    meddle(at, |world| world.faults.exhausted_operations = exhausted);
    let quota = "have the quota `Storage for volumes of this type, in TiB` raised";
    apply_ends(at, 1, &["volume/a.etcd-main", "CreateVolume", quota]);
    meddle(at, |world| world.faults.exhausted_operations.clear());
    apply_ends(at, 0, &[]);
    assert_unchanged(at);
}

/// A machine that never completes its launch hook is given up and launched again, without end.
#[tokio::test]
async fn a_hook_that_nobody_completes_is_told() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    let group = format!("control-plane-{ZONE}.masters.{STAGING}");
    let silent = BTreeSet::from([group.clone()]);
    cloud.with_world(|world| world.faults.silent_hooks = silent).unwrap();
    let (plan, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    let stop = StopSignal::new();
    let report = apply::run(&cloud, &request(&plan, &query, "ann"), &stop, &|_| ()).await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Halted, "{}", told(&report));
    let failure = report.failure.unwrap();
    assert_eq!(failure.message, format!("auto_scaling_group/{group} lacks machines after 1800 s"));
    assert!(failure.details[0].contains("is Pending:Wait"), "{:?}", failure.details);
    assert!(failure.hint.unwrap().contains("does not complete its launch hook"));
}

/// Between a plan that nobody saved and its apply lies a moment; the lease is taken in it.
#[tokio::test]
async fn a_hand_that_moves_a_group_between_plan_and_apply_is_told() {
    let mut spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    let (first, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    let stop = StopSignal::new();
    apply::run(&cloud, &request(&first, &query, "ann"), &stop, &|_| ()).await.unwrap();
    let pool = spec.groups.iter_mut().find(|(_, group)| group.spec.role == Role::Node);
    pool.unwrap().1.spec.max_size = Some(77);
    let (second, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    let name = second.changes[0].address.name.clone();
    let announce = |event: Event| {
        if matches!(event, Event::LeaseTaken { .. }) {
            let edit = |world: &mut World| {
                world.groups.edit(&name, |stored| stored.group.max_size = 40);
                world.log.clear();
            };
            cloud.with_world(edit).unwrap();
        }
    };
    let report = apply::run(&cloud, &request(&second, &query, "ann"), &stop, &announce).await;
    let report = report.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Stale, "{}", told(&report));
    let failure = report.failure.unwrap();
    let difference = failure.details.join("\n");
    assert!(difference.contains("max_size: ") && difference.contains("40 now"), "{difference}");
    assert!(failure.hint.unwrap().contains("plan again"));
    let is_change = |operation: &str| !operation.ends_with("Object");
    let made = cloud.with_world(|world| {
        world.log.iter().filter(|call| call.is_mutation && is_change(&call.operation)).count()
    });
    assert_eq!(made.unwrap(), 0, "nothing was made");
}

/// Route53 deletes no zone that holds records of others; they are named, and all else goes.
#[test]
fn a_name_of_somebody_else_keeps_the_zone() {
    let fleet = env::fleet();
    let at = fleet.path();
    apply_ends(at, 0, &[]);
    let name = format!("grafana.internal.{STAGING}");
    let change = |zone_records: &mut BTreeMap<String, BTreeMap<String, RecordSet>>, adds: bool| {
        let set = RecordSet {
            ttl: Some(60),
            resource_records: BTreeSet::from([Ref::Known("10.0.0.1".to_owned())]),
            alias_target: None,
        };
        match adds {
            true => zone_records.insert(name.clone(), BTreeMap::from([("A".to_owned(), set)])),
            false => zone_records.remove(&name),
        };
    };
    let in_private_zone = |world: &mut World, adds| {
        let private = world.zones.iter().find(|(_, zone)| zone.vpc_id.is_some()).unwrap().0.clone();
        world.zones.edit(&private, |zone| change(&mut zone.records, adds));
    };
    meddle(at, |world| in_private_zone(world, true));
    let destroy = ["destroy", STAGING, "--confirm", STAGING];
    let (code, _, said) = run(at, &destroy);
    assert!(code == 5 && said.contains(&format!("dns_name/{name}")), "{code} {said}");
    assert!(said.contains("not the cluster's"), "{said}");
    meddle(at, |world| {
        assert_eq!(world.groups.iter().count(), 0, "all else is gone");
        in_private_zone(world, false);
    });
    let (code, _, said) = run(at, &destroy);
    assert_eq!(code, 0, "{said}");
}
