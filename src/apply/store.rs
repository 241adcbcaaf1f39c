//! Requests to the state bucket, tried again while that may help. The port makes each request once.
//!
//! A write whose answer was lost is sent again under the same condition, which then does not hold:
//! it ends as a conflict, and whoever wrote recognises its own content.

use std::time::Duration;

use super::engine::since;
use crate::cloud::retry::RetryLimits;
use crate::cloud::{Cloud, Condition, Entry, StoreError};

/// For a run that has not begun, and for one that writes down what it must not forget: throttling
/// for a minute is outlived.
pub const PATIENT: RetryLimits = RetryLimits {
    base: Duration::from_millis(500),
    wait_max: Duration::from_secs(5),
    attempts_max: 100,
    deadline: Duration::from_secs(120),
};

/// For what may as well stay undone: the lease ends by itself, the journal is a hint.
pub const BRIEF: RetryLimits = RetryLimits {
    base: Duration::from_millis(500),
    wait_max: Duration::from_secs(2),
    attempts_max: 5,
    deadline: Duration::from_secs(10),
};

/// Reads an object.
pub(crate) async fn get<C: Cloud>(
    cloud: &C,
    key: &str,
    limits: RetryLimits,
) -> Result<Option<Entry>, StoreError> {
    persist(cloud, limits, || cloud.get(key)).await
}

/// Writes an object under a condition and gives its new entity tag.
pub(crate) async fn put<C: Cloud>(
    cloud: &C,
    key: &str,
    body: &[u8],
    condition: &Condition,
    limits: RetryLimits,
) -> Result<String, StoreError> {
    persist(cloud, limits, || cloud.put(key, body.to_vec(), condition.clone())).await
}

/// Removes an object under a condition.
pub(crate) async fn remove<C: Cloud>(
    cloud: &C,
    key: &str,
    condition: &Condition,
    limits: RetryLimits,
) -> Result<(), StoreError> {
    persist(cloud, limits, || cloud.remove(key, condition.clone())).await
}

/// Sends a request until it is answered, or its limits are reached.
///
/// # Errors
/// The last answer.
pub async fn persist<C: Cloud, T, F>(
    cloud: &C,
    limits: RetryLimits,
    request: impl Fn() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let limits = cloud.retry().within(limits);
    let started = cloud.now();
    let mut rng = jitter(started);
    let mut attempts = 1;
    loop {
        let error = match request().await {
            Err(error) if error.is_passing() => error,
            result => return result,
        };
        let elapsed = since(cloud.now(), started);
        let Some(wait) = limits.wait(attempts, elapsed, rng.f64()) else { return Err(error) };
        cloud.sleep(wait).await;
        attempts += 1;
    }
}

/// Waits that differ from run to run, and are the same when a simulation is run again.
pub(super) fn jitter(now: jiff::Timestamp) -> fastrand::Rng {
    fastrand::Rng::with_seed(now.as_microsecond().unsigned_abs())
}
