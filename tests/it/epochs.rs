//! Epochs from plan to members: opened once by an apply, closed by those that form, never opened again.

use std::time::Duration;

use kprod::apply::{self, StopSignal};
use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Cloud, Condition};
use kprod::epoch;
use kprod::error::ExitCode;
use kprod::etcd::Phase;
use kprod::etcd::epoch::{Epoch, epoch_key};
use kprod::etcd::report::report_key;
use kprod::plan::{Plan, PlanOptions};
use kprod::spec::Spec;

use super::apply::{STAGING, account_for, plan, request, spec_of, told};

const ETCDS: [&str; 2] = ["main", "events"];

async fn applied(cloud: &SimCloud, spec: &Spec) {
    let (plan, query) = plan(cloud, spec, &PlanOptions::default()).await;
    let stop = StopSignal::new();
    let report = apply::run(cloud, &request(&plan, &query, "ann"), &stop, &|_| ()).await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Done, "{}", told(&report));
}

async fn epoch_of(cloud: &SimCloud, etcd: &str) -> Option<Epoch> {
    epoch::read(cloud, STAGING, etcd).await.unwrap().map(|known| known.epoch)
}

async fn guards(cloud: &SimCloud, spec: &Spec) -> Vec<String> {
    let (plan, _) = plan(cloud, spec, &PlanOptions::default()).await;
    plan.refusals.iter().map(|refusal| refusal.guard.clone()).collect()
}

fn is_empty(plan: &Plan) -> bool {
    plan.changes.is_empty() && plan.refusals.is_empty()
}

#[tokio::test]
async fn an_apply_opens_each_epoch_once_and_the_members_close_it() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    for etcd in ETCDS {
        assert_eq!(epoch_of(&cloud, etcd).await, None);
    }
    applied(&cloud, &spec).await;
    cloud.sleep(Duration::from_secs(600)).await;
    let mut formed = Vec::new();
    for etcd in ETCDS {
        let epoch = epoch_of(&cloud, etcd).await.unwrap();
        assert!(epoch.number == 1 && epoch.cluster_id().is_some(), "{epoch:?}");
        assert_eq!(epoch.members.len(), 3);
        let peers: Vec<&str> =
            epoch.members.values().map(|place| place.peer_url.as_str()).collect();
        assert!(peers[0].starts_with("https://etcd-"), "{peers:?}");
        formed.push(epoch);
    }
    assert_ne!(formed[0].token, formed[1].token);
    let (again, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    assert!(is_empty(&again), "{again:#?}");
    cloud.with_world(|world| world.log.clear()).unwrap();
    let stop = StopSignal::new();
    apply::run(&cloud, &request(&again, &query, "ann"), &stop, &|_| ()).await.unwrap();
    let changed = cloud.with_world(|world| {
        let writes = world.log.iter().filter(|call| call.is_mutation);
        writes.filter(|call| !call.operation.ends_with("Object")).count()
    });
    assert_eq!(changed.unwrap(), 0);
    for (etcd, before) in ETCDS.into_iter().zip(formed) {
        assert_eq!(epoch_of(&cloud, etcd).await, Some(before));
    }
}

/// Two that plan the same: the second one finds all done.
#[tokio::test]
async fn of_two_applies_at_once_one_opens_the_epochs() {
    let spec = spec_of(STAGING);
    for seed in 0..4 {
        let cloud = account_for(&spec, seed);
        let (one, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
        let mut requests = [request(&one, &query, "ann"), request(&one, &query, "bob")];
        for request in &mut requests {
            request.lock_timeout = Duration::from_secs(3600);
        }
        let stop = StopSignal::new();
        let [ann, bob] = &requests;
        let (ann, bob) = tokio::join!(
            apply::run(&cloud, ann, &stop, &|_| ()),
            apply::run(&cloud, bob, &stop, &|_| ()),
        );
        let done = [ann, bob]
            .into_iter()
            .filter(|end| end.as_ref().is_ok_and(|report| report.exit_code() == ExitCode::Done));
        assert!(done.count() >= 1);
        let made = cloud.with_world(|world| {
            let made = world.log.iter().filter(|call| call.operation == "CreateEpoch");
            made.filter(|call| call.outcome == "ok").count()
        });
        assert_eq!(made.unwrap(), 2);
    }
}

#[tokio::test]
async fn without_its_epoch_nothing_forms_and_none_is_opened_where_members_were() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    applied(&cloud, &spec).await;
    cloud.sleep(Duration::from_secs(600)).await;
    let key = epoch_key(STAGING, "main");
    let before = cloud.get(&key).await.unwrap().unwrap().body;
    cloud.remove(&key, Condition::Any).await.unwrap();
    assert_eq!(guards(&cloud, &spec).await, ["lost_epoch"]);
    // A plan that was made before is of no more use.
    cloud.put(&key, before, Condition::Any).await.unwrap();
    assert!(guards(&cloud, &spec).await.is_empty());
    let unreadable = b"{}".to_vec();
    cloud.put(&key, unreadable, Condition::Any).await.unwrap();
    let query = kprod::desired::query(&spec);
    let error = cloud.observe(&query).await.unwrap_err();
    assert!(error.message.contains("is no epoch of an etcd cluster"), "{error}");
}

/// The volumes are gone, and other ones are there, blank, under an epoch that is closed.
#[tokio::test]
async fn blank_volumes_form_nothing_under_a_closed_epoch() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    applied(&cloud, &spec).await;
    cloud.sleep(Duration::from_secs(600)).await;
    let formed = epoch_of(&cloud, "main").await.unwrap();
    cloud
        .with_world(|world| {
            for member in ["a", "b", "c"] {
                world.lose_volume(STAGING, "main", member);
            }
            let machines: Vec<String> = world.machines.keys().cloned().collect();
            for id in machines {
                let _ = world.terminate_instance(&id);
            }
        })
        .unwrap();
    let gone_at = cloud.now();
    cloud.sleep(Duration::from_secs(3600)).await;
    for (etcd, is_up) in [("main", false), ("events", true)] {
        let mut reports = Vec::new();
        for member in ["a", "b", "c"] {
            reports.push(cloud.get(&report_key(STAGING, etcd, member)).await.unwrap().unwrap());
        }
        let fresh =
            |entry: &kprod::cloud::Entry| entry.written_at > gone_at + Duration::from_secs(600);
        assert_eq!(reports.iter().any(fresh), is_up, "{etcd}");
    }
    assert_eq!(epoch_of(&cloud, "main").await, Some(formed.clone()));
    assert!(matches!(formed.phase, Phase::Closed { .. }));
}
