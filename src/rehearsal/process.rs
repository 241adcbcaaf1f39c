//! One process of kprod in a simulation: the ports that it sees, between it and the world.
//!
//! Everything it asks goes through here. Before a changing request is sent, the invariants are checked
//! on the truth of that moment; then the dice say what befalls it. A process that was killed never gets
//! another answer.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::act::Act;
use super::dice::{Dice, Strike};
use super::fault::Fault;
use super::stage::Stage;
use super::weather;
use crate::cloud::retry::RetryPolicy;
use crate::cloud::sim::SimCloud;
use crate::cloud::{
    Call, Cloud, CloudError, CloudErrorKind, Condition, Entry, Observation, Observed, Query, Reply,
    StoreError, TaggedInstance, TargetsByGroup, VersionFacts,
};
use crate::kube::{Kube, KubeCall, KubeError, KubeErrorKind, KubeView};
use crate::resource::Key;
use crate::sim::World;

/// No process runs longer, in virtual time: two days are more than any roll of a rehearsal takes.
const RUN_SECS_MAX: i64 = 48 * 3600;

/// No process makes more requests, reads among them.
const REQUESTS_MAX: u64 = 30_000;

/// What both ports of a process share.
struct Shared {
    started: Timestamp,
    /// Who it is: the holder of its lease.
    name: String,
    cloud: SimCloud,
    stage: Arc<Stage>,
    dice: Mutex<Dice>,
    crashed: watch::Sender<bool>,
}

/// A process: what it sees of the cloud. Clones are the same process.
#[derive(Clone)]
pub struct Process {
    shared: Arc<Shared>,
}

/// What a process sees of the API server.
pub struct ProcessKube<K> {
    process: Process,
    kube: K,
    /// The picture that the watches gave last.
    last: Mutex<Option<Last>>,
}

impl Process {
    /// A process that has just been started.
    pub fn start(name: &str, cloud: SimCloud, stage: Arc<Stage>, dice: Dice) -> Self {
        let (crashed, _) = watch::channel(false);
        let (name, dice, started) = (name.to_owned(), Mutex::new(dice), cloud.now());
        Self { shared: Arc::new(Shared { started, name, cloud, stage, dice, crashed }) }
    }

    /// What it sees of an API server.
    pub fn kube<K: Kube>(&self, kube: K) -> ProcessKube<K> {
        ProcessKube { process: self.clone(), kube, last: Mutex::default() }
    }

    /// Resolves when it is killed: whoever runs it then drops it.
    pub async fn crashed(&self) {
        // The sender lives as long as the process does.
        let _ = self.shared.crashed.subscribe().wait_for(|crashed| *crashed).await;
    }

    /// Notes something that is broken and that no checker of a moment can see; it is killed.
    pub fn accuse(&self, invariant: &'static str, how: String) {
        self.shared.stage.accuse(invariant, how);
        self.shared.crashed.send_replace(true);
    }

    /// Notes something that it says.
    pub fn note(&self, what: &str) {
        self.shared.stage.note(self.shared.cloud.now(), &self.shared.name, what);
    }

    /// Whether the request that was laid down has come.
    pub fn was_struck(&self) -> bool {
        self.dice().was_struck()
    }

    fn dice(&self) -> MutexGuard<'_, Dice> {
        self.shared.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody answers a process that was killed, or that goes on for ever.
    async fn alive(&self) {
        let requests = self.dice().count();
        if requests > REQUESTS_MAX && !*self.shared.crashed.borrow() {
            self.accuse("I15", format!("{} makes {requests} requests", self.shared.name));
        }
        let elapsed = self.shared.cloud.now().duration_since(self.shared.started);
        if elapsed > SignedDuration::from_secs(RUN_SECS_MAX) && !*self.shared.crashed.borrow() {
            self.accuse("I15", format!("{} is not over after {elapsed:#}", self.shared.name));
        }
        if *self.shared.crashed.borrow() {
            std::future::pending::<()>().await;
        }
    }

