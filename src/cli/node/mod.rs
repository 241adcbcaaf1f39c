//! `kprod node` and what is below it.

#[cfg(feature = "node")]
pub(super) mod etcd;
mod pin;

use std::path::PathBuf;

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

/// The program for machines as it is named beside the kprod it was built with (`src/bin`).
const SMALL: &str = "kprod-node";

/// What was built for machines with the kprod that runs, best first: the small program beside it, where
/// it is, then kprod itself.
///
/// # Errors
/// When the system does not tell which file is running.
pub(super) fn own_programs() -> std::io::Result<Vec<PathBuf>> {
    let own = std::env::current_exe()?;
    let small = Some(own.with_file_name(SMALL)).filter(|file| file.is_file());
    Ok(small.into_iter().chain([own]).collect())
}
