//! Restoring etcd in the simulated account: from a snapshot, after everything is lost, and killed
//! around every single change on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kprod::apply::{self, StopSignal, lease};
use kprod::cloud::sim::SimCloud;
use kprod::cloud::{Call, Cloud, Condition};
use kprod::desired;
use kprod::epoch;
use kprod::error::{ExitCode, Failure};
use kprod::etcd::epoch::Epoch;
use kprod::etcd::snapshot::{List, newest_together, snapshots_key};
use kprod::etcd::{Limits, Standing};
use kprod::plan::PlanOptions;
use kprod::resource::{FORMATTED_TAG, Key, Kind, SET_ASIDE_TAG, Volume};
use kprod::restore::{self, RestoreReport, RestoreRequest, Target, VolumePlan};
use kprod::roll::{Policy, members};
use kprod::sim::{CrashPlan, CrashSide, Lifecycle, Machine, StoredVolume, World};
use kprod::snapshot;
use kprod::spec::Spec;

use super::apply::{STAGING, account_for, plan, request, spec_of, told};

const ETCDS: [&str; 2] = ["main", "events"];
const WAIT_TIMEOUT: Duration = Duration::from_secs(1800);
/// No restore of the tests changes so much.
const CHANGES_MAX: u64 = 300;

/// A cluster that has run for some hours.
async fn lived() -> (SimCloud, Spec) {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 5);
    let (first, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    let stop = StopSignal::new();
    let report = apply::run(&cloud, &request(&first, &query, "ann"), &stop, &|_| ()).await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Done, "{}", told(&report));
    // Whoever looks at members finds them; they live from then on.
    epochs(&cloud).await;
    cloud.sleep(Duration::from_secs(3 * 3600)).await;
    (cloud, spec)
}

async fn lists(cloud: &SimCloud) -> BTreeMap<String, List> {
    snapshot::read_all(cloud, STAGING, &ETCDS.map(str::to_owned)).await.unwrap()
}

async fn epochs(cloud: &SimCloud) -> BTreeMap<String, Epoch> {
    let mut epochs = BTreeMap::new();
    for etcd in ETCDS {
        let known = epoch::read(cloud, STAGING, etcd).await.unwrap().unwrap();
        epochs.insert(etcd.to_owned(), known.epoch);
    }
    epochs
}

async fn newest(cloud: &SimCloud) -> BTreeMap<String, Target> {
    let moment = newest_together(&lists(cloud).await).unwrap();
    restore::targets(&moment, &epochs(cloud).await).unwrap()
}

/// Restores as one process would.
async fn run(
    cloud: &SimCloud,
    spec: &Spec,
    targets: Option<BTreeMap<String, Target>>,
) -> Result<RestoreReport, Failure> {
    run_for(cloud, spec, targets, WAIT_TIMEOUT).await
}

async fn run_for(
    cloud: &SimCloud,
    spec: &Spec,
    targets: Option<BTreeMap<String, Target>>,
    wait_timeout: Duration,
) -> Result<RestoreReport, Failure> {
    let query = desired::query(spec);
    let request = RestoreRequest {
        cluster: STAGING.to_owned(),
        volumes: query.keys.iter().filter(|key| key.kind == Kind::Volume).cloned().collect(),
        query,
        topology: Policy::of(spec).topology,
        targets,
        holder: "ann".to_owned(),
        lock_timeout: Duration::ZERO,
        wait_timeout,
    };
    let plan = async |only: BTreeSet<Key>| -> Result<VolumePlan, Failure> {
        let options = PlanOptions { only, ..PlanOptions::default() };
        let (plan, query) = plan(cloud, spec, &options).await;
        assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
        Ok((plan, query))
    };
    let stop = StopSignal::new();
    restore::run(cloud, &request, &stop, plan, &|_| (), &|_| ()).await
}

/// However long load balancers and hooks hold on to the old machines, members have their time to form.
#[tokio::test]
async fn machines_that_are_long_in_ending_leave_the_members_their_time() {
    let (cloud, spec) = lived().await;
    let targets = newest(&cloud).await;
    cloud.with_world(|world| world.end_secs = Some(WAIT_TIMEOUT.as_secs() - 30)).unwrap();
    run(&cloud, &spec, Some(targets)).await.unwrap();
}

