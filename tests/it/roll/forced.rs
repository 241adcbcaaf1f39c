//! Rolls that replace every machine, those that are as wanted among them: each goes once, however often
//! the roll is killed, or kept to a few machines. One that has ended is over, and so is one that was
//! aborted: the next is another one.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Cloud, Query};
use kprod::event::{Event, RollEvent};
use kprod::kube::sim::SimKube;
use kprod::plan::PlanOptions;
use kprod::roll::{Policy, Preview, Step, driver, forced};
use kprod::sim::{CrashPlan, CrashSide, World};

use super::bad_days::run;
use super::{applied, assert_clean, machines, roll, tell};
use crate::apply::{STAGING, plan, spec_with};

/// Staging, as wanted, and a policy that replaces all of it.
async fn settled() -> (SimCloud, Query, Policy, World) {
    let (cloud, spec, query) = applied(STAGING, &[]).await;
    // Every node has joined.
    cloud.with_world(|world| world.advance_secs(600)).unwrap();
    let before = cloud.with_world(|world| world.clone()).unwrap();
    (cloud, query, Policy { force: true, ..Policy::of(&spec) }, before)
}

/// Rolls until it is over, or killed; notes the machines that it says to have ended. Whether it is over.
async fn live(
    cloud: &SimCloud,
    query: &Query,
    policy: &Policy,
    ended: &Mutex<Vec<String>>,
) -> bool {
    let trace = tell(cloud);
    let announce = |event: Event| {
        if let Event::Roll(RollEvent::Step { step }) = &event
            && let Step::Terminate { machines, .. } | Step::TerminateDetached { machines } = &**step
        {
            ended.lock().unwrap().extend(machines.iter().cloned());
        }
        trace(event);
    };
    tokio::select! {
        biased;
        () = cloud.crashed() => false,
        report = roll(cloud, query, policy, &announce) => {
            let report = report.unwrap();
            assert!(report.failure.is_none(), "{:#?}", report.failure);
            true
        }
    }
}

/// What stands in the bucket of a roll that is not over.
async fn noted(cloud: &SimCloud) -> Option<forced::Forced> {
    forced::read(cloud, STAGING).await.unwrap()
}

fn ids(world: &World) -> BTreeSet<String> {
    world.machines.keys().cloned().collect()
}

/// Each machine that was there has gone, and none that has come since.
fn assert_each_went_once(cloud: &SimCloud, before: &World, ended: &Mutex<Vec<String>>) {
    let (old, ended) = (ids(before), ended.lock().unwrap());
    let again: Vec<&String> = ended.iter().filter(|id| !old.contains(*id)).collect();
    assert!(again.is_empty(), "newcomers went too: {again:?}");
    assert!(machines(cloud).is_disjoint(&old), "{:?}", machines(cloud));
    assert_clean(cloud, before);
}

#[tokio::test]
async fn killed_again_and_again_it_replaces_each_machine_once() {
    for (every, side) in [(3, CrashSide::After), (4, CrashSide::Before), (7, CrashSide::After)] {
        let (cloud, query, policy, before) = settled().await;
        let ended = Mutex::default();
        let mut kills = 0;
        loop {
            let plan = CrashPlan { mutation: every, side };
            cloud.with_world(|world| world.faults.crash = Some(plan)).unwrap();
            if live(&cloud, &query, &policy, &ended).await {
                break;
            }
            kills += 1;
            assert!(kills < 60, "no end");
            cloud.take_crash();
            // The lease of the killed run ends by itself.
            cloud.sleep(Duration::from_secs(300)).await;
        }
        cloud.with_world(|world| world.faults.crash = None).unwrap();
        assert!(kills >= 4, "{kills} kills prove little");
        assert_each_went_once(&cloud, &before, &ended);
        assert_eq!(noted(&cloud).await, None, "it is over");
    }
}

