//! Resources for tests: one fully populated of each kind, a small cluster, and the world as it is
//! right after an apply.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde_json::json;

use crate::cloud::{Foreignness, VersionFacts, asset, authority, epoch};
use crate::cloud::{GroupFacts, Instance, Observation, Observed, Ownership, TemplateFacts};
use crate::facts::{Facts, SubnetFact};
use crate::pki;
use crate::resource::*;

pub(crate) const CLUSTER: &str = "test.example.com";

pub(crate) fn tags(name: &str) -> Tags {
    [("Name", name), (OWNER_TAG, CLUSTER), ("KubernetesCluster", CLUSTER)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn set<const N: usize>(items: [&str; N]) -> BTreeSet<String> {
    items.map(str::to_owned).into()
}

fn promise(kind: Kind, name: &str, attribute: Attribute) -> Ref {
    Ref::Of(Key::new(kind, name), attribute)
}

fn keyed(resources: Vec<(&str, Resource)>) -> ResourceSet {
    resources.into_iter().map(|(name, r)| (Key::new(r.kind(), name), r)).collect()
}

/// A cluster in which every kind occurs once, the group for nodes apart, and every optional field
/// is set. The struct literals make a new field a compile error here.
pub(crate) fn full_cluster() -> ResourceSet {
    let mut resources = security();
    resources.extend(identity());
    resources.extend(balancer());
    resources.extend(storage());
    resources.extend(compute("nodes", "k8s.io/role/node"));
    keyed(resources)
}

fn security() -> Vec<(&'static str, Resource)> {
    let group = SecurityGroup {
        group_name: "nodes.test.example.com".into(),
        description: "Security group for nodes".into(),
        vpc_id: "vpc-1".into(),
        tags: tags("nodes.test.example.com"),
    };
    let rule = Rule {
        is_egress: true,
        ip_protocol: "tcp".into(),
        from_port: 443,
        to_port: 443,
        cidr_ipv4: Some("10.0.0.0/8".into()),
        cidr_ipv6: Some("fd00::/8".into()),
        prefix_list_id: Some("pl-1".into()),
        referenced_group_id: Some(promise(
            Kind::SecurityGroup,
            "nodes.test.example.com",
            Attribute::Id,
        )),
    };
    let rules = SecurityGroupRules {
        group_id: promise(Kind::SecurityGroup, "nodes.test.example.com", Attribute::Id),
        rules: BTreeSet::from([rule]),
    };
    vec![
        ("nodes.test.example.com", Resource::SecurityGroup(group)),
        ("nodes.test.example.com", Resource::SecurityGroupRules(rules)),
    ]
}

fn identity() -> Vec<(&'static str, Resource)> {
    let trust = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"},
         "Action": "sts:AssumeRole"}]});
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["ec2:DescribeInstances"], "Resource": "*"}]});
    let role = Role {
        role_name: "nodes.test.example.com".into(),
        assume_role_policy_document: trust,
        permissions_boundary: Some("arn:aws:iam::111122223333:policy/bound".into()),
        inline_policies: BTreeMap::from([("nodes.test.example.com".into(), policy)]),
        attached_policy_arns: set(["arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"]),
        tags: tags("nodes.test.example.com"),
    };
    let profile = InstanceProfile {
        instance_profile_name: "nodes.test.example.com".into(),
        roles: set(["nodes.test.example.com"]),
        tags: tags("nodes.test.example.com"),
    };
    vec![
        ("nodes.test.example.com", Resource::Role(role)),
        ("nodes.test.example.com", Resource::InstanceProfile(profile)),
    ]
}

