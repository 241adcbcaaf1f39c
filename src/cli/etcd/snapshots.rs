//! `kprod etcd snapshots`.

use clap::Args;

use super::super::args::{CloudArgs, SpecArgs, TextOrJson};
use super::super::context::Context;
use super::super::pipeline;
use super::{list_failure, print_lists};
use crate::error::ExitCode;
use crate::roll::Policy;
use crate::snapshot;

/// List the verified snapshots of a cluster's etcd
///
/// Each was taken of a member, held to etcd's own sum, uploaded, read back and compared before it was
/// listed. Reads only, and needs no lease. `kprod etcd restore` begins with one.
#[derive(Debug, Args)]
pub(super) struct SnapshotsArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    cloud: CloudArgs,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
}

pub(super) fn run(context: &Context, args: &SnapshotsArgs) -> anyhow::Result<ExitCode> {
    let loaded = context.load(&args.spec)?;
    let cluster = loaded.spec.name();
    context.block_on(async {
        let cloud = pipeline::connect(context, &loaded, &args.cloud).await?;
        let topology = Policy::of(&loaded.spec).topology;
        let lists = snapshot::read_all(&cloud, cluster, topology.clusters.keys()).await;
        let lists = lists.map_err(|error| list_failure(&error, cluster))?;
        print_lists(context, &cloud, cluster, &lists, args.output)?;
        Ok(ExitCode::Done)
    })
}
