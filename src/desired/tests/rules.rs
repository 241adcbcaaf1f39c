//! Security group rules against lists written by hand from kops' facts, not from the code.

use super::*;
use crate::resource::{Kind, Ref, Resource, Rule};

/// A set of rules as lines: `in tcp 22-22 203.0.113.7/32`.
fn lines(desired: &Desired, group: &str) -> Vec<String> {
    let key = Key::new(Kind::SecurityGroupRules, group);
    let Some(Resource::SecurityGroupRules(rules)) = desired.resources.get(&key) else {
        panic!("no rules for {group}");
    };
    let mut lines: Vec<String> = rules.rules.iter().map(line).collect();
    lines.sort();
    lines
}

fn line(rule: &Rule) -> String {
    let direction = if rule.is_egress { "out" } else { "in" };
    let group = rule.referenced_group_id.as_ref().map(|id| match id {
        Ref::Known(id) => id.clone(),
        Ref::Of(key, _) => key.name.trim_end_matches(".c.example.com").to_owned(),
    });
    let peers = [&rule.cidr_ipv4, &rule.cidr_ipv6, &rule.prefix_list_id, &group];
    let peers: Vec<&String> = peers.into_iter().flatten().collect();
    let [peer] = peers.as_slice() else { panic!("a rule has one peer: {rule:?}") };
    format!("{direction} {} {}-{} {peer}", rule.ip_protocol, rule.from_port, rule.to_port)
}

fn assert_rules(desired: &Desired, group: &str, expected: &[&str]) {
    let mut expected: Vec<&str> = expected.to_vec();
    expected.extend(["out -1 -1--1 0.0.0.0/0", "out -1 -1--1 ::/0"]);
    expected.sort_unstable();
    assert_eq!(lines(desired, group), expected, "{group}");
}

#[test]
fn a_small_cluster_has_the_rules_of_kops() {
    let desired = build(&spec(SMALL), &Facts::default());
    let masters = [
        "in -1 -1--1 masters",
        "in udp 1-65535 nodes",
        "in tcp 1-2379 nodes",
        "in tcp 2382-4000 nodes",
        "in tcp 4003-65535 nodes",
        "in 4 -1--1 nodes",
        "in tcp 22-22 203.0.113.7/32",
        "in tcp 22-22 pl-0a",
        "in tcp 22-22 pl-0b",
        "in tcp 443-443 api-elb",
        "in icmp 3-4 api-elb",
    ];
    assert_rules(&desired, "masters.c.example.com", &masters);
    let nodes = [
        "in -1 -1--1 masters",
        "in -1 -1--1 nodes",
        "in tcp 22-22 203.0.113.7/32",
        "in tcp 22-22 pl-0a",
        "in tcp 22-22 pl-0b",
        "in tcp 30000-32767 10.0.0.0/16",
        "in udp 30000-32767 10.0.0.0/16",
    ];
    assert_rules(&desired, "nodes.c.example.com", &nodes);
    let api = [
        "in tcp 443-443 198.51.100.0/24",
        "in icmp 3-4 198.51.100.0/24",
        "in tcp 443-443 masters",
        "in icmp 3-4 masters",
        "in tcp 443-443 nodes",
        "in icmp 3-4 nodes",
    ];
    assert_rules(&desired, "api-elb.c.example.com", &api);
}

#[test]
fn sources_of_the_api_may_be_of_any_kind() {
    let text =
        SMALL.replace("[198.51.100.0/24]", "[198.51.100.0/24, '2001:db8::/32', pl-0a, pl-0b]");
    let desired = build(&spec(&text), &Facts::default());
    let from_outside: Vec<String> = lines(&desired, "api-elb.c.example.com")
        .into_iter()
        .filter(|line| !line.ends_with("masters") && !line.ends_with("nodes"))
        .collect();
    let expected = [
        "in icmp 3-4 198.51.100.0/24",
        "in icmp 3-4 pl-0a",
        "in icmp 3-4 pl-0b",
        "in icmpv6 -1--1 2001:db8::/32",
        "in icmpv6 -1--1 pl-0a",
        "in icmpv6 -1--1 pl-0b",
        "in tcp 443-443 198.51.100.0/24",
        "in tcp 443-443 2001:db8::/32",
        "in tcp 443-443 pl-0a",
        "in tcp 443-443 pl-0b",
        "out -1 -1--1 0.0.0.0/0",
        "out -1 -1--1 ::/0",
    ];
    assert_eq!(from_outside, expected);
}

