//! What a restore keeps in the state bucket until it is over.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::apply::store::{self, PATIENT};
use crate::cloud::{Cloud, Condition, StoreError};
use crate::etcd::Epoch;
use crate::etcd::epoch::Restored;
use crate::etcd::snapshot::Record;

/// The content of [`journal_key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// Version of this form.
    pub format_version: u32,
    /// Tells this restore from every other.
    pub id: u64,
    /// When it began.
    pub began_at: Timestamp,
    /// What each etcd cluster begins with.
    pub targets: BTreeMap<String, Target>,
    /// Ids of the volumes that were there before.
    pub old_volumes: BTreeSet<String>,
    /// Machines that have to go; not known before the old volumes are set aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machines: Option<BTreeSet<String>>,
    /// Machines whose members did not form in time: they go as well, unless their members are well by
    /// the time that somebody looks again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stuck: BTreeSet<String>,
}

/// What an etcd cluster begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The snapshot's name.
    pub name: String,
    /// What the epoch says of it.
    pub from: Restored,
    /// The number of the epoch that it begins.
    pub number: u64,
}

impl Target {
    /// The epoch after one that is there, which begins with a snapshot.
    pub(super) fn new(epoch: &Epoch, record: &Record, bump_revisions: Option<u64>) -> Self {
        let (snapshot, sha256) = (record.object.clone(), record.sha256.clone());
        let from = Restored { snapshot, sha256, epoch: record.epoch, bump_revisions };
        Self { name: record.name.clone(), from, number: epoch.number.saturating_add(1) }
    }

    /// Whether an epoch is the one that this begins.
    pub(super) fn is_begun_by(&self, epoch: &Epoch) -> bool {
        epoch.number == self.number && epoch.restored_from.as_ref() == Some(&self.from)
    }
}

impl Journal {
    /// Raised when an older kprod could no longer read it.
    pub const FORMAT_VERSION: u32 = 1;
}

/// The object of the state bucket that holds a restore which is under way.
pub fn journal_key(cluster: &str) -> String {
    format!("restore/{cluster}")
}

/// Reads the restore that is under way; none if there is none.
///
/// # Errors
/// When the bucket fails, or the object is none that this kprod reads.
pub async fn read<C: Cloud>(cloud: &C, cluster: &str) -> Result<Option<Journal>, StoreError> {
    let key = journal_key(cluster);
    let Some(entry) = store::get(cloud, &key, PATIENT).await? else { return Ok(None) };
    let journal: Journal = serde_json::from_slice(&entry.body)
        .map_err(|error| StoreError::unusable(format!("`{key}` is no restore: {error}")))?;
    match journal.format_version {
        Journal::FORMAT_VERSION => Ok(Some(journal)),
        found => Err(StoreError::unusable(format!("`{key}` has format {found}"))),
    }
}

/// Writes it; only the holder of the lease does.
pub(super) async fn write<C: Cloud>(
    cloud: &C,
    cluster: &str,
    journal: &Journal,
) -> Result<(), StoreError> {
    let body = serde_json::to_vec_pretty(journal)
        .map_err(|error| StoreError::unusable(error.to_string()))?;
    let written = store::put(cloud, &journal_key(cluster), &body, &Condition::Any, PATIENT).await;
    written.map(drop)
}

/// Removes it: the restore is over.
pub(super) async fn remove<C: Cloud>(cloud: &C, cluster: &str) -> Result<(), StoreError> {
    store::remove(cloud, &journal_key(cluster), &Condition::Any, PATIENT).await
}
