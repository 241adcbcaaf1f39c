//! The Kubernetes port over a cluster of the simulated world.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Kube, KubeCall, KubeError, KubeErrorKind, KubeView};
use crate::cloud::sim::SimCloud;
use crate::cloud::{Cloud, StoreError};
use crate::sim::World;

/// A simulated cluster behind the Kubernetes port: the machines are those of the simulated account,
/// the clock is its clock.
pub struct SimKube {
    cloud: SimCloud,
    cluster: String,
    /// Whether the lists were read once.
    is_listed: AtomicBool,
}

impl SimKube {
    /// How long the first look waits for an API server.
    const PATIENCE: Duration = Duration::from_secs(30);
    /// Changes that come closer together than this are told as one.
    const GATHERED: Duration = Duration::from_millis(500);

    /// The cluster of a name in an account.
    pub fn new(cloud: SimCloud, cluster: &str) -> Self {
        Self { cloud, cluster: cluster.to_owned(), is_listed: AtomicBool::new(false) }
    }

    async fn look(&self) -> Result<Arc<KubeView>, KubeError> {
        let seen = self.cloud.live(|world| world.kube_view(&self.cluster)).await;
        seen.map_err(|error| unusable(&error, "Watch"))?
    }
}

impl Kube for SimKube {
    async fn view(&self) -> Result<Arc<KubeView>, KubeError> {
        const STEP: Duration = Duration::from_secs(1);
        let mut waited = Duration::ZERO;
        loop {
            let is_first = !self.is_listed.load(Ordering::Relaxed);
            match self.look().await {
                Err(error) if is_first && error.kind.is_passing() && waited < Self::PATIENCE => {
                    self.cloud.sleep(STEP).await;
                    waited += STEP;
                }
                seen => {
                    self.is_listed.fetch_or(seen.is_ok(), Ordering::Relaxed);
                    return seen;
                }
            }
        }
    }

    /// Sleeps from one event of the world to the next, and through those that come close together.
    async fn changed(&self, seen: u64, at_most: Duration) {
        let Ok(deadline) = self.cloud.now().checked_add(at_most) else { return };
        loop {
            let look = |world: &mut World| {
                let cluster = world.clusters.get(&self.cluster);
                let generation = cluster.map(|cluster| cluster.picture_generation());
                (generation, world.now, world.next_event())
            };
            let Ok((generation, now, next)) = self.cloud.live(look).await else { return };
            let left = Duration::try_from(deadline.duration_since(self.cloud.now()));
            let left = left.unwrap_or_default();
            if generation.is_some_and(|generation| generation != seen) || left.is_zero() {
                return;
            }
            let until_next = next.map_or(left, |at| Duration::from_millis(at.since_ms(now)));
            self.cloud.sleep(until_next.max(Self::GATHERED).min(left)).await;
        }
    }

    async fn call(&self, call: &KubeCall) -> Result<(), KubeError> {
        let answer = self.cloud.live_or_die(|world| world.answer_kube(&self.cluster, call));
        answer.await.map_err(|error| unusable(&error, call.operation()))?
    }

    async fn ready(&self) -> Result<(), KubeError> {
        let answer = self.cloud.live(|world| world.kube_ready(&self.cluster)).await;
        answer.map_err(|error| unusable(&error, "GetReadyz"))?
    }
}

/// The simulator's own trouble with its file, as the port tells it.
fn unusable(error: &StoreError, operation: &str) -> KubeError {
    KubeError::new(KubeErrorKind::Invalid, operation, error.to_string())
}
