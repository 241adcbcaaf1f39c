//! A cluster's roll before it is made: once in peace, then from many seeds under the faults that were
//! asked for; how long it would take, and every way in which it would halt.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::fault::Faults;
use super::invariant::Violation;
use super::run::{Halt, Options, Outcome, simulate};
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
    pub faults: Faults,
    /// From how many seeds.
    pub seeds: u64,
    /// Threads that work on them.
    pub threads: usize,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// How long the roll takes when nothing goes wrong; none when it halts even so.
    pub peaceful: Option<Duration>,
    /// When it began in virtual time, and what was announced, when nothing goes wrong.
    pub timeline: Vec<(Time, RollEvent)>,
    /// Machines that are replaced then.
    pub replaced: u64,
    /// How long it takes under faults, of the seeds under which it came to its end by itself.
    pub elapsed: Vec<Duration>,
    /// The ways in which it halted, with how many seeds each.
    pub halts: BTreeMap<Halt, u64>,
    /// Seeds that were tried.
    pub seeds: u64,
    /// What kprod broke, by seed: never, as far as the proof reaches.
    pub violations: Vec<(u64, Violation)>,
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
            halts: peaceful.halts.iter().map(|halt| (halt.clone(), 0)).collect(),
            seeds: 0,
            violations: peaceful.violation.into_iter().map(|broken| (0, broken)).collect(),
            timeline: peaceful.steps,
        };
        if self.faults.is_empty() {
            return Ok(forecast);
        }
        let horizon = peaceful.elapsed.max(Duration::from_secs(600));
        for (seed, outcome) in self.outcomes(horizon)? {
            forecast.add(seed, outcome);
        }
        forecast.elapsed.sort();
        Ok(forecast)
    }

    fn outcomes(&self, horizon: Duration) -> Result<Vec<(u64, Outcome)>, String> {
        let next = AtomicU64::new(1);
        let done: Mutex<Vec<(u64, Outcome)>> = Mutex::default();
        on_threads(self.threads, |runtime| {
            loop {
                let seed = next.fetch_add(1, Ordering::SeqCst);
                if seed > self.seeds {
                    return Ok(());
                }
                let outcome = runtime.block_on(self.once(seed, &self.faults, horizon, false));
                done.lock().unwrap_or_else(PoisonError::into_inner).push((seed, outcome));
            }
        })?;
        let mut outcomes = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcomes.sort_by_key(|(seed, _)| *seed);
        Ok(outcomes)
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
        let options = Options { keeps_steps: keep, until_halt: true, ..Options::default() };
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
        for halt in outcome.halts {
            *self.halts.entry(halt).or_default() += 1;
        }
    }
}
