//! Security group rules: who may reach whom, as in kops.
//!
//! Source: kops `pkg/model/awsmodel/{firewall,external_access,api_loadbalancer}.go`. Where a role
//! has several security groups, each rule stands for every pair of them. Apart from kops:
//! - machines reach the API through the internal load balancer, so its group lets them in;
//! - etcd on machines of its own is in a group of its own, which lets in its peers, and the control
//!   plane as a client, and nobody else;
//! - with `amazonvpc` kops lets nodes send everything to the control plane, etcd's ports included;
//!   here the holes stay, and ICMP is what is added.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::etcd;
use super::name::{API_PORT, PAST_CERTIFICATE_PORT};
use super::security::{self, Side};
use crate::resource::{Resource, Rule, SecurityGroupRules};
use crate::spec::{AccessSource, Field, Kind, PortRange, Role, Spec};

/// Rules that one group takes in one direction before a quota is raised. Source: VPC user guide,
/// "Amazon VPC quotas".
const RULES_QUOTA: usize = 60;

/// Builds the rules of every group, ours and those that the spec names.
pub(super) fn build(spec: &Spec, draft: &mut Draft<'_>) {
    let sides = Sides::of(spec);
    let mut rules = Rules::default();
    egress(&sides, &mut rules);
    inside(spec, &sides, &mut rules);
    etcd_apart(spec, &sides, &mut rules);
    ssh(spec, &sides, &mut rules);
    node_ports(spec, &sides, &mut rules);
    api(spec, &sides, &mut rules);
    rules.finish(spec, draft);
}

/// The groups of each role and of the API's load balancers.
struct Sides {
    masters: BTreeSet<Side>,
    nodes: BTreeSet<Side>,
    etcd: BTreeSet<Side>,
    bastions: BTreeSet<Side>,
    api: BTreeSet<Side>,
}

impl Sides {
    fn of(spec: &Spec) -> Self {
        Self {
            masters: security::of_role(spec, Role::ControlPlane),
            nodes: security::of_role(spec, Role::Node),
            etcd: security::of_role(spec, Role::Etcd),
            bastions: security::of_role(spec, Role::Bastion),
            api: BTreeSet::from([security::of_api(spec)]),
        }
    }

    /// Whoever runs machines that people may log in to.
    fn inner(&self) -> [&BTreeSet<Side>; 3] {
        [&self.masters, &self.nodes, &self.etcd]
    }
}

/// Everybody may send anything anywhere.
fn egress(sides: &Sides, rules: &mut Rules) {
    let all = [&sides.masters, &sides.nodes, &sides.etcd, &sides.bastions, &sides.api];
    for side in all.into_iter().flatten() {
        let v4 = Rule { is_egress: true, cidr_ipv4: Some("0.0.0.0/0".to_owned()), ..ALL.rule() };
        let v6 = Rule { is_egress: true, cidr_ipv6: Some("::/0".to_owned()), ..ALL.rule() };
        rules.put(side, v4);
        rules.put(side, v6);
    }
}

/// Between the machines of the cluster. Nodes reach all of the control plane but etcd.
fn inside(spec: &Spec, sides: &Sides, rules: &mut Rules) {
    let Sides { masters, nodes, .. } = sides;
    rules.allow(masters, masters, ALL);
    rules.allow(masters, nodes, ALL);
    rules.allow(nodes, nodes, ALL);
    rules.allow(nodes, masters, udp(1, 65535));
    for (first, last) in all_but(&etcd::ports()) {
        rules.allow(nodes, masters, tcp(first, last));
    }
    let Some(network) = &spec.cluster.spec.networking else { return };
    if network.calico.is_some() || network.kuberouter.is_some() {
        rules.allow(nodes, masters, IP_IN_IP);
    }
    if network.amazonvpc.is_some() {
        rules.allow(nodes, masters, ICMP);
        rules.allow(nodes, masters, ICMP_V6);
    }
}

