//! Many seeds at once, what they came to, and how a seed that fails is narrowed down.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::fault::{Fault, Faults};
use super::invariant::Violation;
use super::run::{Options, Outcome, simulate};
use super::scene::{Scene, Templates};

/// Which seeds, and with which faults.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// The first seed.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// Threads that work on them.
    pub threads: usize,
    /// Of the faults that a seed draws, these; all if none.
    pub only: Option<Vec<Fault>>,
    /// Every so-many-th seed is simulated twice, to see that both come to the same; 0 for none.
    pub twice_every: u64,
    /// Whether everything that happens is told, and not only what leads to a failure.
    pub tells_all: bool,
}

/// What many seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Seeds that were simulated.
    pub seeds: u64,
    /// Changing requests.
    pub acts: u64,
    /// Kills.
    pub crashes: u64,
    /// Machines that kprod ended to replace them.
    pub replaced: u64,
    /// Runs of kprod.
    pub runs: u64,
    /// Runs that stopped before their end, by exit code.
    pub halts: BTreeMap<u8, u64>,
    /// Virtual time.
    pub elapsed: Duration,
    /// Seeds that were simulated twice.
    pub twice: u64,
    /// Seeds under which something was broken.
    pub failed: Vec<Failed>,
    /// What happened, where all is told.
    pub lines: Vec<String>,
}

/// A seed under which something was broken.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// What was broken.
    pub violation: Violation,
    /// The faults that are enough for that.
    pub faults: Faults,
    /// How it came to it, line by line.
    pub lines: Vec<String>,
}

/// Failures that are narrowed down and told; after that many, the rest would only repeat them.
const FAILED_MAX: usize = 10;

impl Swarm {
    /// Simulates all seeds. `on_seed` hears of each one that is done.
    ///
    /// # Errors
    /// When a scene cannot be built, or no thread can be started.
    pub fn run(&self, on_seed: &(dyn Fn(&Tally) + Sync)) -> Result<Tally, String> {
        let next = AtomicU64::new(0);
        let tally = Mutex::new(Tally::default());
        let templates = Templates::default();
        on_threads(self.threads, |runtime| {
            loop {
                let at = next.fetch_add(1, Ordering::SeqCst);
                let is_full = || lock(&tally).failed.len() >= FAILED_MAX;
                if at >= self.count || is_full() {
                    return Ok(());
                }
                let seed = self.first.wrapping_add(at);
                let (outcome, failed) = runtime.block_on(self.seed(seed, &templates))?;
                let mut tally = lock(&tally);
                tally.add(&outcome, self.is_twice(seed));
                tally.failed.extend(failed);
                on_seed(&tally);
            }
        })?;
        Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_twice(&self, seed: u64) -> bool {
        self.twice_every > 0 && seed.is_multiple_of(self.twice_every)
    }

    async fn seed(
        &self,
        seed: u64,
        templates: &Templates,
    ) -> Result<(Outcome, Option<Failed>), String> {
        let choose = |faults: Faults| match &self.only {
            Some(only) => faults.only(only),
            None => faults,
        };
        let scene = Scene::draw(seed, templates, choose).await?;
        let faults = scene.faults.clone();
        let options = Options { keeps_lines: self.tells_all, ..Options::default() };
        let again = self.is_twice(seed).then(|| scene.clone());
        let mut outcome = simulate(scene, &options).await;
        if let Some(scene) = again.filter(|_| outcome.violation.is_none()) {
            let again = simulate(scene, &options).await;
            if again.trace != outcome.trace {
                let how = format!("simulated again, seed {seed} takes another way");
                outcome.violation = Some(Violation { invariant: "same seed, same way", how });
            }
        }
        let Some(violation) = outcome.violation.clone() else { return Ok((outcome, None)) };
        let faults = narrow(seed, templates, &faults, &violation).await?;
        let told = replay(seed, templates, &faults).await?;
        let lines = told.trace.lines;
        let violation = told.violation.unwrap_or(violation);
        Ok((outcome, Some(Failed { seed, violation, faults, lines })))
    }
}

/// Simulates one seed with these faults of those that it draws, and keeps every line.
///
/// # Errors
/// When the scene cannot be built.
pub async fn replay(seed: u64, templates: &Templates, faults: &Faults) -> Result<Outcome, String> {
    let names: Vec<Fault> = faults.iter().map(|(fault, _)| fault).collect();
    let scene = Scene::draw(seed, templates, |drawn| drawn.only(&names)).await?;
    let options = Options { keeps_lines: true, ..Options::default() };
    Ok(simulate(scene, &options).await)
}

/// Leaves out one fault after the other, as long as the same invariant breaks.
async fn narrow(
    seed: u64,
    templates: &Templates,
    faults: &Faults,
    violation: &Violation,
) -> Result<Faults, String> {
    let mut left = faults.clone();
    for fault in Fault::all() {
        let fewer = left.without(fault);
        if fewer == left {
            continue;
        }
        let outcome = replay(seed, templates, &fewer).await?;
        if outcome.violation.is_some_and(|found| found.invariant == violation.invariant) {
            left = fewer;
        }
    }
    Ok(left)
}

/// A runtime for one thread: nothing in it depends on what other threads do.
///
/// # Errors
/// When it cannot be made.
pub fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let built = tokio::runtime::Builder::new_current_thread().enable_time().build();
    built.map_err(|error| format!("cannot start the runtime: {error}"))
}

