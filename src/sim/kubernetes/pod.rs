//! Pods: how they are made, bound, started, ended and removed.

use serde::{Deserialize, Serialize};

use super::workload::{PodStop, Workload, WorkloadKind};
use super::{Delay, Event, Kubernetes};
use crate::kube::{Pod, PodId, PodPhase};
use crate::sim::Time;

/// A pod with what its object does not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPod {
    /// The object.
    pub pod: Pod,
    /// The object's resource version.
    pub version: u64,
    /// The workload that it belongs to.
    pub(super) workload: u64,
    /// The zone of its node.
    zone: String,
    /// When its containers end, once it is deleted; none for one that never does.
    stops_at: Option<Time>,
}

impl StoredPod {
    /// Whether it counts as running, or as about to: not deleted, not ended.
    pub(super) fn is_active(&self) -> bool {
        self.pod.deleted_until.is_none() && !self.is_finished()
    }

    /// Whether it has ended by itself.
    pub(super) fn is_finished(&self) -> bool {
        matches!(self.pod.phase, PodPhase::Succeeded | PodPhase::Failed)
    }

    /// Whether a disruption budget counts it.
    /// Source: Kubernetes, `pkg/controller/disruption`, `countHealthyPods`.
    pub(super) fn is_healthy(&self) -> bool {
        self.pod.is_ready && self.is_active()
    }
}

impl Kubernetes {
    /// The pods, in the order in which they were made.
    pub fn pods(&self) -> impl Iterator<Item = &StoredPod> {
        self.pods.values()
    }

    /// A pod by namespace and name.
    pub fn pod(&self, id: &PodId) -> Option<&StoredPod> {
        self.pods.get(self.pod_names.get(id)?)
    }

    pub(super) fn workload_of(&self, pod: u64) -> Option<&Workload> {
        let stored = self.pods.get(&pod)?;
        self.workloads.get(&stored.workload).map(|known| &known.workload)
    }

    /// Makes a pod of a workload; bound at once where a controller or kubelet names the node, else by
    /// the scheduler.
    pub(super) fn create_pod(&mut self, owner: u64, name: String, node: Option<&str>) {
        let Some(known) = self.workloads.get(&owner) else { return };
        let workload = &known.workload;
        let id = PodId::new(workload.namespace.clone(), name);
        if self.pod_names.contains_key(&id) {
            return;
        }
        let pod = Pod {
            id: id.clone(),
            uid: String::new(),
            node: None,
            phase: PodPhase::Pending,
            is_ready: false,
            deleted_until: None,
            grace_secs: workload.grace_secs,
            owner: known.owner(node),
            is_mirror: workload.kind == WorkloadKind::Static,
            has_empty_dir: workload.has_empty_dir,
            priority_class: workload.priority_class.clone(),
            labels: workload.labels.clone(),
            tolerates_all: workload.tolerates_all,
            created_at: self.now.timestamp(),
        };
        let (rank, number) = (workload.rank(), self.number());
        let pod = Pod { uid: self.uid(number), ..pod };
        let stored =
            StoredPod { pod, version: 0, workload: owner, zone: String::new(), stops_at: None };
        self.pods.insert(number, stored);
        self.pod_names.insert(id, number);
        if let Some(known) = self.workloads.get_mut(&owner) {
            known.owned.insert(number);
            known.active.insert(number);
        }
        match node {
            Some(node) => self.bind(number, node),
            None => {
                self.pending.insert((rank, number));
                self.touch_pod(number);
                self.wake_scheduler();
            }
        }
    }

    /// Binds a pod to a node, whose kubelet starts it.
    pub(super) fn bind(&mut self, number: u64, node: &str) {
        let Some(on) = self.nodes.get_mut(node) else { return };
        let Some(stored) = self.pods.get_mut(&number) else { return };
        on.pods.insert(number);
        *on.by_workload.entry(stored.workload).or_insert(0) += 1;
        let zone = on.zone.clone();
        stored.pod.node = Some(node.to_owned());
        stored.zone.clone_from(&zone);
        let owner = stored.workload;
        let mut start = self.settings.pace.pod_start;
        if let Some(known) = self.workloads.get_mut(&owner) {
            self.pending.remove(&(known.workload.rank(), number));
            *known.by_zone.entry(zone).or_insert(0) += 1;
            start = known.workload.start.unwrap_or(start);
        }
        self.touch_pod(number);
        self.after(start, Event::PodStarts { pod: number });
    }

