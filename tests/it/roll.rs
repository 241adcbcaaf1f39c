//! Rolling updates on the simulator: the real driver over the simulated account and its cluster.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use kprod::apply::{self, StopSignal};
use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Cloud, Query};
use kprod::error::{ExitCode, Failure};
use kprod::event::Event;
use kprod::kube::sim::SimKube;
use kprod::plan::PlanOptions;
use kprod::roll::Policy;
use kprod::roll::driver::{self, RollReport, RollRequest};
use kprod::sim::Lifecycle;
use kprod::spec::{IntOrPercent, Spec};

use super::apply::{PROD, account_for, plan, request, spec_with, told};

const SEED: u64 = 7;

/// A cluster that was applied as `before` says, and then as `after` does.
pub(crate) async fn applied(cluster: &str, sets: &[&str]) -> (SimCloud, Spec, Query) {
    let before = spec_with(cluster, &[]);
    let cloud = account_for(&before, SEED);
    apply(&cloud, &before).await;
    let after = spec_with(cluster, sets);
    let query = apply(&cloud, &after).await;
    (cloud, after, query)
}

async fn apply(cloud: &SimCloud, spec: &Spec) -> Query {
    let (made, query) = plan(cloud, spec, &PlanOptions::default()).await;
    if made.changes.is_empty() {
        return query;
    }
    let asked = request(&made, &query, "ann@laptop (process 1)");
    let report = apply::run(cloud, &asked, &StopSignal::new(), &|_| ()).await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Done, "{}", told(&report));
    query
}

/// Rolls, as one process would.
pub(crate) async fn roll(
    cloud: &SimCloud,
    query: &Query,
    policy: &Policy,
    announce: &(dyn Fn(Event) + Sync),
) -> Result<RollReport, Failure> {
    let kube = SimKube::new(cloud.clone(), &query.cluster);
    let request = RollRequest {
        policy,
        query,
        holder: "ann@laptop (process 2)".to_owned(),
        lock_timeout: Duration::ZERO,
    };
    driver::run(cloud, Some(&kube), &request, &StopSignal::new(), announce).await
}

#[tokio::test]
async fn a_new_image_replaces_every_machine_of_prod_once() {
    let (cloud, spec, query) = applied(PROD, &["image=ami-0123456789abcdef0"]).await;
    let before =
        cloud.with_world(|world| world.machines.keys().cloned().collect::<Vec<_>>()).unwrap();
    let policy = Policy::of(&spec);
    let told = |event: Event| {
        if std::env::var_os("KPROD_TRACE").is_some()
            && !matches!(&event, Event::Roll(kprod::event::RollEvent::Progress { .. }))
        {
            eprintln!("{} {event:?}", cloud.now());
        }
    };
    let report = roll(&cloud, &query, &policy, &told).await.unwrap();
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert_eq!(report.replaced_count(), before.len());
    let world = cloud.with_world(|world| world.clone()).unwrap();
    assert_eq!(world.machines.len(), before.len());
    assert!(before.iter().all(|id| !world.machines.contains_key(id)));
    let again = roll(&cloud, &query, &policy, &|_| ()).await.unwrap();
    assert_eq!((again.steps, again.failure.is_none()), (0, true));
}

#[tokio::test]
async fn a_groups_own_limit_in_each_zone_holds() {
    let sets = ["pools.admin.min=6", "image=ami-0123456789abcdef0"];
    let (cloud, spec, query) = applied(PROD, &sets).await;
    cloud.sleep(Duration::from_secs(600)).await;
    let name = format!("admin.{PROD}");
    let mut policy = Policy::of(&spec);
    policy.only = [name.clone()].into();
    let admin = policy.groups.get_mut(&name).unwrap();
    admin.max_surge = IntOrPercent::Int(0);
    admin.max_unavailable = IntOrPercent::Int(6);
    admin.max_unavailable_per_zone = Some(IntOrPercent::Int(1));
    admin.canary = 0;
    let serving = || -> BTreeMap<String, usize> {
        let count = |world: &mut kprod::sim::World| {
            let mut zones = BTreeMap::new();
            for machine in world.members(&name) {
                let serves = machine.lifecycle == Lifecycle::InService;
                *zones.entry(machine.availability_zone.clone()).or_insert(0) += usize::from(serves);
            }
            zones
        };
        cloud.with_world(count).unwrap()
    };
    let least = Mutex::new(serving());
    assert_eq!(least.lock().unwrap().values().copied().collect::<Vec<_>>(), [2, 2, 2]);
    let watch = |_: Event| {
        for (zone, now) in serving() {
            let mut least = least.lock().unwrap();
            let seen = least.entry(zone).or_insert(now);
            *seen = now.min(*seen);
        }
    };
    let report = roll(&cloud, &query, &policy, &watch).await.unwrap();
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert_eq!(report.replaced_count(), 6);
    let least = least.into_inner().unwrap();
    assert_eq!(least.into_values().collect::<Vec<_>>(), [1, 1, 1], "one of two at a time");
}
