//! What a simulated cluster runs by itself: the system's pods, and a small demonstration, so that a
//! drain has something to move.

use super::{Amount, BudgetRule, Kubernetes, Workload, WorkloadKind};
use crate::kube::{LabelSelector, PodId};

/// The static pods of a control-plane machine.
pub(super) const CONTROL_PLANE_PARTS: [&str; 3] =
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

const SYSTEM: &str = "kube-system";
const DEMO: &str = "demo";

/// One part of the control plane: its pods are named after it and their node.
pub(super) fn control_plane_part(name: &str) -> Workload {
    Workload {
        tolerates_all: true,
        priority_class: "system-node-critical".to_owned(),
        ..Workload::new(WorkloadKind::Static, SYSTEM, name, 0)
    }
}

impl Kubernetes {
    /// Installs what a cluster runs once its first node is ready.
    pub(super) fn furnish(&mut self) {
        self.is_furnished = true;
        for name in ["kube-proxy", "pod-network"] {
            self.install(Workload {
                tolerates_all: true,
                priority_class: "system-node-critical".to_owned(),
                ..Workload::new(WorkloadKind::DaemonSet, SYSTEM, name, 0)
            });
        }
        self.install(Workload {
            tolerates: ["node-role.kubernetes.io/control-plane".to_owned()].into(),
            priority_class: "system-cluster-critical".to_owned(),
            ..Workload::new(WorkloadKind::Deployment, SYSTEM, "coredns", 2)
        });
        self.guard(SYSTEM, "coredns", BudgetRule::MaxUnavailable(Amount::Count(1)));
        self.demonstrate();
    }

    fn demonstrate(&mut self) {
        self.install(Workload::new(WorkloadKind::Deployment, DEMO, "web", 4));
        self.guard(DEMO, "web", BudgetRule::MaxUnavailable(Amount::Percent(25)));
        self.install(Workload {
            has_empty_dir: true,
            ..Workload::new(WorkloadKind::Deployment, DEMO, "cache", 2)
        });
        self.install(Workload::new(WorkloadKind::StatefulSet, DEMO, "store", 3));
        self.guard(DEMO, "store", BudgetRule::MinAvailable(Amount::Count(2)));
        self.install(Workload {
            tolerates_all: true,
            ..Workload::new(WorkloadKind::DaemonSet, DEMO, "log-agent", 0)
        });
    }

    /// A budget named after a workload, for its pods.
    pub fn guard(&mut self, namespace: &str, name: &str, rule: BudgetRule) {
        let labels = [("app".to_owned(), name.to_owned())].into();
        let selector = LabelSelector { match_labels: labels, match_expressions: Vec::new() };
        self.set_budget(&PodId::new(namespace, name), Some(selector), rule);
    }
}
