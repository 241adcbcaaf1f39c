//! The simulated cluster, by its port.

use std::collections::{BTreeMap, BTreeSet};

use kprod::cloud::sim::SimCloud;
use kprod::kube::sim::SimKube;
use kprod::kube::{Kube as _, LabelSelector, PodId, PodPhase};
use kprod::sim::kubernetes::{Amount, BudgetRule, Host, Kubernetes, NodeFields};

use super::{GRACE_SECS, Ground, keeps_the_contract, labels};

const CLUSTER: &str = "contract.example.com";

struct SimGround {
    cloud: SimCloud,
    port: SimKube,
}

impl SimGround {
    fn with<R>(&self, meddle: impl FnOnce(&mut Kubernetes) -> R) -> R {
        self.cloud.with_world(|world| meddle(world.cluster(CLUSTER))).unwrap()
    }
}

/// A machine that an API server runs on.
pub(super) fn control_plane() -> Host {
    Host {
        instance_id: "i-0123456789abcdef0".to_owned(),
        group: "control-plane".to_owned(),
        image_id: "ami-0123456789abcdef0".to_owned(),
        availability_zone: "eu-west-3a".to_owned(),
        instance_type: "m6i.large".to_owned(),
        is_control_plane: true,
        kubelet_version: "v1.34.2".to_owned(),
        labels: BTreeMap::new(),
        taints: BTreeSet::new(),
    }
}

impl Ground for SimGround {
    type Port = SimKube;

    fn port(&self) -> &SimKube {
        &self.port
    }

    async fn make_node(&self, name: &str, instance_id: &str) {
        let fields = NodeFields {
            unschedulable: false,
            taints: BTreeSet::new(),
            annotations: BTreeMap::new(),
            labels: BTreeMap::new(),
        };
        self.with(|cluster| cluster.create_node(name, Some(instance_id), fields)).unwrap();
    }

    async fn label_node(&self, name: &str, label: &str) {
        self.with(|cluster| {
            let node = cluster.nodes()[name].node.clone();
            let mut labels = node.labels;
            labels.insert(label.to_owned(), String::new());
            let fields = NodeFields {
                unschedulable: node.unschedulable,
                taints: node.taints,
                annotations: node.annotations,
                labels,
            };
            cluster.write_node(name, None, fields)
        })
        .unwrap();
    }

    async fn make_pod(&self, id: &PodId, app: &str, node: &str) {
        let made =
            self.with(|cluster| cluster.create_bare_pod(id, labels(app), GRACE_SECS, Some(node)));
        made.unwrap();
    }

    async fn write_pod(&self, id: &PodId, phase: &str, is_ready: bool) {
        let phase = match phase {
            "Running" => PodPhase::Running,
            "Succeeded" => PodPhase::Succeeded,
            "Failed" => PodPhase::Failed,
            other => panic!("no phase that a law writes: {other}"),
        };
        self.with(|cluster| cluster.write_pod_status(id, phase, is_ready)).unwrap();
    }

    async fn make_budget(&self, id: &PodId, app: &str, min_available: u32) {
        let selector = LabelSelector { match_labels: labels(app), match_expressions: Vec::new() };
        let rule = BudgetRule::MinAvailable(Amount::Count(min_available));
        self.with(|cluster| cluster.set_budget(id, Some(selector), rule));
    }

    async fn write_budget(&self, id: &PodId, _healthy: u32, _min_available: u32) {
        panic!("the simulated disruption controller has not counted {id}");
    }

    async fn remove_budget(&self, id: &PodId) {
        self.with(|cluster| cluster.remove_budget(id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_cluster_keeps_the_contract() {
    for seed in 0..3 {
        let cloud = SimCloud::in_memory(seed);
        cloud.adopt_cluster(CLUSTER, None).unwrap();
        let port = SimKube::new(cloud.clone(), CLUSTER);
        let ground = SimGround { cloud, port };
        ground.with(|cluster| cluster.host_boots(control_plane()));
        ground.port.view().await.unwrap();
        keeps_the_contract(ground, "contract").await;
    }
}
