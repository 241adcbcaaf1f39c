//! The lease: one run at a time per cluster, by conditional writes to the state bucket.
//!
//! AWS cannot check a fencing token, so the lease works by time. A holder makes a call only while
//! enough of the lease remains for the longest call, and nobody takes a lease over before its end
//! plus the longest call: what the old holder last sent has landed or failed by then. Clocks of
//! holders may differ by [`CLOCK_MARGIN`]; on AWS both follow the bucket's.
//!
//! Somebody may also break a lease (`kprod unlock`). So before a call a holder must have seen a
//! moment ago that it is still its own: each look is a renewal, which fails when it is not.

mod held;
#[cfg(test)]
mod misled;
mod take;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use held::Lease;
pub use take::{LeaseRequest, take, wait_until_free};

use super::stop::StopSignal;
use super::store::{self, BRIEF};
use crate::cloud::{Cloud, Condition, StoreError};

/// How long a lease lasts from each renewal on.
pub const TERM: Duration = Duration::from_secs(180);
/// No call is let run longer; the engine cuts it off and counts its answer as lost.
pub const LONGEST_CALL: Duration = Duration::from_secs(60);
/// How far two clocks may be apart.
pub const CLOCK_MARGIN: Duration = Duration::from_secs(10);

/// The lease as it stands in the state bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// Version of this form.
    pub format_version: u32,
    /// Who: user, host, process.
    pub holder: String,
    /// What tells this run from every other.
    pub token: String,
    /// Since when.
    pub taken_at: Timestamp,
    /// Until when, unless renewed.
    pub expires_at: Timestamp,
}

impl LeaseRecord {
    /// When another run may take it over.
    pub fn free_at(&self) -> Timestamp {
        later(self.expires_at, LONGEST_CALL)
    }

    /// Who holds it, for people.
    pub fn describe(&self, now: Timestamp) -> String {
        let state = if self.free_at() <= now { "it has ended" } else { "it ends by itself then" };
        format!(
            "held by {} since {}, until {} unless renewed ({state})",
            self.holder, self.taken_at, self.expires_at
        )
    }

    /// Whether enough of it remains for one more call.
    pub fn covers_a_call(&self, now: Timestamp) -> bool {
        later(now, LONGEST_CALL + CLOCK_MARGIN) <= self.expires_at
    }

    /// Whether it is time to renew: less than half remains.
    pub fn is_due(&self, now: Timestamp) -> bool {
        later(now, TERM / 2) > self.expires_at
    }
}

/// Why there is no lease.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Another run holds it.
    #[error(
        "`{cluster}` is locked by {} since {}, until {} unless renewed",
        record.holder, record.taken_at, record.expires_at
    )]
    Locked {
        /// The cluster.
        cluster: String,
        /// Who holds it.
        record: LeaseRecord,
    },
    /// It was ours and is not any more.
    #[error("the lease on `{cluster}` was lost: {why}")]
    Lost {
        /// The cluster.
        cluster: String,
        /// How.
        why: String,
        /// What to do first, where somebody has to do something.
        way_out: Option<String>,
    },
    /// The user asked to stop while waiting for it.
    #[error("stopped while waiting for the lease on `{0}`")]
    Stopped(String),
    /// What stands in its place is no lease.
    #[error("the lease on `{cluster}` cannot be read: {why}")]
    Damaged {
        /// The cluster.
        cluster: String,
        /// What is wrong with it.
        why: String,
    },
    /// It changed while somebody was about to break it.
    #[error("the lease on `{0}` has just been renewed, or taken by another run")]
    Moved(String),
    /// The store fails.
    #[error("the lease on `{cluster}` cannot be read or written: {error}")]
    Store {
        /// The cluster.
        cluster: String,
        /// What the store says.
        error: StoreError,
    },
}

/// What stands in a lease's place.
#[derive(Clone, Debug)]
pub struct Found {
    /// The lease, or why it is none.
    pub record: Result<LeaseRecord, String>,
    etag: String,
}

/// The object that holds a cluster's lease.
pub fn key(cluster: &str) -> String {
    format!("lease/{cluster}")
}

/// Looks what stands in a lease's place.
///
/// # Errors
/// When the store fails.
pub async fn find<C: Cloud>(cloud: &C, cluster: &str) -> Result<Option<Found>, LeaseError> {
    let found = store::get(cloud, &key(cluster), BRIEF).await;
    let entry = found.map_err(|error| store_error(cluster, error))?;
    Ok(entry.map(|entry| Found {
        record: serde_json::from_slice(&entry.body)
            .map_err(|error| format!("`{}` is no lease of this kprod: {error}", key(cluster))),
        etag: entry.etag,
    }))
}

/// Reads who holds a cluster's lease.
///
/// # Errors
/// When the store fails or the object is no lease.
pub async fn read<C: Cloud>(cloud: &C, cluster: &str) -> Result<Option<LeaseRecord>, LeaseError> {
    Ok(read_entry(cloud, cluster).await?.map(|(record, _)| record))
}

/// Removes a cluster's lease, whoever holds it, and says who did; none when it could not be read as a
/// lease, or nobody did.
///
/// # Errors
/// As [`Found::remove`].
pub async fn break_lease<C: Cloud>(
    cloud: &C,
    cluster: &str,
) -> Result<Option<LeaseRecord>, LeaseError> {
    let Some(found) = find(cloud, cluster).await? else { return Ok(None) };
    found.remove(cloud, cluster).await?;
    Ok(found.record.ok())
}

impl Found {
    /// Removes this very lease (`kprod unlock`).
    ///
    /// # Errors
    /// [`LeaseError::Moved`] when it was renewed or taken since, and when the store fails.
    pub async fn remove<C: Cloud>(&self, cloud: &C, cluster: &str) -> Result<(), LeaseError> {
        let condition = Condition::Match(self.etag.clone());
        match store::remove(cloud, &key(cluster), &condition, BRIEF).await {
            Ok(()) => Ok(()),
            // It may be gone by a removal of ours whose answer was lost.
            Err(StoreError::Conflict(_)) => match find(cloud, cluster).await? {
                None => Ok(()),
                Some(_) => Err(LeaseError::Moved(cluster.to_owned())),
            },
            Err(error) => Err(store_error(cluster, error)),
        }
    }
}

async fn read_entry<C: Cloud>(
    cloud: &C,
    cluster: &str,
) -> Result<Option<(LeaseRecord, String)>, LeaseError> {
    let Some(found) = find(cloud, cluster).await? else { return Ok(None) };
    let damaged = |why| LeaseError::Damaged { cluster: cluster.to_owned(), why };
    Ok(Some((found.record.map_err(damaged)?, found.etag)))
}

fn to_body(record: &LeaseRecord) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec_pretty(record).map_err(|error| StoreError::unusable(error.to_string()))
}

/// Waits, and says whether the user asked to stop meanwhile.
pub async fn sleep_or_stop<C: Cloud>(cloud: &C, duration: Duration, stop: &StopSignal) -> bool {
    tokio::select! {
        biased;
        () = stop.requested() => true,
        () = cloud.sleep(duration) => stop.is_requested(),
    }
}

/// A moment so much later; the end of the calendar if there is none.
pub fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| at.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

fn store_error(cluster: &str, error: StoreError) -> LeaseError {
    LeaseError::Store { cluster: cluster.to_owned(), error }
}
