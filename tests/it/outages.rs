//! Reads in bad days, on the simulator's virtual time: throttled, stopped, given up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kprod::apply::{self, StopSignal};
use kprod::cloud::retry::RetryPolicy;
use kprod::cloud::retry::reader::ReadRetry;
use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Cloud, CloudErrorKind};
use kprod::desired;
use kprod::error::ExitCode;
use kprod::event::Event;
use kprod::plan::PlanOptions;
use kprod::sim::CallFault;

use super::apply::{STAGING, account_for, plan, request, spec_of};

/// Breaks the next reads from the one after so many.
fn break_reads(cloud: &SimCloud, after: u64, count: u64, fault: CallFault) {
    cloud
        .with_world(|world| {
            let first = world.read_count + 1 + after;
            world.faults.on_read = (first..first + count).map(|read| (read, fault)).collect();
        })
        .unwrap();
}

fn listen(cloud: &SimCloud) -> Arc<Mutex<Vec<ReadRetry>>> {
    let heard: Arc<Mutex<Vec<ReadRetry>>> = Arc::default();
    let ear = heard.clone();
    cloud.reader().listen(Arc::new(move |retry: &ReadRetry| {
        ear.lock().unwrap().push(retry.clone());
    }));
    heard
}

/// Minutes of throttling are waited for, and whoever waits hears why.
#[tokio::test]
async fn a_read_that_is_throttled_for_minutes_is_outlived_and_told() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    let heard = listen(&cloud);
    let started = cloud.now();
    break_reads(&cloud, 0, 20, CallFault::Throttled);
    cloud.observe(&desired::query(&spec)).await.unwrap();
    let waited = Duration::try_from(cloud.now().duration_since(started)).unwrap();
    assert!(waited > Duration::from_secs(60) && waited < RetryPolicy::OUTAGE_TIMEOUT, "{waited:?}");
    let heard = heard.lock().unwrap();
    let attempts: Vec<u32> = heard.iter().map(|retry| retry.attempt).collect();
    assert_eq!(attempts, (1..=20).collect::<Vec<_>>());
    assert!(heard.iter().all(|retry| retry.why.contains("RequestLimitExceeded")), "{heard:#?}");
}

/// The user's limit counts, for a read as for a change.
#[tokio::test]
async fn a_read_is_given_up_when_the_users_limit_is_reached() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    let limit = Duration::from_secs(7);
    cloud.reader().limit(RetryPolicy { timeout: Some(limit) });
    break_reads(&cloud, 0, 1000, CallFault::Unavailable);
    let started = cloud.now();
    let error = cloud.observe(&desired::query(&spec)).await.unwrap_err();
    assert_eq!(error.kind, CloudErrorKind::Unavailable);
    let waited = Duration::try_from(cloud.now().duration_since(started)).unwrap();
    assert!(waited >= limit && waited < limit + Duration::from_secs(2), "{waited:?}");
}

/// AWS that stays down ends a run: with 1 when it had not begun, with 6 when a re-run goes on.
#[tokio::test]
async fn a_run_that_cannot_read_ends_by_whether_it_has_begun() {
    let spec = spec_of(STAGING);
    for (reads_before, code) in [(0, ExitCode::Error), (2, ExitCode::Halted)] {
        let cloud = account_for(&spec, 1);
        let (plan, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
        cloud.reader().limit(RetryPolicy { timeout: Some(Duration::from_secs(30)) });
        break_reads(&cloud, reads_before, 100_000, CallFault::Unavailable);
        let request = request(&plan, &query, "ann");
        let report = apply::run(&cloud, &request, &StopSignal::new(), &|_| ()).await.unwrap();
        assert_eq!(report.exit_code(), code, "{report:#?}");
        assert_eq!(report.done.is_empty(), code == ExitCode::Error, "{report:#?}");
        let hint = report.failure.unwrap().hint.unwrap();
        assert!(hint.contains("run the same command again"), "{hint}");
    }
}

/// Ctrl-C does not wait for a service that is down.
#[tokio::test]
async fn a_wish_to_stop_ends_a_read_that_is_tried_again_at_once() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    let (plan, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    break_reads(&cloud, 0, 100_000, CallFault::Unavailable);
    let stop = StopSignal::new();
    let failures = Arc::new(AtomicUsize::new(0));
    let (wish, count) = (stop.clone(), failures.clone());
    cloud.reader().listen(Arc::new(move |_: &ReadRetry| {
        if count.fetch_add(1, Ordering::SeqCst) == 5 {
            wish.stop();
        }
    }));
    let told = Mutex::new(Vec::new());
    let announce = |event: Event| told.lock().unwrap().push(event);
    let report = apply::run(&cloud, &request(&plan, &query, "ann"), &stop, &announce).await;
    let report = report.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Halted);
    assert!(report.failure.unwrap().message.contains("stopped"));
    assert_eq!(failures.load(Ordering::SeqCst), 6, "no read began after the wish");
    assert!(told.lock().unwrap().contains(&Event::Stopping));
}
