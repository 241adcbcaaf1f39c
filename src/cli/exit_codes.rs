//! `kprod help exit-codes`.

use clap::Args;

use super::context::Context;
use crate::error::ExitCode;

/// List what kprod's exit codes mean
///
///   0  nothing to do, or all done
///   1  an error: bad input, a failed call, a missing file
///   2  `plan --detailed-exitcode`: there are changes, or a rollout is pending
///   3  the plan no longer fits the world; plan again
///   4  another run holds the lease
///   5  refused by a guard, a lint or a policy
///   6  stopped on the way; a re-run goes on from there
///  64  the command line makes no sense
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct ExitCodesArgs {}

/// The same table as the help text, for those who type `kprod exit-codes`.
const TABLE: &str = "\
 0  nothing to do, or all done
 1  an error: bad input, a failed call, a missing file
 2  `plan --detailed-exitcode`: there are changes, or a rollout is pending
 3  the plan no longer fits the world; plan again
 4  another run holds the lease
 5  refused by a guard, a lint or a policy
 6  stopped on the way; a re-run goes on from there
64  the command line makes no sense
";

pub(super) fn run(context: &Context, _args: &ExitCodesArgs) -> anyhow::Result<ExitCode> {
    context.ui.data(TABLE)?;
    Ok(ExitCode::Done)
}
