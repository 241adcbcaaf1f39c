//! A run's link to the cloud: looking and calling, with the one retry layer there is.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::engine::{CallEnd, Engine, earlier, millis, since};
use super::failure::cloud_failure;
use super::journal::JournalStep;
use super::lease::LONGEST_CALL;
use super::retry;
use crate::cloud::{
    Call, Cloud, CloudError, CloudErrorKind, Observation, Query, Reply, VersionFacts,
};
use crate::error::Failure;
use crate::event::Event;
use crate::resource::Key;

/// An observation may be so old when a change begins.
const OBSERVATION_AGE_MAX: Duration = Duration::from_secs(5);

impl<C: Cloud> Engine<'_, C> {
    /// An observation not much older than now.
    pub(super) async fn recent(&self) -> Result<Arc<Observation>, Failure> {
        self.look(earlier(self.cloud.now(), OBSERVATION_AGE_MAX)).await
    }

    /// An observation taken at `oldest` or later. Whoever asks at the same time shares it.
    pub(super) async fn look(&self, oldest: Timestamp) -> Result<Arc<Observation>, Failure> {
        let _one_at_a_time = self.looking.lock().await;
        if let Some(observation) = self.world().seen_since(oldest) {
            return Ok(observation);
        }
        let at = self.cloud.now();
        let observation = Arc::new(self.read(|| self.cloud.observe(&self.query)).await?);
        self.world().see(at, observation.clone());
        Ok(observation)
    }

    /// A look for those who wait for machines: whatever costs a call each is left out. It is never
    /// taken for a whole one.
    pub(super) async fn look_at_machines(&self) -> Result<Arc<Observation>, Failure> {
        let query = Query { deep: false, ..self.query.clone() };
        Ok(Arc::new(self.read(|| self.cloud.observe(&query)).await?))
    }

    /// Versions of one launch template: those asked for and the newest.
    pub(super) async fn versions(
        &self,
        template: &str,
        wanted: BTreeSet<u64>,
    ) -> Result<BTreeMap<u64, VersionFacts>, Failure> {
        let wanted = BTreeMap::from([(template.to_owned(), wanted)]);
        let mut versions = self.read(|| self.cloud.versions(&wanted)).await?;
        Ok(versions.remove(template).unwrap_or_default())
    }

    async fn read<T, F>(&self, read: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, CloudError>>,
    {
        let started = self.cloud.now();
        let mut attempts = 1;
        loop {
            let error = match read().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            // A read whose answer was lost is read again: nothing hangs on it.
            let kind = match error.kind {
                CloudErrorKind::AnswerLost => CloudErrorKind::Unavailable,
                kind => kind,
            };
            let elapsed = since(self.cloud.now(), started);
            let wait = retry::limits(kind).and_then(|l| l.wait(attempts, elapsed, self.draw()));
            let Some(wait) = wait else { return Err(cloud_failure(&error)) };
            self.pause(wait).await?;
            attempts += 1;
        }
    }

    /// Makes one call of a change: lease first, retries within their limits.
    pub(super) async fn call(&self, address: &Key, call: &Call) -> Result<Reply, CallEnd> {
        let operation = call.operation();
        let started = self.cloud.now();
        let mut attempts = 1;
        loop {
            self.check_stop();
            if let Some(failure) = self.halted() {
                return Err(CallEnd::Halted(failure));
            }
            self.keep_lease().await.map_err(CallEnd::Halted)?;
            let error = match self.call_once(call, &operation).await {
                Ok(reply) => {
                    let operation = operation.clone();
                    self.note(address, JournalStep::Call { operation: operation.clone() }).await;
                    self.announce(Event::CallMade { address: address.clone(), operation });
                    return Ok(reply);
                }
                Err(error) => error,
            };
            if error.kind == CloudErrorKind::NotFound && is_removal(call, &operation) {
                return Ok(Reply::default());
            }
            let elapsed = since(self.cloud.now(), started);
            let limits = retry::limits(error.kind);
            let wait = limits.and_then(|limits| limits.wait(attempts, elapsed, self.draw()));
            let Some(wait) = wait else { return Err(CallEnd::Refused(error)) };
            self.announce(Event::Retrying {
                address: address.clone(),
                operation: operation.clone(),
                attempt: attempts,
                wait_ms: millis(wait),
                why: error.to_string(),
            });
            self.pause(wait).await.map_err(CallEnd::Halted)?;
            attempts += 1;
        }
    }

    /// The lease's law rests on this limit.
    async fn call_once(&self, call: &Call, operation: &str) -> Result<Reply, CloudError> {
        match tokio::time::timeout(LONGEST_CALL, self.cloud.call(call)).await {
            Ok(result) => result,
            Err(_) => Err(CloudError::new(
                CloudErrorKind::AnswerLost,
                operation,
                "RequestTimeout",
                format!("no answer within {} s", LONGEST_CALL.as_secs()),
            )),
        }
    }
}

/// Whether not finding its object means that a call's work is done already.
fn is_removal(call: &Call, operation: &str) -> bool {
    const REMOVE: [&str; 5] = ["Delete", "Revoke", "Detach", "Remove", "Untag"];
    match call {
        // Records went with their zone.
        Call::ChangeResourceRecordSets { upsert, .. } => upsert.is_empty(),
        _ => REMOVE.iter().any(|verb| operation.starts_with(verb)),
    }
}
