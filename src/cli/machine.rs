//! The command line of `kprod-node`, the program for machines: of kprod, what they start alone.

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};

use super::args::GlobalArgs;
use super::context::Context;
use super::node::etcd::{self, EtcdArgs};
use super::{end, usage};
use crate::error::ExitCode;

/// What a cluster's machines run
///
/// The same code as `kprod node`, without all that machines have no use for, so that each of them
/// fetches a fraction of it. `kprod node pin` pins either program.
#[derive(Debug, Parser)]
#[command(name = "kprod-node", version, max_term_width = 100, subcommand_required = true)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Node(NodeArgs),
}

/// What a machine's user data starts
#[derive(Debug, Args)]
struct NodeArgs {
    #[command(subcommand)]
    command: NodeCommand,
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    Etcd(EtcdArgs),
}

/// Runs the program for machines and gives its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let ui = cli.global.ui();
    let context = Context::new(&ui, &cli.global);
    let Command::Node(NodeArgs { command: NodeCommand::Etcd(args) }) = cli.command;
    end(&ui, etcd::run(&context, &args))
}
