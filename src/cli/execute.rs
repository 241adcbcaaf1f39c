//! Showing a plan, asking, applying it, and saying what comes next: the same for a fresh plan, a
//! saved one and a destroy.

#![expect(clippy::disallowed_methods, reason = "who runs this, and a second Ctrl-C")]

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;

use super::args::Format;
use super::confirm;
use super::context::Context;
use super::denied;
use super::pipeline::Planned;
use crate::apply::{self, ApplyRequest, StopSignal};
use crate::boot::Program;
use crate::cloud::Cloud;
use crate::cloud::any::AnyCloud;
use crate::cloud::retry::reader::ReadRetry;
use crate::error::{ExitCode, Failure};
use crate::permission::Level;
use crate::plan::Plan;
use crate::resource::{Asset, Resource};
use crate::ui;
use crate::ui::human::PlanView;
use crate::ui::progress::Sink;

/// The form of events on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum EventFormat {
    /// One JSON object a line; the first says the format's version
    Jsonl,
}

/// How a plan is executed.
#[derive(Clone)]
pub(super) struct Execution {
    /// Whether the user has agreed already.
    pub(super) confirmed: bool,
    /// The word that agrees: `yes`, or a cluster's name.
    pub(super) word: String,
    /// How long to wait for another run's lease.
    pub(super) lock_timeout: Duration,
    /// How long to wait for new groups' machines.
    pub(super) wait_timeout: Duration,
    /// Events on standard output.
    pub(super) events: Option<EventFormat>,
    /// Whether the whole cluster goes.
    pub(super) destroy: bool,
}

/// So often a plan that the world has overtaken is made anew.
const REPLANS_MAX: usize = 3;

/// Plans, shows, asks, applies, sums up. With a lock timeout it plans when no other run is under way.
/// Where nobody is asked and another run is faster once more, it waits for that one, if it is not over
/// already, and plans again; who was asked has agreed to one plan, which is then made as it was shown
/// or not at all (exit 3).
///
/// # Errors
/// As [`run`], and what planning says.
pub(super) async fn run_fresh(
    context: &Context<'_>,
    cloud: &AnyCloud,
    cluster: &str,
    execution: &Execution,
    plan: impl AsyncFn() -> anyhow::Result<Planned>,
) -> anyhow::Result<ExitCode> {
    let started = cloud.now();
    let mut sink = None;
    let mut replans = 0;
    loop {
        let waited = Duration::try_from(cloud.now().duration_since(started)).unwrap_or_default();
        let lock_timeout = execution.lock_timeout.saturating_sub(waited);
        if !lock_timeout.is_zero() {
            let tell = |event| ui::progress::tell(context.ui, &event, cloud.name() == "sim");
            apply::wait_for_others(cloud, cluster, lock_timeout, &tell).await?;
        }
        let planned = plan().await?;
        let sink = sink.get_or_insert_with(|| sink_for(context, cloud, &planned, execution));
        sink.follow(&planned.plan);
        if !execution.confirmed {
            let execution = Execution { lock_timeout, ..execution.clone() };
            return run_in(context, cloud, &planned, &execution, sink).await;
        }
        let at_once = Execution { lock_timeout: Duration::ZERO, ..execution.clone() };
        let ended = run_in(context, cloud, &planned, &at_once, sink).await;
        match &ended {
            Err(error) if is(error, ExitCode::Locked) && !lock_timeout.is_zero() => {}
            Err(error) if execution.replans(error, replans) => replans += 1,
            _ => return ended,
        }
    }
}

impl Execution {
    /// Whether a plan that another run has overtaken, which came and went between this one's look and its
    /// lease, is made anew: where nobody was asked, who said that this run may wait for others.
    pub(super) fn replans(&self, error: &anyhow::Error, replans: usize) -> bool {
        let may_wait = self.confirmed && !self.lock_timeout.is_zero();
        may_wait && replans < REPLANS_MAX && is(error, ExitCode::Stale)
    }
}

fn is(error: &anyhow::Error, code: ExitCode) -> bool {
    error.downcast_ref::<Failure>().is_some_and(|failure| failure.code == code)
}

/// Shows, asks, applies, sums up.
///
/// # Errors
/// What the plan refuses (exit 5), what the user does not confirm (exit 1), and whatever ends the
/// run early.
pub(super) async fn run(
    context: &Context<'_>,
    cloud: &AnyCloud,
    planned: &Planned,
    execution: &Execution,
) -> anyhow::Result<ExitCode> {
    let sink = sink_for(context, cloud, planned, execution);
    run_in(context, cloud, planned, execution, &sink).await
}

/// Where the run's events go; from now on those of reads that are tried again as well.
pub(super) fn sink_for(
    context: &Context,
    cloud: &AnyCloud,
    planned: &Planned,
    execution: &Execution,
) -> Arc<Sink> {
    let sink = new_sink(context, cloud, &planned.plan.cluster, execution.events);
    sink.follow(&planned.plan);
    sink
}

/// A sink of events about a cluster.
pub(super) fn new_sink(
    context: &Context,
    cloud: &AnyCloud,
    cluster: &str,
    events: Option<EventFormat>,
) -> Arc<Sink> {
    let is_simulated = cloud.name() == "sim";
    let sink = Arc::new(ui::progress::sink(context.ui, events.is_some(), cluster, is_simulated));
    let listening = sink.clone();
    let tell = move |retry: &ReadRetry| listening.announce(&ui::progress::read_event(retry));
    cloud.reader().listen(Arc::new(tell));
    sink
}

