//! `kprod apply --roll`: the changes, then the machines, then what had to wait for them.

use std::collections::{BTreeMap, BTreeSet};

use super::confirm;
use super::context::{Context, Loaded};
use super::execute::{self, Execution, sink_for};
use super::kubernetes::KubeArgs;
use super::pipeline::Planned;
use super::rolling::{PaceArgs, Rolling};
use crate::apply;
use crate::cloud::Cloud;
use crate::cloud::any::AnyCloud;
use crate::error::{ExitCode, Failure};
use crate::plan::{Change, Held, Leaving, Plan, Rollout};
use crate::resource::Key;
use crate::roll::{Policy, Preview, Retire, anticipate};
use crate::ui;
use crate::ui::human::PlanView;
use crate::ui::progress::Sink;

/// A group may leave a zone and get smaller: one after the other. More rounds than this mean that
/// somebody else moves the same things.
const ROUNDS_MAX: usize = 3;

/// How the machines are replaced.
pub(super) struct Roll<'a> {
    pub(super) kube: &'a KubeArgs,
    pub(super) pace: &'a PaceArgs,
    pub(super) retry: bool,
}

/// Plans, shows changes and machines, asks, makes the changes, replaces the machines, makes what had
/// to wait for that.
///
/// # Errors
/// As [`execute::run_fresh`], and what ends the roll early.
pub(super) async fn run(
    context: &Context<'_>,
    cloud: &AnyCloud,
    loaded: &Loaded,
    execution: &Execution,
    roll: &Roll<'_>,
    plan: impl AsyncFn() -> anyhow::Result<Planned>,
) -> anyhow::Result<ExitCode> {
    if !execution.lock_timeout.is_zero() {
        let tell = |event| ui::progress::tell(context.ui, &event, cloud.name() == "sim");
        apply::wait_for_others(cloud, loaded.spec.name(), execution.lock_timeout, &tell).await?;
    }
    let planned = plan().await?;
    let sink = sink_for(context, cloud, &planned, execution);
    let mut round = Round::of(context, cloud, loaded, roll, planned).await?;
    round.show(execution)?;
    execute::refuse(cloud, &round.now.plan).await?;
    if round.is_idle().await? {
        sink.nothing_to_do();
        context.ui.status(&ui::progress::nothing_to_do(&round.now.plan));
        return Ok(ExitCode::Done);
    }
    if !execution.confirmed {
        let question = "Make these changes and replace these machines";
        confirm::ask(question, &execution.word, "--yes")?;
    }
    let mut agreed = round.addresses();
    let (mut rounds, mut replans) = (0, 0);
    while rounds < ROUNDS_MAX {
        let ended = round.make(execution, &sink).await;
        let is_overtaken = |error| rounds == 0 && execution.replans(error, replans);
        if ended.as_ref().err().is_some_and(is_overtaken) {
            round = Round::of(context, cloud, loaded, roll, plan().await?).await?;
            round.show(execution)?;
            agreed = round.addresses();
            replans += 1;
        } else {
            ended?;
            if round.later.is_empty() {
                return Ok(ExitCode::Done);
            }
            round = Round::of(context, cloud, loaded, roll, plan().await?).await?;
            check_agreed(&agreed, &round)?;
            rounds += 1;
        }
        execute::refuse(cloud, &round.now.plan).await?;
    }
    Err(Failure::new(ExitCode::Halted, "machines are back as soon as they were retired")
        .hint("see who else changes these groups, then run the same command again")
        .into())
}

/// Nobody has agreed to what was not shown.
fn check_agreed(agreed: &BTreeSet<Key>, round: &Round<'_>) -> anyhow::Result<()> {
    let news: Vec<String> = round.addresses().difference(agreed).map(ToString::to_string).collect();
    if news.is_empty() {
        return Ok(());
    }
    let message = "other changes have become due while machines were replaced";
    let hint = "plan again and look at them; the machines are replaced";
    Err(Failure::new(ExitCode::Stale, message).details(news).hint(hint).into())
}

