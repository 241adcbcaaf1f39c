//! `kprod node` and what is below it.

#[cfg(feature = "node")]
mod etcd;
mod pin;

use clap::{Args, Subcommand};

use super::context::Context;
use crate::error::ExitCode;

/// The program on a cluster's machines: which one they run
#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    #[command(subcommand)]
    command: NodeCommand,
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    Pin(pin::PinArgs),
    /// What a machine's user data starts.
    #[cfg(feature = "node")]
    #[command(hide = true)]
    Etcd(etcd::EtcdArgs),
}

pub(super) fn run(context: &Context, args: &NodeArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        NodeCommand::Pin(args) => pin::run(context, args),
        #[cfg(feature = "node")]
        NodeCommand::Etcd(args) => etcd::run(context, args),
    }
}
