//! `kprod etcd`.

mod ask;
mod restore;
mod snapshot;
mod snapshots;
mod status;

use clap::{Args, Subcommand};

use super::context::Context;
use crate::apply;
use crate::error::{ExitCode, Failure};
use crate::snapshot::SnapshotStoreError;

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

/// A list of snapshots that cannot be read, with the way out.
fn list_failure(error: &SnapshotStoreError, cluster: &str) -> Failure {
    match error {
        SnapshotStoreError::Store(error) => apply::store_failure(error, cluster),
        SnapshotStoreError::List(error) => Failure::error(error.to_string())
            .hint("use the kprod that wrote it, or put the object's last good version back"),
    }
}
