//! Taking the lease, and waiting for it.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    CLOCK_MARGIN, Lease, LeaseError, LeaseRecord, TERM, key, later, read_entry, sleep_or_stop,
    store_error, to_body,
};
use crate::apply::stop::StopSignal;
use crate::apply::store::{self, PATIENT};
use crate::cloud::{Cloud, CloudErrorKind, Condition, StoreError};

/// How often a run that waits for the lease looks again.
const POLL: Duration = Duration::from_secs(5);
/// So often somebody else may be faster, or S3 busy with another write of the same object.
const CONFLICTS_MAX: u32 = 20;
/// Between two such attempts.
const CONFLICT_WAIT: Duration = Duration::from_millis(500);

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

/// What a look at a lease that is in the way leads to.
enum Next {
    /// Try to take it under this condition.
    Try(Condition),
    /// It is ours: a write whose answer was lost.
    Ours(LeaseRecord, String),
}

/// Takes the lease, waiting for it as long as the request allows. `on_wait` is told once who holds
/// it and until when we wait. When nobody holds it, that is one write.
///
/// # Errors
/// [`LeaseError::Locked`] when another run still holds it at the end.
pub async fn take<C: Cloud>(
    cloud: &C,
    request: &LeaseRequest,
    stop: &StopSignal,
    on_wait: &(dyn Fn(&LeaseRecord, Timestamp) + Sync),
) -> Result<Lease, LeaseError> {
    let cluster = &request.cluster;
    let mut wait = Wait { cluster, wait_max: request.wait_max, stop, on_wait, deadline: None };
    let mut condition = Condition::Absent;
    for _ in 0..CONFLICTS_MAX {
        let asked_at = cloud.now();
        let record = new_record(request, asked_at);
        let body = to_body(&record).map_err(|error| store_error(cluster, error))?;
        let (record, etag) = match store::put(cloud, &key(cluster), &body, &condition, PATIENT)
            .await
        {
            Ok(etag) => (record, etag),
            // Somebody holds it or was faster, or an answer was lost: look.
            Err(StoreError::Conflict(_)) => {
                match wait.until_free(cloud, Some(&request.token)).await? {
                    Next::Ours(record, etag) => (record, etag),
                    Next::Try(next) => {
                        if condition == next && sleep_or_stop(cloud, CONFLICT_WAIT, stop).await {
                            return Err(LeaseError::Stopped(cluster.clone()));
                        }
                        condition = next;
                        continue;
                    }
                }
            }
            Err(error) => return Err(store_error(cluster, error)),
        };
        let mut lease = Lease::new(cluster, record, etag, asked_at);
        // The first answer may have set our clock: what was written by the old one is mended.
        if is_off(lease.record(), cloud.now()) {
            lease.renew(cloud).await?;
        }
        return Ok(lease);
    }
    let why = "others write it all the time".to_owned();
    Err(store_error(cluster, StoreError::failed(CloudErrorKind::Unavailable, why)))
}

fn new_record(request: &LeaseRequest, now: Timestamp) -> LeaseRecord {
    LeaseRecord {
        format_version: 1,
        holder: request.holder.clone(),
        token: request.token.clone(),
        taken_at: now,
        expires_at: later(now, TERM),
    }
}

/// Whether a lease of this moment ends too early or too late for one.
pub(super) fn is_off(record: &LeaseRecord, now: Timestamp) -> bool {
    record.is_due(now) || record.expires_at > later(now, TERM + CLOCK_MARGIN)
}

/// Waits until nobody holds the lease, without taking it: whoever plans after that plans for the
/// world that the other run leaves. `on_wait` is told once who holds it and until when we wait.
///
/// # Errors
/// [`LeaseError::Locked`] when another run still holds it at the end.
pub async fn wait_until_free<C: Cloud>(
    cloud: &C,
    cluster: &str,
    wait_max: Duration,
    on_wait: &(dyn Fn(&LeaseRecord, Timestamp) + Sync),
) -> Result<(), LeaseError> {
    let stop = StopSignal::new();
    let mut wait = Wait { cluster, wait_max, stop: &stop, on_wait, deadline: None };
    wait.until_free(cloud, None).await.map(|_| ())
}

struct Wait<'a> {
    cluster: &'a str,
    wait_max: Duration,
    stop: &'a StopSignal,
    on_wait: &'a (dyn Fn(&LeaseRecord, Timestamp) + Sync),
    /// Set when somebody is found to hold it: by then the bucket has told the time.
    deadline: Option<Timestamp>,
}

impl Wait<'_> {
    /// Looks again and again, until the lease may be taken by the run with this token, or the wait is
    /// over.
    async fn until_free<C: Cloud>(
        &mut self,
        cloud: &C,
        token: Option<&str>,
    ) -> Result<Next, LeaseError> {
        loop {
            let Some((record, etag)) = read_entry(cloud, self.cluster).await? else {
                return Ok(Next::Try(Condition::Absent));
            };
            let now = cloud.now();
            if token == Some(record.token.as_str()) {
                return Ok(Next::Ours(record, etag));
            }
            if record.free_at() <= now {
                return Ok(Next::Try(Condition::Match(etag)));
            }
            let is_first = self.deadline.is_none();
            let deadline = *self.deadline.get_or_insert_with(|| later(now, self.wait_max));
            if now >= deadline {
                return Err(LeaseError::Locked { cluster: self.cluster.to_owned(), record });
            }
            if is_first {
                (self.on_wait)(&record, deadline);
            }
            if sleep_or_stop(cloud, POLL, self.stop).await {
                return Err(LeaseError::Stopped(self.cluster.to_owned()));
            }
        }
    }
}
