//! Node objects: how they join, what their conditions and taints say, and how they go.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::host::StoredHost;
use super::{Event, Kubernetes, NodeFields, Refusal};
use crate::kube::{Condition, Node, NodePatch, Taint, TaintEffect};
use crate::sim::Counted;

/// A node with what its object does not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredNode {
    /// The object.
    pub node: Node,
    /// The object's resource version.
    pub version: u64,
    /// The instance that its kubelet runs on.
    pub instance_id: String,
    /// Its zone.
    pub zone: String,
    /// The pods that are bound to it.
    pub(super) pods: BTreeSet<u64>,
    /// How many of them each workload has.
    pub(super) by_workload: BTreeMap<u64, u32>,
}

/// Taint of a node that is not ready, and of one that is silent.
/// Source: Kubernetes, "Taints and Tolerations", "Taint based Evictions".
pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Taint that follows a cordon.
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Taint of a node that the cloud controller has not looked at.
/// Source: Kubernetes, `k8s.io/cloud-provider/api`.
const UNINITIALIZED: &str = "node.cloudprovider.kubernetes.io/uninitialized";
/// Label and taint of control-plane nodes (kubeadm).
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// Taints that the pods of every DaemonSet tolerate.
/// Source: Kubernetes, "DaemonSet", "Taints and tolerations".
pub(super) const DAEMONS_TOLERATE: [&str; 4] =
    [NOT_READY, UNREACHABLE, UNSCHEDULABLE, UNINITIALIZED];

const CONDITIONS: [(&str, &str); 3] = [
    ("MemoryPressure", "KubeletHasSufficientMemory"),
    ("DiskPressure", "KubeletHasNoDiskPressure"),
    ("PIDPressure", "KubeletHasSufficientPID"),
];

impl StoredNode {
    /// A node without pods.
    pub(super) fn new(node: Node, instance_id: String, zone: String) -> Self {
        let (pods, by_workload) = (BTreeSet::new(), BTreeMap::new());
        Self { node, version: 0, instance_id, zone, pods, by_workload }
    }
}

impl Kubernetes {
    /// The nodes by name.
    pub fn nodes(&self) -> &Counted<BTreeMap<String, StoredNode>> {
        &self.nodes
    }

