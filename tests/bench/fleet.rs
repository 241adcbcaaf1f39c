//! Fleets and worlds of the sizes that the figures are about, made from the repository's own.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use kprod::apply::{self, ApplyRequest, StopSignal};
use kprod::boot::{Program, lock};
use kprod::cloud::Cloud;
use kprod::cloud::sim::SimCloud;
use kprod::document::{Document, LineMap};
use kprod::plan::{self, PlanOptions};
use kprod::source::{self, LoadLimits, Tree};
use kprod::spec::{self, Spec, Strictness};
use kprod::{desired, yaml};
use tempfile::TempDir;

/// The repository's fleet with so many clusters more, no two of the same vars.
pub(crate) fn of_clusters(count: usize) -> Tree {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tree = source::load(root, &LoadLimits::default());
    let prod = std::fs::read_to_string(root.join("vars/prod.k8s.example.com.yaml")).unwrap();
    for index in 2..count {
        let vars = prod.replace("max: 100", &format!("max: {}", 100 + index));
        assert_ne!(vars, prod);
        let path = format!("vars/c{index}.k8s.example.com.yaml");
        tree.add(&path, vars, &yaml::Limits::default());
    }
    tree
}

/// A folder with `large.yaml`, a cluster of so many groups, and `observed.json`, an observation of
/// it with so many machines.
pub(crate) fn large(groups: usize, machines: usize) -> TempDir {
    let folder = TempDir::new().unwrap();
    let text = documents(groups, machines);
    let documents: Vec<Document> = yaml::parse(&text, &yaml::Limits::default())
        .unwrap()
        .into_iter()
        .map(|root| Document { file: "large.yaml".to_owned(), root, lines: LineMap::Identity })
        .collect();
    let parsed = spec::read(documents, Strictness::Strict);
    let mut spec = parsed.spec.unwrap_or_else(|| panic!("{:?}", parsed.findings));
    let program = Program::of(b"a program", None);
    std::fs::write(folder.path().join(lock::FILE), lock::text(&program)).unwrap();
    spec.node_program = Some(program);
    let observed = tokio::runtime::Runtime::new().unwrap().block_on(observed(&spec));
    std::fs::write(folder.path().join("large.yaml"), text).unwrap();
    std::fs::write(folder.path().join("observed.json"), observed).unwrap();
    folder
}

fn documents(groups: usize, machines: usize) -> String {
    let mut text = CLUSTER.to_owned();
    let workers = groups - 1;
    for index in 0..workers {
        // The first groups take one machine more, so that the sum is exact.
        let wanted = machines - 3;
        let size = wanted / workers + usize::from(index < wanted % workers);
        let _ = write!(
            text,
            "---
apiVersion: kprod.dev/v1alpha1
kind: InstanceGroup
metadata: {{name: pool-{index}}}
spec:
  role: Node
  image: ami-0f3c51b7a9e24d680
  machineType: m6i.xlarge
  minSize: {size}
  maxSize: {}
  subnets: [a, b, c]
  nodeLabels: {{team: team-{index}}}
",
            size * 2
        );
    }
    text
}

const CLUSTER: &str = "\
apiVersion: kprod.dev/v1alpha1
kind: Cluster
metadata: {name: large.k8s.example.com}
spec:
  account: \"123456789012\"
  region: eu-west-3
  cloudProvider: aws
  kubernetesVersion: 1.34.2
  networkID: vpc-0c81f3e5d7294ab06
  networkCIDR: 10.40.0.0/16
  dnsZone: k8s.example.com
  networking: {calico: {}}
  subnets:
  - {name: a, type: Private, zone: eu-west-3a, id: subnet-0a17c4e92b6d8f305, cidr: 10.40.0.0/18}
  - {name: b, type: Private, zone: eu-west-3b, id: subnet-0b28d5fa3c7e90416, cidr: 10.40.64.0/18}
  - {name: c, type: Private, zone: eu-west-3c, id: subnet-0c39e60b4d8fa1527, cidr: 10.40.128.0/18}
  kubernetesApiAccess: [10.0.0.0/8]
  sshAccess: [10.0.0.0/8]
  etcdClusters:
  - name: main
    etcdMembers: [{name: a, instanceGroup: control-plane}]
---
apiVersion: kprod.dev/v1alpha1
kind: InstanceGroup
metadata: {name: control-plane}
spec:
  role: ControlPlane
  image: ami-0f3c51b7a9e24d680
  machineType: m6i.xlarge
  minSize: 1
  maxSize: 1
  subnets: [a]
";

/// The cluster, applied on a simulator of its own and observed.
async fn observed(spec: &Spec) -> Vec<u8> {
    let cloud = SimCloud::in_memory(1);
    cloud.adopt_network(&desired::adopted_network(spec)).unwrap();
    let query = desired::query(spec);
    let before = cloud.observe(&query).await.unwrap();
    let wanted = desired::build(spec, &before.facts).resources;
    let plan = plan::make(&wanted, &before, &PlanOptions::default());
    let request = ApplyRequest {
        plan: &plan,
        query: &query,
        holder: "bench".to_owned(),
        lock_timeout: Duration::ZERO,
        wait_timeout: Duration::from_secs(3600),
    };
    apply::run(&cloud, &request, &StopSignal::new(), &|_| ()).await.unwrap();
    serde_json::to_vec(&cloud.observe(&query).await.unwrap()).unwrap()
}
