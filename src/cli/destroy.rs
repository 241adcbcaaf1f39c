//! `kprod destroy`.

use clap::Args;

use super::apply::ExecutionArgs;
use super::args::{CloudArgs, SpecArgs};
use super::context::Context;
use super::execute::{self, Execution};
use super::pipeline;
use crate::error::{ExitCode, Failure};
use crate::plan::PlanOptions;

/// Remove a cluster: its machines, its etcd volumes with their data, everything it owns
///
/// What is not ours stays. Asks for the cluster's name; without a terminal --confirm gives it.
#[derive(Debug, Args)]
pub(super) struct DestroyArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    cloud: CloudArgs,
    #[command(flatten)]
    execution: ExecutionArgs,

    /// The cluster's name once more, in place of the question
    #[arg(long, value_name = "CLUSTER")]
    confirm: Option<String>,
}

pub(super) fn run(context: &Context, args: &DestroyArgs) -> anyhow::Result<ExitCode> {
    let loaded = context.load(&args.spec)?;
    let name = loaded.spec.name().to_owned();
    if let Some(confirm) = &args.confirm
        && *confirm != name
    {
        return Err(Failure::refused(format!(
            "--confirm says `{confirm}`, the cluster is `{name}`"
        ))
        .into());
    }
    let options = PlanOptions { destroy: true, ..PlanOptions::default() };
    let execution = Execution {
        confirmed: args.confirm.is_some(),
        word: name,
        lock_timeout: args.execution.lock_timeout,
        wait_timeout: args.execution.wait_timeout,
        events: args.execution.events,
        destroy: true,
    };
    context.block_on(async {
        let cloud = pipeline::connect(context, &loaded, &args.cloud).await?;
        let plan = async || pipeline::plan(context, &loaded, &cloud, true, &options).await;
        execute::run_fresh(context, &cloud, loaded.spec.name(), &execution, plan).await
    })
}
