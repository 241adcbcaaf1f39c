//! `kprod show`.

use std::path::PathBuf;

use clap::Args;

use super::args::Format;
use super::context::Context;
use super::pipeline::Planned;
use crate::error::ExitCode;

/// Print a saved plan
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// A plan saved by `kprod plan --out FILE`
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,

    /// Show every field of what is made
    #[arg(short, long)]
    verbose: bool,
}

pub(super) fn run(context: &Context, args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let planned = Planned::from_file(&args.file)?;
    super::plan::print(context, &planned.plan, args.output, args.verbose)?;
    Ok(ExitCode::Done)
}
