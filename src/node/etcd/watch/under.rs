//! The epoch that etcd was started under, as it stands in the state bucket now.
//!
//! A restore may open another one at any moment, also right after etcd was started and before the first look
//! at it: what runs is of the epoch that it was started under, and says nothing about any other one.

use crate::epoch::Known;
use crate::etcd::epoch::{Epoch, Phase};
use crate::etcd::start::RefuseReason;

/// Between two reads of the epoch, once it is closed.
const READ_MS: u64 = 60_000;

/// The epoch that a member runs under.
#[derive(Debug)]
pub(super) struct Under {
    started: Epoch,
    known: Option<Known>,
    read_at: u64,
}

impl Under {
    /// The epoch that etcd was started under.
    pub(super) fn new(started: Epoch) -> Self {
        Self { started, known: None, read_at: 0 }
    }

    /// Whether it is to be read again: an open one may be closed at any moment.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        let is_open = |known: &Known| known.epoch.phase == Phase::Open;
        now_ms.saturating_sub(self.read_at) > READ_MS || self.known.as_ref().is_none_or(is_open)
    }

    /// Takes what was read.
    ///
    /// # Errors
    /// When it is another epoch, under which the member is not to go on.
    pub(super) fn take(&mut self, newest: Known, now_ms: u64) -> Result<(), RefuseReason> {
        if newest.epoch.token != self.started.token {
            let (found, wanted) = (self.started.number, newest.epoch.number);
            return Err(RefuseReason::OtherEpoch { found, wanted });
        }
        (self.known, self.read_at) = (Some(newest), now_ms);
        Ok(())
    }

    /// As it was read last; none before it was.
    pub(super) fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::collections::BTreeMap;

    use super::*;
    use crate::cloud::sim::SimCloud;
    use crate::cloud::{Cloud, Condition};
    use crate::epoch::{self, read};
    use crate::etcd::epoch::{ClusterId, Restored, epoch_key};

    async fn known(cloud: &SimCloud) -> Known {
        read(cloud, "c", "main").await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn the_epoch_after_the_one_that_etcd_was_started_under_is_never_its_own() {
        let cloud = SimCloud::in_memory(1);
        let first = Epoch::first("c", "main", BTreeMap::new(), 1);
        cloud.put(&epoch_key("c", "main"), first.to_bytes(), Condition::Absent).await.unwrap();
        let formed = ClusterId(7);
        epoch::close(&cloud, "c", "main", &known(&cloud).await, formed).await.unwrap();
        let before = known(&cloud).await;
        let (snapshot, sha256) = ("s3://b/s".to_owned(), "0".repeat(64));
        let from = Restored { snapshot, sha256, epoch: 1, bump_revisions: None };
        let next = before.epoch.next("c", "main", BTreeMap::new(), from, 2).unwrap();
        epoch::follow(&cloud, "c", "main", &before, &next).await.unwrap();
        let after = known(&cloud).await;

        let refused = Err(RefuseReason::OtherEpoch { found: 1, wanted: 2 });
        // As the first that is read after the start, and as a later one.
        for earlier in [None, Some(before)] {
            let mut under = Under::new(first.clone());
            if let Some(earlier) = &earlier {
                under.take(earlier.clone(), 1).unwrap();
            }
            assert_eq!(under.take(after.clone(), 2), refused);
            assert_eq!(under.known(), earlier.as_ref());
        }
        Under::new(next).take(after, 1).unwrap();
    }

    #[tokio::test]
    async fn an_epoch_is_read_at_each_look_until_it_is_closed_and_then_each_minute() {
        let cloud = SimCloud::in_memory(1);
        let first = Epoch::first("c", "main", BTreeMap::new(), 1);
        cloud.put(&epoch_key("c", "main"), first.to_bytes(), Condition::Absent).await.unwrap();
        let mut under = Under::new(first);
        assert!(under.is_due(0));
        let open = known(&cloud).await;
        under.take(open.clone(), 1000).unwrap();
        assert!(under.is_due(1001));
        epoch::close(&cloud, "c", "main", &open, ClusterId(7)).await.unwrap();
        under.take(known(&cloud).await, 2000).unwrap();
        assert!(!under.is_due(2001));
        assert!(under.is_due(2001 + READ_MS));
    }
}