    async fn die<T>(&self) -> T {
        self.shared.crashed.send_replace(true);
        std::future::pending().await
    }

    /// Has the stage look at the world as it is now.
    fn look(&self) {
        let stage = &self.shared.stage;
        // A world in memory never fails to be read.
        let _ = self.shared.cloud.with_world(|world| stage.look_once(world));
    }

    /// Checks an act on the truth; whether it broke an invariant.
    fn is_wrong(&self, act: &Act<'_>) -> bool {
        let Shared { stage, name, .. } = &*self.shared;
        let checked = self.shared.cloud.with_world(|world| stage.check(world, name, act));
        !checked.unwrap_or(true)
    }

    fn told(&self, act: &Act<'_>, outcome: &str) {
        let Shared { stage, name, .. } = &*self.shared;
        let _ = self.shared.cloud.with_world(|world| stage.done(world, name, act, outcome));
    }

    /// Makes one changing request, whatever befalls it.
    async fn make<T, E, F>(
        &self,
        act: Act<'_>,
        fault: impl Fn(CloudErrorKind) -> E,
        outcome: impl Fn(&E) -> String,
        request: impl Fn() -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.alive().await;
        if self.dice().credentials_ended() {
            return Err(fault(CloudErrorKind::CredentialsEnded));
        }
        if let Some(event) = self.dice().event() {
            let stage = &self.shared.stage;
            let _ = self.shared.cloud.with_world(|world| weather::happen(world, stage, &event));
        }
        if self.is_wrong(&act) {
            return self.die().await;
        }
        let strike = self.dice().strike();
        let refused = match strike {
            Some(Strike::CrashBefore) => {
                self.told(&act, "killed before");
                return self.die().await;
            }
            Some(Strike::Throttled) => Some(CloudErrorKind::Throttled),
            Some(Strike::Unavailable) => Some(CloudErrorKind::Unavailable),
            _ => None,
        };
        if let Some(kind) = refused {
            self.told(&act, "refused");
            return Err(fault(kind));
        }
        let result = self.watched(&act, &request).await;
        let told = result.as_ref().map_or_else(&outcome, |_| "ok".to_owned());
        self.told(&act, &told);
        match strike {
            Some(Strike::CrashAfter) => {
                self.told(&act, "killed after");
                self.die().await
            }
            Some(Strike::Lost) if result.is_ok() => {
                self.told(&act, "answer lost");
                Err(fault(CloudErrorKind::AnswerLost))
            }
            Some(Strike::Duplicate) => {
                let again = self.watched(&act, &request).await;
                let told = again.as_ref().map_or_else(&outcome, |_| "ok".to_owned());
                self.told(&act, &format!("again: {told}"));
                result
            }
            _ => result,
        }
    }

    /// Sends a request, and takes note of how it changes a desired capacity.
    async fn watched<R, F>(&self, act: &Act<'_>, request: &impl Fn() -> F) -> R
    where
        F: Future<Output = R>,
    {
        let Some(group) = act.resizes() else { return request().await };
        let Shared { cloud, stage, .. } = &*self.shared;
        let desired = |world: &mut World| Some(world.groups.get(group)?.desired_capacity);
        // A world in memory never fails to be read.
        let before = cloud.with_world(desired).ok().flatten();
        let result = request().await;
        if let Some(before) = before {
            let _ = cloud.with_world(|world| stage.desired(world, group, before, act.asks_for()));
        }
        result
    }

    /// Whether a read of AWS can be made at all.
    async fn read(&self, operation: &str) -> Result<(), CloudError> {
        self.alive().await;
        self.look();
        if self.dice().credentials_ended() {
            return Err(cloud_error(operation, CloudErrorKind::CredentialsEnded));
        }
        Ok(())
    }

    /// Whether a listing comes in pages of different moments, and how far apart.
    fn torn(&self) -> Option<Duration> {
        self.dice().meets(Fault::Pages).then_some(Duration::from_millis(1_500))
    }
}

impl Cloud for Process {
    fn name(&self) -> &'static str {
        self.shared.cloud.name()
    }