/// Members that form between two runs, or at the beginning of the next one, keep their machines.
#[tokio::test]
async fn machines_that_came_up_after_a_run_gave_up_are_not_replaced() {
    let (cloud, spec) = lived().await;
    let targets = newest(&cloud).await;
    cloud.with_world(|world| world.end_secs = Some(5)).unwrap();
    let halted = run_for(&cloud, &spec, Some(targets), Duration::from_secs(30)).await.unwrap_err();
    assert!(halted.message.contains("healthy voters"), "{halted:?}");
    let ids = |world: &mut World| -> BTreeSet<String> {
        hosts(world).map(|machine| machine.instance_id.clone()).collect()
    };
    let come_up = |world: &mut World| hosts(world).all(|m| m.lifecycle == Lifecycle::InService);
    let mut secs = 0;
    while !cloud.with_world(come_up).unwrap() {
        assert!(secs < 300, "no machine takes so long");
        cloud.sleep(Duration::from_secs(1)).await;
        secs += 1;
    }
    let before = cloud.with_world(ids).unwrap();
    run(&cloud, &spec, None).await.unwrap();
    assert_eq!(cloud.with_world(ids).unwrap(), before);
}

/// The machines that host members, each by the interface of its group.
fn hosts(world: &World) -> impl Iterator<Item = &Machine> {
    world.machines.values().filter(|machine| machine.network_interface_id.is_some())
}

/// The members' volumes, and those that were set aside, by id.
fn volumes(world: &World) -> (BTreeSet<String>, BTreeSet<String>) {
    let ids = |is_aside: bool| {
        let found = world
            .volumes
            .values()
            .filter(move |stored| stored.volume.tags.contains_key(SET_ASIDE_TAG) == is_aside);
        found.map(|stored| stored.volume_id.clone()).collect::<BTreeSet<String>>()
    };
    (ids(false), ids(true))
}

/// As soon as a restore is over, every member is well, on a machine of its group that was not there before
/// and stays.
async fn is_well_at_once(cloud: &SimCloud, spec: &Spec, before: &World, what: &str) {
    let topology = Policy::of(spec).topology;
    let facts = members::read(cloud, STAGING, &topology, &BTreeMap::new()).await.unwrap();
    let group_of = |id: &String| {
        let found = |world: &mut World| {
            let machine =
                world.machines.get(id).filter(|machine| machine.lifecycle == Lifecycle::InService);
            machine.and_then(|machine| machine.group.clone())
        };
        cloud.with_world(found).unwrap()
    };
    for (etcd, members) in &topology.clusters {
        for (member, place) in &members.members {
            let report = &facts[etcd][member].report;
            let machine = &report.instance_id;
            let what = format!("{what}: {etcd}/{member} on {machine}");
            assert!(report.is_healthy && report.leader.is_some(), "{what}: {report:?}");
            assert_eq!(group_of(machine).as_ref(), Some(&place.group), "{what} does not stay");
            assert!(!before.machines.contains_key(machine), "{what} is of the time before");
        }
    }
}

/// Everything is as after a restore from the targets.
async fn is_restored(cloud: &SimCloud, spec: &Spec, before: &World, what: &str) {
    is_well_at_once(cloud, spec, before, what).await;
    let (old, _) = volumes(before);
    let (new, aside) = cloud.with_world(|world| volumes(world)).unwrap();
    assert_eq!(aside, old, "{what}: no volume is deleted, and each is set aside");
    assert_eq!((new.len(), new.is_disjoint(&old)), (old.len(), true), "{what}");
    let in_service = |world: &World| -> BTreeSet<String> {
        let hosts = hosts(world).filter(|machine| machine.lifecycle == Lifecycle::InService);
        hosts.map(|machine| machine.instance_id.clone()).collect()
    };
    let now = cloud.with_world(|world| in_service(world)).unwrap();
    assert!(in_service(before).is_disjoint(&now), "{what}: every host is another machine");
    for (etcd, epoch) in epochs(cloud).await {
        assert_eq!((epoch.number, epoch.cluster_id().is_some()), (2, true), "{what}: {etcd}");
        assert!(epoch.restored_from.is_some());
    }
    assert_eq!(restore::read(cloud, STAGING).await.unwrap(), None, "{what}");
    // Once the groups have settled, nothing is left to do, and everybody is well.
    cloud.sleep(Duration::from_secs(900)).await;
    let policy = Policy::of(spec);
    let facts = members::read(cloud, STAGING, &policy.topology, &BTreeMap::new()).await.unwrap();
    let limits: Limits = policy.cluster.guard_limits(jiff::Timestamp::MIN);
    let standing = Standing::of(STAGING, &policy.topology, &facts, cloud.now(), &limits);
    assert!(standing.is_well(), "{what}: {standing:#?}");
    let (again, _) = plan(cloud, spec, &PlanOptions::default()).await;
    assert!(!again.has_changes(), "{what}: {:#?}", again.changes);
    assert!(again.refusals.is_empty(), "{what}: {:?}", again.refusals);
}

