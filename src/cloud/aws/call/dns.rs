//! Route53: the cluster's private zone, and names in it and in the public one. Each function makes
//! one call, once.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_route53::error::BuildError;
use aws_sdk_route53::types::{
    self, Change, ChangeAction, ChangeBatch, HostedZoneConfig, ResourceRecord, ResourceRecordSet,
    Tag, TagResourceType, Vpc,
};

use super::{Answer, done, told};
use crate::cloud::aws::AwsCloud;
use crate::cloud::aws::error::unbuilt;
use crate::cloud::{CloudError, CloudErrorKind};
use crate::resource::{Attribute, RecordSet, Tags};

/// Makes a private zone that the VPC sees.
pub(super) async fn create_hosted_zone(
    cloud: &AwsCloud,
    name: &str,
    vpc_id: &str,
    comment: &str,
    caller_reference: &str,
) -> Answer {
    let vpc = Vpc::builder().vpc_id(vpc_id).vpc_region(cloud.region.as_str().into()).build();
    let config = HostedZoneConfig::builder().comment(comment).private_zone(true).build();
    let call = cloud
        .route53
        .create_hosted_zone()
        .name(name)
        .vpc(vpc)
        .hosted_zone_config(config)
        .caller_reference(caller_reference);
    let answer = call.send().await.map_err(|error| cloud.failed("CreateHostedZone", error))?;
    let id = answer.hosted_zone().map(|zone| bare_id(zone.id()));
    Ok(told([(Attribute::Id, id)]))
}

/// Sets and removes tags of a zone.
pub(super) async fn change_tags_for_resource(
    cloud: &AwsCloud,
    id: &str,
    add: &Tags,
    remove: &BTreeSet<String>,
) -> Answer {
    let add = add.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    let add: Vec<Tag> = add.collect();
    let remove: Vec<String> = remove.iter().cloned().collect();
    let call = cloud
        .route53
        .change_tags_for_resource()
        .resource_type(TagResourceType::Hostedzone)
        .resource_id(id)
        .set_add_tags(Some(add).filter(|tags| !tags.is_empty()))
        .set_remove_tag_keys(Some(remove).filter(|keys| !keys.is_empty()));
    done(call.send().await.map_err(|error| cloud.failed("ChangeTagsForResource", error)))
}

/// Changes a zone's comment.
pub(super) async fn update_hosted_zone_comment(
    cloud: &AwsCloud,
    id: &str,
    comment: &str,
) -> Answer {
    let call = cloud.route53.update_hosted_zone_comment().id(id).comment(comment);
    done(call.send().await.map_err(|error| cloud.failed("UpdateHostedZoneComment", error)))
}

/// Removes a zone that holds nothing but its own NS and SOA records.
pub(super) async fn delete_hosted_zone(cloud: &AwsCloud, id: &str) -> Answer {
    let answer = cloud.route53.delete_hosted_zone().id(id).send().await;
    done(answer.map_err(|error| cloud.failed("DeleteHostedZone", error)))
}

/// Changes records of a zone in one batch: all of it takes effect, or nothing (Route 53 API,
/// ChangeResourceRecordSets).
pub(super) async fn change_resource_record_sets(
    cloud: &AwsCloud,
    zone_id: &str,
    delete: &BTreeMap<(String, String), RecordSet>,
    upsert: &BTreeMap<(String, String), RecordSet>,
) -> Answer {
    let operation = "ChangeResourceRecordSets";
    check_routing(operation, delete)?;
    let batch = batch(delete, upsert).map_err(|error| unbuilt(operation, &error))?;
    let call = cloud.route53.change_resource_record_sets().hosted_zone_id(zone_id);
    let answer = call.change_batch(batch).send().await;
    done(answer.map_err(|error| cloud.failed(operation, error)))
}

/// A zone's id as other calls take it, and as the read side gives it.
fn bare_id(id: &str) -> &str {
    id.strip_prefix("/hostedzone/").unwrap_or(id)
}

/// Refuses record sets that share their name and type with others: only their makers know what the
/// rest of the policy says.
fn check_routing(
    operation: &'static str,
    sets: &BTreeMap<(String, String), RecordSet>,
) -> Result<(), CloudError> {
    let found = sets.keys().find_map(|(name, kind)| Some((name, kind.split_once(' ')?)));
    let Some((name, (record_type, identifier))) = found else { return Ok(()) };
    let message = format!(
        "{name} has the {record_type} record `{identifier}` with a routing policy, which kprod did \
         not make and does not change; remove it, and run again"
    );
    Err(CloudError::new(CloudErrorKind::Invalid, operation, "RoutingPolicy", message))
}

