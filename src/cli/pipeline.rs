//! From a spec to a plan: connect, observe, build, compare.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use super::access::{AccessArgs, Home};
use super::args::{CloudArgs, CloudName, PlanOptionArgs};
use super::context::{Context, Loaded, lints_of_running, read_file};
use super::{denied, policy};
use crate::cloud::any::AnyCloud;
use crate::cloud::retry::reader::ReadRetry;
use crate::cloud::sim::SimCloud;
use crate::cloud::{Cloud, CloudError, Observation, Query};
use crate::desired;
use crate::error::{ExitCode, Failure};
use crate::finding::Finding;
use crate::finding::did_you_mean;
use crate::lint::Seen;
use crate::permission::Scope;
use crate::plan::file::SavedPlan;
use crate::plan::{self, Held, Plan, PlanOptions};
use crate::resource::{Key, Kind};
use crate::spec;
use crate::ui;

/// A plan with all that an apply needs.
#[derive(Clone)]
pub(super) struct Planned {
    /// The plan.
    pub(super) plan: Plan,
    /// What was looked for, for the apply to look again.
    pub(super) query: Query,
    /// What permissions for it are about.
    pub(super) scope: Scope,
    /// The plan in two parts, with a roll between them; none for a saved plan.
    pub(super) held: Option<Held>,
    /// Whether there are machines that a roll may be about.
    pub(super) has_machines: bool,
    /// Which wanted resources it is a plan for.
    pub(super) spec_digest: String,
}

impl Planned {
    /// The bytes of a saved plan.
    ///
    /// # Errors
    /// Never for a plan of ours.
    pub(super) fn to_file(&self) -> anyhow::Result<Vec<u8>> {
        let saved = SavedPlan {
            kprod_version: env!("CARGO_PKG_VERSION").to_owned(),
            spec_digest: self.spec_digest.clone(),
            query: self.query.clone(),
            plan: self.plan.clone(),
        };
        Ok(plan::file::save(&saved)?)
    }

    /// Reads a saved plan.
    ///
    /// # Errors
    /// When the file is no plan that this kprod reads.
    pub(super) fn from_file(file: &Path) -> anyhow::Result<Self> {
        let named = || format!("cannot use `{}`", file.display());
        let saved = plan::file::load(&read_file(file)?).with_context(named)?;
        let (plan, query) = (saved.plan, saved.query);
        let changed = plan.changes.iter().flat_map(|change| [&change.before, &change.after]);
        let scope = Scope::new(Some(&plan.account), &query, changed.flatten());
        let spec_digest = saved.spec_digest;
        Ok(Self { plan, query, scope, held: None, has_machines: false, spec_digest })
    }
}

/// Opens the cloud that the flag, else the vars, name for a cluster. In the simulator the network
/// that the spec names exists from then on, as it would in a real account.
///
/// # Errors
/// When the simulator's state or the AWS configuration cannot be used.
pub(super) async fn connect(
    context: &Context<'_>,
    loaded: &Loaded,
    args: &CloudArgs,
) -> anyhow::Result<AnyCloud> {
    let cluster = &loaded.spec.cluster.spec;
    let home = Home {
        account: cluster.account.as_deref(),
        region: cluster.region.as_deref(),
        config_base: cluster.config_base.as_deref(),
    };
    let cloud = match args.cloud.or(loaded.cloud).unwrap_or(CloudName::Sim) {
        CloudName::Sim => {
            let account = home.account.unwrap_or(SimCloud::ACCOUNT);
            let region = args.access.region(home)?.unwrap_or(SimCloud::REGION);
            let sim = SimCloud::open(&context.state_dir(), account, region)?;
            for line in sim.adopt_network(&desired::adopted_network(&loaded.spec))? {
                context.ui.status(&format!("SIMULATED: {line}"));
            }
            sim.adopt_cluster(loaded.spec.name(), cluster.kubernetes_version.as_deref())?;
            AnyCloud::Sim(Box::new(sim))
        }
        CloudName::Aws => args.access.connect(home).await?,
    };
    Ok(prepared(context, cloud, &args.access))
}

