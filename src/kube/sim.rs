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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::time::Duration;

    use super::SimKube;
    use crate::cloud::Cloud;
    use crate::cloud::sim::SimCloud;
    use crate::kube::{Kube, KubeCall, KubeErrorKind, NodePatch};
    use crate::sim::kubernetes::{ApiTrouble, Host};
    use crate::sim::{CrashPlan, CrashSide, Lag};

    const CLUSTER: &str = "c.example.com";
    const NODE: &str = "i-control.eu-west-3.compute.internal";

    fn host(name: &str, is_control_plane: bool) -> Host {
        Host {
            instance_id: format!("i-{name}"),
            group: String::new(),
            image_id: String::new(),
            availability_zone: "eu-west-3a".to_owned(),
            instance_type: "m6i.large".to_owned(),
            is_control_plane,
            kubelet_version: "v1.34.2".to_owned(),
            labels: [].into(),
            taints: [].into(),
        }
    }

    /// An account with a control-plane node, long at rest.
    fn account() -> SimCloud {
        let cloud = SimCloud::in_memory(1);
        let start = |world: &mut crate::sim::World| {
            world.lag = Lag::none();
            world.cluster(CLUSTER).host_boots(host("control", true));
            world.advance_secs(3600);
        };
        cloud.with_world(start).unwrap();
        cloud
    }

    fn annotate(key: &str) -> KubeCall {
        let annotations = [(key.to_owned(), Some(String::new()))].into();
        let patch = NodePatch { annotations, ..NodePatch::default() };
        KubeCall::PatchNode { node: NODE.to_owned(), patch }
    }

    #[tokio::test]
    async fn a_wait_ends_with_the_next_change_or_at_its_limit() {
        let cloud = account();
        let kube = SimKube::new(cloud.clone(), CLUSTER);
        let rest = kube.view().await.unwrap();
        let start = cloud.now();
        kube.changed(rest.generation, Duration::from_secs(7200)).await;
        assert_eq!(cloud.now().duration_since(start).as_secs(), 7200, "nothing ever changes");

        let boot = |world: &mut crate::sim::World| {
            world.cluster(CLUSTER).host_boots(host("worker", false));
        };
        cloud.with_world(boot).unwrap();
        let start = cloud.now();
        kube.changed(rest.generation, Duration::from_secs(7200)).await;
        let waited = cloud.now().duration_since(start).as_secs();
        assert!((6..=16).contains(&waited), "{waited} s until a kubelet joined");
        assert_eq!(kube.view().await.unwrap().nodes.len(), 2);
    }

    #[tokio::test]
    async fn a_crash_around_a_request_stops_the_run_where_it_stands() {
        for (side, is_set) in [(CrashSide::Before, false), (CrashSide::After, true)] {
            let cloud = account();
            let kube = SimKube::new(cloud.clone(), CLUSTER);
            let plan = CrashPlan { mutation: 1, side };
            cloud.with_world(|world| world.faults.crash = Some(plan)).unwrap();
            let call = annotate("kprod.dev/x");
            tokio::select! {
                biased;
                _ = kube.call(&call) => panic!("it answered"),
                () = cloud.crashed() => {}
            }
            cloud.take_crash();
            let next = SimKube::new(cloud.clone(), CLUSTER).view().await.unwrap();
            let node = next.nodes.get(NODE).unwrap();
            assert_eq!(node.annotations.contains_key("kprod.dev/x"), is_set);
        }
    }

    #[tokio::test]
    async fn the_first_look_waits_for_an_api_server_and_gives_up() {
        let cloud = account();
        let stop = |secs: u64| {
            let cloud = cloud.clone();
            move || {
                let until = |world: &mut crate::sim::World| {
                    let until = world.now.plus_secs(secs);
                    world.cluster(CLUSTER).break_api(ApiTrouble::Down, Some(until));
                };
                cloud.with_world(until).unwrap();
            }
        };
        stop(10)();
        let kube = SimKube::new(cloud.clone(), CLUSTER);
        kube.view().await.unwrap();
        kube.ready().await.unwrap();
        stop(600)();
        let kube = SimKube::new(cloud.clone(), CLUSTER);
        let start = cloud.now();
        let error = loop {
            // A picture that somebody else's watches had is good for a minute.
            if let Err(error) = kube.view().await {
                break error;
            }
            cloud.sleep(Duration::from_secs(5)).await;
        };
        assert_eq!(error.kind, KubeErrorKind::Unreachable);
        assert!(error.to_string().contains(CLUSTER), "{error}");
        assert!(cloud.now().duration_since(start).as_secs() <= 70);
        assert!(kube.ready().await.is_err());
        let nowhere = SimKube::new(cloud.clone(), "another.example.com");
        assert!(nowhere.view().await.unwrap_err().to_string().contains("another.example.com"));
    }
}
