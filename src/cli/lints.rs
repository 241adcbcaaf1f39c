//! `kprod lints`.

use clap::Args;

use super::context::Context;
use crate::error::ExitCode;
use crate::lint::{LINTS, Lint};

/// List the rules that `plan`, `apply` and `validate` hold a spec to
///
/// An error refuses a plan and an apply (exit 5) until the spec is mended or says why not, and until
/// when: `waivers: [{lint: L19, reason: ..., expires: 2027-01-31}]` in the cluster's `spec`.
///
/// Some rules are about the running cluster, too: what breaks them is shown by the verbs that are named
/// with the rule. It refuses nothing, and `doctor` exits 2. A waiver holds for it as well.
#[derive(Debug, Args)]
pub(super) struct LintsArgs {}

pub(super) fn run(context: &Context, _args: &LintsArgs) -> anyhow::Result<ExitCode> {
    context.ui.data(&LINTS.iter().map(line).collect::<String>())?;
    Ok(ExitCode::Done)
}

fn line(lint: &Lint) -> String {
    let Lint { id, asks, seen_by } = lint;
    match seen_by {
        [] => format!("{id}  {asks}\n"),
        verbs => format!("{id}  {asks} (running cluster: {})\n", verbs.join(", ")),
    }
}
