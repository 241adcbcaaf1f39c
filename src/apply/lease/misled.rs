//! A simulated cloud that is reached from a machine with a wrong clock (until the bucket has answered,
//! the machine's time is all there is), or from one that falls asleep.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Lease, LeaseError, LeaseRequest, take};
use crate::apply::StopSignal;
use crate::cloud::sim::SimCloud;
use crate::cloud::{
    Call, Cloud, CloudError, Condition, Entry, Observation, Observed, Query, Reply, StoreError,
    TaggedInstance, TargetsByGroup, VersionFacts,
};
use crate::resource::Key;

pub(super) struct Misled {
    inner: SimCloud,
    off_secs: i64,
    has_heard: AtomicBool,
    nap: Mutex<Option<Duration>>,
}

impl Misled {
    pub(super) fn by(off_secs: i64) -> Self {
        Self {
            inner: SimCloud::in_memory(1),
            off_secs,
            has_heard: AtomicBool::new(false),
            nap: Mutex::default(),
        }
    }

    /// The next write is done, and then the machine sleeps for so long before it hears of that.
    /// Meanwhile somebody removes what it wrote.
    pub(super) fn falls_asleep_in_the_next_write(&self, nap: Duration) {
        *self.nap.lock().unwrap() = Some(nap);
    }

    fn hear<T>(&self, answer: T) -> T {
        self.has_heard.store(true, Ordering::SeqCst);
        answer
    }
}

pub(super) async fn try_take_on(cloud: &Misled) -> Result<Lease, LeaseError> {
    let request = LeaseRequest {
        cluster: "c".to_owned(),
        holder: "ann".to_owned(),
        token: "t".to_owned(),
        wait_max: Duration::ZERO,
    };
    take(cloud, &request, &StopSignal::new(), &|_, _| ()).await
}

impl Cloud for Misled {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn observe(&self, query: &Query) -> Result<Observation, CloudError> {
        self.inner.observe(query).await
    }

    async fn groups(&self, query: &Query) -> Result<BTreeMap<Key, Observed>, CloudError> {
        self.inner.groups(query).await
    }

    async fn versions(
        &self,
        wanted: &BTreeMap<String, BTreeSet<u64>>,
    ) -> Result<BTreeMap<String, BTreeMap<u64, VersionFacts>>, CloudError> {
        self.inner.versions(wanted).await
    }

    async fn instances(&self, cluster: &str) -> Result<Vec<TaggedInstance>, CloudError> {
        self.inner.instances(cluster).await
    }

    async fn targets(&self, arns: &BTreeSet<String>) -> Result<TargetsByGroup, CloudError> {
        self.inner.targets(arns).await
    }

    async fn statuses(
        &self,
        instance_ids: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, String>, CloudError> {
        self.inner.statuses(instance_ids).await
    }

    async fn places_kept(&self, group: &str) -> Result<BTreeSet<String>, CloudError> {
        self.inner.places_kept(group).await
    }

    async fn call(&self, call: &Call) -> Result<Reply, CloudError> {
        self.inner.call(call).await
    }

    fn now(&self) -> Timestamp {
        let off_secs = if self.has_heard.load(Ordering::SeqCst) { 0 } else { self.off_secs };
        self.inner.now() + SignedDuration::from_secs(off_secs)
    }

    async fn sleep(&self, duration: Duration) {
        self.inner.sleep(duration).await;
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.hear(self.inner.get(key).await)
    }

    async fn put(
        &self,
        key: &str,
        body: Vec<u8>,
        condition: Condition,
    ) -> Result<String, StoreError> {
        let answer = self.inner.put(key, body, condition).await;
        let nap = self.nap.lock().unwrap().take();
        if let Some(nap) = nap {
            self.inner.remove(key, Condition::Match(answer.clone()?)).await?;
            self.inner.sleep(nap).await;
        }
        self.hear(answer)
    }

    async fn remove(&self, key: &str, condition: Condition) -> Result<(), StoreError> {
        self.hear(self.inner.remove(key, condition).await)
    }
}