fn balancer() -> Vec<(&'static str, Resource)> {
    let sg = promise(Kind::SecurityGroup, "nodes.test.example.com", Attribute::Id);
    let mapping = SubnetMapping {
        subnet_id: "subnet-a".into(),
        private_ipv4_address: Some("10.0.0.10".into()),
        allocation_id: Some("eipalloc-1".into()),
    };
    let load_balancer = LoadBalancer {
        name: "api-test".into(),
        scheme: "internal".into(),
        ip_address_type: "ipv4".into(),
        subnet_mappings: BTreeSet::from([mapping]),
        security_groups: BTreeSet::from([sg]),
        cross_zone_enabled: true,
        deletion_protection_enabled: true,
        tags: tags("api.test.example.com"),
    };
    let target_group = TargetGroup {
        name: "tcp-test".into(),
        protocol: "TCP".into(),
        port: 443,
        vpc_id: "vpc-1".into(),
        health_check: HealthCheck {
            protocol: "HTTPS".into(),
            port: "traffic-port".into(),
            path: Some("/readyz".into()),
            interval_seconds: 10,
            healthy_threshold_count: 2,
            unhealthy_threshold_count: 2,
        },
        deregistration_delay_seconds: 30,
        connection_termination_enabled: true,
        preserve_client_ip_enabled: false,
        tags: tags("tcp.test.example.com"),
    };
    let listener = Listener {
        load_balancer_arn: promise(Kind::LoadBalancer, "api-test", Attribute::Arn),
        port: 443,
        protocol: "TLS".into(),
        certificate_arn: Some("arn:aws:acm:eu-west-1:111122223333:certificate/1".into()),
        ssl_policy: Some("ELBSecurityPolicy-TLS13-1-2-2021-06".into()),
        target_group_arn: promise(Kind::TargetGroup, "tcp-test", Attribute::Arn),
    };
    let zone = HostedZone {
        name: "internal.test.example.com".into(),
        vpc_id: "vpc-1".into(),
        comment: "names inside test.example.com".into(),
        tags: tags("internal.test.example.com"),
    };
    let alias = AliasTarget {
        dns_name: promise(Kind::LoadBalancer, "api-test", Attribute::DnsName),
        hosted_zone_id: promise(Kind::LoadBalancer, "api-test", Attribute::CanonicalHostedZoneId),
        evaluate_target_health: false,
    };
    let record_set = RecordSet {
        ttl: Some(60),
        resource_records: BTreeSet::from([Ref::Known("10.0.0.10".into())]),
        alias_target: Some(alias),
    };
    let dns_name = DnsName {
        hosted_zone_id: promise(Kind::HostedZone, "internal.test.example.com", Attribute::Id),
        name: "api.internal.test.example.com".into(),
        record_sets: BTreeMap::from([("A".into(), record_set)]),
        owner: CLUSTER.into(),
    };
    vec![
        ("api-test", Resource::LoadBalancer(load_balancer)),
        ("tcp-test", Resource::TargetGroup(target_group)),
        ("api-test:443", Resource::Listener(listener)),
        ("internal.test.example.com", Resource::HostedZone(zone)),
        ("api.internal.test.example.com", Resource::DnsName(dns_name)),
    ]
}

fn storage() -> Vec<(&'static str, Resource)> {
    let volume = Volume {
        availability_zone: "eu-west-1a".into(),
        size: 20,
        volume_type: "gp3".into(),
        iops: Some(3000),
        throughput: Some(125),
        encrypted: true,
        kms_key_id: Some("alias/etcd".into()),
        tags: tags("a.etcd-main.test.example.com"),
    };
    let interface = NetworkInterface {
        subnet_id: "subnet-a".into(),
        description: "etcd member a".into(),
        groups: BTreeSet::from([promise(
            Kind::SecurityGroup,
            "nodes.test.example.com",
            Attribute::Id,
        )]),
        tags: tags("etcd-a.test.example.com"),
    };
    let member = EpochMember {
        peer_url: "https://etcd-a.internal.test.example.com:2380".into(),
        client_url: "https://etcd-a.internal.test.example.com:4001".into(),
    };
    vec![
        ("a.etcd-main.test.example.com", Resource::Volume(volume)),
        ("etcd-a.test.example.com", Resource::NetworkInterface(interface)),
        (
            "etcd-peers-main.test.example.com",
            authority::resource(&pki::Authority::EtcdPeers("main".into()), CLUSTER),
        ),
        (
            "main.test.example.com",
            epoch::resource(CLUSTER, "main", BTreeMap::from([("a".into(), member)])),
        ),
        ("abababababababab.test.example.com", asset::resource(CLUSTER, &"ab".repeat(32), 7)),
    ]
}