    async fn observe(&self, query: &Query) -> Result<Observation, CloudError> {
        self.read("Observe").await?;
        self.shared.cloud.observe(query).await
    }

    async fn groups(&self, query: &Query) -> Result<BTreeMap<Key, Observed>, CloudError> {
        self.read("DescribeAutoScalingGroups").await?;
        let first = self.shared.cloud.groups(query).await?;
        let Some(apart) = self.torn() else { return Ok(first) };
        self.shared.cloud.sleep(apart).await;
        let second = self.shared.cloud.groups(query).await?;
        Ok(pages(first, second))
    }

    async fn versions(
        &self,
        wanted: &BTreeMap<String, BTreeSet<u64>>,
    ) -> Result<BTreeMap<String, BTreeMap<u64, VersionFacts>>, CloudError> {
        self.read("DescribeLaunchTemplateVersions").await?;
        self.shared.cloud.versions(wanted).await
    }

    async fn instances(&self, cluster: &str) -> Result<Vec<TaggedInstance>, CloudError> {
        self.read("DescribeInstances").await?;
        self.shared.cloud.instances(cluster).await
    }

    async fn targets(&self, arns: &BTreeSet<String>) -> Result<TargetsByGroup, CloudError> {
        self.read("DescribeTargetHealth").await?;
        self.shared.cloud.targets(arns).await
    }

    async fn statuses(
        &self,
        instance_ids: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, String>, CloudError> {
        self.read("DescribeInstanceStatus").await?;
        self.shared.cloud.statuses(instance_ids).await
    }

    async fn places_kept(&self, group: &str) -> Result<BTreeSet<String>, CloudError> {
        self.read("DescribeScalingActivities").await?;
        self.shared.cloud.places_kept(group).await
    }

    async fn call(&self, call: &Call) -> Result<Reply, CloudError> {
        let operation = call.operation();
        let fault = |kind| cloud_error(&operation, kind);
        let outcome = |error: &CloudError| error.code.clone();
        self.make(Act::Cloud(call), fault, outcome, || self.shared.cloud.call(call)).await
    }

    fn now(&self) -> Timestamp {
        let now = self.shared.cloud.now();
        let skew = SignedDuration::from_millis(self.dice().skew_ms());
        now.checked_add(skew).unwrap_or(now)
    }

    fn retry(&self) -> RetryPolicy {
        self.shared.cloud.retry()
    }

    async fn sleep(&self, duration: Duration) {
        self.alive().await;
        let more = self.dice().doze();
        if !more.is_zero() {
            self.shared.stage.note(self.shared.cloud.now(), &self.shared.name, "sleeps too long");
        }
        self.shared.cloud.sleep(duration + more).await;
        self.alive().await;
        self.look();
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.alive().await;
        self.look();
        if self.dice().credentials_ended() {
            return Err(store_error(CloudErrorKind::CredentialsEnded));
        }
        self.shared.cloud.get(key).await
    }

    async fn put(
        &self,
        key: &str,
        body: Vec<u8>,
        condition: Condition,
    ) -> Result<String, StoreError> {
        let request = || self.shared.cloud.put(key, body.clone(), condition.clone());
        self.make(Act::Put(key), store_error, StoreError::to_string, request).await
    }

    async fn remove(&self, key: &str, condition: Condition) -> Result<(), StoreError> {
        let request = || self.shared.cloud.remove(key, condition.clone());
        self.make(Act::Remove(key), store_error, StoreError::to_string, request).await
    }
}

impl<K: Kube> Kube for ProcessKube<K> {
    async fn view(&self) -> Result<Arc<KubeView>, KubeError> {
        self.process.alive().await;
        self.process.look();
        let stale = self.process.dice().meets(Fault::Stale);
        if stale && let Some(view) = self.again().await {
            return Ok(view);
        }
        let view = self.kube.view().await?;
        let last = Last { view: view.clone(), given_at: None, times: 0 };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        Ok(view)
    }