async fn run_in(
    context: &Context<'_>,
    cloud: &AnyCloud,
    planned: &Planned,
    execution: &Execution,
    sink: &Sink,
) -> anyhow::Result<ExitCode> {
    let plan = &planned.plan;
    show(context, planned, execution)?;
    refuse(cloud, plan).await?;
    let is_idle = plan.changes.is_empty();
    if is_idle && (execution.destroy || !apply::is_unfinished(cloud, &plan.cluster).await?) {
        sink.nothing_to_do();
        context.ui.status(&ui::progress::nothing_to_do(plan));
        return Ok(ExitCode::Done);
    }
    if !is_idle && !execution.confirmed {
        match execution.destroy {
            true => {
                let flag = format!("--confirm {}", plan.cluster);
                confirm::ask("Remove all of this", &execution.word, &flag)?;
            }
            false => confirm::ask("Make these changes", &execution.word, "--yes")?,
        }
    }

    make(context, cloud, planned, execution, sink).await
}

/// Applies and sums up.
///
/// # Errors
/// Whatever ends the run early.
pub(super) async fn make(
    context: &Context<'_>,
    cloud: &AnyCloud,
    planned: &Planned,
    execution: &Execution,
    sink: &Sink,
) -> anyhow::Result<ExitCode> {
    let plan = &planned.plan;
    let stop = StopSignal::new();
    let watcher = tokio::spawn(stop_on_signal(stop.clone()));
    let request = ApplyRequest {
        plan,
        query: &planned.query,
        holder: holder(),
        lock_timeout: execution.lock_timeout,
        wait_timeout: execution.wait_timeout,
    };
    let report = apply::run(cloud, &request, &stop, &|event| sink.announce(&event)).await;
    watcher.abort();
    sink.finish();
    let report = report?;
    match (plan.changes.is_empty(), &report.failure) {
        (true, None) => context.ui.status(&ui::progress::nothing_to_do(plan)),
        _ => context.ui.status(&ui::progress::summary(&report, plan)),
    }
    // An error is told even to who wants to hear nothing else.
    let Some(failure) = report.failure else { return Ok(ExitCode::Done) };
    Err(denied::explain(failure, &report.denied, &planned.scope, Level::Apply).into())
}

/// The plan goes where it does not mix with events.
fn show(context: &Context, planned: &Planned, execution: &Execution) -> anyhow::Result<()> {
    if execution.events.is_some() {
        let view = PlanView { width: context.ui.width, style: context.ui.err, verbose: false };
        let text = ui::human::plan(&planned.plan, view);
        context.ui.status(&text);
        return Ok(());
    }
    super::plan::print(context, &planned.plan, Format::Text, false)
}

/// Stops at what the plan refuses, and at a program for machines that nobody here has.
///
/// # Errors
/// The refusals (exit 5), or that the plan makes no sense (exit 1).
pub(super) async fn refuse(cloud: &AnyCloud, plan: &Plan) -> anyhow::Result<()> {
    if plan.refusals.is_empty() {
        return check_program(cloud, plan).await;
    }
    let code = if plan.is_errored() { ExitCode::Error } else { ExitCode::Refused };
    Err(Failure::new(code, "the plan is refused; nothing was changed")
        .details(ui::human::reasons(&plan.refusals))
        .into())
}

/// Whether the program that machines are to fetch could be written to the state bucket, if the plan says
/// so: found out before anything is made, since machines would be launched for nothing.
async fn check_program(cloud: &AnyCloud, plan: &Plan) -> anyhow::Result<()> {
    let wanted = plan.changes.iter().filter_map(|change| change.after.as_ref());
    for wanted in wanted {
        let Resource::Asset(Asset { sha256, size, .. }) = wanted else { continue };
        let program = Program { version: None, sha256: sha256.clone(), size: *size };
        if !cloud.has_program(&program).await {
            let message = format!(
                "the program that machines are to fetch is not here: it has {size} bytes and the \
                 SHA-256 {sha256}"
            );
            let hint = "name its file with --node-program; or have machines run what was built for \
                        them with this kprod: `kprod node pin`";
            return Err(Failure::refused(message).hint(hint).into());
        }
    }
    Ok(())
}

/// First signal: finish what is in flight. Second: the system's default, which kills; the next run
/// goes on from there.
pub(super) async fn stop_on_signal(stop: StopSignal) {
    if interrupted().await {
        stop.stop();
    }
    if interrupted().await {
        // The exit is the point: a second Ctrl-C means now.
        std::process::exit(ExitCode::Halted as i32);
    }
}

/// Waits for Ctrl-C, or for the TERM that a CI runner sends.
async fn interrupted() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            result = tokio::signal::ctrl_c() => result.is_ok(),
            received = terminate.recv() => received.is_some(),
        },
        Err(_) => tokio::signal::ctrl_c().await.is_ok(),
    }
}

/// Who holds the lease, for the message that others get.
pub(super) fn holder() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let user = user.unwrap_or_else(|_| "unknown".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let host = host.unwrap_or_else(|_| "unknown-host".to_owned());
    format!("{user}@{} (process {})", host.trim(), std::process::id())
}