/// A launch template and its group.
fn compute(group: &str, role_tag: &str) -> Vec<(&'static str, Resource)> {
    assert_eq!(group, "nodes");
    let data = LaunchTemplateData {
        image_id: "ami-0123".into(),
        instance_type: "m5.large".into(),
        iam_instance_profile_name: Some("nodes.test.example.com".into()),
        iam_instance_profile_arn: Some("arn:aws:iam::111122223333:instance-profile/x".into()),
        key_name: Some("ops".into()),
        user_data: "#cloud-config\nruncmd:\n  - echo one\n".into(),
        block_device_mappings: vec![BlockDeviceMapping {
            device_name: "/dev/xvda".into(),
            volume_size: 64,
            volume_type: "gp3".into(),
            iops: Some(3000),
            throughput: Some(125),
            encrypted: true,
            kms_key_id: Some("alias/root".into()),
            delete_on_termination: true,
        }],
        network_interfaces: vec![LaunchTemplateInterface {
            device_index: 0,
            network_interface_id: Some(promise(
                Kind::NetworkInterface,
                "etcd-a.test.example.com",
                Attribute::Id,
            )),
            associate_public_ip_address: Some(false),
            groups: BTreeSet::from([promise(
                Kind::SecurityGroup,
                "nodes.test.example.com",
                Attribute::Id,
            )]),
            delete_on_termination: true,
        }],
        metadata_options: MetadataOptions {
            http_tokens: "required".into(),
            http_put_response_hop_limit: 1,
        },
        monitoring_enabled: true,
        ebs_optimized: Some(true),
        tenancy: Some("default".into()),
        cpu_credits: Some("standard".into()),
        instance_market_options: Some(InstanceMarketOptions {
            max_price: "0.1".into(),
            instance_interruption_behavior: Some("terminate".into()),
        }),
        private_dns_hostname_type: Some("resource-name".into()),
        tag_specifications: BTreeMap::from([("instance".into(), tags("nodes.test.example.com"))]),
    };
    let template = LaunchTemplate {
        launch_template_name: "nodes.test.example.com".into(),
        launch_template_data: data,
        tags: tags("nodes.test.example.com"),
    };
    vec![
        ("nodes.test.example.com", Resource::LaunchTemplate(template)),
        ("nodes.test.example.com", Resource::AutoScalingGroup(scaling_group(role_tag))),
    ]
}

