//! `kprod pki`.

mod status;

use clap::{Args, Subcommand};

use super::context::Context;
use crate::error::ExitCode;

/// Look at a cluster's keys and certificates
#[derive(Debug, Args)]
pub(super) struct PkiArgs {
    #[command(subcommand)]
    command: PkiCommand,
}

#[derive(Debug, Subcommand)]
enum PkiCommand {
    Status(status::StatusArgs),
}

pub(super) fn run(context: &Context, args: &PkiArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        PkiCommand::Status(args) => status::run(context, args),
    }
}
