//! What holds in a simulated cluster whatever people and machines do to it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::kubernetes::{Amount, BudgetRule, Kubernetes, Workload, WorkloadKind};
use super::kubernetes::{host, lone_cluster, pass, pods_of};
use crate::kube::{KubeCall, NodePatch, Pod, PodId, Taint, TaintEffect};

const WORKERS: usize = 5;

/// Something that is done to a cluster.
#[derive(Clone, Debug)]
enum Act {
    Evict(usize),
    Delete(usize),
    Cordon(usize, bool),
    Mark(usize, bool),
    Flap(usize),
    Lose(usize),
    Pass(u64),
}

/// Acts that go through the API alone, as a roll's do.
fn by_api() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..20usize).prop_map(Act::Evict),
        1 => (0..WORKERS, any::<bool>()).prop_map(|(node, on)| Act::Cordon(node, on)),
        1 => (0..WORKERS, any::<bool>()).prop_map(|(node, on)| Act::Mark(node, on)),
        2 => (1..20u64).prop_map(Act::Pass),
    ]
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => by_api(),
        1 => (0..20usize).prop_map(Act::Delete),
        1 => (0..WORKERS).prop_map(Act::Flap),
        1 => (0..WORKERS).prop_map(Act::Lose),
    ]
}

fn furnished(seed: u64) -> Kubernetes {
    let mut cluster = lone_cluster(seed, WORKERS);
    cluster.install(Workload::new(WorkloadKind::Deployment, "app", "web", 6));
    cluster.guard("app", "web", BudgetRule::MaxUnavailable(Amount::Percent(25)));
    cluster.install(Workload::new(WorkloadKind::StatefulSet, "app", "store", 3));
    cluster.guard("app", "store", BudgetRule::MinAvailable(Amount::Count(2)));
    cluster.install(Workload::new(WorkloadKind::Deployment, "app", "free", 3));
    cluster.install(Workload {
        tolerates_all: true,
        ..Workload::new(WorkloadKind::DaemonSet, "app", "agent", 0)
    });
    pass(&mut cluster, 120);
    cluster
}

fn worker(cluster: &Kubernetes, number: usize) -> Option<String> {
    let is_worker = |name: &&String| name.starts_with("i-worker");
    let workers: Vec<&String> = cluster.nodes().keys().filter(is_worker).collect();
    workers.get(number % workers.len().max(1)).map(|name| (*name).clone())
}

fn movable(cluster: &Kubernetes) -> Vec<Pod> {
    ["web", "store", "free"].iter().flat_map(|app| pods_of(cluster, app)).collect()
}

fn patch(cluster: &mut Kubernetes, number: usize, patch: NodePatch) {
    if let Some(node) = worker(cluster, number) {
        cluster.request(&KubeCall::PatchNode { node, patch }).unwrap();
    }
}

/// Does one thing; gives the pod whose eviction was granted.
fn act(cluster: &mut Kubernetes, act: &Act) -> Option<Pod> {
    match act {
        Act::Evict(number) => {
            let pods = movable(cluster);
            let pod = pods.get(number % pods.len().max(1))?;
            let granted = cluster.evict(&pod.id, Some(&pod.uid), None, false).is_ok();
            return granted.then(|| pod.clone());
        }
        Act::Delete(number) => {
            let pods = movable(cluster);
            let pod = pods.get(number % pods.len().max(1))?;
            cluster.delete(&pod.id, None, None).unwrap();
        }
        Act::Cordon(number, on) => {
            let change = NodePatch { unschedulable: Some(*on), ..NodePatch::default() };
            patch(cluster, *number, change);
        }
        Act::Mark(number, on) => {
            let key = "kprod.dev/outdated".to_owned();
            let mut change = NodePatch::default();
            match on {
                true => {
                    let effect = TaintEffect::PreferNoSchedule;
                    change.add_taints.insert(Taint { key, value: String::new(), effect });
                }
                false => {
                    change.remove_taints.insert(key);
                }
            }
            patch(cluster, *number, change);
        }
        Act::Flap(number) => {
            let node = worker(cluster, *number)?;
            cluster.flap_node(&node, 30);
        }
        Act::Lose(number) => {
            let name = format!("i-worker{number}");
            cluster.host_is_gone(&name);
        }
        Act::Pass(secs) => pass(cluster, *secs),
    }
    None
}

fn healthy(cluster: &Kubernetes, app: &str) -> usize {
    let is_healthy = |pod: &&Pod| pod.is_ready && pod.deleted_until.is_none();
    pods_of(cluster, app).iter().filter(is_healthy).count()
}

