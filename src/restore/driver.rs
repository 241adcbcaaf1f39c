//! The loop that makes what was decided, under the cluster's lease.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;

use super::journal::{remove, write};
use super::look::{Seen, volumes};
use super::{Journal, RestoreError, Sight, Step, Target, decide, read};
use crate::apply::lease::{self, Lease, LeaseRequest, later, sleep_or_stop};
use crate::apply::{
    self, ApplyRequest, RunId, StopSignal, forget_tokens, lease_failure, store_failure,
};
use crate::cloud::{Call, Cloud, CloudErrorKind, Observation, Query};
use crate::epoch::{self, EpochStoreError};
use crate::error::{ExitCode, Failure};
use crate::etcd::{Facts, Topology};
use crate::event::Event;
use crate::plan::Plan;
use crate::resource::{DIGEST_TAG, Key, OWNER_TAG, Resource, SET_ASIDE_TAG, Tags};
use crate::roll::members;

/// So long a run waits itself before it gives up machines that an earlier one has waited for in vain: longer
/// than the word of a member counts, so that one which has come up since has said so.
const GIVES_UP_AFTER: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(5);
/// Steps and looks that a restore may take besides waiting.
const TURNS_MAX: usize = 2000;
/// How often in a row a call may fail that might succeed later.
const FAILURES_MAX: usize = 20;
/// How long ago it may have been seen that the lease is held, when something is changed.
const LEASE_AGE_MAX: Duration = Duration::from_secs(10);

/// The plan that makes volumes, and nothing else, with what it looks at.
pub type VolumePlan = (Plan, Query);

/// What to restore, and how.
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    /// The cluster.
    pub cluster: String,
    /// What to look at.
    pub query: Query,
    /// Which members there are, and where.
    pub topology: Topology,
    /// The addresses of the members' volumes.
    pub volumes: BTreeSet<Key>,
    /// What each etcd cluster begins with; none to go on with the restore that is under way.
    pub targets: Option<BTreeMap<String, Target>>,
    /// Who restores, for the lease.
    pub holder: String,
    /// How long to wait for another run's lease.
    pub lock_timeout: Duration,
    /// How long members may take to form their clusters, and before that old machines to end.
    pub wait_timeout: Duration,
}

/// How a restore ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreReport {
    /// What was restored.
    pub journal: Journal,
    /// Volumes that were set aside, by id.
    pub set_aside: BTreeSet<String>,
}

/// Restores, or goes on with what an earlier run began. `plan_volumes` gives the plan that makes
/// volumes which are not there; `tell` hears of each step before it is made.
///
/// # Errors
/// Whatever ends it early: exit 6 where the next run goes on.
pub async fn run<C, P>(
    cloud: &C,
    request: &RestoreRequest,
    stop: &StopSignal,
    plan_volumes: impl Fn(BTreeSet<Key>) -> P,
    tell: &(dyn Fn(&Step) + Sync),
    announce: &(dyn Fn(Event) + Sync),
) -> Result<RestoreReport, Failure>
where
    C: Cloud,
    P: Future<Output = Result<VolumePlan, Failure>>,
{
    let mut run = Run { cloud, request, stop, began_at: cloud.now(), lease: None };
    let result = run.go(&plan_volumes, tell, announce).await;
    run.give_back().await;
    result
}

struct Run<'a, C> {
    cloud: &'a C,
    request: &'a RestoreRequest,
    stop: &'a StopSignal,
    began_at: Timestamp,
    lease: Option<Lease>,
}