/// etcd on a machine of its own, and a bastion.
fn apart() -> String {
    let etcd = r#"
---
kind: InstanceGroup
apiVersion: kprod.dev/v1alpha1
metadata: {name: etcd}
spec: {role: Etcd, image: ami-1, machineType: m6i.large, subnets: [a]}
---
kind: InstanceGroup
apiVersion: kprod.dev/v1alpha1
metadata: {name: bastion}
spec: {role: Bastion, image: ami-1, machineType: t3.micro, subnets: [a]}
"#;
    SMALL.replace("instanceGroup: control-plane", "instanceGroup: etcd") + etcd
}

#[test]
fn etcd_apart_lets_in_its_peers_and_the_control_plane_only() {
    let desired = build(&spec(&apart()), &Facts::default());
    let etcd = [
        "in tcp 2380-2380 etcd",
        "in tcp 2381-2381 etcd",
        "in tcp 4001-4001 masters",
        "in tcp 4002-4002 masters",
        "in tcp 22-22 bastion",
    ];
    assert_rules(&desired, "etcd.c.example.com", &etcd);
}

#[test]
fn with_a_bastion_nobody_logs_in_past_it() {
    let desired = build(&spec(&apart()), &Facts::default());
    let bastion = ["in tcp 22-22 203.0.113.7/32", "in tcp 22-22 pl-0a", "in tcp 22-22 pl-0b"];
    assert_rules(&desired, "bastion.c.example.com", &bastion);
    for group in ["masters.c.example.com", "nodes.c.example.com"] {
        let ssh: Vec<String> =
            lines(&desired, group).into_iter().filter(|line| line.contains("tcp 22-")).collect();
        assert_eq!(ssh, ["in tcp 22-22 bastion"], "{group}");
    }
}

#[test]
fn rules_stand_for_every_pair_of_groups() {
    let more = r#"
---
kind: InstanceGroup
apiVersion: kprod.dev/v1alpha1
metadata: {name: other}
spec: {role: Node, image: ami-1, machineType: m6i.large, subnets: [a], securityGroupOverride: sg-other}
"#;
    let desired = build(&spec(&(SMALL.to_owned() + more)), &Facts::default());
    let other = [
        "in -1 -1--1 masters",
        "in -1 -1--1 nodes",
        "in -1 -1--1 sg-other",
        "in tcp 22-22 203.0.113.7/32",
        "in tcp 22-22 pl-0a",
        "in tcp 22-22 pl-0b",
        "in tcp 30000-32767 10.0.0.0/16",
        "in udp 30000-32767 10.0.0.0/16",
    ];
    assert_rules(&desired, "sg-other", &other);
    let masters = lines(&desired, "masters.c.example.com");
    assert!(masters.contains(&"in tcp 2382-4000 sg-other".to_owned()));
    assert!(!desired.resources.contains_key(&Key::new(Kind::SecurityGroup, "sg-other")));
    let all = SMALL.replace(
        "subnets: [a], minSize: 1",
        "subnets: [a], securityGroupOverride: sg-1, minSize: 1",
    );
    let desired = build(&spec(&all), &Facts::default());
    let unused = Key::new(Kind::SecurityGroup, "nodes.c.example.com");
    assert!(!desired.resources.contains_key(&unused));
}

#[test]
fn workers_may_not_share_etcds_group() {
    let shared = SMALL
        .replace("minSize: 1, maxSize: 3", "securityGroupOverride: sg-1")
        .replace("role: ControlPlane, ", "role: ControlPlane, securityGroupOverride: sg-1, ");
    let findings = build(&spec(&shared), &Facts::default()).findings;
    let [finding] = findings.as_slice() else { panic!("{findings:#?}") };
    assert_eq!(
        finding.message,
        "`sg-1` is also the security group of the control plane or etcd, which this opens"
    );
}
