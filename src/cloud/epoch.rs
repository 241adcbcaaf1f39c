//! Epochs between etcd's words and a resource's: how they are called, what is seen of them, and what
//! tells that an etcd cluster was there although its epoch is not.

use std::collections::{BTreeMap, BTreeSet};

use super::{CloudError, CloudErrorKind, Foreignness, Observed, Ownership, Query};
use crate::etcd::epoch::{Epoch, EpochError, Place, epoch_key, snapshots_key};
use crate::etcd::report::report_key;
use crate::pki::leaves_key;
use crate::resource::{self, Attribute, EpochMember, Key, Kind, Resource};

/// An epoch's name in an address: its etcd cluster's and the cluster's.
pub fn name(etcd: &str, cluster: &str) -> String {
    format!("{etcd}.{cluster}")
}

/// The etcd cluster of an address in a cluster's plan.
pub fn of_key<'k>(key: &'k Key, cluster: &str) -> Option<&'k str> {
    let etcd = key.name.strip_suffix(cluster)?.strip_suffix('.')?;
    (key.kind == Kind::Epoch).then_some(etcd)
}

/// The etcd clusters whose epochs a query asks for.
pub(crate) fn wanted(query: &Query) -> BTreeSet<&str> {
    query.keys.iter().filter_map(|key| of_key(key, &query.cluster)).collect()
}

/// An epoch as a resource.
pub fn resource(cluster: &str, etcd: &str, members: BTreeMap<String, EpochMember>) -> Resource {
    Resource::Epoch(resource::Epoch {
        cluster: cluster.to_owned(),
        etcd: etcd.to_owned(),
        key: epoch_key(cluster, etcd),
        members,
    })
}

/// The first epoch of these members, open for them to form.
pub fn first(
    cluster: &str,
    etcd: &str,
    members: &BTreeMap<String, EpochMember>,
    nonce: u64,
) -> Epoch {
    let place = |member: &EpochMember| Place {
        peer_url: member.peer_url.clone(),
        client_url: member.client_url.clone(),
    };
    let members = members.iter().map(|(name, member)| (name.clone(), place(member))).collect();
    Epoch::first(cluster, etcd, members, nonce)
}

/// What an epoch's object shows.
///
/// # Errors
/// When it is none that this kprod reads: it is never taken for "no epoch".
pub(crate) fn observed(cluster: &str, etcd: &str, body: &[u8]) -> Result<Observed, CloudError> {
    let epoch =
        Epoch::parse(&epoch_key(cluster, etcd), body).map_err(|error| unreadable(&error))?;
    let member = |place: &Place| EpochMember {
        peer_url: place.peer_url.clone(),
        client_url: place.client_url.clone(),
    };
    let members = epoch.members.iter().map(|(name, place)| (name.clone(), member(place)));
    let is_ours = epoch.token.starts_with(&format!("{etcd}.{cluster}."));
    Ok(Observed {
        resource: resource(cluster, etcd, members.collect()),
        ownership: match is_ours {
            true => Ownership::Owned,
            false => Ownership::Foreign(Foreignness::Untagged),
        },
        attributes: BTreeMap::from([(Attribute::Id, epoch.token)]),
        digest: None,
        group: None,
        template: None,
        foreign_rules: BTreeSet::new(),
        unread: BTreeSet::new(),
    })
}

/// Whether an object of an etcd cluster tells that its members have run: a report of one, or a list of
/// their snapshots.
pub(crate) fn is_remains(cluster: &str, etcd: &str, key: &str) -> bool {
    key == snapshots_key(cluster, etcd) || key.starts_with(&report_key(cluster, etcd, ""))
}

/// What the keys of all objects of an etcd cluster begin with.
pub(crate) fn prefix(cluster: &str, etcd: &str) -> String {
    format!("etcd/{cluster}/{etcd}/")
}

/// The objects that go with an epoch, itself last: what its members have said of themselves. Snapshots
/// stay; they are what another cluster could be made from.
pub fn objects(epoch: &resource::Epoch) -> Vec<String> {
    let resource::Epoch { cluster, etcd, key, members } = epoch;
    let of_member =
        |member: &String| [report_key(cluster, etcd, member), leaves_key(cluster, etcd, member)];
    members.keys().flat_map(of_member).chain([key.clone()]).collect()
}

fn unreadable(error: &EpochError) -> CloudError {
    let message = format!(
        "{error}; use the kprod that wrote it, or put its last good version back; before a destroy it \
         may also be removed"
    );
    CloudError::new(CloudErrorKind::Invalid, "GetObject", "Epoch", message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn members() -> BTreeMap<String, EpochMember> {
        let member = |name: &str| EpochMember {
            peer_url: format!("https://etcd-{name}.internal.c:2380"),
            client_url: format!("https://etcd-{name}.internal.c:4001"),
        };
        ["a", "b", "c"].map(|name| (name.to_owned(), member(name))).into()
    }

    #[test]
    fn what_was_made_is_seen_as_wanted() {
        let made = first("c", "main", &members(), 7);
        let seen = observed("c", "main", &made.to_bytes()).unwrap();
        assert_eq!(seen.resource, resource("c", "main", members()));
        assert!(seen.ownership.is_owned());
        assert_eq!(seen.attributes[&Attribute::Id], made.token);
        // That of another cluster, copied here, is not this one's.
        let other = first("d", "main", &members(), 7);
        assert!(!observed("c", "main", &other.to_bytes()).unwrap().ownership.is_owned());
        assert!(observed("c", "main", b"{}").is_err());
    }

    #[test]
    fn an_address_names_its_etcd_cluster() {
        let key = Key::new(Kind::Epoch, name("events", "c.example.com"));
        assert_eq!(of_key(&key, "c.example.com"), Some("events"));
        assert_eq!(of_key(&key, "d.example.com"), None);
        assert_eq!(of_key(&Key::new(Kind::Volume, key.name), "c.example.com"), None);
    }

    #[test]
    fn reports_and_snapshots_tell_of_members_that_ran() {
        let key = report_key("c", "main", "a");
        assert!(key.starts_with(&prefix("c", "main")));
        assert!(is_remains("c", "main", &key));
        assert!(is_remains("c", "main", &snapshots_key("c", "main")));
        for other in [report_key("c", "events", "a"), leaves_key("c", "main", "a")] {
            assert!(!is_remains("c", "main", &other), "{other}");
        }
    }
}