impl<C: Cloud> Run<'_, C> {
    async fn go<P: Future<Output = Result<VolumePlan, Failure>>>(
        &mut self,
        plan_volumes: &impl Fn(BTreeSet<Key>) -> P,
        tell: &(dyn Fn(&Step) + Sync),
        announce: &(dyn Fn(Event) + Sync),
    ) -> Result<RestoreReport, Failure> {
        self.take_lease().await?;
        let mut journal = self.begin().await?;
        // Machines that were long in ending leave the members that come no less time to form.
        let (mut until_ended, mut until_formed) = (None, None);
        let mut last = None;
        let mut failures = 0;
        for _ in 0..TURNS_MAX {
            let sight = self.look(&journal).await?;
            let step = decide(&journal, &sight).map_err(|error| overtaken(&error))?;
            if last.as_ref() != Some(&step) {
                tell(&step);
            }
            let made = match &step {
                Step::Finish => {
                    self.own().await?;
                    let removed = remove(self.cloud, &self.request.cluster).await;
                    removed.map_err(|error| self.store(&error))?;
                    let set_aside = journal.old_volumes.clone();
                    return Ok(RestoreReport { journal, set_aside });
                }
                Step::MakeVolumes { volumes } => {
                    // An apply takes the lease itself.
                    self.give_back().await;
                    let (plan, query) = plan_volumes(volumes.clone()).await?;
                    self.apply(&plan, &query, announce).await?;
                    self.take_lease().await.map(|()| Made::Done)
                }
                Step::AwaitEnd { .. } => {
                    let deadline = *until_ended.get_or_insert_with(|| self.deadline());
                    self.await_end(&step, deadline).await
                }
                Step::Wait { machines, .. } => {
                    let deadline = *until_formed.get_or_insert_with(|| self.deadline());
                    self.wait(&mut journal, &step, machines, deadline).await
                }
                step => self.make(&mut journal, step).await,
            };
            failures = match made? {
                Made::Done => 0,
                Made::Again(_) if failures < FAILURES_MAX => failures + 1,
                Made::Again(error) => return Err(halted(error.to_string())),
            };
            last = Some(step);
            if self.stop.is_requested() {
                return Err(halted("stopped"));
            }
            if failures > 0 {
                self.pause().await?;
            }
        }
        Err(halted("nothing comes of it"))
    }

    /// The restore that is under way, or a new one.
    async fn begin(&mut self) -> Result<Journal, Failure> {
        let cluster = &self.request.cluster;
        let known = read(self.cloud, cluster).await.map_err(|error| self.store(&error))?;
        let Some(targets) = &self.request.targets else {
            return known.ok_or_else(|| Failure::error("no restore is under way"));
        };
        if let Some(known) = known.filter(|known| known.targets == *targets) {
            return Ok(known);
        }
        let observation = self.observe().await?;
        let began_at = self.cloud.now();
        let journal = Journal {
            format_version: Journal::FORMAT_VERSION,
            id: began_at.as_nanosecond().unsigned_abs() as u64,
            began_at,
            targets: targets.clone(),
            old_volumes: volumes(&observation).into_keys().collect(),
            machines: None,
            stuck: BTreeSet::new(),
        };
        self.own().await?;
        // All of them are made again, those that are lost and those that are set aside.
        let made_again: Vec<&Key> = self.request.volumes.iter().collect();
        let counted = forget_tokens(self.cloud, cluster, &made_again).await;
        counted.map_err(|error| self.store(&error))?;
        write(self.cloud, cluster, &journal).await.map_err(|error| self.store(&error))?;
        Ok(journal)
    }

    async fn observe(&self) -> Result<Observation, Failure> {
        let observed = self.cloud.observe(&self.request.query).await;
        observed.map_err(|error| halted(error.to_string()))
    }

    async fn look(&mut self, journal: &Journal) -> Result<Sight, Failure> {
        if let Some(lease) = &mut self.lease {
            let kept = lease.keep(self.cloud).await;
            kept.map_err(|error| lease_failure(&error, &self.request.cluster))?;
        }
        let RestoreRequest { cluster, topology, volumes, .. } = self.request;
        let mut epochs = BTreeMap::new();
        for etcd in journal.targets.keys() {
            if let Some(known) = self.epoch(etcd).await? {
                epochs.insert(etcd.clone(), known.epoch);
            }
        }
        let observation = self.observe().await?;
        let facts = members::read(self.cloud, cluster, topology, &Facts::new()).await;
        let facts = facts.map_err(|error| self.store(&error))?;
        let now = self.cloud.now();
        let gives_up = now >= later(self.began_at, GIVES_UP_AFTER);
        let seen = Seen { epochs, observation: &observation, facts: &facts, now, gives_up };
        Ok(seen.sight(topology, volumes))
    }

    async fn epoch(&self, etcd: &str) -> Result<Option<epoch::Known>, Failure> {
        let read = epoch::read(self.cloud, &self.request.cluster, etcd).await;
        read.map_err(|error| halted(error.to_string()))
    }

    /// When what is waited for from now on has taken too long.
    fn deadline(&self) -> Timestamp {
        later(self.cloud.now(), self.request.wait_timeout)
    }

    /// Waits for machines to end, which takes as long as load balancers and hooks hold on to them.
    async fn await_end(&self, step: &Step, deadline: Timestamp) -> Result<Made, Failure> {
        if self.cloud.now() >= deadline {
            return Err(halted(step.to_string()).hint(format!(
                "see what holds them: a load balancer that drains, or a termination hook; {GO_ON}"
            )));
        }
        self.pause().await.map(|()| Made::Done)
    }

    /// Waits; when that has taken too long, the next run replaces the machines of those who are not well then.
    async fn wait(
        &mut self,
        journal: &mut Journal,
        step: &Step,
        machines: &BTreeSet<String>,
        deadline: Timestamp,
    ) -> Result<Made, Failure> {
        if self.cloud.now() >= deadline {
            journal.stuck = machines.clone();
            self.own().await?;
            let written = write(self.cloud, &self.request.cluster, journal).await;
            written.map_err(|error| self.store(&error))?;
            return Err(halted(step.to_string()).hint(format!(
                "see what their machines say (the console output, or the unit `kprod-node-etcd`); {GO_ON}. \
                 If the snapshot is of no use, begin with another one: `--from NAME --anew`"
            )));
        }
        self.pause().await.map(|()| Made::Done)
    }

    /// Waits a little, unless it is to stop.
    async fn pause(&self) -> Result<(), Failure> {
        match sleep_or_stop(self.cloud, PAUSE, self.stop).await {
            true => Err(halted("stopped")),
            false => Ok(()),
        }
    }

    async fn make(&mut self, journal: &mut Journal, step: &Step) -> Result<Made, Failure> {
        self.own().await?;
        match step {
            Step::Fence { etcd } => self.fence(journal, etcd).await,
            Step::SetAside { volumes } => self.set_aside(journal, volumes).await,
            Step::NoteMachines { machines } => {
                journal.machines = Some(machines.clone());
                let written = write(self.cloud, &self.request.cluster, journal).await;
                written.map_err(|error| self.store(&error))?;
                Ok(Made::Done)
            }
            Step::EndMachines { machines } => {
                for (group, machines) in machines {
                    let call = Call::TerminateInstanceInAutoScalingGroup {
                        auto_scaling_group_name: group.clone(),
                        instance_ids: machines.clone(),
                        should_decrement_desired_capacity: false,
                    };
                    if let Some(made) = self.call(&call).await? {
                        return Ok(made);
                    }
                }
                // A look right away would see them still.
                self.pause().await.map(|()| Made::Done)
            }
            Step::AwaitEnd { .. } | Step::MakeVolumes { .. } | Step::Wait { .. } | Step::Finish => {
                Ok(Made::Done)
            }
        }
    }

    /// The next epoch, for the members that the last one had.
    async fn fence(&self, journal: &Journal, etcd: &str) -> Result<Made, Failure> {
        let cluster = &self.request.cluster;
        let (Some(known), Some(target)) = (self.epoch(etcd).await?, journal.targets.get(etcd))
        else {
            return Ok(Made::Done);
        };
        let members = known.epoch.members.clone();
        let next = known.epoch.next(cluster, etcd, members, target.from.clone(), journal.id);
        let next = next.map_err(|error| {
            Failure::refused(format!("etcd {etcd}: {error}"))
                .hint("there is nothing to restore over: let its members form it")
        })?;
        match epoch::follow(self.cloud, cluster, etcd, &known, &next).await {
            Ok(()) => Ok(Made::Done),
            // A lost answer, or a member that closed the epoch before: look again.
            Err(EpochStoreError::Store(error)) => Ok(Made::Again(error.to_string())),
            Err(error) => Err(halted(error.to_string())),
        }
    }

    /// Old volumes get another name and a note, and lose what makes them members' volumes.
    async fn set_aside(
        &mut self,
        journal: &Journal,
        volumes: &BTreeMap<String, Key>,
    ) -> Result<Made, Failure> {
        let cluster = &self.request.cluster;
        let observation = self.observe().await?;
        for (id, key) in volumes {
            let Some(Resource::Volume(volume)) =
                observation.resources.get(key).map(|o| &o.resource)
            else {
                continue;
            };
            let ids = BTreeSet::from([id.clone()]);
            let name = format!("{SET_ASIDE}.{}.{}", short(journal.id), base_name(&key.name));
            let note = format!("{cluster} {}", journal.began_at);
            let tags = Tags::from([("Name".to_owned(), name), (SET_ASIDE_TAG.to_owned(), note)]);
            let keys = volume.tags.keys().filter(|key| makes_a_member(key)).cloned();
            let gone: BTreeSet<String> = keys.chain([OWNER_TAG.to_owned()]).collect();
            let calls = [
                Call::CreateTags { resource_ids: ids.clone(), tags },
                Call::DeleteTags { resource_ids: ids, keys: gone },
            ];
            for call in calls {
                self.own().await?;
                if let Some(made) = self.call(&call).await? {
                    return Ok(made);
                }
            }
        }
        self.pause().await.map(|()| Made::Done)
    }

    /// Makes a call; none when it is made, or what it is about is gone.
    async fn call(&self, call: &Call) -> Result<Option<Made>, Failure> {
        let made = tokio::time::timeout(lease::LONGEST_CALL, self.cloud.call(call)).await;
        match made {
            Ok(Ok(_)) => Ok(None),
            Ok(Err(error)) if error.kind == CloudErrorKind::NotFound => Ok(None),
            Ok(Err(error)) if error.kind.is_retriable() => Ok(Some(Made::Again(error.to_string()))),
            Ok(Err(error)) => Err(halted(error.to_string())),
            Err(_) => Ok(Some(Made::Again(format!("{}: no answer", call.operation())))),
        }
    }

    async fn apply(
        &self,
        plan: &Plan,
        query: &Query,
        announce: &(dyn Fn(Event) + Sync),
    ) -> Result<(), Failure> {
        let request = ApplyRequest {
            plan,
            query,
            holder: self.request.holder.clone(),
            lock_timeout: self.request.lock_timeout,
            wait_timeout: Duration::ZERO,
        };
        let report = apply::run(self.cloud, &request, self.stop, announce).await?;
        report.failure.map_or(Ok(()), Err)
    }

    async fn take_lease(&mut self) -> Result<(), Failure> {
        let RestoreRequest { cluster, holder, lock_timeout, .. } = self.request;
        let request = LeaseRequest {
            cluster: cluster.clone(),
            holder: holder.clone(),
            token: RunId::of(holder, self.cloud.now()).id,
            wait_max: *lock_timeout,
        };
        let taken = lease::take(self.cloud, &request, self.stop, &|_, _| ()).await;
        self.lease = Some(taken.map_err(|error| lease_failure(&error, cluster))?);
        Ok(())
    }

    async fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.release(self.cloud).await;
        }
    }

    /// Makes sure that the lease is held before something is changed.
    async fn own(&mut self) -> Result<(), Failure> {
        let cluster = &self.request.cluster;
        let Some(lease) = &mut self.lease else { return Err(halted("the lease is not held")) };
        let owned = lease.ensure(self.cloud, LEASE_AGE_MAX).await;
        owned.map_err(|error| lease_failure(&error, cluster))
    }

    fn store(&self, error: &crate::cloud::StoreError) -> Failure {
        store_failure(error, &self.request.cluster)
    }
}

