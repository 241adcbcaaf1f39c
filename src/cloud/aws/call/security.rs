//! Calls of EC2: security groups with their rules, and tags of whatever EC2 keeps.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{
    IpPermission, IpRange, Ipv6Range, PrefixListId, ResourceType, Tag, TagSpecification,
    UserIdGroupPair,
};

use super::{Answer, done, told};
use crate::cloud::Reply;
use crate::cloud::aws::AwsCloud;
use crate::resource::{Attribute, Ref, Rule, Tags};

pub(super) async fn create_security_group(
    cloud: &AwsCloud,
    group_name: &str,
    description: &str,
    vpc_id: &str,
    tags: &Tags,
) -> Answer {
    let call = cloud.ec2.create_security_group().group_name(group_name).description(description);
    let call =
        call.vpc_id(vpc_id).set_tag_specifications(tagged(ResourceType::SecurityGroup, tags));
    let answer = call.send().await.map_err(|e| cloud.failed("CreateSecurityGroup", e))?;
    Ok(told([(Attribute::Id, answer.group_id())]))
}

pub(super) async fn authorize_security_group_ingress(
    cloud: &AwsCloud,
    group_id: &str,
    rules: &BTreeSet<Rule>,
    description: &str,
) -> Answer {
    let call = cloud.ec2.authorize_security_group_ingress().group_id(group_id);
    let call = call.set_ip_permissions(Some(permissions(rules, Some(description))));
    done(call.send().await.map_err(|e| cloud.failed("AuthorizeSecurityGroupIngress", e)))
}

pub(super) async fn authorize_security_group_egress(
    cloud: &AwsCloud,
    group_id: &str,
    rules: &BTreeSet<Rule>,
    description: &str,
) -> Answer {
    let call = cloud.ec2.authorize_security_group_egress().group_id(group_id);
    let call = call.set_ip_permissions(Some(permissions(rules, Some(description))));
    done(call.send().await.map_err(|e| cloud.failed("AuthorizeSecurityGroupEgress", e)))
}

pub(super) async fn revoke_security_group_ingress(
    cloud: &AwsCloud,
    group_id: &str,
    rules: &BTreeSet<Rule>,
) -> Answer {
    let call = cloud.ec2.revoke_security_group_ingress().group_id(group_id);
    let call = call.set_ip_permissions(Some(permissions(rules, None)));
    done(call.send().await.map_err(|e| cloud.failed("RevokeSecurityGroupIngress", e)))
}

pub(super) async fn revoke_security_group_egress(
    cloud: &AwsCloud,
    group_id: &str,
    rules: &BTreeSet<Rule>,
) -> Answer {
    let call = cloud.ec2.revoke_security_group_egress().group_id(group_id);
    let call = call.set_ip_permissions(Some(permissions(rules, None)));
    done(call.send().await.map_err(|e| cloud.failed("RevokeSecurityGroupEgress", e)))
}

pub(super) async fn delete_security_group(cloud: &AwsCloud, group_id: &str) -> Answer {
    let call = cloud.ec2.delete_security_group().group_id(group_id);
    done(call.send().await.map_err(|e| cloud.failed("DeleteSecurityGroup", e)))
}

pub(super) async fn create_tags(cloud: &AwsCloud, ids: &BTreeSet<String>, tags: &Tags) -> Answer {
    let ids = ids.iter().cloned().collect();
    let call = cloud.ec2.create_tags().set_resources(Some(ids)).set_tags(Some(ec2_tags(tags)));
    done(call.send().await.map_err(|e| cloud.failed("CreateTags", e)))
}

/// Removes tags by key alone: a tag without a value goes whatever its value is. No keys at all would
/// mean every tag (EC2 API, DeleteTags).
pub(super) async fn delete_tags(
    cloud: &AwsCloud,
    ids: &BTreeSet<String>,
    keys: &BTreeSet<String>,
) -> Answer {
    if keys.is_empty() {
        return Ok(Reply::default());
    }
    let keys = keys.iter().map(|key| Tag::builder().key(key).build()).collect();
    let ids = ids.iter().cloned().collect();
    let call = cloud.ec2.delete_tags().set_resources(Some(ids)).set_tags(Some(keys));
    done(call.send().await.map_err(|e| cloud.failed("DeleteTags", e)))
}

