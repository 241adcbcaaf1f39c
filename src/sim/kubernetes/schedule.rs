//! The scheduler: which node takes a pod that waits.

use super::{Event, Kubernetes};
use crate::kube::{Node, TaintEffect};

/// How well a node fits, the better the smaller: whether a taint would rather keep the pod away, then
/// pods of the same workload in its zone and on it, then all pods on it.
type Score = (bool, u32, u32, usize);

impl Kubernetes {
    /// Nodes that take a pod are looked for until so many are found, for speed's sake; the real
    /// scheduler has such a limit, too (`minFeasibleNodesToFind`, 100).
    const FEASIBLE_MAX: usize = 24;

    /// Has the scheduler look at the pods that wait soon.
    pub(super) fn wake_scheduler(&mut self) {
        if self.schedule_at.is_none() && !self.pending.is_empty() {
            self.schedule_at = Some(self.now);
            self.after(self.settings.pace.sync, Event::Schedule);
        }
    }

    /// The scheduler tries every pod that waits, the more urgent first. What finds no node waits until
    /// something changes.
    pub(super) fn schedule(&mut self) {
        self.schedule_at = None;
        // Pods of a workload that found no node: its other pods would find none either.
        let mut hopeless = std::collections::BTreeSet::new();
        let waiting: Vec<u64> = self.pending.iter().map(|(_, number)| *number).collect();
        for number in waiting {
            let Some(owner) = self.pods.get(&number).map(|stored| stored.workload) else {
                continue;
            };
            if hopeless.contains(&owner) {
                continue;
            }
            match self.find_node(owner) {
                Some(node) => self.bind(number, &node),
                None => {
                    hopeless.insert(owner);
                }
            }
        }
    }

    /// The best of the nodes that take a workload's pod, looked at from where the last search ended.
    fn find_node(&mut self, owner: u64) -> Option<String> {
        let after = (std::ops::Bound::Excluded(self.cursor.as_str()), std::ops::Bound::Unbounded);
        let upto = (std::ops::Bound::Unbounded, std::ops::Bound::Included(self.cursor.as_str()));
        let nodes = self.nodes.range::<str, _>(after).chain(self.nodes.range::<str, _>(upto));
        let takes = |stored: &super::StoredNode| {
            stored.node.is_ready()
                && !stored.node.unschedulable
                && stored.pods.len() < self.settings.pods_max
                && self.fits(owner, &stored.node)
        };
        let feasible = nodes.filter(|(_, stored)| takes(stored)).take(Self::FEASIBLE_MAX);
        let scored = feasible.map(|(name, stored)| (self.score(owner, stored), name));
        let mut last = None;
        let best = scored.inspect(|(_, name)| last = Some(*name)).min()?.1.clone();
        let last = last.cloned();
        self.cursor = last.unwrap_or_default();
        Some(best)
    }

    /// Whether a node has what a workload selects, and no taint that keeps its pods off.
    pub(super) fn fits(&self, owner: u64, node: &Node) -> bool {
        let Some(workload) = self.workloads.get(&owner).map(|known| &known.workload) else {
            return false;
        };
        let mut selector = workload.node_selector.iter();
        selector.all(|(key, value)| node.labels.get(key) == Some(value))
            && !node.taints.iter().any(|taint| workload.is_kept_off(taint))
    }

    fn score(&self, owner: u64, stored: &super::StoredNode) -> Score {
        let Some(known) = self.workloads.get(&owner) else { return (true, 0, 0, 0) };
        let is_unwanted = stored.node.taints.iter().any(|taint| {
            taint.effect == TaintEffect::PreferNoSchedule && !known.workload.tolerates(taint)
        });
        let in_zone = known.by_zone.get(&stored.zone).copied().unwrap_or(0);
        let same = stored.by_workload.get(&owner).copied().unwrap_or(0);
        (is_unwanted, in_zone, same, stored.pods.len())
    }
}
