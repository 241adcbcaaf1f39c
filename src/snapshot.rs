//! The list of an etcd cluster's snapshots in the state bucket, and requests for one: read, and written
//! under conditions only.
//!
//! A write that comes too late is told as a conflict, after which whoever wrote looks again. Members add
//! to the list; people only read it, and ask, one after the other.

use std::collections::BTreeMap;

use crate::cloud::{Cloud, Condition, StoreError};
use crate::etcd::snapshot::{List, ListError, Request, request_key, snapshots_key};

/// A list as it was read: what is written after it goes by its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The list; empty where there is none.
    pub list: List,
    /// The entity tag of its object; none while there is no object.
    etag: Option<String>,
}

/// Why a list was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotStoreError {
    /// The state bucket failed; [`StoreError::Conflict`] says to look again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The list is none that this kprod reads.
    #[error(transparent)]
    List(#[from] ListError),
}

/// Reads an etcd cluster's list.
///
/// # Errors
/// When the bucket fails, or the object is none that this kprod reads.
pub async fn read(
    cloud: &impl Cloud,
    cluster: &str,
    etcd: &str,
) -> Result<Known, SnapshotStoreError> {
    let key = snapshots_key(cluster, etcd);
    let Some(entry) = cloud.get(&key).await? else {
        return Ok(Known { list: List::empty(), etag: None });
    };
    Ok(Known { list: List::parse(&key, &entry.body)?, etag: Some(entry.etag) })
}

/// Reads the lists of several etcd clusters.
///
/// # Errors
/// As [`read`].
pub async fn read_all<'a>(
    cloud: &impl Cloud,
    cluster: &str,
    etcds: impl IntoIterator<Item = &'a String>,
) -> Result<BTreeMap<String, List>, SnapshotStoreError> {
    let mut lists = BTreeMap::new();
    for etcd in etcds {
        lists.insert(etcd.clone(), read(cloud, cluster, etcd).await?.list);
    }
    Ok(lists)
}

/// Writes the list after a known one, and gives it as it is then known.
///
/// # Errors
/// As [`read`]; [`StoreError::Conflict`] if the known one is not the newest.
pub async fn follow(
    cloud: &impl Cloud,
    cluster: &str,
    etcd: &str,
    known: &Known,
    next: List,
) -> Result<Known, SnapshotStoreError> {
    let key = snapshots_key(cluster, etcd);
    let etag = cloud.put(&key, next.to_bytes(), after(known.etag.as_ref())).await?;
    Ok(Known { list: next, etag: Some(etag) })
}

/// What is asked for, as it was read: what is written over it goes by its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The request; none where there is none, or one that makes no sense.
    pub request: Option<Request>,
    /// The entity tag of its object; none while there is no object.
    etag: Option<String>,
}

/// Reads what is asked for; what makes no sense asks for nothing.
///
/// # Errors
/// When the bucket fails.
pub async fn request(cloud: &impl Cloud, cluster: &str, etcd: &str) -> Result<Asked, StoreError> {
    let Some(entry) = cloud.get(&request_key(cluster, etcd)).await? else {
        return Ok(Asked { request: None, etag: None });
    };
    Ok(Asked { request: Request::parse(&entry.body), etag: Some(entry.etag) })
}

/// Asks for a snapshot, in place of what is known to be asked for: whether that may go is for the caller to
/// decide ([`Request::beside`]).
///
/// # Errors
/// When the bucket fails; [`StoreError::Conflict`] if somebody else has asked since.
pub async fn ask(
    cloud: &impl Cloud,
    cluster: &str,
    etcd: &str,
    known: &Asked,
    request: &Request,
) -> Result<(), StoreError> {
    let (key, condition) = (request_key(cluster, etcd), after(known.etag.as_ref()));
    cloud.put(&key, request.to_bytes(), condition).await.map(drop)
}

/// The condition that nothing was written since an object was read with this tag, or was not there.
fn after(etag: Option<&String>) -> Condition {
    etag.cloned().map_or(Condition::Absent, Condition::Match)
}

/// Takes a request back: it was answered, or nobody waits any more. Another one is left alone.
///
/// # Errors
/// When the bucket fails.
pub async fn withdraw(
    cloud: &impl Cloud,
    cluster: &str,
    etcd: &str,
    id: &str,
) -> Result<(), StoreError> {
    let known = request(cloud, cluster, etcd).await?;
    let is_it = known.request.is_some_and(|request| request.id == id);
    let Some(etag) = known.etag.filter(|_| is_it) else { return Ok(()) };
    match cloud.remove(&request_key(cluster, etcd), Condition::Match(etag)).await {
        // Somebody else asks by now.
        Err(StoreError::Conflict(_)) => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use jiff::Timestamp;

    use super::*;
    use crate::cloud::sim::SimCloud;

    #[tokio::test]
    async fn of_two_who_claim_a_snapshot_one_is_late() {
        let cloud = SimCloud::in_memory(1);
        let none = read(&cloud, "c", "main").await.unwrap();
        assert_eq!(none.list, List::empty());
        let claim = |known: &Known, member| known.list.claimed(member, Timestamp::UNIX_EPOCH);
        let late =
            |result| matches!(result, Err(SnapshotStoreError::Store(StoreError::Conflict(_))));
        for known in [none, read(&cloud, "c", "main").await.unwrap()] {
            let first = follow(&cloud, "c", "main", &known, claim(&known, "a")).await.unwrap();
            assert!(late(follow(&cloud, "c", "main", &known, claim(&known, "b")).await));
            assert_eq!(read(&cloud, "c", "main").await.unwrap(), first);
            cloud.remove(&snapshots_key("c", "main"), Condition::Any).await.unwrap();
        }
        // What cannot be read is an error, and never an empty list.
        cloud.put(&snapshots_key("c", "main"), b"{}".to_vec(), Condition::Any).await.unwrap();
        let found = read(&cloud, "c", "main").await;
        assert!(matches!(found, Err(SnapshotStoreError::List(_))));
    }

    #[tokio::test]
    async fn a_request_is_there_until_whoever_asked_withdraws_it() {
        let cloud = SimCloud::in_memory(1);
        let of = |id: &str| Request {
            format_version: Request::FORMAT_VERSION,
            id: id.to_owned(),
            asked_at: Timestamp::UNIX_EPOCH,
            member: None,
            alone: false,
        };
        let asked = async |etcd| request(&cloud, "c", etcd).await.unwrap();
        let none = asked("main").await;
        ask(&cloud, "c", "main", &none, &of("1")).await.unwrap();
        let first = asked("main").await;
        assert_eq!((&first.request, &none.request), (&Some(of("1")), &None));
        assert_eq!(asked("events").await, none);
        // Who knows nothing of it does not write over it, nor take it back.
        let late = ask(&cloud, "c", "main", &none, &of("2")).await;
        assert!(matches!(late, Err(StoreError::Conflict(_))), "{late:?}");
        withdraw(&cloud, "c", "main", "2").await.unwrap();
        assert_eq!(asked("main").await, first);
        ask(&cloud, "c", "main", &first, &of("2")).await.unwrap();
        withdraw(&cloud, "c", "main", "1").await.unwrap();
        assert_eq!(asked("main").await.request, Some(of("2")));
        withdraw(&cloud, "c", "main", "2").await.unwrap();
        assert_eq!(asked("main").await, none);
    }
}
