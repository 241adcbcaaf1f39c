//! A scene: a cluster with a change to roll, limits, workloads and everything that will go wrong with
//! them, all from one seed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::fault::{Faults, stream};
use super::shape::{CLUSTER, Pool, Shape, Template};
use super::weather::{self, Counts, Event};
use crate::cloud::Query;
use crate::roll::{ClusterPolicy, DrainOutcome, GroupPolicy, Policy, RolloutRole};
use crate::sim::kubernetes::{Amount, BudgetRule, Workload, WorkloadKind};
use crate::sim::{Lag, World};
use crate::spec::{IntOrPercent, Role, Spec};

/// A cluster with a change to roll, and what will go wrong.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The seed that it all follows from.
    pub seed: u64,
    /// The cluster's name.
    pub cluster: String,
    /// The world when the roll begins.
    pub world: World,
    /// What to look for.
    pub query: Query,
    /// What limits the roll.
    pub policy: Policy,
    /// What goes wrong with requests and new machines.
    pub faults: Faults,
    /// What the world does, and when.
    pub events: Vec<Event>,
    /// Another change, which a second kprod may apply.
    pub other: Option<Spec>,
}

/// One seed in so many has every machine replaced, those that are as wanted among them. Nothing is drawn
/// for that, and none of the seeds that were kept before is one of them: they go their way still.
const FORCED_EVERY: u64 = 32;
/// Which one of them.
const FORCED_AT: u64 = 13;

/// Templates of shapes, each built once.
#[derive(Clone, Default)]
pub struct Templates(Arc<Mutex<BTreeMap<Shape, Arc<Template>>>>);

impl Templates {
    /// The template of a shape.
    ///
    /// # Errors
    /// As [`Template::build`].
    pub async fn of(&self, shape: &Shape) -> Result<Arc<Template>, String> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(template) = known().get(shape) {
            return Ok(template.clone());
        }
        let template = Arc::new(Template::build(shape).await?);
        known().insert(shape.clone(), template.clone());
        Ok(template)
    }
}

impl Scene {
    /// The scene of a seed; of the faults that it draws, those that `choose` lets through.
    ///
    /// # Errors
    /// As [`Template::build`].
    pub async fn draw(
        seed: u64,
        templates: &Templates,
        choose: impl FnOnce(Faults) -> Faults,
    ) -> Result<Self, String> {
        Self::of(seed, &Shape::draw(seed), templates, choose).await
    }

    /// The scene of a seed with a given shape.
    ///
    /// # Errors
    /// As [`Template::build`].
    pub async fn of(
        seed: u64,
        shape: &Shape,
        templates: &Templates,
        choose: impl FnOnce(Faults) -> Faults,
    ) -> Result<Self, String> {
        let template = templates.of(shape).await?;
        let faults = choose(Faults::draw(seed, &shape.zone_names()));
        let mut world = template.world.clone();
        world.seed = seed;
        size_pools(&mut world, seed, shape, &template.spec);
        add_workloads(&mut world, seed);
        world.advance_secs(600);
        world.lag = Lag::usual();
        let force = seed % FORCED_EVERY == FORCED_AT;
        let policy = Policy { force, ..draw_policy(seed, shape, &template.spec) };
        let horizon = Duration::from_secs(stream(seed, "horizon").u64(600..5_400));
        let events = weather::draw(seed, &faults, counts(&mut world, CLUSTER, &policy), horizon);
        Ok(Self {
            seed,
            cluster: CLUSTER.to_owned(),
            world,
            query: template.query.clone(),
            policy,
            faults,
            events,
            other: Some(template.other.clone()),
        })
    }
}

/// How many of each there are for shares of them.
pub fn counts(world: &mut World, cluster: &str, policy: &Policy) -> Counts {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let members = policy.topology.clusters.values().map(|known| known.members.len()).sum();
    let machines = number(world.machines.len());
    let known = world.cluster(cluster);
    Counts {
        machines,
        groups: number(policy.groups.len()),
        budgets: number(known.budgets().len()),
        workloads: number(known.workloads().count()),
        members: number(members),
    }
}

fn size_pools(world: &mut World, seed: u64, shape: &Shape, spec: &Spec) {
    let mut rng = stream(seed, "sizes");
    for (name, _) in shape.pool_names() {
        let size = i32::try_from(rng.u32(1..=Shape::POOL_MAX)).unwrap_or(1);
        if let Some(group) = spec.groups.get(&name) {
            // The shape's limits allow for every size that is drawn.
            let _ = world.set_desired_capacity(&spec.machine_name(group), size);
        }
    }
}

