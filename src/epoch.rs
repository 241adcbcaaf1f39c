//! The epoch document in the state bucket: read, and written under conditions only.
//!
//! A write that comes too late is told as a conflict, after which whoever wrote looks again: nothing is
//! decided by what was read before. An apply creates an epoch (`Call::CreateEpoch`), a restore follows it
//! by the next one, and members close it.

use crate::cloud::{Cloud, Condition, StoreError};
use crate::etcd::epoch::{ClusterId, Epoch, EpochError, epoch_key};

/// An epoch as it was read: what is written after it goes by its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The epoch.
    pub epoch: Epoch,
    /// The entity tag of its object.
    etag: String,
    /// When it was last written, on the bucket's clock.
    pub written_at: jiff::Timestamp,
}

/// Why an epoch was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EpochStoreError {
    /// The state bucket failed; [`StoreError::Conflict`] says to look again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The epoch itself does not allow it.
    #[error(transparent)]
    Epoch(#[from] EpochError),
}

/// Reads an etcd cluster's epoch; none if it has none.
///
/// # Errors
/// When the bucket fails, or the object is none that this kprod reads.
pub async fn read(
    cloud: &impl Cloud,
    cluster: &str,
    etcd: &str,
) -> Result<Option<Known>, EpochStoreError> {
    let key = epoch_key(cluster, etcd);
    let Some(entry) = cloud.get(&key).await? else { return Ok(None) };
    let epoch = Epoch::parse(&key, &entry.body)?;
    Ok(Some(Known { epoch, etag: entry.etag, written_at: entry.written_at }))
}

/// Writes the epoch after a known one.
///
/// # Errors
/// As [`read`]; [`StoreError::Conflict`] if the known one is not the newest.
pub async fn follow(
    cloud: &impl Cloud,
    cluster: &str,
    etcd: &str,
    known: &Known,
    next: &Epoch,
) -> Result<(), EpochStoreError> {
    let key = epoch_key(cluster, etcd);
    let condition = Condition::Match(known.etag.clone());
    cloud.put(&key, next.to_bytes(), condition).await?;
    Ok(())
}

/// Closes a known epoch for the cluster that has formed; what is closed for it is left alone.
///
/// # Errors
/// As [`follow`]; [`EpochError::OtherCluster`] if it was closed for another one.
pub async fn close(
    cloud: &impl Cloud,
    cluster: &str,
    etcd: &str,
    known: &Known,
    formed: ClusterId,
) -> Result<Epoch, EpochStoreError> {
    let closed = known.epoch.closed(formed)?;
    if closed != known.epoch {
        follow(cloud, cluster, etcd, known, &closed).await?;
    }
    Ok(closed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::collections::BTreeMap;

    use super::*;
    use crate::cloud::sim::SimCloud;
    use crate::etcd::epoch::Restored;

    fn first(nonce: u64) -> Epoch {
        Epoch::first("c", "main", BTreeMap::new(), nonce)
    }

    /// As an apply does it.
    async fn create(
        cloud: &SimCloud,
        cluster: &str,
        etcd: &str,
        epoch: &Epoch,
    ) -> Result<String, EpochStoreError> {
        let key = epoch_key(cluster, etcd);
        Ok(cloud.put(&key, epoch.to_bytes(), Condition::Absent).await?)
    }

    async fn known(cloud: &SimCloud) -> Known {
        read(cloud, "c", "main").await.unwrap().unwrap()
    }

    fn is_late(result: Result<impl Sized, EpochStoreError>) -> bool {
        matches!(result, Err(EpochStoreError::Store(StoreError::Conflict(_))))
    }

    #[tokio::test]
    async fn of_two_who_create_an_epoch_one_is_late() {
        let cloud = SimCloud::in_memory(1);
        assert_eq!(read(&cloud, "c", "main").await, Ok(None));
        create(&cloud, "c", "main", &first(1)).await.unwrap();
        assert!(is_late(create(&cloud, "c", "main", &first(2)).await));
        assert_eq!(known(&cloud).await.epoch, first(1));
        // Another etcd cluster has an epoch of its own.
        assert_eq!(read(&cloud, "c", "events").await, Ok(None));
    }

    #[tokio::test]
    async fn a_closed_epoch_is_not_opened_by_who_knew_it_open() {
        let cloud = SimCloud::in_memory(1);
        create(&cloud, "c", "main", &first(1)).await.unwrap();
        let open = known(&cloud).await;
        let closed = close(&cloud, "c", "main", &open, ClusterId(7)).await.unwrap();
        assert_eq!(known(&cloud).await.epoch, closed);
        // Members close it at the same time: for one cluster, or not at all.
        assert!(is_late(close(&cloud, "c", "main", &open, ClusterId(7)).await));
        assert!(is_late(close(&cloud, "c", "main", &open, ClusterId(8)).await));
        let now = known(&cloud).await;
        assert_eq!(close(&cloud, "c", "main", &now, ClusterId(7)).await, Ok(closed));
        let other = close(&cloud, "c", "main", &now, ClusterId(8)).await;
        assert!(matches!(other, Err(EpochStoreError::Epoch(EpochError::OtherCluster { .. }))));
        assert!(is_late(follow(&cloud, "c", "main", &open, &first(9)).await));
    }

    #[tokio::test]
    async fn of_two_restores_one_is_late() {
        let cloud = SimCloud::in_memory(1);
        create(&cloud, "c", "main", &first(1)).await.unwrap();
        let open = known(&cloud).await;
        close(&cloud, "c", "main", &open, ClusterId(7)).await.unwrap();
        let now = known(&cloud).await;
        let next = |nonce| {
            let (snapshot, sha256) = ("s".to_owned(), String::new());
            let from = Restored { snapshot, sha256, epoch: 1, bump_revisions: None };
            now.epoch.next("c", "main", BTreeMap::new(), from, nonce).unwrap()
        };
        follow(&cloud, "c", "main", &now, &next(1)).await.unwrap();
        assert!(is_late(follow(&cloud, "c", "main", &now, &next(2)).await));
        assert_eq!(known(&cloud).await.epoch, next(1));
    }

    #[tokio::test]
    async fn what_is_no_epoch_is_an_error_and_not_none() {
        let cloud = SimCloud::in_memory(1);
        cloud.put(&epoch_key("c", "main"), b"{}".to_vec(), Condition::Any).await.unwrap();
        let found = read(&cloud, "c", "main").await;
        assert!(matches!(found, Err(EpochStoreError::Epoch(EpochError::Unreadable { .. }))));
    }
}
