//! Bad input: each slip gives exactly its finding, on the line where it was made.

use super::{KOPS, documents, line_of};
use crate::finding::{Severity, has_errors};
use crate::spec::{Strictness, read};

/// What was done to the good documents: every occurrence of the first text becomes the second.
type Slip = (&'static str, &'static str);

/// The findings after a slip, each with the text of the line it names.
fn findings_after(text: &str) -> String {
    let parsed = read(documents(text), Strictness::Strict);
    let mut told = String::new();
    for finding in &parsed.findings {
        let line = finding.places.first().and_then(|place| place.line);
        let line = line.and_then(|line| text.lines().nth(usize::try_from(line).unwrap() - 1));
        told.push_str(&format!(
            "  {}\n    | {}\n",
            line_of(finding),
            line.map(short).unwrap_or_default()
        ));
    }
    told
}

fn short(text: &str) -> String {
    text.trim().chars().take(100).collect()
}

fn told(slips: &[Slip]) -> String {
    let mut all = String::new();
    for (from, to) in slips {
        assert!(KOPS.contains(from), "the good documents do not hold `{from}`");
        let text = KOPS.replace(from, to);
        let parsed = read(documents(&text), Strictness::Strict);
        assert!(!parsed.findings.is_empty(), "`{from}` -> `{to}` goes unnoticed");
        let stops = has_errors(&parsed.findings);
        assert_eq!(parsed.spec.is_none(), stops, "`{from}` -> `{to}`: a spec despite errors");
        all.push_str(&format!("{:?} -> {:?}\n{}", short(from), short(to), findings_after(&text)));
    }
    all
}

