//! `kprod unlock`.

use clap::Args;

use super::args::{CloudArgs, SpecArgs};
use super::context::Context;
use super::pipeline;
use crate::apply::lease;
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
    context.block_on(async {
        let cloud = pipeline::connect(context, &loaded, &args.cloud).await?;
        let Some(held) = lease::read(&cloud, cluster).await? else {
            context.ui.status(&format!("nobody holds the lease of {cluster}"));
            return Ok(ExitCode::Done);
        };
        context.ui.status(&format!(
            "{cluster} is locked by {} since {}, until {} unless renewed",
            held.holder, held.taken_at, held.expires_at
        ));
        if !args.yes {
            return Err(Failure::new(ExitCode::Locked, "the lease is held")
                .hint("if that run is dead, break its lease with --yes")
                .into());
        }
        lease::break_lease(&cloud, cluster).await?;
        context.ui.status("broken; the run that held it stops before its next change");
        Ok(ExitCode::Done)
    })
}
