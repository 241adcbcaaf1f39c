//! `kprod doctor`.

use std::collections::BTreeMap;

use clap::Args;

use super::args::{CloudArgs, SpecArgs, TextOrJson};
use super::context::{Context, Loaded, lints_of_running};
use super::pipeline;
use crate::apply::{self, journal, lease};
use crate::cloud::any::AnyCloud;
use crate::cloud::{Cloud, Observation};
use crate::doctor::{self, Examination, Symptom, Trouble};
use crate::error::ExitCode;
use crate::lint::{Seen, Snapshots};
use crate::plan::{Plan, PlanOptions};
use crate::roll::Policy;
use crate::spec::Spec;
use crate::ui::human::PlanView;
use crate::{epoch, restore, snapshot, ui};

/// Look for what stands in a cluster's way or was left behind, and name the way out
///
/// Finds things that carry the cluster's tag and that nobody wants, things that a killed run made by
/// half, things of others under the cluster's names, groups that lack machines, machines without a
/// group, what earlier runs left in the state bucket, and what breaks a lint that is about the running
/// cluster: snapshots of etcd that nobody takes (L25), authorities that end (L32). Reads only. Exit code 2
/// when something needs care.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    cloud: CloudArgs,

    /// How to print what was found
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
}

pub(super) fn run(context: &Context, args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let loaded = context.load(&args.spec)?;
    let (plan, symptoms) = context.block_on(async {
        let cloud = pipeline::connect(context, &loaded, &args.cloud).await?;
        let (query, observation) = pipeline::observe(&loaded, &cloud, true).await?;
        let options = PlanOptions::default();
        let planned = pipeline::compare(context, &loaded, query, &observation, &options)?;
        let symptoms = examine(&cloud, &loaded, &planned.plan, &observation).await?;
        Ok((planned.plan, symptoms))
    })?;
    let view = PlanView { width: context.ui.width, style: context.ui.out, verbose: false };
    context.ui.data(&match args.output {
        TextOrJson::Text => ui::doctor::symptoms(&plan, &symptoms, view),
        TextOrJson::Json => format!("{:#}\n", ui::json::doctor(&plan, &symptoms)),
    })?;
    Ok(if symptoms.is_empty() { ExitCode::Done } else { ExitCode::Changes })
}

/// Reads what only the doctor wants to know, and puts all of it together. A state bucket that
/// cannot be used is a symptom like any other.
async fn examine(
    cloud: &AnyCloud,
    loaded: &Loaded,
    plan: &Plan,
    observation: &Observation,
) -> anyhow::Result<Vec<Symptom>> {
    let instances = cloud.instances(&plan.cluster).await?;
    let lease = lease::read(cloud, &plan.cluster).await;
    let journal = match &lease {
        Ok(_) => journal::read_last(cloud, &plan.cluster).await.ok().flatten(),
        Err(_) => None,
    };
    let (seen, restore) = match &lease {
        Ok(_) => (
            look(cloud, &loaded.spec, observation).await,
            restore::read(cloud, &plan.cluster).await,
        ),
        Err(_) => (pipeline::seen(observation), Ok(None)),
    };
    let mut symptoms = doctor::examine(&Examination {
        plan,
        observation,
        instances: &instances,
        lease: lease.as_ref().ok().and_then(Option::as_ref),
        journal: journal.as_ref(),
        findings: &lints_of_running(&loaded.spec, &seen),
        restore_since: restore.ok().flatten().map(|restore| restore.began_at),
        now: cloud.now(),
    });
    if let Err(error) = lease {
        let failure = apply::lease_failure(&error, &plan.cluster);
        let hint = failure.hint.unwrap_or_else(|| "mend the bucket, then ask again".to_owned());
        symptoms.insert(0, Symptom::new(Trouble::State, failure.message, hint));
    }
    Ok(symptoms)
}

/// All that the lints ask about a cluster that runs.
async fn look(cloud: &AnyCloud, spec: &Spec, observation: &Observation) -> Seen {
    let policy = Policy::of(spec);
    let mut snapshots = BTreeMap::new();
    for etcd in policy.topology.clusters.into_keys() {
        if let Some(found) = newest_snapshot(cloud, spec.name(), &etcd).await {
            snapshots.insert(etcd, found);
        }
    }
    let snapshot_secs_max = policy.cluster.snapshot_age_max.as_secs();
    Seen { now: cloud.now(), snapshots, snapshot_secs_max, ..pipeline::seen(observation) }
}

/// What is known of an etcd cluster's snapshots. One that nobody has formed needs none, and what cannot be
/// read tells nothing; whoever needs it says so.
async fn newest_snapshot(cloud: &AnyCloud, cluster: &str, etcd: &str) -> Option<Snapshots> {
    let known = snapshot::read(cloud, cluster, etcd).await.ok()?;
    if let Some(record) = known.list.newest() {
        return Some(Snapshots::Newest(record.taken_at));
    }
    // That it has formed is the last that is written into an epoch.
    let known = epoch::read(cloud, cluster, etcd).await.ok()??;
    known.epoch.cluster_id().map(|_| Snapshots::NoneSince(known.written_at))
}
