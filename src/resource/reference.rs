//! References between resources: an id that is known, or a promise of one.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Key;

/// What of a resource AWS decides, and others refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attribute {
    /// The id (`sg-…`, `lt-…`, `vol-…`, `eni-…`, `Z…`).
    Id,
    /// The ARN.
    Arn,
    /// A load balancer's DNS name.
    DnsName,
    /// The Route53 zone that a load balancer's alias points into.
    CanonicalHostedZoneId,
    /// A network interface's address.
    PrivateIpAddress,
    /// A launch template's `<version>:<revision>` for the wanted content.
    Target,
    /// An authority's certificate, or its public key, in PEM.
    Certificate,
}

impl Attribute {
    const ALL: [Attribute; 7] = [
        Attribute::Id,
        Attribute::Arn,
        Attribute::DnsName,
        Attribute::CanonicalHostedZoneId,
        Attribute::PrivateIpAddress,
        Attribute::Target,
        Attribute::Certificate,
    ];

    /// The attribute as it stands in a reference.
    pub fn as_str(self) -> &'static str {
        match self {
            Attribute::Id => "id",
            Attribute::Arn => "arn",
            Attribute::DnsName => "dns_name",
            Attribute::CanonicalHostedZoneId => "canonical_hosted_zone_id",
            Attribute::PrivateIpAddress => "private_ip_address",
            Attribute::Target => "target",
            Attribute::Certificate => "certificate",
        }
    }
}

/// A value that AWS decides: known, or an attribute of a resource that may not exist yet.
///
/// In text it is the value itself, or `${kind/name:attribute}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ref {
    /// Known.
    Known(String),
    /// To be taken from a resource.
    Of(Key, Attribute),
}

impl Ref {
    /// The value, if known.
    pub fn known(&self) -> Option<&str> {
        match self {
            Ref::Known(value) => Some(value),
            Ref::Of(..) => None,
        }
    }

    /// Reads the text form; anything that is not a well-formed reference is a known value.
    pub fn parse(text: &str) -> Self {
        Self::parse_symbol(text).unwrap_or_else(|| Ref::Known(text.to_owned()))
    }

    fn parse_symbol(text: &str) -> Option<Self> {
        let inner = text.strip_prefix("${")?.strip_suffix('}')?;
        let (key, attribute) = inner.rsplit_once(':')?;
        let attribute = Attribute::ALL.into_iter().find(|a| a.as_str() == attribute)?;
        Some(Ref::Of(key.parse().ok()?, attribute))
    }
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ref::Known(value) => f.write_str(value),
            Ref::Of(key, attribute) => write!(f, "${{{key}:{}}}", attribute.as_str()),
        }
    }
}

impl Serialize for Ref {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ref {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::parse(&String::deserialize(deserializer)?))
    }
}

/// Gathers the keys that a serialised resource refers to.
pub(super) fn collect(value: &Value, keys: &mut BTreeSet<Key>) {
    match value {
        Value::String(text) => {
            if let Some(Ref::Of(key, _)) = Ref::parse_symbol(text) {
                keys.insert(key);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, keys)),
        Value::Object(map) => map.values().for_each(|item| collect(item, keys)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Replaces the references that `lookup` knows.
pub(super) fn replace(value: &mut Value, lookup: &dyn Fn(&Key, Attribute) -> Option<String>) {
    match value {
        Value::String(text) => {
            if let Some(Ref::Of(key, attribute)) = Ref::parse_symbol(text)
                && let Some(known) = lookup(&key, attribute)
            {
                *text = known;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, lookup)),
        Value::Object(map) => map.values_mut().for_each(|item| replace(item, lookup)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
