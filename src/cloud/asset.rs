//! Assets between the state bucket and the plan: how they are called, and what is seen of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Observed, Ownership, Query};
use crate::resource::{self, Attribute, Key, Kind, LaunchTemplate, Resource};

/// Where assets lie, below the place of the state.
const FOLDER: &str = "assets";
/// Hex digits of a SHA-256.
const DIGEST_CHARS: usize = 64;
/// Hex digits of an asset's name in addresses: enough to tell any two apart, and short enough to be read.
const NAME_CHARS: usize = 16;

/// An asset's name in an address: the beginning of its digest, and the cluster's.
pub fn name(sha256: &str, cluster: &str) -> String {
    format!("{}.{cluster}", sha256.get(..NAME_CHARS).unwrap_or(sha256))
}

/// The key of an asset's object.
pub fn key(cluster: &str, sha256: &str) -> String {
    format!("{}{sha256}", prefix(cluster))
}

/// What the keys of all assets of a cluster begin with.
pub(crate) fn prefix(cluster: &str) -> String {
    format!("{FOLDER}/{cluster}/")
}

/// An asset as a resource.
pub fn resource(cluster: &str, sha256: &str, size: u64) -> Resource {
    Resource::Asset(resource::Asset {
        cluster: cluster.to_owned(),
        key: key(cluster, sha256),
        sha256: sha256.to_owned(),
        size,
    })
}

/// Whether a query asks for a cluster's assets: one whose machines may fetch some.
pub(crate) fn is_asked(query: &Query) -> bool {
    query.keys.iter().any(|key| matches!(key.kind, Kind::Asset | Kind::Epoch))
}

/// What a listing of the bucket shows of an object, with its name; none for one that is no asset of the
/// cluster.
pub(crate) fn observed(cluster: &str, object: &str, size: u64) -> Option<(String, Observed)> {
    let sha256 = object.strip_prefix(&prefix(cluster)).filter(|rest| is_digest(rest))?;
    let observed = Observed {
        resource: resource(cluster, sha256, size),
        ownership: Ownership::Owned,
        attributes: BTreeMap::from([(Attribute::Id, object.to_owned())]),
        digest: None,
        group: None,
        template: None,
        foreign_rules: BTreeSet::new(),
        unread: BTreeSet::new(),
    };
    Some((name(sha256, cluster), observed))
}

/// The assets that machines of a launch template fetch: its user data has their keys.
pub fn named(template: &LaunchTemplate) -> BTreeSet<Key> {
    let text = &template.launch_template_data.user_data;
    let starts = text.match_indices(FOLDER).filter_map(|(at, _)| text.get(at..));
    let keys = starts.filter_map(|rest| {
        let mut parts = rest.strip_prefix(FOLDER)?.strip_prefix('/')?.splitn(2, '/');
        let (cluster, rest) = (parts.next()?, parts.next()?);
        let sha256 = rest.get(..DIGEST_CHARS).filter(|digest| is_digest(digest))?;
        Some(Key::new(Kind::Asset, name(sha256, cluster)))
    });
    keys.collect()
}

fn is_digest(text: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == DIGEST_CHARS && text.bytes().all(is_hex)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn what_is_wanted_is_seen_and_nothing_else_is() {
        let sha256 = "0a".repeat(32);
        let object = key("c.example.com", &sha256);
        let (seen, observed) = observed("c.example.com", &object, 7).unwrap();
        assert_eq!(seen, name(&sha256, "c.example.com"));
        assert_eq!(observed.resource, resource("c.example.com", &sha256, 7));
        assert!(super::observed("d.example.com", &object, 7).is_none());
        for other in ["readme", &sha256[1..], &sha256.to_uppercase(), &format!("{sha256}/x")] {
            let object = format!("{}{other}", prefix("c.example.com"));
            assert!(super::observed("c.example.com", &object, 7).is_none(), "{other}");
        }
    }
}
