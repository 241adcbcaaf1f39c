//! The quick proof: some seeds of the simulation, every request of a small world, and kept seeds.

#![allow(clippy::print_stderr, reason = "a failing seed is told in full")]

use kprod::rehearsal::swarm::Swarm;

/// Seeds of a quick run; `kprod simulate` makes as many as one likes.
const SEEDS: u64 = 6;

#[test]
fn no_seed_breaks_an_invariant() {
    let swarm =
        Swarm { first: 1, count: SEEDS, threads: 2, only: None, twice_every: 3, tells_all: false };
    let tally = swarm.run(&|_| ()).unwrap();
    for failed in &tally.failed {
        eprintln!("{}", failed.lines.join("\n"));
        eprintln!("seed {} {:?} with {}", failed.seed, failed.violation, failed.faults);
    }
    assert!(tally.failed.is_empty());
    assert!(tally.crashes > 0 && tally.replaced > 0);
}
