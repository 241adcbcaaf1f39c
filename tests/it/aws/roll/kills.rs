//! Rolls that are killed at random instants, and the next process, of somebody else, that goes on once
//! the lease of the first has ended.
//!
//! An instant is the moment at which a random number of changes has been made in AWS, and up to a
//! second: between two of them are the requests to the API server. `KPROD_KILLS=50` kills fifty
//! rolls, `KPROD_SEED` draws the same instants again.

#![expect(clippy::print_stdout, reason = "the seed, the landings and the histogram are told")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::Moto;
use super::super::kills::{Dice, Landings, changes, number};
use super::{MACHINES, Stage};

/// How many rolls are killed where nobody says otherwise.
const KILLS_DEFAULT: u64 = 2;

/// How many clusters are rolled at a time.
const WORKERS: u64 = 3;

/// What comes after the change in AWS.
const LATER_MS_MAX: u64 = 1_000;

/// Changes in AWS that a roll makes at least; so many the first instants may fall on.
const CHANGES_LEAST: u64 = 120;

/// Kills a roll, has another process go on, and gives how many changes the killed one had made and
/// how many both made.
fn killed(stage: &Stage<'_>, dice: &mut Dice) -> Result<(u64, u64), String> {
    let after = dice.between(1, CHANGES_LEAST - 1);
    let later = Duration::from_millis(dice.between(0, LATER_MS_MAX));
    stage.owner.calls();
    let mut run = stage.errand("ann@laptop (process 1)").start(&stage.owner);
    let came = stage.owner.changes_reach(after);
    std::thread::sleep(later);
    let ended = run.ended();
    run.kill();
    if !came {
        return Err(format!("change {after} never came; ended: {ended:?}"));
    }
    let made = changes(&stage.owner);
    let instant = format!("killed {later:?} after change {after}");
    let told = stage.errand("bob@laptop (process 2)").run(&stage.owner)?;
    if told.code != 0 {
        return Err(format!("{instant}: {told:#?}"));
    }
    let all = made + changes(&stage.owner);
    stage.is_rolled().map_err(|why| format!("{instant}: {why}"))?;
    Ok((made, all))
}

/// Kills and finishes so many rolls, each worker with an emulator and a cluster of its own.
fn kill_and_finish(kills: u64, seed: u64) -> (Landings, Vec<String>) {
    let emulators: Vec<Moto> = (0..WORKERS.min(kills)).map(|_| Moto::start()).collect();
    let next = AtomicU64::new(0);
    let outcome = Mutex::new((Landings::default(), Vec::new()));
    let work = |moto| {
        let mut stage = Stage::of_prod(moto);
        let indexes = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        for index in indexes.take_while(|index| *index < kills) {
            let result = killed(&stage, &mut Dice(seed.wrapping_add(index)));
            let mut outcome = outcome.lock().unwrap();
            match result {
                Ok((made, all)) => {
                    println!("{index}: killed after {made} of {all} changes of a roll");
                    outcome.0.0.push((made, all));
                }
                Err(why) => {
                    println!("{index}: {why}");
                    outcome.1.push(format!("{index}: {why}"));
                    // What is left of it says nothing about the next one.
                    return;
                }
            }
            drop(outcome);
            stage.next_image();
            super::apply(&stage.owner, super::PROD, &stage.sets);
        }
    };
    std::thread::scope(|scope| {
        for moto in &emulators {
            scope.spawn(|| work(moto));
        }
    });
    outcome.into_inner().unwrap()
}

/// Every machine is replaced once and nothing is left behind, wherever a roll was killed.
#[test]
fn a_roll_killed_at_any_instant_is_finished_by_the_next() {
    let kills = number("KPROD_KILLS").unwrap_or(KILLS_DEFAULT);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("KPROD_SEED").unwrap_or(now.as_secs());
    println!("KPROD_SEED={seed} KPROD_KILLS={kills}, {MACHINES} machines each");
    let (landings, failures) = kill_and_finish(kills, seed);
    assert!(failures.is_empty(), "KPROD_SEED={seed}\n{}", failures.join("\n\n"));
    landings.tell("roll");
}
