//! `kprod schema`.

use clap::Args;

use super::context::Context;
use crate::error::ExitCode;
use crate::spec;

/// Print the JSON Schema of Cluster and InstanceGroup documents
#[derive(Debug, Args)]
pub(super) struct SchemaArgs {}

pub(super) fn run(context: &Context, _args: &SchemaArgs) -> anyhow::Result<ExitCode> {
    context.ui.data(&format!("{:#}\n", spec::schema()))?;
    Ok(ExitCode::Done)
}
