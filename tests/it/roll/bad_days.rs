//! What goes wrong in a roll, how it ends, and that a re-run finishes it.

use std::sync::Arc;
use std::time::Duration;

use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Cloud, Query};
use kprod::error::ExitCode;
use kprod::kube::sim::SimKube;
use kprod::kube::{Kube, KubeCall, KubeError, KubeErrorKind, KubeView, LabelSelector, PodId};
use kprod::resource::FAILED_TAG;
use kprod::roll::driver::RollReport;
use kprod::roll::{Policy, Retire};
use kprod::sim::World;
use kprod::sim::kubernetes::{Amount, BudgetRule, PodStop};

use super::{NEW_IMAGE, applied, assert_clean, machines, roll, roll_with, tell};
use crate::apply::{PROD, STAGING};

pub(super) async fn staging() -> (SimCloud, Query, Policy, World) {
    let (cloud, spec, query) = applied(STAGING, &[NEW_IMAGE]).await;
    let before = cloud.with_world(|world| world.clone()).unwrap();
    let policy = Policy::of(&spec);
    (cloud, query, policy, before)
}

pub(super) async fn run(cloud: &SimCloud, query: &Query, policy: &Policy) -> RollReport {
    roll(cloud, query, policy, &tell(cloud)).await.unwrap()
}

pub(super) fn said(report: &RollReport) -> String {
    let failure = report.failure.as_ref().expect("it should have halted");
    assert_eq!(failure.code, ExitCode::Halted, "{failure:#?}");
    format!("{} {}", failure.message, failure.details.join("; "))
}

#[tokio::test]
async fn a_bad_image_on_the_canary_goes_back_and_touches_nobody_else() {
    let (cloud, query, mut policy, before) = staging().await;
    // Workers alone: their control plane stays as it is.
    let pool = "spot-4x-32gb.staging.k8s.example.com";
    policy.only = [pool.to_owned()].into();
    policy.kubernetes_version = Some("1.0.0".to_owned());
    cloud
        .with_world(|world| {
            world.faults.unbootable_images.insert("ami-0123456789abcdef0".to_owned());
        })
        .unwrap();
    let report = run(&cloud, &query, &policy).await;
    assert!(said(&report).contains("is back at version 1"), "{}", said(&report));
    let failed = |world: &mut World| world.groups.get(pool).unwrap().clone();
    let group = cloud.with_world(failed).unwrap();
    assert_eq!(group.version, 1);
    assert!(group.group.tags.contains_key(FAILED_TAG));
    let others: Vec<&String> = before
        .machines
        .values()
        .filter(|machine| machine.group.as_deref() != Some(pool))
        .map(|machine| &machine.instance_id)
        .collect();
    assert!(others.iter().all(|id| machines(&cloud).contains(*id)));
    assert_clean(&cloud, &before);
}

#[tokio::test]
async fn a_budget_of_zero_halts_by_name_and_the_re_run_ends() {
    let (cloud, query, policy, before) = staging().await;
    let budget = PodId::new("default", "never");
    cloud
        .with_world(|world| {
            let cluster = world.cluster(STAGING);
            let workload = cluster
                .workloads()
                .find(|w| w.namespace != "kube-system" && w.replicas > 1)
                .unwrap()
                .clone();
            let selector =
                LabelSelector { match_labels: workload.labels.clone(), ..Default::default() };
            let id = PodId::new(&workload.namespace, "never");
            cluster.set_budget(&id, Some(selector), BudgetRule::MaxUnavailable(Amount::Count(0)));
            let known: Vec<PodId> = cluster.budgets().keys().cloned().collect();
            for other in known.into_iter().filter(|b| *b != id && b.namespace == id.namespace) {
                cluster.remove_budget(&other);
            }
            world.advance_secs(60);
            id
        })
        .map(|id| assert!(id.name == budget.name))
        .unwrap();
    let report = run(&cloud, &query, &policy).await;
    assert!(said(&report).contains("never"), "{}", said(&report));
    cloud
        .with_world(|world| {
            let cluster = world.cluster(STAGING);
            let known: Vec<PodId> = cluster.budgets().keys().cloned().collect();
            for id in known.iter().filter(|id| id.name == "never") {
                cluster.remove_budget(id);
            }
        })
        .unwrap();
    let again = run(&cloud, &query, &policy).await;
    assert!(again.failure.is_none(), "{:#?}", again.failure);
    assert_clean(&cloud, &before);
}

/// A cluster in which something refuses every cordon, such as a webhook that is down.
struct NoCordons(SimKube);

impl Kube for NoCordons {
    async fn view(&self) -> Result<Arc<KubeView>, KubeError> {
        self.0.view().await
    }

    async fn changed(&self, seen: u64, at_most: Duration) {
        self.0.changed(seen, at_most).await;
    }

    async fn call(&self, call: &KubeCall) -> Result<(), KubeError> {
        match call {
            KubeCall::PatchNode { patch, .. } if patch.unschedulable == Some(true) => {
                let why = "failed calling webhook";
                Err(KubeError::new(KubeErrorKind::Server, call.operation(), why))
            }
            _ => self.0.call(call).await,
        }
    }

    async fn ready(&self) -> Result<(), KubeError> {
        self.0.ready().await
    }
}

