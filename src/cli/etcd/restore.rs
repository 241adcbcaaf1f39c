//! `kprod etcd restore`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;

use super::super::args::{CloudArgs, SpecArgs, duration};
use super::super::context::{Context, Loaded};
use super::super::execute::{holder, new_sink, refuse, stop_on_signal};
use super::super::{confirm, pipeline};
use super::ask::{WAIT_MAX, Wish, ask};
use super::list_failure;
use super::survivor::{Survivor, members, survivors};
use crate::apply::{StopSignal, store_failure};
use crate::cloud::any::AnyCloud;
use crate::cloud::archive::Address;
use crate::cloud::{Archive, Cloud, Observation};
use crate::error::{ExitCode, Failure};
use crate::etcd::snapshot::{Moment, MomentError, at_once, newest_together};
use crate::etcd::{Epoch, Facts, Topology};
use crate::plan::PlanOptions;
use crate::resource::{Key, Kind};
use crate::restore::{self, RestoreReport, RestoreRequest, Step, Target, VolumePlan};
use crate::roll::{self, Policy};
use crate::ui::snapshots::RestorePlan;
use crate::{desired, epoch, snapshot, ui};

/// Have a cluster's etcd begin anew with a snapshot, or with the one member that is left
///
/// `main` and `events` together, with snapshots of one time. Each gets another epoch, which no machine of
/// the time before takes part in; the old volumes are set aside with their data and never deleted; the
/// machines end at once, and those that come get new volumes. What was written after the snapshot is lost.
///
/// An etcd cluster that has lost its quorum may begin with a member that is left (--survivor), another one
/// beside it with its newest snapshot: `--survivor main=a --latest`. A member has what it has applied: what
/// the others had acknowledged in the last instant before they were gone it may never have learned.
///
/// Shows what it would do, and asks for the cluster's name; without a terminal --confirm gives it. Killed
/// at any instant, the command without --from and --survivor goes on.
///
/// Exit code 6 when it stopped on the way.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    cloud: CloudArgs,

    /// Begin with this snapshot, and those of the other etcd clusters of its time
    #[arg(long, value_name = "NAME", conflicts_with = "latest")]
    from: Option<String>,

    /// Begin with the newest snapshots of one time; beside --survivor, those of the other etcd clusters
    #[arg(long)]
    latest: bool,

    /// Begin with what this member has applied: a snapshot of it is taken first, whether it knows a quorum
    /// or not. Without the name of an etcd cluster it is of each that has such a member; may be repeated
    #[arg(long, value_name = "[ETCD=]MEMBER")]
    survivor: Vec<Survivor>,

    /// Give up a restore that is under way, and begin another one
    #[arg(long)]
    anew: bool,

    /// The cluster's name once more, in place of the question
    #[arg(long, value_name = "CLUSTER")]
    confirm: Option<String>,

    /// Wait so long for another run's lease, such as 90s or 5m
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration, help_heading = "Run")]
    lock_timeout: Duration,

    /// Wait at most so long for the old machines to end, and then for the members to form
    ///
    /// Give more than a minute: a machine that an earlier run waited for in vain is replaced after that.
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = duration, help_heading = "Run")]
    wait_timeout: Duration,
}

pub(super) fn run(context: &Context, args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let loaded = context.load(&args.spec)?;
    let cluster = loaded.spec.name().to_owned();
    if let Some(confirm) = args.confirm.as_ref().filter(|confirm| **confirm != cluster) {
        let message = format!("--confirm says `{confirm}`, the cluster is `{cluster}`");
        return Err(Failure::refused(message).into());
    }
    context.block_on(async {
        let cloud = pipeline::connect(context, &loaded, &args.cloud).await?;
        let known = restore::read(&cloud, &cluster).await;
        let known = known.map_err(|error| store_failure(&error, &cluster))?;
        let run = Restore { context, loaded: &loaded, cloud: &cloud, cluster: &cluster, args };
        match known {
            Some(known) if !args.anew => {
                run.check_same(&known.targets)?;
                context
                    .ui
                    .status(&format!("going on with the restore that began at {}", known.began_at));
                run.confirm("Go on with it")?;
                run.make(None).await
            }
            _ => run.begin().await,
        }
    })
}

struct Restore<'a> {
    context: &'a Context<'a>,
    loaded: &'a Loaded,
    cloud: &'a AnyCloud,
    cluster: &'a str,
    args: &'a RestoreArgs,
}

