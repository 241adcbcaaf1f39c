//! Route53: the public zone, the cluster's private one, and the names in both.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_route53::types::{HostedZone, ResourceRecordSet, RrType};

use super::AwsCloud;
use super::observe::Found;
use super::tags::TagSet;
use crate::cloud::{CloudError, CloudErrorKind, Foreignness, Ownership, Query};
use crate::facts::ZoneFact;
use crate::resource::{self, AliasTarget, Attribute, DnsName, Kind, RecordSet, Ref, Resource};

/// Pages of 300 record sets that one listing may have; a zone holds at most 10,000 unless a quota
/// was raised (Route 53 developer guide, "Quotas").
const PAGES: usize = 1000;

/// What Route53 knows of a cluster.
pub(super) struct Dns {
    /// The zone of the public records.
    pub public_zone: Option<ZoneFact>,
    /// Private zones and names.
    pub found: Vec<Found>,
}

/// Lists the zones, then each zone's records from the cluster's names on.
pub(super) async fn read(cloud: &AwsCloud, query: &Query) -> Result<Dns, CloudError> {
    let call = cloud.route53.list_hosted_zones();
    let page = |marker| call.clone().set_marker(marker).send();
    let pages = cloud.pages("ListHostedZones", page, |page| page.next_marker()).await?;
    let zones: Vec<HostedZone> = pages.into_iter().flat_map(|page| page.hosted_zones).collect();
    let public_zone = public_zone(&zones, query)?;
    let private = private_zones(&zones, query);

    let (public_names, private_names) = tokio::try_join!(
        public_names(cloud, query, public_zone.as_ref()),
        private_names(cloud, query, &private),
    )?;
    let mut found = Vec::new();
    for zone in &private {
        found.push(convert_zone(cloud, query, zone).await?);
    }
    // Inside the VPC a private zone hides what a public one says under its name.
    let hidden = |name: &str| private.iter().any(|zone| under(name, &plain(zone.name())));
    let public_names = public_names.into_iter().filter(|found| concerns(query, found));
    found.extend(public_names.filter(|found| !hidden(&found.key.name)));
    found.extend(private_names);
    Ok(Dns { public_zone, found })
}

/// Whether a name in a zone that others use too is worth showing.
fn concerns(query: &Query, found: &Found) -> bool {
    found.observed.ownership.is_owned() || query.keys.contains(&found.key)
}

fn is_private(zone: &HostedZone) -> bool {
    zone.config().is_some_and(|config| config.private_zone())
}

/// A zone's id as other calls take it.
fn zone_id(zone: &HostedZone) -> &str {
    zone.id().strip_prefix("/hostedzone/").unwrap_or(zone.id())
}

/// A name without its last dot, and with the asterisk that Route53 writes as an octal escape.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).replace("\\052", "*")
}

/// Whether a name is a suffix or something under it.
fn under(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The public zone of a name or an id.
fn public_zone(zones: &[HostedZone], query: &Query) -> Result<Option<ZoneFact>, CloudError> {
    let Some(wanted) = &query.public_zone else { return Ok(None) };
    let wanted = plain(wanted);
    let fits = |zone: &&HostedZone| {
        zone_id(zone) == wanted || (!is_private(zone) && plain(zone.name()) == wanted)
    };
    let fitting: Vec<&HostedZone> = zones.iter().filter(fits).collect();
    if let [first, second, ..] = fitting.as_slice() {
        let message = format!(
            "the account has several public zones `{wanted}`, {} and {} among them: name one by id",
            zone_id(first),
            zone_id(second)
        );
        let kind = CloudErrorKind::Invalid;
        return Err(CloudError::new(kind, "ListHostedZones", "AmbiguousZone", message));
    }
    Ok(fitting
        .first()
        .map(|zone| ZoneFact { id: zone_id(zone).to_owned(), name: plain(zone.name()) }))
}

/// Private zones that are the cluster's or have a name it wants; one a name, ours first.
fn private_zones<'z>(zones: &'z [HostedZone], query: &Query) -> Vec<&'z HostedZone> {
    let keys = query.keys.iter().filter(|key| key.kind == Kind::HostedZone);
    let wanted: BTreeSet<&str> = keys.map(|key| key.name.as_str()).collect();
    let mut chosen: BTreeMap<String, &HostedZone> = BTreeMap::new();
    for zone in zones.iter().filter(|zone| is_private(zone)) {
        let name = plain(zone.name());
        let ours = owner(zone) == Some(query.cluster.as_str());
        if ours || (wanted.contains(name.as_str()) && !chosen.contains_key(&name)) {
            chosen.insert(name, zone);
        }
    }
    chosen.into_values().collect()
}

fn owner(zone: &HostedZone) -> Option<&str> {
    resource::HostedZone::owner_of(zone.caller_reference())
}