/// Opens the cloud that a saved plan was made for.
///
/// # Errors
/// As [`connect`].
pub(super) async fn reconnect(
    context: &Context<'_>,
    planned: &Planned,
    access: &AccessArgs,
) -> anyhow::Result<AnyCloud> {
    let plan = &planned.plan;
    let home = Home {
        account: Some(&plan.account),
        region: Some(&plan.region),
        config_base: planned.query.config_base.as_deref(),
    };
    let cloud = match plan.cloud.as_str() {
        "sim" => {
            let sim = SimCloud::open(&context.state_dir(), &plan.account, &plan.region)?;
            AnyCloud::Sim(Box::new(sim))
        }
        _ => access.connect(home).await?,
    };
    Ok(prepared(context, cloud, access))
}

/// Sets how long reads are tried again, and tells the user of those that are.
fn prepared(context: &Context<'_>, cloud: AnyCloud, access: &AccessArgs) -> AnyCloud {
    let (ui, is_simulated) = (context.ui.clone(), cloud.name() == "sim");
    let tell = move |retry: &ReadRetry| {
        ui::progress::tell(&ui, &ui::progress::read_event(retry), is_simulated);
    };
    cloud.reader().limit(access.retry());
    cloud.reader().listen(Arc::new(tell));
    cloud
}

/// Observes, builds, compares.
///
/// # Errors
/// When a read fails, or the spec does not fit the facts.
pub(super) async fn plan(
    context: &Context<'_>,
    loaded: &Loaded,
    cloud: &AnyCloud,
    deep: bool,
    options: &PlanOptions,
) -> anyhow::Result<Planned> {
    let (query, observation) = observe(loaded, cloud, deep).await?;
    compare(context, loaded, query, &observation, options)
}

/// Observes what the spec is about, launch template versions included where a plan needs them.
///
/// # Errors
/// When a read fails; a denied one names the statement that is missing.
pub(super) async fn observe(
    loaded: &Loaded,
    cloud: &AnyCloud,
    deep: bool,
) -> anyhow::Result<(Query, Observation)> {
    let found = look(loaded, cloud, deep).await;
    found.map_err(|error| denied::of_read(error, &loaded.spec))
}

async fn look(
    loaded: &Loaded,
    cloud: &AnyCloud,
    deep: bool,
) -> Result<(Query, Observation), CloudError> {
    let mut query = Query { deep, ..desired::query(&loaded.spec) };
    let mut observation = cloud.observe(&query).await?;
    let mut wanted = desired::build(&loaded.spec, &observation.facts).resources;
    if !query.deep && observation.hides_changes(&wanted) {
        query.deep = true;
        observation = cloud.observe(&query).await?;
        wanted = desired::build(&loaded.spec, &observation.facts).resources;
    }
    let unread = plan::versions_to_read(&wanted, &observation);
    if !unread.is_empty() {
        let versions = cloud.versions(&unread).await?;
        plan::merge_versions(&mut observation, versions);
    }
    Ok((query, observation))
}

/// Compares with a recorded observation; no cloud is asked.
///
/// # Errors
/// When the file is no observation of this cluster, or the spec does not fit its facts.
pub(super) fn plan_recorded(
    context: &Context<'_>,
    loaded: &Loaded,
    file: &Path,
    options: &PlanOptions,
) -> anyhow::Result<Planned> {
    let observation = read_observation(file)?;
    if observation.cluster != loaded.spec.name() {
        let (found, wanted) = (&observation.cluster, loaded.spec.name());
        let message =
            format!("`{}` is an observation of `{found}`, not of `{wanted}`", file.display());
        return Err(Failure::error(message).into());
    }
    let query = desired::query(&loaded.spec);
    compare(context, loaded, query, &observation, options)
}

