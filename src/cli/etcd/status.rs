//! `kprod etcd status`.

use clap::Args;
use jiff::Timestamp;

use super::super::args::{CloudArgs, SpecArgs, TextOrJson};
use super::super::context::Context;
use super::super::pipeline;
use crate::apply;
use crate::cloud::Cloud;
use crate::error::ExitCode;
use crate::etcd::{Facts, Standing};
use crate::roll::{Policy, members};
use crate::ui;

/// Show how a cluster's etcd stands: its members, and what the outage of each zone would leave
///
/// By what the members report to the state bucket, every ten seconds; etcd itself is not asked, so it
/// works from everywhere. Reads only, and needs no lease. What is wrong is what the quorum guard of a
/// rolling update would say.
///
/// Exit code 0 when every member is a healthy voter that has caught up and a verified snapshot is
/// young enough, 2 when something is wrong.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    cloud: CloudArgs,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
}

pub(super) fn run(context: &Context, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let loaded = context.load(&args.spec)?;
    let cluster = loaded.spec.name();
    context.block_on(async {
        let cloud = pipeline::connect(context, &loaded, &args.cloud).await?;
        let policy = Policy::of(&loaded.spec);
        let read = members::read(&cloud, cluster, &policy.topology, &Facts::new()).await;
        let facts = read.map_err(|error| apply::store_failure(&error, cluster))?;
        let limits = policy.cluster.guard_limits(Timestamp::MIN);
        let standing = Standing::of(cluster, &policy.topology, &facts, cloud.now(), &limits);
        let is_simulated = cloud.name() == "sim";
        context.ui.data(&match args.output {
            TextOrJson::Text => {
                ui::etcd::text(&standing, is_simulated, context.ui.width, context.ui.out)
            }
            TextOrJson::Json => format!("{:#}\n", ui::json::etcd(&standing, is_simulated)),
        })?;
        Ok(if standing.is_well() { ExitCode::Done } else { ExitCode::Changes })
    })
}
