//! Time that runs faster: a roll waits for minutes, a test does not.
//!
//! The ports of a roll tell a time that runs from the test's start on, so many times as fast as this
//! machine's. What AWS tells of times is moved likewise; the simulated API server's clock runs so by
//! itself. Nothing else about the ports is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kprod::cloud::{
    Call, Cloud, CloudError, Condition, Entry, Observation, Observed, Query, Reply, RetryPolicy,
    StoreError, TaggedInstance, TargetsByGroup, VersionFacts,
};
use kprod::kube::{Kube, KubeCall, KubeError, KubeView};
use kprod::resource::Key;
use serde::{Deserialize, Serialize};

/// A clock that was right at one moment and has run faster since.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct FastTime {
    start: Timestamp,
    times: u32,
}

impl FastTime {
    /// So many times as fast from now on.
    pub(super) fn from_now(times: u32) -> Self {
        Self { start: Timestamp::now(), times }
    }

    /// What it shows when this machine's clock shows `real`.
    pub(super) fn at(self, real: Timestamp) -> Timestamp {
        let passed = real.duration_since(self.start);
        self.start + passed * i32::try_from(self.times).unwrap()
    }

    /// How long a time of it really takes.
    pub(super) fn really(self, duration: Duration) -> Duration {
        duration / self.times
    }
}

/// A cloud or an API server in fast time.
pub(super) struct Fast<P> {
    port: P,
    time: FastTime,
}

impl<P> Fast<P> {
    pub(super) fn new(port: P, time: FastTime) -> Self {
        Self { port, time }
    }
}

impl<C: Cloud> Cloud for Fast<C> {
    fn name(&self) -> &'static str {
        self.port.name()
    }

    async fn observe(&self, query: &Query) -> Result<Observation, CloudError> {
        self.port.observe(query).await
    }

    async fn groups(&self, query: &Query) -> Result<BTreeMap<Key, Observed>, CloudError> {
        self.port.groups(query).await
    }

    async fn versions(
        &self,
        wanted: &BTreeMap<String, BTreeSet<u64>>,
    ) -> Result<BTreeMap<String, BTreeMap<u64, VersionFacts>>, CloudError> {
        self.port.versions(wanted).await
    }

    async fn instances(&self, cluster: &str) -> Result<Vec<TaggedInstance>, CloudError> {
        let mut found = self.port.instances(cluster).await?;
        for machine in &mut found {
            machine.launched_at = machine.launched_at.map(|at| self.time.at(at));
        }
        Ok(found)
    }

    async fn targets(&self, arns: &BTreeSet<String>) -> Result<TargetsByGroup, CloudError> {
        self.port.targets(arns).await
    }

    async fn statuses(
        &self,
        instance_ids: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, String>, CloudError> {
        self.port.statuses(instance_ids).await
    }

    async fn places_kept(&self, group: &str) -> Result<BTreeSet<String>, CloudError> {
        self.port.places_kept(group).await
    }

    async fn call(&self, call: &Call) -> Result<Reply, CloudError> {
        self.port.call(call).await
    }

    fn now(&self) -> Timestamp {
        self.time.at(self.port.now())
    }

    fn retry(&self) -> RetryPolicy {
        self.port.retry()
    }

    async fn sleep(&self, duration: Duration) {
        self.port.sleep(self.time.really(duration)).await;
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let found = self.port.get(key).await?;
        Ok(found.map(|entry| Entry { written_at: self.time.at(entry.written_at), ..entry }))
    }

    async fn put(
        &self,
        key: &str,
        body: Vec<u8>,
        condition: Condition,
    ) -> Result<String, StoreError> {
        self.port.put(key, body, condition).await
    }

    async fn remove(&self, key: &str, condition: Condition) -> Result<(), StoreError> {
        self.port.remove(key, condition).await
    }
}

impl<K: Kube> Kube for Fast<K> {
    async fn view(&self) -> Result<Arc<KubeView>, KubeError> {
        let mut view = self.port.view().await?;
        Arc::make_mut(&mut view).seen_at = self.time.at(view.seen_at);
        Ok(view)
    }

    async fn changed(&self, seen: u64, at_most: Duration) {
        self.port.changed(seen, self.time.really(at_most)).await;
    }

    async fn call(&self, call: &KubeCall) -> Result<(), KubeError> {
        self.port.call(call).await
    }

    async fn ready(&self) -> Result<(), KubeError> {
        self.port.ready().await
    }
}
