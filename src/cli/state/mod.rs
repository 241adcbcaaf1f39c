//! `kprod state`.

mod create;
mod show;

use clap::{Args, Subcommand};

use super::context::{Context, Loaded};
use crate::cloud::{Cloud, StateBucket};
use crate::error::{ExitCode, Failure};
use crate::spec::Spec;
use crate::state::StateAddress;

/// Make and look at the bucket that keeps a cluster's lease and journal
#[derive(Debug, Args)]
pub(super) struct StateArgs {
    #[command(subcommand)]
    command: StateCommand,
}

#[derive(Debug, Subcommand)]
enum StateCommand {
    Create(create::CreateArgs),
    Show(show::ShowArgs),
}

pub(super) fn run(context: &Context, args: &StateArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        StateCommand::Create(args) => create::run(context, args),
        StateCommand::Show(args) => show::run(context, args),
    }
}

/// Where a cluster's state is; none in the simulator, which keeps it in its own folder.
///
/// # Errors
/// When the spec says nothing about it.
fn address<C: Cloud + StateBucket>(
    cloud: &C,
    loaded: &Loaded,
) -> Result<Option<StateAddress>, Failure> {
    let address = cloud.bucket();
    let address = address.map_err(|e| crate::apply::store_failure(&e, loaded.spec.name()))?;
    Ok(address.cloned())
}

/// The region that the spec names.
fn region(spec: &Spec) -> Option<&str> {
    spec.cluster.spec.region.as_deref().filter(|region| !region.is_empty())
}