/// What came of a step.
enum Made {
    Done,
    /// It may succeed later.
    Again(String),
}

/// What names of volumes that were set aside begin with.
const SET_ASIDE: &str = "set-aside";

/// A volume's name without what an earlier restore put before it.
fn base_name(name: &str) -> &str {
    let rest = name.strip_prefix(SET_ASIDE).and_then(|rest| rest.strip_prefix('.'));
    rest.and_then(|rest| rest.split_once('.')).map_or(name, |(_, name)| name)
}

fn short(id: u64) -> String {
    format!("{:08x}", id >> 20 & 0xffff_ffff)
}

/// Whether a tag makes a volume a member's, or the cluster's.
fn makes_a_member(key: &str) -> bool {
    [OWNER_TAG, DIGEST_TAG, "KubernetesCluster"].contains(&key)
        || ["k8s.io/", "kubernetes.io/"].iter().any(|prefix| key.starts_with(prefix))
}

/// The way on: what a restore begins with was settled when it began.
const GO_ON: &str =
    "run the same command again, without --from, --survivor and --anew: it goes on from here";

fn halted(why: impl Into<String>) -> Failure {
    Failure::new(ExitCode::Halted, why).hint(GO_ON)
}

fn overtaken(error: &RestoreError) -> Failure {
    Failure::new(ExitCode::Stale, error.to_string())
        .hint("look at `kprod etcd status`, then restore anew: `--from NAME --anew`")
}
