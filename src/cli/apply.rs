//! `kprod apply`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::apply_roll::{self, Roll};
use super::args::{CloudArgs, InputArgs, PlanOptionArgs, SpecArgs, duration};
use super::context::Context;
use super::execute::{self, EventFormat, Execution};
use super::kubernetes::KubeArgs;
use super::node::own_programs;
use super::pipeline::{self, Planned};
use super::rolling::PaceArgs;
use crate::error::{ExitCode, Failure};

/// Bring the cloud to what the plan says
///
/// Plans, shows the plan, asks, and makes the changes in waves. With a saved plan it makes exactly
/// those changes, each only if the world is still as the plan saw it. Killed at any instant, the
/// same command goes on from there.
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// The cluster's name, or a plan saved by `kprod plan --out FILE`. Optional with -f
    #[arg(value_name = "CLUSTER|FILE", required_unless_present = "files")]
    target: Option<String>,

    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    options: PlanOptionArgs,
    #[command(flatten)]
    cloud: CloudArgs,
    #[command(flatten)]
    execution: ExecutionArgs,
    #[command(flatten)]
    kube: KubeArgs,
    #[command(flatten)]
    pace: PaceArgs,

    /// The file that `kprod node pin` pinned, to be written to the state bucket; the kprod that runs, and
    /// the kprod-node beside it, are looked at anyway. Needed once
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    node_program: Option<PathBuf>,

    /// Then replace the machines that are not what the plan wants, as `kprod rolling-update` does.
    /// Changes that need machines drained are made after that
    #[arg(long)]
    roll: bool,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// How a run is made and told.
#[derive(Clone, Debug, Args)]
pub(super) struct ExecutionArgs {
    /// Wait so long for another run's lease, such as 90s or 5m
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration, help_heading = "Run")]
    pub(super) lock_timeout: Duration,

    /// Wait at most so long until new groups have their machines
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration, help_heading = "Run")]
    pub(super) wait_timeout: Duration,

    /// Print every event as one JSON line on standard output
    #[arg(long, value_enum, help_heading = "Run")]
    pub(super) events: Option<EventFormat>,
}

pub(super) fn run(context: &Context, args: &ApplyArgs) -> anyhow::Result<ExitCode> {
    let asks_for_a_roll = args.pace != PaceArgs::default() || args.kube != KubeArgs::default();
    if asks_for_a_roll && !args.roll {
        let message = "limits of a roll and the way to Kubernetes mean nothing without --roll";
        return Err(Failure::new(ExitCode::Usage, message)
            .hint("add --roll, or leave them out")
            .into());
    }
    match args.target.as_deref().map(Path::new) {
        Some(file) if is_plan_file(context, file) => run_saved(context, args, file),
        _ => run_fresh(context, args),
    }
}

/// A cluster of the fleet wins over a file of the same name. What looks like a file and is none
/// is better told so than taken for a cluster.
fn is_plan_file(context: &Context, target: &Path) -> bool {
    let vars = context.root.join("vars").join(format!("{}.yaml", target.display()));
    let looks_like_a_file =
        target.components().count() > 1 || target.extension().is_some_and(|end| end == "json");
    (target.is_file() || looks_like_a_file) && !vars.exists()
}

fn run_fresh(context: &Context, args: &ApplyArgs) -> anyhow::Result<ExitCode> {
    let options = pipeline::options(&args.options)?;
    let spec = SpecArgs { cluster: args.target.clone(), input: args.input.clone() };
    let loaded = context.load_linted(&spec)?;
    context.block_on(async {
        let mut cloud = pipeline::connect(context, &loaded, &args.cloud).await?;
        cloud.offer_programs(programs(args));
        // A killed run may have left tags and attributes unwritten: look at all of them.
        let plan = async || pipeline::plan(context, &loaded, &cloud, true, &options).await;
        if args.roll {
            let roll = Roll { kube: &args.kube, pace: &args.pace, retry: options.retry };
            return apply_roll::run(context, &cloud, &loaded, &execution(args), &roll, plan).await;
        }
        execute::run_fresh(context, &cloud, loaded.spec.name(), &execution(args), plan).await
    })
}

fn run_saved(context: &Context, args: &ApplyArgs, file: &Path) -> anyhow::Result<ExitCode> {
    if args.roll {
        let message = "a saved plan is applied without replacing machines";
        let hint = "apply it, then `kprod rolling-update CLUSTER`";
        return Err(Failure::new(ExitCode::Usage, message).hint(hint).into());
    }
    let is_bare = args.input == InputArgs::default()
        && args.options == PlanOptionArgs::default()
        && args.cloud.is_open();
    if !is_bare {
        let message = format!("`{}` is a saved plan, which is applied as it is", file.display());
        return Err(Failure::new(ExitCode::Usage, message)
            .hint("give the options of the input, the plan and the cloud to `kprod plan --out`")
            .into());
    }
    let planned = Planned::from_file(file)?;
    context.block_on(async {
        let mut cloud = pipeline::reconnect(context, &planned, &args.cloud.access).await?;
        cloud.offer_programs(programs(args));
        execute::run(context, &cloud, &planned, &execution(args)).await
    })
}

/// Files one of which may be what machines are to fetch.
fn programs(args: &ApplyArgs) -> Vec<PathBuf> {
    args.node_program.clone().into_iter().chain(own_programs().into_iter().flatten()).collect()
}

fn execution(args: &ApplyArgs) -> Execution {
    Execution {
        confirmed: args.yes,
        word: "yes".to_owned(),
        lock_timeout: args.execution.lock_timeout,
        wait_timeout: args.execution.wait_timeout,
        events: args.execution.events,
        destroy: false,
    }
}
