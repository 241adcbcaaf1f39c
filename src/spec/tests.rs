#![allow(clippy::unwrap_used)]

use super::*;
use crate::document::{Document, LineMap};
use crate::finding::{Finding, Severity};
use crate::yaml;

/// The documents of a text, as `-f` would read them.
pub(super) fn documents(text: &str) -> Vec<Document> {
    let roots = yaml::parse(text, &yaml::Limits::default()).unwrap();
    let document = |root| Document { file: "c.yaml".to_owned(), root, lines: LineMap::Identity };
    roots.into_iter().map(document).collect()
}

/// A finding on one line: `severity file:line field: message (hint)`.
pub(super) fn line_of(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let place = finding.places.first().map(ToString::to_string).unwrap_or_default();
    let field = finding.field.as_deref().map(|field| format!(" {field}")).unwrap_or_default();
    let hint = finding.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{severity} {place}{field}: {}{hint}", finding.message)
}

pub(super) fn lines(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(line_of).collect()
}

/// As a kops user would write it: one control plane with its etcd, one pool.
pub(super) const KOPS: &str = r#"apiVersion: kops.k8s.io/v1alpha2
kind: Cluster
metadata:
  creationTimestamp: null
  name: c.example.com
spec:
  account: "123456789012"
  region: eu-west-3
  api:
    loadBalancer:
      class: Network
      type: Public
  authorization:
    rbac: {}
  cloudProvider: aws
  configBase: s3://state/c.example.com
  dnsZone: example.com
  etcdClusters:
  - name: main
    etcdMembers:
    - name: a
      instanceGroup: master-a
  - name: events
    etcdMembers:
    - name: a
      instanceGroup: master-a
  kubernetesApiAccess:
  - 0.0.0.0/0
  - pl-12345
  kubernetesVersion: 1.34.2
  networkID: vpc-1
  networkCIDR: 10.0.0.0/16
  networking:
    calico: {}
  subnets:
  - name: a
    type: Private
    zone: eu-west-3a
    cidr: 10.0.0.0/20
    id: subnet-a
  - name: b
    type: Private
    zone: eu-west-3b
    cidr: 10.0.16.0/20
    id: subnet-b
  - name: utility-a
    type: Utility
    zone: eu-west-3a
    cidr: 10.0.240.0/24
    id: subnet-ua
---
apiVersion: kops.k8s.io/v1alpha2
kind: InstanceGroup
metadata:
  labels:
    kops.k8s.io/cluster: c.example.com
  name: master-a
spec:
  image: ami-0123
  machineType: m6i.large
  maxSize: 1
  minSize: 1
  role: Master
  subnets:
  - a
---
apiVersion: kprod.dev/v1alpha1
kind: InstanceGroup
metadata:
  name: nodes
spec:
  image: ami-0123
  machineType: m6i.large
  maxInstanceLifetime: 168h
  maxSize: 10
  minSize: 2
  mixedInstancesPolicy:
    instances: [m6i.large, m5.large]
    onDemandAboveBase: 0
    spotAllocationStrategy: price-capacity-optimized
  nodeLabels:
    team: a
  role: Node
  rollingUpdate:
    maxSurge: 25%
  subnets: [a, b]
  taints:
  - dedicated=db:NoSchedule
  zones: [eu-west-3a, eu-west-3b]
"#;

#[test]
fn a_kops_pair_reads_without_findings() {
    let parsed = read(documents(KOPS), Strictness::Strict);
    assert_eq!(lines(&parsed.findings), [""; 0]);
    let spec = parsed.spec.unwrap();
    assert_eq!(spec.groups["master-a"].spec.role, Role::ControlPlane);
    assert_eq!(spec.members_on("master-a").len(), 2);
    let field = Field::new(Kind::InstanceGroup, "nodes", "spec.maxSize");
    let line = 1 + KOPS.lines().position(|line| line == "  maxSize: 10").unwrap();
    assert_eq!(spec.positions.line(&field), u32::try_from(line).ok());
}