    pub(super) fn pod_starts(&mut self, number: u64) {
        let Some(stored) = self.pods.get(&number) else { return };
        let on = stored.pod.node.clone().unwrap_or_default();
        let owner = stored.workload;
        let is_waiting = stored.is_active() && stored.pod.phase == PodPhase::Pending;
        if !is_waiting || !self.is_node_alive(&on) {
            return;
        }
        self.change_pod(number, |pod| {
            pod.phase = PodPhase::Running;
            pod.is_ready = true;
        });
        let workload = self.workloads.get(&owner).map(|known| &known.workload);
        if let Some(run) = workload.and_then(|workload| workload.run) {
            self.after(run, Event::PodEnds { pod: number });
        }
        self.wake_controller(owner);
    }

    /// A job's pod has done its work.
    pub(super) fn pod_ends(&mut self, number: u64) {
        let Some(stored) = self.pods.get(&number) else { return };
        let on = stored.pod.node.clone().unwrap_or_default();
        if stored.pod.phase != PodPhase::Running || !self.is_node_alive(&on) {
            return;
        }
        let owner = stored.workload;
        if stored.pod.deleted_until.is_none() {
            self.change_pod(number, |pod| {
                pod.phase = PodPhase::Succeeded;
                pod.is_ready = false;
            });
            if let Some(known) = self.workloads.get_mut(&owner) {
                known.succeeded = known.succeeded.saturating_add(1);
            }
        }
        self.wake_controller(owner);
    }

    /// Deletes a pod as the API server does: with a grace period for its kubelet to end it, at once
    /// where no kubelet has it or it has ended. Deleted again, only a shorter grace counts.
    /// Source: Kubernetes, `pkg/registry/core/pod/strategy.go`, `CheckGracefulDelete`.
    pub(super) fn delete_pod(&mut self, number: u64, grace_secs: Option<u32>) {
        let Some(stored) = self.pods.get(&number) else { return };
        let mut grace = grace_secs.unwrap_or(stored.pod.grace_secs);
        if stored.pod.node.is_none() || stored.is_finished() {
            grace = 0;
        }
        if grace == 0 {
            return self.remove_pod(number);
        }
        let until = self.now.plus_secs(u64::from(grace));
        if stored.pod.deleted_until.is_some_and(|known| known <= until.timestamp()) {
            return;
        }
        let stop = self.workload_of(number).map_or(PodStop::Prompt, |workload| workload.stop);
        let stops_at = match stop {
            PodStop::Prompt => {
                let Delay(least, spread) = self.settings.pace.pod_stop;
                let ms = least.saturating_add(self.draw(spread));
                Some(self.now.plus_ms(ms).min(until))
            }
            PodStop::WholeGrace => Some(until),
            PodStop::Never => None,
        };
        if let Some(stored) = self.pods.get_mut(&number) {
            stored.stops_at = stops_at;
        }
        self.change_pod(number, |pod| pod.deleted_until = Some(until.timestamp()));
        if let Some(at) = stops_at {
            self.at(at, Event::PodStops { pod: number });
        }
        if let Some(owner) = self.pods.get(&number).map(|stored| stored.workload) {
            self.wake_controller(owner);
        }
    }

    /// A kubelet has ended a deleted pod's containers; one that is silent does not say so.
    pub(super) fn pod_stops(&mut self, number: u64) {
        let Some(stored) = self.pods.get(&number) else { return };
        let is_due = stored.stops_at.is_some_and(|at| at <= self.now);
        let on = stored.pod.node.clone().unwrap_or_default();
        if is_due && self.is_node_alive(&on) {
            self.remove_pod(number);
        }
    }

