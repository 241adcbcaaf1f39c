//! The Kubernetes port's contract: one list of laws, kept by the simulated cluster, by the simulated
//! API over HTTP with the real client, and by any real API server.
//!
//! What a real server does was measured (v1.36, `policy/v1`); the laws hold with and without kubelets
//! and controllers: pods are bound to nodes that nobody runs, their status is written as a kubelet
//! would write it, and so is a budget's where no controller does. On a real server
//!
//! ```sh
//! KPROD_TEST_KUBECONFIG=FILE cargo test --test it a_real_api_server -- --ignored
//! ```
//!
//! makes a namespace, nodes, pods and budgets of its own, names beginning with `kprod-contract`, and
//! removes them. A cloud controller that removes nodes without an instance is in its way.

mod evictions;
#[cfg(feature = "aws")]
mod http;
mod nodes;
mod pods;
mod sim;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kprod::kube::{
    Budget, Kube, KubeCall, KubeError, KubeErrorKind, KubeView, Node, NodePatch, Pod, PodId,
};

use super::holds;

/// How long a law waits for the picture to be as it should be: a controller may be slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the disruption controller is waited for before the law writes the status itself.
const CONTROLLER_PATIENCE: Duration = Duration::from_secs(5);

/// How objects come to be: somebody else's hands, not the port's.
trait Ground {
    type Port: Kube;

    fn port(&self) -> &Self::Port;

    /// A node without a kubelet, on the instance of this id.
    async fn make_node(&self, name: &str, instance_id: &str);

    /// Sets a label of a node.
    async fn label_node(&self, name: &str, label: &str);

    /// A pod without a controller, with the label `app` and a grace period of [`GRACE_SECS`].
    async fn make_pod(&self, id: &PodId, app: &str, node: &str);

    /// Writes a pod's status, as its kubelet would.
    async fn write_pod(&self, id: &PodId, phase: &str, is_ready: bool);

    /// A budget of the pods with this label.
    async fn make_budget(&self, id: &PodId, app: &str, min_available: u32);

    /// Writes a budget's status, as its controller would.
    async fn write_budget(&self, id: &PodId, healthy: u32, min_available: u32);

    async fn remove_budget(&self, id: &PodId);
}

/// `terminationGracePeriodSeconds` of the laws' pods.
const GRACE_SECS: u32 = 20;

/// A ground to hold laws on, and which calls were made on it.
struct Stage<G> {
    ground: G,
    namespace: String,
    made: Mutex<BTreeSet<&'static str>>,
}

/// One law at work: names of its own.
struct Scene<'s, G> {
    stage: &'s Stage<G>,
    law: &'static str,
}

/// The laws, one after the other; tells of every one that is broken.
async fn keeps_the_contract<G: Ground>(ground: G, namespace: &str) {
    let stage = Stage { ground, namespace: namespace.to_owned(), made: Mutex::default() };
    let mut broken = Vec::new();
    macro_rules! hold {
        ($($room:ident :: $law:ident),* $(,)?) => {$(
            let scene = Scene { stage: &stage, law: stringify!($law) };
            if !holds($room::$law(&scene)).await {
                broken.push(concat!(stringify!($room), "::", stringify!($law)));
            }
        )*};
    }
    hold!(
        nodes::seen,
        nodes::cordon,
        nodes::taints,
        nodes::marks,
        nodes::missing,
        nodes::deletion,
        nodes::notices,
        pods::seen,
        pods::deletion,
        pods::missing,
        pods::of_another_time,
        evictions::without_budget,
        evictions::held,
        evictions::one_at_a_time,
        evictions::not_processed,
        evictions::two_budgets,
        evictions::idle_pods,
        evictions::leaving_pods,
    );
    stage.ground.port().ready().await.unwrap();
    assert_eq!(broken, Vec::<&str>::new(), "laws that are broken, told above");
    let made = stage.made.lock().unwrap();
    assert_eq!(
        made.iter().copied().collect::<Vec<_>>(),
        ["DeleteNode", "DeletePod", "EvictPod", "PatchNode"],
        "every call of the port"
    );
}

