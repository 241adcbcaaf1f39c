//! IAM: roles with their policies, and instance profiles.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::types::{EntityType, InstanceProfile, RoleDetail};
use serde_json::Value;

use super::AwsCloud;
use super::observe::Found;
use super::tags::TagSet;
use crate::cloud::{CloudError, CloudErrorKind, Ownership, Query};
use crate::resource::{self, Attribute, Kind, Resource};

/// The biggest page.
const PAGE: i32 = 1000;

/// What IAM knows of a cluster, and of the account.
pub(super) struct Identity {
    /// The account, from the ARN of any role: they are all the caller's own.
    pub account: Option<String>,
    /// Roles and profiles.
    pub found: Vec<Found>,
}

/// Reads all roles of the account with their policies and profiles in one call a thousand; asked
/// for one by one, each role would cost four.
pub(super) async fn read(cloud: &AwsCloud, query: &Query) -> Result<Identity, CloudError> {
    let call = cloud.iam.get_account_authorization_details().filter(EntityType::Role);
    let page = |marker| call.clone().max_items(PAGE).set_marker(marker).send();
    let pages = cloud.pages("GetAccountAuthorizationDetails", page, |page| page.marker()).await?;

    let mut found = Vec::new();
    let mut account = None;
    for role in pages.iter().flat_map(|page| page.role_detail_list()) {
        account = account.or_else(|| role.arn().and_then(account_of));
        let item = convert_role(role, &query.cluster);
        for profile in role.instance_profile_list() {
            found.push(convert_profile(profile, Some(&item.observed.ownership), query));
        }
        found.push(item);
    }
    found.extend(empty_profiles(cloud, query, &found).await?);
    Ok(Identity { account, found })
}

/// The account in `arn:partition:iam::account:role/…`.
fn account_of(arn: &str) -> Option<String> {
    arn.split(':').nth(4).filter(|account| !account.is_empty()).map(str::to_owned)
}

/// Wanted profiles that no role leads to: a run that stopped between making a profile and filling
/// it leaves one behind. None for an unchanged cluster.
async fn empty_profiles(
    cloud: &AwsCloud,
    query: &Query,
    found: &[Found],
) -> Result<Vec<Found>, CloudError> {
    let known: BTreeSet<_> = found.iter().map(|found| &found.key).collect();
    let wanted = query.keys.iter().filter(|key| key.kind == Kind::InstanceProfile);
    let mut profiles = Vec::new();
    for key in wanted.filter(|key| !known.contains(key)) {
        let call = cloud.iam.get_instance_profile().instance_profile_name(&key.name);
        match cloud.read("GetInstanceProfile", || call.clone().send()).await {
            Ok(answer) => {
                let profile = answer.instance_profile();
                profiles.extend(profile.map(|profile| convert_profile(profile, None, query)));
            }
            Err(error) if error.kind == CloudErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(profiles)
}

fn convert_role(role: &RoleDetail, cluster: &str) -> Found {
    let notes = TagSet::new(role.tags().iter().map(|tag| (Some(tag.key()), Some(tag.value()))));
    let ownership = Ownership::of(&notes.tags, cluster);
    let name = role.role_name().unwrap_or_default();
    let inline_policies: BTreeMap<String, Value> = role
        .role_policy_list()
        .iter()
        .map(|policy| {
            let name = policy.policy_name().unwrap_or_default().to_owned();
            (name, document(policy.policy_document().unwrap_or_default()))
        })
        .collect();
    let attached = role.attached_managed_policies().iter().filter_map(|p| p.policy_arn());
    let boundary = role.permissions_boundary().and_then(|b| b.permissions_boundary_arn());
    let resource = Resource::Role(resource::Role {
        role_name: name.to_owned(),
        assume_role_policy_document: document(
            role.assume_role_policy_document().unwrap_or_default(),
        ),
        permissions_boundary: boundary.map(str::to_owned),
        inline_policies,
        attached_policy_arns: attached.map(str::to_owned).collect(),
        tags: notes.tags,
    });
    Found::new(name, resource, ownership).attribute(Attribute::Arn, role.arn()).digest(notes.digest)
}

/// A profile. Lists leave its tags out, so it belongs to whom its role belongs to.
fn convert_profile(profile: &InstanceProfile, role: Option<&Ownership>, query: &Query) -> Found {
    let tags = profile.tags().iter().map(|tag| (Some(tag.key()), Some(tag.value())));
    let notes = TagSet::new(tags);
    let by_tag = Ownership::of(&notes.tags, &query.cluster);
    let ownership = match role {
        Some(role) if notes.tags.is_empty() => role.clone(),
        _ => by_tag,
    };
    let unread: &[&str] = if role.is_some() && notes.tags.is_empty() { &["tags"] } else { &[] };
    let name = profile.instance_profile_name();
    let resource = Resource::InstanceProfile(resource::InstanceProfile {
        instance_profile_name: name.to_owned(),
        roles: profile.roles().iter().map(|role| role.role_name().to_owned()).collect(),
        tags: notes.tags,
    });
    Found::new(name, resource, ownership)
        .attribute(Attribute::Arn, Some(profile.arn()))
        .digest(notes.digest)
        .unread(unread)
}

/// A policy document. IAM answers in JSON with URL escapes (IAM API reference, "RoleDetail"); what
/// is no JSON stays text, and so differs from anything wanted.
fn document(text: &str) -> Value {
    let decoded = if text.trim_start().starts_with('{') { text.to_owned() } else { unescape(text) };
    serde_json::from_str(&decoded).unwrap_or(Value::String(decoded))
}

/// Undoes URL escapes (RFC 3986); what is no escape stays.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = (*first == b'%').then(|| tail.get(..2)).flatten();
        let code = code.filter(|code| code.iter().all(u8::is_ascii_hexdigit));
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_escaped_and_plain() {
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": []});
        let escaped = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D";
        assert_eq!(document(escaped), policy);
        assert_eq!(document(&policy.to_string()), policy);
        assert_eq!(unescape("50% of %zz %+1 %4"), "50% of %zz %+1 %4");
    }
}
