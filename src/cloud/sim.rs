//! The cloud port over the simulated world: the only place where the simulator meets files and the
//! real clock.
//!
//! A world lives in memory, with a clock that stands still between calls and sleeps; or in a file of
//! `.kprod/`, where its clock is the real one plus all the time that sleeps have skipped. Every use
//! of a file takes a lock, reads the file if another process wrote it, and replaces it whole, so a
//! process killed at any instant leaves a world that can be read.

#![expect(clippy::disallowed_methods, reason = "lets other tasks run while virtual time passes")]

mod archive;
mod file;
mod machine;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use self::file::{Stamp, Stored, WorldFile};
use super::retry::RetryPolicy;
use super::retry::reader::Reader;
use super::{
    Call, Cloud, CloudError, CloudErrorKind, Condition, Entry, Observation, Observed, Parameters,
    Query, Reply, StateBucket, StoreError, TaggedInstance, TargetsByGroup, VersionFacts,
};
use crate::facts::AdoptedNetwork;
use crate::pki::Secret;
use crate::resource::Key;
use crate::sim::{Lag, Outcome, Time, World, fnv};
use crate::state::{BucketSettings, BucketStep, StateAddress};

/// A simulated account behind the cloud port. Clones share the world.
#[derive(Clone)]
pub struct SimCloud {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    file: Option<WorldFile>,
    crashed: watch::Sender<bool>,
    reader: Reader,
}

/// The world and who waits for its clock.
struct State {
    stored: Stored,
    /// What the file was when it was last read or written.
    seen: Option<Stamp>,
    /// Until when each sleeper sleeps, by ticket.
    sleepers: BTreeMap<u64, Time>,
    tickets: u64,
    /// Counts calls and sleepers; a clock skips ahead only while nobody does anything.
    stirs: u64,
}

impl SimCloud {
    /// The account of a world in memory.
    pub const ACCOUNT: &str = "123456789012";
    /// The region of a world in memory.
    pub const REGION: &str = "eu-west-3";

    /// A new, empty world in memory. Reads lag, as they do on AWS.
    pub fn in_memory(seed: u64) -> Self {
        let mut world = World::new(Self::ACCOUNT, Self::REGION, seed);
        world.lag = Lag::usual();
        Self::from_world(world)
    }

    /// A world in memory, as given.
    pub fn from_world(world: World) -> Self {
        Self::new(Stored { skipped_ms: 0, world }, None)
    }

    /// The world of an account and region in a folder; made when it is not there. Reads do not lag
    /// unless the world's file says so.
    ///
    /// # Errors
    /// When the folder or the file cannot be used.
    pub fn open(folder: &Path, account: &str, region: &str) -> Result<Self, StoreError> {
        let file = WorldFile::new(folder, account, region)
            .map_err(|error| failed(&folder.display().to_string(), &error))?;
        let seed = fnv(&format!("{account}/{region}"));
        let world = World::new(account, region, seed);
        let sim = Self::new(Stored { skipped_ms: 0, world }, Some(file));
        sim.with_world(|_| ())?;
        Ok(sim)
    }

    fn new(stored: Stored, file: Option<WorldFile>) -> Self {
        let reader = Reader::new(fastrand::Rng::with_seed(fnv(&stored.world.account)));
        let state = State { stored, seen: None, sleepers: BTreeMap::new(), tickets: 0, stirs: 0 };
        let (crashed, _) = watch::channel(false);
        Self { shared: Arc::new(Shared { state: Mutex::new(state), file, crashed, reader }) }
    }

    /// How reads that fail are tried again.
    pub fn reader(&self) -> &Reader {
        &self.shared.reader
    }

    /// Looks at the world, or meddles with it, outside of any call.
    ///
    /// # Errors
    /// When its file cannot be read or written.
    pub fn with_world<R>(&self, use_world: impl FnOnce(&mut World) -> R) -> Result<R, StoreError> {
        self.with_stored(|stored| {
            if self.shared.file.is_some() {
                let now = real_time().plus_ms(stored.skipped_ms);
                stored.world.advance(now);
            }
            use_world(&mut stored.world)
        })
    }

    fn with_stored<R>(&self, use_stored: impl FnOnce(&mut Stored) -> R) -> Result<R, StoreError> {
        let mut state = self.lock();
        let State { stored, seen, .. } = &mut *state;
        let Some(file) = &self.shared.file else { return Ok(use_stored(stored)) };
        let told = |error| failed(&file.path.display().to_string(), &error);
        let _lock = file.lock(file::LOCK_MAX).map_err(told)?;
        file.refresh(stored, seen).map_err(told)?;
        let parameters = stored.world.parameter_names();
        let result = use_stored(stored);
        file.write_parameters(&parameters, &stored.world).map_err(told)?;
        *seen = Some(file.write(stored).map_err(told)?);
        Ok(result)
    }

