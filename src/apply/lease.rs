//! The lease: one run at a time per cluster, by conditional writes to the state bucket.
//!
//! AWS cannot check a fencing token, so the lease works by time. A holder makes a call only while
//! enough of the lease remains for the longest call, and nobody takes a lease over before its end
//! plus the longest call: what the old holder last sent has landed or failed by then. Clocks of
//! holders may differ by [`CLOCK_MARGIN`].

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::stop::StopSignal;
use crate::cloud::{Cloud, Condition, Entry, StoreError};

/// How long a lease lasts from each renewal on.
pub const TERM: Duration = Duration::from_secs(180);
/// No call is let run longer; the engine cuts it off and counts its answer as lost.
pub const LONGEST_CALL: Duration = Duration::from_secs(60);
/// How far two clocks may be apart.
pub const CLOCK_MARGIN: Duration = Duration::from_secs(10);
/// How often a run that waits for the lease looks again.
const POLL: Duration = Duration::from_secs(5);
/// Attempts to read or write the store when it fails.
const STORE_ATTEMPTS_MAX: u32 = 5;

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
    },
    /// The user asked to stop while waiting for it.
    #[error("stopped while waiting for the lease on `{0}`")]
    Stopped(String),
    /// The store fails, or holds something that is no lease.
    #[error("the lease on `{cluster}` cannot be read or written: {why}")]
    Store {
        /// The cluster.
        cluster: String,
        /// What the store says.
        why: String,
    },
}

/// A lease that is ours.
#[derive(Debug)]
pub struct Lease {
    cluster: String,
    record: LeaseRecord,
    etag: String,
    /// When it was last looked at and found ours.
    seen_at: Timestamp,
}

/// Who wants a lease, and how long they wait for it.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    /// The cluster.
    pub cluster: String,
    /// User, host, process.
    pub holder: String,
    /// Unique to this run.
    pub token: String,
    /// How long to wait while another run holds it; zero for not at all.
    pub wait_max: Duration,
}

/// The object that holds a cluster's lease.
pub fn key(cluster: &str) -> String {
    format!("lease/{cluster}")
}

/// Reads who holds a cluster's lease.
///
/// # Errors
/// When the store fails or the object is no lease.
pub async fn read<C: Cloud>(cloud: &C, cluster: &str) -> Result<Option<LeaseRecord>, LeaseError> {
    Ok(read_entry(cloud, cluster).await?.map(|(record, _)| record))
}

