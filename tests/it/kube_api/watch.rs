//! Watches: a stream of changes from a resource version on.

use std::collections::BTreeSet;
use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kprod::sim::kubernetes::{Change, Versioned};
use serde_json::{Value, json};

use super::http::{self, Request};
use super::objects::{self, Kind};
use super::{Shared, State, obstacle};

/// How often a watch looks for changes.
const LOOK: Duration = Duration::from_millis(10);
/// How often a server tells a quiet watch how far it is.
/// Source: Kubernetes, `storage/cacher`, `defaultBookmarkFrequency`, and shortly before the end.
const BOOKMARK: Duration = Duration::from_secs(60);
const BEFORE_END: Duration = Duration::from_millis(500);
/// A watch that names no time-out.
const TIMEOUT_SECS: u64 = 1800;

/// Where a watch is.
struct Following<'a> {
    kind: Kind,
    namespace: Option<&'a str>,
    version: u64,
    /// Objects that the client knows, for telling ADDED from MODIFIED.
    known: BTreeSet<String>,
}

/// Serves a watch until its time-out, an outage, or until the client has gone.
pub(super) fn serve(stream: &TcpStream, shared: &Shared, request: &Request) -> io::Result<()> {
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let Some((kind, namespace)) = Kind::of(&parts) else {
        return super::status(404, "NotFound", "nothing to watch").write(stream);
    };
    let (mut following, mut events) = {
        let mut state = shared.lock();
        if let Some(obstacle) = obstacle(&state, request) {
            state.log(request, obstacle.as_ref().map_or(0, |answer| answer.status));
            return obstacle.map_or(Err(gone()), |answer| answer.write(stream));
        }
        state.log(request, 200);
        begin(&state, request, kind, namespace)
    };
    http::begin_chunks(stream)?;
    let wants_bookmarks = request.query("allowWatchBookmarks").is_some_and(|word| word == "true");
    let timeout = request.query("timeoutSeconds").and_then(|secs| secs.parse().ok());
    let end = Instant::now() + Duration::from_secs(timeout.unwrap_or(TIMEOUT_SECS));
    let mut bookmark_at = (Instant::now() + BOOKMARK).min(end - BEFORE_END.min(BOOKMARK));
    loop {
        for event in events.drain(..) {
            write(stream, &event)?;
            if event["type"] == "ERROR" {
                return http::chunk(stream, b"");
            }
        }
        let now = Instant::now();
        if now >= end || shared.ends() {
            return http::chunk(stream, b"");
        }
        if wants_bookmarks && now >= bookmark_at {
            write(stream, &bookmark(&following))?;
            bookmark_at = if now + BEFORE_END >= end { end } else { end - BEFORE_END };
        }
        let waiting = shared.state.lock().unwrap();
        let (mut state, _) = shared.changed.wait_timeout(waiting, LOOK).unwrap();
        state.pass();
        if obstacle(&state, request).is_some() {
            // The server, or the way to it, is gone: so is the stream.
            return Err(gone());
        }
        events = follow(&state, &mut following);
    }
}

fn gone() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

fn write(stream: &TcpStream, event: &Value) -> io::Result<()> {
    http::chunk(stream, format!("{event}\n").as_bytes())
}

/// Without a version, or with 0, a watch begins with everything there is.
fn begin<'a>(
    state: &State,
    request: &Request,
    kind: Kind,
    namespace: Option<&'a str>,
) -> (Following<'a>, Vec<Value>) {
    let version = request.query("resourceVersion").and_then(|version| version.parse().ok());
    let all = kind.all(&state.cluster, namespace);
    let mut following = Following { kind, namespace, version: 0, known: BTreeSet::new() };
    match version.filter(|version| *version > 0) {
        Some(version) => {
            following.version = version;
            let is_old = |object: &&Value| version_of(object) <= version;
            following.known = all.iter().filter(is_old).map(uid_of).collect();
            let events = follow(state, &mut following);
            (following, events)
        }
        None => {
            following.version = state.cluster.generation();
            following.known = all.iter().map(uid_of).collect();
            (following, all.into_iter().map(|object| event("ADDED", object)).collect())
        }
    }
}

/// The events since the last look; an `ERROR` when the server has forgotten them.
fn follow(state: &State, following: &mut Following<'_>) -> Vec<Value> {
    let is_forgotten = following.version < state.faults.forgotten_before;
    let changes = state.cluster.changes_since(following.version).filter(|_| !is_forgotten);
    let Some(changes) = changes else {
        let (asked, now) = (following.version, state.cluster.generation());
        return vec![json!({"type": "ERROR", "object": {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": format!("too old resource version: {asked} ({now})"),
            "reason": "Expired", "code": 410,
        }})];
    };
    let events = changes.into_iter().filter_map(|change| told(following, change)).collect();
    following.version = state.cluster.generation();
    events
}

fn told(following: &mut Following<'_>, versioned: &Versioned) -> Option<Value> {
    let is_in = |namespace: &str| following.namespace.is_none_or(|wanted| wanted == namespace);
    let (object, is_gone) = match &versioned.change {
        Change::Node(stored, is_gone) if following.kind == Kind::Nodes => {
            (objects::node(stored), *is_gone)
        }
        Change::Pod(stored, is_gone)
            if following.kind == Kind::Pods && is_in(&stored.pod.id.namespace) =>
        {
            (objects::pod(stored), *is_gone)
        }
        Change::Budget(stored, is_gone)
            if following.kind == Kind::Budgets && is_in(&stored.budget.id.namespace) =>
        {
            (objects::budget(stored), *is_gone)
        }
        _ => return None,
    };
    let mut object = object;
    let uid = uid_of(&object);
    if is_gone {
        following.known.remove(&uid);
        object["metadata"]["resourceVersion"] = versioned.version.to_string().into();
        return Some(event("DELETED", object));
    }
    let word = if following.known.insert(uid) { "ADDED" } else { "MODIFIED" };
    Some(event(word, object))
}

fn event(word: &str, object: Value) -> Value {
    json!({"type": word, "object": object})
}

fn bookmark(following: &Following<'_>) -> Value {
    let (kind, version) = following.kind.names();
    event(
        "BOOKMARK",
        json!({
            "kind": kind,
            "apiVersion": version,
            "metadata": {"resourceVersion": following.version.to_string(), "creationTimestamp": null},
        }),
    )
}

fn version_of(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

fn uid_of(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap().to_owned()
}
