//! The simulated Kubernetes API over real HTTP: the same state and the same answers as the port's
//! simulator, for clients that speak to a socket.
//!
//! One thread a connection, HTTP/1.1, no dependency. Real time drives the cluster: its clock is the
//! machine's, or runs faster on request. Machines are fed in by whoever has them ([`KubeApi::feed`]).

#![allow(dead_code, reason = "what a test may ask of it")]

mod change;
mod http;
mod list;
mod objects;
mod rows;
mod watch;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use kprod::kube::KubeErrorKind;
use kprod::sim::Time;
use kprod::sim::kubernetes::{Host, Kubernetes, Refusal, Settings};
use serde_json::{Value, json};

use self::http::{Answer, Request};

/// What a client has to say to be known.
pub(crate) const TOKEN: &str = "simulated-token";

/// A running server; it ends with this value.
pub(crate) struct KubeApi {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    ends: AtomicBool,
}

struct State {
    cluster: Kubernetes,
    began: Instant,
    began_at: Time,
    /// How many simulated seconds a real one is.
    speed: u32,
    faults: Faults,
    requests: Vec<LoggedRequest>,
    /// Lists that are read page by page, by continue token.
    pages: BTreeMap<String, list::Rest>,
    tokens: u64,
}

/// What goes wrong on the way, beside the faults of the cluster itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// How long every answer takes.
    pub(crate) delay: Duration,
    /// Lists and watches from before this resource version are refused with 410.
    pub(crate) forgotten_before: u64,
    /// The next so many changing requests take effect, and their answer is lost.
    pub(crate) answers_lost: u32,
}

/// One request, for tests that count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoggedRequest {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// The status of the answer; 0 for none.
    pub(crate) status: u16,
}

impl KubeApi {
    /// Serves a cluster on a port of its own. A second is a simulated second.
    pub(crate) fn start(cluster: Kubernetes) -> Self {
        Self::start_faster(cluster, 1)
    }

    /// Serves a cluster; each real second is so many simulated ones.
    pub(crate) fn start_faster(mut cluster: Kubernetes, speed: u32) -> Self {
        cluster.keep_history(100_000);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            began: Instant::now(),
            began_at: cluster.now(),
            cluster,
            speed,
            faults: Faults::default(),
            requests: Vec::new(),
            pages: BTreeMap::new(),
            tokens: 0,
        };
        let shared = Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            ends: AtomicBool::new(false),
        };
        let shared = Arc::new(shared);
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.ends.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), shared) = (stream, serving.clone()) else { continue };
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { address, shared }
    }

    /// A cluster without machines whose clock is the machine's and whose parts are so many times as
    /// fast as real ones.
    pub(crate) fn new_cluster(name: &str, times: u64) -> Kubernetes {
        let now = Time(jiff::Timestamp::now().as_millisecond());
        let mut settings = Settings::default();
        settings.pace = settings.pace.faster(times);
        Kubernetes::new(name, 1, now, settings)
    }

    /// Looks at the cluster, or meddles with it, as of now.
    pub(crate) fn with<R>(&self, use_cluster: impl FnOnce(&mut Kubernetes) -> R) -> R {
        let mut state = self.shared.lock();
        let result = use_cluster(&mut state.cluster);
        state.pass();
        drop(state);
        self.shared.changed.notify_all();
        result
    }

    /// Sets what goes wrong on the way.
    pub(crate) fn faults(&self, faults: Faults) {
        self.shared.lock().faults = faults;
    }

    /// These are the machines that run now: new ones boot, missing ones are gone.
    pub(crate) fn feed(&self, hosts: Vec<Host>) {
        self.with(|cluster| {
            let is_there = |id: &str| hosts.iter().any(|host| host.instance_id == id);
            let known: Vec<String> = cluster.hosts().map(|(id, _)| id.to_owned()).collect();
            for id in known.iter().filter(|id| !is_there(id)) {
                cluster.host_is_gone(id);
            }
            for host in hosts {
                cluster.host_boots(host);
            }
        });
    }

    /// The requests since the last time this was asked.
    pub(crate) fn requests(&self) -> Vec<LoggedRequest> {
        std::mem::take(&mut self.shared.lock().requests)
    }

    /// Writes a kubeconfig that leads here.
    pub(crate) fn write_kubeconfig(&self, file: &Path) {
        let server = format!("http://{}", self.address);
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "simulated",
            "contexts": [{"name": "simulated", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
        });
        std::fs::write(file, kubeconfig.to_string()).unwrap();
    }
}

