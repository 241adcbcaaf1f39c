//! `kprod plan`.

use std::path::PathBuf;

use clap::Args;

use super::args::{CloudArgs, Format, PlanOptionArgs, SpecArgs};
use super::context::{Context, write_file};
use super::pipeline;
use crate::error::{ExitCode, Failure};
use crate::plan::Plan;
use crate::ui;
use crate::ui::human::PlanView;

/// Show what would change, why, and which machines would be replaced
///
/// Reads only. Exit code 0, or with --detailed-exitcode 2 when there are changes or a rollout is
/// pending. A plan that a guard refuses is shown, and saved where --out asks for it, and exits 5, as
/// applying it would.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    options: PlanOptionArgs,
    #[command(flatten)]
    cloud: CloudArgs,

    /// Exit 2 when there are changes
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

/// A plan that is wrong is an error. One that `apply` would refuse is refused here, whatever else it
/// changes and whoever asks: a pipeline that plans must not turn green for what it cannot apply.
fn exit_code(plan: &Plan, is_detailed: bool) -> anyhow::Result<ExitCode> {
    if plan.is_errored() {
        return Err(Failure::error("the plan makes no sense")
            .details(ui::human::reasons(&plan.refusals))
            .into());
    }
    Ok(match (plan.refusals.is_empty(), is_detailed && plan.has_changes()) {
        (false, _) => ExitCode::Refused,
        (true, true) => ExitCode::Changes,
        (true, false) => ExitCode::Done,
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
