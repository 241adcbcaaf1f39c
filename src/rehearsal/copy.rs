//! A simulated copy of a cluster that was looked at: the same groups, sizes and workloads, with the
//! change that is to be rolled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::shape::bring;
use super::swarm::runtime;
use crate::cloud::Call;
use crate::cloud::Observation;
use crate::cloud::sim::SimCloud;
use crate::desired;
use crate::kube::{KubeView, Pod};
use crate::resource::{GroupTag, Kind, TARGET_TAG};
use crate::sim::kubernetes::{Amount, BudgetRule, Workload, WorkloadKind};
use crate::sim::{Faults, Lag, World};
use crate::spec::Spec;

/// Who makes copies, for leases and journals of the copy.
const COPIER: &str = "a rehearsal";
/// Until machines of a copy run and its pods are placed.
const SETTLED_SECS: u64 = 1_200;

/// A copy of a simulated world, with the spec applied to it: what would be rolled then is rolled.
///
/// # Errors
/// When the spec cannot be applied.
pub fn of_world(mut world: World, spec: &Spec) -> Result<World, String> {
    world.lag = Lag::none();
    world.faults = Faults::default();
    let mut world = runtime()?.block_on(applied(world, spec))?;
    // Reads lag on AWS: a roll that takes no account of that has not been rehearsed.
    world.lag = Lag::usual();
    Ok(world)
}

async fn applied(world: World, spec: &Spec) -> Result<World, String> {
    let cloud = SimCloud::from_world(world);
    let version = spec.cluster.spec.kubernetes_version.as_deref();
    let adopted = cloud.with_world(|world| world.adopt_cluster(spec.name(), version));
    adopted.map_err(|error| error.to_string())?;
    bring(&cloud, spec, COPIER, Duration::from_secs(900)).await?;
    cloud.with_world(|world| world.clone()).map_err(|error| error.to_string())
}

/// A simulated cluster of the same groups, sizes, workloads and budgets as one that was observed, in
/// which the same groups have machines to replace. Machines have names of their own.
///
/// # Errors
/// When the spec cannot be applied to an empty account.
pub fn of_observation(
    spec: &Spec,
    observation: &Observation,
    view: Option<&KubeView>,
    outdated: &BTreeSet<String>,
) -> Result<World, String> {
    let cloud = SimCloud::in_memory(1);
    let prepared = cloud.with_world(|world| {
        world.lag = Lag::none();
        world.adopt_network(&desired::adopted_network(spec));
        for group in spec.groups.values() {
            for target in &group.spec.external_load_balancers {
                world.adopt_target_group(&target.target_group_arn);
            }
        }
        world.clone()
    });
    let mut world = runtime()?.block_on(applied(prepared.map_err(|e| e.to_string())?, spec))?;
    size(&mut world, observation);
    if let Some(view) = view {
        let cluster = world.cluster(spec.name());
        for workload in workloads(view) {
            cluster.install(workload);
        }
        for budget in view.budgets.values() {
            let rule = BudgetRule::MinAvailable(Amount::Count(budget.desired_healthy));
            cluster.set_budget(&budget.id, budget.selector.clone(), rule);
        }
    }
    world.advance_secs(SETTLED_SECS);
    for group in outdated {
        change(&mut world, group)?;
    }
    world.lag = Lag::usual();
    Ok(world)
}

/// As many machines as the observed groups should have.
fn size(world: &mut World, observation: &Observation) {
    for (key, observed) in &observation.resources {
        if key.kind == Kind::AutoScalingGroup
            && let Some(facts) = &observed.group
        {
            // What is out of the spec's limits stays within them.
            let _ = world.set_desired_capacity(&key.name, facts.desired_capacity);
        }
    }
}

/// The workloads that the pods of a view belong to.
fn workloads(view: &KubeView) -> Vec<Workload> {
    let mut owned: BTreeMap<(WorkloadKind, &str, &str), Vec<&Pod>> = BTreeMap::new();
    for pod in view.pods.values().flat_map(BTreeMap::values).filter(|pod| !pod.is_mirror) {
        let kind = match pod.owner.as_ref().map(|owner| owner.kind.as_str()) {
            Some("DaemonSet") => WorkloadKind::DaemonSet,
            Some("StatefulSet") => WorkloadKind::StatefulSet,
            Some(_) => WorkloadKind::Deployment,
            None => WorkloadKind::Bare,
        };
        let name = pod.owner.as_ref().map_or(pod.id.name.as_str(), |owner| owner.name.as_str());
        owned.entry((kind, &pod.id.namespace, name)).or_default().push(pod);
    }
    let workload = |((kind, namespace, name), pods): ((WorkloadKind, &str, &str), Vec<&Pod>)| {
        let first = pods.first()?;
        let replicas = u32::try_from(pods.len()).ok()?;
        Some(Workload {
            labels: first.labels.clone(),
            grace_secs: first.grace_secs,
            has_empty_dir: first.has_empty_dir,
            priority_class: first.priority_class.clone(),
            tolerates_all: first.tolerates_all,
            ..Workload::new(kind, namespace, name, replicas)
        })
    };
    owned.into_iter().filter_map(workload).collect()
}

/// Has a group go to a further version of its template: what the change is made of costs no time.
fn change(world: &mut World, group: &str) -> Result<(), String> {
    let Some(stored) = world.groups.get(group) else { return Ok(()) };
    let name = stored.group.launch_template_name.clone();
    let Some(template) = world.templates.get(&name) else { return Ok(()) };
    let (version, data) = match template.versions.last_key_value() {
        Some((number, known)) => (number + 1, known.data.clone()),
        None => return Ok(()),
    };
    let revision = format!("{version:016x}");
    let target = GroupTag { value: format!("{version}:{revision}"), propagate_at_launch: false };
    for call in [
        Call::CreateLaunchTemplateVersion {
            launch_template_name: name,
            version_description: revision,
            data: Box::new(data),
            client_token: format!("{group}/{version}"),
        },
        Call::CreateOrUpdateTags {
            auto_scaling_group_name: group.to_owned(),
            tags: BTreeMap::from([(TARGET_TAG.to_owned(), target)]),
        },
    ] {
        if let crate::sim::Outcome::Answered(Err(error)) = world.answer(&call) {
            return Err(error.to_string());
        }
    }
    Ok(())
}
