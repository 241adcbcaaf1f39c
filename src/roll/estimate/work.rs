//! What is left to do, by a look at a cluster: before a roll, and at any moment of one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{BudgetWork, GroupWork, Times, Work};
use crate::kube::drain::{DrainPolicy, drain};
use crate::kube::{Budget, KubeView, PodId};
use crate::roll::decide::{Availability, GroupScene, MachineScene, Scene};
use crate::roll::{Observation, Policy, RolloutRole};
use crate::spec::IntOrPercent;

/// How long an evicted pod takes to be ready elsewhere: its own grace period and start.
const RECOVERY: Duration = Duration::from_secs(40);

impl Work {
    /// What a policy leaves to do in a cluster that looks like this, if parts take so long.
    pub fn of(observation: &Observation, policy: &Policy, times: &Times) -> Self {
        let scene = Scene::of(observation, policy);
        let budgets = scene.view().map(|view| budgets(&scene, view)).unwrap_or_default();
        Self { budgets, ..Self::left(&scene, times) }
    }

    /// The same without its budgets, for a roll that asks again and again: what they have held up so
    /// far is in the times.
    pub fn left(scene: &Scene<'_>, times: &Times) -> Self {
        let mut work = Work::default();
        for (group, machines) in waiting(scene) {
            let found = group_work(scene, group, &machines, times);
            if found.count() == 0 && found.in_flight == 0 {
                continue;
            }
            match group.policy.role {
                RolloutRole::Bastion => work.bastions.push(found),
                RolloutRole::Etcd | RolloutRole::ControlPlane => work.quorum.push(found),
                RolloutRole::Node => work.workers.push(found),
            }
        }
        work.cluster_slots = cluster_slots(scene);
        work.zone_slots = zone_slots(scene);
        work
    }
}

/// A group with its machines that something will be begun with.
type Waiting<'s, 'a> = (&'s GroupScene<'a>, Vec<&'s MachineScene<'a>>);

/// Machines that nothing was begun with and that the roll may still begin with, by group, in its order.
fn waiting<'s, 'a>(scene: &'s Scene<'a>) -> Vec<Waiting<'s, 'a>> {
    let begun = scene.o.memory.begun.len();
    let mut room = scene.p.machines_max.map_or(usize::MAX, |most| most.saturating_sub(begun));
    let is_begun = |m: &&MachineScene<'_>| m.is_begun() || !m.machine.is_member;
    let mut found = Vec::new();
    for group in scene.groups.iter().filter(|group| group.in_scope) {
        let machines: Vec<_> = group.outdated().filter(|m| !is_begun(m)).take(room).collect();
        room -= machines.len();
        found.push((group, machines));
    }
    found
}

fn group_work(
    scene: &Scene<'_>,
    group: &GroupScene<'_>,
    waiting: &[&MachineScene<'_>],
    times: &Times,
) -> GroupWork {
    let policy = group.policy;
    let mut machines: BTreeMap<String, u32> = BTreeMap::new();
    for m in waiting {
        *machines.entry(m.machine.zone.clone()).or_default() += 1;
    }
    let surges = group.max_surge() > 0;
    let times = adjusted(scene, group, times);
    let rests: Vec<Duration> =
        group.machines.iter().filter_map(|m| rest(m, surges, &times)).collect();
    let positive = |count: i32| u32::try_from(count).unwrap_or(0);
    let has_new = group.validated().next().is_some();
    let is_watched = !has_new && scene.p.repair.is_none() && group.retire.is_none();
    GroupWork {
        machines,
        slots: positive(group.max_surge().saturating_add(group.max_unavailable())),
        surges,
        times,
        canary: if is_watched { policy.canary } else { 0 },
        canary_soak: policy.canary_soak,
        in_flight: u32::try_from(rests.len()).unwrap_or(u32::MAX),
        in_flight_rest: rests.into_iter().max().unwrap_or_default(),
    }
}

/// Times of a group: nobody drains machines without a node, only a member's host joins.
fn adjusted(scene: &Scene<'_>, group: &GroupScene<'_>, times: &Times) -> Times {
    let policy = group.policy;
    let joins = policy.role.joins() && scene.view().is_some();
    Times {
        drain: if joins { times.drain.max(policy.post_drain_delay) } else { Duration::ZERO },
        validate: if joins { times.validate.max(policy.soak) } else { Duration::ZERO },
        join: if scene.p.topology.is_host(group.name()) { times.join } else { Duration::ZERO },
        ..*times
    }
}

/// How long a replacement takes yet whose machine goes, or comes; none for one that does neither.
fn rest(m: &MachineScene<'_>, surges: bool, times: &Times) -> Option<Duration> {
    let go = times.drain.saturating_add(times.terminate);
    let come = times.boot.saturating_add(times.validate);
    let (then_come, then_go) = if surges { (Duration::ZERO, go) } else { (come, Duration::ZERO) };
    match m.availability {
        Availability::Draining(_) => Some(go.saturating_add(then_come)),
        Availability::Leaving => Some(times.terminate.saturating_add(then_come)),
        Availability::Coming(_) | Availability::Overdue => Some(come.saturating_add(then_go)),
        Availability::Soaking(_) => Some(times.validate.saturating_add(then_go)),
        _ if !m.machine.is_member => Some(go),
        Availability::Available | Availability::Unready | Availability::Cordoned => None,
    }
}

/// A limit as a number of machines; a percentage rounds down and lets one through.
fn slots(limit: IntOrPercent, all: u32) -> u32 {
    match limit {
        IntOrPercent::Int(count) => count,
        IntOrPercent::Percent(percent) => (all.saturating_mul(percent) / 100).max(1),
    }
}

fn cluster_slots(scene: &Scene<'_>) -> Option<u32> {
    let all = scene.workers().map(|group| u32::try_from(group.wanted()).unwrap_or(0)).sum();
    scene.p.cluster.max_unavailable.map(|limit| slots(limit, all))
}

fn zone_slots(scene: &Scene<'_>) -> BTreeMap<String, u32> {
    let Some(limit) = scene.p.cluster.max_unavailable_per_zone else { return BTreeMap::new() };
    let mut sizes: BTreeMap<String, u32> = BTreeMap::new();
    for m in scene.workers().flat_map(|group| &group.machines) {
        *sizes.entry(m.machine.zone.clone()).or_default() += 1;
    }
    sizes.into_iter().map(|(zone, size)| (zone, slots(limit, size))).collect()
}

/// Evictions that each budget paces. What no waiting gets away is the preflight's to tell, and counts
/// as never.
fn budgets(scene: &Scene<'_>, view: &KubeView) -> Vec<BudgetWork> {
    let mut evictions: BTreeMap<&PodId, (u32, &Budget)> = BTreeMap::new();
    let groups = waiting(scene).into_iter();
    let workers = groups.filter(|(group, _)| group.policy.role == RolloutRole::Node);
    for node in workers.flat_map(|(_, machines)| machines).filter_map(|m| m.node) {
        for entry in drain(view, &node.name, &DrainPolicy::default()).evict {
            let pod = view.pods.get(&node.name).and_then(|pods| pods.get(&entry.pod));
            for budget in pod.into_iter().flat_map(|pod| view.budgets_of(pod)) {
                evictions.entry(&budget.id).or_insert((0, budget)).0 += 1;
            }
        }
    }
    let work = |(evictions, budget): (u32, &Budget)| BudgetWork {
        evictions,
        allowed: budget
            .disruptions_allowed
            .max(budget.expected_pods.saturating_sub(budget.desired_healthy)),
        recovery: RECOVERY,
    };
    evictions.into_values().map(work).collect()
}
