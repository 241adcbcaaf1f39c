//! What happens around a roll that has begun: an API server that goes away, credentials that end,
//! people who delete what is rolled, another run that takes over. Each has its outcome, its exit code
//! and a message that names what it is about and the way out; mended, the same command ends well.

use std::sync::Mutex;
use std::time::Duration;

use kprod::apply::lease;
use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Call, Cloud, Query};
use kprod::error::{ExitCode, Failure};
use kprod::event::{Event, RollEvent};
use kprod::plan::PlanOptions;
use kprod::roll::driver::RollReport;
use kprod::roll::{Policy, Step, WaitReason};
use kprod::sim::kubernetes::ApiTrouble;
use kprod::sim::{CallFault, LoggedCall, MemberFault, Time, World};

use super::bad_days::{run, said, staging};
use super::{NEW_IMAGE, apply, assert_clean, machines, roll, tell};
use crate::apply::{STAGING, plan, spec_with};

const POOL: &str = "spot-4x-32gb.staging.k8s.example.com";

/// The cluster of staging before its pool is rolled, and that alone.
async fn pool() -> (SimCloud, Query, Policy, World) {
    let (cloud, query, mut policy, before) = staging().await;
    // Every node has joined.
    cloud.with_world(|world| world.advance_secs(600)).unwrap();
    policy.only = [POOL.to_owned()].into();
    // What its machines bring is not newer than the control plane.
    policy.kubernetes_version = Some("1.0.0".to_owned());
    (cloud, query, policy, before)
}

/// Rolls, and does something to the world right after the first step of a sort.
async fn roll_until(
    cloud: &SimCloud,
    query: &Query,
    policy: &Policy,
    is_it: impl Fn(&Step) -> bool + Sync,
    meddle: impl FnOnce(&mut World, &Step) + Send,
) -> RollReport {
    let meddle = Mutex::new(Some(meddle));
    let trace = tell(cloud);
    let announce = |event: Event| {
        if let Event::Roll(RollEvent::Step { step }) = &event
            && is_it(step)
            && let Some(meddle) = meddle.lock().unwrap().take()
        {
            cloud.with_world(|world| meddle(world, step)).unwrap();
        }
        trace(event);
    };
    let report = roll(cloud, query, policy, &announce).await.unwrap();
    assert!(meddle.lock().unwrap().is_none(), "nothing has happened");
    report
}

fn is_eviction(step: &Step) -> bool {
    matches!(step, Step::Evict { .. })
}

/// The failure of a roll that the same command goes on with.
fn halted(report: RollReport, words: &[&str]) -> Failure {
    let told = said(&report);
    let failure = report.failure.unwrap();
    let told = format!("{told} {}", failure.hint.as_deref().unwrap_or_default());
    for word in words {
        assert!(told.contains(word), "no `{word}` in {told}");
    }
    failure
}

/// Calls that change something, the state bucket's apart.
fn changes(cloud: &SimCloud) -> Vec<String> {
    let is_change = |operation: &str| !operation.ends_with("Object");
    let of_cloud = |world: &mut World| -> Vec<String> {
        let calls = world.log.iter().filter(|call| call.is_mutation && is_change(&call.operation));
        calls.map(|call| call.operation.clone()).collect()
    };
    cloud.with_world(of_cloud).unwrap()
}

async fn ends_well(cloud: &SimCloud, query: &Query, policy: &Policy, before: &World) {
    let again = run(cloud, query, policy).await;
    assert!(again.failure.is_none(), "{:#?}", again.failure);
    assert_clean(cloud, before);
    let left = run(cloud, query, policy).await;
    assert_eq!((left.steps, left.failure.is_none()), (0, true));
}

#[tokio::test]
async fn an_api_server_that_is_away_for_minutes_is_waited_for() {
    let (cloud, query, policy, before) = pool().await;
    let away = |world: &mut World, _: &Step| {
        let until = world.now.plus_secs(300);
        world.cluster(STAGING).break_api(ApiTrouble::Unreachable, Some(until));
    };
    let report = roll_until(&cloud, &query, &policy, is_eviction, away).await;
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert_eq!(report.replaced_count(), 3);
    assert_clean(&cloud, &before);
}

