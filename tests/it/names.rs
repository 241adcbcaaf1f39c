//! DNS names on their way: all of a zone in one batch, and what happens when the batch does not work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use kprod::apply::{self, StopSignal};
use kprod::cloud::sim::SimCloud;
use kprod::error::ExitCode;
use kprod::event::Event;
use kprod::plan::PlanOptions;
use kprod::resource::{Kind, RecordSet, Ref};
use kprod::sim::{CallFault, Lag, LoggedCall};

use super::apply::{STAGING, account_for, plan, request, spec_of, told};

/// Puts a CNAME where the plan wants addresses, once the wave with most names has looked.
fn spoil(cloud: &SimCloud, name: &str) {
    let alias = RecordSet {
        ttl: Some(60),
        resource_records: BTreeSet::from([Ref::Known("elsewhere.example.com".to_owned())]),
        alias_target: None,
    };
    cloud
        .with_world(|world| {
            let zones: Vec<String> = world.zones.iter().map(|(id, _)| id.clone()).collect();
            for id in zones {
                world.zones.edit(&id, |zone| {
                    if name.ends_with(&zone.name) {
                        let sets = BTreeMap::from([("CNAME".to_owned(), alias.clone())]);
                        zone.records.insert(name.to_owned(), sets);
                    }
                });
            }
        })
        .unwrap();
}

/// A batch is atomic: one bad record would take all names of the zone with it.
#[tokio::test]
async fn one_bad_record_does_not_block_the_other_names() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    let (plan, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    let bad = format!("etcd-a.internal.{STAGING}");
    let batches = AtomicUsize::new(0);
    let announce = |event: Event| match event {
        Event::ChangeStarted { address, .. } if address.name == bad => spoil(&cloud, &bad),
        Event::CallMade { operation, .. } if operation == "ChangeResourceRecordSets" => {
            batches.fetch_add(1, Ordering::SeqCst);
        }
        _ => {}
    };
    let stop = StopSignal::new();
    let report = apply::run(&cloud, &request(&plan, &query, "ann"), &stop, &announce).await;
    let report = report.unwrap();
    assert_ne!(report.exit_code(), ExitCode::Done);
    let failed: Vec<&str> = report.failed.iter().map(|(key, _)| key.name.as_str()).collect();
    assert_eq!(failed, [bad.as_str()], "{}", told(&report));
    let names = report.done.iter().filter(|key| key.kind == Kind::DnsName).count();
    let wanted = plan.changes.iter().filter(|c| c.address.kind == Kind::DnsName).count();
    assert_eq!(names, wanted - 1, "{}", told(&report));
    assert!(batches.load(Ordering::SeqCst) > 3, "the other names are made one by one");
}

/// When the answer to a batch is lost, each name is looked up; what is there is not written again.
#[tokio::test]
async fn a_batch_whose_answer_is_lost_is_looked_up_name_by_name() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    cloud.with_world(|world| world.lag = Lag::none()).unwrap();
    let (plan, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    let started = AtomicUsize::new(0);
    let announce = |event: Event| {
        if let Event::ChangeStarted { address, .. } = &event
            && address.name == format!("etcd-a.internal.{STAGING}")
        {
            started.fetch_add(1, Ordering::SeqCst);
            cloud
                .with_world(|world| {
                    let done = world.log.iter().filter(|call| call.is_mutation);
                    let done = done.filter(|call| !call.operation.ends_with("Object")).count();
                    // The other calls of this wave were answered or are lost as well.
                    let next = u64::try_from(done).unwrap();
                    world.faults.on_mutation =
                        (next..next + 20).map(|number| (number, CallFault::AnswerLost)).collect();
                })
                .unwrap();
        }
    };
    let stop = StopSignal::new();
    let report = apply::run(&cloud, &request(&plan, &query, "ann"), &stop, &announce).await;
    let report = report.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Done, "{}", told(&report));
    assert_eq!(started.load(Ordering::SeqCst), 1);
    let batches = |outcome: &str| {
        let is_batch = |call: &&LoggedCall| call.operation == "ChangeResourceRecordSets";
        cloud.with_world(|world| {
            world.log.iter().filter(is_batch).filter(|call| call.outcome == outcome).count()
        })
    };
    assert!(batches("AnswerLost").unwrap() >= 1);
    assert!(
        batches("ok").unwrap() + batches("AnswerLost").unwrap() <= 3,
        "nothing is written twice"
    );
}
