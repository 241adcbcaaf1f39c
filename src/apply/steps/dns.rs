//! Hosted zones and DNS names.

use std::collections::{BTreeMap, BTreeSet};

use super::{Step, StepContext, StepError, TagEdit, immutable, told};
use crate::cloud::{Call, Observed};
use crate::resource::{Attribute, DnsName, HostedZone, RecordSet, Ref};

/// Route53 tags a zone only once it exists; until then the caller reference says whose it is.
pub(super) fn create_zone(zone: &HostedZone, context: &StepContext<'_>) -> Vec<Step> {
    let caller_reference =
        HostedZone::caller_reference(context.cluster, &context.token(&context.digest));
    let add = context.with_digest(&zone.tags);
    vec![
        Step::ready(Call::CreateHostedZone {
            name: zone.name.clone(),
            vpc_id: zone.vpc_id.clone(),
            comment: zone.comment.clone(),
            caller_reference,
        }),
        Step::with_own(move |own| {
            Ok(Call::ChangeTagsForResource {
                hosted_zone_id: own.get(Attribute::Id)?,
                add: add.clone(),
                remove: BTreeSet::new(),
            })
        }),
    ]
}

pub(super) fn update_zone(
    now: &HostedZone,
    wanted: &HostedZone,
    observed: &Observed,
    context: &StepContext<'_>,
) -> Result<Vec<Step>, StepError> {
    immutable("name", &now.name, &wanted.name)?;
    immutable("vpc_id", &now.vpc_id, &wanted.vpc_id)?;
    let hosted_zone_id = told(observed, Attribute::Id)?;
    let mut steps = Vec::new();
    if now.comment != wanted.comment {
        steps.push(Step::ready(Call::UpdateHostedZoneComment {
            hosted_zone_id: hosted_zone_id.clone(),
            comment: wanted.comment.clone(),
        }));
    }
    let edit = TagEdit::between(&now.tags, &wanted.tags, observed, context);
    if edit != TagEdit::default() {
        let TagEdit { set: add, remove } = edit;
        steps.push(Step::ready(Call::ChangeTagsForResource { hosted_zone_id, add, remove }));
    }
    Ok(steps)
}

pub(super) fn delete_zone(observed: &Observed) -> Result<Vec<Step>, StepError> {
    let hosted_zone_id = told(observed, Attribute::Id)?;
    Ok(vec![Step::ready(Call::DeleteHostedZone { hosted_zone_id })])
}

/// One batch for the name and its owner: neither is ever there without the other. A type that goes
/// and one that comes are in it too, so that the name always answers.
pub(super) fn update_name(
    wanted: &DnsName,
    now: Option<&DnsName>,
    context: &StepContext<'_>,
) -> Result<Vec<Step>, StepError> {
    if let Some(now) = now {
        immutable("hosted_zone_id", &now.hosted_zone_id, &wanted.hosted_zone_id)?;
    }
    let now_sets = now.map(|now| now.record_sets.clone()).unwrap_or_default();
    let mut upsert: BTreeMap<(String, String), RecordSet> = wanted
        .record_sets
        .iter()
        .filter(|(record_type, set)| now_sets.get(*record_type) != Some(set))
        .map(|(record_type, set)| ((wanted.name.clone(), record_type.clone()), set.clone()))
        .collect();
    let delete: BTreeMap<(String, String), RecordSet> = now_sets
        .iter()
        .filter(|(record_type, _)| !wanted.record_sets.contains_key(*record_type))
        .map(|(record_type, set)| ((wanted.name.clone(), record_type.clone()), set.clone()))
        .collect();
    if now.is_none_or(|now| now.owner != wanted.owner) {
        upsert.insert(owner_key(&wanted.name), DnsName::owner_record_set(context.cluster));
    }
    if upsert.is_empty() && delete.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![batch(&wanted.hosted_zone_id, delete, upsert)?])
}

pub(super) fn delete_name(now: &DnsName) -> Result<Vec<Step>, StepError> {
    let mut delete: BTreeMap<(String, String), RecordSet> = now
        .record_sets
        .iter()
        .map(|(record_type, set)| ((now.name.clone(), record_type.clone()), set.clone()))
        .collect();
    delete.insert(owner_key(&now.name), DnsName::owner_record_set(&now.owner));
    Ok(vec![batch(&now.hosted_zone_id, delete, BTreeMap::new())?])
}

fn owner_key(name: &str) -> (String, String) {
    (DnsName::owner_record(name), "TXT".to_owned())
}

fn batch(
    zone: &Ref,
    delete: BTreeMap<(String, String), RecordSet>,
    upsert: BTreeMap<(String, String), RecordSet>,
) -> Result<Step, StepError> {
    let hosted_zone_id =
        zone.known().ok_or_else(|| StepError::Unresolved(zone.to_string()))?.to_owned();
    Ok(Step::ready(Call::ChangeResourceRecordSets { hosted_zone_id, delete, upsert }))
}