#[tokio::test]
async fn a_node_that_nobody_may_cordon_halts_by_name_and_the_re_run_ends() {
    let (cloud, query, policy, before) = staging().await;
    let kube = NoCordons(SimKube::new(cloud.clone(), STAGING));
    let report = roll_with(&kube, &cloud, &query, &policy, &tell(&cloud)).await.unwrap();
    let told = said(&report);
    assert!(told.starts_with("i-") && told.contains("failed calling webhook"), "{told}");
    assert_eq!(report.replaced_count(), 0);
    let again = run(&cloud, &query, &policy).await;
    assert!(again.failure.is_none(), "{:#?}", again.failure);
    assert_clean(&cloud, &before);
}

#[tokio::test]
async fn a_pod_that_never_ends_halts_or_is_forced() {
    use kprod::roll::DrainOutcome;
    let (cloud, query, mut policy, before) = staging().await;
    cloud
        .with_world(|world| {
            let cluster = world.cluster(STAGING);
            let all: Vec<(String, String)> = cluster
                .workloads()
                .filter(|w| w.namespace != "kube-system")
                .map(|w| (w.namespace.clone(), w.name.clone()))
                .collect();
            for (namespace, name) in all {
                cluster.set_stop(&namespace, &name, PodStop::Never);
            }
        })
        .unwrap();
    let report = run(&cloud, &query, &policy).await;
    assert!(said(&report).contains("pod "), "{}", said(&report));
    for group in policy.groups.values_mut() {
        group.on_drain_timeout = DrainOutcome::Force;
    }
    let again = run(&cloud, &query, &policy).await;
    assert!(again.failure.is_none(), "{:#?}", again.failure);
    assert_clean(&cloud, &before);
}

#[tokio::test]
async fn groups_behind_target_groups_raise_their_capacity_and_give_it_back() {
    let (cloud, query, mut policy, _) = staging().await;
    let pool = "spot-4x-32gb.staging.k8s.example.com";
    cloud
        .with_world(|world| {
            let arn = world.target_groups.ids().next().unwrap().clone();
            let call = kprod::cloud::Call::AttachLoadBalancerTargetGroups {
                auto_scaling_group_name: pool.to_owned(),
                arns: [arn].into(),
            };
            let _ = world.answer(&call);
            world.advance_secs(120);
        })
        .unwrap();
    let before = cloud.with_world(|world| world.clone()).unwrap();
    policy.kubernetes_version = Some("1.0.0".to_owned());
    policy.only = [pool.to_owned()].into();
    let report = run(&cloud, &query, &policy).await;
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert_eq!(report.replaced_count(), 3);
    assert_clean(&cloud, &before);
}

#[tokio::test]
async fn a_roll_that_was_killed_is_aborted_without_a_trace() {
    let (cloud, query, mut policy, before) = staging().await;
    for mutation in [5, 20, 40, 60] {
        cloud
            .with_world(|world| {
                let side = kprod::sim::CrashSide::After;
                world.faults.crash = Some(kprod::sim::CrashPlan { mutation, side });
            })
            .unwrap();
        let told = tell(&cloud);
        tokio::select! {
            biased;
            () = cloud.crashed() => {}
            report = roll(&cloud, &query, &policy, &told) => {
                assert!(report.unwrap().failure.is_none());
                break;
            }
        }
        cloud.take_crash();
        // The lease of the killed run ends by itself.
        cloud.sleep(std::time::Duration::from_secs(300)).await;
        policy.abort = true;
        let report = run(&cloud, &query, &policy).await;
        assert!(report.failure.is_none(), "{mutation}: {:#?}", report.failure);
        assert_clean(&cloud, &before);
        policy.abort = false;
    }
    cloud.with_world(|world| world.faults.crash = None).unwrap();
    let report = run(&cloud, &query, &policy).await;
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert_clean(&cloud, &before);
}

#[tokio::test]
async fn without_kubernetes_the_guard_still_holds() {
    let (cloud, query, mut policy, before) = staging().await;
    policy.cloudonly = true;
    let report = run(&cloud, &query, &policy).await;
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert_eq!(report.replaced_count(), before.machines.len());
    assert_clean(&cloud, &before);
}

#[tokio::test]
async fn a_few_machines_and_no_more() {
    let (cloud, query, mut policy, before) = staging().await;
    policy.machines_max = Some(2);
    let report = run(&cloud, &query, &policy).await;
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert_eq!(report.replaced_count(), 2);
    assert_clean(&cloud, &before);
}

#[tokio::test]
async fn a_group_that_goes_is_drained_first() {
    let (cloud, _, query) = applied(PROD, &[]).await;
    let spec = crate::apply::spec_with(PROD, &[]);
    let mut policy = Policy::of(&spec);
    let pool = "admin.prod.k8s.example.com";
    policy.retire.insert(pool.to_owned(), Retire::All);
    let report = run(&cloud, &query, &policy).await;
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert_eq!(report.replaced_count(), 3);
    let group = cloud.with_world(|world| world.groups.get(pool).unwrap().clone()).unwrap();
    assert_eq!((group.desired_capacity, group.group.min_size), (0, 0));
    let left =
        cloud.with_world(|world| world.members(pool).filter(|m| m.lifecycle.counts()).count());
    assert_eq!(left.unwrap(), 0);
}