/// To etcd on machines of its own: its peers, whoever hosts them, and the control plane.
fn etcd_apart(spec: &Spec, sides: &Sides, rules: &mut Rules) {
    for cluster in &spec.cluster.spec.etcd_clusters {
        let on = |role: Role| {
            let hosts = |member: &crate::spec::EtcdMemberSpec| {
                let group = spec.groups.get(&member.instance_group);
                group.is_some_and(|group| group.spec.role == role)
            };
            cluster.etcd_members.iter().any(hosts)
        };
        if !on(Role::Etcd) {
            continue;
        }
        let ports = etcd::ports_of(&cluster.name);
        rules.allow(&sides.etcd, &sides.etcd, tcp(ports.peer, ports.peer));
        rules.allow(&sides.masters, &sides.etcd, tcp(ports.client, ports.client));
        if on(Role::ControlPlane) {
            rules.allow(&sides.etcd, &sides.masters, tcp(ports.peer, ports.peer));
            rules.allow(&sides.masters, &sides.etcd, tcp(ports.peer, ports.peer));
        }
    }
}

/// By SSH: through bastions if there are any, directly otherwise.
fn ssh(spec: &Spec, sides: &Sides, rules: &mut Rules) {
    let access = &spec.cluster.spec.ssh_access;
    if sides.bastions.is_empty() {
        for inner in sides.inner() {
            rules.allow_sources(access, inner, tcp(22, 22));
        }
        return;
    }
    rules.allow_sources(access, &sides.bastions, tcp(22, 22));
    for inner in sides.inner() {
        rules.allow(&sides.bastions, inner, tcp(22, 22));
    }
}

/// To services of type NodePort.
fn node_ports(spec: &Spec, sides: &Sides, rules: &mut Rules) {
    let server = spec.cluster.spec.kube_api_server.as_ref();
    let Some(PortRange { first, last }) = server.and_then(|s| s.service_node_port_range) else {
        return;
    };
    let access = &spec.cluster.spec.node_port_access;
    rules.allow_sources(access, &sides.nodes, tcp(first, last));
    rules.allow_sources(access, &sides.nodes, udp(first, last));
}

/// To the API: users and machines to the load balancers, the load balancers to the control plane.
/// "Packet too big" travels along, so that paths with small packets work.
fn api(spec: &Spec, sides: &Sides, rules: &mut Rules) {
    let Sides { masters, nodes, api, .. } = sides;
    let access = &spec.cluster.spec.kubernetes_api_access;
    rules.allow_sources(access, api, tcp(API_PORT, API_PORT));
    if security::balancer(spec).is_some_and(|balancer| balancer.ssl_certificate.is_some()) {
        let past = tcp(PAST_CERTIFICATE_PORT, PAST_CERTIFICATE_PORT);
        rules.allow_sources(access, api, past);
        rules.allow(api, masters, past);
    }
    rules.allow_too_big(access, api);
    for machines in [masters, nodes] {
        rules.allow(machines, api, tcp(API_PORT, API_PORT));
        rules.allow(machines, api, TOO_BIG);
    }
    rules.allow(api, masters, tcp(API_PORT, API_PORT));
    rules.allow(api, masters, TOO_BIG);
}

/// What a rule lets through.
#[derive(Clone, Copy)]
struct Traffic {
    protocol: &'static str,
    from: i32,
    to: i32,
}

const ALL: Traffic = Traffic { protocol: "-1", from: -1, to: -1 };
const ICMP: Traffic = Traffic { protocol: "icmp", from: -1, to: -1 };
const ICMP_V6: Traffic = Traffic { protocol: "icmpv6", from: -1, to: -1 };
/// Protocol 4, which Calico and kube-router carry pods' packets in.
const IP_IN_IP: Traffic = Traffic { protocol: "4", from: -1, to: -1 };
/// ICMP "fragmentation needed": type 3, code 4.
const TOO_BIG: Traffic = Traffic { protocol: "icmp", from: 3, to: 4 };

