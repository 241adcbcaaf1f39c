//! `kprod status`.

use std::time::Duration;

use clap::Args;

use super::args::{CloudArgs, SpecArgs, TextOrJson};
use super::context::{Context, Loaded};
use super::kubernetes::KubeArgs;
use super::pipeline;
use crate::apply::{self, lease};
use crate::cloud::any::AnyCloud;
use crate::cloud::{Cloud, Query};
use crate::desired;
use crate::error::ExitCode;
use crate::kube::any::AnyKube;
use crate::roll::{Policy, Status, driver};
use crate::ui;
use crate::ui::human::PlanView;
use crate::ui::status::StatusView;

/// Show how a cluster's machines stand: who works on it, what a roll does and waits for
///
/// Reads only, and needs no lease: ask at any time, also while a roll is under way elsewhere. What is
/// said of a roll follows from the marks it has left and a fresh look, as the roll itself would decide.
///
/// Exit code 0 when every machine is as wanted and nothing goes on, 2 when there is something: a run,
/// a roll that did not end, a pause, machines to replace or broken ones, a failed revision.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    cloud: CloudArgs,
    #[command(flatten)]
    kube: KubeArgs,

    /// Look again and again while a run is under way; tell what has changed
    #[arg(short, long)]
    watch: bool,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,

    /// Name every machine
    #[arg(short, long)]
    verbose: bool,
}

/// Between two looks of `--watch`.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) fn run(context: &Context, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let loaded = context.load(&args.spec)?;
    context.block_on(async {
        let cloud = pipeline::connect(context, &loaded, &args.cloud).await?;
        let kube = args.kube.connect(&cloud, loaded.spec.name()).await;
        let looker = Looker {
            cloud: &cloud,
            kube: kube.map_err(|error| error.to_string()),
            query: desired::query(&loaded.spec),
            policy: Policy::of(&loaded.spec),
        };
        let mut told = None;
        loop {
            let view = looker.look(&loaded).await?;
            // What is told again and again has to have changed in more than the time.
            let body = ui::json::status(&StatusView { lease: None, ..still(&view) });
            if told.as_ref() != Some(&body) {
                print(context, args, &cloud, &view)?;
                told = Some(body);
            }
            if !args.watch || view.lease.is_none() {
                return Ok(if view.is_quiet() { ExitCode::Done } else { ExitCode::Changes });
            }
            cloud.sleep(PAUSE).await;
        }
    })
}

/// A view without what moves by itself.
fn still(view: &StatusView) -> StatusView {
    let mut view = view.clone();
    view.status.observed_at = jiff::Timestamp::UNIX_EPOCH;
    view
}

fn print(
    context: &Context,
    args: &StatusArgs,
    cloud: &AnyCloud,
    view: &StatusView,
) -> anyhow::Result<()> {
    let style = PlanView { width: context.ui.width, style: context.ui.out, verbose: args.verbose };
    Ok(context.ui.data(&match args.output {
        TextOrJson::Text => ui::status::text(view, cloud.now(), style),
        TextOrJson::Json if args.watch => format!("{}\n", ui::json::status(view)),
        TextOrJson::Json => format!("{:#}\n", ui::json::status(view)),
    })?)
}

/// What is looked at, again and again.
struct Looker<'a> {
    cloud: &'a AnyCloud,
    /// The API server, or why there is none.
    kube: Result<AnyKube, String>,
    query: Query,
    policy: Policy,
}

impl Looker<'_> {
    async fn look(&self, loaded: &Loaded) -> anyhow::Result<StatusView> {
        let cluster = loaded.spec.name();
        let found = lease::find(self.cloud, cluster).await;
        let lease = found.map_err(|error| apply::lease_failure(&error, cluster))?;
        let (status, without_kube) = self.status().await?;
        Ok(StatusView {
            is_simulated: self.cloud.name() == "sim",
            lease: lease.map(|found| found.record),
            status,
            without_kube,
        })
    }

    /// With the cluster's nodes where its API server answers; else without, and why.
    async fn status(&self) -> anyhow::Result<(Status, Option<String>)> {
        let why = match &self.kube {
            Ok(kube) => {
                let seen = driver::preview(self.cloud, Some(kube), &self.query, &self.policy).await;
                match seen {
                    Ok((o, decision)) => {
                        return Ok((Status::of(&o, &self.policy, &decision), None));
                    }
                    Err(failure) => failure.message,
                }
            }
            Err(why) => why.clone(),
        };
        let policy = Policy { cloudonly: true, ..self.policy.clone() };
        let none: Option<&AnyKube> = None;
        let (o, decision) = driver::preview(self.cloud, none, &self.query, &policy).await?;
        Ok((Status::of(&o, &policy, &decision), Some(why)))
    }
}
