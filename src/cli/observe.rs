//! `kprod observe`.

use std::path::PathBuf;

use clap::Args;

use super::args::{CloudArgs, SpecArgs};
use super::context::{Context, write_file};
use super::pipeline;
use crate::error::ExitCode;

/// Record what is in the cloud, for `kprod plan --observed FILE`
///
/// Reads only. The file holds no secret that the cloud's describe calls do not show.
#[derive(Debug, Args)]
pub(super) struct ObserveArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    cloud: CloudArgs,

    /// Where to write it; standard output if not given
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &ObserveArgs) -> anyhow::Result<ExitCode> {
    let loaded = context.load(&args.spec)?;
    let (_, observation) = context.block_on(async {
        let cloud = pipeline::connect(context, &loaded, &args.cloud).await?;
        pipeline::observe(&loaded, &cloud, args.cloud.deep).await
    })?;
    let body = serde_json::to_string_pretty(&observation)?;
    match &args.output {
        Some(file) => {
            write_file(file, body.as_bytes())?;
            let count = observation.resources.len();
            context.ui.status(&format!("{count} resources recorded in {}", file.display()));
        }
        None => context.ui.data(&format!("{body}\n"))?,
    }
    Ok(ExitCode::Done)
}
