//! API servers over HTTP, by the real client: the simulated one, and any real one.

use std::path::{Path, PathBuf};

use http::{Method, Request};
use kprod::kube::client::{KubeClient, KubeLimits};
use kprod::kube::{Kube as _, KubeAccess, PodId};
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use super::sim::control_plane;
use super::{GRACE_SECS, Ground, holds, keeps_the_contract, labels};
use crate::kube_api::KubeApi;

/// An API server behind the port, and hands that make objects there.
struct HttpGround {
    hands: Client,
    port: KubeClient,
}

impl HttpGround {
    async fn open(kubeconfig: &Path) -> Self {
        let access =
            KubeAccess { kubeconfig: Some(kubeconfig.to_owned()), ..KubeAccess::default() };
        let port = KubeClient::connect(access, KubeLimits::default()).await.unwrap();
        port.view().await.unwrap();
        Self { hands: hands(kubeconfig).await, port }
    }
}

/// A client that does what the port cannot.
async fn hands(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    Client::try_from(config).unwrap()
}

/// A request of somebody's that has to succeed.
async fn ask(hands: &Client, method: Method, path: &str, body: &Value) -> Value {
    match answer(hands, method, path, body).await {
        Ok(answer) => answer,
        Err(error) => panic!("{path}: {error}\n{body:#}"),
    }
}

async fn answer(
    hands: &Client,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Value, kube::Error> {
    let content = match method {
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = Request::builder().method(method).uri(path).header("content-type", content);
    hands.request(request.body(body.to_string().into_bytes()).unwrap()).await
}

fn pods(id: &PodId) -> String {
    format!("/api/v1/namespaces/{}/pods", id.namespace)
}

fn budgets(id: &PodId) -> String {
    format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets", id.namespace)
}

impl Ground for HttpGround {
    type Port = KubeClient;

    fn port(&self) -> &KubeClient {
        &self.port
    }

    async fn make_node(&self, name: &str, instance_id: &str) {
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name},
            "spec": {"providerID": format!("aws:///eu-west-3a/{instance_id}")},
        });
        ask(&self.hands, Method::POST, "/api/v1/nodes", &node).await;
        // What a kubelet that has just started says; without it the node-lifecycle controller of a whole
        // control plane takes the node for one whose state nobody knows, and its taint off.
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let status = json!({"status": {"conditions": [{
            "type": "Ready", "status": "False", "reason": "KubeletNotReady",
            "message": "container runtime network not ready",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }]}});
        ask(&self.hands, Method::PATCH, &format!("/api/v1/nodes/{name}/status"), &status).await;
    }

    async fn label_node(&self, name: &str, label: &str) {
        let path = format!("/api/v1/nodes/{name}");
        let patch = json!({"metadata": {"labels": {label: ""}}});
        ask(&self.hands, Method::PATCH, &path, &patch).await;
    }

    async fn make_pod(&self, id: &PodId, app: &str, node: &str) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": id.name, "namespace": id.namespace, "labels": labels(app)},
            "spec": {
                "nodeName": node,
                "terminationGracePeriodSeconds": GRACE_SECS,
                "automountServiceAccountToken": false,
                "containers": [{"name": "pause", "image": "registry.k8s.io/pause:3.10"}],
            },
        });
        ask(&self.hands, Method::POST, &pods(id), &pod).await;
    }

    async fn write_pod(&self, id: &PodId, phase: &str, is_ready: bool) {
        let ready = if is_ready { "True" } else { "False" };
        let status = json!({"status": {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": ready}],
        }});
        let path = format!("{}/{}/status", pods(id), id.name);
        ask(&self.hands, Method::PATCH, &path, &status).await;
    }

    async fn make_budget(&self, id: &PodId, app: &str, min_available: u32) {
        let budget = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": id.name, "namespace": id.namespace},
            "spec": {"minAvailable": min_available, "selector": {"matchLabels": labels(app)}},
        });
        ask(&self.hands, Method::POST, &budgets(id), &budget).await;
    }

    async fn write_budget(&self, id: &PodId, healthy: u32, min_available: u32) {
        let status = json!({"status": {
            "observedGeneration": 1,
            "currentHealthy": healthy,
            "desiredHealthy": min_available,
            "expectedPods": healthy,
            "disruptionsAllowed": healthy.saturating_sub(min_available),
        }});
        let path = format!("{}/{}/status", budgets(id), id.name);
        ask(&self.hands, Method::PATCH, &path, &status).await;
    }

    async fn remove_budget(&self, id: &PodId) {
        let path = format!("{}/{}", budgets(id), id.name);
        ask(&self.hands, Method::DELETE, &path, &json!({})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_api_keeps_the_contract() {
    let mut cluster = KubeApi::new_cluster("contract.example.com", 20);
    cluster.host_boots(control_plane());
    let api = KubeApi::start(cluster);
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    api.write_kubeconfig(&kubeconfig);
    keeps_the_contract(HttpGround::open(&kubeconfig).await, "contract").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an API server: KPROD_TEST_KUBECONFIG=FILE, and -- --ignored"]
async fn a_real_api_server_keeps_the_contract() {
    let kubeconfig = std::env::var_os("KPROD_TEST_KUBECONFIG");
    let kubeconfig = PathBuf::from(kubeconfig.expect("KPROD_TEST_KUBECONFIG names no kubeconfig"));
    let ground = HttpGround::open(&kubeconfig).await;
    let hands = hands(&kubeconfig).await;
    let namespace = format!("kprod-contract-{}", std::process::id());
    let body = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace},
    });
    sweep(&hands, &namespace).await;
    ask(&hands, Method::POST, "/api/v1/namespaces", &body).await;
    make_account(&hands, &namespace).await;
    let is_kept = holds(keeps_the_contract(ground, &namespace)).await;
    sweep(&hands, &namespace).await;
    assert!(is_kept, "laws that are broken, told above");
}

/// A pod needs its namespace's service account, which a controller makes where there is one.
async fn make_account(hands: &Client, namespace: &str) {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    // It may be there already.
    let _ = answer(hands, Method::POST, &path, &account).await;
}

/// Removes what this run, or one that was killed, has made.
async fn sweep(hands: &Client, namespace: &str) {
    let now = json!({"gracePeriodSeconds": 0});
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    // There may be no namespace yet.
    let _ = answer(hands, Method::DELETE, &pods, &now).await;
    let path = format!("/api/v1/namespaces/{namespace}");
    let _ = answer(hands, Method::DELETE, &path, &json!({})).await;
    let nodes = ask(hands, Method::GET, "/api/v1/nodes", &json!({})).await;
    for node in nodes["items"].as_array().into_iter().flatten() {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        if name.starts_with("kprod-contract-") {
            let _ =
                answer(hands, Method::DELETE, &format!("/api/v1/nodes/{name}"), &json!({})).await;
        }
    }
}
