//! A lease that is ours: kept, looked at before calls, given back.

use std::time::Duration;

use jiff::Timestamp;

use super::{LONGEST_CALL, LeaseError, LeaseRecord, TERM, key, later, read_entry, to_body};
use crate::apply::engine::since;
use crate::apply::store::{self, BRIEF};
use crate::cloud::retry::RetryLimits;
use crate::cloud::{Cloud, Condition, StoreError};

/// Renewals while the store fails. Nobody else may take the lease before its end plus the longest
/// call, so it is worth trying until then, which is what ends it.
const RENEWAL: RetryLimits = RetryLimits {
    base: Duration::from_millis(500),
    wait_max: Duration::from_secs(5),
    attempts_max: 200,
    deadline: Duration::from_secs(3_600),
};

/// A look at the lease that took longer proves nothing any more: the process may have been stopped or
/// asleep in between, with the answer waiting for it.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// A lease that is ours.
#[derive(Debug)]
pub struct Lease {
    cluster: String,
    record: LeaseRecord,
    etag: String,
    /// When it was last asked for, or asked about, and found ours.
    seen_at: Timestamp,
    /// When a look last failed, which is no proof of anything.
    failed_at: Timestamp,
    /// Once lost it stays lost, for all who share it.
    lost: Option<LeaseError>,
}

impl Lease {
    /// A lease that was written by a request sent at `asked_at`.
    pub(super) fn new(
        cluster: &str,
        record: LeaseRecord,
        etag: String,
        asked_at: Timestamp,
    ) -> Self {
        let cluster = cluster.to_owned();
        Self { cluster, record, etag, seen_at: asked_at, failed_at: Timestamp::MIN, lost: None }
    }

    /// Until when it is ours.
    pub fn record(&self) -> &LeaseRecord {
        &self.record
    }

    /// Keeps it while nothing is changed: renews when less than half remains.
    ///
    /// # Errors
    /// As [`Lease::ensure`].
    pub async fn keep<C: Cloud>(&mut self, cloud: &C) -> Result<(), LeaseError> {
        match self.lost.is_some() || self.record.is_due(cloud.now()) {
            true => self.renew(cloud).await,
            false => Ok(()),
        }
    }

    /// Makes sure that one more call may be made: enough remains, and that it is ours was seen no
    /// longer ago than `age_max`, since somebody may have broken it, or taken it over while this
    /// process was asleep. A store that does not answer proves nothing of the kind: what was seen is good
    /// for the time of the longest call, and after that the store is asked until it answers.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] when it is somebody else's, or can no longer be renewed in time.
    pub async fn ensure<C: Cloud>(
        &mut self,
        cloud: &C,
        age_max: Duration,
    ) -> Result<(), LeaseError> {
        let now = cloud.now();
        let looked_at = self.seen_at.max(self.failed_at);
        let is_fresh = now <= later(looked_at, age_max);
        let is_ours = self.lost.is_none() && self.record.covers_a_call(now);
        if is_fresh && is_ours && !self.record.is_due(now) {
            return Ok(());
        }
        self.renew(cloud).await
    }

    /// Writes it anew, which proves that it was ours until then.
    pub(super) async fn renew<C: Cloud>(&mut self, cloud: &C) -> Result<(), LeaseError> {
        if let Some(lost) = &self.lost {
            return Err(lost.clone());
        }
        let renewed = self.try_to_renew(cloud).await;
        self.lost = renewed.as_ref().err().cloned();
        renewed
    }

    async fn try_to_renew<C: Cloud>(&mut self, cloud: &C) -> Result<(), LeaseError> {
        let started = cloud.now();
        let mut rng = store::jitter(started);
        for attempt in 1..RENEWAL.attempts_max {
            let asked_at = cloud.now();
            let renewed = LeaseRecord { expires_at: later(asked_at, TERM), ..self.record.clone() };
            let error = match self.write(cloud, renewed).await {
                Ok(()) => {
                    self.seen_at = asked_at;
                    if self.is_proven(cloud.now(), asked_at) {
                        return Ok(());
                    }
                    continue;
                }
                Err(StoreError::Conflict(_)) => match self.recognise(cloud).await {
                    Ok(()) => continue,
                    Err(LeaseError::Store { error, .. }) => error,
                    Err(lost) => return Err(lost),
                },
                Err(error) => error,
            };
            let now = cloud.now();
            self.failed_at = now;
            let was_ours_lately = now <= later(self.seen_at, LONGEST_CALL);
            if error.is_passing() && was_ours_lately && self.is_proven(now, asked_at) {
                return Ok(());
            }
            let wait = RENEWAL.wait(attempt, since(now, started), rng.f64());
            match wait {
                Some(wait) if error.is_passing() && later(now, wait) < self.record.free_at() => {
                    cloud.sleep(wait).await;
                }
                _ => return Err(self.lost_to(&error)),
            }
        }
        Err(self.lost("it could not be renewed in time"))
    }

    /// Whether a call may be made after a look that was asked for at `asked_at`.
    fn is_proven(&self, now: Timestamp, asked_at: Timestamp) -> bool {
        self.record.covers_a_call(now) && now <= later(asked_at, LOOK_MAX)
    }

    async fn write<C: Cloud>(&mut self, cloud: &C, record: LeaseRecord) -> Result<(), StoreError> {
        let body = to_body(&record)?;
        let condition = Condition::Match(self.etag.clone());
        self.etag = cloud.put(&key(&self.cluster), body, condition).await?;
        self.record = record;
        Ok(())
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
            None => Err(self.lost("somebody removed it, or took it over and is done")),
        }
    }

    fn lost(&self, why: &str) -> LeaseError {
        let (cluster, why) = (self.cluster.clone(), why.to_owned());
        LeaseError::Lost { cluster, why, way_out: None }
    }

    fn lost_to(&self, error: &StoreError) -> LeaseError {
        let why = format!("it could not be renewed: {error}");
        let way_out = error.way_out(&self.cluster);
        LeaseError::Lost { cluster: self.cluster.clone(), why, way_out }
    }

    /// Gives it back. A lease that is no longer ours is left alone.
    pub async fn release<C: Cloud>(mut self, cloud: &C) {
        /// A conflict may be S3's own, with another write of the same object.
        const ATTEMPTS: usize = 3;
        for _ in 0..ATTEMPTS {
            let condition = Condition::Match(self.etag.clone());
            let removed = store::remove(cloud, &key(&self.cluster), &condition, BRIEF).await;
            let is_conflict = matches!(removed, Err(StoreError::Conflict(_)));
            // If the store stays down, the lease ends by itself.
            if !is_conflict || self.recognise(cloud).await.is_err() {
                return;
            }
        }
    }
}