impl Restore<'_> {
    /// Shows, asks, restores.
    async fn begin(&self) -> anyhow::Result<ExitCode> {
        let topology = Policy::of(&self.loaded.spec).topology;
        let etcds: Vec<String> = topology.clusters.keys().cloned().collect();
        let survivors = survivors(&self.args.survivor, &topology)?;
        let epochs = self.epochs(&etcds).await?;
        let mut moment = self.choose(&topology, &survivors).await?;
        self.check_there(&moment).await?;
        let (_, observation) = pipeline::observe(self.loaded, self.cloud, false).await?;
        let groups = topology.clusters.values().flat_map(|etcd| etcd.members.values());
        let groups: BTreeSet<&String> = groups.map(|member| &member.group).collect();
        let (volumes, machines) = (restore::volumes(&observation), machines(&observation, &groups));
        let plan = RestorePlan {
            cluster: self.cluster,
            moment: &moment,
            survivors: &self.heard_of(&topology, &survivors).await?,
            epochs: &epochs,
            volumes: &volumes,
            machines: &machines,
            now: self.cloud.now(),
            is_simulated: self.cloud.name() == "sim",
        };
        self.context.ui.data(&ui::snapshots::restore(&plan, self.context.ui.out))?;
        self.confirm("Begin anew with this")?;
        if !survivors.is_empty() {
            let takers = survivors.into_iter().map(|(etcd, member)| (etcd, Some(member))).collect();
            let wish = Wish { cluster: self.cluster, takers, wait: WAIT_MAX };
            moment.extend(ask(self.context, self.cloud, &wish).await?);
        }
        let targets = restore::targets(&moment, &epochs);
        let targets = targets.map_err(|error| Failure::refused(error.to_string()))?;
        self.make(Some(targets)).await
    }

    /// The snapshots that those etcd clusters begin with which have no survivor.
    async fn choose(
        &self,
        topology: &Topology,
        survivors: &BTreeMap<String, String>,
    ) -> anyhow::Result<Moment> {
        let others = topology.clusters.keys().filter(|etcd| !survivors.contains_key(*etcd));
        let others: Vec<&String> = others.collect();
        let Some(first) = others.first() else { return self.none_needed() };
        let lists = snapshot::read_all(self.cloud, self.cluster, others.iter().copied()).await;
        let lists = lists.map_err(|error| list_failure(&error, self.cluster))?;
        let chosen = match &self.args.from {
            Some(name) => at_once(&lists, name),
            None if self.args.latest => newest_together(&lists),
            None if survivors.is_empty() => {
                let message = "a restore begins with something";
                return Err(Failure::new(ExitCode::Usage, message)
                    .hint("give --latest, --from NAME or --survivor MEMBER")
                    .into());
            }
            None => {
                let message = format!("it is not said what etcd {first} begins with");
                return Err(Failure::refused(message).hint(self.way_out(topology, first)).into());
            }
        };
        Ok(chosen.map_err(|error| {
            let list = format!("`kprod etcd snapshots {}` lists them", self.cluster);
            Failure::refused(error.to_string()).hint(match (&error, survivors.is_empty()) {
                (MomentError::None { etcd }, false) => {
                    format!(
                        "{list}; --survivor {etcd}=MEMBER begins with one of {}",
                        members(topology, etcd)
                    )
                }
                _ => list,
            })
        })?)
    }

    /// Where every etcd cluster has its survivor, no snapshot is needed.
    fn none_needed(&self) -> anyhow::Result<Moment> {
        if self.args.from.is_some() {
            let message = "every etcd cluster begins with its survivor, none with a snapshot";
            return Err(Failure::new(ExitCode::Usage, message)
                .hint("leave --from out, or name the etcd cluster: --survivor ETCD=MEMBER")
                .into());
        }
        Ok(Moment::new())
    }

    fn way_out(&self, topology: &Topology, etcd: &str) -> String {
        format!(
            "--latest beside --survivor has it begin with its newest snapshot (`kprod etcd snapshots {}` \
             lists them), --survivor {etcd}=MEMBER with one of {}",
            self.cluster,
            members(topology, etcd)
        )
    }

    /// The members that are left, with when their machines reported last.
    async fn heard_of(
        &self,
        topology: &Topology,
        survivors: &BTreeMap<String, String>,
    ) -> anyhow::Result<BTreeMap<String, ui::snapshots::Survivor>> {
        let facts = roll::members::read(self.cloud, self.cluster, topology, &Facts::new()).await;
        let facts = facts.map_err(|error| store_failure(&error, self.cluster))?;
        let heard = |(etcd, member): (&String, &String)| {
            let fact = facts.get(etcd).and_then(|facts| facts.get(member));
            let heard_at = fact.map(|fact| fact.written_at);
            (etcd.clone(), ui::snapshots::Survivor { member: member.clone(), heard_at })
        };
        Ok(survivors.iter().map(heard).collect())
    }

    /// A restore that is under way goes on with what it began with.
    fn check_same(&self, targets: &BTreeMap<String, Target>) -> anyhow::Result<()> {
        let is_other = |name: &String| targets.values().all(|target| target.name != *name);
        if self.args.from.as_ref().is_some_and(is_other) || !self.args.survivor.is_empty() {
            let names: Vec<&str> = targets.values().map(|target| target.name.as_str()).collect();
            let message = format!("a restore from {} is under way", names.join(" and "));
            return Err(Failure::refused(message)
                .hint("leave --from and --survivor out to go on with it, or begin another with --anew")
                .into());
        }
        Ok(())
    }

    /// What is not there would be missed only when nothing is left but to go on.
    async fn check_there(&self, moment: &Moment) -> anyhow::Result<()> {
        for record in moment.values() {
            let address: Address = record.object.parse()?;
            let stored = self.cloud.stored(&address).await;
            let stored = stored.map_err(|error| store_failure(&error, self.cluster))?;
            let is_it = |stored: &crate::cloud::archive::Stored| {
                stored.address == address && stored.bytes == record.bytes
            };
            if !stored.iter().any(is_it) {
                let message = format!("the snapshot `{}` is not at `{address}`", record.name);
                return Err(Failure::refused(message)
                    .hint("take another one; where the bucket keeps versions, put it back")
                    .into());
            }
        }
        Ok(())
    }

    async fn epochs(&self, etcds: &[String]) -> anyhow::Result<BTreeMap<String, Epoch>> {
        let mut epochs = BTreeMap::new();
        for etcd in etcds {
            let known = epoch::read(self.cloud, self.cluster, etcd).await;
            let known = known.map_err(|error| Failure::error(error.to_string()))?;
            let missing = || {
                Failure::refused(format!(
                    "etcd {etcd} has no epoch: there is nothing to restore over"
                ))
                .hint("put the object's last version back, or `kprod apply` a new cluster")
            };
            epochs.insert(etcd.clone(), known.ok_or_else(missing)?.epoch);
        }
        Ok(epochs)
    }

    fn confirm(&self, question: &str) -> anyhow::Result<()> {
        if self.args.confirm.is_some() {
            return Ok(());
        }
        confirm::ask(question, self.cluster, &format!("--confirm {}", self.cluster))
    }

    async fn make(&self, targets: Option<BTreeMap<String, Target>>) -> anyhow::Result<ExitCode> {
        let spec = &self.loaded.spec;
        let query = desired::query(spec);
        let request = RestoreRequest {
            cluster: self.cluster.to_owned(),
            volumes: query.keys.iter().filter(|key| key.kind == Kind::Volume).cloned().collect(),
            query,
            topology: Policy::of(spec).topology,
            targets,
            holder: holder(),
            lock_timeout: self.args.lock_timeout,
            wait_timeout: self.args.wait_timeout,
        };
        let stop = StopSignal::new();
        let watcher = tokio::spawn(stop_on_signal(stop.clone()));
        let sink = new_sink(self.context, self.cloud, self.cluster, None);
        let tell = |step: &Step| self.context.ui.status(&step.to_string());
        let plan = |missing| self.plan_volumes(missing);
        let done =
            restore::run(self.cloud, &request, &stop, plan, &tell, &|event| sink.announce(&event))
                .await;
        watcher.abort();
        self.sum_up(&done?);
        Ok(ExitCode::Done)
    }

    async fn plan_volumes(&self, missing: BTreeSet<Key>) -> Result<VolumePlan, Failure> {
        let options = PlanOptions { only: missing, ..PlanOptions::default() };
        let planned = async {
            let planned =
                pipeline::plan(self.context, self.loaded, self.cloud, false, &options).await?;
            refuse(self.cloud, &planned.plan).await?;
            anyhow::Ok(planned)
        };
        match planned.await {
            Ok(planned) => Ok((planned.plan, planned.query)),
            Err(error) => Err(error
                .downcast::<Failure>()
                .unwrap_or_else(|error| Failure::new(ExitCode::Halted, error.to_string()))),
        }
    }

    fn sum_up(&self, report: &RestoreReport) {
        let ui = &self.context.ui;
        let names: Vec<&str> = report.journal.targets.values().map(|t| t.name.as_str()).collect();
        ui.status(&format!("restored {} from {}", self.cluster, names.join(" and ")));
        ui.status(&format!(
            "{} volumes are set aside; delete them when nobody misses anything",
            report.set_aside.len()
        ));
        if report.journal.targets.values().any(|target| target.from.bump_revisions.is_none()) {
            ui.status(
                "releases of etcd before 3.4.27 and 3.5.10 count revisions anew: restart API servers,",
            );
            ui.status("controllers and kubelets, whose watches may have seen later ones");
        }
    }
}

fn machines(
    observation: &Observation,
    groups: &BTreeSet<&String>,
) -> BTreeMap<String, BTreeSet<String>> {
    let hosts = observation.resources.iter().filter(|(key, _)| groups.contains(&key.name));
    let machines = hosts.filter_map(|(key, found)| {
        let instances = found.group.as_ref()?.instances.iter();
        Some((key.name.clone(), instances.map(|machine| machine.instance_id.clone()).collect()))
    });
    machines.collect()
}
