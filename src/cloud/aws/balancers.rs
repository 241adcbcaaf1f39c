//! Elastic Load Balancing v2: the API's load balancers, their target groups and listeners.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancingv2::types::{
    self, Listener, LoadBalancer, LoadBalancerTypeEnum, TargetGroup,
};

use super::AwsCloud;
use super::observe::Found;
use super::tags::TagSet;
use crate::cloud::{CloudError, Ownership, Query};
use crate::resource::{self, Attribute, HealthCheck, Key, Kind, Ref, Resource, SubnetMapping};

/// The biggest page.
const PAGE: i32 = 400;

/// ARNs that DescribeTags takes.
const TAGGED: usize = 20;

/// So much of the cluster's name stands in the names of its load balancers and target groups, which
/// have 32 characters: a prefix of up to 15, a hyphen, the name cut short, a hyphen, 6 of a hash.
const NAME_STEM: usize = 8;

/// Fields of a load balancer that are attributes, and cost a call each.
const LOAD_BALANCER_ATTRIBUTES: [&str; 2] = ["cross_zone_enabled", "deletion_protection_enabled"];

/// The same of a target group.
const TARGET_GROUP_ATTRIBUTES: [&str; 3] = [
    "deregistration_delay_seconds",
    "connection_termination_enabled",
    "preserve_client_ip_enabled",
];

/// Lists both kinds, since one unknown name would fail a call by names; then reads tags and
/// listeners of those that may be the cluster's.
pub(super) async fn read(cloud: &AwsCloud, query: &Query) -> Result<Vec<Found>, CloudError> {
    let (balancers, groups) =
        tokio::try_join!(load_balancers(cloud, query), target_groups(cloud, query))?;
    let arns = balancers.iter().filter_map(|balancer| balancer.load_balancer_arn());
    let arns: Vec<&str> =
        arns.chain(groups.iter().filter_map(|group| group.target_group_arn())).collect();
    let tags = tags(cloud, &arns).await?;

    let mut found = Vec::new();
    for balancer in &balancers {
        let arn = balancer.load_balancer_arn().unwrap_or_default();
        let tags = tags.get(arn).cloned().unwrap_or_default();
        let mut item = convert_load_balancer(balancer, tags, &query.cluster);
        if concerns(query, &item) {
            found.extend(listeners(cloud, balancer, &item.observed.ownership).await?);
            if query.deep {
                load_balancer_attributes(cloud, arn, &mut item).await?;
            }
        }
        found.push(item);
    }
    for group in &groups {
        let arn = group.target_group_arn().unwrap_or_default();
        let tags = tags.get(arn).cloned().unwrap_or_default();
        let mut item = convert_target_group(group, tags, &query.cluster);
        if query.deep && concerns(query, &item) {
            target_group_attributes(cloud, arn, &mut item).await?;
        }
        found.push(item);
    }
    Ok(found)
}

/// Whether something is worth a call of its own.
fn concerns(query: &Query, found: &Found) -> bool {
    found.observed.ownership.is_owned() || query.keys.contains(&found.key)
}

/// Whether a name may be one of the cluster's: asked for, or in its VPC and built from its name.
fn may_be_ours(query: &Query, kind: Kind, name: &str, vpc_id: Option<&str>) -> bool {
    let dashed = query.cluster.replace('.', "-");
    let stem: String = dashed.chars().take(NAME_STEM).collect();
    query.keys.contains(&Key::new(kind, name))
        || (vpc_id == Some(query.vpc_id.as_str()) && name.contains(&stem))
}

async fn load_balancers(cloud: &AwsCloud, query: &Query) -> Result<Vec<LoadBalancer>, CloudError> {
    let call = cloud.elb.describe_load_balancers().page_size(PAGE);
    let page = |marker| call.clone().set_marker(marker).send();
    let pages = cloud.pages("DescribeLoadBalancers", page, |page| page.next_marker()).await?;
    let mut all: Vec<_> =
        pages.into_iter().filter_map(|page| page.load_balancers).flatten().collect();
    all.retain(|balancer| {
        let name = balancer.load_balancer_name().unwrap_or_default();
        balancer.r#type() == Some(&LoadBalancerTypeEnum::Network)
            && may_be_ours(query, Kind::LoadBalancer, name, balancer.vpc_id())
    });
    Ok(all)
}

