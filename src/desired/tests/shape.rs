//! Specs of many shapes, for laws.

use proptest::prelude::*;

use super::*;

/// What a generated cluster is like.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) name: String,
    hosts: Hosts,
    members: usize,
    network: &'static str,
    public: bool,
    bastion: bool,
    /// Whether workers, the control plane and the load balancer bring security groups.
    overrides: [bool; 3],
    /// Whether workers and the control plane bring instance profiles.
    profiles: [bool; 2],
    mixed: bool,
}

/// Where etcd lives.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hosts {
    ControlPlane,
    Dedicated,
    /// Main apart, events on the control plane.
    Both,
}

/// Names that begin and end alike, and one that AWS's shortest names cannot hold.
pub(super) const NAMES: [&str; 4] = [
    "a.example.com",
    "b.a.example.com",
    "example.com",
    "this-is-a-rather-long-name.of-a-cluster.that-nobody-would-type.example.com",
];

pub(super) fn shapes() -> impl Strategy<Value = Shape> {
    let hosts = prop::sample::select(vec![Hosts::ControlPlane, Hosts::Dedicated, Hosts::Both]);
    let network =
        prop::sample::select(vec!["calico", "cilium", "amazonvpc", "kuberouter", "kubenet"]);
    let flags = any::<([bool; 3], [bool; 2], [bool; 3])>();
    (
        prop::sample::select(NAMES.to_vec()),
        hosts,
        prop::sample::select(vec![1, 3, 5]),
        network,
        flags,
    )
        .prop_map(
            |(name, hosts, members, network, (overrides, profiles, [public, bastion, mixed]))| {
                let name = name.to_owned();
                Shape { name, hosts, members, network, public, bastion, overrides, profiles, mixed }
            },
        )
}

impl Shape {
    /// The spec of this shape.
    pub(super) fn spec(&self) -> Spec {
        super::spec(&self.text())
    }

    fn text(&self) -> String {
        let mut documents = vec![self.cluster()];
        let [workers_sg, masters_sg, _] = self.overrides;
        let [workers_profile, masters_profile] = self.profiles;
        let profile = |given: bool| match given {
            true => "\n  iam: {profile: 'arn:aws:iam::123456789012:instance-profile/own'}",
            false => "",
        };
        let masters_sg = if masters_sg { "\n  securityGroupOverride: sg-masters" } else { "" };
        let workers_sg = if workers_sg { "\n  securityGroupOverride: sg-workers" } else { "" };
        for index in 0..self.members {
            let zone = ["a", "b", "c"][index % 3];
            let own = format!("{masters_sg}{}", profile(masters_profile));
            documents.push(group(&format!("cp-{index}"), "ControlPlane", zone, &own));
            if self.hosts != Hosts::ControlPlane {
                documents.push(group(&format!("etcd-{index}"), "Etcd", zone, ""));
            }
        }
        documents.push(group("plain", "Node", "a, b", profile(workers_profile)));
        let mix = match self.mixed {
            true => {
                "\n  mixedInstancesPolicy: {instances: [m6i.large, m5.large], onDemandAboveBase: 0}"
            }
            false => "\n  maxPrice: '0.1'",
        };
        documents.push(group("spot", "Node", "a, b, c", &format!("{mix}{workers_sg}")));
        if self.bastion {
            documents.push(group("door", "Bastion", "u", ""));
        }
        documents.join("\n---\n")
    }

    fn cluster(&self) -> String {
        let Self { name, network, .. } = self;
        let balancer = if self.public { "Public" } else { "Internal" };
        let own = if self.overrides[2] { ", securityGroupOverride: sg-api" } else { "" };
        let etcd = |cluster: &str, host: &str| {
            let member = |index| format!("{{name: m{index}, instanceGroup: {host}-{index}}}");
            let members: Vec<String> = (0..self.members).map(member).collect();
            format!("  - {{name: {cluster}, etcdMembers: [{}]}}\n", members.join(", "))
        };
        let (main, events) = match self.hosts {
            Hosts::ControlPlane => ("cp", "cp"),
            Hosts::Dedicated => ("etcd", "etcd"),
            Hosts::Both => ("etcd", "cp"),
        };
        let (main, events) = (etcd("main", main), etcd("events", events));
        format!(
            r#"kind: Cluster
apiVersion: kprod.dev/v1alpha1
metadata: {{name: {name}}}
spec:
  account: "123456789012"
  region: eu-west-3
  configBase: s3://state/{name}
  dnsZone: example.com
  masterPublicName: api.{name}
  kubernetesVersion: 1.34.2
  networkID: vpc-1
  networkCIDR: 10.0.0.0/16
  networking: {{{network}: {{}}}}
  iam: {{allowContainerRegistry: true}}
  api: {{loadBalancer: {{class: Network, type: {balancer}{own}}}}}
  kubernetesApiAccess: [198.51.100.0/24, "2001:db8::/32"]
  sshAccess: [203.0.113.7/32]
  nodePortAccess: [10.0.0.0/16]
  cloudLabels: {{team: platform}}
  subnets:
  - {{name: a, type: Private, zone: eu-west-3a, id: subnet-a}}
  - {{name: b, type: Private, zone: eu-west-3b, id: subnet-b}}
  - {{name: c, type: Private, zone: eu-west-3c, id: subnet-c}}
  - {{name: u, type: Utility, zone: eu-west-3a, id: subnet-u}}
  etcdClusters:
{main}{events}"#
        )
    }
}

fn group(name: &str, role: &str, subnets: &str, further: &str) -> String {
    format!(
        "kind: InstanceGroup\napiVersion: kprod.dev/v1alpha1\nmetadata: {{name: {name}}}\nspec:\n  \
         role: {role}\n  image: ami-1\n  machineType: m6i.large\n  subnets: [{subnets}]{further}\n"
    )
}