/// A private zone. The list has no tags and no VPC, but the caller reference names the owner.
async fn convert_zone(
    cloud: &AwsCloud,
    query: &Query,
    zone: &HostedZone,
) -> Result<Found, CloudError> {
    let ownership = match owner(zone) {
        Some(owner) if owner == query.cluster => Ownership::Owned,
        Some(owner) => Ownership::Foreign(Foreignness::OtherCluster(owner.to_owned())),
        None => Ownership::Foreign(Foreignness::Untagged),
    };
    let name = plain(zone.name());
    let comment = zone.config().and_then(|config| config.comment()).unwrap_or_default();
    let mut converted = resource::HostedZone {
        name: name.clone(),
        vpc_id: String::new(),
        comment: comment.to_owned(),
        tags: BTreeMap::new(),
    };
    if !query.deep {
        let found = Found::new(&name, Resource::HostedZone(converted), ownership);
        return Ok(found.attribute(Attribute::Id, Some(zone_id(zone))).unread(&["tags", "vpc_id"]));
    }
    let notes = zone_tags(cloud, zone_id(zone)).await?;
    converted.vpc_id = zone_vpc(cloud, zone_id(zone), &query.vpc_id).await?;
    let ownership = match Ownership::of(&notes.tags, &query.cluster) {
        Ownership::Foreign(Foreignness::Untagged) => ownership,
        by_tag => by_tag,
    };
    converted.tags = notes.tags;
    Ok(Found::new(&name, Resource::HostedZone(converted), ownership)
        .attribute(Attribute::Id, Some(zone_id(zone)))
        .digest(notes.digest))
}

async fn zone_tags(cloud: &AwsCloud, id: &str) -> Result<TagSet, CloudError> {
    let call = cloud.route53.list_tags_for_resource().resource_id(id);
    let call = call.resource_type(aws_sdk_route53::types::TagResourceType::Hostedzone);
    let answer = cloud.read("ListTagsForResource", || call.clone().send()).await?;
    let tags = answer.resource_tag_set().map(|set| set.tags()).unwrap_or_default();
    Ok(TagSet::new(tags.iter().map(|tag| (tag.key(), tag.value()))))
}

/// The VPC that sees a zone: the cluster's if it is among several.
async fn zone_vpc(cloud: &AwsCloud, id: &str, wanted: &str) -> Result<String, CloudError> {
    let answer =
        cloud.read("GetHostedZone", || cloud.route53.get_hosted_zone().id(id).send()).await?;
    let ids: Vec<&str> = answer.vpcs().iter().filter_map(|vpc| vpc.vpc_id()).collect();
    let chosen = ids.iter().find(|id| **id == wanted).or_else(|| ids.first());
    Ok(chosen.map(|id| (*id).to_owned()).unwrap_or_default())
}

/// The cluster's names in the public zone, and wanted names that are not under the cluster's own.
async fn public_names(
    cloud: &AwsCloud,
    query: &Query,
    zone: Option<&ZoneFact>,
) -> Result<Vec<Found>, CloudError> {
    let Some(zone) = zone else { return Ok(Vec::new()) };
    let mut suffixes = BTreeSet::from([query.cluster.as_str()]);
    let names = query.keys.iter().filter(|key| key.kind == Kind::DnsName);
    suffixes.extend(names.map(|key| key.name.as_str()).filter(|n| !under(n, &query.cluster)));
    let mut found = Vec::new();
    for suffix in suffixes.into_iter().filter(|suffix| under(suffix, &zone.name)) {
        let records = records(cloud, &zone.id, suffix).await?;
        found.extend(names_of(&zone.id, &records, &query.cluster));
    }
    Ok(found)
}

/// The names of the private zones: all in the cluster's own, since each keeps it from going.
async fn private_names(
    cloud: &AwsCloud,
    query: &Query,
    zones: &[&HostedZone],
) -> Result<Vec<Found>, CloudError> {
    let mut found = Vec::new();
    for zone in zones {
        let records = records(cloud, zone_id(zone), &plain(zone.name())).await?;
        let names = names_of(zone_id(zone), &records, &query.cluster).into_iter();
        let is_own = owner(zone) == Some(query.cluster.as_str());
        found.extend(names.filter(|found| is_own || concerns(query, found)));
    }
    Ok(found)
}

/// The record sets at a name and under it. Route53 sorts by labels from the right, so they stand
/// together: start at the name, stop where the suffix ends.
async fn records(
    cloud: &AwsCloud,
    zone_id: &str,
    suffix: &str,
) -> Result<Vec<ResourceRecordSet>, CloudError> {
    let mut found = Vec::new();
    let mut call =
        cloud.route53.list_resource_record_sets().hosted_zone_id(zone_id).start_record_name(suffix);
    for _ in 0..PAGES {
        let answer = cloud.read("ListResourceRecordSets", || call.clone().send()).await?;
        let before = answer.resource_record_sets.len();
        let ours = answer.resource_record_sets.into_iter();
        let ours = ours.take_while(|set| under(&plain(set.name()), suffix));
        let known = found.len();
        found.extend(ours);
        if !answer.is_truncated || found.len() - known < before {
            return Ok(found);
        }
        call = cloud
            .route53
            .list_resource_record_sets()
            .hosted_zone_id(zone_id)
            .set_start_record_name(answer.next_record_name)
            .set_start_record_type(answer.next_record_type)
            .set_start_record_identifier(answer.next_record_identifier);
    }
    let message = format!("zone {zone_id} has more than {PAGES} pages of records under {suffix}");
    let kind = CloudErrorKind::Invalid;
    Err(CloudError::new(kind, "ListResourceRecordSets", "TooManyRecords", message))
}