    /// Removes a pod's object.
    pub(super) fn remove_pod(&mut self, number: u64) {
        let Some(stored) = self.pods.remove(&number) else { return };
        self.pod_names.remove(&stored.pod.id);
        let node = stored.pod.node.clone().unwrap_or_default();
        if let Some(on) = self.nodes.get_mut(&node) {
            on.pods.remove(&number);
            if let Some(count) = on.by_workload.get_mut(&stored.workload) {
                *count = count.saturating_sub(1);
            }
        }
        self.recount(stored.workload, number, stored.is_healthy(), false);
        if let Some(known) = self.workloads.get_mut(&stored.workload) {
            known.owned.remove(&number);
            known.active.remove(&number);
            self.pending.remove(&(known.workload.rank(), number));
            if let Some(count) = known.by_zone.get_mut(&stored.zone) {
                *count = count.saturating_sub(1);
            }
            let is_daemon = known.workload.kind == WorkloadKind::DaemonSet;
            if is_daemon && self.nodes.contains_key(&node) {
                self.after(self.settings.pace.sync, Event::DaemonPods { node });
            }
        }
        self.wake_controller(stored.workload);
        self.wake_scheduler();
        self.forget_pod(stored);
    }

    /// Changes a pod, and what is counted of it.
    pub(super) fn change_pod(&mut self, number: u64, change: impl FnOnce(&mut Pod)) {
        let Some(stored) = self.pods.get_mut(&number) else { return };
        let was_healthy = stored.is_healthy();
        change(&mut stored.pod);
        let (is_healthy, is_active) = (stored.is_healthy(), stored.is_active());
        let owner = stored.workload;
        if !is_active && let Some(known) = self.workloads.get_mut(&owner) {
            known.active.remove(&number);
        }
        self.touch_pod(number);
        self.recount(owner, number, was_healthy, is_healthy);
    }

    /// Counts the healthy pods of a workload after one has changed; its budgets will be looked at.
    fn recount(&mut self, owner: u64, number: u64, was_healthy: bool, is_healthy: bool) {
        let Some(known) = self.workloads.get_mut(&owner) else { return };
        match (was_healthy, is_healthy) {
            (false, true) => known.healthy.insert(number),
            (true, false) => known.healthy.remove(&number),
            _ => false,
        };
        let is_ordered = known.workload.kind == WorkloadKind::StatefulSet;
        let budgets = std::mem::take(&mut known.budgets);
        for budget in &budgets {
            self.wake_budget(budget);
        }
        if let Some(known) = self.workloads.get_mut(&owner) {
            known.budgets = budgets;
        }
        if is_ordered {
            self.wake_controller(owner);
        }
    }

    /// What a node's readiness says of its pods that run.
    pub(super) fn set_pods_ready(&mut self, node: &str, is_ready: bool) {
        let Some(stored) = self.nodes.get(node) else { return };
        let changes = |number: &u64| {
            let pod = self.pods.get(number).map(|stored| &stored.pod);
            pod.is_some_and(|pod| pod.phase == PodPhase::Running && pod.is_ready != is_ready)
        };
        let changed: Vec<u64> = stored.pods.iter().copied().filter(changes).collect();
        for number in changed {
            self.change_pod(number, |pod| pod.is_ready = is_ready);
        }
    }

    /// A kubelet that is back goes on with what it missed: pods to start, and pods to end.
    pub(super) fn take_up_pods(&mut self, node: &str) {
        let Some(stored) = self.nodes.get(node) else { return };
        let now = self.now;
        for number in stored.pods.clone() {
            let Some(stored) = self.pods.get(&number) else { continue };
            if stored.stops_at.is_some_and(|at| at <= now) {
                self.after(self.settings.pace.sync, Event::PodStops { pod: number });
            } else if stored.is_active() && stored.pod.phase == PodPhase::Pending {
                self.after(self.settings.pace.pod_start, Event::PodStarts { pod: number });
            }
        }
    }

    /// The static pods of a control-plane node, which its kubelet shows to the API server.
    pub(super) fn static_pods(&mut self, node: &str) {
        let is_static = |known: &&u64| {
            let workload = self.workloads.get(known).map(|known| &known.workload);
            workload.is_some_and(|workload| workload.kind == WorkloadKind::Static)
        };
        let parts: Vec<u64> = self.workloads.keys().filter(is_static).copied().collect();
        for owner in parts {
            let Some(known) = self.workloads.get(&owner) else { continue };
            let name = format!("{}-{node}", known.workload.name);
            self.create_pod(owner, name, Some(node));
        }
    }
}
