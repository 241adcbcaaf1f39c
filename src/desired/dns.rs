//! DNS: the cluster's own private zone with etcd and the internal API in it, and the API's public
//! name in the zone that the cluster is given.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::name::Names;
use super::{balancer, etcd, public_zone, tag};
use crate::facts::Facts;
use crate::resource::{
    AliasTarget, Attribute, DnsName, HostedZone, Key, Kind, RecordSet, Ref, Resource,
};
use crate::spec::{EtcdClusterSpec, Field, Kind as Document, Spec};

/// Seconds that resolvers may keep etcd's records: few, since a restored cluster has new addresses.
const ETCD_TTL_SECS: i64 = 60;

/// Builds the private zone and all names.
pub(super) fn build(spec: &Spec, facts: &Facts, draft: &mut Draft<'_>) {
    let names = Names::of(spec.name());
    let field = Field::new(Document::Cluster, spec.name(), "metadata.name");
    let zone = HostedZone {
        name: names.private_zone(),
        vpc_id: super::vpc_id(spec),
        comment: format!("etcd and internal API of {}", spec.name()),
        tags: tag::base(spec, &names.private_zone()),
    };
    draft.add(&field, &names.private_zone(), Resource::HostedZone(zone));
    let alias = alias(&balancer::internal(spec));
    add(spec, &field, private_zone(spec), &names.internal_api(), alias, draft);
    public(spec, facts, draft);
    for (index, etcd) in spec.cluster.spec.etcd_clusters.iter().enumerate() {
        members(spec, etcd, index, draft);
        service(spec, etcd, index, draft);
    }
}

fn private_zone(spec: &Spec) -> Ref {
    let name = Names::of(spec.name()).private_zone();
    Ref::Of(Key::new(Kind::HostedZone, name), Attribute::Id)
}

/// The API's name for its users. Without facts the zone stands as the spec writes it; that it does
/// not exist is for the check of facts to say.
fn public(spec: &Spec, facts: &Facts, draft: &mut Draft<'_>) {
    let Some(zone) = public_zone(spec) else { return };
    let Some(name) = &spec.cluster.spec.master_public_name else { return };
    let zone = facts.public_zone.as_ref().map_or(zone, |fact| fact.id.as_str());
    let field = Field::new(Document::Cluster, spec.name(), "spec.masterPublicName");
    let alias = alias(&balancer::for_users(spec));
    add(spec, &field, Ref::Known(zone.to_owned()), name, alias, draft);
}

/// One name for each member: the address of its group's interface.
fn members(spec: &Spec, etcd: &EtcdClusterSpec, index: usize, draft: &mut Draft<'_>) {
    for (member_index, member) in etcd.etcd_members.iter().enumerate() {
        let Some(group) = spec.groups.get(&member.instance_group) else { continue };
        let path = format!("spec.etcdClusters[{index}].etcdMembers[{member_index}].name");
        let field = Field::new(Document::Cluster, spec.name(), &path);
        let names = Names::of(spec.name());
        let interface = Key::new(Kind::NetworkInterface, spec.machine_name(group));
        let address = Ref::Of(interface, Attribute::PrivateIpAddress);
        let record = plain(BTreeSet::from([address]));
        let records = BTreeMap::from([("A".to_owned(), record)]);
        let host = names.etcd_host(&etcd.name, &member.name);
        add(spec, &field, private_zone(spec), &host, records, draft);
    }
}

/// The list of an etcd cluster's peers, for its first start and for people.
fn service(spec: &Spec, etcd: &EtcdClusterSpec, index: usize, draft: &mut Draft<'_>) {
    let names = Names::of(spec.name());
    let peer = etcd::ports_of(&etcd.name).peer;
    let hosts = etcd.etcd_members.iter().map(|member| names.etcd_host(&etcd.name, &member.name));
    let values: BTreeSet<Ref> =
        hosts.map(|host| Ref::Known(format!("0 0 {peer} {host}"))).collect();
    if values.is_empty() {
        return;
    }
    let path = format!("spec.etcdClusters[{index}].name");
    let field = Field::new(Document::Cluster, spec.name(), &path);
    let records = BTreeMap::from([("SRV".to_owned(), plain(values))]);
    add(spec, &field, private_zone(spec), &names.etcd_service(&etcd.name), records, draft);
}

fn plain(resource_records: BTreeSet<Ref>) -> RecordSet {
    RecordSet { ttl: Some(ETCD_TTL_SECS), resource_records, alias_target: None }
}

/// Aliases to a load balancer, for IPv4 and IPv6 as kops has them.
fn alias(balancer: &Key) -> BTreeMap<String, RecordSet> {
    let target = AliasTarget {
        dns_name: Ref::Of(balancer.clone(), Attribute::DnsName),
        hosted_zone_id: Ref::Of(balancer.clone(), Attribute::CanonicalHostedZoneId),
        evaluate_target_health: false,
    };
    let record = |record_type: &str| {
        let set = RecordSet {
            ttl: None,
            resource_records: BTreeSet::new(),
            alias_target: Some(target.clone()),
        };
        (record_type.to_owned(), set)
    };
    BTreeMap::from([record("A"), record("AAAA")])
}

fn add(
    spec: &Spec,
    field: &Field,
    zone: Ref,
    name: &str,
    record_sets: BTreeMap<String, RecordSet>,
    draft: &mut Draft<'_>,
) {
    let dns = DnsName {
        hosted_zone_id: zone,
        name: name.to_owned(),
        record_sets,
        owner: spec.name().to_owned(),
    };
    draft.add(field, name, Resource::DnsName(dns));
}
