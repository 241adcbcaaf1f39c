//! Objects that somebody writes whole, as with `kubectl create` and `kubectl edit`: no kubelet is
//! behind them.

use std::collections::{BTreeMap, BTreeSet};

use super::node::{NOT_READY, taint};
use super::{Kubernetes, Refusal, StoredNode, Workload, WorkloadKind};
use crate::kube::{Node, PodId, PodPhase, Taint, TaintEffect};

/// The fields of a node that its users write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFields {
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Its taints.
    pub taints: BTreeSet<Taint>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Kubernetes {
    /// Makes a node's object; it gets the taint of a node that is not ready.
    ///
    /// # Errors
    /// 409 when there is such a node.
    pub fn create_node(
        &mut self,
        name: &str,
        instance_id: Option<&str>,
        fields: NodeFields,
    ) -> Result<(), Refusal> {
        if self.nodes.contains_key(name) {
            return Err(Refusal::already_exists("nodes", name));
        }
        let NodeFields { unschedulable, mut taints, annotations, labels } = fields;
        taints.insert(taint(NOT_READY, TaintEffect::NoSchedule));
        let number = self.number();
        let zone = labels.get("topology.kubernetes.io/zone").cloned().unwrap_or_default();
        let node = Node {
            name: name.to_owned(),
            uid: self.uid(number),
            instance_id: instance_id.map(str::to_owned),
            unschedulable,
            taints,
            annotations,
            labels,
            conditions: BTreeMap::new(),
            created_at: self.now.timestamp(),
            kubelet_version: String::new(),
        };
        // No machine of this name exists: nothing on it ever runs.
        self.nodes.insert(name.to_owned(), StoredNode::new(node, String::new(), zone));
        self.touch_node(name);
        Ok(())
    }

    /// Writes what users may write of a node; with the resource version it was made from, only if
    /// nobody was faster.
    ///
    /// # Errors
    /// 404, or 409 when the object has moved.
    pub fn write_node(
        &mut self,
        name: &str,
        version: Option<u64>,
        fields: NodeFields,
    ) -> Result<(), Refusal> {
        let stored = self.nodes.get_mut(name).ok_or_else(|| Refusal::not_found("nodes", name))?;
        if version.is_some_and(|version| version != stored.version) {
            let why = "the object has been modified; please apply your changes to the latest \
                       version and try again";
            return Err(Refusal::conflict("nodes", name, why));
        }
        let NodeFields { unschedulable, taints, annotations, labels } = fields;
        let node = &mut stored.node;
        let was_unschedulable = node.unschedulable;
        let is_same = was_unschedulable == unschedulable
            && (&node.taints, &node.annotations, &node.labels) == (&taints, &annotations, &labels);
        if is_same {
            return Ok(());
        }
        (node.unschedulable, node.taints) = (unschedulable, taints);
        (node.annotations, node.labels) = (annotations, labels);
        if unschedulable != was_unschedulable {
            let node = name.to_owned();
            self.after(self.settings.pace.sync, super::Event::FollowCordon { node });
        }
        self.touch_node(name);
        self.wake_scheduler();
        Ok(())
    }

    /// Makes a pod without a controller, bound to a node if one is named.
    ///
    /// # Errors
    /// 409 when there is such a pod.
    pub fn create_bare_pod(
        &mut self,
        id: &PodId,
        labels: BTreeMap<String, String>,
        grace_secs: u32,
        node: Option<&str>,
    ) -> Result<(), Refusal> {
        if self.pod_names.contains_key(id) {
            return Err(Refusal::already_exists("pods", &id.name));
        }
        let workload = Workload {
            labels,
            grace_secs,
            ..Workload::new(WorkloadKind::Bare, &id.namespace, &id.name, 0)
        };
        let owner = self.install(workload);
        let node = node.filter(|node| self.nodes.contains_key(*node));
        self.create_pod(owner, id.name.clone(), node);
        Ok(())
    }

    /// Writes a pod's status, as its kubelet would.
    ///
    /// # Errors
    /// 404 when there is no such pod.
    pub fn write_pod_status(
        &mut self,
        id: &PodId,
        phase: PodPhase,
        is_ready: bool,
    ) -> Result<(), Refusal> {
        let number = self.pod_names.get(id).copied();
        let number = number.ok_or_else(|| Refusal::not_found("pods", &id.name))?;
        self.change_pod(number, |pod| {
            pod.phase = phase;
            pod.is_ready = is_ready;
        });
        Ok(())
    }

    /// Writes a node's condition `Ready`, as its kubelet would.
    ///
    /// # Errors
    /// 404 when there is no such node.
    pub fn write_node_ready(&mut self, name: &str, is_ready: bool) -> Result<(), Refusal> {
        if !self.nodes.contains_key(name) {
            return Err(Refusal::not_found("nodes", name));
        }
        let (status, reason) =
            if is_ready { ("True", "KubeletReady") } else { ("False", "KubeletNotReady") };
        self.set_ready(name, status, reason, "written by hand");
        self.wake_scheduler();
        Ok(())
    }
}
