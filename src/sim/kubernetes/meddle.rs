//! What others do to a cluster: nodes that flap, pods that will not end.

use super::{Delay, Event, Kubernetes, PodStop};
use crate::kube::PodId;

impl Kubernetes {
    /// A node's kubelet reports that it is not ready, for so many seconds.
    pub fn flap_node(&mut self, name: &str, secs: u64) {
        if !self.is_node_alive(name) {
            return;
        }
        let message = "container runtime is down";
        self.set_ready(name, "False", "KubeletNotReady", message);
        self.set_pods_ready(name, false);
        let recovery = Delay::exactly(secs.saturating_mul(1000));
        self.after(recovery, Event::Recovers { node: name.to_owned() });
    }

    /// What pods of a workload do with a TERM signal from now on.
    pub fn set_stop(&mut self, namespace: &str, name: &str, stop: PodStop) {
        for known in self.workloads.values_mut() {
            if known.workload.namespace == namespace && known.workload.name == name {
                known.workload.stop = stop;
            }
        }
    }

    /// A pod's containers fail their readiness check, or pass it again.
    pub fn set_pod_ready(&mut self, id: &PodId, is_ready: bool) {
        let Some(number) = self.pod_names.get(id).copied() else { return };
        self.change_pod(number, |pod| pod.is_ready = is_ready);
        if let Some(owner) = self.pods.get(&number).map(|stored| stored.workload) {
            self.wake_controller(owner);
        }
    }
}
