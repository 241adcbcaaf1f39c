//! A cluster's roll before it is made: once in peace, then from many seeds under the faults that were
//! asked for; how long it would take, and every way in which it would halt.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use super::choice::Choice;
use super::fault::Faults;
use super::halt::{Halt, Kind};
use super::invariant::Violation;
use super::run::{Options, Outcome, simulate};
use super::scene::{Scene, counts};
use super::swarm::{on_threads, runtime};
use super::weather;
use crate::cloud::Query;
use crate::event::RollEvent;
use crate::roll::Policy;
use crate::sim::{Time, World};

/// What to rehearse.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// The cluster.
    pub cluster: String,
    /// Its copy, with the change to roll.
    pub world: World,
    /// What to look for.
    pub query: Query,
    /// What limits the roll.
    pub policy: Policy,
    /// What goes wrong.
    pub faults: Choice,
    /// The first seed.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// Whether it is told how the first seed came to its end.
    pub tells_first: bool,
    /// Threads that work on them.
    pub threads: usize,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// How long the roll takes when nothing goes wrong; none when it halts even so.
    pub peaceful: Option<Duration>,
    /// What was announced, in virtual time, when nothing goes wrong.
    pub timeline: Vec<(Timestamp, RollEvent)>,
    /// Machines that are replaced then.
    pub replaced: u64,
    /// How long it takes under faults, of the seeds under which it came to its end by itself.
    pub elapsed: Vec<Duration>,
    /// The ways in which it halted.
    pub halts: BTreeMap<Kind, Way>,
    /// How the first seed came to its end, where that is told.
    pub told: Option<ToldSeed>,
    /// Seeds that were tried.
    pub seeds: u64,
    /// What kprod broke, by seed: never, as far as the proof reaches.
    pub violations: Vec<(u64, Violation)>,
}

/// One way in which a roll halted.
#[derive(Clone, Debug)]
pub struct Way {
    /// An example: in peace if it halted so then, else that of the first of the seeds.
    pub halt: Halt,
    /// Whether it halted so when nothing goes wrong.
    pub in_peace: bool,
    /// The seeds under which it halted so, in their order.
    pub seeds: Vec<u64>,
}

/// How one seed came to its end.
#[derive(Clone, Debug)]
pub struct ToldSeed {
    /// Which.
    pub seed: u64,
    /// What went wrong, and how strongly.
    pub faults: Faults,
    /// What was announced.
    pub timeline: Vec<(Timestamp, RollEvent)>,
    /// What happened to it.
    pub blows: Vec<(Timestamp, String)>,
}

impl Forecast {
    /// The middle one of all times.
    pub fn median(&self) -> Option<Duration> {
        self.elapsed.get(self.elapsed.len() / 2).copied()
    }

    /// The longest.
    pub fn worst(&self) -> Option<Duration> {
        self.elapsed.last().copied()
    }
}

impl Rehearsal {
    /// Rolls it, again and again.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn run(&self) -> Result<Forecast, String> {
        let peaceful = runtime()?.block_on(self.once(0, &Faults::none(), Duration::ZERO, true));
        let is_done = peaceful.halts.is_empty() && peaceful.violation.is_none();
        let mut forecast = Forecast {
            peaceful: is_done.then_some(peaceful.elapsed),
            replaced: peaceful.trace.replaced,
            elapsed: Vec::new(),
            halts: BTreeMap::new(),
            told: None,
            seeds: 0,
            violations: peaceful.violation.into_iter().map(|broken| (0, broken)).collect(),
            timeline: stamped(&peaceful.steps),
        };
        forecast.note_halts(None, peaceful.halts);
        if self.faults.is_empty() {
            return Ok(forecast);
        }
        let horizon = peaceful.elapsed.max(Duration::from_secs(600));
        for (seed, outcome) in self.outcomes(horizon)? {
            if self.tells(seed) {
                forecast.told = Some(ToldSeed {
                    seed,
                    faults: self.faults.of(seed),
                    timeline: stamped(&outcome.steps),
                    blows: stamped(&outcome.trace.blows),
                });
            }
            forecast.add(seed, outcome);
        }
        forecast.elapsed.sort();
        Ok(forecast)
    }

    fn outcomes(&self, horizon: Duration) -> Result<Vec<(u64, Outcome)>, String> {
        let next = AtomicU64::new(0);
        let done: Mutex<Vec<(u64, Outcome)>> = Mutex::default();
        on_threads(self.threads, |runtime| {
            loop {
                let at = next.fetch_add(1, Ordering::SeqCst);
                if at >= self.seeds {
                    return Ok(());
                }
                let seed = self.first.wrapping_add(at);
                let (faults, tells) = (self.faults.of(seed), self.tells(seed));
                let outcome = runtime.block_on(self.once(seed, &faults, horizon, tells));
                done.lock().unwrap_or_else(PoisonError::into_inner).push((seed, outcome));
            }
        })?;
        let mut outcomes = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcomes.sort_by_key(|(seed, _)| *seed);
        Ok(outcomes)
    }

    /// Whether it is told how a seed came to its end.
    fn tells(&self, seed: u64) -> bool {
        self.tells_first && seed == self.first
    }

    /// One roll, until it is done or halts.
    async fn once(&self, seed: u64, faults: &Faults, horizon: Duration, keep: bool) -> Outcome {
        let mut world = self.world.clone();
        world.seed = seed;
        let counts = counts(&mut world, &self.cluster, &self.policy);
        let scene = Scene {
            seed,
            cluster: self.cluster.clone(),
            world,
            query: self.query.clone(),
            policy: self.policy.clone(),
            faults: faults.clone(),
            events: weather::draw(seed, faults, counts, horizon),
            other: None,
        };
        let until_halt = true;
        let options =
            Options { keeps_lines: keep, keeps_steps: keep, until_halt, ..Options::default() };
        simulate(scene, &options).await
    }
}

impl Forecast {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.seeds += 1;
        if let Some(violation) = outcome.violation {
            self.violations.push((seed, violation));
        } else if outcome.halts.is_empty() {
            self.elapsed.push(outcome.elapsed);
        }
        self.note_halts(Some(seed), outcome.halts);
    }

    /// Counts how a seed has halted, or the roll in peace.
    fn note_halts(&mut self, seed: Option<u64>, halts: Vec<Halt>) {
        for halt in halts {
            let way = match self.halts.entry(halt.kind()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let in_peace = seed.is_none();
                    new.insert(Way { halt, in_peace, seeds: Vec::new() })
                }
            };
            way.seeds.extend(seed);
        }
    }
}

fn stamped<T: Clone>(steps: &[(Time, T)]) -> Vec<(Timestamp, T)> {
    steps.iter().map(|(at, what)| (at.timestamp(), what.clone())).collect()
}
