//! Hosted zones and DNS names.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Ref, Tags};

/// A private hosted zone that the cluster owns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostedZone {
    /// The zone's name, without the last dot.
    pub name: String,
    /// The VPC that sees it.
    pub vpc_id: String,
    /// Comment shown in the console.
    pub comment: String,
    /// Tags.
    pub tags: Tags,
}

impl HostedZone {
    /// The caller reference of a zone that `cluster` makes. Route53 takes no tags at creation, so
    /// the reference is what tells a zone as ours from its first instant on.
    pub fn caller_reference(cluster: &str, token: &str) -> String {
        format!("{}={cluster}/{token}", super::OWNER_TAG)
    }

    /// The cluster that a zone's caller reference names; counts as an owner tag.
    pub fn owner_of(caller_reference: &str) -> Option<&str> {
        let rest = caller_reference.strip_prefix(super::OWNER_TAG)?.strip_prefix('=')?;
        rest.rsplit_once('/').map(|(cluster, _)| cluster)
    }
}

/// One DNS name with its record sets and its owner, always changed in one atomic batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DnsName {
    /// The zone it lives in.
    pub hosted_zone_id: Ref,
    /// The name, without the last dot.
    pub name: String,
    /// Record sets by type (`A`, `AAAA`, `SRV`).
    pub record_sets: BTreeMap<String, RecordSet>,
    /// The cluster named by the TXT record `kprod-owner.<name>`; empty when there is none.
    pub owner: String,
}

impl DnsName {
    /// The name of the TXT record that says whose name this is.
    pub fn owner_record(name: &str) -> String {
        format!("kprod-owner.{name}")
    }

    /// The TXT record set that names `cluster` as the owner; written in the same batch as the name.
    pub fn owner_record_set(cluster: &str) -> RecordSet {
        // Route53 keeps TXT values in the quotes they were given with.
        let value = Ref::Known(format!("\"{}={cluster}\"", super::OWNER_TAG));
        RecordSet { ttl: Some(300), resource_records: BTreeSet::from([value]), alias_target: None }
    }

    /// The cluster that an owner TXT record set names; `None` for any other TXT.
    pub fn owner_of(records: &RecordSet) -> Option<&str> {
        records.resource_records.iter().find_map(|value| {
            let text = value.known()?.trim_matches('"');
            text.strip_prefix(super::OWNER_TAG)?.strip_prefix('=')
        })
    }
}

/// The values of one name and type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordSet {
    /// Seconds that resolvers may keep it; none for an alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<i64>,
    /// Values: addresses, or `priority weight port host` for SRV.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub resource_records: BTreeSet<Ref>,
    /// An alias to a load balancer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias_target: Option<AliasTarget>,
}

/// Where an alias points.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AliasTarget {
    /// The load balancer's DNS name.
    pub dns_name: Ref,
    /// The load balancer's own zone.
    pub hosted_zone_id: Ref,
    /// Whether the alias follows the target's health.
    pub evaluate_target_health: bool,
}

/// How large a batch of record changes is, as Route53 counts: an upsert counts twice (Route 53
/// Developer Guide, "Quotas": ChangeResourceRecordSets requests).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchSize {
    /// `ResourceRecord` elements; an alias counts as one.
    pub elements: usize,
    /// Characters in the values.
    pub characters: usize,
}

impl BatchSize {
    /// Most elements of one batch.
    pub const ELEMENTS_MAX: usize = 1_000;
    /// Most characters of one batch.
    pub const CHARACTERS_MAX: usize = 32_000;

    /// The size of a batch: record sets by name and type.
    pub fn of(
        delete: &BTreeMap<(String, String), RecordSet>,
        upsert: &BTreeMap<(String, String), RecordSet>,
    ) -> Self {
        let mut size = Self::default();
        for (times, sets) in [(1, delete), (2, upsert)] {
            for set in sets.values() {
                let characters = set.resource_records.iter().map(|value| value.to_string().len());
                size.elements += times * set.resource_records.len().max(1);
                size.characters += times * characters.sum::<usize>();
            }
        }
        size
    }

    /// Whether Route53 takes it in one call.
    pub fn fits(self) -> bool {
        self.elements <= Self::ELEMENTS_MAX && self.characters <= Self::CHARACTERS_MAX
    }
}
