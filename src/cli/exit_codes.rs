//! `kprod help exit-codes`.

use clap::Args;

use super::context::Context;
use crate::error::ExitCode;

#[derive(Debug, Args)]
#[command(about = "List what kprod's exit codes mean", long_about = TABLE)]
pub(super) struct ExitCodesArgs {}

/// One line a code; [`ExitCode`] says the same to the compiler.
const TABLE: &str = "\
Code  Meaning
   0  nothing to do, or all done that was asked for
   1  an error: bad input, a failed call, a missing file
   2  changes or machines to replace (`--detailed-exitcode`), or something to see to (`doctor`, `status`, `etcd status`, `pki status`, `repair`)
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
