//! `kprod lints`.

use clap::Args;

use super::context::Context;
use crate::error::ExitCode;
use crate::lint::LINTS;

/// List the rules that `plan`, `apply` and `validate` hold a spec to
///
/// An error refuses a plan and an apply (exit 5) until the spec is mended or says why not, and until
/// when: `waivers: [{lint: L19, reason: ..., expires: 2027-01-31}]` in the cluster's `spec`.
#[derive(Debug, Args)]
pub(super) struct LintsArgs {}

pub(super) fn run(context: &Context, _args: &LintsArgs) -> anyhow::Result<ExitCode> {
    let line = |lint: &crate::lint::Lint| format!("{}  {}\n", lint.id, lint.asks);
    context.ui.data(&LINTS.iter().map(line).collect::<String>())?;
    Ok(ExitCode::Done)
}