    /// Makes the object of a node that registers, and on a control plane its static pods.
    pub(super) fn register(&mut self, stored: &StoredHost) {
        let (host, name) = (&stored.host, stored.node.clone());
        let mut labels = host.labels.clone();
        for (key, value) in [
            ("kubernetes.io/hostname", name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("node.kubernetes.io/instance-type", &host.instance_type),
            ("topology.kubernetes.io/region", &self.settings.region),
            ("topology.kubernetes.io/zone", &host.availability_zone),
        ] {
            labels.insert(key.to_owned(), value.to_owned());
        }
        let mut taints = host.taints.clone();
        taints.insert(taint(UNINITIALIZED, TaintEffect::NoSchedule));
        if host.is_control_plane {
            labels.insert(CONTROL_PLANE.to_owned(), String::new());
            taints.insert(taint(CONTROL_PLANE, TaintEffect::NoSchedule));
        }
        let number = self.number();
        let node = Node {
            name: name.clone(),
            uid: self.uid(number),
            instance_id: None,
            unschedulable: false,
            taints,
            annotations: BTreeMap::new(),
            labels,
            conditions: BTreeMap::new(),
            created_at: self.now.timestamp(),
            kubelet_version: host.kubelet_version.clone(),
        };
        let (instance_id, zone) = (host.instance_id.clone(), host.availability_zone.clone());
        let is_control_plane = host.is_control_plane;
        self.nodes.insert(name.clone(), StoredNode::new(node, instance_id, zone));
        self.set_ready(&name, "False", "KubeletNotReady", "container runtime network not ready");
        if is_control_plane {
            self.static_pods(&name);
        }
    }

    pub(super) fn initialises(&mut self, name: &str) {
        let Some(stored) = self.nodes.get_mut(name) else { return };
        stored.node.instance_id = Some(stored.instance_id.clone());
        stored.node.taints.retain(|taint| taint.key != UNINITIALIZED);
        self.touch_node(name);
        self.wake_scheduler();
    }

    /// A node's kubelet reports that it is ready.
    pub(super) fn becomes_ready(&mut self, name: &str) {
        if !self.is_node_alive(name) {
            return;
        }
        self.set_ready(name, "True", "KubeletReady", "kubelet is posting ready status");
        self.set_pods_ready(name, true);
        self.take_up_pods(name);
        self.wake_scheduler();
        if !self.is_furnished && self.settings.furnish {
            self.furnish();
        }
    }

    /// A node's kubelet has been silent for too long: nobody knows about its pods.
    pub(super) fn node_is_lost(&mut self, name: &str) {
        if !self.nodes.contains_key(name) || self.is_node_alive(name) {
            return;
        }
        let message = "Kubelet stopped posting node status.";
        self.set_ready(name, "Unknown", "NodeStatusUnknown", message);
        self.set_pods_ready(name, false);
        let node = name.to_owned();
        self.after(self.settings.pace.cloud_check, Event::CloudCheck { node: node.clone() });
        self.after(self.settings.pace.taint_eviction, Event::TaintEviction { node });
    }

    /// The cloud controller removes a node that is not ready and whose instance is gone.
    /// Source: Kubernetes, `k8s.io/cloud-provider/controllers/nodelifecycle`.
    pub(super) fn cloud_check(&mut self, name: &str) {
        let Some(stored) = self.nodes.get(name) else { return };
        if !stored.node.is_ready() && !self.hosts.contains_key(&stored.instance_id) {
            self.remove_node(name);
        }
    }

    /// The node-lifecycle controller's taint follows a cordon, and goes with it.
    pub(super) fn follow_cordon(&mut self, name: &str) {
        let Some(stored) = self.nodes.get_mut(name) else { return };
        let wanted = taint(UNSCHEDULABLE, TaintEffect::NoSchedule);
        let has = stored.node.taints.contains(&wanted);
        match stored.node.unschedulable {
            true if !has => stored.node.taints.insert(wanted),
            false if has => stored.node.taints.remove(&wanted),
            _ => return,
        };
        self.touch_node(name);
        self.wake_scheduler();
    }

    /// Pods without a toleration leave a node that is still lost.
    pub(super) fn taint_eviction(&mut self, name: &str) {
        let Some(stored) = self.nodes.get(name) else { return };
        if stored.node.is_ready() {
            return;
        }
        let leaves = |number: &u64| {
            let workload = self.workload_of(*number);
            workload.is_some_and(|workload| !workload.tolerates_lost_nodes())
        };
        let leaving: Vec<u64> = stored.pods.iter().copied().filter(leaves).collect();
        for number in leaving {
            self.delete_pod(number, None);
        }
    }

    /// Sets the condition `Ready` with the taints that go with it. Each condition says since when its
    /// status is what it is; the others change theirs only with a silence.
    /// Source: Kubernetes, `lastTransitionTime` of a node's conditions.
    pub(super) fn set_ready(&mut self, name: &str, status: &str, reason: &str, message: &str) {
        let now = self.now.timestamp();
        let Some(stored) = self.nodes.get_mut(name) else { return };
        let conditions = &mut stored.node.conditions;
        let mut set = |kind: &str, status: &str, reason: &str, message: &str| {
            let known = conditions.get(kind).filter(|known| known.status == status);
            let since = known.map_or(now, |known| known.since);
            conditions.insert(kind.to_owned(), condition(status, since, reason, message));
        };
        set("Ready", status, reason, message);
        for (kind, fine) in CONDITIONS {
            match status {
                "Unknown" => set(kind, "Unknown", "NodeStatusUnknown", ""),
                _ => set(kind, "False", fine, ""),
            }
        }
        let taints = &mut stored.node.taints;
        taints.retain(|taint| taint.key != NOT_READY && taint.key != UNREACHABLE);
        let key = match status {
            "True" => None,
            "False" => Some(NOT_READY),
            _ => Some(UNREACHABLE),
        };
        for effect in [TaintEffect::NoSchedule, TaintEffect::NoExecute] {
            taints.extend(key.map(|key| taint(key, effect)));
        }
        self.touch_node(name);
    }

    /// Changes a node's marks.
    ///
    /// # Errors
    /// 404 when there is no such node; 409 when it takes work, and the patch is for one that does not.
    pub(super) fn patch_node(&mut self, name: &str, patch: &NodePatch) -> Result<(), Refusal> {
        let NodePatch { unschedulable, add_taints, remove_taints, annotations, labels, if_away } =
            patch;
        let stored = self.nodes.get(name).ok_or_else(|| Refusal::not_found("nodes", name))?;
        let node = &stored.node;
        if *if_away && node.takes_work() {
            return Err(Refusal::conflict("nodes", name, "it takes work"));
        }
        let mut fields = NodeFields {
            unschedulable: unschedulable.unwrap_or(node.unschedulable),
            taints: node.taints.clone(),
            annotations: node.annotations.clone(),
            labels: node.labels.clone(),
        };
        let is_same = |one: &Taint, two: &Taint| one.key == two.key && one.effect == two.effect;
        fields.taints.retain(|known| {
            !remove_taints.contains(&known.key)
                && !add_taints.iter().any(|added| is_same(added, known))
        });
        fields.taints.extend(add_taints.iter().cloned());
        set_words(&mut fields.annotations, annotations);
        set_words(&mut fields.labels, labels);
        self.write_node(name, None, fields)
    }

    /// Removes a node's object. Its pods stay until somebody notices.
    pub(super) fn remove_node(&mut self, name: &str) {
        let Some(stored) = self.nodes.remove(name) else { return };
        if !stored.pods.is_empty() {
            self.orphans.insert(name.to_owned(), stored.pods.clone());
            let node = name.to_owned();
            self.after(self.settings.pace.orphan_removal, Event::OrphanRemoval { node });
        }
        self.forget_node(stored);
    }

    pub(super) fn orphan_removal(&mut self, name: &str) {
        for number in self.orphans.remove(name).unwrap_or_default() {
            self.remove_pod(number);
        }
    }
}

fn set_words(words: &mut BTreeMap<String, String>, changes: &BTreeMap<String, Option<String>>) {
    for (key, value) in changes {
        match value {
            Some(value) => words.insert(key.clone(), value.clone()),
            None => words.remove(key),
        };
    }
}

pub(super) fn taint(key: &str, effect: TaintEffect) -> Taint {
    Taint { key: key.to_owned(), value: String::new(), effect }
}

fn condition(status: &str, since: jiff::Timestamp, reason: &str, message: &str) -> Condition {
    let (status, reason) = (status.to_owned(), reason.to_owned());
    Condition { status, since, reason, message: message.to_owned() }
}
