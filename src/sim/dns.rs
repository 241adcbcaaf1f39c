//! Hosted zones and their records.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{Answer, Refused, World, check_tags, reply};
use crate::cloud::Reply;
use crate::resource::{Attribute, BatchSize, RecordSet, Tags};

/// A hosted zone. Its own NS and SOA records are not listed here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredZone {
    /// Its id, `Z…`.
    pub id: String,
    /// Its name, without the last dot.
    pub name: String,
    /// The VPC that sees it; none for a public zone.
    pub vpc_id: Option<String>,
    /// Its comment.
    pub comment: String,
    /// Its tags.
    pub tags: Tags,
    /// What the caller named the call that made it.
    pub caller_reference: String,
    /// Record sets by name, then by type.
    pub records: BTreeMap<String, BTreeMap<String, RecordSet>>,
}

impl StoredZone {
    /// A zone without records.
    pub fn new(
        id: String,
        name: String,
        vpc_id: Option<String>,
        comment: String,
        caller_reference: String,
    ) -> Self {
        Self {
            id,
            name,
            vpc_id,
            comment,
            tags: Tags::new(),
            caller_reference,
            records: BTreeMap::new(),
        }
    }
}

impl World {
    pub(super) fn create_hosted_zone(
        &mut self,
        name: &str,
        vpc_id: &str,
        comment: &str,
        caller_reference: &str,
    ) -> Answer {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        check_domain(&name)?;
        if !self.vpcs.contains_key(vpc_id) {
            return Err(Refused::invalid("InvalidVPCId", format!("VPC {vpc_id} is not found")));
        }
        if self.zones.values().any(|zone| zone.caller_reference == caller_reference) {
            return Err(Refused::exists(
                "HostedZoneAlreadyExists",
                "a hosted zone was made with this caller reference",
            ));
        }
        let is_same =
            |zone: &super::StoredZone| zone.name == name && zone.vpc_id.as_deref() == Some(vpc_id);
        if self.zones.values().any(is_same) {
            return Err(Refused::exists(
                "ConflictingDomainExists",
                format!("VPC {vpc_id} has a hosted zone of the name {name}"),
            ));
        }
        let id = self.new_zone_id();
        let (vpc_id, comment) = (Some(vpc_id.to_owned()), comment.to_owned());
        let zone = StoredZone::new(id.clone(), name, vpc_id, comment, caller_reference.to_owned());
        let visibility = self.visibility();
        self.zones.put(&id, zone, visibility);
        Ok(reply([(Attribute::Id, id)]))
    }

    pub(super) fn change_zone_tags(
        &mut self,
        id: &str,
        add: &Tags,
        remove: &BTreeSet<String>,
    ) -> Answer {
        let mut zone = self.zone(id)?;
        zone.tags.retain(|key, _| !remove.contains(key));
        zone.tags.extend(add.iter().map(|(key, value)| (key.clone(), value.clone())));
        check_tags(zone.tags.iter())?;
        let visibility = self.visibility();
        self.zones.put(id, zone, visibility);
        Ok(Reply::default())
    }

    pub(super) fn update_zone_comment(&mut self, id: &str, comment: &str) -> Answer {
        let mut zone = self.zone(id)?;
        zone.comment = comment.to_owned();
        let visibility = self.visibility();
        self.zones.put(id, zone, visibility);
        Ok(Reply::default())
    }

    pub(super) fn delete_hosted_zone(&mut self, id: &str) -> Answer {
        if !self.zone(id)?.records.is_empty() {
            return Err(Refused::in_use(
                "HostedZoneNotEmpty",
                "the hosted zone holds records besides its own NS and SOA",
            ));
        }
        let visibility = self.visibility();
        self.zones.remove(id, visibility);
        Ok(Reply::default())
    }

    /// Changes records, all or none.
    pub(super) fn change_records(
        &mut self,
        zone_id: &str,
        delete: &BTreeMap<(String, String), RecordSet>,
        upsert: &BTreeMap<(String, String), RecordSet>,
    ) -> Answer {
        let mut zone = self.zone(zone_id)?;
        if delete.is_empty() && upsert.is_empty() {
            return Err(Refused::invalid("InvalidInput", "the batch is empty"));
        }
        if !BatchSize::of(delete, upsert).fits() {
            return Err(Refused::invalid(
                "InvalidChangeBatch",
                "number of records limit of 1000 or of 32000 characters exceeded",
            ));
        }
        let mut problems = Vec::new();
        for ((name, kind), set) in delete {
            let name = normal_name(name);
            let sets = zone.records.get_mut(&name);
            match sets.as_ref().and_then(|sets| sets.get(kind)) {
                None => problems.push(format!(
                    "tried to delete resource record set [name='{name}', type='{kind}'] but it \
                     was not found"
                )),
                Some(known) if known != set => problems.push(format!(
                    "tried to delete resource record set [name='{name}', type='{kind}'] but the \
                     values provided do not match the current values"
                )),
                Some(_) => {
                    sets.and_then(|sets| sets.remove(kind));
                }
            }
        }
        for ((name, kind), set) in upsert {
            let name = normal_name(name);
            problems.extend(self.record_problem(&zone, &name, kind, set));
            zone.records.entry(name).or_default().insert(kind.clone(), set.clone());
        }
        zone.records.retain(|_, sets| !sets.is_empty());
        problems.extend(alias_to_itself(&zone));
        if !problems.is_empty() {
            return Err(Refused::invalid("InvalidChangeBatch", problems.join("; ")));
        }
        let visibility = self.visibility();
        self.zones.put(zone_id, zone, visibility);
        Ok(Reply::default())
    }