async fn target_groups(cloud: &AwsCloud, query: &Query) -> Result<Vec<TargetGroup>, CloudError> {
    let call = cloud.elb.describe_target_groups().page_size(PAGE);
    let page = |marker| call.clone().set_marker(marker).send();
    let pages = cloud.pages("DescribeTargetGroups", page, |page| page.next_marker()).await?;
    let mut all: Vec<_> =
        pages.into_iter().filter_map(|page| page.target_groups).flatten().collect();
    all.retain(|group| {
        let name = group.target_group_name().unwrap_or_default();
        may_be_ours(query, Kind::TargetGroup, name, group.vpc_id())
    });
    Ok(all)
}

/// Tags by ARN.
async fn tags(cloud: &AwsCloud, arns: &[&str]) -> Result<BTreeMap<String, TagSet>, CloudError> {
    let mut all = BTreeMap::new();
    for arns in arns.chunks(TAGGED) {
        let arns = arns.iter().map(|arn| (*arn).to_owned()).collect();
        let call = cloud.elb.describe_tags().set_resource_arns(Some(arns));
        let answer = cloud.read("DescribeTags", || call.clone().send()).await?;
        for description in answer.tag_descriptions() {
            let tags = description.tags().iter().map(|tag| (tag.key(), tag.value()));
            let arn = description.resource_arn().unwrap_or_default().to_owned();
            all.insert(arn, TagSet::new(tags));
        }
    }
    Ok(all)
}

fn convert_load_balancer(balancer: &LoadBalancer, notes: TagSet, cluster: &str) -> Found {
    let ownership = Ownership::of(&notes.tags, cluster);
    let name = balancer.load_balancer_name().unwrap_or_default();
    let resource = Resource::LoadBalancer(resource::LoadBalancer {
        name: name.to_owned(),
        scheme: balancer.scheme().map_or("", |scheme| scheme.as_str()).to_owned(),
        ip_address_type: balancer.ip_address_type().map_or("ipv4", |t| t.as_str()).to_owned(),
        subnet_mappings: balancer.availability_zones().iter().map(subnet_mapping).collect(),
        security_groups: balancer.security_groups().iter().cloned().map(Ref::Known).collect(),
        cross_zone_enabled: false,
        deletion_protection_enabled: false,
        tags: notes.tags,
    });
    Found::new(name, resource, ownership)
        .attribute(Attribute::Arn, balancer.load_balancer_arn())
        .attribute(Attribute::DnsName, balancer.dns_name())
        .attribute(Attribute::CanonicalHostedZoneId, balancer.canonical_hosted_zone_id())
        .digest(notes.digest)
        .unread(&LOAD_BALANCER_ATTRIBUTES)
}

/// A subnet with its fixed addresses; AWS lists the ones that were asked for and no others.
fn subnet_mapping(zone: &types::AvailabilityZone) -> SubnetMapping {
    let addresses = zone.load_balancer_addresses();
    let private = addresses.iter().find_map(|address| address.private_ipv4_address());
    let allocation = addresses.iter().find_map(|address| address.allocation_id());
    SubnetMapping {
        subnet_id: zone.subnet_id().unwrap_or_default().to_owned(),
        private_ipv4_address: private.map(str::to_owned),
        allocation_id: allocation.map(str::to_owned),
    }
}

fn convert_target_group(group: &TargetGroup, notes: TagSet, cluster: &str) -> Found {
    let ownership = Ownership::of(&notes.tags, cluster);
    let name = group.target_group_name().unwrap_or_default();
    let protocol = |protocol: Option<&types::ProtocolEnum>| {
        protocol.map_or("", |protocol| protocol.as_str()).to_owned()
    };
    let resource = Resource::TargetGroup(resource::TargetGroup {
        name: name.to_owned(),
        protocol: protocol(group.protocol()),
        port: group.port().unwrap_or_default(),
        vpc_id: group.vpc_id().unwrap_or_default().to_owned(),
        health_check: HealthCheck {
            protocol: protocol(group.health_check_protocol()),
            port: group.health_check_port().unwrap_or_default().to_owned(),
            path: group.health_check_path().map(str::to_owned),
            interval_seconds: group.health_check_interval_seconds().unwrap_or_default(),
            healthy_threshold_count: group.healthy_threshold_count().unwrap_or_default(),
            unhealthy_threshold_count: group.unhealthy_threshold_count().unwrap_or_default(),
        },
        deregistration_delay_seconds: 0,
        connection_termination_enabled: false,
        preserve_client_ip_enabled: false,
        tags: notes.tags,
    });
    Found::new(name, resource, ownership)
        .attribute(Attribute::Arn, group.target_group_arn())
        .digest(notes.digest)
        .unread(&TARGET_GROUP_ATTRIBUTES)
}

