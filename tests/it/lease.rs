//! The lease of a whole run on the simulator: kept through whatever takes long, and what becomes of a
//! run that lost it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use kprod::apply::lease::{self, LONGEST_CALL, LeaseRecord};
use kprod::apply::{self, StopSignal, journal};
use kprod::cloud::sim::SimCloud;
use kprod::cloud::{
    Call, Cloud, CloudError, Condition, Entry, Observation, Observed, Query, Reply, StoreError,
    TaggedInstance, TargetsByGroup, VersionFacts,
};
use kprod::error::ExitCode;
use kprod::plan::PlanOptions;
use kprod::resource::Key;

use super::apply::{STAGING, account_for, plan, request, spec_of, told};
use crate::cli::run;
use crate::env;

/// A cloud that takes its time to be looked at, and notes at each request how much of the lease is
/// left by then.
struct Slow {
    inner: SimCloud,
    look: Duration,
    left: Mutex<Vec<i64>>,
}

impl Slow {
    /// Seconds that remain of the lease, if somebody holds it.
    fn note(&self) {
        let lease = self.inner.with_world(|world| {
            let object = world.objects.get(&lease::key(STAGING))?;
            serde_json::to_value(&object.body).ok()
        });
        let Some(body) = lease.unwrap() else { return };
        let record: LeaseRecord = serde_json::from_str(body["text"].as_str().unwrap()).unwrap();
        let left = record.expires_at.duration_since(self.inner.now()).as_secs();
        self.left.lock().unwrap().push(left);
    }

    fn least_left(&self) -> i64 {
        self.left.lock().unwrap().iter().copied().min().unwrap()
    }
}

impl Cloud for Slow {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn observe(&self, query: &Query) -> Result<Observation, CloudError> {
        self.note();
        self.inner.sleep(self.look).await;
        self.note();
        self.inner.observe(query).await
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

    async fn groups(&self, query: &Query) -> Result<BTreeMap<Key, Observed>, CloudError> {
        self.note();
        self.inner.sleep(self.look).await;
        self.note();
        self.inner.groups(query).await
    }

    async fn places_kept(&self, group: &str) -> Result<BTreeSet<String>, CloudError> {
        self.inner.places_kept(group).await
    }

    async fn call(&self, call: &Call) -> Result<Reply, CloudError> {
        self.note();
        self.inner.call(call).await
    }

    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.inner.sleep(duration).await;
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.inner.get(key).await
    }

    async fn put(
        &self,
        key: &str,
        body: Vec<u8>,
        condition: Condition,
    ) -> Result<String, StoreError> {
        self.inner.put(key, body, condition).await
    }

    async fn remove(&self, key: &str, condition: Condition) -> Result<(), StoreError> {
        self.inner.remove(key, condition).await
    }
}

/// Each look takes longer than a lease lasts: the lease covers one more call at every moment.
#[tokio::test]
async fn a_lease_is_kept_through_looks_that_take_longer_than_it_lasts() {
    let spec = spec_of(STAGING);
    let inner = account_for(&spec, 1);
    let (plan, query) = plan(&inner, &spec, &PlanOptions::default()).await;
    let cloud = Slow { inner, look: lease::TERM + LONGEST_CALL, left: Mutex::default() };
    let stop = StopSignal::new();
    let report = apply::run(&cloud, &request(&plan, &query, "ann"), &stop, &|_| ()).await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Done, "{}", told(&report));
    let least = cloud.least_left();
    assert!(least >= 70, "only {least} s of the lease were left once");
}

/// Somebody takes the lease over while a run waits for its machines: the run ends as lost, and leaves
/// the other one's lease and journal alone.
#[tokio::test]
async fn a_run_that_lost_its_lease_leaves_the_next_ones_things_alone() {
    let spec = spec_of(STAGING);
    let cloud = account_for(&spec, 1);
    let (plan, query) = plan(&cloud, &spec, &PlanOptions::default()).await;
    let stop = StopSignal::new();
    let thief = cloud.clone();
    let (holder, mut seen) = ("bob@ci (process 2)", 0);
    let counter = Mutex::new(&mut seen);
    let announce = |event: kprod::event::Event| {
        if !matches!(event, kprod::event::Event::CallMade { .. }) {
            return;
        }
        let mut calls = counter.lock().unwrap();
        **calls += 1;
        if **calls == 20 {
            thief
                .with_world(|world| {
                    for (key, field) in
                        [(lease::key(STAGING), "token"), (journal::key(STAGING), "run")]
                    {
                        let object = world.objects.get_mut(&key).unwrap();
                        let mut body = serde_json::to_value(&object.body).unwrap();
                        let mut record: serde_json::Value =
                            serde_json::from_str(body["text"].as_str().unwrap()).unwrap();
                        record[field] = "another".into();
                        record["holder"] = holder.into();
                        record["started_at"] = "2099-01-01T00:00:00Z".into();
                        body["text"] = record.to_string().into();
                        object.body = serde_json::from_value(body).unwrap();
                        object.etag = format!("{}-changed", object.etag);
                    }
                })
                .unwrap();
        }
    };
    let report =
        apply::run(&cloud, &request(&plan, &query, "ann"), &stop, &announce).await.unwrap();
    assert_eq!(report.exit_code(), ExitCode::Halted, "{}", told(&report));
    assert!(report.failure.unwrap().message.contains(holder));
    assert_eq!(lease::read(&cloud, STAGING).await.unwrap().unwrap().holder, holder);
    assert_eq!(journal::read_last(&cloud, STAGING).await.unwrap().unwrap().holder, holder);
}

#[test]
fn the_simulator_needs_no_bucket_and_shows_lease_and_last_run() {
    let fleet = env::fleet();
    let at = fleet.path();
    let (code, _, said) = run(at, &["state", "create", STAGING]);
    assert!(code == 0 && said.contains("needs no bucket"), "{said}");
    let (code, text, _) = run(at, &["state", "show", STAGING]);
    assert!(
        code == 0 && text.contains("nobody holds it") && text.contains("last run  none"),
        "{text}"
    );
    assert_eq!(run(at, &["apply", STAGING, "--yes"]).0, 0);
    let (code, text, _) = run(at, &["state", "show", STAGING]);
    assert!(code == 0 && text.contains(": done"), "{text}");
}
