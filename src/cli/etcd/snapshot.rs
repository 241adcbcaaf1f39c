//! `kprod etcd snapshot`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;

use super::super::args::{CloudArgs, SpecArgs, TextOrJson, duration};
use super::super::context::Context;
use super::super::pipeline;
use super::ask::{Wish, ask};
use super::print_lists;
use crate::error::ExitCode;
use crate::etcd::snapshot::List;
use crate::roll::Policy;

/// Take a snapshot of a cluster's etcd now
///
/// Of `main` and `events` at the same time. The cluster's members take it, as they do every hour: this
/// leaves a request in the state bucket and waits until the snapshots are verified and listed. Where
/// another run has asked, it waits for that one's first. Needs no lease, and no way to etcd itself.
///
/// Exit code 6 when they are not there in time.
#[derive(Debug, Args)]
pub(super) struct SnapshotArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    cloud: CloudArgs,

    /// How long to wait for it
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    wait_timeout: Duration,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
}

pub(super) fn run(context: &Context, args: &SnapshotArgs) -> anyhow::Result<ExitCode> {
    let loaded = context.load(&args.spec)?;
    let cluster = loaded.spec.name();
    context.block_on(async {
        let cloud = pipeline::connect(context, &loaded, &args.cloud).await?;
        let etcds = Policy::of(&loaded.spec).topology.clusters.into_keys();
        let takers = etcds.map(|etcd| (etcd, None)).collect();
        let wish = Wish { cluster, takers, wait: args.wait_timeout };
        let taken = ask(context, &cloud, &wish).await?;
        let lists: BTreeMap<String, List> =
            taken.into_iter().map(|(etcd, record)| (etcd, List::empty().with(record))).collect();
        print_lists(context, &cloud, cluster, &lists, args.output)?;
        Ok(ExitCode::Done)
    })
}
