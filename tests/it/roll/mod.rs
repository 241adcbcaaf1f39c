//! Rolling updates on the simulator: the real driver over the simulated account and its cluster.

#![allow(clippy::print_stderr, reason = "events are printed when somebody asks")]

mod bad_days;
mod calls;
mod forced;
mod makespan;
mod meanwhile;
mod repair;

use std::collections::BTreeSet;
use std::time::Duration;

use kprod::apply::{self, StopSignal};
use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Cloud, Query};
use kprod::error::{ExitCode, Failure};
use kprod::event::{Event, RollEvent};
use kprod::kube::Kube;
use kprod::kube::sim::SimKube;
use kprod::plan::PlanOptions;
use kprod::roll::Policy;
use kprod::roll::driver::{self, RollReport, RollRequest};
use kprod::sim::World;
use kprod::spec::Spec;

use super::apply::{PROD, account_for, plan, request, spec_with, told};

const SEED: u64 = 7;
pub(crate) const NEW_IMAGE: &str = "image=ami-0123456789abcdef0";

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
    roll_with(&kube, cloud, query, policy, announce).await
}

/// The same by another way to the cluster.
pub(crate) async fn roll_with<K: Kube>(
    kube: &K,
    cloud: &SimCloud,
    query: &Query,
    policy: &Policy,
    announce: &(dyn Fn(Event) + Sync),
) -> Result<RollReport, Failure> {
    let request = RollRequest {
        policy,
        query,
        holder: "ann@laptop (process 2)".to_owned(),
        lock_timeout: Duration::ZERO,
    };
    driver::run(cloud, Some(kube), &request, &StopSignal::new(), announce).await
}

/// Prints what happens, when asked to.
pub(crate) fn tell(cloud: &SimCloud) -> impl Fn(Event) + Sync + '_ {
    |event| {
        let is_progress = matches!(&event, Event::Roll(RollEvent::Progress { .. }));
        if std::env::var_os("KPROD_TRACE").is_some() && !is_progress {
            eprintln!("{} {event:?}", cloud.now());
        }
    }
}

pub(crate) fn machines(cloud: &SimCloud) -> BTreeSet<String> {
    cloud.with_world(|world| world.machines.keys().cloned().collect()).unwrap()
}

/// Nothing of a roll is left: no mark, taint, cordon, suspended process or machine outside.
pub(crate) fn assert_clean(cloud: &SimCloud, before: &World) {
    let world = cloud.with_world(|world| world.clone()).unwrap();
    for (name, was) in before.groups.iter() {
        let is = world.groups.get(name).unwrap();
        assert_eq!(is.desired_capacity, was.desired_capacity, "{name}");
        assert_eq!(is.group.suspended_processes, was.group.suspended_processes, "{name}");
        let marked = is.group.tags.keys().filter(|key| *key == "kprod.dev/roll").count();
        assert_eq!(marked, 0, "{name} carries a mark");
        let members = world.members(name).filter(|m| m.lifecycle.counts()).count();
        assert_eq!(i32::try_from(members).unwrap(), is.desired_capacity, "{name}");
    }
    for machine in world.machines.values().filter(|machine| machine.lifecycle.counts()) {
        assert!(machine.group.is_some(), "{} is outside", machine.instance_id);
        assert!(!machine.tags.contains_key("kprod.dev/detached"));
    }
    for cluster in world.clusters.values() {
        for node in cluster.list().nodes.values() {
            let ours = |key: &String| key.starts_with("kprod.dev/");
            assert!(!node.unschedulable, "{} is cordoned", node.name);
            assert!(!node.taints.iter().any(|taint| ours(&taint.key)), "{:?}", node.taints);
            assert!(!node.annotations.keys().any(ours), "{:?}", node.annotations);
        }
    }
}

#[tokio::test]
async fn a_new_image_replaces_every_machine_of_prod_once() {
    let (cloud, spec, query) = applied(PROD, &[NEW_IMAGE]).await;
    let before = cloud.with_world(|world| world.clone()).unwrap();
    let policy = Policy::of(&spec);
    let report = roll(&cloud, &query, &policy, &tell(&cloud)).await.unwrap();
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert_eq!(report.replaced_count(), before.machines.len());
    assert!(before.machines.keys().all(|id| !machines(&cloud).contains(id)));
    assert_clean(&cloud, &before);
    let again = roll(&cloud, &query, &policy, &|_| ()).await.unwrap();
    assert_eq!((again.steps, again.failure.is_none()), (0, true));
}
