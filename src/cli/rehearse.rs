//! `kprod rehearse`.

use std::num::NonZeroUsize;

use clap::Args;

use super::args::{CloudArgs, SpecArgs};
use super::context::{Context, Loaded};
use super::kubernetes::KubeArgs;
use super::pipeline;
use super::rolling::LimitArgs;
use super::simulate::wrong;
use crate::cloud::Query;
use crate::cloud::any::AnyCloud;
use crate::desired;
use crate::error::{ExitCode, Failure};
use crate::rehearsal::copy;
use crate::rehearsal::fault::Faults;
use crate::rehearsal::rehearse::Rehearsal;
use crate::sim::World;
use crate::ui;

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
    /// calls or pods, or a zone
    #[arg(long, value_name = "FAULTS", default_value = "", help_heading = "Rehearsal")]
    faults: String,

    /// From how many seeds faults are drawn
    #[arg(long, value_name = "N", default_value_t = 20, help_heading = "Rehearsal")]
    seeds: u64,

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
    let faults = Faults::parse(&args.faults).map_err(|error| wrong(&error))?;
    let loaded = context.load(&args.spec)?;
    let policy = args.limits.policy(&loaded.spec)?;
    let (query, seen) = context.block_on(look(context, args, &loaded))?;
    let rehearsal = Rehearsal {
        cluster: loaded.spec.name().to_owned(),
        world: seen.copy(&loaded).map_err(Failure::error)?,
        query,
        policy,
        faults,
        seeds: args.seeds,
        threads: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
    };
    let forecast = rehearsal.run().map_err(Failure::error)?;
    let text = match args.output {
        Output::Text => ui::rehearsal::forecast(&rehearsal, &forecast, context.ui.width),
        Output::Json => format!("{:#}\n", ui::rehearsal::forecast_json(&rehearsal, &forecast)),
    };
    context.ui.data(&text)?;
    Ok(ExitCode::Done)
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