/// Whatever keeps the API server from answering, nothing more is done in AWS.
#[tokio::test]
async fn an_api_server_that_stays_away_ends_the_roll_with_its_name() {
    let troubles = [
        (ApiTrouble::Unreachable, "does not answer", "/readyz", 10 * 60),
        (ApiTrouble::Unauthorized, "does not take the credentials", "renew them", 10 * 60),
        (ApiTrouble::Forbidden, "forbids it", "kprod policy CLUSTER --for kubernetes", 10 * 60),
        (ApiTrouble::Certificate, "certificate that has expired", "certificates' dates", 0),
    ];
    for (trouble, what, way_out, patience) in troubles {
        let (cloud, query, policy, before) = pool().await;
        let broken_at = Mutex::new(None);
        let away = |world: &mut World, _: &Step| {
            world.cluster(STAGING).break_api(trouble, None);
            world.log.clear();
            *broken_at.lock().unwrap() = Some(world.now.timestamp());
        };
        let report = roll_until(&cloud, &query, &policy, is_eviction, away).await;
        halted(report, &["the API server of staging", what, way_out, "the same command"]);
        assert_eq!(changes(&cloud), [""; 0], "{trouble:?}");
        let broken_at = broken_at.lock().unwrap().unwrap();
        let waited = cloud.now().duration_since(broken_at).as_secs();
        // What was known of the cluster is good for a minute.
        assert!((patience..=patience + 120).contains(&waited), "{trouble:?}: {waited} s");
        cloud.with_world(|world| world.cluster(STAGING).faults.outages.clear()).unwrap();
        ends_well(&cloud, &query, &policy, &before).await;
    }
}

/// Before anything was begun there is nothing to go on with: exit 1, and nothing is changed.
#[tokio::test]
async fn without_an_api_server_nothing_is_begun() {
    for trouble in [ApiTrouble::Unreachable, ApiTrouble::Unauthorized, ApiTrouble::Certificate] {
        let (cloud, query, policy, before) = pool().await;
        let away = |world: &mut World| {
            world.cluster(STAGING).break_api(trouble, None);
            world.advance_secs(120);
            world.log.clear();
        };
        cloud.with_world(away).unwrap();
        let failure = run(&cloud, &query, &policy).await.failure.unwrap();
        assert_eq!(failure.code, ExitCode::Error, "{failure:#?}");
        assert!(failure.message.contains("the API server of staging"), "{failure:#?}");
        assert!(failure.hint.is_some() && changes(&cloud).is_empty());
        cloud.with_world(|world| world.cluster(STAGING).faults.outages.clear()).unwrap();
        assert_clean(&cloud, &before);
    }
}

#[tokio::test]
async fn a_machine_whose_node_object_somebody_deleted_is_replaced_like_any_other() {
    let (cloud, query, policy, before) = pool().await;
    let delete = |world: &mut World| {
        let cluster = world.clusters.get_mut(STAGING).unwrap();
        let is_of_pool = |id: &str| {
            let machine = world.machines.get(id);
            machine.is_some_and(|machine| machine.group.as_deref() == Some(POOL))
        };
        let node = cluster.nodes().iter().find(|(_, stored)| is_of_pool(&stored.instance_id));
        let name = node.unwrap().0.clone();
        cluster.delete_node(&name, None).unwrap();
    };
    cloud.with_world(delete).unwrap();
    let report = run(&cloud, &query, &policy).await;
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert_eq!(report.replaced_count(), 3);
    assert_clean(&cloud, &before);
}

