#![allow(clippy::unwrap_used)]

mod bad;
mod laws;

use super::*;
use crate::document::{Document, LineMap};
use crate::facts::{Facts, ImageFact, SubnetFact, VpcFact, ZoneFact};
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

#[test]
fn the_kops_example_reads_without_errors() {
    let text = include_str!("../../../examples/kops/cluster.yaml");
    let parsed = read(documents(text), Strictness::Strict);
    assert_eq!(lines(&parsed.findings), [""; 0]);
}

#[test]
fn dedicated_etcd_frees_the_control_plane() {
    // Etcd moves to a group of its own; the control plane then spans zones and hosts nothing.
    let etcd = r#"---
apiVersion: kprod.dev/v1alpha1
kind: InstanceGroup
metadata: {name: etcd-a}
spec: {role: Etcd, image: ami-1, subnets: [a]}
"#;
    let text = KOPS
        .replace("instanceGroup: master-a", "instanceGroup: etcd-a")
        .replace("  maxSize: 1\n  minSize: 1\n", "  maxSize: 3\n  minSize: 3\n")
        .replace("  subnets:\n  - a\n", "  subnets: [a, b]\n")
        + etcd;
    let parsed = read(documents(&text), Strictness::Strict);
    assert_eq!(lines(&parsed.findings), [""; 0]);
    let spec = parsed.spec.unwrap();
    assert!(spec.dedicated_etcd());
    assert_eq!(spec.members_on("etcd-a").len(), 2);
    assert_eq!(spec.groups["etcd-a"].sizes(), (1, 1));
    assert_eq!(spec.zones_of(&spec.groups["master-a"]).len(), 2);
}

#[test]
fn defaults_are_those_of_kops_but_encrypted() {
    let spec = read(documents(KOPS), Strictness::Strict).spec.unwrap();
    let cluster = &spec.cluster.spec;
    let cidr = |net: Option<ipnet::IpNet>| net.unwrap().to_string();
    assert_eq!(cidr(cluster.non_masquerade_cidr), "100.64.0.0/10");
    assert_eq!(cidr(cluster.pod_cidr), "100.96.0.0/11");
    assert_eq!(cidr(cluster.service_cluster_ip_range), "100.64.0.0/13");
    assert_eq!(cluster.master_public_name.as_deref(), Some("api.c.example.com"));
    let member = &cluster.etcd_clusters[0].etcd_members[0];
    assert_eq!((member.volume_size, member.volume_iops), (Some(20), Some(3000)));
    assert_eq!(member.encrypted_volume, Some(true));
    let backups = cluster.etcd_clusters[1].backups.as_ref().unwrap();
    let store = "s3://state/c.example.com/backups/etcd/events";
    assert_eq!(backups.backup_store.as_deref(), Some(store));
    let master = &spec.groups["master-a"].spec;
    let rollout = master.rolling_update.as_ref().unwrap();
    assert_eq!(rollout.max_surge, Some(IntOrPercent::Int(0)));
    assert_eq!(rollout.max_unavailable, Some(IntOrPercent::Int(1)));
    assert_eq!((master.root_volume_size, master.autoscale), (Some(64), Some(false)));
    let nodes = &spec.groups["nodes"].spec;
    let rollout = nodes.rolling_update.as_ref().unwrap();
    assert_eq!(rollout.max_surge, Some(IntOrPercent::Percent(25)));
    assert_eq!(rollout.max_unavailable, Some(IntOrPercent::Int(0)));
    assert_eq!((nodes.root_volume_size, nodes.associate_public_ip), (Some(128), Some(false)));
}

#[test]
fn facts_must_agree() {
    let spec = read(documents(KOPS), Strictness::Strict).spec.unwrap();
    let subnet = |id: &str, zone: &str, cidr: &str| {
        let (id, zone, vpc_id) = (id.to_owned(), zone.to_owned(), "vpc-1".to_owned());
        (id.clone(), SubnetFact { id, zone, cidr: cidr.parse().unwrap(), vpc_id })
    };
    let facts = Facts {
        account: "123456789012".to_owned(),
        region: "eu-west-3".to_owned(),
        vpc: Some(VpcFact { id: "vpc-1".into(), cidrs: vec!["10.0.0.0/16".parse().unwrap()] }),
        subnets: BTreeMap::from([
            subnet("subnet-a", "eu-west-3a", "10.0.0.0/20"),
            subnet("subnet-b", "eu-west-3b", "10.0.16.0/20"),
            subnet("subnet-ua", "eu-west-3a", "10.0.240.0/24"),
        ]),
        public_zone: Some(ZoneFact { id: "Z1".into(), name: "example.com".into() }),
        images: BTreeMap::from([(
            "ami-0123".to_owned(),
            ImageFact { root_device_name: "/dev/xvda".into() },
        )]),
    };
    let recorded = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<Facts>(&recorded).unwrap(), facts);
    assert_eq!(lines(&check_facts(&spec, &facts)), [""; 0]);

    let mut other = facts.clone();
    other.account = "210987654321".to_owned();
    other.region = "eu-west-1".to_owned();
    other.vpc.as_mut().unwrap().cidrs = vec!["10.9.0.0/16".parse().unwrap()];
    other.images.clear();
    other.subnets.remove("subnet-ua");
    let moved = other.subnets.get_mut("subnet-b").unwrap();
    moved.zone = "eu-west-3c".to_owned();
    moved.vpc_id = "vpc-2".to_owned();
    moved.cidr = "10.9.0.0/20".parse().unwrap();
    other.public_zone = None;
    insta::assert_snapshot!(lines(&check_facts(&spec, &other)).join("\n"));
    other.vpc = None;
    assert!(lines(&check_facts(&spec, &other)).join("\n").contains("there is no VPC `vpc-1`"));
}