    fn zone(&self, id: &str) -> Result<StoredZone, Refused> {
        self.zones.usable(id, self.now).cloned().ok_or_else(|| {
            Refused::not_found("NoSuchHostedZone", format!("no hosted zone found with ID: {id}"))
        })
    }

    /// What Route53 has against a record, if anything.
    fn record_problem(
        &self,
        zone: &StoredZone,
        name: &str,
        kind: &str,
        set: &RecordSet,
    ) -> Option<String> {
        let is_inside = name == zone.name || name.ends_with(&format!(".{}", zone.name));
        if !is_inside {
            return Some(format!(
                "RRSet with DNS name {name} is not permitted in zone {}",
                zone.name
            ));
        }
        let others = zone.records.get(name);
        let has = |other: &str| others.is_some_and(|sets| sets.contains_key(other));
        let others_count = others.map_or(0, |sets| sets.keys().filter(|k| *k != kind).count());
        if (kind == "CNAME" && others_count > 0) || (kind != "CNAME" && has("CNAME")) {
            return Some(format!("RRSet of type {kind} conflicts with other records of {name}"));
        }
        if kind == "CNAME" && name == zone.name {
            return Some(format!("RRSet of type CNAME is not permitted at apex in zone {name}"));
        }
        match &set.alias_target {
            Some(_) if set.ttl.is_some() || !set.resource_records.is_empty() => {
                Some(format!("an alias has neither TTL nor values: {name} {kind}"))
            }
            Some(alias) => {
                let target = alias.dns_name.known().unwrap_or_default().to_ascii_lowercase();
                let zone_id = alias.hosted_zone_id.known().unwrap_or_default();
                let suffix = format!(".elb.{}.amazonaws.com", self.region);
                let is_balancer = target.trim_end_matches('.').ends_with(&suffix)
                    && zone_id == self.balancer_zone_id();
                let is_own = zone_id == zone.id;
                (!is_balancer && !is_own).then(|| {
                    format!(
                        "tried to create an alias that targets {target} in zone {zone_id}, but \
                         the alias target name does not lie within the target zone"
                    )
                })
            }
            None => plain_record_problem(name, kind, set),
        }
    }
}

fn plain_record_problem(name: &str, kind: &str, set: &RecordSet) -> Option<String> {
    if set.ttl.is_none_or(|ttl| !(0..=2_147_483_647).contains(&ttl)) {
        return Some(format!("{name} {kind} has no valid TTL"));
    }
    if set.resource_records.is_empty() {
        return Some(format!("{name} {kind} has no value"));
    }
    set.resource_records.iter().find_map(|value| {
        let value = value.known().unwrap_or_default();
        let is_valid = match kind {
            "A" => value.parse::<Ipv4Addr>().is_ok(),
            "AAAA" => value.parse::<Ipv6Addr>().is_ok(),
            "CNAME" => !value.is_empty(),
            "SRV" => is_srv(value),
            // Route53 takes text in quotation marks only.
            "TXT" => value.len() >= 2 && value.starts_with('"') && value.ends_with('"'),
            _ => return Some(format!("{kind} records are not simulated")),
        };
        (!is_valid).then(|| format!("invalid resource record: {name} {kind} '{value}'"))
    })
}

/// `priority weight port host`.
fn is_srv(value: &str) -> bool {
    let fields: Vec<&str> = value.split(' ').collect();
    match fields.as_slice() {
        [priority, weight, port, host] => {
            [priority, weight, port].iter().all(|number| number.parse::<u16>().is_ok())
                && !host.is_empty()
        }
        _ => false,
    }
}

fn alias_to_itself(zone: &StoredZone) -> Option<String> {
    zone.records.iter().find_map(|(name, sets)| {
        sets.iter().find_map(|(kind, set)| {
            let alias = set.alias_target.as_ref()?;
            let target = normal_name(alias.dns_name.known()?);
            let is_own = alias.hosted_zone_id.known() == Some(zone.id.as_str());
            (is_own && !zone.records.get(&target).is_some_and(|sets| sets.contains_key(kind)))
                .then(|| format!("alias {name} {kind} targets {target}, which does not exist"))
        })
    })
}

fn check_domain(name: &str) -> Result<(), Refused> {
    let is_label =
        |label: &str| !label.is_empty() && label.len() <= 63 && super::is_made_of(label, "-_");
    if name.len() <= 255 && name.split('.').all(is_label) {
        return Ok(());
    }
    Err(Refused::invalid("InvalidDomainName", format!("{name} is not a valid domain name")))
}

/// A record's name as it is kept: lower case, without the last dot.
pub(super) fn normal_name(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}