/// The moment is written down before the first machine goes, and taken away after the last one came.
#[tokio::test]
async fn killed_at_each_write_to_the_bucket_it_replaces_each_machine_once() {
    for side in [CrashSide::Before, CrashSide::After] {
        for write in [1, 2, 3, 4, 5, 6] {
            let (cloud, query, policy, before) = settled().await;
            let ended = Mutex::default();
            let plan = CrashPlan { mutation: write, side };
            cloud.with_world(|world| world.faults.store_crash = Some(plan)).unwrap();
            if !live(&cloud, &query, &policy, &ended).await {
                cloud.take_crash();
                cloud.sleep(Duration::from_secs(300)).await;
                assert!(live(&cloud, &query, &policy, &ended).await);
            }
            assert_each_went_once(&cloud, &before, &ended);
            assert_eq!(noted(&cloud).await, None);
        }
    }
}

/// No group keeps a note between these runs: what is left is known by the moment alone.
#[tokio::test]
async fn two_machines_a_run_come_to_all_of_them_and_the_next_roll_is_another_one() {
    let (cloud, query, policy, before) = settled().await;
    let few = Policy { machines_max: Some(2), ..policy.clone() };
    let ended = Mutex::default();
    for left in [4, 2, 0] {
        assert!(live(&cloud, &query, &few, &ended).await);
        assert_clean(&cloud, &before);
        let stay = machines(&cloud).intersection(&ids(&before)).count();
        assert_eq!((stay, noted(&cloud).await.is_some()), (left, left > 0));
    }
    assert_each_went_once(&cloud, &before, &ended);
    let second = cloud.with_world(|world| world.clone()).unwrap();
    let report = run(&cloud, &query, &policy).await;
    assert_eq!((report.replaced_count(), report.failure.is_none()), (6, true));
    assert!(machines(&cloud).is_disjoint(&ids(&second)));
}

#[tokio::test]
async fn a_preview_lists_what_is_left_of_it_and_a_run_without_force_leaves_that_alone() {
    let (cloud, query, policy, before) = settled().await;
    let few = Policy { machines_max: Some(4), ..policy.clone() };
    assert!(live(&cloud, &query, &few, &Mutex::default()).await);
    let kube = SimKube::new(cloud.clone(), STAGING);
    let (planned, _) = plan(&cloud, &spec_with(STAGING, &[]), &PlanOptions::default()).await;
    let preview = async |policy: &Policy| {
        let look = driver::look(&cloud, Some(&kube), &query, policy).await.unwrap();
        Preview::of(&look, policy, &planned)
    };
    let shown = preview(&policy).await;
    let left: BTreeSet<String> = shown
        .groups
        .iter()
        .flat_map(|group| group.machines.iter().map(|m| m.instance_id.clone()))
        .collect();
    assert!(left.len() == 2 && left.is_subset(&ids(&before)), "{left:?}");
    assert_eq!(shown.unfinished, noted(&cloud).await.map(|noted| noted.roll));
    assert!(!shown.is_idle);

    let plain = Policy { force: false, ..policy.clone() };
    assert!(preview(&plain).await.is_idle);
    let report = run(&cloud, &query, &plain).await;
    assert_eq!((report.steps, noted(&cloud).await.is_some()), (0, true));
    let report = run(&cloud, &query, &policy).await;
    assert_eq!((report.replaced_count(), report.resumed), (2, true));
    assert!(preview(&plain).await.is_idle);
}

#[tokio::test]
async fn an_abort_ends_it() {
    let (cloud, query, policy, before) = settled().await;
    let few = Policy { machines_max: Some(4), ..policy.clone() };
    assert!(live(&cloud, &query, &few, &Mutex::default()).await);
    let abort = Policy { force: false, abort: true, ..policy.clone() };
    let report = run(&cloud, &query, &abort).await;
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert_eq!(noted(&cloud).await, None);
    assert_clean(&cloud, &before);
    let report = run(&cloud, &query, &policy).await;
    assert_eq!(report.replaced_count(), 6, "what came by then is not of the next roll");
}