#[tokio::test]
async fn a_cluster_begins_anew_with_its_newest_snapshot() {
    let (cloud, spec) = lived().await;
    let before = cloud.with_world(|world| world.clone()).unwrap();
    let targets = newest(&cloud).await;
    let report = run(&cloud, &spec, Some(targets.clone())).await.unwrap();
    assert_eq!(report.journal.targets, targets);
    is_restored(&cloud, &spec, &before, "in peace").await;
    // The first snapshot of the new epoch comes at once.
    for (etcd, list) in lists(&cloud).await {
        let newest = list.newest().unwrap();
        assert_eq!(newest.epoch, 2, "{etcd}");
    }
}

#[tokio::test]
async fn a_cluster_comes_back_when_every_volume_is_lost() {
    let (cloud, spec) = lived().await;
    let targets = newest(&cloud).await;
    let ids: Vec<String> = cloud
        .with_world(|world| {
            let ids: Vec<String> = world.volumes.values().map(|v| v.volume_id.clone()).collect();
            for id in &ids {
                world.volumes.edit(id, StoredVolume::come_free);
            }
            ids
        })
        .unwrap();
    for volume_id in ids {
        cloud.call(&Call::DeleteVolume { volume_id }).await.unwrap();
    }
    cloud.sleep(Duration::from_secs(60)).await;
    let before = cloud.with_world(|world| world.clone()).unwrap();
    run(&cloud, &spec, Some(targets)).await.unwrap();
    // Machines that hold no volume would take the new ones as long as they run.
    is_well_at_once(&cloud, &spec, &before, "all volumes lost").await;
    for (etcd, epoch) in epochs(&cloud).await {
        assert_eq!((epoch.number, epoch.cluster_id().is_some()), (2, true), "{etcd}");
    }
    let (_, aside) = cloud.with_world(|world| volumes(world)).unwrap();
    assert!(aside.is_empty());
}

/// Nothing detaches a volume but its machine's end: whatever becomes of its tags, the machine has no place
/// for another one.
#[tokio::test]
async fn a_machine_whose_volume_was_set_aside_does_not_take_the_next_one() {
    let (cloud, _) = lived().await;
    let old = cloud.with_world(|world| volume_of(world, "main", "a")).unwrap();
    let tags = old.volume.tags.clone();
    let (resource_ids, keys) = (BTreeSet::from([old.volume_id]), tags.keys().cloned().collect());
    cloud.call(&Call::DeleteTags { resource_ids, keys }).await.unwrap();
    let mut tags = tags;
    tags.remove(FORMATTED_TAG);
    let volume = Box::new(Volume { tags, ..old.volume });
    cloud.call(&Call::CreateVolume { volume, client_token: "next".to_owned() }).await.unwrap();
    let look = async || {
        // Whoever looks at members finds them by their volumes.
        let _ = lists(&cloud).await;
        let host = |world: &mut World| world.member_states(STAGING, "main")["a"].host.clone();
        cloud.with_world(host).unwrap()
    };
    assert_eq!(look().await, None);
    cloud.sleep(Duration::from_secs(600)).await;
    assert_eq!(look().await, None, "its machine holds the old volume");
    let holder = old.attached_to.unwrap();
    cloud.with_world(|world| world.terminate_instance(&holder).unwrap()).unwrap();
    cloud.sleep(Duration::from_secs(900)).await;
    let host = look().await;
    assert!(host.as_ref().is_some_and(|host| *host != holder), "{host:?}");
}

