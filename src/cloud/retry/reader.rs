//! Reading through trouble: each single read is tried again on its own, so that one throttled call
//! does not repeat the others of a look.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::RetryPolicy;
use crate::cloud::{Cloud, CloudError};

/// A read that failed and is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRetry {
    /// The AWS operation.
    pub operation: String,
    /// How often it has failed.
    pub attempt: u32,
    /// How long until the next attempt.
    pub wait: Duration,
    /// What AWS said.
    pub why: String,
}

/// Whoever wants to hear of reads that are tried again.
pub type Listener = Arc<dyn Fn(&ReadRetry) + Send + Sync>;

/// What all reads of one cloud share: limits, randomness, and who is told.
pub struct Reader {
    state: Mutex<State>,
}

struct State {
    policy: RetryPolicy,
    rng: fastrand::Rng,
    listener: Option<Listener>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("policy", &self.state().policy).finish_non_exhaustive()
    }
}

impl Reader {
    /// A reader with the usual limits that tells nobody.
    pub fn new(rng: fastrand::Rng) -> Self {
        let state = State { policy: RetryPolicy::default(), rng, listener: None };
        Self { state: Mutex::new(state) }
    }

    /// From now on these limits count.
    pub fn limit(&self, policy: RetryPolicy) {
        self.state().policy = policy;
    }

    /// The limits that count.
    pub fn policy(&self) -> RetryPolicy {
        self.state().policy
    }

    /// From now on this one is told, in place of whoever was before.
    pub fn listen(&self, listener: Listener) {
        self.state().listener = Some(listener);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads, and again within the limits. Dropping the future ends it at once.
    ///
    /// # Errors
    /// The last error, when trying again cannot help or has lasted too long.
    pub async fn read<C, T, F>(&self, cloud: &C, attempt: impl Fn() -> F) -> Result<T, CloudError>
    where
        C: Cloud,
        F: Future<Output = Result<T, CloudError>>,
    {
        let started = cloud.now();
        let mut attempts = 1;
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let elapsed = Duration::try_from(cloud.now().duration_since(started));
            let wait = self.wait(&error, attempts, elapsed.unwrap_or_default());
            let Some(wait) = wait else { return Err(error) };
            self.tell(&ReadRetry {
                operation: error.operation.clone(),
                attempt: attempts,
                wait,
                why: error.to_string(),
            });
            cloud.sleep(wait).await;
            attempts += 1;
        }
    }

    fn wait(&self, error: &CloudError, attempts: u32, elapsed: Duration) -> Option<Duration> {
        let mut state = self.state();
        let limits = state.policy.limits_of_read(error.kind)?;
        limits.wait(attempts, elapsed, state.rng.f64())
    }

    fn tell(&self, retry: &ReadRetry) {
        let listener = self.state().listener.clone();
        if let Some(listener) = listener {
            listener(retry);
        }
    }
}