/// The plan that an observation asks for.
///
/// # Errors
/// When the spec does not fit the facts.
pub(super) fn compare(
    context: &Context<'_>,
    loaded: &Loaded,
    query: Query,
    observation: &Observation,
    options: &PlanOptions,
) -> anyhow::Result<Planned> {
    let facts = &observation.facts;
    let mut findings = spec::check_facts(&loaded.spec, facts);
    let desired = desired::build(&loaded.spec, facts);
    findings.extend(desired.findings);
    if observation.hides_changes(&desired.resources) {
        // Only a recording: a live look would have gone deeper.
        let message = "the spec has moved since the last apply, and the recording lacks what costs \
                       a call each: lifecycle hooks, load balancer attributes";
        findings.push(Finding::warning(message).hint("record with `kprod observe --deep`"));
    }
    let wanted = context.settle(Some(desired.resources), findings)?;
    let mut plan = plan::make(&wanted, observation, options);
    plan.findings.extend(lints_of_running(&loaded.spec, &seen(observation)));
    let scope = policy::scope(&loaded.spec);
    let held = Some(plan::hold(&plan, observation));
    let mut groups = observation.resources.values().filter(|found| found.ownership.is_owned());
    let has_machines =
        groups.any(|found| found.group.as_ref().is_some_and(|group| !group.instances.is_empty()));
    let spec_digest = plan::file::spec_digest(&wanted);
    Ok(Planned { plan, query, scope, held, has_machines, spec_digest })
}

/// What an observation tells the lints: how authorities stand. Snapshots are no part of it; `doctor` looks
/// for them.
pub(super) fn seen(observation: &Observation) -> Seen {
    let authorities = plan::authorities_in_need(observation).into_iter();
    let authorities = authorities.map(|(key, state)| (key.to_string(), state)).collect();
    Seen { authorities, ..Seen::default() }
}

fn read_observation(file: &Path) -> anyhow::Result<Observation> {
    let body = read_file(file)?;
    let observation: Observation = serde_json::from_slice(&body).map_err(|error| {
        let message = format!("`{}` is no observation: {error}", file.display());
        Failure::error(message).hint("`kprod observe CLUSTER -o FILE` writes one")
    })?;
    if observation.format_version != Observation::FORMAT_VERSION {
        return Err(Failure::error(format!(
            "`{}` has observation format {}, this kprod reads {}",
            file.display(),
            observation.format_version,
            Observation::FORMAT_VERSION
        ))
        .hint("observe again with this kprod")
        .into());
    }
    Ok(observation)
}

/// The kind that an address may have meant, if its own is none.
fn near_kind(address: &str) -> String {
    let word = address.split('/').next().unwrap_or_default();
    match did_you_mean(word, Kind::ALL.map(Kind::as_str)) {
        Some(near) if near != word => format!("; did you mean {near}?"),
        _ => String::new(),
    }
}

/// Reads the plan options; addresses that make no sense are all named at once.
///
/// # Errors
/// A usage error.
pub(super) fn options(args: &PlanOptionArgs) -> anyhow::Result<PlanOptions> {
    let parse = |texts: &[String]| -> (BTreeSet<Key>, Vec<String>) {
        let mut keys = BTreeSet::new();
        let mut wrong = Vec::new();
        for text in texts {
            match text.parse::<Key>() {
                Ok(key) => {
                    keys.insert(key);
                }
                Err(error) => wrong.push(format!("{error}{}", near_kind(text))),
            }
        }
        (keys, wrong)
    };
    let (only, mut wrong) = parse(&args.only);
    let (delete_named, more) = parse(&args.delete);
    wrong.extend(more);
    if !wrong.is_empty() {
        return Err(Failure::new(ExitCode::Usage, wrong.join("; "))
            .hint("`kprod plan CLUSTER -o json` lists every address")
            .into());
    }
    Ok(PlanOptions {
        allow_delete: args.allow_delete,
        delete_named,
        destroy: false,
        only,
        retry: args.retry,
    })
}
