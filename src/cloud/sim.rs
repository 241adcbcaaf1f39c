//! The cloud port over the simulated world: the only place where the simulator meets files and the
//! real clock.
//!
//! A world lives in memory, with a clock that stands still between calls and sleeps; or in a file of
//! `.kprod/`, where its clock is the real one plus all the time that sleeps have skipped. Every use
//! of a file takes a lock, reads the file if another process wrote it, and replaces it whole, so a
//! process killed at any instant leaves a world that can be read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    Call, Cloud, CloudError, CloudErrorKind, Condition, Entry, Observation, Query, Reply,
    StoreError, VersionFacts,
};
use crate::sim::{AdoptedNetwork, Lag, Outcome, Time, World};

/// A simulated account behind the cloud port. Clones share the world.
#[derive(Clone)]
pub struct SimCloud {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    file: Option<WorldFile>,
    crashed: watch::Sender<bool>,
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

/// What a file holds.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// Time that sleeps have skipped, in milliseconds.
    skipped_ms: u64,
    world: World,
}

struct WorldFile {
    path: PathBuf,
    lock: PathBuf,
}

/// Tells two states of a file apart.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    modified: std::time::SystemTime,
    length: u64,
    inode: u64,
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
        let state = State { stored, seen: None, sleepers: BTreeMap::new(), tickets: 0, stirs: 0 };
        let (crashed, _) = watch::channel(false);
        Self { shared: Arc::new(Shared { state: Mutex::new(state), file, crashed }) }
    }

    /// Looks at the world, or meddles with it, outside of any call.
    ///
    /// # Errors
    /// When its file cannot be read or written.
    pub fn with_world<R>(&self, use_world: impl FnOnce(&mut World) -> R) -> Result<R, StoreError> {
        let mut state = self.lock();
        let Some(file) = &self.shared.file else {
            return Ok(use_world(&mut state.stored.world));
        };
        let told = |error| failed(&file.path.display().to_string(), &error);
        let _lock = file.lock().map_err(told)?;
        file.refresh(&mut state).map_err(told)?;
        let now = real_time().plus_ms(state.stored.skipped_ms);
        state.stored.world.advance(now);
        let result = use_world(&mut state.stored.world);
        file.write(&mut state).map_err(told)?;
        Ok(result)
    }

    /// Makes what is missing of a network that a real account would hold already; gives a line for
    /// each thing made, to be told to the user once.
    ///
    /// # Errors
    /// As [`SimCloud::with_world`].
    pub fn adopt_network(&self, network: &AdoptedNetwork) -> Result<Vec<String>, StoreError> {
        self.with_world(|world| world.adopt_network(network))
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

    fn unreadable(error: &StoreError, operation: &str) -> CloudError {
        CloudError::new(CloudErrorKind::Unavailable, operation, "SimulatorState", error.to_string())
    }

    /// Takes the crash's consequences: everything after it hangs until the run is dropped.
    async fn hang(&self) -> ! {
        self.shared.crashed.send_replace(true);
        std::future::pending().await
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
        let skipped = {
            let mut state = self.lock();
            if self.shared.file.is_none() {
                state.stored.world.advance(until);
                return;
            }
            until.since_ms(real_time())
        };
        // A file that fails now fails the next call too, which can say so.
        let _ = self.with_skipped(skipped);
    }

    fn with_skipped(&self, skipped_ms: u64) -> Result<(), StoreError> {
        let mut state = self.lock();
        let Some(file) = &self.shared.file else { return Ok(()) };
        let told = |error| failed(&file.path.display().to_string(), &error);
        let _lock = file.lock().map_err(told)?;
        file.refresh(&mut state).map_err(told)?;
        state.stored.skipped_ms = state.stored.skipped_ms.max(skipped_ms);
        let now = real_time().plus_ms(state.stored.skipped_ms);
        state.stored.world.advance(now);
        file.write(&mut state).map_err(told)
    }
}

impl Cloud for SimCloud {
    fn name(&self) -> &'static str {
        "sim"
    }

    async fn observe(&self, query: &Query) -> Result<Observation, CloudError> {
        if self.is_crashed() {
            self.hang().await;
        }
        self.with_world(|world| world.observe(query))
            .map_err(|error| Self::unreadable(&error, "Observe"))?
    }

    async fn versions(
        &self,
        wanted: &BTreeMap<String, BTreeSet<u64>>,
    ) -> Result<BTreeMap<String, BTreeMap<u64, VersionFacts>>, CloudError> {
        if self.is_crashed() {
            self.hang().await;
        }
        self.with_world(|world| world.read_versions(wanted))
            .map_err(|error| Self::unreadable(&error, "DescribeLaunchTemplateVersions"))
    }

    async fn call(&self, call: &Call) -> Result<Reply, CloudError> {
        if self.is_crashed() {
            self.hang().await;
        }
        let outcome = self
            .with_world(|world| world.answer(call))
            .map_err(|error| Self::unreadable(&error, &call.operation()))?;
        match outcome {
            Outcome::Answered(result) => result,
            Outcome::Crashed => self.hang().await,
        }
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
            self.hang().await;
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
        if self.is_crashed() {
            self.hang().await;
        }
        self.with_world(|world| world.get_object(key))
    }

    async fn put(
        &self,
        key: &str,
        body: Vec<u8>,
        condition: Condition,
    ) -> Result<String, StoreError> {
        if self.is_crashed() {
            self.hang().await;
        }
        self.with_world(|world| world.put_object(key, body, &condition))?
    }

    async fn remove(&self, key: &str, condition: Condition) -> Result<(), StoreError> {
        if self.is_crashed() {
            self.hang().await;
        }
        self.with_world(|world| world.remove_object(key, &condition))?
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

impl WorldFile {
    fn new(folder: &Path, account: &str, region: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let name = format!("sim-{account}-{region}");
        Ok(Self {
            path: folder.join(format!("{name}.json")),
            lock: folder.join(format!("{name}.lock")),
        })
    }

    /// Waits for the lock; it is given back when the file is dropped, or its process ends.
    fn lock(&self) -> io::Result<File> {
        let file = File::options().create(true).truncate(false).write(true).open(&self.lock)?;
        file.lock()?;
        Ok(file)
    }

    /// Reads the world again if another process wrote it.
    fn refresh(&self, state: &mut State) -> io::Result<()> {
        let stamp = match fs::metadata(&self.path) {
            Ok(metadata) => Stamp::of(&metadata)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if state.seen.as_ref() == Some(&stamp) {
            return Ok(());
        }
        let stored: Stored = serde_json::from_slice(&fs::read(&self.path)?)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if stored.world.format_version != World::FORMAT_VERSION {
            let found = stored.world.format_version;
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("simulator format {found}, this kprod writes {}", World::FORMAT_VERSION),
            ));
        }
        state.stored = stored;
        state.seen = Some(stamp);
        Ok(())
    }

    /// Replaces the file whole: a reader finds the old world or the new one.
    fn write(&self, state: &mut State) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        let bytes = serde_json::to_vec(&state.stored)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        file.write_all(&bytes)?;
        file.persist(&self.path).map_err(|error| error.error)?;
        state.seen = Some(Stamp::of(&fs::metadata(&self.path)?)?);
        Ok(())
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> io::Result<Self> {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Ok(Self { modified: metadata.modified()?, length: metadata.len(), inode })
    }
}

fn real_time() -> Time {
    Time(jiff::Timestamp::now().as_millisecond())
}

fn failed(what: &str, error: &io::Error) -> StoreError {
    StoreError::Failed(format!("{what}: {error}"))
}

/// FNV-1a: a seed from a name.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