impl<G: Ground> Scene<'_, G> {
    fn ground(&self) -> &G {
        &self.stage.ground
    }

    /// A name of the law's own.
    fn name(&self, what: &str) -> String {
        format!("kprod-contract-{}-{what}", self.law.replace('_', "-"))
    }

    fn id(&self, what: &str) -> PodId {
        PodId::new(&self.stage.namespace, self.name(what))
    }

    async fn view(&self) -> Arc<KubeView> {
        self.ground().port().view().await.unwrap()
    }

    /// Looks until the picture shows what is wanted.
    async fn see<T>(&self, what: &str, wanted: impl Fn(&KubeView) -> Option<T>) -> T {
        match self.looks(PATIENCE, wanted).await {
            Some(seen) => seen,
            None => panic!("{}: {what} is never seen", self.law),
        }
    }

    async fn looks<T>(
        &self,
        at_most: Duration,
        wanted: impl Fn(&KubeView) -> Option<T>,
    ) -> Option<T> {
        const STEP: Duration = Duration::from_millis(500);
        for _ in 0..at_most.as_millis() / STEP.as_millis() {
            let view = self.view().await;
            if let Some(seen) = wanted(&view) {
                return Some(seen);
            }
            self.ground().port().changed(view.generation, STEP).await;
        }
        None
    }

    /// Makes a call that has to succeed. One that somebody was faster than is made again.
    async fn make(&self, call: KubeCall) {
        for _ in 0..10 {
            match self.call(&call).await {
                Ok(()) => return,
                Err(error) if matches!(call, KubeCall::PatchNode { .. }) && is_race(&error) => {}
                Err(error) => panic!("{}: {error}\n{call:#?}", self.law),
            }
        }
        panic!("{}: somebody is always faster: {call:#?}", self.law);
    }

    /// Makes a call that has to fail in this way.
    async fn refused(&self, call: KubeCall, kind: KubeErrorKind) -> KubeError {
        match self.call(&call).await {
            Ok(()) => panic!("{}: no {kind:?}\n{call:#?}", self.law),
            Err(error) => {
                assert_eq!(error.kind, kind, "{}: {error}\n{call:#?}", self.law);
                error
            }
        }
    }

    async fn call(&self, call: &KubeCall) -> Result<(), KubeError> {
        let result = self.ground().port().call(call).await;
        if result.is_ok() {
            self.stage.made.lock().unwrap().insert(call.operation());
        }
        result
    }

    /// Makes a node and looks until it is seen.
    async fn node(&self, what: &str) -> Node {
        let name = self.name(what);
        self.ground().make_node(&name, "i-0c0ffee0c0ffee0c0").await;
        self.see("the node", |view| view.nodes.get(&name).cloned()).await
    }

    async fn patch(&self, node: &Node, patch: NodePatch) {
        self.make(KubeCall::PatchNode { node: node.name.clone(), patch }).await;
    }

    /// Looks until a node is as wanted.
    async fn node_is(&self, node: &Node, wanted: impl Fn(&Node) -> bool) -> Node {
        let find = |view: &KubeView| view.nodes.get(&node.name).filter(|n| wanted(n)).cloned();
        self.see("the node as wanted", find).await
    }

    /// A running pod on a node of the law's own.
    async fn running(&self, what: &str, app: &str) -> Pod {
        let pod = self.pod(what, app).await;
        self.ground().write_pod(&pod.id, "Running", true).await;
        self.pod_is(&pod.id, |pod| pod.is_ready).await
    }

    /// A pod that nobody has started.
    async fn pod(&self, what: &str, app: &str) -> Pod {
        let node = self.name("node");
        if !self.view().await.nodes.contains_key(&node) {
            self.node("node").await;
        }
        let id = self.id(what);
        self.ground().make_pod(&id, app, &node).await;
        self.pod_is(&id, |_| true).await
    }

    async fn pod_is(&self, id: &PodId, wanted: impl Fn(&Pod) -> bool) -> Pod {
        self.see("the pod as wanted", |view| find_pod(view, id).filter(|p| wanted(p)).cloned())
            .await
    }

    /// Looks until a pod is on its way out, or gone: without a kubelet it stays for good.
    async fn leaves(&self, pod: &Pod) {
        let is_leaving = |view: &KubeView| match find_pod(view, &pod.id) {
            Some(seen) if seen.uid == pod.uid => seen.deleted_until.map(drop),
            _ => Some(()),
        };
        self.see("the pod leaving", is_leaving).await;
    }

    /// Makes a budget and looks until its controller, or the law itself, has counted.
    async fn budget(&self, what: &str, app: &str, healthy: u32, min_available: u32) -> Budget {
        let id = self.id(what);
        self.ground().make_budget(&id, app, min_available).await;
        let counted = |view: &KubeView| {
            let budget = view.budgets.get(&id)?;
            (budget.is_observed && budget.current_healthy == healthy).then(|| budget.clone())
        };
        if let Some(budget) = self.looks(CONTROLLER_PATIENCE, counted).await {
            return budget;
        }
        self.ground().write_budget(&id, healthy, min_available).await;
        self.see("the budget counted", counted).await
    }
}

fn find_pod<'a>(view: &'a KubeView, id: &PodId) -> Option<&'a Pod> {
    view.pods.values().find_map(|pods| pods.get(id))
}

fn is_race(error: &KubeError) -> bool {
    error.kind == KubeErrorKind::Conflict
}

fn evict(pod: &Pod) -> KubeCall {
    KubeCall::EvictPod { pod: pod.id.clone(), uid: pod.uid.clone(), grace_secs: None }
}

fn labels(app: &str) -> BTreeMap<String, String> {
    [("app".to_owned(), app.to_owned())].into()
}