fn tcp(first: u16, last: u16) -> Traffic {
    Traffic { protocol: "tcp", from: first.into(), to: last.into() }
}

fn udp(first: u16, last: u16) -> Traffic {
    Traffic { protocol: "udp", from: first.into(), to: last.into() }
}

impl Traffic {
    /// A rule for this traffic, without a peer.
    fn rule(self) -> Rule {
        Rule {
            is_egress: false,
            ip_protocol: self.protocol.to_owned(),
            from_port: self.from,
            to_port: self.to,
            cidr_ipv4: None,
            cidr_ipv6: None,
            prefix_list_id: None,
            referenced_group_id: None,
        }
    }
}

/// The ranges of ports 1 to 65535 that leave some out.
fn all_but(holes: &BTreeSet<u16>) -> Vec<(u16, u16)> {
    let mut ranges = Vec::new();
    let mut first = 1;
    for hole in holes {
        if first < *hole {
            ranges.push((first, hole - 1));
        }
        first = hole.saturating_add(1);
    }
    ranges.push((first, u16::MAX));
    ranges
}

/// Rules by the group that holds them.
#[derive(Default)]
struct Rules {
    by_side: BTreeMap<Side, BTreeSet<Rule>>,
}

impl Rules {
    fn put(&mut self, side: &Side, rule: Rule) {
        self.by_side.entry(side.clone()).or_default().insert(rule);
    }

    /// Lets every one of `from` reach every one of `to`.
    fn allow(&mut self, from: &BTreeSet<Side>, to: &BTreeSet<Side>, traffic: Traffic) {
        for side in to {
            for peer in from {
                let rule = Rule { referenced_group_id: Some(peer.id.clone()), ..traffic.rule() };
                self.put(side, rule);
            }
        }
    }

    /// Lets networks and prefix lists reach every one of `to`.
    fn allow_sources(&mut self, from: &[AccessSource], to: &BTreeSet<Side>, traffic: Traffic) {
        for side in to {
            for source in from {
                let (mut v4, mut v6, mut list) = (None, None, None);
                match source {
                    AccessSource::Cidr(ipnet::IpNet::V4(net)) => v4 = Some(net.to_string()),
                    AccessSource::Cidr(ipnet::IpNet::V6(net)) => v6 = Some(net.to_string()),
                    AccessSource::PrefixList(id) => list = Some(id.clone()),
                }
                let rule =
                    Rule { cidr_ipv4: v4, cidr_ipv6: v6, prefix_list_id: list, ..traffic.rule() };
                self.put(side, rule);
            }
        }
    }

    /// Lets "packet too big" in: by ICMP from IPv4, by ICMPv6 from IPv6, by both from a prefix
    /// list, which may hold either.
    fn allow_too_big(&mut self, from: &[AccessSource], to: &BTreeSet<Side>) {
        for source in from {
            let source = std::slice::from_ref(source);
            if !matches!(source, [AccessSource::Cidr(ipnet::IpNet::V6(_))]) {
                self.allow_sources(source, to, TOO_BIG);
            }
            if !matches!(source, [AccessSource::Cidr(ipnet::IpNet::V4(_))]) {
                self.allow_sources(source, to, ICMP_V6);
            }
        }
    }

    fn finish(self, spec: &Spec, draft: &mut Draft<'_>) {
        let field = Field::new(Kind::Cluster, spec.name(), "spec");
        for (side, rules) in self.by_side {
            let inbound = rules.iter().filter(|rule| !rule.is_egress).count();
            if inbound > RULES_QUOTA {
                let name = &side.name;
                let message = format!("security group `{name}` would hold {inbound} inbound rules");
                let hint = format!(
                    "AWS takes {RULES_QUOTA} unless the quota was raised; use a prefix list"
                );
                draft.warning(&field, message, &hint);
            }
            let rules = SecurityGroupRules { group_id: side.id, rules };
            draft.add(&field, &side.name, Resource::SecurityGroupRules(rules));
        }
    }
}