/// Deletes first, so that a type may go that another one of the same name conflicts with.
fn batch(
    delete: &BTreeMap<(String, String), RecordSet>,
    upsert: &BTreeMap<(String, String), RecordSet>,
) -> Result<ChangeBatch, BuildError> {
    let mut batch = ChangeBatch::builder();
    for (action, sets) in [(ChangeAction::Delete, delete), (ChangeAction::Upsert, upsert)] {
        for ((name, record_type), set) in sets {
            let set = record_set(name, record_type, set)?;
            batch = batch.changes(
                Change::builder().action(action.clone()).resource_record_set(set).build()?,
            );
        }
    }
    batch.build()
}

/// Values go as they are: text stands in its quotation marks already, and Route53 reads an asterisk
/// where it answers with an octal escape ("DNS domain name format").
fn record_set(
    name: &str,
    record_type: &str,
    set: &RecordSet,
) -> Result<ResourceRecordSet, BuildError> {
    let alias = set.alias_target.as_ref().map(|alias| {
        types::AliasTarget::builder()
            .dns_name(alias.dns_name.to_string())
            .hosted_zone_id(alias.hosted_zone_id.to_string())
            .evaluate_target_health(alias.evaluate_target_health)
            .build()
    });
    let values = set.resource_records.iter();
    let values = values.map(|value| ResourceRecord::builder().value(value.to_string()).build());
    let values = values.collect::<Result<Vec<_>, _>>()?;
    ResourceRecordSet::builder()
        .name(name)
        .r#type(record_type.into())
        .set_ttl(set.ttl)
        .set_resource_records(Some(values).filter(|values| !values.is_empty()))
        .set_alias_target(alias.transpose()?)
        .build()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::resource::{AliasTarget, DnsName, Ref};

    fn key(name: &str, record_type: &str) -> (String, String) {
        (name.to_owned(), record_type.to_owned())
    }

    fn addresses(values: &[&str]) -> RecordSet {
        let values = values.iter().map(|value| Ref::Known((*value).to_owned()));
        RecordSet { ttl: Some(60), resource_records: values.collect(), alias_target: None }
    }

    #[test]
    fn a_batch_deletes_then_upserts_with_text_as_it_stands() {
        let delete = BTreeMap::from([(key("a.example.com", "CNAME"), addresses(&["b"]))]);
        let upsert = BTreeMap::from([
            (key("a.example.com", "A"), addresses(&["10.0.0.1", "10.0.0.2"])),
            (key("kprod-owner.a.example.com", "TXT"), DnsName::owner_record_set("c")),
        ]);
        let batch = batch(&delete, &upsert).unwrap();
        let seen: Vec<(&str, &str, &str, Vec<&str>)> = batch
            .changes()
            .iter()
            .map(|change| {
                let set = change.resource_record_set().unwrap();
                let values = set.resource_records().iter().map(|record| record.value());
                (change.action().as_str(), set.r#type().as_str(), set.name(), values.collect())
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("DELETE", "CNAME", "a.example.com", vec!["b"]),
                ("UPSERT", "A", "a.example.com", vec!["10.0.0.1", "10.0.0.2"]),
                ("UPSERT", "TXT", "kprod-owner.a.example.com", vec!["\"kprod.dev/cluster=c\""]),
            ]
        );
    }

    #[test]
    fn an_alias_has_neither_ttl_nor_values() {
        let alias = AliasTarget {
            dns_name: Ref::Known("x.elb.eu-west-3.amazonaws.com".to_owned()),
            hosted_zone_id: Ref::Known("Z1".to_owned()),
            evaluate_target_health: false,
        };
        let set =
            RecordSet { ttl: None, resource_records: BTreeSet::new(), alias_target: Some(alias) };
        let built = record_set("api.example.com", "A", &set).unwrap();
        assert_eq!((built.ttl(), built.resource_records().len()), (None, 0));
        assert_eq!(built.alias_target().unwrap().hosted_zone_id(), "Z1");
    }

    #[test]
    fn a_set_with_a_routing_policy_is_left_to_its_maker() {
        let delete = BTreeMap::from([(key("a.example.com", "A blue"), addresses(&["10.0.0.1"]))]);
        let error = check_routing("ChangeResourceRecordSets", &delete).unwrap_err();
        assert!(error.message.contains("A record `blue`"), "{error}");
    }
}