/// Which node each pod is on, by uid.
fn places(cluster: &Kubernetes) -> BTreeMap<String, String> {
    let placed = movable(cluster).into_iter();
    placed.filter_map(|pod| Some((pod.uid.clone(), pod.node?))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// A budget's promise: while nothing but evictions disturbs its pods, enough stay healthy.
    #[test]
    fn evictions_never_bring_a_budget_below_what_it_wants(
        seed in 0..1000u64,
        acts in proptest::collection::vec(by_api(), 1..60),
    ) {
        let mut cluster = furnished(seed);
        for one in &acts {
            act(&mut cluster, one);
            prop_assert!(healthy(&cluster, "web") >= 4, "{one:?}");
            prop_assert!(healthy(&cluster, "store") >= 2, "{one:?}");
        }
    }

    /// No pod is bound to a node that is cordoned, or that is not ready.
    #[test]
    fn the_scheduler_leaves_cordoned_nodes_alone(
        seed in 0..1000u64,
        acts in proptest::collection::vec(any_act(), 1..60),
    ) {
        let mut cluster = furnished(seed);
        let mut before = places(&cluster);
        for one in &acts {
            act(&mut cluster, one);
            let cordoned = |node: &String| {
                cluster.nodes().get(node).is_some_and(|stored| stored.node.unschedulable)
            };
            let after = places(&cluster);
            for (uid, node) in after.iter().filter(|(uid, _)| !before.contains_key(*uid)) {
                prop_assert!(!cordoned(node), "{uid} came to {node} after {one:?}");
            }
            before = after;
        }
    }

    /// Whatever was done: once it stops and there is room, every controller has what it wants, each
    /// node its DaemonSet's pod, and a watching client the whole picture.
    #[test]
    fn controllers_get_what_they_want_in_the_end(
        seed in 0..1000u64,
        lag in prop_oneof![Just(0u64), 1..5_000u64],
        acts in proptest::collection::vec(any_act(), 1..60),
    ) {
        let mut cluster = furnished(seed);
        cluster.faults.watch_lag_ms_max = lag;
        cluster.view().unwrap();
        let mut held = Vec::new();
        for (number, one) in acts.iter().enumerate() {
            act(&mut cluster, one);
            let view = cluster.view().unwrap();
            if lag == 0 {
                pass(&mut cluster, 1);
                let view = cluster.view().unwrap();
                let listed = cluster.list();
                prop_assert_eq!(&view.nodes, &listed.nodes, "{:?}", one);
                prop_assert_eq!(&view.pods, &listed.pods, "{:?}", one);
            }
            // Somebody holds some of the pictures for a while.
            held.push(view);
            held.truncate(number % 3);
        }
        drop(held);
        cluster.host_boots(host("fresh", false, "a"));
        for number in 0..WORKERS {
            act(&mut cluster, &Act::Cordon(number, false));
        }
        pass(&mut cluster, 1200);
        for (app, wanted) in [("web", 6), ("store", 3), ("free", 3)] {
            prop_assert_eq!(pods_of(&cluster, app).len(), wanted, "{}", app);
            prop_assert_eq!(healthy(&cluster, app), wanted, "{}", app);
        }
        prop_assert_eq!(pods_of(&cluster, "agent").len(), cluster.nodes().len());
        for (id, allowed) in [("web", 2), ("store", 1)] {
            let budget = &cluster.budgets()[&PodId::new("app", id)].budget;
            prop_assert_eq!(budget.disruptions_allowed, allowed);
        }
        let mut listed = cluster.list();
        let view = cluster.view().unwrap();
        listed.seen_at = view.seen_at;
        prop_assert_eq!(&*view, &listed);
    }

    /// What was drained and stays cordoned stays empty, but for DaemonSets.
    #[test]
    fn a_drained_node_stays_empty(
        seed in 0..1000u64,
        acts in proptest::collection::vec(any_act(), 1..40),
    ) {
        let mut cluster = furnished(seed);
        let drained = worker(&cluster, 0).unwrap();
        act(&mut cluster, &Act::Cordon(0, true));
        for pod in movable(&cluster).iter().filter(|pod| pod.node.as_ref() == Some(&drained)) {
            cluster.delete(&pod.id, None, None).unwrap();
        }
        pass(&mut cluster, 60);
        let on = |cluster: &Kubernetes| {
            movable(cluster).iter().filter(|pod| pod.node.as_ref() == Some(&drained)).count()
        };
        prop_assert_eq!(on(&cluster), 0);
        for one in &acts {
            if matches!(one, Act::Cordon(_, false)) {
                continue;
            }
            act(&mut cluster, one);
            prop_assert_eq!(on(&cluster), 0, "{:?}", one);
        }
    }

    /// The same seed and the same acts give the same cluster, also through a file.
    #[test]
    fn a_cluster_is_a_function_of_its_seed(
        seed in 0..1000u64,
        acts in proptest::collection::vec(any_act(), 1..30),
    ) {
        let (mut one, mut other) = (furnished(seed), furnished(seed));
        for act_ in &acts {
            act(&mut one, act_);
            let text = serde_json::to_string(&other).unwrap();
            other = serde_json::from_str(&text).unwrap();
            act(&mut other, act_);
        }
        prop_assert_eq!(one, other);
    }
}