#[test]
fn shapes() {
    let told = told(&[
        ("apiVersion: kops.k8s.io/v1alpha2\nkind: Cl", "apiVersion: kops.k8s.io/v1\nkind: Cl"),
        ("apiVersion: kprod.dev/v1alpha1\n", ""),
        ("kind: Cluster", "kind: cluster"),
        ("kind: Cluster\n", ""),
        ("  name: nodes\n", "  labels: {}\n"),
        ("  name: nodes\nspec:", "  name: nodes\nspecs:"),
        ("    onDemandAboveBase: 0", "    onDemandAboveBsae: 0"),
        ("  dnsZone:", "  dnsZoen:"),
        ("  maxSize: 10", "  maxSize: ten"),
        ("  maxSize: 10", "  maxSize: -1"),
        ("  maxSize: 10", "  maxSize: 5000000000"),
        ("  maxSize: 10", "  maxSize: {a: 1}"),
        ("    team: a", "    team: 7"),
        ("account: \"123456789012\"", "account: 123456789012"),
        ("    calico: {}", "    calico:"),
        ("    calico: {}", "    calico: {mtu: 1400}"),
        ("type: Utility", "type: utility"),
        ("type: Utility", "type: DualStack"),
        ("role: Node", "role: APIServer"),
        ("  role: Node\n", ""),
        ("networkCIDR: 10.0.0.0/16", "networkCIDR: 10.0.0.0/33"),
        ("networkCIDR: 10.0.0.0/16", "networkCIDR: 10.0.1.0/16"),
        ("- pl-12345", "- pl-"),
        ("maxSurge: 25%", "maxSurge: 25 %"),
        ("maxSurge: 25%", "maxSurge: 101%"),
        ("maxInstanceLifetime: 168h", "maxInstanceLifetime: 7d"),
        ("dedicated=db:NoSchedule", "dedicated=db:Noschedule"),
        ("    rbac: {}", "    alwaysAllow: {}"),
        ("  taints:\n", "  warmPool: {minSize: 1}\n  taints:\n"),
        ("  dnsZone: example.com", "  dnsZone: example.com\n  additionalPolicies: {nodes: \"[]\"}"),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn the_cluster() {
    let told = told(&[
        ("  name: c.example.com", "  name: C.example.com"),
        ("account: \"123456789012\"", "account: \"1234\""),
        ("region: eu-west-3\n", "region: eu-west-1\n"),
        ("  kubernetesVersion: 1.34.2\n", ""),
        ("kubernetesVersion: 1.34.2", "kubernetesVersion: latest"),
        ("configBase: s3://state/", "configBase: file:///state/"),
        ("  networkID: vpc-1\n", ""),
        ("networkID: vpc-1", "networkID: 1-vpc"),
        ("    id: subnet-ua\n", ""),
        ("id: subnet-b", "id: subnet-a"),
        ("cidr: 10.0.16.0/20", "cidr: 10.0.8.0/21"),
        ("cidr: 10.0.16.0/20", "cidr: 10.1.16.0/20"),
        ("networkCIDR: 10.0.0.0/16", "networkCIDR: 100.64.0.0/10"),
        ("networkID: vpc-1", "networkID: vpc-1\n  podCIDR: 100.64.0.0/12"),
        ("networkID: vpc-1", "networkID: vpc-1\n  podCIDR: 192.168.0.0/16"),
        ("networkID: vpc-1", "networkID: vpc-1\n  nonMasqueradeCIDR: 100.64.0.0/31"),
        ("- pl-12345", "- 0.0.0.0/0"),
        ("    calico: {}", "    calico: {}\n    cilium: {}"),
        ("dnsZone: example.com", "dnsZone: example.org"),
        ("dnsZone: example.com", "masterPublicName: api.internal.c.example.com"),
        ("      type: Public", "      type: Public\n      subnets: [{name: a}, {name: utility-b}]"),
        ("      type: Public", "      type: Public\n      sslPolicy: ELBSecurityPolicy-2016-08"),
        ("      type: Public", "      type: Public\n      sslCertificate: my-certificate"),
        (
            "      type: Public",
            "      type: Internal\n      sslPolicy: strong\n      \
             sslCertificate: arn:aws:acm:eu-west-3:123456789012:certificate/c",
        ),
        (
            "      type: Public",
            "      type: Public\n      subnets: [{name: utility-a, allocationId: eip-1, \
             privateIPv4Address: 10.0.240.3}]",
        ),
        (
            "      type: Public",
            "      type: Internal\n      subnets: [{name: a, privateIPv4Address: 10.0.16.9, \
             allocationId: eipalloc-1}, {name: b, privateIPv4Address: 10.0.16.9, \
             allocationId: eipalloc-1}]",
        ),
        (
            "      type: Public",
            "      type: Internal\n      subnets: [{name: a, privateIPv4Address: 10.0.0.300}]",
        ),
        ("type: Utility", "type: Private"),
        ("dnsZone: example.com", "cloudLabels: {Name: x, \"kubernetes.io/cluster/c\": owned}"),
        ("dnsZone: example.com", "additionalPolicies: {node: '[{\"Action\": \"*\"}]'}"),
        ("dnsZone: example.com", "externalPolicies: {node: [\"arn:aws:iam::1:role/x\"]}"),
        ("dnsZone: example.com", "rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}"),
        (
            "dnsZone: example.com",
            "rollingUpdate:\n    overall: {maxUnavailable: 0, maxUnavailablePerZone: 0%, \
             failurePercent: 101}\n    snapshotAgeMax: 59m\n    repair: {brokenFor: 0s, atOnce: 0, \
             haltAbovePercent: 101}\n    drainTimeout: 49h",
        ),
        ("kops.k8s.io/cluster: c.example.com", "kops.k8s.io/cluster: other.example.com"),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn etcd() {
    let two = "    - name: a\n      instanceGroup: master-a\n    \
               - name: b\n      instanceGroup: master-a\n  - name: events";
    let told = told(&[
        ("  - name: main", "  - name: cilium"),
        ("  - name: events", "  - name: main"),
        ("    - name: a\n      instanceGroup: master-a\n  - name: events", two),
        ("instanceGroup: master-a\n  k", "instanceGroup: mastr-a\n  k"),
        ("instanceGroup: master-a\n  k", "instanceGroup: nodes\n  k"),
        (
            "    - name: a\n      instanceGroup: master-a\n  k",
            "    - name: A_1\n      instanceGroup: master-a\n  k",
        ),
        ("  subnets:\n  - a\n", "  subnets: [a, b]\n"),
        ("  maxSize: 1\n  minSize: 1\n", "  maxSize: 3\n  minSize: 3\n"),
        (
            "instanceGroup: master-a\n  k",
            "instanceGroup: master-a\n      volumeType: io1\n      volumeIops: 2000\n  k",
        ),
        (
            "instanceGroup: master-a\n  k",
            "instanceGroup: master-a\n      volumeType: io2\n      volumeIops: 20001\n  k",
        ),
        ("instanceGroup: master-a\n  k", "instanceGroup: master-a\n      volumeIops: 100\n  k"),
        (
            "instanceGroup: master-a\n  k",
            "instanceGroup: master-a\n      volumeThroughput: 1000\n  k",
        ),
        (
            "instanceGroup: master-a\n  k",
            "instanceGroup: master-a\n      volumeType: gp2\n      volumeThroughput: 200\n  k",
        ),
        (
            "instanceGroup: master-a\n  k",
            "instanceGroup: master-a\n      kmsKeyId: k\n      encryptedVolume: false\n  k",
        ),
        (
            "instanceGroup: master-a\n  k",
            "instanceGroup: master-a\n    backups: {backupStore: /var/backups}\n  k",
        ),
        ("  role: Node", "  role: Etcd"),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn groups() {
    let long = format!("  name: {0}.{0}", "n".repeat(60));
    let vital = "  role: Master\n  capacityRebalance: true\n  maxInstanceLifetime: 720h\n  \
                 maxPrice: \"0.1\"\n  autoscale: true\n  rollingUpdate: {maxSurge: 1}";
    let told = told(&[
        ("  role: Master", vital),
        (
            "    maxSurge: 25%",
            "    drainTimeout: 0s\n    soak: 49h\n    canary: 0\n    canarySoak: 1h\n    \
             maxNodeAge: 23h\n    maxUnavailablePerZone: 0",
        ),
        ("    maxSurge: 25%", "    onDrainTimeout: Give up"),
        ("    maxSurge: 25%", "    overall: {maxUnavailable: 1}"),
        ("  name: nodes", "  name: master-a"),
        ("  name: nodes", "  name: master-a.masters"),
        ("  name: nodes", "  name: Nodes"),
        ("  name: nodes", long.leak()),
        ("  maxSize: 10", "  maxSize: 1"),
        ("  subnets: [a, b]", "  subnets: [a, bb]"),
        ("  subnets: [a, b]", "  subnets: [a, utility-a]"),
        ("  subnets: [a, b]", "  subnets: [a, a]"),
        ("  zones: [eu-west-3a, eu-west-3b]", "  zones: [eu-west-3a, eu-west-3c]"),
        ("  subnets:\n  - a\n", ""),
        ("  taints:\n", "  associatePublicIp: true\n  taints:\n"),
        ("  taints:\n", "  suspendProcesses: [AZRebalanced, Launch, Launch]\n  taints:\n"),
        ("maxInstanceLifetime: 168h", "maxInstanceLifetime: 1h"),
        (
            "  taints:\n",
            "  externalLoadBalancers: [{targetGroupArn: \"arn:aws:elb:x\"}]\n  taints:\n",
        ),
        ("  taints:\n", "  securityGroupOverride: nodes\n  taints:\n"),
        ("  taints:\n", "  additionalSecurityGroups: [sg-1, sg-1]\n  taints:\n"),
        ("  taints:\n", "  iam: {profile: nodes}\n  taints:\n"),
        ("    maxSurge: 25%", "    maxSurge: 0\n    maxUnavailable: 0"),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn machines() {
    let large = format!(
        "  additionalUserData: [{{name: big, type: text/cloud-config, \
         content: \"#cloud-config {}\"}}]\n  taints:\n",
        "x".repeat(17_000)
    );
    let told = told(&[
        ("  image: ami-0123\n  machineType: m6i.large\n  maxI", "  machineType: m6i.large\n  maxI"),
        (
            "  image: ami-0123\n  machineType: m6i.large\n  maxI",
            "  image: ssm:/x\n  machineType: m6i.large\n  maxI",
        ),
        ("machineType: m6i.large\n  maxI", "machineType: large\n  maxI"),
        ("  taints:\n", "  cpuCredits: unlimited\n  taints:\n"),
        ("  taints:\n", "  rootVolumeEncryption: false\n  rootVolumeEncryptionKey: k\n  taints:\n"),
        ("  taints:\n", "  rootVolumeSize: 0\n  taints:\n"),
        (
            "  taints:\n",
            "  volumes: [{device: /dev/xvdd, size: 8}, {device: /dev/xvdd, size: 8}]\n  taints:\n",
        ),
        ("  taints:\n", "  volumes: [{device: xvdd, size: 8, type: io1, iops: 1000}]\n  taints:\n"),
        ("  taints:\n", "  maxPrice: cheap\n  taints:\n"),
        ("  taints:\n", "  instanceInterruptionBehavior: stop\n  taints:\n"),
        ("instances: [m6i.large, m5.large]", "instances: []"),
        (
            "instances: [m6i.large, m5.large]",
            "instances: [m5.large]\n    onDemandAllocationStrategy: prioritized\n    \
             instanceRequirements: {cpu: {min: \"8\", max: 4}, memory: {min: 8Gi, max: 8G}, \
             excludedInstanceTypes: [c5*, C5, c5*]}",
        ),
        (
            "instances: [m6i.large, m5.large]",
            "instanceRequirements: {cpu: {min: 1500m, max: 0}, memory: {min: 8gb, max: 8192}}",
        ),
        (
            "instances: [m6i.large, m5.large]",
            "instanceRequirements: {cpu: {min: true, max: 70000}, memory: {min: 1.5}}",
        ),
        ("  taints:\n", "  spotDurationInMinutes: 60\n  taints:\n"),
        ("instances: [m6i.large, m5.large]", "instances: [m5.large, m5.large]"),
        ("    onDemandAboveBase: 0", "    onDemandAboveBase: 101"),
        ("    onDemandAboveBase: 0", "    onDemandBase: 11"),
        ("    onDemandAboveBase: 0", "    spotInstancePools: 3"),
        (
            "  taints:\n",
            "  cloudLabels: {\"kprod.dev/cluster\": other, \
             \"kops.k8s.io/instancegroup\": nodes}\n  taints:\n",
        ),
        ("    team: a", "    a/b/c: x\n    team: a b"),
        (
            "  - dedicated=db:NoSchedule",
            "  - dedicated=db:NoSchedule\n  - dedicated=web:NoSchedule",
        ),
        (
            "  taints:\n",
            "  additionalUserData: [{name: a b, type: text/x-shellscript, \
             content: echo}]\n  taints:\n",
        ),
        (
            "  taints:\n",
            "  additionalUserData: [{name: a, type: text/x-shell, \
             content: \"#!/bin/sh\"}]\n  taints:\n",
        ),
        ("  taints:\n", large.leak()),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn everything_at_once() {
    let text = KOPS
        .replace("    onDemandAboveBase: 0", "    onDemandAboveBsae: 0")
        .replace("  maxSize: 1\n", "  maxSize: 3\n")
        .replace("dnsZone: example.com", "dnsZone: example.org")
        .replace("  kubernetesVersion: 1.34.2\n", "");
    insta::assert_snapshot!(findings_after(&text));
}

#[test]
fn lenient_warns_and_drops() {
    let text = KOPS
        .replace("    calico: {}", "    calico: {mtu: 1400}")
        .replace("  taints:\n", "  warmPool: {minSize: 1}\n  onDemnad: 1\n  taints:\n");
    let strict = read(documents(&text), Strictness::Strict);
    assert_eq!(strict.findings.len(), 3);
    assert!(strict.spec.is_none());
    let lenient = read(documents(&text), Strictness::Lenient);
    assert!(lenient.findings.iter().all(|finding| finding.severity == Severity::Warning));
    let messages = |findings: &[crate::finding::Finding]| -> Vec<String> {
        findings.iter().map(|finding| finding.message.clone()).collect()
    };
    assert_eq!(messages(&lenient.findings), messages(&strict.findings));
    let plain = read(documents(KOPS), Strictness::Strict).spec;
    assert_eq!(lenient.spec, plain);
}

#[test]
fn no_cluster_two_clusters_and_nothing_at_all() {
    let (cluster, groups) = KOPS.split_once("\n---\n").unwrap();
    insta::assert_snapshot!(
        [
            findings_after(groups),
            findings_after(&format!("{cluster}\n---\n{KOPS}")),
            findings_after("- a\n"),
            findings_after(""),
        ]
        .join("\n")
    );
}

#[test]
fn a_word_of_a_megabyte_is_one_short_finding() {
    let long = "k".repeat(1 << 20);
    for text in [
        KOPS.replace("  taints:\n", &format!("  ? {long}\n  : 1\n  taints:\n")),
        KOPS.replace("  role: Node\n", &format!("  role: {long}\n")),
        KOPS.replace("kind: Cluster\n", &format!("kind: {long}\n")),
    ] {
        let findings = read(documents(&text), Strictness::Strict).findings;
        assert_eq!(findings.len(), 1);
        assert!(findings[0].message.len() < 300, "{}", findings[0].message);
    }
}