fn scaling_group(role_tag: &str) -> AutoScalingGroup {
    let mut group_tags: BTreeMap<String, GroupTag> = tags("nodes.test.example.com")
        .into_iter()
        .map(|(key, value)| (key, GroupTag { value, propagate_at_launch: false }))
        .collect();
    let role = GroupTag { value: "1".into(), propagate_at_launch: true };
    group_tags.insert(role_tag.into(), role);
    AutoScalingGroup {
        auto_scaling_group_name: "nodes.test.example.com".into(),
        launch_template_name: "nodes.test.example.com".into(),
        target: promise(Kind::LaunchTemplate, "nodes.test.example.com", Attribute::Target),
        mixed_instances_policy: Some(MixedInstancesPolicy {
            overrides: vec!["m5.large".into(), "m5a.large".into()],
            instance_requirements: Some(InstanceRequirements {
                vcpu_count: RequirementRange { min: 2, max: Some(4) },
                memory_mib: RequirementRange { min: 2048, max: Some(4096) },
                excluded_instance_types: set(["t2.*"]),
            }),
            on_demand_allocation_strategy: "prioritized".into(),
            on_demand_base_capacity: 0,
            on_demand_percentage_above_base_capacity: 0,
            spot_allocation_strategy: "price-capacity-optimized".into(),
            spot_instance_pools: Some(2),
            spot_max_price: Some("0.1".into()),
        }),
        min_size: 2,
        max_size: 6,
        vpc_zone_identifier: set(["subnet-a", "subnet-b"]),
        availability_zones: set(["eu-west-1a"]),
        target_group_arns: BTreeSet::from([promise(Kind::TargetGroup, "tcp-test", Attribute::Arn)]),
        health_check_type: "EC2".into(),
        health_check_grace_period: 300,
        new_instances_protected_from_scale_in: false,
        max_instance_lifetime: 0,
        capacity_rebalance: false,
        suspended_processes: set(["AZRebalance"]),
        enabled_metrics: set(["GroupMinSize"]),
        lifecycle_hooks: BTreeMap::from([(
            "drain".into(),
            LifecycleHook {
                lifecycle_transition: "autoscaling:EC2_INSTANCE_TERMINATING".into(),
                heartbeat_timeout: 300,
                default_result: "CONTINUE".into(),
            },
        )]),
        tags: group_tags,
    }
}

/// An account with nothing of the cluster in it.
pub(crate) fn empty_world() -> Observation {
    let subnet = |id: &str, zone: &str, cidr: &str| SubnetFact {
        id: id.to_owned(),
        zone: zone.to_owned(),
        cidr: cidr.parse().unwrap(),
        vpc_id: "vpc-1".to_owned(),
    };
    Observation {
        format_version: Observation::FORMAT_VERSION,
        cloud: "sim".into(),
        taken_at: "2026-01-01T00:00:00Z".into(),
        cluster: CLUSTER.into(),
        facts: Facts {
            account: "111122223333".into(),
            region: "eu-west-1".into(),
            subnets: BTreeMap::from([
                ("subnet-a".into(), subnet("subnet-a", "eu-west-1a", "10.0.0.0/24")),
                ("subnet-b".into(), subnet("subnet-b", "eu-west-1b", "10.0.1.0/24")),
            ]),
            ..Facts::default()
        },
        resources: BTreeMap::new(),
        etcd_remains: BTreeMap::new(),
    }
}

/// What AWS would decide about a resource.
fn attributes(key: &Key) -> BTreeMap<Attribute, String> {
    let id = digest(&json!(key.to_string()));
    let certificate = (key.kind == Kind::Authority).then(certificate);
    [
        (Attribute::Id, format!("id-{id}")),
        (Attribute::Arn, format!("arn:aws:x:::{id}")),
        (Attribute::DnsName, format!("{id}.elb.example.com")),
        (Attribute::CanonicalHostedZoneId, "ZELB".to_owned()),
        (Attribute::PrivateIpAddress, "10.0.0.77".to_owned()),
    ]
    .into_iter()
    .chain(certificate.map(|pem| (Attribute::Certificate, pem)))
    .collect()
}

/// The certificate of the sample's authority, made when the sample's world is looked at.
fn certificate() -> String {
    static MADE: OnceLock<String> = OnceLock::new();
    let make = || {
        let key = pki::PrivateKey::generate().unwrap();
        let now = empty_world().taken_at.parse().unwrap();
        let authority = pki::Authority::EtcdPeers("main".into());
        pki::Signer::make(&authority, CLUSTER, key, now).unwrap().to_public()
    };
    MADE.get_or_init(make).clone()
}

