//! `kprod unlock`.

use clap::Args;

use super::args::{CloudArgs, SpecArgs};
use super::context::Context;
use super::pipeline;
use crate::apply::lease::LeaseError;
use crate::apply::{self, lease};
use crate::cloud::Cloud;
use crate::error::{ExitCode, Failure};

/// Break another run's lease on a cluster
///
/// Only when you know that the run is dead: a lease ends by itself soon after its holder does.
#[derive(Debug, Args)]
pub(super) struct UnlockArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    cloud: CloudArgs,

    /// Break it; without this the lease is only shown
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn run(context: &Context, args: &UnlockArgs) -> anyhow::Result<ExitCode> {
    let loaded = context.load(&args.spec)?;
    let cluster = loaded.spec.name();
    let failed = |error: LeaseError| apply::lease_failure(&error, cluster);
    context.block_on(async {
        let cloud = pipeline::connect(context, &loaded, &args.cloud).await?;
        let Some(found) = lease::find(&cloud, cluster).await.map_err(failed)? else {
            context.ui.status(&format!("nobody holds the lease of {cluster}"));
            return Ok(ExitCode::Done);
        };
        let held = found.record.as_ref();
        context.ui.status(&match held {
            Ok(held) => format!("{cluster} is locked: {}", held.describe(cloud.now())),
            Err(why) => format!("{cluster} is locked by what no run can use: {why}"),
        });
        if !args.yes {
            return Err(Failure::new(ExitCode::Locked, "the lease is held")
                .hint("if that run is dead, break its lease with --yes")
                .into());
        }
        found.remove(&cloud, cluster).await.map_err(failed)?;
        context.ui.status("broken; the run that held it stops before its next change");
        Ok(ExitCode::Done)
    })
}