/// Record sets as names, each with its owner record taken out.
fn names_of(zone_id: &str, records: &[ResourceRecordSet], cluster: &str) -> Vec<Found> {
    let mut names: BTreeMap<String, DnsName> = BTreeMap::new();
    let empty = |name: &str| DnsName {
        hosted_zone_id: Ref::Known(zone_id.to_owned()),
        name: name.to_owned(),
        record_sets: BTreeMap::new(),
        owner: String::new(),
    };
    let prefix = DnsName::owner_record("");
    let belongs_to_zone =
        |set: &&ResourceRecordSet| matches!(set.r#type(), RrType::Ns | RrType::Soa);
    for set in records.iter().filter(|set| !belongs_to_zone(set)) {
        let (name, converted) = (plain(set.name()), record_set(set));
        if let Some(base) = name.strip_prefix(&prefix).filter(|_| set.r#type() == &RrType::Txt) {
            let entry = names.entry(base.to_owned()).or_insert_with(|| empty(base));
            entry.owner = DnsName::owner_of(&converted).unwrap_or_default().to_owned();
            continue;
        }
        // Sets that share a name and a type (weighted and the like) are nobody's but their maker's.
        let kind = match set.set_identifier() {
            Some(identifier) => format!("{} {identifier}", set.r#type().as_str()),
            None => set.r#type().as_str().to_owned(),
        };
        let entry = names.entry(name.clone()).or_insert_with(|| empty(&name));
        entry.record_sets.insert(kind, converted);
    }
    names.into_iter().map(|(name, found)| convert_name(&name, found, cluster)).collect()
}

fn convert_name(name: &str, found: DnsName, cluster: &str) -> Found {
    let ownership = match found.owner.as_str() {
        "" => Ownership::Foreign(Foreignness::Untagged),
        owner if owner == cluster => Ownership::Owned,
        other => Ownership::Foreign(Foreignness::OtherCluster(other.to_owned())),
    };
    Found::new(name, Resource::DnsName(found), ownership)
}

fn record_set(set: &ResourceRecordSet) -> RecordSet {
    let values = set.resource_records().iter().map(|record| record.value().to_owned());
    RecordSet {
        ttl: set.ttl(),
        resource_records: values.map(Ref::Known).collect(),
        alias_target: set.alias_target().map(|alias| AliasTarget {
            dns_name: Ref::Known(plain(alias.dns_name())),
            hosted_zone_id: Ref::Known(alias.hosted_zone_id().to_owned()),
            evaluate_target_health: alias.evaluate_target_health(),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use aws_sdk_route53::types::ResourceRecord;

    use super::*;

    fn set(name: &str, kind: RrType, value: &str) -> ResourceRecordSet {
        let record = ResourceRecord::builder().value(value).build().unwrap();
        let set = ResourceRecordSet::builder().name(name).r#type(kind).ttl(60);
        set.resource_records(record).build().unwrap()
    }

    #[test]
    fn a_name_under_a_suffix_is_told_from_one_that_only_ends_alike() {
        assert!(under("api.c.example.com", "c.example.com"));
        assert!(under("c.example.com", "c.example.com"));
        assert!(!under("abc.example.com", "c.example.com"));
        assert!(!under("example.com", "c.example.com"));
    }

    #[test]
    fn names_know_their_owner_and_their_owner_record_is_no_name() {
        let records = [
            set("api.c.example.com.", RrType::A, "10.0.0.1"),
            set("kprod-owner.api.c.example.com.", RrType::Txt, "\"kprod.dev/cluster=c\""),
            set("\\052.c.example.com.", RrType::A, "10.0.0.2"),
            set("kprod-owner.gone.c.example.com.", RrType::Txt, "\"kprod.dev/cluster=other\""),
        ];
        let names = names_of("Z1", &records, "c");
        let seen: Vec<(&str, &Ownership)> =
            names.iter().map(|n| (n.key.name.as_str(), &n.observed.ownership)).collect();
        let other = Ownership::Foreign(Foreignness::OtherCluster("other".to_owned()));
        let untagged = Ownership::Foreign(Foreignness::Untagged);
        assert_eq!(
            seen,
            [
                ("*.c.example.com", &untagged),
                ("api.c.example.com", &Ownership::Owned),
                ("gone.c.example.com", &other),
            ]
        );
    }
}
