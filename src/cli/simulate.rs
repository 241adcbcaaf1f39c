//! `kprod simulate`.

use std::num::NonZeroUsize;

use clap::Args;

use super::context::Context;
use crate::error::{ExitCode, Failure};
use crate::rehearsal::choice::{self, FaultError};
use crate::rehearsal::fault::Fault;
use crate::rehearsal::small;
use crate::rehearsal::swarm::Swarm;
use crate::ui;

/// Seeds that are taken where nobody says how many.
const SEEDS: u64 = 1_000;

/// Prove the rolling update: simulate it from many seeds, under faults
///
/// Each seed draws a cluster, limits, workloads and faults, and rolls a change through it: kprod is
/// killed and started again, answers get lost, machines fail, people meddle. Before every request that
/// changes something, fifteen invariants are checked; when faults stop, the roll has to come to its end
/// and leave nothing behind. A seed that fails prints the faults that are enough for it and everything
/// that happened; the same seed always takes the same way.
#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// How many seeds; 1000 if neither this nor a seed is given
    #[arg(long, value_name = "N", help_heading = "Proof")]
    seeds: Option<u64>,

    /// The first seed; alone, the only one, told line by line
    #[arg(long, value_name = "SEED", help_heading = "Proof")]
    seed: Option<u64>,

    /// Of the faults that a seed draws, only these, such as crash,spot
    #[arg(long, value_name = "FAULTS", help_heading = "Proof")]
    faults: Option<String>,

    /// In place of seeds, every request of two small worlds struck by every fault in turn
    #[arg(long, conflicts_with_all = ["seeds", "seed", "faults"], help_heading = "Proof")]
    small_worlds: bool,

    /// Threads that work on seeds; all cores if not given
    #[arg(long, value_name = "N", help_heading = "Proof")]
    threads: Option<usize>,
}

pub(super) fn run(context: &Context, args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let only = args.faults.as_deref().map(choice::names).transpose().map_err(|e| wrong(&e))?;
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = args.threads.unwrap_or(cores);
    if args.small_worlds {
        return small_worlds(context, threads);
    }
    let is_alone = args.seed.is_some() && args.seeds.is_none();
    let swarm = Swarm {
        first: args.seed.unwrap_or(1),
        count: args.seeds.unwrap_or(if is_alone { 1 } else { SEEDS }),
        threads,
        only,
        twice_every: 100,
        tells_all: is_alone,
    };
    let tell = ui::rehearsal::ticker(context.ui, swarm.count);
    let tally = swarm.run(&tell).map_err(Failure::error)?;
    context.ui.data(&ui::rehearsal::tally(&tally))?;
    if tally.failed.is_empty() {
        return Ok(ExitCode::Done);
    }
    let seeds = tally.failed.iter().map(|failed| failed.seed);
    Err(broken(seeds).hint("`kprod simulate --seed SEED` takes the same way again").into())
}

/// Seeds under which kprod breaks an invariant.
pub(super) fn broken(seeds: impl Iterator<Item = u64>) -> Failure {
    let seeds: Vec<String> = seeds.map(|seed| seed.to_string()).collect();
    Failure::error(format!("{} seeds break an invariant: {}", seeds.len(), seeds.join(", ")))
}

fn small_worlds(context: &Context, threads: usize) -> anyhow::Result<ExitCode> {
    let exhausted = small::exhaust(&small::blows(), 1, threads).map_err(Failure::error)?;
    context.ui.data(&ui::rehearsal::exhausted(&exhausted))?;
    match exhausted.failed.len() {
        0 => Ok(ExitCode::Done),
        count => Err(Failure::error(format!("{count} cases break an invariant")).into()),
    }
}

/// A list of faults that makes no sense.
pub(super) fn wrong(error: &FaultError) -> Failure {
    let failure = Failure::new(ExitCode::Usage, error.to_string());
    let names: Vec<&str> = Fault::all().map(Fault::name).collect();
    let all = format!("the faults are {}", names.join(", "));
    match error {
        FaultError::Unknown { meant: Some(meant), .. } => {
            failure.hint(format!("did you mean `{meant}`? {all}"))
        }
        FaultError::Unknown { .. } => failure.hint(all),
        FaultError::Elsewhere { zones, .. } => {
            failure.hint(format!("its groups are in {}", zones.join(", ")))
        }
        FaultError::Drawn { names, .. } => {
            let hint = "for strengths of your own, `kprod rehearse CLUSTER`";
            failure.hint(format!("write --faults {names}; {hint}"))
        }
        FaultError::Beside => failure.hint("write --faults random, or name faults and no `random`"),
        FaultError::Share { .. } | FaultError::Zone { .. } => failure,
    }
}
