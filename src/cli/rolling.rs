//! What the verbs that replace machines share: limits from the command line, a look, the run, the
//! last words.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::args::{Format, duration};
use super::context::{Context, Loaded};
use super::execute::{EventFormat, holder, stop_on_signal};
use super::kubernetes::KubeArgs;
use super::pipeline::Planned;
use crate::apply::StopSignal;
use crate::cloud::Cloud;
use crate::cloud::any::AnyCloud;
use crate::error::{ExitCode, Failure};
use crate::event::{Event, RollEvent};
use crate::finding::did_you_mean;
use crate::kube::any::AnyKube;
use crate::kube::check_belonging;
use crate::roll::driver::{self, RollRequest};
use crate::roll::{DrainOutcome, Observation, Policy, Preview};
use crate::spec::Spec;
use crate::ui;
use crate::ui::human::PlanView;
use crate::ui::progress::Sink;

/// Limits over those of the spec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(super) struct LimitArgs {
    /// Roll only this group, by the name of its InstanceGroup (repeatable)
    #[arg(long = "only", value_name = "GROUP", help_heading = "Limits")]
    pub(super) only: Vec<String>,

    #[command(flatten)]
    pub(super) pace: PaceArgs,

    /// Replace every machine, also those that are as wanted
    ///
    /// Each goes once: killed, halted or kept to a few machines, the same command goes on with those that
    /// were there when the roll began, until none is left or --abort ends it; then it is another roll. A
    /// run without --force replaces meanwhile what is not as wanted, and no other.
    #[arg(long, help_heading = "Limits")]
    pub(super) force: bool,
}

/// How far a roll goes, and what it does where a drain does not end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(super) struct PaceArgs {
    /// Begin with at most so many machines; the last words count those that are left
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_machines: Option<usize>,

    /// Leave Kubernetes out: no cordon, no drain, no look at nodes. The quorum guard stays
    #[arg(long, help_heading = "Limits")]
    pub(super) cloudonly: bool,

    /// How long a drain may take, such as 15m, in place of each group's `drainTimeout`
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Limits")]
    drain_timeout: Option<Duration>,

    /// What happens then, in place of each group's `onDrainTimeout`
    #[arg(long, value_enum, help_heading = "Limits")]
    on_drain_timeout: Option<OnDrainTimeout>,

    /// How long something may be worse than before the roll until it halts, in place of each group's
    /// `validateTimeout`
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Limits")]
    validate_timeout: Option<Duration>,
}

/// What happens when a drain takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnDrainTimeout {
    /// Uncordon the machine and halt; the pods are named
    Fail,
    /// Uncordon the machine, leave it for a later roll, go on with the others
    Skip,
    /// Delete what is left, whatever its budgets say
    Force,
}

impl PaceArgs {
    fn limit(&self, policy: &mut Policy) {
        policy.machines_max = self.max_machines;
        policy.cloudonly = self.cloudonly;
        for group in policy.groups.values_mut() {
            group.drain_timeout = self.drain_timeout.unwrap_or(group.drain_timeout);
            group.validate_timeout = self.validate_timeout.unwrap_or(group.validate_timeout);
            group.on_drain_timeout = match self.on_drain_timeout {
                None => group.on_drain_timeout,
                Some(OnDrainTimeout::Fail) => DrainOutcome::Fail,
                Some(OnDrainTimeout::Skip) => DrainOutcome::Skip,
                Some(OnDrainTimeout::Force) => DrainOutcome::Force,
            };
        }
    }

    /// The spec's policy under these limits.
    pub(super) fn policy(&self, spec: &Spec) -> Policy {
        let mut policy = Policy::of(spec);
        self.limit(&mut policy);
        policy
    }
}

impl LimitArgs {
    /// The spec's policy under these limits.
    ///
    /// # Errors
    /// A usage error for a group that the spec does not know.
    pub(super) fn policy(&self, spec: &Spec) -> anyhow::Result<Policy> {
        let mut policy = self.pace.policy(spec);
        policy.force = self.force;
        policy.only = only(spec, &self.only)?;
        Ok(policy)
    }
}

/// Groups by the names that their users know, or by those of their auto scaling groups.
fn only(spec: &Spec, names: &[String]) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut wrong = Vec::new();
    for name in names {
        let group = spec
            .groups
            .values()
            .find(|group| group.name() == name || spec.machine_name(group) == *name);
        match group {
            Some(group) => {
                found.insert(spec.machine_name(group));
            }
            None => {
                let near = did_you_mean(name, spec.groups.keys().map(String::as_str));
                let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                wrong.push(format!("`{name}` is no group of {}{near}", spec.name()));
            }
        }
    }
    if wrong.is_empty() {
        return Ok(found);
    }
    let names: Vec<&str> = spec.groups.keys().map(String::as_str).collect();
    Err(Failure::new(ExitCode::Usage, wrong.join("; "))
        .hint(format!("its groups are {}", names.join(", ")))
        .into())
}

/// A cluster whose machines are looked at, and maybe replaced.
pub(super) struct Rolling<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) cloud: &'a AnyCloud,
    /// None where Kubernetes is left out.
    pub(super) kube: Option<AnyKube>,
    pub(super) policy: Policy,
    pub(super) planned: Planned,
}