    async fn changed(&self, seen: u64, at_most: Duration) {
        self.process.alive().await;
        let more = self.process.dice().doze();
        if !more.is_zero() {
            self.process.shared.cloud.sleep(more).await;
        }
        self.kube.changed(seen, at_most).await;
        self.process.alive().await;
        self.process.look();
    }

    async fn call(&self, call: &KubeCall) -> Result<(), KubeError> {
        let fault = |kind| kube_error(call.operation(), kind);
        let outcome = |error: &KubeError| format!("{:?}", error.kind);
        self.process.make(Act::Kube(call), fault, outcome, || self.kube.call(call)).await
    }

    async fn ready(&self) -> Result<(), KubeError> {
        self.process.alive().await;
        self.kube.ready().await
    }
}

impl<K> ProcessKube<K> {
    /// The picture of before, from a watch that lags. Whoever asks again and again without a wait, since
    /// something has changed that the picture does not show, has time pass all the same.
    async fn again(&self) -> Option<Arc<KubeView>> {
        let cloud = &self.process.shared.cloud;
        let now = cloud.now();
        let (view, times) = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let last = last.as_mut()?;
            last.times = if last.given_at == Some(now) { last.times + 1 } else { 1 };
            last.given_at = Some(now);
            (last.view.clone(), last.times)
        };
        if times >= STALE_AT_ONCE_MAX {
            cloud.sleep(Duration::from_secs(1)).await;
            self.process.alive().await;
        }
        let age = now.duration_since(view.seen_at);
        (age < SignedDuration::from_secs(STALE_SECS_MAX)).then_some(view)
    }
}

/// A picture that was given.
struct Last {
    view: Arc<KubeView>,
    /// When it was given once more, and how often at that moment.
    given_at: Option<Timestamp>,
    times: u32,
}

/// So often a watch that lags gives its picture once more at one moment.
const STALE_AT_ONCE_MAX: u32 = 10;

/// How old a picture of a watch that lags is, at most: well below what the port calls stale.
const STALE_SECS_MAX: i64 = 20;

/// A listing in two pages, each of its own moment.
fn pages(
    first: BTreeMap<Key, Observed>,
    second: BTreeMap<Key, Observed>,
) -> BTreeMap<Key, Observed> {
    let half = first.len() / 2;
    let Some(border) = first.keys().nth(half).cloned() else { return second };
    let later = second.into_iter().filter(|(key, _)| *key >= border);
    first.into_iter().filter(|(key, _)| *key < border).chain(later).collect()
}

fn cloud_error(operation: &str, kind: CloudErrorKind) -> CloudError {
    let code = match kind {
        CloudErrorKind::Throttled => "RequestLimitExceeded",
        CloudErrorKind::AnswerLost => "AnswerLost",
        CloudErrorKind::CredentialsEnded => "ExpiredToken",
        _ => "ServiceUnavailable",
    };
    CloudError::new(kind, operation, code, "a fault of the rehearsal")
}

fn store_error(kind: CloudErrorKind) -> StoreError {
    StoreError::failed(kind, "a fault of the rehearsal")
}

fn kube_error(operation: &str, kind: CloudErrorKind) -> KubeError {
    let kind = match kind {
        CloudErrorKind::Throttled => KubeErrorKind::Throttled,
        CloudErrorKind::CredentialsEnded => KubeErrorKind::Unauthorized,
        CloudErrorKind::AnswerLost => KubeErrorKind::Unreachable,
        _ => KubeErrorKind::Server,
    };
    KubeError::new(kind, operation, "a fault of the rehearsal")
}