impl Drop for KubeApi {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        // Wakes the listener, which then sees that it is to end.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    /// The state, as of now.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap();
        state.pass();
        state
    }

    fn ends(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }
}

impl State {
    /// Lets the cluster's time pass until now.
    fn pass(&mut self) {
        let real_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap();
        self.cluster.advance(self.began_at.plus_ms(real_ms * u64::from(self.speed)));
    }

    fn log(&mut self, request: &Request, status: u16) {
        let (method, target) = (request.method.clone(), request.target());
        self.requests.push(LoggedRequest { method, target, status });
    }
}

/// Answers the requests of one connection until it ends.
fn serve(stream: &TcpStream, shared: &Shared) {
    let mut reader = std::io::BufReader::new(stream);
    while let Some(request) = http::read(&mut reader) {
        let delay = shared.lock().faults.delay;
        std::thread::sleep(delay);
        if request.query("watch").is_some_and(|word| word == "1" || word == "true") {
            // A watch says where it ends by ending the stream; the connection lives on.
            if watch::serve(stream, shared, &request).is_err() || shared.ends() {
                return;
            }
            continue;
        }
        let answer = answer(shared, &request);
        shared.changed.notify_all();
        let Some(answer) = answer else { return };
        if answer.write(stream).is_err() || shared.ends() {
            return;
        }
    }
}

/// The answer to a request; none where the connection breaks.
fn answer(shared: &Shared, request: &Request) -> Option<Answer> {
    let mut state = shared.lock();
    let answer = match obstacle(&state, request) {
        Some(obstacle) => obstacle,
        None => Some(route(&mut state, request)),
    };
    state.log(request, answer.as_ref().map_or(0, |answer| answer.status));
    if request.method != "GET" && state.faults.answers_lost > 0 {
        state.faults.answers_lost -= 1;
        return None;
    }
    answer
}

/// What stands in the way of a request; the inner none is a connection that breaks.
fn obstacle(state: &State, request: &Request) -> Option<Option<Answer>> {
    if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
        return Some(Some(status(401, "Unauthorized", "Unauthorized")));
    }
    let error = state.cluster.check_api(&request.method).err()?;
    Some(match error.kind {
        KubeErrorKind::Unauthorized => Some(status(401, "Unauthorized", "Unauthorized")),
        KubeErrorKind::Forbidden => {
            let words = format!("{} is forbidden: User \"kprod\" cannot do this", request.path);
            Some(status(403, "Forbidden", &words))
        }
        KubeErrorKind::Server => {
            let words = "Internal error occurred: the simulated server fails";
            Some(status(500, "InternalError", words))
        }
        KubeErrorKind::Throttled => {
            let words = "too many requests, please try again later";
            let mut answer = status(429, "TooManyRequests", words);
            answer.retry_after = Some(1);
            Some(answer)
        }
        _ => None,
    })
}

fn route(state: &mut State, request: &Request) -> Answer {
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["version"]) => {
            let version = state.cluster.server_version();
            let mut numbers = version.trim_start_matches('v').split('.');
            let (major, minor) = (numbers.next(), numbers.next());
            Answer::json(200, &json!({"gitVersion": version, "major": major, "minor": minor}))
        }
        ("GET", ["readyz" | "livez" | "healthz"]) => Answer::text(200, "ok"),
        ("GET", _) => list::get(state, request, &parts),
        _ => change::make(state, request, &parts),
    }
}

/// An answer that is a `Status`.
fn status(code: u16, reason: &str, message: &str) -> Answer {
    let refusal = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": if code < 300 { "Success" } else { "Failure" },
        "message": message,
        "reason": reason,
        "code": code,
    });
    Answer::json(code, &refusal)
}

/// What a refusal looks like on the wire.
fn refused(refusal: &Refusal) -> Answer {
    let mut answer = status(refusal.code, refusal.reason, &refusal.message);
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
    if refusal.reason.is_empty() {
        body.as_object_mut().unwrap().remove("reason");
    }
    if let Some(cause) = &refusal.cause {
        body["details"]["causes"] = json!([{"reason": "DisruptionBudget", "message": cause}]);
    }
    if let Some(secs) = refusal.retry_after_secs {
        body["details"]["retryAfterSeconds"] = secs.into();
    }
    answer.body = body.to_string().into_bytes();
    answer.retry_after = refusal.retry_after_secs;
    answer
}
