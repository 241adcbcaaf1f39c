//! EC2 without launch templates: subnets, security groups with their rules, volumes, interfaces.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, IpPermission, NetworkInterface, SecurityGroup, Volume};

use super::AwsCloud;
use super::observe::Found;
use super::tags::TagSet;
use crate::cloud::{CloudError, CloudErrorKind, Ownership, Query};
use crate::facts::{SubnetFact, VpcFact};
use crate::resource::{self, Attribute, DIGEST_TAG, Key, Kind, Ref, Resource, Rule};

/// The biggest page of most EC2 lists.
const PAGE: i32 = 1000;

/// Values that one filter takes (EC2 API reference, "Filter": 200).
pub(super) const FILTER_VALUES: usize = 200;

/// Tags that kops puts on the volumes of etcd members, and on nothing else: one for each etcd cluster
/// that it knows. Source: kops `pkg/model/master_volumes.go`.
const KOPS_ETCD_TAGS: [&str; 4] =
    ["k8s.io/etcd/main", "k8s.io/etcd/events", "k8s.io/etcd/cilium", "k8s.io/etcd/leases"];

/// What EC2 knows of a cluster.
pub(super) struct Network {
    /// The VPC of the query, if it exists.
    pub vpc: Option<VpcFact>,
    /// The subnets of the query that exist.
    pub subnets: BTreeMap<String, SubnetFact>,
    /// Groups, rules, volumes, interfaces.
    pub found: Vec<Found>,
}

/// Reads all of it at once.
pub(super) async fn read(cloud: &AwsCloud, query: &Query) -> Result<Network, CloudError> {
    let (subnets, groups, volumes, interfaces) = tokio::try_join!(
        subnets(cloud, query),
        security_groups(cloud, query),
        volumes(cloud, query),
        interfaces(cloud, query),
    )?;
    let vpc = vpc(cloud, query, &subnets).await?;
    let found = groups.into_iter().chain(volumes).chain(interfaces).collect();
    Ok(Network { vpc, subnets, found })
}