/// The world right after `desired` was applied: each group with its minimum of machines at the
/// wanted version.
pub(crate) fn applied(desired: &ResourceSet) -> Observation {
    let mut world = empty_world();
    let content = |name: &str| match desired.get(&Key::new(Kind::LaunchTemplate, name)) {
        Some(Resource::LaunchTemplate(template)) => {
            let known = |key: &Key, attribute| attributes(key).get(&attribute).cloned();
            let resolved = Resource::LaunchTemplate(template.clone()).resolve(&known).unwrap();
            let Resource::LaunchTemplate(template) = resolved else { panic!() };
            Some(template.launch_template_data)
        }
        _ => None,
    };
    for (key, wanted) in desired {
        let known = |key: &Key, attribute| match attribute {
            Attribute::Target => content(&key.name).map(|data| format!("1:{}", data.revision())),
            _ => attributes(key).get(&attribute).cloned(),
        };
        let mut observed = Observed {
            resource: wanted.resolve(&known).unwrap(),
            ownership: Ownership::Owned,
            attributes: attributes(key),
            digest: wanted.tags().map(|_| wanted.digest()),
            group: None,
            template: None,
            foreign_rules: BTreeSet::new(),
            unread: BTreeSet::new(),
        };
        match &observed.resource {
            Resource::LaunchTemplate(template) => {
                let data = &template.launch_template_data;
                observed.template = Some(TemplateFacts {
                    latest_version: 1,
                    wanted: Some((1, data.revision(), data.content_digest())),
                    versions: BTreeMap::new(),
                });
                observed.unread.insert("launch_template_data".into());
            }
            Resource::AutoScalingGroup(group) => {
                observed.group = Some(GroupFacts {
                    desired_capacity: group.min_size,
                    pin: Some(1),
                    instances: (0..group.min_size).map(instance).collect(),
                    ..GroupFacts::default()
                });
            }
            _ => {}
        }
        world.resources.insert(key.clone(), observed);
    }
    world
}

fn instance(number: i32) -> Instance {
    Instance {
        instance_id: format!("i-{number:04}"),
        availability_zone: if number % 2 == 0 { "eu-west-1a" } else { "eu-west-1b" }.into(),
        instance_type: "m5.large".into(),
        lifecycle_state: "InService".into(),
        health_status: "Healthy".into(),
        launch_template_version: Some(1),
        protected_from_scale_in: false,
    }
}

/// Puts the versions into an observation that a second look would read.
pub(crate) fn second_look(desired: &ResourceSet, before: &ResourceSet, world: &mut Observation) {
    let wanted = super::versions_to_read(desired, world);
    let old = applied_content(before, world);
    let versions = wanted
        .into_iter()
        .map(|(name, numbers)| {
            let data = old.get(&name).unwrap();
            let facts = VersionFacts { revision: Some(data.revision()), data: data.clone() };
            (name, numbers.into_iter().map(|number| (number, facts.clone())).collect())
        })
        .collect();
    super::merge_versions(world, versions);
}

fn applied_content(
    before: &ResourceSet,
    world: &Observation,
) -> BTreeMap<String, LaunchTemplateData> {
    let known = |key: &Key, attribute| world.attribute(key, attribute);
    before
        .iter()
        .filter_map(|(key, resource)| match resource.resolve(&known).unwrap() {
            Resource::LaunchTemplate(template) => {
                Some((key.name.clone(), template.launch_template_data))
            }
            _ => None,
        })
        .collect()
}

/// Makes an observed resource somebody else's.
pub(crate) fn make_foreign(world: &mut Observation, key: &Key) {
    let observed = world.resources.get_mut(key).unwrap();
    observed.ownership = Ownership::Foreign(Foreignness::Kops);
    observed.digest = None;
}

/// A set with one resource's fields changed.
pub(crate) fn edit(
    desired: &ResourceSet,
    key: &Key,
    change: impl FnOnce(&mut serde_json::Value),
) -> ResourceSet {
    let mut desired = desired.clone();
    let mut value = desired[key].to_value();
    change(&mut value);
    desired.insert(key.clone(), Resource::from_value(key.kind, value).unwrap());
    desired
}
