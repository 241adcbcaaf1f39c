//! The list of an etcd cluster's snapshots in the state bucket, and requests for one: read, and written
//! under conditions only.
//!
//! A write that comes too late is told as a conflict, after which whoever wrote looks again. Members add
//! to the list; people only read it, and ask.

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
    let condition = known.etag.clone().map_or(Condition::Absent, Condition::Match);
    let etag = cloud.put(&key, next.to_bytes(), condition).await?;
    Ok(Known { list: next, etag: Some(etag) })
}

/// Reads what is asked for; what makes no sense asks for nothing.
///
/// # Errors
/// When the bucket fails.
pub async fn request(
    cloud: &impl Cloud,
    cluster: &str,
    etcd: &str,
) -> Result<Option<Request>, StoreError> {
    let entry = cloud.get(&request_key(cluster, etcd)).await?;
    Ok(entry.and_then(|entry| Request::parse(&entry.body)))
}

/// Asks for a snapshot; what was asked for before is asked for no more.
///
/// # Errors
/// When the bucket fails.
pub async fn ask(
    cloud: &impl Cloud,
    cluster: &str,
    etcd: &str,
    request: &Request,
) -> Result<(), StoreError> {
    cloud.put(&request_key(cluster, etcd), request.to_bytes(), Condition::Any).await.map(drop)
}

/// Takes a request back: it was answered, or nobody waits any more.
///
/// # Errors
/// When the bucket fails.
pub async fn withdraw(cloud: &impl Cloud, cluster: &str, etcd: &str) -> Result<(), StoreError> {
    cloud.remove(&request_key(cluster, etcd), Condition::Any).await
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
    async fn a_request_is_there_until_it_is_withdrawn() {
        let cloud = SimCloud::in_memory(1);
        let asked = Request {
            format_version: Request::FORMAT_VERSION,
            id: "1".to_owned(),
            asked_at: cloud.now(),
            member: None,
            alone: false,
        };
        ask(&cloud, "c", "main", &asked).await.unwrap();
        assert_eq!(request(&cloud, "c", "main").await, Ok(Some(asked)));
        assert_eq!(request(&cloud, "c", "events").await, Ok(None));
        withdraw(&cloud, "c", "main").await.unwrap();
        assert_eq!(request(&cloud, "c", "main").await, Ok(None));
    }
}