/// The machine that is drained, the one outside of its group, and one that nothing was begun with.
#[tokio::test]
async fn machines_that_others_end_are_counted_as_gone() {
    for which in ["drained", "outside", "waiting", "new"] {
        let (cloud, query, policy, before) = pool().await;
        let end = |world: &mut World, step: &Step| {
            let Step::Cordon { machine: drained, .. } = step else { panic!("{step:?}") };
            let of = |world: &World, is_it: &dyn Fn(&kprod::sim::Machine) -> bool| {
                world.machines.values().find(|m| is_it(m)).map(|m| m.instance_id.clone())
            };
            let id = match which {
                "drained" => Some(drained.clone()),
                "outside" => of(world, &|m| m.tags.contains_key("kprod.dev/detached")),
                "new" => of(world, &|m| m.group.as_deref() == Some(POOL) && m.version > 1),
                _ => of(world, &|m| {
                    m.group.as_deref() == Some(POOL) && m.version == 1 && m.instance_id != *drained
                }),
            };
            let id = id.unwrap_or_else(|| panic!("{which}: {:#?}", world.machines));
            world.terminate_instance(&id).unwrap();
        };
        let is_cordon = |step: &Step| matches!(step, Step::Cordon { .. });
        let report = roll_until(&cloud, &query, &policy, is_cordon, end).await;
        assert!(report.failure.is_none(), "{which}: {:#?}", report.failure);
        let old = before.machines.values().filter(|m| m.group.as_deref() == Some(POOL));
        let left: Vec<&String> = old.map(|machine| &machine.instance_id).collect();
        assert!(left.iter().all(|id| !machines(&cloud).contains(*id)), "{which}: {left:?}");
        assert_clean(&cloud, &before);
    }
}

#[tokio::test]
async fn a_group_that_somebody_deletes_halts_the_roll_and_comes_back_by_an_apply() {
    let (cloud, query, policy, before) = pool().await;
    let delete = |world: &mut World, _: &Step| {
        let auto_scaling_group_name = POOL.to_owned();
        world.answer(&Call::DeleteAutoScalingGroup { auto_scaling_group_name, force: true });
    };
    let report = roll_until(&cloud, &query, &policy, is_eviction, delete).await;
    halted(report, &[POOL, "was deleted", "`kprod apply staging.k8s.example.com`"]);
    let spec = spec_with(STAGING, &[NEW_IMAGE]);
    let query = apply(&cloud, &spec).await;
    cloud.sleep(Duration::from_secs(300)).await;
    ends_well(&cloud, &query, &policy, &before).await;
    let (again, _) = plan(&cloud, &spec, &PlanOptions::default()).await;
    assert!(again.changes.is_empty(), "{:#?}", again.changes);
}

#[tokio::test]
async fn a_quota_that_is_reached_halts_the_roll_with_what_aws_says() {
    let (cloud, query, policy, before) = pool().await;
    let most = before.machines.len();
    cloud.with_world(|world| world.faults.machines_max = Some(most)).unwrap();
    let report = run(&cloud, &query, &policy).await;
    halted(
        report,
        &[POOL, "2 of 3", "no more came up within", "vCPU limit", "quota", "the same command"],
    );
    let machine = cloud.with_world(|world| world.machines.len()).unwrap();
    assert_eq!(machine, most, "no machine was ended for want of its substitute");
    cloud.with_world(|world| world.faults.machines_max = None).unwrap();
    // The group goes on trying by itself, less and less often.
    cloud.sleep(Duration::from_secs(900)).await;
    ends_well(&cloud, &query, &policy, &before).await;
}

/// How far the day of the next test has come.
enum Day {
    Calm,
    AwsIsAway,
    AMemberIsSick { since: Time },
    AwsIsBack { since: Time },
    AllIsWell { since: Time },
}

