//! The gate: what is worse than before the roll keeps new machines from being begun with.
//!
//! What was wrong in the baseline is not held against anybody, and neither is what a machine that is
//! worked on takes with it.

use std::collections::{BTreeMap, BTreeSet};

use super::scene::{Availability, Scene};
use crate::kube::{KubeView, Pod, PodPhase};
use crate::roll::Baseline;

/// Something that is worse than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Regression {
    /// What: `Deployment kube-system/coredns`, `budget shop/cart`.
    pub(super) object: String,
    /// How.
    pub(super) what: String,
}

/// What is worse than in the baseline, most telling first.
pub(super) fn regressions(scene: &Scene<'_>) -> Vec<Regression> {
    let Some(view) = scene.view() else { return Vec::new() };
    let away: BTreeSet<&str> = scene
        .machines()
        .filter(|(_, m)| m.availability != Availability::Available)
        .filter_map(|(_, m)| m.node.map(|node| node.name.as_str()))
        .collect();
    let baseline = &scene.o.baseline;
    let mut found = Vec::new();
    found.extend(api(scene, baseline));
    found.extend(pods(view, baseline, &away));
    found.extend(budgets(view, baseline));
    found
}

fn api(scene: &Scene<'_>, baseline: &Baseline) -> Option<Regression> {
    let why = scene.o.api_unready.as_ref().filter(|_| !baseline.api_unready)?;
    Some(Regression { object: "API server".to_owned(), what: format!("is not ready: {why}") })
}

/// Pods that the cluster itself needs, counted by their owner.
fn pods(view: &KubeView, baseline: &Baseline, away: &BTreeSet<&str>) -> Vec<Regression> {
    let worse = unready_pods(view, away).into_iter().filter_map(|(owner, count)| {
        let before = baseline.unready_pods.get(&owner).copied().unwrap_or(0);
        let more = count.checked_sub(before).filter(|more| *more > 0)?;
        let noun = if more == 1 { "pod" } else { "pods" };
        let what = format!("has {more} {noun} not ready that were ready before the roll");
        Some(Regression { object: owner, what })
    });
    worse.collect()
}

fn budgets(view: &KubeView, baseline: &Baseline) -> Vec<Regression> {
    short_budgets(view)
        .filter(|budget| !baseline.short_budgets.contains(&budget.id))
        .map(|budget| Regression {
            object: format!("budget {}", budget.id),
            what: format!(
                "needs {} healthy pods and has {}",
                budget.desired_healthy, budget.current_healthy
            ),
        })
        .collect()
}

/// Takes the baseline of a cluster.
pub fn baseline(view: &KubeView, api_unready: bool) -> Baseline {
    Baseline {
        unready_pods: unready_pods(view, &BTreeSet::new()),
        short_budgets: short_budgets(view).map(|budget| budget.id.clone()).collect(),
        api_unready,
    }
}

fn short_budgets(view: &KubeView) -> impl Iterator<Item = &crate::kube::Budget> {
    view.budgets.values().filter(|b| b.is_observed && b.current_healthy < b.desired_healthy)
}

/// Critical pods that are not ready, by `Kind namespace/name` of their owner. A DaemonSet's pod on a
/// machine that is away goes and comes with it; one of a node whose object is gone is only waiting to
/// be cleaned up (`pkg/controller/podgc`, up to a minute).
/// Source: Kubernetes, "Guaranteed scheduling for critical add-on pods".
fn unready_pods(view: &KubeView, away: &BTreeSet<&str>) -> BTreeMap<String, u32> {
    const CRITICAL: [&str; 2] = ["system-cluster-critical", "system-node-critical"];
    let mut unready = BTreeMap::new();
    for pod in view.pods.values().flat_map(BTreeMap::values) {
        // Mostly no pod lacks anything.
        if !lacks(pod) || !CRITICAL.contains(&pod.priority_class.as_str()) {
            continue;
        }
        let is_away = pod
            .node
            .as_deref()
            .is_some_and(|node| away.contains(node) || !view.nodes.contains_key(node));
        if !is_away {
            *unready.entry(owner_of(pod)).or_default() += 1;
        }
    }
    unready
}

fn lacks(pod: &Pod) -> bool {
    let is_over = matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed);
    !pod.is_ready && !is_over && pod.deleted_until.is_none()
}

fn owner_of(pod: &Pod) -> String {
    match &pod.owner {
        Some(owner) => format!("{} {}/{}", owner.kind, pod.id.namespace, owner.name),
        None => format!("Pod {}", pod.id),
    }
}
