//! What is known of a simulated cluster, and how fast its parts are.

use serde::{Deserialize, Serialize};

/// What is known of a cluster, and how fast its parts are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The version that its machines run, such as `v1.34.2`, where they say no other.
    pub version: String,
    /// The region, for the names of nodes.
    pub region: String,
    /// Whether it gets system pods and a small demonstration once its first node is ready.
    pub furnish: bool,
    /// Pods that a node takes.
    pub pods_max: usize,
    /// How fast its parts are.
    pub pace: Pace,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: "v1.34.2".to_owned(),
            region: "eu-west-3".to_owned(),
            furnish: true,
            // The kubelet's default (`KubeletConfiguration.maxPods`).
            pods_max: 110,
            pace: Pace::default(),
        }
    }
}

/// A delay in milliseconds: its least, and what chance adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delay(pub u64, pub u64);

impl Delay {
    /// Always the same.
    pub fn exactly(ms: u64) -> Self {
        Self(ms, 0)
    }
}

/// How long a cluster's parts take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pace {
    /// From a control-plane machine's boot until its API server answers.
    pub api_start: Delay,
    /// From a machine's boot until its kubelet has registered.
    pub join: Delay,
    /// Until the cloud controller has written a node's instance.
    pub initialise: Delay,
    /// From registration until a node is ready.
    pub ready: Delay,
    /// Until a controller has seen a change.
    pub sync: Delay,
    /// Until the disruption controller has seen a change.
    pub budget_sync: Delay,
    /// From binding until a pod is ready, unless its workload says otherwise.
    pub pod_start: Delay,
    /// Until a pod that heeds TERM has ended; never beyond its grace period.
    pub pod_stop: Delay,
    /// Until a kubelet that is silent makes its node unknown.
    /// Source: kube-controller-manager, `--node-monitor-grace-period`.
    pub node_grace: Delay,
    /// Until the cloud controller looks whether a lost node's instance exists.
    /// Source: cloud-controller-manager, `--node-monitor-period`.
    pub cloud_check: Delay,
    /// Until pods leave a node that is lost (`tolerationSeconds` of the default tolerations).
    pub taint_eviction: Delay,
    /// Until pods of a node without an object are removed.
    /// Source: Kubernetes, `pkg/controller/podgc`: quarantine 40 s, every 20 s.
    pub orphan_removal: Delay,
}

impl Pace {
    /// So many times as fast.
    #[must_use]
    pub fn faster(self, times: u64) -> Self {
        let less = |Delay(least, spread): Delay| Delay(least / times.max(1), spread / times.max(1));
        Self {
            api_start: less(self.api_start),
            join: less(self.join),
            initialise: less(self.initialise),
            ready: less(self.ready),
            sync: less(self.sync),
            budget_sync: less(self.budget_sync),
            pod_start: less(self.pod_start),
            pod_stop: less(self.pod_stop),
            node_grace: less(self.node_grace),
            cloud_check: less(self.cloud_check),
            taint_eviction: less(self.taint_eviction),
            orphan_removal: less(self.orphan_removal),
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            api_start: Delay(8_000, 7_000),
            join: Delay(6_000, 9_000),
            initialise: Delay(500, 1_500),
            ready: Delay(4_000, 8_000),
            sync: Delay(20, 180),
            budget_sync: Delay(100, 900),
            pod_start: Delay(1_000, 4_000),
            pod_stop: Delay(500, 2_500),
            node_grace: Delay(50_000, 5_000),
            cloud_check: Delay(500, 4_500),
            taint_eviction: Delay::exactly(300_000),
            orphan_removal: Delay(40_000, 20_000),
        }
    }
}
