//! Which of a node's conditions say that its machine is broken, so that another one would do better.
//!
//! Anybody may put a condition on a node, and each means what its author says: true is bad of some and
//! good of others. So only those count that are known here. One that nobody knows is no reason: a newcomer
//! would get it too, and be replaced for it in turn.
//!
//! `MemoryPressure` and `PIDPressure` are no reason either. What runs on a machine brings them about, runs
//! on the next one as well, and the kubelet evicts by them. EKS's node repair leaves them alone as this does,
//! GKE's does not name them. A disk that stays full, after all that the kubelet collects and evicts, is the
//! machine's own: GKE repairs such ones.
//! Source: EKS user guide, "Automatically repair nodes in EKS clusters"; GKE, "Auto-repair nodes".

use crate::kube::{Condition, Node};

/// Bad while they are not true.
/// Source: Kubernetes, "Node status".
const NEEDED: [&str; 1] = ["Ready"];

/// Bad while they are true: those of the kubelet and of routes.
/// Source: Kubernetes, "Node status".
const OF_KUBERNETES: [&str; 2] = ["DiskPressure", "NetworkUnavailable"];

/// Bad while they are true: the permanent ones of the node problem detector.
/// Source: node-problem-detector, `config/*.json`, `conditions[].type`.
const OF_DETECTOR: [&str; 11] = [
    "ContainerRuntimeUnhealthy",
    "CorruptDockerOverlay2",
    "CperHardwareErrorFatal",
    "FrequentContainerdRestart",
    "FrequentDockerRestart",
    "FrequentKubeletRestart",
    "FrequentUnregisterNetDevice",
    "KernelDeadlock",
    "KubeletUnhealthy",
    "ReadonlyFilesystem",
    "XfsShutdown",
];

/// Bad while they are false: those of AWS's node monitoring agent.
/// Source: EKS user guide, "Automatically repair nodes in EKS clusters".
const OF_AGENT: [&str; 5] = [
    "AcceleratedHardwareReady",
    "ContainerRuntimeReady",
    "KernelReady",
    "NetworkingReady",
    "StorageReady",
];

/// What of a node's conditions is bad now, however long it has been.
pub(super) fn of(node: &Node) -> impl Iterator<Item = (&str, &Condition)> {
    let conditions = node.conditions.iter().map(|(kind, condition)| (kind.as_str(), condition));
    conditions.filter(|(kind, condition)| is_bad(kind, &condition.status))
}

fn is_bad(kind: &str, status: &str) -> bool {
    match kind {
        _ if NEEDED.contains(&kind) => status != "True",
        _ if OF_KUBERNETES.contains(&kind) || OF_DETECTOR.contains(&kind) => status == "True",
        _ if OF_AGENT.contains(&kind) => status == "False",
        _ => false,
    }
}