/// A filter: what has any of the values.
pub(super) fn filter(name: &str, values: impl IntoIterator<Item = impl Into<String>>) -> Filter {
    let values = values.into_iter().map(Into::into).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

/// Subnets by a filter: asked for by id, one that is missing would fail the whole call.
async fn subnets(
    cloud: &AwsCloud,
    query: &Query,
) -> Result<BTreeMap<String, SubnetFact>, CloudError> {
    let ids: Vec<&String> = query.subnet_ids.iter().collect();
    let mut facts = BTreeMap::new();
    for ids in ids.chunks(FILTER_VALUES) {
        let call = cloud.ec2.describe_subnets().filters(filter("subnet-id", ids.iter().copied()));
        let page = |token| call.clone().set_next_token(token).send();
        let pages = cloud.pages("DescribeSubnets", page, |page| page.next_token()).await?;
        for subnet in pages.iter().flat_map(|page| page.subnets()) {
            let id = subnet.subnet_id().unwrap_or_default().to_owned();
            let cidr = subnet.cidr_block().unwrap_or_default();
            let cidr = cidr.parse().map_err(|_| {
                let message = format!("subnet {id} has the CIDR `{cidr}`, which is none");
                CloudError::new(CloudErrorKind::Invalid, "DescribeSubnets", "BadAnswer", message)
            })?;
            let zone = subnet.availability_zone().unwrap_or_default().to_owned();
            let vpc_id = subnet.vpc_id().unwrap_or_default().to_owned();
            facts.insert(id.clone(), SubnetFact { id, zone, cidr, vpc_id });
        }
    }
    Ok(facts)
}

/// The VPC. Where one of its subnets was found it exists, and nothing is built from its ranges, so
/// that is all there is to know; otherwise it is worth a call.
async fn vpc(
    cloud: &AwsCloud,
    query: &Query,
    subnets: &BTreeMap<String, SubnetFact>,
) -> Result<Option<VpcFact>, CloudError> {
    if subnets.values().any(|subnet| subnet.vpc_id == query.vpc_id) {
        return Ok(Some(VpcFact { id: query.vpc_id.clone(), cidrs: Vec::new() }));
    }
    let call = cloud.ec2.describe_vpcs().filters(filter("vpc-id", [&query.vpc_id]));
    let answer = cloud.read("DescribeVpcs", || call.clone().send()).await?;
    Ok(answer.vpcs().first().map(|vpc| VpcFact {
        id: query.vpc_id.clone(),
        cidrs: vpc
            .cidr_block_association_set()
            .iter()
            .filter_map(|block| block.cidr_block()?.parse().ok())
            .collect(),
    }))
}

/// All groups of the VPC: names are unique there, and the answer holds rules and tags.
async fn security_groups(cloud: &AwsCloud, query: &Query) -> Result<Vec<Found>, CloudError> {
    let call = cloud.ec2.describe_security_groups().filters(filter("vpc-id", [&query.vpc_id]));
    let page = |token| call.clone().max_results(PAGE).set_next_token(token).send();
    let pages = cloud.pages("DescribeSecurityGroups", page, |page| page.next_token()).await?;
    let groups = pages.iter().flat_map(|page| page.security_groups());
    Ok(groups.flat_map(|group| security_group(group, query)).collect())
}

/// A group and, apart from it, its rules. A group that the spec names by id is not ours to keep, but
/// our rules in it are: they go by its id, and exist once there is one of them.
fn security_group(group: &SecurityGroup, query: &Query) -> Vec<Found> {
    let cluster = &query.cluster;
    let TagSet { tags, digest, .. } = TagSet::ec2(group.tags());
    let ownership = Ownership::of(&tags, cluster);
    let (name, id) = (group.group_name().unwrap_or_default(), group.group_id());
    let rules = rules(group, cluster);
    let (ours, foreign): (Vec<_>, Vec<_>) = rules.into_iter().partition(|(_, ours)| *ours);
    let set = |rules: Vec<(Rule, bool)>| -> BTreeSet<Rule> {
        rules.into_iter().map(|(rule, _)| rule).collect()
    };

    let by_id = id.filter(|id| query.keys.contains(&Key::new(Kind::SecurityGroupRules, *id)));
    let owner_of_rules = match by_id {
        Some(_) if !ours.is_empty() => Ownership::Owned,
        _ => ownership.clone(),
    };
    let is_there = by_id.is_none() || !ours.is_empty();
    let rules = Resource::SecurityGroupRules(resource::SecurityGroupRules {
        group_id: Ref::Known(id.unwrap_or_default().to_owned()),
        rules: set(ours),
    });
    let mut rules = Found::new(by_id.unwrap_or(name), rules, owner_of_rules);
    rules.observed.foreign_rules = set(foreign);

    let itself = Resource::SecurityGroup(resource::SecurityGroup {
        group_name: name.to_owned(),
        description: group.description().unwrap_or_default().to_owned(),
        vpc_id: group.vpc_id().unwrap_or_default().to_owned(),
        tags,
    });
    let itself = Found::new(name, itself, ownership).attribute(Attribute::Id, id).digest(digest);
    std::iter::once(itself).chain(is_there.then_some(rules)).collect()
}

/// A group's rules, each with whether it is ours. AWS folds rules of equal ports into one
/// permission; here each peer is a rule, as AWS counts them.
fn rules(group: &SecurityGroup, cluster: &str) -> Vec<(Rule, bool)> {
    let owner = resource::SecurityGroupRules::owner_description(cluster);
    let ingress = group.ip_permissions().iter().map(|permission| (false, permission));
    let egress = group.ip_permissions_egress().iter().map(|permission| (true, permission));
    ingress
        .chain(egress)
        .flat_map(|(is_egress, permission)| peers(is_egress, permission))
        .map(|(rule, description)| (rule, description.as_deref() == Some(owner.as_str())))
        .collect()
}

/// One rule a peer, with its description.
pub(super) fn peers(is_egress: bool, permission: &IpPermission) -> Vec<(Rule, Option<String>)> {
    let ip_protocol = match permission.ip_protocol().unwrap_or("-1") {
        "6" => "tcp",
        "17" => "udp",
        "1" => "icmp",
        "58" => "icmpv6",
        other => other,
    };
    let has_ports = matches!(ip_protocol, "tcp" | "udp" | "icmp" | "icmpv6");
    let port = |port: Option<i32>| if has_ports { port.unwrap_or(-1) } else { -1 };
    let rule = Rule {
        is_egress,
        ip_protocol: ip_protocol.to_owned(),
        from_port: port(permission.from_port()),
        to_port: port(permission.to_port()),
        cidr_ipv4: None,
        cidr_ipv6: None,
        prefix_list_id: None,
        referenced_group_id: None,
    };
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let mut peers = Vec::new();
    for range in permission.ip_ranges() {
        let rule = Rule { cidr_ipv4: owned(range.cidr_ip()), ..rule.clone() };
        peers.push((rule, owned(range.description())));
    }
    for range in permission.ipv6_ranges() {
        let rule = Rule { cidr_ipv6: owned(range.cidr_ipv6()), ..rule.clone() };
        peers.push((rule, owned(range.description())));
    }
    for list in permission.prefix_list_ids() {
        let rule = Rule { prefix_list_id: owned(list.prefix_list_id()), ..rule.clone() };
        peers.push((rule, owned(list.description())));
    }
    for pair in permission.user_id_group_pairs() {
        let group = pair.group_id().map(|id| Ref::Known(id.to_owned()));
        let rule = Rule { referenced_group_id: group, ..rule.clone() };
        peers.push((rule, owned(pair.description())));
    }
    peers
}

/// Names of a kind that the query wants.
fn wanted_names(query: &Query, kind: Kind) -> BTreeSet<&str> {
    let keys = query.keys.iter().filter(|key| key.kind == kind);
    keys.map(|key| key.name.as_str()).collect()
}

/// Wanted names that a first look by tag did not find: tags other than `Name` may have been lost.
fn missing<'q>(query: &'q Query, kind: Kind, found: &[Found]) -> Vec<&'q str> {
    let found: BTreeSet<&Key> = found.iter().map(|found| &found.key).collect();
    let missing = |name: &&str| !found.contains(&Key::new(kind, *name));
    wanted_names(query, kind).into_iter().filter(missing).collect()
}

