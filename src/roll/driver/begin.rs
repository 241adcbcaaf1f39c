//! Before the first turn: lease, journal, the roll's id, the baseline.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::RollRequest;
use super::look::Look;
use super::turns::Run;
use crate::apply::journal::{self, Journal};
use crate::apply::lease::{self, LeaseRequest};
use crate::apply::store::{PATIENT, persist};
use crate::apply::{RunId, StopSignal, lease_failure, store_failure, waiting_for_lease};
use crate::cloud::{Cloud, Condition, StoreError};
use crate::error::Failure;
use crate::event::Event;
use crate::kube::Kube;
use crate::roll::decide::{Scene, baseline};
use crate::roll::{Baseline, Forced, Observation, Policy, forced};

/// What a roll writes down once, before its first step.
#[derive(Debug, Serialize, Deserialize)]
struct RollRecord {
    /// Version of this form.
    format_version: u32,
    /// Who began it.
    holder: String,
    /// The cluster before.
    baseline: Baseline,
}

const FORMAT_VERSION: u32 = 1;

/// The object of the state bucket that holds a roll's baseline.
fn record_key(cluster: &str, id: &str) -> String {
    format!("roll/{cluster}/{id}")
}

/// Takes the lease and looks; nothing is changed.
pub(super) async fn begin<'a, C: Cloud, K: Kube>(
    cloud: &'a C,
    kube: Option<&'a K>,
    request: &'a RollRequest<'a>,
    stop: &'a StopSignal,
    announce: &'a (dyn Fn(Event) + Sync),
) -> Result<Run<'a, C, K>, Failure> {
    let started_at = cloud.now();
    let cluster = request.query.cluster.clone();
    let RunId { id: token, seed } = RunId::of(&request.holder, started_at);
    let wanted = LeaseRequest {
        cluster: cluster.clone(),
        holder: request.holder.clone(),
        token: token.clone(),
        wait_max: request.lock_timeout,
    };
    let lease = lease::take(cloud, &wanted, stop, &|record, deadline| {
        announce(waiting_for_lease(record, deadline));
    })
    .await
    .map_err(|error| lease_failure(&error, &cluster))?;
    announce(Event::LeaseTaken {
        holder: request.holder.clone(),
        expires_at: lease.record().expires_at.to_string(),
    });
    let found = match journal::find(cloud, &cluster).await {
        Ok(found) => found,
        Err(error) => {
            lease.release(cloud).await;
            return Err(store_failure(&error, &cluster));
        }
    };
    let journal = Journal::new(&cluster, &token, &request.holder, cloud.now(), &found);
    let mut look = Look::new(request.query, request.policy, cloud.now());
    look.id.clone_from(&token);
    Ok(Run {
        cloud,
        kube,
        policy: request.policy,
        holder: request.holder.clone(),
        cluster,
        stop,
        announce,
        lease,
        journal,
        look,
        rng: fastrand::Rng::with_seed(seed),
        started_at,
        has_begun: false,
        resumed: false,
        evictions: 0,
        steps: 0,
        replaced: Default::default(),
        recent: Default::default(),
        failing: Default::default(),
        progress: Default::default(),
        observed: Default::default(),
        told_at: Timestamp::MIN,
    })
}

impl<C: Cloud, K: Kube> Run<'_, C, K> {
    /// Goes on under the id of an unfinished roll and its baseline; else takes the baseline now.
    pub(super) async fn identify(&mut self, o: &Observation) -> Result<(), Failure> {
        // What is to be undone is gone on with, too.
        self.resumed = o.forced.is_some();
        if let Some(id) = o.unfinished().map(str::to_owned) {
            self.resumed = true;
            self.look.id.clone_from(&id);
            if let Some(baseline) = self.read_baseline(&id).await? {
                self.look.baseline = Arc::new(baseline);
                return Ok(());
            }
        }
        let view = o.kube.as_deref();
        let api_unready = o.api_unready.is_some();
        let taken = view.map(|view| baseline(view, api_unready)).unwrap_or_default();
        self.look.baseline = Arc::new(taken);
        Ok(())
    }

    async fn read_baseline(&self, id: &str) -> Result<Option<Baseline>, Failure> {
        let key = record_key(&self.cluster, id);
        let found = persist(self.cloud, PATIENT, || self.cloud.get(&key)).await;
        let entry = found.map_err(|error| store_failure(&error, &self.cluster))?;
        let record = entry.and_then(|e| serde_json::from_slice::<RollRecord>(&e.body).ok());
        Ok(record.map(|record| record.baseline))
    }

    /// Writes down, before the first step, what whoever goes on with this roll has to know.
    pub(super) async fn write_down(&mut self) -> Result<(), Failure> {
        self.write_baseline().await?;
        self.write_forced().await
    }

    /// Since when every machine goes, where that is asked for.
    async fn write_forced(&mut self) -> Result<(), Failure> {
        if !self.policy.force {
            return Ok(());
        }
        let Policy { groups, only, .. } = self.policy;
        let in_scope = groups.keys().filter(|name| only.is_empty() || only.contains(*name));
        let (noted, id) = (self.look.forced.as_deref(), &self.look.id);
        let forced = Forced::of_run(noted, in_scope, id, self.look.started_at);
        if noted == Some(&forced) {
            return Ok(());
        }
        self.ready_to_call().await?;
        forced::write(self.cloud, &self.cluster, &forced).await?;
        self.look.forced = Some(Arc::new(forced));
        Ok(())
    }

    /// Ends a roll that was to replace every machine: when none is left that it is about, or when all that
    /// was begun is undone. The next one that is asked for is another one.
    pub(super) async fn end_forced(&mut self, o: &Observation) -> Result<(), Failure> {
        let is_over =
            self.policy.abort || (self.policy.force && Scene::of(o, self.policy).is_forced_over());
        if self.look.forced.is_none() || !is_over {
            return Ok(());
        }
        self.ready_to_call().await?;
        forced::clear(self.cloud, &self.cluster).await?;
        self.look.forced = None;
        Ok(())
    }

    /// The baseline, once.
    async fn write_baseline(&mut self) -> Result<(), Failure> {
        let key = record_key(&self.cluster, &self.look.id);
        let record = RollRecord {
            format_version: FORMAT_VERSION,
            holder: self.holder.clone(),
            baseline: Baseline::clone(&self.look.baseline),
        };
        let body = serde_json::to_vec_pretty(&record).unwrap_or_default();
        let put = || self.cloud.put(&key, body.clone(), Condition::Absent);
        match persist(self.cloud, PATIENT, put).await {
            // Somebody wrote it before: an earlier run of this roll, or a lost answer.
            Ok(_) | Err(StoreError::Conflict(_)) => Ok(()),
            Err(error) => Err(store_failure(&error, &self.cluster)),
        }
    }
}

/// How long a roll outlives an API server that does not answer.
pub(super) const KUBE_PATIENCE: Duration = Duration::from_secs(600);
