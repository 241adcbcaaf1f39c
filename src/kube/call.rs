//! Every request that changes something in a cluster: one variant is one API request.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::view::{PodId, Taint};

/// What a taint does to pods that do not tolerate it.
/// Source: Kubernetes API reference, `Taint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaintEffect {
    /// New pods are kept away.
    NoSchedule,
    /// New pods go elsewhere where they can.
    PreferNoSchedule,
    /// Pods that run are evicted as well.
    NoExecute,
}

/// One changing request to an API server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request")]
pub enum KubeCall {
    /// Changes a node's marks; all of one patch at once. Applied twice it changes nothing.
    PatchNode { node: String, patch: NodePatch },
    /// Asks for a pod's eviction (`policy/v1` Eviction), which its disruption budgets may refuse.
    /// The pod's uid is a precondition: a pod of the same name that came since stays.
    EvictPod { pod: PodId, uid: String, grace_secs: Option<u32> },
    /// Deletes a pod whatever its budgets say; only where the policy says so.
    DeletePod { pod: PodId, uid: String, grace_secs: Option<u32> },
    /// Removes the object of a node whose machine is gone; the uid is a precondition.
    DeleteNode { node: String, uid: String },
}

/// Changes of one node's marks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePatch {
    /// Cordons (true) or uncordons (false).
    pub unschedulable: Option<bool>,
    /// Taints to add; one of the same key and effect is replaced.
    pub add_taints: BTreeSet<Taint>,
    /// Keys of taints to remove, whatever their effect.
    pub remove_taints: BTreeSet<String>,
    /// Annotations to set, and to remove where there is no value.
    pub annotations: BTreeMap<String, Option<String>>,
    /// Labels to set, and to remove where there is no value.
    pub labels: BTreeMap<String, Option<String>>,
    /// Changes nothing, and ends with a conflict, when the node takes work by now: for a patch that was
    /// decided on because it did not.
    pub if_away: bool,
}

impl KubeCall {
    /// The request's name, for logs and events.
    pub fn operation(&self) -> &'static str {
        match self {
            KubeCall::PatchNode { .. } => "PatchNode",
            KubeCall::EvictPod { .. } => "EvictPod",
            KubeCall::DeletePod { .. } => "DeletePod",
            KubeCall::DeleteNode { .. } => "DeleteNode",
        }
    }

    /// What it is about, for people.
    pub fn subject(&self) -> String {
        match self {
            KubeCall::PatchNode { node, .. } | KubeCall::DeleteNode { node, .. } => {
                format!("node/{node}")
            }
            KubeCall::EvictPod { pod, .. } | KubeCall::DeletePod { pod, .. } => pod.to_string(),
        }
    }
}