/// Volumes of etcd members: ours by the digest that every resource of an apply carries, kops' by
/// its etcd tags. The owner tag alone would also bring the root volume of every machine. What a
/// name should find and the tags did not costs a second call, never for an unchanged cluster.
async fn volumes(cloud: &AwsCloud, query: &Query) -> Result<Vec<Found>, CloudError> {
    let tagged = filter("tag-key", [DIGEST_TAG].into_iter().chain(KOPS_ETCD_TAGS));
    let mut found = volumes_by(cloud, query, tagged).await?;
    let missing = missing(query, Kind::Volume, &found);
    for names in missing.chunks(FILTER_VALUES) {
        found.extend(volumes_by(cloud, query, filter("tag:Name", names.iter().copied())).await?);
    }
    Ok(found)
}

async fn volumes_by(cloud: &AwsCloud, query: &Query, by: Filter) -> Result<Vec<Found>, CloudError> {
    let call = cloud.ec2.describe_volumes().filters(by).max_results(PAGE);
    let page = |token| call.clone().set_next_token(token).send();
    let pages = cloud.pages("DescribeVolumes", page, |page| page.next_token()).await?;
    let mut volumes: Vec<Volume> = pages.into_iter().filter_map(|p| p.volumes).flatten().collect();
    volumes.retain(|volume| {
        !volume.state().is_some_and(|state| matches!(state.as_str(), "deleting" | "deleted"))
    });
    volumes.sort_by(|a, b| a.volume_id().cmp(&b.volume_id()));
    Ok(volumes.iter().map(|found| volume(found, &query.cluster)).collect())
}

/// A volume. AWS answers with numbers for types that do not take any, and with the ARN of the
/// account's default key; neither was asked for by anybody.
fn volume(volume: &Volume, cluster: &str) -> Found {
    let TagSet { tags, digest, .. } = TagSet::ec2(volume.tags());
    let ownership = Ownership::of(&tags, cluster);
    let id = volume.volume_id().unwrap_or_default();
    let name = tags.get("Name").map_or(id, String::as_str).to_owned();
    let volume_type = volume.volume_type().map_or("", |kind| kind.as_str());
    let takes_iops = matches!(volume_type, "gp3" | "io1" | "io2");
    let resource = Resource::Volume(resource::Volume {
        availability_zone: volume.availability_zone().unwrap_or_default().to_owned(),
        size: volume.size().unwrap_or_default(),
        volume_type: volume_type.to_owned(),
        iops: volume.iops().filter(|_| takes_iops),
        throughput: volume.throughput().filter(|_| volume_type == "gp3"),
        encrypted: volume.encrypted().unwrap_or(false),
        kms_key_id: volume.kms_key_id().map(str::to_owned),
        tags,
    });
    Found::new(&name, resource, ownership)
        .attribute(Attribute::Id, volume.volume_id())
        .digest(digest)
        .unread(&["kms_key_id"])
}