impl<'a> Rolling<'a> {
    /// Opens the API server, unless Kubernetes is left out.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub(super) async fn open(
        context: &'a Context<'a>,
        cloud: &'a AnyCloud,
        loaded: &Loaded,
        kube: &KubeArgs,
        policy: Policy,
        planned: Planned,
    ) -> anyhow::Result<Self> {
        let kube = match policy.cloudonly {
            true => None,
            false => Some(kube.connect(cloud, loaded.spec.name()).await?),
        };
        Ok(Self { context, cloud, kube, policy, planned })
    }

    /// Looks once.
    ///
    /// # Errors
    /// When something cannot be read, or the API server is another cluster's.
    pub(super) async fn look(&self) -> anyhow::Result<Observation> {
        let query = &self.planned.query;
        let seen = driver::look(self.cloud, self.kube.as_ref(), query, &self.policy).await;
        // Nothing was begun that could be gone on with.
        let observation = seen.map_err(|failure| match failure.code {
            ExitCode::Halted => Failure { code: ExitCode::Error, ..failure },
            _ => failure,
        });
        let observation = match observation {
            Err(_) if !self.planned.has_machines => return Err(self.no_machines().into()),
            seen => seen?,
        };
        // The simulator's cluster is the one of its name.
        if let Some(view) = observation.kube.as_ref().filter(|_| self.cloud.name() != "sim") {
            let machines = observation.machines.keys().cloned().collect();
            check_belonging(view, &machines).map_err(|error| Failure::error(error.to_string()))?;
        }
        Ok(observation)
    }

    /// Before the first apply, no API server answers.
    fn no_machines(&self) -> Failure {
        let cluster = &self.planned.query.cluster;
        Failure::error(format!("{cluster} has no machines yet"))
            .hint(format!("`kprod apply {cluster}` makes them"))
    }

    /// What a roll would do.
    ///
    /// # Errors
    /// As [`Rolling::look`].
    pub(super) async fn preview(&self) -> anyhow::Result<Preview> {
        let observation = self.look().await?;
        Ok(Preview::of(&observation, &self.policy, &self.planned.plan))
    }

    /// Rolls, and says how it went.
    ///
    /// # Errors
    /// Whatever ended it early.
    pub(super) async fn run(
        &self,
        lock_timeout: Duration,
        sink: &Sink,
    ) -> anyhow::Result<ExitCode> {
        let stop = StopSignal::new();
        let watcher = tokio::spawn(stop_on_signal(stop.clone()));
        let request = RollRequest {
            policy: &self.policy,
            query: &self.planned.query,
            holder: holder(),
            lock_timeout,
        };
        let announce = |event: Event| sink.announce_roll(self.cloud.now(), &event);
        let kube = self.kube.as_ref();
        let report = driver::run(self.cloud, kube, &request, &stop, &announce).await;
        watcher.abort();
        sink.finish();
        let report = report?;
        if let Some(summary) = sink.roll_summary() {
            self.context.ui.status(&summary);
        }
        let ui = self.context.ui;
        match report.failure {
            None => {
                let (most, is_part) = (self.policy.machines_max, !self.policy.only.is_empty());
                let left = ui::progress::left_over(&report.progress, most, is_part);
                left.iter().for_each(|left| ui.say(left));
                Ok(ExitCode::Done)
            }
            Some(failure) => Err(ui.fitted(failure).into()),
        }
    }

    /// Says that nothing is to be rolled, also to readers of events.
    pub(super) fn nothing_to_do(&self, sink: &Sink, preview: &Preview) {
        let done = Event::Roll(RollEvent::Finished { replaced: 0, elapsed_ms: 0 });
        sink.announce_roll(self.cloud.now(), &done);
        let simulated = ui::simulated(self.cloud.name() == "sim");
        let as_wanted = preview.machine_count.saturating_sub(preview.left_count);
        let what = match (&preview.undo, preview.left_count) {
            (Some(_), _) => "nothing to put back".to_owned(),
            (None, 0) => format!("nothing to roll, {as_wanted} machines as wanted"),
            (None, left) => {
                format!(
                    "nothing to roll, {as_wanted} machines as wanted; {left} are left for later"
                )
            }
        };
        self.context.ui.say(&format!("{simulated}{}: {what}", preview.cluster));
    }
}

/// Prints a roll's plan; where it does not mix with events.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn print(
    context: &Context,
    preview: &Preview,
    format: Format,
    verbose: bool,
    events: Option<EventFormat>,
) -> anyhow::Result<()> {
    let style = if events.is_some() { context.ui.err } else { context.ui.out };
    let view = PlanView { width: context.ui.width, style, verbose };
    if events.is_some() {
        context.ui.status(&ui::human::roll(preview, view));
        return Ok(());
    }
    Ok(context.ui.data(&match format {
        Format::Text => ui::human::roll(preview, view),
        Format::Json => format!("{:#}\n", ui::json::roll(preview)),
        Format::Markdown => ui::markdown::roll(preview, ui::markdown::COMMENT_CHARS_MAX),
    })?)
}