/// Does the same work on so many threads, one at least, each with a runtime of its own, until all have
/// ended. Gives what each came to.
///
/// # Errors
/// Those of the work; when a runtime cannot be made, or a thread panicked.
pub fn on_threads<T: Send>(
    threads: usize,
    work: impl Fn(&tokio::runtime::Runtime) -> Result<T, String> + Sync,
) -> Result<Vec<T>, String> {
    let work = || work(&runtime()?);
    let results: Vec<Result<T, String>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let ended = |handle: std::thread::ScopedJoinHandle<'_, Result<T, String>>| {
            handle.join().unwrap_or_else(|_| Err("a thread of the simulation ended".to_owned()))
        };
        handles.into_iter().map(ended).collect()
    });
    results.into_iter().collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    /// Adds what a seed came to.
    pub fn add(&mut self, outcome: &Outcome, is_twice: bool) {
        self.seeds += 1;
        self.acts += outcome.trace.acts;
        self.crashes += outcome.trace.crashes;
        self.replaced += outcome.trace.replaced;
        self.runs += u64::from(outcome.runs);
        self.elapsed += outcome.elapsed;
        self.twice += u64::from(is_twice);
        if outcome.violation.is_none() {
            self.lines.extend(outcome.trace.lines.iter().cloned());
        }
        for halt in &outcome.halts {
            *self.halts.entry(halt.code).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests/mutants/run says how many seeds")]

    use super::*;

    /// Seeds unless somebody says otherwise.
    const SEEDS: u64 = 20;

    /// `tests/mutants/run` asks this of code that was made worse; `tests/it/rehearsal.rs` asks it of the
    /// code as it is. What broke an invariant once is asked first: it catches most.
    #[test]
    #[ignore = "takes minutes; run by tests/mutants/run"]
    fn no_seed_breaks_an_invariant() {
        let kept = include_str!("../../tests/seeds.txt").lines();
        let kept = kept.filter(|line| !line.starts_with('#'));
        for line in kept {
            let seed = line.split_whitespace().next().and_then(|word| word.parse().ok());
            assert_holds(seed.unwrap_or_else(|| panic!("{line}: no seed")), 1);
        }
        let told = std::env::var("KPROD_MUTANT_SEEDS").ok().and_then(|told| told.parse().ok());
        assert_holds(1, told.unwrap_or(SEEDS));
    }

    fn assert_holds(first: u64, count: u64) {
        let (only, twice_every, tells_all) = (None, 0, false);
        let swarm = Swarm { first, count, threads: 2, only, twice_every, tells_all };
        let failed = swarm.run(&|_| ()).map(|tally| tally.failed);
        let first = failed.unwrap_or_else(|why| panic!("{why}")).into_iter().next();
        if let Some(Failed { seed, violation: Violation { invariant, how }, .. }) = first {
            panic!("seed {seed} breaks {invariant}: {how}");
        }
    }
}