/// The listeners of a load balancer; whose it is, they are.
async fn listeners(
    cloud: &AwsCloud,
    balancer: &LoadBalancer,
    ownership: &Ownership,
) -> Result<Vec<Found>, CloudError> {
    let arn = balancer.load_balancer_arn().unwrap_or_default();
    let call = cloud.elb.describe_listeners().load_balancer_arn(arn);
    let page = |marker| call.clone().set_marker(marker).send();
    let pages = cloud.pages("DescribeListeners", page, |page| page.next_marker()).await?;
    let listeners = pages.iter().flat_map(|page| page.listeners());
    let name = balancer.load_balancer_name().unwrap_or_default();
    Ok(listeners.map(|listener| convert_listener(listener, name, ownership)).collect())
}

fn convert_listener(listener: &Listener, balancer: &str, ownership: &Ownership) -> Found {
    let port = listener.port().unwrap_or_default();
    let target = listener.default_actions().iter().find_map(|action| action.target_group_arn());
    let certificate = listener.certificates().iter().find_map(|c| c.certificate_arn());
    let arn = listener.load_balancer_arn().unwrap_or_default();
    let resource = Resource::Listener(resource::Listener {
        load_balancer_arn: Ref::Known(arn.to_owned()),
        port,
        protocol: listener.protocol().map_or("", |protocol| protocol.as_str()).to_owned(),
        certificate_arn: certificate.map(str::to_owned),
        // Emulators give every listener a policy; AWS gives one to those that speak TLS.
        ssl_policy: listener
            .ssl_policy()
            .filter(|_| listener.protocol() == Some(&types::ProtocolEnum::Tls))
            .map(str::to_owned),
        target_group_arn: Ref::Known(target.unwrap_or_default().to_owned()),
    });
    Found::new(&resource::Listener::name_of(balancer, port), resource, ownership.clone())
        .attribute(Attribute::Arn, listener.listener_arn())
}

async fn load_balancer_attributes(
    cloud: &AwsCloud,
    arn: &str,
    found: &mut Found,
) -> Result<(), CloudError> {
    let call = cloud.elb.describe_load_balancer_attributes().load_balancer_arn(arn);
    let answer = cloud.read("DescribeLoadBalancerAttributes", || call.clone().send()).await?;
    let set: BTreeSet<&str> = answer
        .attributes()
        .iter()
        .filter(|attribute| attribute.value() == Some("true"))
        .filter_map(|attribute| attribute.key())
        .collect();
    if let Resource::LoadBalancer(balancer) = &mut found.observed.resource {
        balancer.cross_zone_enabled = set.contains("load_balancing.cross_zone.enabled");
        balancer.deletion_protection_enabled = set.contains("deletion_protection.enabled");
    }
    found.observed.unread.clear();
    Ok(())
}

async fn target_group_attributes(
    cloud: &AwsCloud,
    arn: &str,
    found: &mut Found,
) -> Result<(), CloudError> {
    let call = cloud.elb.describe_target_group_attributes().target_group_arn(arn);
    let answer = cloud.read("DescribeTargetGroupAttributes", || call.clone().send()).await?;
    let values: BTreeMap<&str, &str> = answer
        .attributes()
        .iter()
        .filter_map(|attribute| Some((attribute.key()?, attribute.value()?)))
        .collect();
    let is_on = |key: &str| values.get(key) == Some(&"true");
    if let Resource::TargetGroup(group) = &mut found.observed.resource {
        group.deregistration_delay_seconds = values
            .get("deregistration_delay.timeout_seconds")
            .and_then(|seconds| seconds.parse().ok())
            .unwrap_or_default();
        group.connection_termination_enabled =
            is_on("deregistration_delay.connection_termination.enabled");
        group.preserve_client_ip_enabled = is_on("preserve_client_ip.enabled");
    }
    found.observed.unread.clear();
    Ok(())
}
