//! Repairs on the simulator: broken machines of several groups are replaced one at a time, and none when
//! so many are broken that it cannot be the machines.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Cloud, Query};
use kprod::event::{Event, RollEvent};
use kprod::roll::driver::RollReport;
use kprod::roll::{Phase, Policy, RepairPolicy, RolloutRole};
use kprod::sim::World;

use super::bad_days::said;
use super::{applied, assert_clean, machines, roll, tell};
use crate::apply::PROD;

const LIMITS: RepairPolicy =
    RepairPolicy { broken_for: Duration::from_secs(600), at_once: 1, halt_above_percent: 20 };

/// Prod, with so many workers, each of another group, whose nodes are not ready for a long time.
async fn broken(count: usize) -> (SimCloud, Query, Policy, World, BTreeSet<String>) {
    let (cloud, spec, query) = applied(PROD, &[]).await;
    let policy = Policy { repair: Some(LIMITS), ..Policy::of(&spec) };
    let workers = policy.groups.iter().filter(|(_, group)| group.role == RolloutRole::Node);
    let workers: Vec<String> = workers.map(|(name, _)| name.clone()).collect();
    let break_some = |world: &mut World| {
        world.advance_secs(600);
        let before = world.clone();
        let first = |name: &String| Some(before.members(name).next()?.instance_id.clone());
        let ids: BTreeSet<String> = workers.iter().filter_map(first).take(count).collect();
        for id in &ids {
            let cluster = world.cluster(PROD);
            let node = cluster.node_name(id);
            cluster.flap_node(&node, 86_400);
        }
        (before, ids)
    };
    let (before, ids) = cloud.with_world(break_some).unwrap();
    assert_eq!(ids.len(), count);
    (cloud, query, policy, before, ids)
}

/// Repairs, and gives the most machines that were on their way out, or in, at a time.
async fn repair(cloud: &SimCloud, query: &Query, policy: &Policy) -> (RollReport, usize) {
    let most = Mutex::new(0);
    let trace = tell(cloud);
    let announce = |event: Event| {
        if let Event::Roll(RollEvent::Progress { progress, .. }) = &event {
            let phases = |is_going: bool| {
                let all = progress.groups.iter().flat_map(|group| group.in_work.values());
                all.filter(|phase: &&Phase| phase.is_going() == is_going).count()
            };
            let mut most = most.lock().unwrap();
            *most = phases(true).max(phases(false)).max(*most);
        }
        trace(event);
    };
    let report = roll(cloud, query, policy, &announce).await.unwrap();
    let most = *most.lock().unwrap();
    (report, most)
}

#[tokio::test]
async fn broken_machines_of_three_groups_are_replaced_one_at_a_time() {
    let (cloud, query, policy, before, ids) = broken(3).await;
    let (report, _) = repair(&cloud, &query, &policy).await;
    let is_idle = report.steps == 0 && report.failure.is_none();
    assert!(is_idle, "they are not broken for long enough: {:#?}", report.failure);
    cloud.sleep(Duration::from_secs(600)).await;
    let (report, most) = repair(&cloud, &query, &policy).await;
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert_eq!((report.replaced_count(), most), (3, 1));
    assert!(machines(&cloud).is_disjoint(&ids));
    assert_clean(&cloud, &before);
}

#[tokio::test]
async fn so_many_broken_machines_are_left_alone() {
    let (cloud, query, policy, before, _) = broken(4).await;
    cloud.sleep(Duration::from_secs(600)).await;
    let (report, _) = repair(&cloud, &query, &policy).await;
    let told = said(&report);
    assert!(told.contains("4 of 17 machines are broken, more than 20 in a hundred"), "{told}");
    assert_eq!((report.steps, machines(&cloud)), (0, before.machines.keys().cloned().collect()));
    let more = Policy { repair: Some(RepairPolicy { halt_above_percent: 25, ..LIMITS }), ..policy };
    let (report, most) = repair(&cloud, &query, &more).await;
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert_eq!((report.replaced_count(), most), (4, 1));
}
