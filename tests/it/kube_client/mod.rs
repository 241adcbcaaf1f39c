//! The real Kubernetes port on bad days: a server that answers wrongly, late or not at all.
//!
//! What both ports have in common is in `contract::kubernetes`; here is what only a connection can
//! suffer. The server is a few lines of HTTP that answer as each test tells it.

mod calls;
mod connecting;
pub(crate) mod responder;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use kprod::kube::client::{KubeClient, KubeLimits};
use kprod::kube::{Kube as _, KubeAccess, KubeError};
use serde_json::{Value, json};

use self::responder::{Answer, Request, Responder};

/// Pauses are short; limits are those of a machine that is busy with something else.
fn busy() -> KubeLimits {
    KubeLimits {
        request: Duration::from_secs(10),
        page: Duration::from_secs(10),
        program: Duration::from_secs(60),
        first_look: Duration::from_secs(60),
        pause_min: Duration::from_millis(10),
        pause_max: Duration::from_millis(50),
        ..KubeLimits::default()
    }
}

/// A folder with a kubeconfig.
struct Home(tempfile::TempDir);

impl Home {
    /// With a cluster and a user in JSON, which is YAML.
    fn with(cluster: Value, user: Value) -> Self {
        let text = json!({
            "current-context": "testing",
            "contexts": [{"name": "testing", "context": {"cluster": "there", "user": "me"}}],
            "clusters": [{"name": "there", "cluster": cluster}],
            "users": [{"name": "me", "user": user}],
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config"), text.to_string()).unwrap();
        Self(folder)
    }

    fn at(responder: &Responder) -> Self {
        let server = format!("http://{}", responder.address);
        Self::with(json!({"server": server}), json!({"token": "secret"}))
    }

    async fn connect(&self) -> Result<KubeClient, KubeError> {
        self.connect_with(busy()).await
    }

    async fn connect_with(&self, limits: KubeLimits) -> Result<KubeClient, KubeError> {
        let kubeconfig = Some(self.0.path().join("config"));
        KubeClient::connect(KubeAccess { kubeconfig, ..KubeAccess::default() }, limits).await
    }
}

/// An API server without anything in it, whose watches stay silent.
fn empty(request: &Request) -> Answer {
    match request.path.as_str() {
        "/version" => Answer::json(200, &json!({"gitVersion": "v1.34.2", "major": "1"})),
        "/readyz" => Answer::text(200, "ok"),
        _ if request.is_watch() => Answer::Watch(Vec::new()),
        _ => Answer::json(200, &list(&[], "1")),
    }
}

fn list(items: &[Value], version: &str) -> Value {
    json!({"items": items, "metadata": {"resourceVersion": version}})
}

fn node(name: &str, version: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": format!("uid-{name}"), "resourceVersion": version},
    })
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "code": code, "reason": reason, "message": message,
    })
}

fn holds(error: &KubeError, parts: &[&str]) {
    for part in parts {
        assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
    }
    assert!(!error.to_string().contains("secret"), "{error}");
}

/// Looks until a picture is as wanted.
async fn until(client: &KubeClient, wanted: impl Fn(&kprod::kube::KubeView) -> bool) {
    let mut view = client.view().await.unwrap();
    for _ in 0..100 {
        if wanted(&view) {
            return;
        }
        client.changed(view.generation, Duration::from_secs(5)).await;
        view = client.view().await.unwrap();
    }
    panic!("never as wanted; at last {view:#?}");
}

/// A handler that tells apart the first, second, … request of a sort.
fn counted(
    handler: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
    sort: impl Fn(&Request) -> bool + Send + Sync + 'static,
) -> impl Fn(&Request) -> Answer + Send + Sync + 'static {
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    move |request| match sort(request) {
        true => {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            handler(request, number)
        }
        false => empty(request),
    }
}