/// Tags as EC2 takes them.
pub(super) fn ec2_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Tags of what a call makes; AWS refuses an empty specification.
pub(super) fn tagged(kind: ResourceType, tags: &Tags) -> Option<Vec<TagSpecification>> {
    let tags = (!tags.is_empty()).then(|| ec2_tags(tags))?;
    Some(vec![TagSpecification::builder().resource_type(kind).set_tags(Some(tags)).build()])
}

fn permissions(rules: &BTreeSet<Rule>, description: Option<&str>) -> Vec<IpPermission> {
    rules.iter().map(|rule| permission(rule, description)).collect()
}

/// A rule as one permission with one peer. Protocols without ports take none; a rule is revoked
/// without its description (EC2 API, RevokeSecurityGroupIngress).
fn permission(rule: &Rule, description: Option<&str>) -> IpPermission {
    let has_ports = matches!(rule.ip_protocol.as_str(), "tcp" | "udp" | "icmp" | "icmpv6");
    let description = description.map(str::to_owned);
    let mut permission = IpPermission::builder()
        .ip_protocol(&rule.ip_protocol)
        .set_from_port(has_ports.then_some(rule.from_port))
        .set_to_port(has_ports.then_some(rule.to_port));
    if let Some(cidr) = &rule.cidr_ipv4 {
        let range = IpRange::builder().cidr_ip(cidr).set_description(description.clone());
        permission = permission.ip_ranges(range.build());
    }
    if let Some(cidr) = &rule.cidr_ipv6 {
        let range = Ipv6Range::builder().cidr_ipv6(cidr).set_description(description.clone());
        permission = permission.ipv6_ranges(range.build());
    }
    if let Some(id) = &rule.prefix_list_id {
        let list = PrefixListId::builder().prefix_list_id(id).set_description(description.clone());
        permission = permission.prefix_list_ids(list.build());
    }
    if let Some(group) = &rule.referenced_group_id {
        let pair = UserIdGroupPair::builder().set_group_id(group.known().map(str::to_owned));
        permission = permission.user_id_group_pairs(pair.set_description(description).build());
    }
    permission.build()
}

/// Known references as AWS takes them; an empty list is left out.
pub(super) fn known<'a>(references: impl IntoIterator<Item = &'a Ref>) -> Option<Vec<String>> {
    let known = references.into_iter().filter_map(Ref::known).map(str::to_owned);
    Some(known.collect::<Vec<String>>()).filter(|known| !known.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cloud::aws::ec2::peers;

    fn rule() -> impl Strategy<Value = Rule> {
        let protocol = prop_oneof!["tcp", "udp", "icmp", "icmpv6", "-1", "4", "50"];
        (protocol, 0..4u8, any::<bool>(), 0..1_000i32).prop_map(|(protocol, peer, egress, port)| {
            let has_ports = protocol.parse::<i32>().is_err();
            let text = |chosen: bool, text: &str| chosen.then(|| text.to_owned());
            Rule {
                is_egress: egress,
                ip_protocol: protocol,
                from_port: if has_ports { port } else { -1 },
                to_port: if has_ports { port + 1 } else { -1 },
                cidr_ipv4: text(peer == 0, "10.0.0.0/8"),
                cidr_ipv6: text(peer == 1, "fd00::/8"),
                prefix_list_id: text(peer == 2, "pl-1"),
                referenced_group_id: text(peer == 3, "sg-1").map(Ref::Known),
            }
        })
    }

    proptest! {
        #[test]
        fn a_rule_is_read_back_as_it_was_written(rule in rule(), mark in "[a-z=.]{0,20}") {
            let written = permission(&rule, Some(&mark));
            prop_assert_eq!(peers(rule.is_egress, &written), vec![(rule.clone(), Some(mark))]);
            prop_assert_eq!(peers(rule.is_egress, &permission(&rule, None)), vec![(rule, None)]);
        }
    }
}
