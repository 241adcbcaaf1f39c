//! `kprod node`.

mod etcd;

use clap::{Args, Subcommand};

use super::context::Context;
use crate::error::ExitCode;

/// What kprod does on a cluster's machines; their user data starts it
#[derive(Debug, Args)]
#[command(hide = true)]
pub(super) struct NodeArgs {
    #[command(subcommand)]
    command: NodeCommand,
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    Etcd(etcd::EtcdArgs),
}

pub(super) fn run(context: &Context, args: &NodeArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        NodeCommand::Etcd(args) => etcd::run(context, args),
    }
}
