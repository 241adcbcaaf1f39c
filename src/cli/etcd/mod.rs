//! `kprod etcd`.

mod ask;
mod restore;
mod snapshot;
mod snapshots;
mod status;
mod survivor;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};

use super::args::TextOrJson;
use super::context::Context;
use crate::cloud::Cloud;
use crate::cloud::any::AnyCloud;
use crate::error::{ExitCode, Failure};
use crate::etcd::snapshot::List;
use crate::snapshot::SnapshotStoreError;
use crate::{apply, ui};

/// Look at a cluster's etcd, take snapshots of it, and bring it back
#[derive(Debug, Args)]
pub(super) struct EtcdArgs {
    #[command(subcommand)]
    command: EtcdCommand,
}

#[derive(Debug, Subcommand)]
enum EtcdCommand {
    Status(status::StatusArgs),
    Snapshots(snapshots::SnapshotsArgs),
    Snapshot(snapshot::SnapshotArgs),
    Restore(restore::RestoreArgs),
}

pub(super) fn run(context: &Context, args: &EtcdArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        EtcdCommand::Status(args) => status::run(context, args),
        EtcdCommand::Snapshots(args) => snapshots::run(context, args),
        EtcdCommand::Snapshot(args) => snapshot::run(context, args),
        EtcdCommand::Restore(args) => restore::run(context, args),
    }
}

/// Prints verified snapshots.
fn print_lists(
    context: &Context,
    cloud: &AnyCloud,
    cluster: &str,
    lists: &BTreeMap<String, List>,
    output: TextOrJson,
) -> anyhow::Result<()> {
    let (now, is_simulated) = (cloud.now(), cloud.name() == "sim");
    context.ui.data(&match output {
        TextOrJson::Text => ui::snapshots::text(cluster, lists, now, is_simulated, context.ui.out),
        TextOrJson::Json => {
            format!("{:#}\n", ui::json::snapshots(cluster, lists, now, is_simulated))
        }
    })?;
    Ok(())
}

/// A list of snapshots that cannot be read, with the way out.
fn list_failure(error: &SnapshotStoreError, cluster: &str) -> Failure {
    match error {
        SnapshotStoreError::Store(error) => apply::store_failure(error, cluster),
        SnapshotStoreError::List(error) => Failure::error(error.to_string())
            .hint("use the kprod that wrote it, or put the object's last good version back"),
    }
}