/// What is made between two looks: changes, then machines.
struct Round<'a> {
    context: &'a Context<'a>,
    cloud: &'a AnyCloud,
    /// All that the plan says.
    whole: Plan,
    /// What is made before the roll.
    now: Planned,
    /// What waits for it.
    later: Vec<Change>,
    /// None while the cluster has no machines: then none is to be replaced.
    roll: Option<Machines<'a>>,
}

/// The machines of a round.
struct Machines<'a> {
    rolling: Rolling<'a>,
    preview: Preview,
}

impl<'a> Round<'a> {
    async fn of(
        context: &'a Context<'a>,
        cloud: &'a AnyCloud,
        loaded: &Loaded,
        roll: &Roll<'_>,
        planned: Planned,
    ) -> anyhow::Result<Self> {
        let whole = planned.plan.clone();
        let Held { mut now, later, leaving } = match &planned.held {
            Some(held) => held.clone(),
            None => Held { now: whole.clone(), later: Vec::new(), leaving: BTreeMap::new() },
        };
        let roll = match planned.has_machines {
            false => None,
            true => {
                let policy = policy(loaded, roll, leaving);
                let kube = roll.kube;
                let planned = planned.clone();
                let rolling = Rolling::open(context, cloud, loaded, kube, policy, planned).await?;
                let preview = anticipated(&rolling, &whole).await?;
                Some(Machines { rolling, preview })
            }
        };
        // What the roll replaces is not pending for anybody else.
        now.rollout = Rollout::default();
        Ok(Self { context, cloud, whole, now: Planned { plan: now, ..planned }, later, roll })
    }

    /// Everything that the round would change.
    fn addresses(&self) -> BTreeSet<Key> {
        self.whole.changes.iter().map(|change| change.address.clone()).collect()
    }

    fn show(&self, execution: &Execution) -> anyhow::Result<()> {
        let ui = self.context.ui;
        let style = if execution.events.is_some() { ui.err } else { ui.out };
        let view = PlanView { width: ui.width, style, verbose: false };
        let shown = Plan { refusals: self.now.plan.refusals.clone(), ..self.whole.clone() };
        let preview = self.roll.as_ref().map(|machines| &machines.preview);
        let text = ui::human::plan_and_roll(&shown, &self.later, preview, view);
        match execution.events {
            Some(_) => ui.status(&text),
            None => ui.data(&text)?,
        }
        Ok(())
    }

    /// Whether nothing is to be made, to be waited for, or to be replaced.
    async fn is_idle(&self) -> anyhow::Result<bool> {
        let machines = self.roll.as_ref().is_some_and(|machines| !machines.preview.is_idle);
        if machines || !self.whole.changes.is_empty() {
            return Ok(false);
        }
        Ok(!apply::is_unfinished(self.cloud, &self.whole.cluster).await?)
    }

    async fn make(&self, execution: &Execution, sink: &Sink) -> anyhow::Result<()> {
        let cluster = &self.whole.cluster;
        if !self.now.plan.changes.is_empty() || apply::is_unfinished(self.cloud, cluster).await? {
            sink.follow(&self.now.plan);
            execute::make(self.context, self.cloud, &self.now, execution, sink).await?;
        }
        match &self.roll {
            Some(machines) if !machines.preview.is_idle => {
                machines.rolling.run(execution.lock_timeout, sink).await.map(|_| ())
            }
            _ => Ok(()),
        }
    }
}

/// The spec's policy, with the groups that lose machines.
fn policy(loaded: &Loaded, roll: &Roll<'_>, leaving: BTreeMap<String, Leaving>) -> Policy {
    let mut policy = Policy { retry: roll.retry, ..roll.pace.policy(&loaded.spec) };
    for (group, leaving) in leaving {
        let retire = match leaving {
            Leaving::All => Retire::All,
            Leaving::Above(max) => Retire::DownTo(max),
            Leaving::OutOf(zones) => Retire::OutOf(zones),
        };
        policy.retire(&loaded.spec, &group, retire);
    }
    policy
}

/// What the roll will do once the changes are made.
async fn anticipated(rolling: &Rolling<'_>, plan: &Plan) -> anyhow::Result<Preview> {
    let mut observation = rolling.look().await?;
    anticipate(&mut observation, plan);
    let preview = Preview::of(&observation, &rolling.policy, plan);
    Ok(Preview { unapplied_count: 0, ..preview })
}
