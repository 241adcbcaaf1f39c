//! Kubelet settings, in kops' words.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{Span, Taint};

/// Kubelet settings. Labels and taints shape the tags that the cluster autoscaler reads; the rest
/// is kept for the machine's own set-up, which is what the user data says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct KubeletSpec {
    /// Labels that nodes join with.
    pub node_labels: BTreeMap<String, String>,
    /// Taints that nodes join with.
    pub taints: Vec<Taint>,
    /// Whether requests without credentials are taken.
    pub anonymous_auth: Option<bool>,
    /// Whether the API server checks tokens of requests.
    pub authentication_token_webhook: Option<bool>,
    /// Driver of control groups.
    pub cgroup_driver: Option<String>,
    /// Log files kept of a container.
    pub container_log_max_files: Option<u32>,
    /// Size of a log file before the next is begun, such as `50Mi`.
    pub container_log_max_size: Option<String>,
    /// How CPUs are given to containers.
    pub cpu_manager_policy: Option<String>,
    /// What the reserves are enforced on.
    pub enforce_node_allocatable: Option<String>,
    /// Thresholds below which pods are evicted at once.
    pub eviction_hard: Option<String>,
    /// Longest grace a soft eviction gives, in seconds.
    pub eviction_max_pod_grace_period: Option<u32>,
    /// What an eviction must at least bring.
    pub eviction_minimum_reclaim: Option<String>,
    /// How long a pressure condition stays.
    pub eviction_pressure_transition_period: Option<Span>,
    /// Thresholds below which pods are evicted after a grace period.
    pub eviction_soft: Option<String>,
    /// Grace periods of the soft thresholds.
    pub eviction_soft_grace_period: Option<String>,
    /// Features switched on or off.
    pub feature_gates: BTreeMap<String, String>,
    /// Disk use at which images are cleaned up.
    #[serde(rename = "imageGCHighThresholdPercent")]
    pub image_gc_high_threshold_percent: Option<u32>,
    /// Disk use down to which images are cleaned up.
    #[serde(rename = "imageGCLowThresholdPercent")]
    pub image_gc_low_threshold_percent: Option<u32>,
    /// Resources kept for Kubernetes itself.
    pub kube_reserved: BTreeMap<String, String>,
    /// Images pulled at once.
    pub max_parallel_image_pulls: Option<u32>,
    /// The most pods on a node.
    pub max_pods: Option<u32>,
    /// How swap is used.
    pub memory_swap_behavior: Option<String>,
    /// The most processes of a pod.
    pub pod_pids_limit: Option<u32>,
    /// Whether wrong kernel settings are an error.
    pub protect_kernel_defaults: Option<bool>,
    /// Port without authentication; 0 is none.
    pub read_only_port: Option<u16>,
    /// Image pulls that may come at once.
    pub registry_burst: Option<u32>,
    /// Image pulls a second.
    #[serde(rename = "registryPullQPS")]
    pub registry_pull_qps: Option<u32>,
    /// Resolver configuration that pods start from.
    pub resolv_conf: Option<String>,
    /// Directory of the kubelet.
    pub root_dir: Option<String>,
    /// Whether images are pulled one by one.
    pub serialize_image_pulls: Option<bool>,
    /// Time that a shutdown gives to pods.
    pub shutdown_grace_period: Option<Span>,
    /// Part of it that is for critical pods.
    pub shutdown_grace_period_critical_pods: Option<Span>,
    /// Resources kept for the operating system.
    pub system_reserved: BTreeMap<String, String>,
    /// How resources are lined up with NUMA nodes.
    pub topology_manager_policy: Option<String>,
}