/// A member's volume.
fn volume_of(world: &World, etcd: &str, member: &str) -> StoredVolume {
    let (tag, begin) = (format!("k8s.io/etcd/{etcd}"), format!("{member}/"));
    let is_its = |stored: &&StoredVolume| {
        stored.volume.tags.get(&tag).is_some_and(|value| value.starts_with(&begin))
    };
    world.volumes.values().find(is_its).unwrap().clone()
}

/// A snapshot that is not what was recorded brings up nobody; another one does, over the epoch that the
/// first attempt had opened.
#[tokio::test]
async fn a_flipped_byte_is_noticed_and_another_snapshot_taken() {
    let (cloud, spec) = lived().await;
    let bad = newest(&cloud).await;
    let object = bad["main"].from.snapshot.clone();
    let body = cloud.get(&object).await.unwrap().unwrap().body;
    let flipped: Vec<u8> = body.iter().enumerate().map(|(i, b)| b ^ u8::from(i == 3)).collect();
    cloud.put(&object, flipped, Condition::Any).await.unwrap();
    let failure = run(&cloud, &spec, Some(bad)).await.unwrap_err();
    assert_eq!(failure.code, ExitCode::Halted);
    assert_eq!(epochs(&cloud).await["main"].cluster_id(), None, "nobody formed");

    let lists = lists(&cloud).await;
    let older: BTreeMap<String, List> = lists
        .iter()
        .map(|(etcd, list)| {
            let mut list = list.clone();
            list.snapshots.retain(|record| record.object != object && record.epoch == 1);
            (etcd.clone(), list)
        })
        .collect();
    let told: Vec<_> = lists["main"].snapshots.iter().map(|r| (&r.name, r.epoch)).collect();
    let moment = newest_together(&older).unwrap_or_else(|error| panic!("{error}: {told:?}"));
    let targets = restore::targets(&moment, &epochs(&cloud).await).unwrap();
    run(&cloud, &spec, Some(targets)).await.unwrap();
    let epochs = epochs(&cloud).await;
    assert_eq!((epochs["main"].number, epochs["main"].cluster_id().is_some()), (3, true));
    assert!(cloud.get(&snapshots_key(STAGING, "main")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_restore_that_is_killed_around_any_change_is_finished_by_the_next_one() {
    let (cloud, spec) = lived().await;
    let start = cloud.with_world(|world| world.clone()).unwrap();
    let targets = newest(&cloud).await;
    let mut tried = 0;
    for in_bucket in [false, true] {
        for change in 1..=CHANGES_MAX {
            let mut is_over = false;
            for side in [CrashSide::Before, CrashSide::After] {
                let case = format!("{side:?} change {change}, in the bucket: {in_bucket}");
                let mut world = start.clone();
                let crash = Some(CrashPlan { mutation: change, side });
                match in_bucket {
                    true => world.faults.store_crash = crash,
                    false => world.faults.crash = crash,
                }
                let killed = SimCloud::from_world(world);
                let ended = tokio::select! {
                    biased;
                    () = killed.crashed() => None,
                    ended = run(&killed, &spec, Some(targets.clone())) => Some(ended),
                };
                if let Some(ended) = ended {
                    ended.unwrap();
                    is_over = true;
                    break;
                }
                tried += 1;
                let world = killed.with_world(|world| world.clone()).unwrap();
                let next = SimCloud::from_world(world);
                lease::break_lease(&next, STAGING).await.unwrap();
                let known = restore::read(&next, STAGING).await.unwrap();
                let is_done = known.is_none() && epochs(&next).await["main"].number == 2;
                if !is_done {
                    let targets = known.is_none().then(|| targets.clone());
                    run(&next, &spec, targets).await.unwrap_or_else(|f| panic!("{case}: {f:#?}"));
                }
                is_restored(&next, &spec, &start, &case).await;
            }
            if is_over {
                break;
            }
        }
    }
    assert!(tried > 40, "{tried}");
}
