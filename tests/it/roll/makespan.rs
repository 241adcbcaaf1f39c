//! How long a roll takes, against the least that its limits allow, what was estimated, and what kops'
//! schedule takes. All times are the simulator's.

use std::collections::BTreeSet;
use std::time::Duration;

use kprod::cloud::Query;
use kprod::cloud::sim::SimCloud;
use kprod::kube::sim::SimKube;
use kprod::roll::driver;
use kprod::roll::estimate::{Times, Work, bound, estimate, kops};
use kprod::roll::{Policy, RolloutRole};
use kprod::sim::World;
use kprod::sim::kubernetes::{Delay, PodStop, Workload, WorkloadKind};
use kprod::spec::{IntOrPercent, Spec};

use super::{apply, roll, tell};
use crate::apply::{STAGING, account_for, spec_with};

/// The groups that are rolled, and the machines of each.
const GROUPS: usize = 5;
const MACHINES: usize = 20;

/// A minute until a machine's pods are gone, twenty seconds until it is, ninety until the node of its
/// substitute is ready, and ten until that one counts.
const TIMES: Times = Times::ASSUMED;
/// What follows a drain, and the time until a new node counts, are the policy's, and its defaults.
const POST_DRAIN: Duration = Duration::from_secs(5);
/// Of a boot's time, what kubelet takes to register, and then to be ready.
const JOIN: Duration = Duration::from_secs(10);

fn exactly(time: Duration) -> Delay {
    Delay::exactly(u64::try_from(time.as_millis()).unwrap())
}

fn set_times(world: &mut World) {
    world.boot_secs = Some((TIMES.boot - JOIN * 2).as_secs());
    world.end_secs = Some(TIMES.terminate.as_secs());
    let cluster = world.cluster(STAGING);
    cluster.settings.furnish = false;
    cluster.settings.pace.join = exactly(JOIN);
    cluster.settings.pace.ready = exactly(JOIN);
}

/// Gives every worker pods that take all of their time to end.
fn run_a_shop(world: &mut World) {
    // Every node has joined.
    world.advance_secs(600);
    let cluster = world.cluster(STAGING);
    cluster.install(Workload {
        grace_secs: u32::try_from((TIMES.drain - POST_DRAIN).as_secs()).unwrap(),
        stop: PodStop::WholeGrace,
        ..Workload::new(WorkloadKind::Deployment, "shop", "web", 400)
    });
    cluster.install(Workload::new(WorkloadKind::DaemonSet, "shop", "log-agent", 0));
    world.advance_secs(600);
    let pods = world.cluster(STAGING).pods().filter(|stored| stored.pod.labels["app"] == "web");
    let busy: BTreeSet<String> = pods.filter_map(|stored| stored.pod.node.clone()).collect();
    assert_eq!(busy.len(), GROUPS * MACHINES, "every worker has something to drain");
}

/// The cluster with five pools of twenty in place of its own.
fn five_of_twenty() -> Spec {
    let sizes = ["min", "max"].map(|bound| format!("spot_nodes.4x_32Gb.{bound}={MACHINES}"));
    let mut spec = spec_with(STAGING, &[&sizes[0], &sizes[1]]);
    let pool = spec.groups.remove("spot-4x-32gb").unwrap();
    for number in 1..=GROUPS {
        let mut pool = pool.clone();
        pool.metadata.name = format!("pool-{number}");
        spec.groups.insert(pool.metadata.name.clone(), pool);
    }
    spec
}

/// How long a roll of all pools took, and what was said before.
struct Measured {
    bound: Duration,
    estimate: Duration,
    simulated: Duration,
    kops: Duration,
}

async fn measure(surge: IntOrPercent, canary: u32) -> Measured {
    let mut spec = five_of_twenty();
    let cloud = account_for(&spec, 7);
    cloud.with_world(set_times).unwrap();
    apply(&cloud, &spec).await;
    for (_, group) in spec.groups.iter_mut().filter(|(name, _)| name.starts_with("pool-")) {
        group.spec.image = Some("ami-0123456789abcdef0".to_owned());
    }
    let query = apply(&cloud, &spec).await;
    cloud.with_world(run_a_shop).unwrap();
    let mut policy = Policy::of(&spec);
    for group in policy.groups.values_mut().filter(|group| group.role == RolloutRole::Node) {
        assert_eq!((group.post_drain_delay, group.soak), (POST_DRAIN, TIMES.validate));
        group.max_surge = surge;
        group.max_unavailable = IntOrPercent::Int(0);
        group.canary = canary;
    }
    let work = work(&cloud, &query, &policy).await;
    let report = roll(&cloud, &query, &policy, &tell(&cloud)).await.unwrap();
    assert!(report.failure.is_none(), "{:#?}", report.failure);
    assert_eq!(report.replaced_count(), GROUPS * MACHINES);
    Measured {
        bound: bound(&work).unwrap(),
        estimate: estimate(&work).unwrap(),
        simulated: report.elapsed,
        kops: kops(&work.workers),
    }
}

/// What there is to do, as the plan of the roll sees it.
async fn work(cloud: &SimCloud, query: &Query, policy: &Policy) -> Work {
    let kube = SimKube::new(cloud.clone(), &query.cluster);
    let (seen, _) = driver::preview(cloud, Some(&kube), query, policy).await.unwrap();
    Work::of(&seen, policy, &TIMES)
}

/// What the simulated world itself cannot do in less: a substitute boots while the old machine ends,
/// so of each round all but the end counts, and of the last machines the end as well.
fn least(slots: u32) -> Duration {
    let rounds = u32::try_from(MACHINES).unwrap().div_ceil(slots);
    (TIMES.slot() - TIMES.terminate) * rounds + TIMES.terminate
}

/// From the lease that is taken to the lease that is given back, with every look, call and wait.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "`--nocapture` tells the figures")]
async fn five_groups_of_twenty_take_at_most_a_twentieth_more_than_the_bound() {
    let scenes = [
        (IntOrPercent::Int(1), 1, 0, 3_600),
        (IntOrPercent::Percent(10), 2, 0, 1_800),
        (IntOrPercent::Percent(25), 5, 0, 720),
        // The first machine of each group goes alone: one round more.
        (IntOrPercent::Percent(25), 5, 1, 900),
    ];
    for (surge, slots, canary, wanted) in scenes {
        let Measured { bound, estimate, simulated, kops } = measure(surge, canary).await;
        let (ratio, guess) =
            (simulated.div_duration_f64(bound), simulated.div_duration_f64(estimate));
        println!(
            "surge {surge:?}, canary {canary}: bound {bound:?}, simulated {simulated:?}, ratio \
             {ratio:.3}, estimate {estimate:?}, kops {kops:?}"
        );
        assert_eq!(bound, Duration::from_secs(wanted));
        assert_eq!(kops, Duration::from_secs(18_625), "one machine after the other");
        assert!(ratio <= 1.05, "{simulated:?} for a bound of {bound:?}");
        assert!((0.9..=1.1).contains(&guess), "{simulated:?} for an estimate of {estimate:?}");
        assert!(simulated >= least(slots), "{simulated:?}: some of the work was never done");
    }
}
