//! Rolling updates on the simulator: the real driver over the simulated account and its cluster.

use std::time::Duration;

use kprod::apply::{self, StopSignal};
use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Cloud, Query};
use kprod::error::{ExitCode, Failure};
use kprod::etcd::{Topology, TopologyCluster, TopologyMember};
use kprod::event::Event;
use kprod::kube::sim::SimKube;
use kprod::plan::PlanOptions;
use kprod::roll::driver::{self, RollReport, RollRequest};
use kprod::roll::{ClusterPolicy, DrainOutcome, GroupPolicy, Policy, RolloutRole};
use kprod::spec::Role;
use kprod::spec::Spec;

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
    let policy = policy_of(&cloud, &spec);
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

fn policy_of(cloud: &SimCloud, spec: &Spec) -> Policy {
    let names: Vec<String> =
        cloud.with_world(|w| w.groups.iter().map(|(n, _)| n.clone()).collect()).unwrap();
    let asg =
        |group: &str| names.iter().find(|n| n.starts_with(&format!("{group}."))).unwrap().clone();
    let secs = Duration::from_secs;
    let groups = spec
        .groups
        .values()
        .map(|g| {
            let role = match g.spec.role {
                Role::Bastion => RolloutRole::Bastion,
                Role::Etcd => RolloutRole::Etcd,
                Role::ControlPlane => RolloutRole::ControlPlane,
                Role::Node => RolloutRole::Node,
            };
            let rolling = g.spec.rolling_update.clone().unwrap();
            (
                asg(g.name()),
                GroupPolicy {
                    role,
                    max_surge: rolling.max_surge.unwrap(),
                    max_unavailable: rolling.max_unavailable.unwrap(),
                    max_unavailable_per_zone: None,
                    drain_and_terminate: true,
                    drain_timeout: secs(900),
                    on_drain_timeout: DrainOutcome::Fail,
                    post_drain_delay: secs(5),
                    deregister_timeout: secs(300),
                    boot_timeout: secs(900),
                    validate_timeout: secs(900),
                    soak: secs(10),
                    canary: 1,
                    canary_soak: secs(0),
                    delete_bare_pods: false,
                    max_age: None,
                },
            )
        })
        .collect();
    let clusters = spec
        .cluster
        .spec
        .etcd_clusters
        .iter()
        .map(|e| {
            let members = e
                .etcd_members
                .iter()
                .map(|m| (m.name.clone(), TopologyMember { group: asg(&m.instance_group) }))
                .collect();
            (e.name.clone(), TopologyCluster { members })
        })
        .collect();
    Policy {
        groups,
        cluster: ClusterPolicy {
            max_unavailable: None,
            max_unavailable_per_zone: None,
            failure_percent: 20,
            one_member_downtime: false,
            snapshot_age_max: secs(7200),
        },
        topology: Topology { clusters },
        only: Default::default(),
        machines_max: None,
        force: false,
        retry: false,
        kubernetes_version: None,
        cloudonly: false,
        abort: false,
        repair: None,
        retire: Default::default(),
    }
}
