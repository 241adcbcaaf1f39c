//! `kprod etcd`.

mod status;

use clap::{Args, Subcommand};

use super::context::Context;
use crate::error::ExitCode;

/// Look at a cluster's etcd: members, zones, snapshots
#[derive(Debug, Args)]
pub(super) struct EtcdArgs {
    #[command(subcommand)]
    command: EtcdCommand,
}

#[derive(Debug, Subcommand)]
enum EtcdCommand {
    Status(status::StatusArgs),
}

pub(super) fn run(context: &Context, args: &EtcdArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        EtcdCommand::Status(args) => status::run(context, args),
    }
}