/// AWS refuses to end a machine of the control plane, a member of etcd falls sick, AWS is back: the
/// machine ends once the member is well, whatever the guard had said before.
#[tokio::test]
async fn the_guard_is_asked_again_when_aws_was_away() {
    let (cloud, query, policy, before) = staging().await;
    cloud.with_world(|world| world.advance_secs(600)).unwrap();
    let ends = "TerminateInstanceInAutoScalingGroup";
    let (member, day) = (format!("{STAGING}/main/c"), Mutex::new(Day::Calm));
    let trace = tell(&cloud);
    let announce = |event: Event| {
        let mut day = day.lock().unwrap();
        let is_retry = matches!(&event, Event::Retrying { operation, .. } if operation == ends);
        let waits = |is_it: fn(&WaitReason) -> bool| match &event {
            Event::Roll(RollEvent::Progress { progress, .. }) => {
                progress.groups.iter().flat_map(|group| &group.waiting).any(|w| is_it(&w.reason))
            }
            _ => false,
        };
        let is_drained = waits(|reason| matches!(reason, WaitReason::PostDrain));
        let is_refused = waits(|reason| matches!(reason, WaitReason::Quorum { .. }));
        let go_on = |world: &mut World| match *day {
            Day::Calm if is_drained => {
                let fault = |number| (number, CallFault::Unavailable);
                world.faults.on_mutation = (1..10_000).map(fault).collect();
                *day = Day::AwsIsAway;
            }
            Day::AwsIsAway if is_retry => {
                world.ail(&member, MemberFault::Sick);
                *day = Day::AMemberIsSick { since: world.now };
            }
            Day::AMemberIsSick { since } if is_refused || world.now > since.plus_secs(120) => {
                world.faults.on_mutation.clear();
                *day = Day::AwsIsBack { since: world.now };
            }
            Day::AwsIsBack { since } if world.now > since.plus_secs(60) => {
                world.recover(&member, &MemberFault::Sick);
                *day = Day::AllIsWell { since: world.now };
            }
            _ => {}
        };
        cloud.with_world(go_on).unwrap();
        trace(event);
    };
    let report = roll(&cloud, &query, &policy, &announce).await.unwrap();
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    let Day::AllIsWell { since } = day.into_inner().unwrap() else {
        panic!("nothing has happened")
    };
    let is_end = |call: &&LoggedCall| call.operation == ends && call.outcome == "ok";
    let first =
        cloud.with_world(|world| world.log.iter().find(is_end).map(|call| call.at)).unwrap();
    assert!(first > Some(since), "{first:?}, {since:?}");
    assert_clean(&cloud, &before);
}

/// Somebody broke the lease and took it: not one call more is made, to AWS or to the API server.
#[tokio::test]
async fn a_roll_that_lost_its_lease_touches_nothing_more() {
    let (cloud, query, policy, before) = pool().await;
    let thief = "bob@ci (process 3)";
    let steal = |world: &mut World, _: &Step| {
        let object = world.objects.get_mut(&lease::key(STAGING)).unwrap();
        let mut body = serde_json::to_value(&object.body).unwrap();
        let text = body["text"].as_str().unwrap();
        let mut record: serde_json::Value = serde_json::from_str(text).unwrap();
        (record["holder"], record["token"]) = (thief.into(), "another".into());
        body["text"] = record.to_string().into();
        object.body = serde_json::from_value(body).unwrap();
        object.etag = format!("{}-changed", object.etag);
        // The next look at the lease is due.
        world.advance_secs(2);
        world.log.clear();
        let requests = world.cluster(STAGING).log.len();
        world.cluster(STAGING).log.drain(..requests);
    };
    let report = roll_until(&cloud, &query, &policy, is_eviction, steal).await;
    halted(report, &[thief, "the same command"]);
    assert_eq!(changes(&cloud), [""; 0]);
    let requests = cloud.with_world(|world| world.cluster(STAGING).log.len()).unwrap();
    assert_eq!(requests, 0);
    assert_eq!(lease::read(&cloud, STAGING).await.unwrap().unwrap().holder, thief);
    // The lease ends by itself.
    cloud.sleep(Duration::from_secs(600)).await;
    ends_well(&cloud, &query, &policy, &before).await;
}
