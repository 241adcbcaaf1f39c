//! How many calls to AWS a rolling update makes, against the least that its API allows.

use std::collections::BTreeMap;

use kprod::cloud::Call;
use kprod::roll::Policy;
use kprod::sim::kubernetes::{Delay, Workload, WorkloadKind};
use kprod::sim::{Lag, LoggedCall, World};
use kprod::spec::IntOrPercent;

use super::{apply, roll, tell};
use crate::apply::{STAGING, account_for, spec_with};

/// The machines of the one group that is rolled.
const MACHINES: usize = 100;
/// How many go at a time.
const BATCH: usize = 10;

/// The least number of calls that replace the machines of one group in batches, when as many as a
/// batch are brought above what the group should have.
///
/// A batch takes one call to end its machines and one look at what came of it; one call ends up to
/// [`Call::TERMINATED_MAX`] machines. The machines above come by taking old ones out of the group: a
/// call marks them all (CreateTags takes up to [`Call::TAGGED_MAX`] resources), and one call detaches
/// up to [`Call::DETACHED_MAX`]. Notes on groups, processes that are suspended and the pin are no part
/// of the bound; neither is the state bucket.
fn least_calls(machines: usize, batch: usize) -> usize {
    let batches = machines.div_ceil(batch);
    let terminates = batches * batch.div_ceil(Call::TERMINATED_MAX);
    let surge = batch.div_ceil(Call::TAGGED_MAX) + batch.div_ceil(Call::DETACHED_MAX);
    terminates + batches + surge
}

/// By operation, the calls to AWS of a log.
fn counted(log: &[LoggedCall]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for call in log.iter().filter(|call| !call.operation.ends_with("Object")) {
        *counts.entry(call.operation.as_str()).or_default() += 1;
    }
    counts
}

/// Machines that are launched together are ready together, and no budget holds their work back: what
/// goes as a batch comes as a batch.
fn run_a_shop(world: &mut World) {
    world.boot_secs = Some(90);
    let cluster = world.cluster(STAGING);
    cluster.settings.furnish = false;
    cluster.settings.pace.join = Delay::exactly(10_000);
    cluster.settings.pace.ready = Delay::exactly(10_000);
    cluster.install(Workload::new(WorkloadKind::Deployment, "shop", "web", 200));
    cluster.install(Workload::new(WorkloadKind::DaemonSet, "shop", "log-agent", 0));
}

/// A hundred machines in batches of ten cost at most half as many calls again as the bound.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "`--nocapture` tells the figures")]
async fn a_roll_of_a_hundred_machines_makes_at_most_half_as_many_calls_again_as_the_bound() {
    let sizes = ["min", "max"].map(|bound| format!("spot_nodes.4x_32Gb.{bound}={MACHINES}"));
    let mut spec = spec_with(STAGING, &[&sizes[0], &sizes[1]]);
    let cloud = account_for(&spec, 7);
    cloud.with_world(run_a_shop).unwrap();
    apply(&cloud, &spec).await;
    let group = spec.groups.get_mut("spot-4x-32gb").unwrap();
    group.spec.image = Some("ami-0123456789abcdef0".to_owned());
    let query = apply(&cloud, &spec).await;
    let mut policy = Policy::of(&spec);
    let group = policy.groups.get_mut("spot-4x-32gb.staging.k8s.example.com").unwrap();
    group.max_surge = IntOrPercent::Int(u32::try_from(BATCH).unwrap());
    group.max_unavailable = IntOrPercent::Int(0);
    group.canary = 0;
    cloud
        .with_world(|world| {
            world.lag = Lag::none();
            // Every node has joined.
            world.advance_secs(600);
            world.log.clear();
        })
        .unwrap();

    let report = roll(&cloud, &query, &policy, &tell(&cloud)).await.unwrap();
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert_eq!(report.replaced_count(), MACHINES);
    let log: Vec<LoggedCall> = cloud.with_world(|w| w.log.iter().cloned().collect()).unwrap();
    let counts = counted(&log);
    let (made, bound) = (counts.values().sum::<usize>(), least_calls(MACHINES, BATCH));
    println!("{MACHINES} machines in batches of {BATCH}: {made} calls, bound {bound}: {counts:#?}");
    let told: Vec<String> =
        log.iter().map(|call| format!("{} {}", call.at.timestamp(), call.operation)).collect();
    assert!(made * 2 <= bound * 3, "{made} calls, bound {bound}: {counts:#?}\n{}", told.join("\n"));
}
