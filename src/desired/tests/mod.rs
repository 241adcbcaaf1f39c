#![allow(clippy::unwrap_used)]

mod honoured;
mod laws;
mod machines;
mod rules;
mod secrets;
mod shape;
mod sizes;

use super::*;
use crate::boot::Program;
use crate::document::{Document, LineMap};
use crate::finding::has_errors;
use crate::resource::Key;
use crate::spec::{Strictness, read};
use crate::yaml;

/// A filled and checked spec.
pub(super) fn spec(text: &str) -> Spec {
    let roots = yaml::parse(text, &yaml::Limits::default()).unwrap();
    let document = |root| Document { file: "c.yaml".to_owned(), root, lines: LineMap::Identity };
    let parsed = read(roots.into_iter().map(document).collect::<Vec<_>>(), Strictness::Strict);
    assert!(!has_errors(&parsed.findings), "{:#?}", parsed.findings);
    Spec { node_program: Some(program()), ..parsed.spec.unwrap() }
}

/// What a script of user data writes for the machine to be told.
pub(super) fn told(script: &str) -> &str {
    let (_, rest) = script.split_once("/etc/kprod/node.json <<'END-OF-FILE'\n").unwrap();
    rest.split_once("END-OF-FILE\n").unwrap().0
}

/// What is pinned for machines.
pub(super) fn program() -> Program {
    Program::of(b"a program", None)
}

/// A cluster of one control-plane machine that hosts etcd, and two workers.
pub(super) const SMALL: &str = r#"
kind: Cluster
apiVersion: kprod.dev/v1alpha1
metadata: {name: c.example.com}
spec:
  account: "123456789012"
  region: eu-west-3
  configBase: s3://state/c.example.com
  dnsZone: example.com
  kubernetesVersion: 1.34.2
  networkID: vpc-1
  networkCIDR: 10.0.0.0/16
  networking: {calico: {}}
  kubernetesApiAccess: [198.51.100.0/24]
  sshAccess: [203.0.113.7/32, pl-0a, pl-0b]
  nodePortAccess: [10.0.0.0/16]
  subnets:
  - {name: a, type: Private, zone: eu-west-3a, cidr: 10.0.0.0/20, id: subnet-a}
  etcdClusters:
  - name: main
    etcdMembers: [{name: a, instanceGroup: control-plane}]
  - name: events
    etcdMembers: [{name: a, instanceGroup: control-plane}]
---
kind: InstanceGroup
apiVersion: kprod.dev/v1alpha1
metadata: {name: control-plane}
spec: {role: ControlPlane, image: ami-1, machineType: m6i.large, subnets: [a]}
---
kind: InstanceGroup
apiVersion: kprod.dev/v1alpha1
metadata: {name: nodes}
spec: {role: Node, image: ami-1, machineType: m6i.large, subnets: [a], minSize: 1, maxSize: 3}
"#;

#[test]
fn a_small_cluster_has_these_resources() {
    let desired = build(&spec(SMALL), &Facts::default());
    assert_eq!(desired.findings, []);
    let keys: Vec<String> = desired.resources.keys().map(Key::to_string).collect();
    let expected = [
        "security_group/api-elb.c.example.com",
        "security_group/masters.c.example.com",
        "security_group/nodes.c.example.com",
        "security_group_rules/api-elb.c.example.com",
        "security_group_rules/masters.c.example.com",
        "security_group_rules/nodes.c.example.com",
        "role/masters.c.example.com",
        "role/nodes.c.example.com",
        "instance_profile/masters.c.example.com",
        "instance_profile/nodes.c.example.com",
        "load_balancer/api-internal-c-example-co-odjsss",
        "target_group/tcp-internal-c-example-co-fb9huj",
        "listener/api-internal-c-example-co-odjsss:443",
        "hosted_zone/internal.c.example.com",
        "dns_name/_etcd-server-ssl-events._tcp.internal.c.example.com",
        "dns_name/_etcd-server-ssl._tcp.internal.c.example.com",
        "dns_name/api.c.example.com",
        "dns_name/api.internal.c.example.com",
        "dns_name/etcd-a.internal.c.example.com",
        "dns_name/etcd-events-a.internal.c.example.com",
        "volume/a.etcd-events.c.example.com",
        "volume/a.etcd-main.c.example.com",
        "network_interface/control-plane.masters.c.example.com",
        "authority/etcd-clients.c.example.com",
        "authority/etcd-peers-events.c.example.com",
        "authority/etcd-peers-main.c.example.com",
        "authority/front-proxy.c.example.com",
        "authority/kubernetes.c.example.com",
        "authority/service-account.c.example.com",
        "epoch/events.c.example.com",
        "epoch/main.c.example.com",
        "asset/d69ea8cda2433733.c.example.com",
        "launch_template/control-plane.masters.c.example.com",
        "launch_template/nodes.c.example.com",
        "auto_scaling_group/control-plane.masters.c.example.com",
        "auto_scaling_group/nodes.c.example.com",
    ];
    assert_eq!(keys, expected);
}
