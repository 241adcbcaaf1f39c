//! Runs that are killed at random instants, and the next run that finishes their work.
//!
//! An instant is the moment at which a random number of changes has been made, and a few
//! milliseconds. `KPROD_KILLS=50` kills fifty applies and fifty destroys, `KPROD_SEED` draws the same
//! instants again.

#![expect(clippy::print_stdout, reason = "the seed, the landings and the histogram are told")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::account::{Account, Network, said};
use super::apply::is_there;
use super::calls::Call;
use super::{Moto, STAGING};

/// How many runs of each kind are killed where nobody says otherwise.
const KILLS_DEFAULT: u64 = 3;

/// How many run at a time.
const WORKERS: u64 = 3;

/// The few milliseconds; a call takes no longer than that.
const LATER_MS_MAX: u64 = 5;

const APPLY: &[&str] = &["apply", STAGING, "--yes"];
const DESTROY: &[&str] = &["destroy", STAGING, "--confirm", STAGING];

/// Random numbers by splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators"): the same seed gives the same ones.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.roll() % (most - least + 1)
    }
}

/// Where the kills fell: how many changes each killed run had made, of how many.
#[derive(Default)]
pub(super) struct Landings(pub(super) Vec<(u64, u64)>);

impl Landings {
    /// Those between the first change and the last.
    fn inside(&self) -> usize {
        self.0.iter().filter(|(made, all)| (1..*all).contains(made)).count()
    }

    /// A bar for each tenth of the changes.
    fn histogram(&self) -> String {
        let mut tenths = [0usize; 10];
        for (made, all) in &self.0 {
            tenths[usize::try_from(made * 10 / all).unwrap().min(9)] += 1;
        }
        let bars = tenths.iter().enumerate();
        bars.map(|(tenth, count)| format!("{:>4}% {}\n", tenth * 10, "#".repeat(*count))).collect()
    }

    /// At least four of five must have fallen inside; of a few, one.
    pub(super) fn tell(&self, what: &str) {
        let (inside, all) = (self.inside(), self.0.len());
        println!("{what}: {inside} of {all} kills between the first change and the last");
        println!("{}", self.histogram());
        let least = if all < 10 { 1 } else { all * 4 / 5 };
        assert!(inside >= least, "{what}: only {inside} of {all} fell inside");
    }
}

/// How many changes a run makes that nobody disturbs.
#[derive(Clone, Copy)]
struct Undisturbed {
    apply: u64,
    destroy: u64,
}

pub(super) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}

pub(super) fn changes(account: &Account<'_>) -> u64 {
    account.calls().iter().filter(|call| Call::is_change(call)).count() as u64
}

fn finished(account: &Account<'_>, network: &Network, arguments: &[&str]) -> Result<(), String> {
    let run = account.kprod(network, arguments);
    match run.status.code() {
        Some(0) => Ok(()),
        code => Err(format!("{arguments:?} ended with {code:?}: {}", said(&run))),
    }
}

fn undisturbed(moto: &Moto) -> Undisturbed {
    let account = moto.account();
    let network = account.network(STAGING);
    let count = |arguments| {
        account.calls();
        finished(&account, &network, arguments).unwrap();
        changes(&account)
    };
    Undisturbed { apply: count(APPLY), destroy: count(DESTROY) }
}

/// Kills a run at an instant, has the next one finish its work as somebody would who knows that the
/// first is dead, and gives the number of changes that the killed one made.
fn killed(
    account: &Account<'_>,
    network: &Network,
    dice: &mut Dice,
    (arguments, all): (&[&str], u64),
) -> Result<u64, String> {
    let after = dice.between(1, all - 1);
    let later = Duration::from_millis(dice.between(0, LATER_MS_MAX));
    account.calls();
    let mut run = account.start(network, arguments);
    let came = account.changes_reach(after);
    std::thread::sleep(later);
    let ended = run.ended();
    run.kill();
    if !came {
        return Err(format!("change {after} of {all} never came; ended: {ended:?}"));
    }
    let made = changes(account);
    finished(account, network, &["unlock", STAGING, "--yes"])?;
    finished(account, network, arguments)
        .map_err(|why| format!("killed {later:?} after change {after} of {all}: {why}"))?;
    Ok(made)
}

/// An apply and a destroy of one account, both killed and finished.
fn one_of_each(moto: &Moto, seed: u64, all: Undisturbed) -> Result<[u64; 2], String> {
    let mut dice = Dice(seed);
    let account = moto.account();
    let network = account.network(STAGING);
    let applied = killed(&account, &network, &mut dice, (APPLY, all.apply))?;
    is_there(&account, &network)?;
    let destroyed = killed(&account, &network, &mut dice, (DESTROY, all.destroy))?;
    account.check(&["empty"])?;
    Ok([applied, destroyed])
}

/// What came of all kills.
#[derive(Default)]
struct Outcome {
    applies: Landings,
    destroys: Landings,
    failures: Vec<String>,
}

impl Outcome {
    fn note(&mut self, index: u64, all: Undisturbed, result: Result<[u64; 2], String>) {
        match result {
            Ok([applied, destroyed]) => {
                println!(
                    "{index}: killed after {applied} of {} changes of an apply and {destroyed} \
                     of {} of a destroy",
                    all.apply, all.destroy
                );
                self.applies.0.push((applied, all.apply));
                self.destroys.0.push((destroyed, all.destroy));
            }
            Err(why) => {
                println!("{index}: {why}");
                self.failures.push(format!("{index}: {why}"));
            }
        }
    }
}

/// Kills and finishes so many runs of each kind, each worker with an emulator of its own. The seeds
/// of the kills follow each other.
fn kill_and_finish(kills: u64, seed: u64) -> Outcome {
    let emulators: Vec<Moto> = (0..WORKERS.min(kills)).map(|_| Moto::start()).collect();
    let all = undisturbed(&emulators[0]);
    let (next, outcome) = (AtomicU64::new(0), Mutex::new(Outcome::default()));
    let work = |moto| {
        let indexes = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        for index in indexes.take_while(|index| *index < kills) {
            let result = one_of_each(moto, seed.wrapping_add(index), all);
            outcome.lock().unwrap().note(index, all, result);
        }
    };
    std::thread::scope(|scope| {
        for moto in &emulators {
            scope.spawn(|| work(moto));
        }
    });
    outcome.into_inner().unwrap()
}

/// Nothing is lost, nothing is there twice, and one more run is enough, wherever a run was killed.
#[test]
fn a_run_killed_at_any_instant_is_finished_by_the_next() {
    let kills = number("KPROD_KILLS").unwrap_or(KILLS_DEFAULT);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("KPROD_SEED").unwrap_or(now.as_secs());
    println!("KPROD_SEED={seed} KPROD_KILLS={kills}");
    let Outcome { applies, destroys, failures } = kill_and_finish(kills, seed);
    assert!(failures.is_empty(), "KPROD_SEED={seed}\n{}", failures.join("\n\n"));
    applies.tell("apply");
    destroys.tell("destroy");
}