    /// One use of the world by a run; none once a crash has struck, seen under the same lock.
    pub(crate) async fn live<R>(
        &self,
        use_world: impl FnOnce(&mut World) -> R,
    ) -> Result<R, StoreError> {
        let result = self.with_world(|world| (!self.is_crashed()).then(|| use_world(world)))?;
        match result {
            Some(result) => Ok(result),
            None => std::future::pending().await,
        }
    }

    /// Makes what is missing of a network that a real account would hold already; gives a line for
    /// each thing made, to be told to the user once.
    ///
    /// # Errors
    /// As [`SimCloud::with_world`].
    pub fn adopt_network(&self, network: &AdoptedNetwork) -> Result<Vec<String>, StoreError> {
        self.with_world(|world| world.adopt_network(network))
    }

    /// Has the account know a cluster that machines will be made for: its nodes run this version.
    ///
    /// # Errors
    /// As [`SimCloud::with_world`].
    pub fn adopt_cluster(&self, name: &str, version: Option<&str>) -> Result<(), StoreError> {
        self.with_world(|world| world.adopt_cluster(name, version))
    }

    /// Resolves when a planned crash has struck: whoever runs an engine over this cloud then drops
    /// it, as a killed process would be. Until then the call that crashed never answers.
    pub async fn crashed(&self) {
        let mut receiver = self.shared.crashed.subscribe();
        // The sender lives as long as this cloud does.
        let _ = receiver.wait_for(|crashed| *crashed).await;
    }

    /// Whether a planned crash has struck since the last time this was asked.
    pub fn take_crash(&self) -> bool {
        self.shared.crashed.send_replace(false)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the world as some call left it.
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stirs = state.stirs.wrapping_add(1);
        state
    }

    /// The same for a mutation, during which a planned crash may strike: `None` says that it did.
    pub(crate) async fn live_or_die<R>(
        &self,
        use_world: impl FnOnce(&mut World) -> Option<R>,
    ) -> Result<R, StoreError> {
        let result = self.live(|world| {
            let result = use_world(world);
            if result.is_none() {
                self.shared.crashed.send_replace(true);
            }
            result
        });
        match result.await? {
            Some(result) => Ok(result),
            None => std::future::pending().await,
        }
    }

    fn is_crashed(&self) -> bool {
        *self.shared.crashed.borrow()
    }

    /// Gives way until nothing else stirs; false while something did.
    async fn is_quiet(&self) -> bool {
        const PATIENCE: usize = 16;
        let stirs =
            |cloud: &Self| cloud.shared.state.lock().unwrap_or_else(PoisonError::into_inner).stirs;
        let before = stirs(self);
        for _ in 0..PATIENCE {
            tokio::task::yield_now().await;
        }
        if self.shared.file.is_some() {
            // Other threads compute between their calls; a moment of real time lets them.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        before == stirs(self)
    }

    /// Skips to `until`: at once in memory; with a file, by adding to what was skipped.
    fn skip_to(&self, until: Time) {
        let has_file = self.shared.file.is_some();
        // A file that fails now fails the next call too, which can say so.
        let _ = self.with_stored(|stored| {
            if has_file {
                stored.skipped_ms = stored.skipped_ms.max(until.since_ms(real_time()));
            }
            stored.world.advance(until);
        });
    }
}

impl Cloud for SimCloud {
    fn name(&self) -> &'static str {
        "sim"
    }

    async fn observe(&self, query: &Query) -> Result<Observation, CloudError> {
        let once = || async {
            let seen = self.live(|world| world.observe(query)).await;
            seen.map_err(|error| unusable(&error, "Observe"))?
        };
        self.shared.reader.read(self, once).await
    }

    async fn groups(&self, query: &Query) -> Result<BTreeMap<Key, Observed>, CloudError> {
        let once = || async {
            let seen = self.live(|world| world.observe_groups(query)).await;
            seen.map_err(|error| unusable(&error, "DescribeAutoScalingGroups"))?
        };
        self.shared.reader.read(self, once).await
    }

    async fn versions(
        &self,
        wanted: &BTreeMap<String, BTreeSet<u64>>,
    ) -> Result<BTreeMap<String, BTreeMap<u64, VersionFacts>>, CloudError> {
        let once = || async {
            let read = self.live(|world| world.read_versions(wanted)).await;
            read.map_err(|error| unusable(&error, "DescribeLaunchTemplateVersions"))?
        };
        self.shared.reader.read(self, once).await
    }

    async fn instances(&self, cluster: &str) -> Result<Vec<TaggedInstance>, CloudError> {
        let once = || async {
            let read = self.live(|world| world.tagged_instances(cluster)).await;
            read.map_err(|error| unusable(&error, "DescribeInstances"))?
        };
        self.shared.reader.read(self, once).await
    }

    async fn targets(&self, arns: &BTreeSet<String>) -> Result<TargetsByGroup, CloudError> {
        let once = || async {
            let read = self.live(|world| world.read_targets(arns)).await;
            read.map_err(|error| unusable(&error, "DescribeTargetHealth"))?
        };
        self.shared.reader.read(self, once).await
    }

