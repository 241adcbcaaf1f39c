//! `kprod rolling-update`.

use std::time::Duration;

use clap::Args;

use super::args::{CloudArgs, Format, SpecArgs, duration};
use super::context::{Context, Loaded};
use super::execute::{EventFormat, holder, new_sink};
use super::kubernetes::KubeArgs;
use super::pipeline;
use super::rolling::{self, LimitArgs, Rolling};
use crate::cloud::Cloud;
use crate::cloud::any::AnyCloud;
use crate::error::{ExitCode, Failure};
use crate::plan::{Plan, PlanOptions};
use crate::roll::{Pause, Policy, Preview, pause};
use crate::ui;

/// Replace the machines that are not what the last apply wants, and no others
///
/// Shows which machines would go, why, in which order, how many at a time, and what would hold that
/// up; with --yes replaces them. Bastions go first, then etcd and the control plane one machine at a
/// time behind the quorum guard, then workers, their groups in parallel. Each machine is cordoned and
/// drained as its disruption budgets allow, ended, and its successor validated against how the
/// cluster was before. Killed at any instant, the same command goes on from there, from any machine;
/// --abort puts everything back instead.
///
/// A machine is replaced when it is built from another revision than its group's target, was attached
/// by hand, is broken, is older than `maxNodeAge`, or when its node has the annotation
/// kprod.dev/replace or kops.k8s.io/needs-update, whatever its value; and with --force.
///
/// Exit code 0 when it has done what was asked for: with --only or --max-machines others may be left,
/// and the last words count them. 6 when it halted, also on a pause of an hour; the same command goes
/// on.
#[derive(Debug, Args)]
pub(super) struct RollingUpdateArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    cloud: CloudArgs,
    #[command(flatten)]
    kube: KubeArgs,
    #[command(flatten)]
    limits: LimitArgs,

    /// Try a revision again that an automatic rollback left behind
    #[arg(long, help_heading = "Limits")]
    retry: bool,

    /// Do it; without this it is only shown
    #[arg(short, long)]
    yes: bool,

    /// Begin nothing, put back what a roll has begun, and take its marks away; shown first, as a roll
    /// is
    #[arg(long, conflicts_with_all = ["force", "retry", "only", "max_machines"])]
    abort: bool,

    /// Ask the rolls of this cluster to begin with no further machine, and say why; one that waits for
    /// an hour halts
    #[arg(
        long,
        value_name = "WHY",
        num_args = 0..=1,
        default_missing_value = "",
        conflicts_with_all = ["yes", "abort", "resume"]
    )]
    pause: Option<String>,

    /// Take the pause back
    #[arg(long, conflicts_with_all = ["yes", "abort"])]
    resume: bool,

    /// Exit 2 when machines would be replaced, 5 when a failed revision stands against it
    #[arg(long)]
    detailed_exitcode: bool,

    /// How to print the plan
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,

    /// Name every machine
    #[arg(short, long)]
    verbose: bool,

    /// Wait so long for another run's lease, such as 90s or 5m
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration, help_heading = "Run")]
    lock_timeout: Duration,

    /// Print every event as one JSON line on standard output
    #[arg(long, value_enum, help_heading = "Run", requires = "yes")]
    events: Option<EventFormat>,
}

pub(super) fn run(context: &Context, args: &RollingUpdateArgs) -> anyhow::Result<ExitCode> {
    let loaded = context.load(&args.spec)?;
    context.block_on(async {
        let cloud = pipeline::connect(context, &loaded, &args.cloud).await?;
        match (&args.pause, args.resume) {
            (Some(why), _) => ask_to_pause(context, &cloud, loaded.spec.name(), why).await,
            (None, true) => take_back(context, &cloud, loaded.spec.name()).await,
            (None, false) => roll(context, &cloud, &loaded, args).await,
        }
    })
}

async fn roll(
    context: &Context<'_>,
    cloud: &AnyCloud,
    loaded: &Loaded,
    args: &RollingUpdateArgs,
) -> anyhow::Result<ExitCode> {
    let limits = args.limits.policy(&loaded.spec)?;
    let policy = Policy { abort: args.abort, retry: args.retry, ..limits };
    let options = PlanOptions { retry: args.retry, ..PlanOptions::default() };
    let planned = pipeline::plan(context, loaded, cloud, args.cloud.deep, &options).await?;
    let failed = failed_revisions(&planned.plan, &policy);
    let rolling = Rolling::open(context, cloud, loaded, &args.kube, policy, planned).await?;
    let preview = rolling.preview().await?;
    rolling::print(context, &preview, args.output, args.verbose, args.events)?;
    if !args.yes {
        return Ok(code(args.detailed_exitcode, &preview, failed.is_some()));
    }
    if let Some(failure) = failed.filter(|_| !args.abort) {
        return Err(failure.into());
    }
    let sink = new_sink(context, cloud, &preview.cluster, args.events);
    if preview.is_idle {
        rolling.nothing_to_do(&sink, &preview);
        return Ok(ExitCode::Done);
    }
    rolling.run(args.lock_timeout, &sink).await
}

fn code(is_detailed: bool, preview: &Preview, has_failed: bool) -> ExitCode {
    match (is_detailed, preview.to_replace() > 0, has_failed) {
        (_, _, true) => ExitCode::Refused,
        (false, ..) | (true, false, false) => ExitCode::Done,
        (true, true, false) => ExitCode::Changes,
    }
}

/// What stands against a roll: a revision that was rolled back before is not tried again unasked.
fn failed_revisions(plan: &Plan, policy: &Policy) -> Option<Failure> {
    let in_scope = |group: &str| policy.only.is_empty() || policy.only.contains(group);
    let refusals: Vec<_> = plan
        .refusals
        .iter()
        .filter(|refusal| refusal.is_failed_revision())
        .filter(|refusal| refusal.address.as_ref().is_some_and(|key| in_scope(&key.name)))
        .cloned()
        .collect();
    (!refusals.is_empty()).then(|| {
        Failure::refused("the roll is refused; nothing was changed")
            .details(ui::human::reasons(&refusals))
    })
}

async fn ask_to_pause(
    context: &Context<'_>,
    cloud: &AnyCloud,
    cluster: &str,
    why: &str,
) -> anyhow::Result<ExitCode> {
    let wish = Pause { by: holder(), at: cloud.now(), why: why.to_owned() };
    pause::set(cloud, cluster, &wish).await?;
    say(
        context,
        cloud,
        &format!(
            "rolls of {cluster} begin with no further machine; what was begun is finished. \
             `kprod rolling-update {cluster} --resume` takes it back; a roll that waits for it for \
             an hour halts"
        ),
    );
    Ok(ExitCode::Done)
}

/// One sentence, with whether it is about anything real.
fn say(context: &Context<'_>, cloud: &AnyCloud, what: &str) {
    let simulated = ui::simulated(cloud.name() == "sim");
    context.ui.say(&format!("{simulated}{what}"));
}

async fn take_back(
    context: &Context<'_>,
    cloud: &AnyCloud,
    cluster: &str,
) -> anyhow::Result<ExitCode> {
    let text = match pause::read(cloud, cluster).await? {
        None => format!("nobody paused the rolls of {cluster}"),
        Some(wish) => {
            pause::clear(cloud, cluster).await?;
            format!("rolls of {cluster} go on; {} had paused them at {}", wish.by, wish.at)
        }
    };
    say(context, cloud, &text);
    Ok(ExitCode::Done)
}