/// Workloads beside those that every simulated cluster runs.
fn add_workloads(world: &mut World, seed: u64) {
    let mut rng = stream(seed, "workloads");
    let cluster = world.cluster(CLUSTER);
    for at in 0..rng.u32(0..4) {
        let name = format!("app-{at}");
        let kinds = [WorkloadKind::Deployment, WorkloadKind::StatefulSet];
        let replicas = rng.u32(1..=6);
        cluster.install(Workload {
            grace_secs: rng.u32(1..120),
            has_empty_dir: rng.bool(),
            ..Workload::new(kinds[rng.usize(0..2)], "shop", &name, replicas)
        });
        let rule = match rng.u32(0..4) {
            0 => continue,
            1 => BudgetRule::MaxUnavailable(Amount::Count(1)),
            2 => BudgetRule::MaxUnavailable(Amount::Percent(50)),
            _ => BudgetRule::MinAvailable(Amount::Count(replicas - 1)),
        };
        cluster.guard("shop", &name, rule);
    }
}

/// Limits of a seed.
fn draw_policy(seed: u64, shape: &Shape, spec: &Spec) -> Policy {
    let mut rng = stream(seed, "policy");
    let is_small = shape.pools.len() == 1;
    let mut groups = BTreeMap::new();
    for (name, group) in &spec.groups {
        let role = match group.spec.role {
            Role::ControlPlane => RolloutRole::ControlPlane,
            Role::Etcd => RolloutRole::Etcd,
            Role::Bastion => RolloutRole::Bastion,
            Role::Node => RolloutRole::Node,
        };
        let pool = shape.pool_names().find(|(known, _)| known == name).map(|(_, pool)| pool);
        groups.insert(spec.machine_name(group), draw_group(&mut rng, role, pool, is_small));
    }
    let outcome = |rng: &mut fastrand::Rng| {
        [None, Some(IntOrPercent::Int(1)), Some(IntOrPercent::Percent(34))][rng.usize(0..3)]
    };
    Policy {
        groups,
        cluster: ClusterPolicy {
            max_unavailable: outcome(&mut rng),
            max_unavailable_per_zone: outcome(&mut rng),
            failure_percent: rng.u32(20..=100),
            one_member_downtime: false,
            snapshot_age_max: Duration::from_secs(2 * 3600),
        },
        topology: Policy::of(spec).topology,
        only: Default::default(),
        machines_max: None,
        force: false,
        retry: false,
        kubernetes_version: spec.cluster.spec.kubernetes_version.clone(),
        cloudonly: rng.u32(0..12) == 0,
        abort: false,
        repair: None,
        retire: BTreeMap::new(),
    }
}

fn draw_group(
    rng: &mut fastrand::Rng,
    role: RolloutRole,
    pool: Option<Pool>,
    is_small: bool,
) -> GroupPolicy {
    let secs = |rng: &mut fastrand::Rng, from, to| Duration::from_secs(rng.u64(from..=to));
    let surges = [
        IntOrPercent::Int(0),
        IntOrPercent::Int(1),
        IntOrPercent::Int(2),
        IntOrPercent::Percent(25),
        IntOrPercent::Percent(100),
    ];
    let missing = [IntOrPercent::Int(0), IntOrPercent::Int(1), IntOrPercent::Percent(25)];
    // A cluster of one pool needs room elsewhere for what is evicted.
    let least = usize::from(is_small || pool == Some(Pool::Zonal));
    let outcomes = [DrainOutcome::Fail, DrainOutcome::Skip, DrainOutcome::Force];
    GroupPolicy {
        role,
        max_surge: surges[rng.usize(least..surges.len())],
        max_unavailable: missing[rng.usize(0..missing.len())],
        max_unavailable_per_zone: None,
        drain_and_terminate: true,
        drain_timeout: secs(rng, 60, 900),
        on_drain_timeout: outcomes[rng.usize(0..outcomes.len())],
        post_drain_delay: secs(rng, 0, 10),
        deregister_timeout: secs(rng, 30, 600),
        boot_timeout: secs(rng, 300, 900),
        validate_timeout: secs(rng, 120, 900),
        soak: secs(rng, 0, 60),
        canary: rng.u32(0..3),
        canary_soak: secs(rng, 0, 120),
        delete_bare_pods: rng.bool(),
        max_age: None,
    }
}