    async fn statuses(
        &self,
        instance_ids: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, String>, CloudError> {
        let once = || async {
            let read = self.live(|world| world.read_statuses(instance_ids)).await;
            read.map_err(|error| unusable(&error, "DescribeInstanceStatus"))?
        };
        self.shared.reader.read(self, once).await
    }

    async fn places_kept(&self, group: &str) -> Result<BTreeSet<String>, CloudError> {
        let once = || async {
            let read = self.live(|world| world.read_places_kept(group)).await;
            read.map_err(|error| unusable(&error, "DescribeScalingActivities"))?
        };
        self.shared.reader.read(self, once).await
    }

    async fn call(&self, call: &Call) -> Result<Reply, CloudError> {
        let answer = self.live_or_die(|world| match world.answer(call) {
            Outcome::Answered(result) => Some(result),
            Outcome::Crashed => None,
        });
        answer.await.map_err(|error| unusable(&error, &call.operation()))?
    }

    fn retry(&self) -> RetryPolicy {
        self.reader().policy()
    }

    fn now(&self) -> jiff::Timestamp {
        let state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match self.shared.file {
            Some(_) => real_time().plus_ms(state.stored.skipped_ms).max(state.stored.world.now),
            None => state.stored.world.now,
        };
        now.timestamp()
    }

    /// Time passes at once, but never past another sleeper's end, and not while a call is under way:
    /// a heartbeat does not outrun the work it watches over.
    async fn sleep(&self, duration: Duration) {
        if self.is_crashed() {
            return std::future::pending().await;
        }
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let until = Time(self.now().as_millisecond()).plus_ms(ms);
        let sleeper = Sleeper::new(self, until);
        loop {
            let is_quiet = self.is_quiet().await;
            if self.now().as_millisecond() >= until.0 {
                return;
            }
            if is_quiet && sleeper.is_next() {
                self.skip_to(until);
                return;
            }
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.live(|world| world.get_object(key)).await
    }

    async fn put(
        &self,
        key: &str,
        body: Vec<u8>,
        condition: Condition,
    ) -> Result<String, StoreError> {
        self.live_or_die(|world| world.put_object(key, body, &condition)).await?
    }

    async fn remove(&self, key: &str, condition: Condition) -> Result<(), StoreError> {
        self.live_or_die(|world| world.remove_object(key, &condition)).await?
    }
}

impl Parameters for SimCloud {
    async fn public(&self, cluster: &str) -> Result<BTreeMap<String, String>, CloudError> {
        let once = || async {
            let read = self.live(|world| world.public_parameters(cluster)).await;
            read.map_err(|error| unusable(&error, "GetParametersByPath"))?
        };
        self.shared.reader.read(self, once).await
    }

    async fn there(&self, names: &BTreeSet<String>) -> Result<BTreeSet<String>, CloudError> {
        let once = || async {
            let read = self.live(|world| world.parameters_there(names)).await;
            read.map_err(|error| unusable(&error, "DescribeParameters"))?
        };
        self.shared.reader.read(self, once).await
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, CloudError> {
        let once = || async {
            let read = self.live(|world| world.secret_parameter(name)).await;
            read.map_err(|error| unusable(&error, "GetParameter"))?
        };
        self.shared.reader.read(self, once).await
    }
}

/// The objects are kept in the world itself: there is no bucket that could be missing or open.
impl StateBucket for SimCloud {
    fn bucket(&self) -> Result<Option<&StateAddress>, StoreError> {
        Ok(None)
    }

    async fn settings(&self) -> Result<Option<BucketSettings>, StoreError> {
        Ok(None)
    }

    async fn make(&self, step: &BucketStep) -> Result<(), StoreError> {
        Err(StoreError::unusable(format!("the simulator has no {} to set up", step.subject())))
    }
}

/// A sleeper's place in the queue; given up when the sleep ends or is dropped.
struct Sleeper<'a> {
    cloud: &'a SimCloud,
    ticket: u64,
}

impl<'a> Sleeper<'a> {
    fn new(cloud: &'a SimCloud, until: Time) -> Self {
        let mut state = cloud.lock();
        state.tickets = state.tickets.wrapping_add(1);
        let ticket = state.tickets;
        state.sleepers.insert(ticket, until);
        drop(state);
        Self { cloud, ticket }
    }

    /// Whether nobody else wakes earlier.
    fn is_next(&self) -> bool {
        let state = self.cloud.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let first = state.sleepers.iter().min_by_key(|(ticket, until)| (**until, **ticket));
        first.is_some_and(|(ticket, _)| *ticket == self.ticket)
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.cloud.lock().sleepers.remove(&self.ticket);
    }
}

/// The simulator's own trouble with its file, as the port tells it.
fn unusable(error: &StoreError, operation: &str) -> CloudError {
    CloudError::new(CloudErrorKind::Invalid, operation, "SimulatorState", error.to_string())
}

fn real_time() -> Time {
    Time(jiff::Timestamp::now().as_millisecond())
}

fn failed(what: &str, error: &io::Error) -> StoreError {
    StoreError::failed(CloudErrorKind::Invalid, format!("{what}: {error}"))
}
