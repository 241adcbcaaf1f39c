//! `kprod rehearse`.

use std::num::NonZeroUsize;

use clap::Args;

use super::args::{CloudArgs, SpecArgs};
use super::context::{Context, Loaded};
use super::kubernetes::KubeArgs;
use super::pipeline;
use super::rolling::LimitArgs;
use super::simulate::{broken, wrong};
use crate::cloud::Query;
use crate::cloud::any::AnyCloud;
use crate::desired;
use crate::error::{ExitCode, Failure};
use crate::rehearsal::choice::Choice;
use crate::rehearsal::copy;
use crate::rehearsal::invariant::Violation;
use crate::rehearsal::rehearse::Rehearsal;
use crate::sim::World;
use crate::spec::Spec;
use crate::ui;

/// Seeds that are taken where nobody says how many.
const SEEDS: u64 = 20;

/// Roll a simulated copy of the cluster first: how long it takes, and what would halt it
///
/// Reads the cloud and the cluster, changes nothing. On the copy the plan's change is applied and
/// rolled by the same code as a real roll, in virtual time: once in peace, and with --faults from many
/// seeds under what goes wrong. Tells the steps with their times, how long it takes, and every way in
/// which it would have halted, with the way out.
#[derive(Debug, Args)]
pub(super) struct RehearseArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    cloud: CloudArgs,
    #[command(flatten)]
    kube: KubeArgs,
    #[command(flatten)]
    limits: LimitArgs,

    /// What goes wrong, such as spot=0.1,boot-fail=0.05,az-outage=eu-west-3b: shares of machines,
    /// calls or pods, or a zone; `random` has each seed draw its own
    #[arg(long, value_name = "FAULTS", default_value = "", help_heading = "Rehearsal")]
    faults: String,

    /// How many seeds say when and whom faults strike; 20 if neither this nor a seed is given
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..),
        help_heading = "Rehearsal"
    )]
    seeds: Option<u64>,

    /// The first seed; alone, the only one. The steps that are told are then those under it
    #[arg(long, value_name = "SEED", help_heading = "Rehearsal")]
    seed: Option<u64>,

    /// How to print what came of it
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How a forecast is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For machines; with a format version
    Json,
}

pub(super) fn run(context: &Context, args: &RehearseArgs) -> anyhow::Result<ExitCode> {
    let loaded = context.load(&args.spec)?;
    let faults = faults(args, &loaded.spec)?;
    let policy = args.limits.policy(&loaded.spec)?;
    let (query, seen) = context.block_on(look(context, args, &loaded))?;
    let rehearsal = Rehearsal {
        cluster: loaded.spec.name().to_owned(),
        world: seen.copy(&loaded).map_err(Failure::error)?,
        query,
        policy,
        faults,
        first: args.seed.unwrap_or(1),
        seeds: args.seeds.unwrap_or(if args.seed.is_some() { 1 } else { SEEDS }),
        tells_first: args.seed.is_some(),
        threads: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
    };
    let forecast = rehearsal.run().map_err(Failure::error)?;
    let text = match args.output {
        Output::Text => ui::rehearsal::forecast(&rehearsal, &forecast, context.ui.width),
        Output::Json => format!("{:#}\n", ui::rehearsal::forecast_json(&rehearsal, &forecast)),
    };
    context.ui.data(&text)?;
    blame(&forecast.violations)?;
    Ok(ExitCode::Done)
}

/// A rehearsal that halts has told what it was asked; one in which kprod breaks an invariant has not.
fn blame(violations: &[(u64, Violation)]) -> Result<(), Failure> {
    if violations.is_empty() {
        return Ok(());
    }
    Err(broken(violations.iter().map(|(seed, _)| *seed))
        .hint("do not roll under such conditions; `--seed SEED` tells the steps, for a report"))
}

/// What goes wrong, if anything. Seeds without faults would look as if something had been tried.
fn faults(args: &RehearseArgs, spec: &Spec) -> anyhow::Result<Choice> {
    let zones = spec.groups.values().flat_map(|group| spec.zones_of(group)).collect();
    let faults = Choice::parse(&args.faults, &zones).map_err(|error| wrong(&error))?;
    if faults.is_empty() && (args.seed.is_some() || args.seeds.is_some()) {
        let message = "seeds mean nothing without faults";
        return Err(Failure::new(ExitCode::Usage, message)
            .hint("add --faults, such as --faults random, or leave them out")
            .into());
    }
    Ok(faults)
}

/// What a copy is made of.
enum Seen {
    /// A simulated account: the copy is the account itself, with the change applied.
    World(Box<World>),
    /// What was read of AWS and of the cluster's API server.
    #[cfg(feature = "aws")]
    Observed {
        observation: Box<crate::cloud::Observation>,
        view: Option<std::sync::Arc<crate::kube::KubeView>>,
        outdated: std::collections::BTreeSet<String>,
    },
}

impl Seen {
    fn copy(self, loaded: &Loaded) -> Result<World, String> {
        match self {
            Seen::World(world) => copy::of_world(*world, &loaded.spec),
            #[cfg(feature = "aws")]
            Seen::Observed { observation, view, outdated } => {
                copy::of_observation(&loaded.spec, &observation, view.as_deref(), &outdated)
            }
        }
    }
}

/// Reads what the copy is made of; changes nothing.
async fn look(
    context: &Context<'_>,
    args: &RehearseArgs,
    loaded: &Loaded,
) -> anyhow::Result<(Query, Seen)> {
    let cloud = pipeline::connect(context, loaded, &args.cloud).await?;
    match &cloud {
        AnyCloud::Sim(sim) => {
            let world = sim.with_world(|world| world.clone())?;
            Ok((desired::query(&loaded.spec), Seen::World(Box::new(world))))
        }
        #[cfg(feature = "aws")]
        AnyCloud::Aws(_) => {
            let options = crate::plan::PlanOptions::default();
            let (query, observation) = pipeline::observe(loaded, &cloud, args.cloud.deep).await?;
            let planned =
                pipeline::compare(context, loaded, query.clone(), &observation, &options)?;
            let groups = planned.plan.rollout.groups.iter();
            let outdated = groups.map(|group| group.address.name.clone()).collect();
            let view = match args.limits.pace.cloudonly {
                true => None,
                false => {
                    let kube = args.kube.connect(&cloud, loaded.spec.name()).await?;
                    let view = crate::kube::Kube::view(&kube).await;
                    Some(view.map_err(|error| crate::roll::driver::kube_failure(&error))?)
                }
            };
            Ok((query, Seen::Observed { observation: Box::new(observation), view, outdated }))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::{Violation, blame};
    use crate::error::ExitCode;

    #[test]
    fn a_rehearsal_in_which_kprod_breaks_an_invariant_fails_and_names_the_seeds() {
        blame(&[]).unwrap();
        let broken = |seed| (seed, Violation { invariant: "I2", how: "no quorum".to_owned() });
        let failure = blame(&[7, 8].map(broken)).unwrap_err();
        assert_eq!(failure.code, ExitCode::Error);
        assert!(failure.message.contains("7, 8"), "{failure:?}");
    }
}
