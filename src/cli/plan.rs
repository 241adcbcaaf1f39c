//! `kprod plan`.

use std::path::PathBuf;

use clap::Args;

use super::args::{CloudArgs, Format, PlanOptionArgs, SpecArgs};
use super::context::{Context, write_file};
use super::pipeline;
use crate::error::{ExitCode, Failure};
use crate::plan::{Plan, Refusal};
use crate::ui;
use crate::ui::human::PlanView;

/// Show what would change, why, and which machines would be replaced
///
/// Reads only. Exit code 0, or with --detailed-exitcode 2 when there are changes or a rollout is
/// pending. A plan that a guard refuses is still shown; applying it exits 5, as does
/// --detailed-exitcode when nothing but the refusal is left of it, and any plan of content that a
/// rolling update has tried and put back.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    options: PlanOptionArgs,
    #[command(flatten)]
    cloud: CloudArgs,

    /// Exit 2 when there are changes, 5 when there is nothing but what a guard refuses
    #[arg(long)]
    detailed_exitcode: bool,

    /// Save the plan, for `kprod apply FILE` and `kprod show FILE`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Plan against a recorded observation in place of the cloud
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cloud", "deep"])]
    observed: Option<PathBuf>,

    /// How to print the plan
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,

    /// Show every field of what is made
    #[arg(short, long)]
    verbose: bool,
}

pub(super) fn run(context: &Context, args: &PlanArgs) -> anyhow::Result<ExitCode> {
    let options = pipeline::options(&args.options)?;
    let loaded = context.load_linted(&args.spec)?;
    let planned = match &args.observed {
        Some(file) => pipeline::plan_recorded(context, &loaded, file, &options)?,
        None => context.block_on(async {
            let cloud = pipeline::connect(context, &loaded, &args.cloud).await?;
            pipeline::plan(context, &loaded, &cloud, args.cloud.deep, &options).await
        })?,
    };
    if let Some(file) = &args.out {
        write_file(file, &planned.to_file()?)?;
    }
    print(context, &planned.plan, args.output, args.verbose)?;
    if let Some(file) = &args.out {
        context.ui.status(&format!(
            "saved; to make exactly these changes: kprod apply {}",
            file.display()
        ));
    }
    exit_code(&planned.plan, args.detailed_exitcode)
}

/// A plan that is wrong is an error. What was tried and put back is refused, whoever asks. Of a plan that
/// is only refused and changes nothing, a script must not think that all is as wanted.
fn exit_code(plan: &Plan, is_detailed: bool) -> anyhow::Result<ExitCode> {
    if plan.is_errored() {
        return Err(Failure::error("the plan makes no sense")
            .details(ui::human::reasons(&plan.refusals))
            .into());
    }
    if plan.refusals.iter().any(Refusal::is_failed_revision) {
        return Ok(ExitCode::Refused);
    }
    Ok(match (is_detailed, plan.has_changes(), plan.refusals.is_empty()) {
        (false, ..) | (true, false, true) => ExitCode::Done,
        (true, true, _) => ExitCode::Changes,
        (true, false, false) => ExitCode::Refused,
    })
}

/// Prints a plan as asked.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn print(
    context: &Context,
    plan: &Plan,
    format: Format,
    verbose: bool,
) -> anyhow::Result<()> {
    let view = PlanView { width: context.ui.width, style: context.ui.out, verbose };
    let text = match format {
        Format::Text => ui::human::plan(plan, view),
        Format::Json => format!("{:#}\n", ui::json::plan(plan)),
        Format::Markdown => ui::markdown::plan(plan, ui::markdown::COMMENT_CHARS_MAX),
    };
    Ok(context.ui.data(&text)?)
}
