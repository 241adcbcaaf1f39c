//! `kprod repair`.

use std::time::Duration;

use clap::Args;

use super::args::{CloudArgs, Format, SpecArgs, duration};
use super::context::Context;
use super::execute::{EventFormat, new_sink};
use super::kubernetes::KubeArgs;
use super::pipeline;
use super::rolling::{self, PaceArgs, Rolling};
use crate::error::ExitCode;
use crate::plan::PlanOptions;
use crate::roll::{Policy, RepairPolicy};

/// Replace machines that are broken, and no others
///
/// Broken is a machine whose node is not ready, has a problem condition or never joined, or which
/// fails the cloud's checks, for longer than --broken-for. A problem is a full disk, a network that is
/// not there, and what the node problem detector and AWS's node monitoring agent know of; pressure of
/// memory and processes is none, since it comes with the work, nor is a condition that kprod does not
/// know. A broken machine is drained with a deadline and replaced as a rolling update would, behind the
/// same quorum guard and budgets. When more machines than --halt-above are broken it is not the
/// machines, and nothing is touched.
///
/// Without --yes it only shows them. Exit code 0 when none is broken or all were replaced, 2 when it
/// has shown some, 6 when it halted.
#[derive(Debug, Args)]
pub(super) struct RepairArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    cloud: CloudArgs,
    #[command(flatten)]
    kube: KubeArgs,
    #[command(flatten)]
    pace: PaceArgs,

    /// How long a machine has to be broken, in place of `repair.brokenFor`
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Limits")]
    broken_for: Option<Duration>,

    /// Machines that are replaced at once over all groups, in place of `repair.atOnce`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    at_once: Option<u32>,

    /// Touch nothing when more machines in a hundred are broken, in place of
    /// `repair.haltAbovePercent`
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100), help_heading = "Limits")]
    halt_above: Option<u32>,

    /// Do it; without this it is only shown
    #[arg(short, long)]
    yes: bool,

    /// How to print what is broken
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,

    /// Wait so long for another run's lease, such as 90s or 5m
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration, help_heading = "Run")]
    lock_timeout: Duration,

    /// Print every event as one JSON line on standard output
    #[arg(long, value_enum, help_heading = "Run", requires = "yes")]
    events: Option<EventFormat>,
}

pub(super) fn run(context: &Context, args: &RepairArgs) -> anyhow::Result<ExitCode> {
    let loaded = context.load(&args.spec)?;
    let spec = RepairPolicy::of(&loaded.spec);
    let repair = RepairPolicy {
        broken_for: args.broken_for.unwrap_or(spec.broken_for),
        at_once: args.at_once.unwrap_or(spec.at_once),
        halt_above_percent: args.halt_above.unwrap_or(spec.halt_above_percent),
    };
    let policy = Policy { repair: Some(repair), ..args.pace.policy(&loaded.spec) };
    context.block_on(async {
        let cloud = pipeline::connect(context, &loaded, &args.cloud).await?;
        let options = PlanOptions::default();
        let planned = pipeline::plan(context, &loaded, &cloud, args.cloud.deep, &options).await?;
        let rolling = Rolling::open(context, &cloud, &loaded, &args.kube, policy, planned).await?;
        let preview = rolling.preview().await?;
        rolling::print(context, &preview, args.output, true, args.events)?;
        if !args.yes {
            let is_well = preview.to_replace() == 0 && preview.halts.is_empty();
            return Ok(if is_well { ExitCode::Done } else { ExitCode::Changes });
        }
        let sink = new_sink(context, &cloud, &preview.cluster, args.events);
        if preview.is_idle {
            rolling.nothing_to_do(&sink, &preview);
            return Ok(ExitCode::Done);
        }
        rolling.run(args.lock_timeout, &sink).await
    })
}