/// Interfaces that keep an address, as volumes are found. A filter by VPC would bring the interface
/// of every machine.
async fn interfaces(cloud: &AwsCloud, query: &Query) -> Result<Vec<Found>, CloudError> {
    let mut found = interfaces_by(cloud, query, filter("tag-key", [DIGEST_TAG])).await?;
    let missing = missing(query, Kind::NetworkInterface, &found);
    for names in missing.chunks(FILTER_VALUES) {
        let named = filter("tag:Name", names.iter().copied());
        found.extend(interfaces_by(cloud, query, named).await?);
    }
    Ok(found)
}

async fn interfaces_by(
    cloud: &AwsCloud,
    query: &Query,
    by: Filter,
) -> Result<Vec<Found>, CloudError> {
    let call = cloud.ec2.describe_network_interfaces().filters(by).max_results(PAGE);
    let page = |token| call.clone().set_next_token(token).send();
    let pages = cloud.pages("DescribeNetworkInterfaces", page, |page| page.next_token()).await?;
    let interfaces = pages.into_iter().filter_map(|page| page.network_interfaces);
    let mut interfaces: Vec<NetworkInterface> = interfaces.flatten().collect();
    interfaces.sort_by(|a, b| a.network_interface_id().cmp(&b.network_interface_id()));
    Ok(interfaces.iter().map(|found| interface(found, &query.cluster)).collect())
}

fn interface(interface: &NetworkInterface, cluster: &str) -> Found {
    let TagSet { tags, digest, .. } = TagSet::ec2(interface.tag_set());
    let ownership = Ownership::of(&tags, cluster);
    let id = interface.network_interface_id().unwrap_or_default();
    let name = tags.get("Name").map_or(id, String::as_str).to_owned();
    let groups = interface.groups().iter().filter_map(|group| group.group_id());
    let resource = Resource::NetworkInterface(resource::NetworkInterface {
        subnet_id: interface.subnet_id().unwrap_or_default().to_owned(),
        description: interface.description().unwrap_or_default().to_owned(),
        groups: groups.map(|id| Ref::Known(id.to_owned())).collect(),
        tags,
    });
    Found::new(&name, resource, ownership)
        .attribute(Attribute::Id, interface.network_interface_id())
        .attribute(Attribute::PrivateIpAddress, interface.private_ip_address())
        .digest(digest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use aws_sdk_ec2::types::{IpRange, UserIdGroupPair};

    use super::*;

    /// Our rule, a foreign rule with the same ports, and a rule of a protocol without ports.
    #[test]
    fn permissions_unfold_into_rules_and_each_knows_its_owner() {
        let ours = IpRange::builder().cidr_ip("10.0.0.0/8").description("kprod.dev/cluster=c");
        let pair = UserIdGroupPair::builder().group_id("sg-2").description("by hand");
        let tcp = IpPermission::builder().ip_protocol("6").from_port(443).to_port(443);
        let tcp = tcp.ip_ranges(ours.build()).user_id_group_pairs(pair.build()).build();
        let all = IpPermission::builder().ip_protocol("4").from_port(0).to_port(65535);
        let all = all.ip_ranges(IpRange::builder().cidr_ip("0.0.0.0/0").build()).build();
        let group = SecurityGroup::builder().group_name("g").group_id("sg-1");
        let group = group.ip_permissions(tcp).ip_permissions_egress(all).build();

        let mut query = Query {
            cluster: "c".to_owned(),
            region: String::new(),
            vpc_id: String::new(),
            subnet_ids: BTreeSet::new(),
            config_base: None,
            image_ids: BTreeSet::new(),
            public_zone: None,
            keys: BTreeSet::new(),
            deep: false,
            brief: false,
        };
        let found = security_group(&group, &query);
        assert!(found.iter().all(|found| !found.observed.ownership.is_owned()), "it has no tag");
        query.keys.insert(Key::new(Kind::SecurityGroupRules, "sg-1"));
        let [_, rules] = security_group(&group, &query).try_into().ok().unwrap();
        assert_eq!(rules.key.name, "sg-1");
        assert!(rules.observed.ownership.is_owned(), "named by id, one of its rules is ours");
        let Resource::SecurityGroupRules(ours) = &rules.observed.resource else { panic!() };
        assert_eq!(ours.rules.len(), 1);
        let rule = ours.rules.first().unwrap();
        assert_eq!((rule.ip_protocol.as_str(), rule.from_port), ("tcp", 443));
        assert_eq!(rule.cidr_ipv4.as_deref(), Some("10.0.0.0/8"));
        let foreign: Vec<_> = rules.observed.foreign_rules.iter().collect();
        assert_eq!(foreign.len(), 2);
        assert!(foreign.iter().any(|rule| rule.ip_protocol == "4" && rule.to_port == -1));
    }
}