/// Takes the lease, waiting for it as long as the request allows. `on_wait` is told once who holds
/// it and until when we wait.
///
/// # Errors
/// [`LeaseError::Locked`] when another run still holds it at the end.
pub async fn take<C: Cloud>(
    cloud: &C,
    request: &LeaseRequest,
    stop: &StopSignal,
    on_wait: &(dyn Fn(&LeaseRecord, Timestamp) + Sync),
) -> Result<Lease, LeaseError> {
    let deadline = later(cloud.now(), request.wait_max);
    let mut announced = false;
    let mut failures = 0;
    loop {
        let found = read_entry(cloud, &request.cluster).await?;
        let now = cloud.now();
        let condition = match &found {
            None => Condition::Absent,
            // A write of ours whose answer was lost.
            Some((record, etag)) if record.token == request.token => Condition::Match(etag.clone()),
            Some((record, etag)) if record.free_at() <= now => Condition::Match(etag.clone()),
            Some((record, _)) => {
                if now >= deadline {
                    let (cluster, record) = (request.cluster.clone(), record.clone());
                    return Err(LeaseError::Locked { cluster, record });
                }
                if !announced {
                    on_wait(record, deadline);
                    announced = true;
                }
                if sleep_or_stop(cloud, POLL, stop).await {
                    return Err(LeaseError::Stopped(request.cluster.clone()));
                }
                continue;
            }
        };
        let record = LeaseRecord {
            format_version: 1,
            holder: request.holder.clone(),
            token: request.token.clone(),
            taken_at: now,
            expires_at: later(now, TERM),
        };
        match put(cloud, &request.cluster, &record, condition).await {
            Ok(etag) => {
                let cluster = request.cluster.clone();
                return Ok(Lease { cluster, record, etag, seen_at: now });
            }
            // Somebody was faster, or an answer was lost: look again.
            Err(StoreError::Conflict(_)) => {}
            Err(error @ StoreError::Failed(_)) => {
                failures += 1;
                if failures >= STORE_ATTEMPTS_MAX {
                    return Err(store_error(&request.cluster, &error));
                }
                cloud.sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Waits until nobody holds the lease, without taking it: whoever plans after that plans for the world
/// that the other run leaves. `on_wait` is told once who holds it and until when we wait.
///
/// # Errors
/// [`LeaseError::Locked`] when another run still holds it at the end.
pub async fn wait_until_free<C: Cloud>(
    cloud: &C,
    cluster: &str,
    wait_max: Duration,
    on_wait: &(dyn Fn(&LeaseRecord, Timestamp) + Sync),
) -> Result<(), LeaseError> {
    let deadline = later(cloud.now(), wait_max);
    let mut announced = false;
    loop {
        let Some(record) = read(cloud, cluster).await? else { return Ok(()) };
        let now = cloud.now();
        if record.free_at() <= now {
            return Ok(());
        }
        if now >= deadline {
            return Err(LeaseError::Locked { cluster: cluster.to_owned(), record });
        }
        if !announced {
            on_wait(&record, deadline);
            announced = true;
        }
        cloud.sleep(POLL).await;
    }
}

/// Removes a cluster's lease, whoever holds it, and says who did (`kprod unlock`).
///
/// # Errors
/// When the store fails, or the lease changed hands in this very moment.
pub async fn break_lease<C: Cloud>(
    cloud: &C,
    cluster: &str,
) -> Result<Option<LeaseRecord>, LeaseError> {
    let Some(entry) = get(cloud, cluster).await? else { return Ok(None) };
    let condition = Condition::Match(entry.etag);
    cloud.remove(&key(cluster), condition).await.map_err(|e| store_error(cluster, &e))?;
    // What cannot be read as a lease was in the way all the same.
    let unknown = LeaseRecord {
        format_version: 0,
        holder: "unknown".to_owned(),
        token: String::new(),
        taken_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH,
    };
    Ok(Some(serde_json::from_slice(&entry.body).unwrap_or(unknown)))
}

impl Lease {
    /// Until when it is ours.
    pub fn record(&self) -> &LeaseRecord {
        &self.record
    }

    /// Makes sure that one more call may be made: renews when less than half remains.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] when it is somebody else's, or can no longer be renewed in time.
    pub async fn ensure<C: Cloud>(&mut self, cloud: &C) -> Result<(), LeaseError> {
        for _ in 0..STORE_ATTEMPTS_MAX {
            let now = cloud.now();
            if !self.record.is_due(now) {
                return Ok(());
            }
            let renewed = LeaseRecord { expires_at: later(now, TERM), ..self.record.clone() };
            let condition = Condition::Match(self.etag.clone());
            match put(cloud, &self.cluster, &renewed, condition).await {
                Ok(etag) => {
                    self.record = renewed;
                    self.etag = etag;
                    return Ok(());
                }
                Err(StoreError::Conflict(_)) => self.recognise(cloud).await?,
                Err(StoreError::Failed(_)) => cloud.sleep(Duration::from_secs(1)).await,
            }
        }
        if self.record.covers_a_call(cloud.now()) {
            return Ok(());
        }
        Err(self.lost("it could not be renewed in time"))
    }

    /// Looks whether it is still ours, unless that was seen at `asked_at` or later: somebody may have
    /// broken it. Time alone does not tell.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] when it is not. A store that does not answer is no proof of that.
    pub async fn check<C: Cloud>(
        &mut self,
        cloud: &C,
        asked_at: Timestamp,
    ) -> Result<(), LeaseError> {
        if self.seen_at >= asked_at {
            return Ok(());
        }
        let now = cloud.now();
        match self.recognise(cloud).await {
            Ok(()) => {
                self.seen_at = now;
                Ok(())
            }
            Err(LeaseError::Store { .. }) if self.record.covers_a_call(cloud.now()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// After a conflict: ours under another entity tag (a lost answer), or gone.
    async fn recognise<C: Cloud>(&mut self, cloud: &C) -> Result<(), LeaseError> {
        match read_entry(cloud, &self.cluster).await? {
            Some((record, etag)) if record.token == self.record.token => {
                self.record = record;
                self.etag = etag;
                Ok(())
            }
            Some((record, _)) => Err(self.lost(&format!("{} holds it now", record.holder))),
            None => Err(self.lost("somebody removed it")),
        }
    }

    fn lost(&self, why: &str) -> LeaseError {
        LeaseError::Lost { cluster: self.cluster.clone(), why: why.to_owned() }
    }

    /// Gives it back. A lease that is no longer ours is left alone.
    pub async fn release<C: Cloud>(self, cloud: &C) {
        for _ in 0..STORE_ATTEMPTS_MAX {
            let condition = Condition::Match(self.etag.clone());
            match cloud.remove(&key(&self.cluster), condition).await {
                Ok(()) | Err(StoreError::Conflict(_)) => return,
                // If the store stays down, the lease ends by itself.
                Err(StoreError::Failed(_)) => cloud.sleep(Duration::from_secs(1)).await,
            }
        }
    }
}

async fn get<C: Cloud>(cloud: &C, cluster: &str) -> Result<Option<Entry>, LeaseError> {
    let mut attempt = 1;
    loop {
        match cloud.get(&key(cluster)).await {
            Ok(entry) => return Ok(entry),
            Err(error) if attempt >= STORE_ATTEMPTS_MAX => {
                return Err(store_error(cluster, &error));
            }
            Err(_) => cloud.sleep(Duration::from_secs(1)).await,
        }
        attempt += 1;
    }
}

async fn read_entry<C: Cloud>(
    cloud: &C,
    cluster: &str,
) -> Result<Option<(LeaseRecord, String)>, LeaseError> {
    let Some(entry) = get(cloud, cluster).await? else { return Ok(None) };
    match serde_json::from_slice(&entry.body) {
        Ok(record) => Ok(Some((record, entry.etag))),
        Err(error) => Err(LeaseError::Store {
            cluster: cluster.to_owned(),
            why: format!("`{}` is no lease of this kprod: {error}", key(cluster)),
        }),
    }
}

async fn put<C: Cloud>(
    cloud: &C,
    cluster: &str,
    record: &LeaseRecord,
    condition: Condition,
) -> Result<String, StoreError> {
    let body =
        serde_json::to_vec_pretty(record).map_err(|error| StoreError::Failed(error.to_string()))?;
    cloud.put(&key(cluster), body, condition).await
}

/// Waits, and says whether the user asked to stop meanwhile.
pub(super) async fn sleep_or_stop<C: Cloud>(
    cloud: &C,
    duration: Duration,
    stop: &StopSignal,
) -> bool {
    tokio::select! {
        biased;
        () = stop.requested() => true,
        () = cloud.sleep(duration) => stop.is_requested(),
    }
}

/// A moment so much later; the end of the calendar if there is none.
pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| at.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

fn store_error(cluster: &str, error: &StoreError) -> LeaseError {
    LeaseError::Store { cluster: cluster.to_owned(), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(taken_at: Timestamp) -> LeaseRecord {
        LeaseRecord {
            format_version: 1,
            holder: "ann@host 1".to_owned(),
            token: "t".to_owned(),
            taken_at,
            expires_at: later(taken_at, TERM),
        }
    }

    proptest! {
        /// The law that replaces a fencing token: a call that began under the old lease is over when
        /// another run may take it, even with clocks apart.
        #[test]
        fn no_call_outlives_the_lease_it_began_under(
            begins_secs in 0..=110u64,
            skew_secs in 0..=10u64,
        ) {
            let lease = record(Timestamp::UNIX_EPOCH);
            let begins = later(Timestamp::UNIX_EPOCH, Duration::from_secs(begins_secs));
            prop_assert!(lease.covers_a_call(begins));
            let ends = later(begins, LONGEST_CALL + Duration::from_secs(skew_secs));
            prop_assert!(ends <= lease.expires_at);
            prop_assert!(later(ends, LONGEST_CALL) <= lease.free_at());
        }

        /// A fresh renewal always covers a call, so a run that renews in time never stalls.
        #[test]
        fn what_need_not_be_renewed_covers_a_call(at_secs in 0..600u64) {
            let lease = record(Timestamp::UNIX_EPOCH);
            let now = later(Timestamp::UNIX_EPOCH, Duration::from_secs(at_secs));
            prop_assert!(lease.is_due(now) || lease.covers_a_call(now));
        }
    }
}
