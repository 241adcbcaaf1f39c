//! A crash before and after every single mutation of an apply. A crash drops all memory of the run;
//! the next one sees only what `observe` returns, and reads lag.

use std::collections::BTreeMap;

use kprod::apply::{self, StopSignal, lease};
use kprod::cloud::Query;
use kprod::cloud::sim::SimCloud;
use kprod::error::ExitCode;
use kprod::plan::{Plan, PlanOptions};
use kprod::sim::{CrashPlan, CrashSide, World};
use kprod::spec::Spec;

use super::apply::{PROD, STAGING, account_for, plan, request, spec_of, told};

/// No cluster of the tests takes so many calls.
const MUTATIONS_MAX: u64 = 2_000;

/// How many of what the account holds. Two worlds with equal counts hold nothing twice, since one of
/// them was made without a crash.
pub(crate) fn counts(world: &World) -> BTreeMap<String, usize> {
    let versions = world.templates.values().map(|template| template.versions.len());
    let rules = world.security_groups.values().map(|group| group.rules.len());
    let records = world.zones.values().map(|zone| zone.records.len());
    BTreeMap::from(
        [
            ("security groups", world.security_groups.iter().count()),
            ("rules", rules.sum()),
            ("templates", world.templates.iter().count()),
            ("template versions", versions.sum()),
            ("volumes", world.volumes.iter().count()),
            ("interfaces", world.interfaces.iter().count()),
            ("roles", world.roles.iter().count()),
            ("profiles", world.profiles.iter().count()),
            ("balancers", world.balancers.iter().count()),
            ("target groups", world.target_groups.iter().count()),
            ("listeners", world.listeners.iter().count()),
            ("zones", world.zones.iter().count()),
            ("records", records.sum()),
            ("groups", world.groups.iter().count()),
            ("machines", world.machines.len()),
            ("parameters", world.parameter_names().len()),
        ]
        .map(|(what, count)| (what.to_owned(), count)),
    )
}

/// Applies, as one process would. None when it was killed on the way.
pub(crate) async fn run(
    cloud: &SimCloud,
    plan: &Plan,
    query: &Query,
    who: &str,
) -> Option<ExitCode> {
    let stop = StopSignal::new();
    let process = async {
        match apply::run(cloud, &request(plan, query, who), &stop, &|_| ()).await {
            Ok(report) => {
                assert_eq!(report.exit_code(), ExitCode::Done, "{who}: {}", told(&report));
                report.exit_code()
            }
            Err(failure) => panic!("{who}: {failure:#?}"),
        }
    };
    tokio::select! {
        biased;
        () = cloud.crashed() => None,
        code = process => Some(code),
    }
}

/// Applies `spec` to `start` once in peace; then again and again, each time killed around another
/// mutation, and finished by a run without any memory of it. The end is always the same.
pub(crate) async fn survives_every_crash(start: &World, spec: &Spec, options: &PlanOptions) {
    let peaceful = SimCloud::from_world(start.clone());
    let (first, query) = plan(&peaceful, spec, options).await;
    let start = peaceful.with_world(|world| world.clone()).unwrap();
    run(&peaceful, &first, &query, "ann@laptop (process 1)").await.unwrap();
    let wanted = peaceful.with_world(|world| counts(world)).unwrap();
    for mutation in 1..=MUTATIONS_MAX {
        for side in [CrashSide::Before, CrashSide::After] {
            let case = format!("{side:?} mutation {mutation}");
            let mut world = start.clone();
            world.faults.crash = Some(CrashPlan { mutation, side });
            let killed = SimCloud::from_world(world);
            if run(&killed, &first, &query, "ann@laptop (process 1)").await.is_some() {
                // No run got as far as this call: every one before it has been tried.
                assert!(mutation > 10, "a crash test of {mutation} mutations proves little");
                return;
            }
            let world = killed.with_world(|world| world.clone()).unwrap();
            let next = SimCloud::from_world(world);
            // Somebody knows that the run is dead and does not wait for the end of its lease: so
            // the next run meets reads that lag behind what the dead one wrote.
            lease::break_lease(&next, spec.name()).await.unwrap();
            let who = format!("bob@ci (process 2), {case}");
            let (second, query) = plan(&next, spec, options).await;
            run(&next, &second, &query, &who).await.unwrap();
            let (again, _) = plan(&next, spec, options).await;
            assert!(!again.has_changes(), "{case}: {:#?}", again.changes);
            assert_eq!(next.with_world(|world| counts(world)).unwrap(), wanted, "{case}");
        }
    }
    panic!("no end after {MUTATIONS_MAX} mutations");
}

fn empty_account(spec: &Spec) -> World {
    account_for(spec, 3).with_world(|world| world.clone()).unwrap()
}

#[tokio::test]
async fn staging_survives_every_crash() {
    let spec = spec_of(STAGING);
    survives_every_crash(&empty_account(&spec), &spec, &PlanOptions::default()).await;
}

#[tokio::test]
async fn prod_survives_every_crash() {
    let spec = spec_of(PROD);
    survives_every_crash(&empty_account(&spec), &spec, &PlanOptions::default()).await;
}

#[tokio::test]
async fn destroying_staging_survives_every_crash() {
    let spec = spec_of(STAGING);
    let cloud = SimCloud::from_world(empty_account(&spec));
    let (first, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    run(&cloud, &first, &query, "ann@laptop (process 1)").await.unwrap();
    let made = cloud.with_world(|world| world.clone()).unwrap();
    let destroy = PlanOptions { destroy: true, allow_delete: true, ..PlanOptions::default() };
    survives_every_crash(&made, &spec, &destroy).await;
}
