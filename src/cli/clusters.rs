//! `kprod clusters`.

use clap::{Args, ValueEnum};

use super::context::Context;
use crate::error::ExitCode;
use crate::finding::has_errors;
use crate::source;
use crate::ui;

/// List the fleet's clusters with their layers
#[derive(Debug, Args)]
pub(super) struct ClustersArgs {
    /// How to print them
    #[arg(short, long, value_enum, default_value_t = ListFormat::Text)]
    output: ListFormat,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    Text,
    Json,
}

pub(super) fn run(context: &Context, args: &ClustersArgs) -> anyhow::Result<ExitCode> {
    let tree = context.tree()?;
    let clusters = source::clusters(&tree);
    context.ui.findings(&tree.findings);
    let text = match args.output {
        ListFormat::Text => ui::source::clusters(&clusters),
        ListFormat::Json => format!("{:#}\n", ui::source::clusters_json(&clusters)),
    };
    context.ui.data(&text)?;
    // The list may lack a cluster whose file is broken in its name or place.
    Ok(if has_errors(&tree.findings) { ExitCode::Error } else { ExitCode::Done })
}
