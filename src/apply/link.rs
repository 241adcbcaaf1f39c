//! A run's link to the cloud: looking, and calling with its retries. The cloud itself tries reads
//! again; before a second attempt at a change, lease and wish to stop are looked at here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;

use super::engine::{CallEnd, Engine, earlier, millis, since};
use super::failure::{cloud_failure, stopped};
use super::journal::JournalStep;
use super::lease::LONGEST_CALL;
use crate::cloud::{
    Call, Cloud, CloudError, CloudErrorKind, Denial, Observation, Observed, Reply, VersionFacts,
};
use crate::error::Failure;
use crate::event::Event;
use crate::resource::Key;

/// An observation may be so old when a change begins.
const OBSERVATION_AGE_MAX: Duration = Duration::from_secs(5);

/// How often the lease is looked after while a read takes long.
const HEARTBEAT: Duration = Duration::from_secs(30);

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
        let observation = Arc::new(self.read(self.cloud.observe(&self.query)).await?);
        self.world().see(at, observation.clone());
        Ok(observation)
    }

    /// A look for those who wait for machines: at the groups alone.
    pub(super) async fn look_at_groups(&self) -> Result<Arc<BTreeMap<Key, Observed>>, Failure> {
        Ok(Arc::new(self.read(self.cloud.groups(&self.query)).await?))
    }

    /// Versions of one launch template: those asked for and the newest.
    pub(super) async fn versions(
        &self,
        template: &str,
        wanted: BTreeSet<u64>,
    ) -> Result<BTreeMap<u64, VersionFacts>, Failure> {
        let wanted = BTreeMap::from([(template.to_owned(), wanted)]);
        let mut versions = self.read(self.cloud.versions(&wanted)).await?;
        Ok(versions.remove(template).unwrap_or_default())
    }

    /// Waits for a read, which the cloud itself tries again where that helps. Meanwhile the lease is
    /// kept; a wish to stop ends it at once, since nothing hangs on a read.
    async fn read<T>(
        &self,
        read: impl Future<Output = Result<T, CloudError>>,
    ) -> Result<T, Failure> {
        let mut read = std::pin::pin!(read);
        loop {
            tokio::select! {
                biased;
                () = self.stop.requested() => {
                    self.check_stop();
                    return Err(self.halted().unwrap_or_else(stopped));
                }
                result = &mut read => return result.map_err(|error| self.failure_of(&error)),
                () = self.cloud.sleep(HEARTBEAT) => self.keep_lease().await?,
            }
        }
    }

    /// A failed call as a failure. What every other call would meet as well stops the run.
    pub(super) fn failure_of(&self, error: &CloudError) -> Failure {
        let has_begun = self.has_begun.load(Ordering::SeqCst);
        self.denials().extend(Denial::of(error));
        let failure = cloud_failure(error, has_begun);
        if error.kind.ends_the_run() {
            self.halt(failure.clone());
        }
        failure
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
            self.ensure_lease().await.map_err(CallEnd::Halted)?;
            let error = match self.call_once(call, &operation).await {
                Ok(reply) => {
                    let operation = operation.clone();
                    self.note(address, JournalStep::Call { operation: operation.clone() }).await;
                    self.announce(Event::CallMade { address: address.clone(), operation });
                    return Ok(reply);
                }
                Err(error) => error,
            };
            if is_done_in_part(call, &error) {
                return Err(CallEnd::Refused(error));
            }
            if error.kind == CloudErrorKind::NotFound && is_removal(call, &operation) {
                return Ok(Reply::default());
            }
            let elapsed = since(self.cloud.now(), started);
            if error.kind.ends_the_run() {
                return Err(CallEnd::Halted(self.failure_of(&error)));
            }
            let limits = self.cloud.retry().limits(error.kind);
            let wait = limits.and_then(|limits| limits.wait(attempts, elapsed, self.draw()));
            let Some(wait) = wait else { return Err(CallEnd::Refused(error)) };
            self.announce(Event::Retrying {
                address: Some(address.clone()),
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
        self.has_begun.store(true, Ordering::SeqCst);
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

/// Whether a part of a call's work was done before and the rest was refused with it: one rule of
/// several is gone, and the others stay. Only a look tells which.
/// Source: EC2 API reference, RevokeSecurityGroupIngress: in a VPC of one's own, values that match no
/// rule give `InvalidPermission.NotFound`, and no rule is revoked.
pub(super) fn is_done_in_part(call: &Call, error: &CloudError) -> bool {
    let rules = match call {
        Call::RevokeSecurityGroupIngress { rules, .. }
        | Call::RevokeSecurityGroupEgress { rules, .. } => rules,
        _ => return false,
    };
    rules.len() > 1 && error.code == "InvalidPermission.NotFound"
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
