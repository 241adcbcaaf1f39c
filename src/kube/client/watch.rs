//! One list and one watch of each kind, for as long as the client lives.
//!
//! A watch lasts [`KubeLimits::watch`] and goes on from where the last one ended, which costs the server next
//! to nothing; before its end the server sends a bookmark. So each watch is heard of well within
//! [`KubeView::STALE_AFTER`](crate::kube::KubeView::STALE_AFTER), and a connection that died silently is noticed,
//! without a request of its own for either. A list is read again only when the server has forgotten
//! where the watch was (410).
//! Source: Kubernetes, "API concepts", sections on watch bookmarks and 410 Gone responses.

#![expect(clippy::disallowed_methods, reason = "real time")]

use std::fmt::Debug;
use std::sync::Arc;

use futures_util::{TryStream, TryStreamExt as _};
use http::Method;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::policy::v1 as policy;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Resource, ResourceExt as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Shared;
use super::call::request;
use super::connection::Connection;
use super::convert::{self, Fact};
use super::error::Trouble;
use super::limits::KubeLimits;
use super::picture::Feed;
use crate::cloud::aws::boot_ms;
use crate::kube::{KubeError, KubeErrorKind};

/// Objects of one page of a list, as client-go asks for.
const PAGE: u32 = 500;

/// A list of half a million objects is none that a roll could work with.
const PAGES_MAX: u32 = 1_000;

/// A watch that ends so soon counts as a failure, though nobody says so.
const WATCH_MIN_MS: i64 = 1_000;

/// A kind of object that is watched.
pub(super) trait Watched:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    /// Which feed it is.
    const FEED: Feed;
    /// The names of its list and its watch, for messages.
    const OPERATIONS: (&'static str, &'static str);

    /// What kprod makes of it.
    fn into_fact(self) -> Fact;
}

impl Watched for core::Node {
    const FEED: Feed = Feed::Nodes;
    const OPERATIONS: (&'static str, &'static str) = ("ListNodes", "WatchNodes");

    fn into_fact(self) -> Fact {
        Fact::Node(convert::node(self))
    }
}

impl Watched for core::Pod {
    const FEED: Feed = Feed::Pods;
    const OPERATIONS: (&'static str, &'static str) = ("ListPods", "WatchPods");

    fn into_fact(self) -> Fact {
        Fact::Pod(convert::pod(self))
    }
}

impl Watched for policy::PodDisruptionBudget {
    const FEED: Feed = Feed::Budgets;
    const OPERATIONS: (&'static str, &'static str) =
        ("ListPodDisruptionBudgets", "WatchPodDisruptionBudgets");

    fn into_fact(self) -> Fact {
        Fact::Budget(convert::budget(self))
    }
}

/// Lists once and watches for ever.
pub(super) async fn keep<K: Watched>(connection: Arc<Connection>, shared: Arc<Shared>) {
    let mut version = None;
    let mut failures = 0;
    loop {
        let began_ms = boot_ms();
        let result = match &mut version {
            None => list::<K>(&connection, &shared).await.map(|listed| version = Some(listed)),
            Some(version) => follow::<K>(&connection, &shared, version).await.and_then(|()| {
                let lasted_ms = boot_ms().saturating_sub(began_ms);
                let why = "the watch ended as soon as it had begun";
                let error = KubeError::new(KubeErrorKind::Server, K::OPERATIONS.1, why);
                if lasted_ms < WATCH_MIN_MS { Err(Trouble::Failed(error)) } else { Ok(()) }
            }),
        };
        let asked = match result {
            Ok(()) => {
                failures = 0;
                continue;
            }
            Err(Trouble::Forgotten) => {
                version = None;
                None
            }
            Err(Trouble::Failed(error)) => {
                let asked = error.retry_after;
                shared.change(|picture| picture.failed(K::FEED, error));
                asked
            }
        };
        let pause = connection.limits().pause(failures, fastrand::f64(), asked);
        failures = failures.saturating_add(1);
        tokio::time::sleep(pause).await;
    }
}

/// Reads the whole list, page by page, and gives its version.
async fn list<K: Watched>(connection: &Connection, shared: &Shared) -> Result<String, Trouble> {
    let (operation, limits) = (K::OPERATIONS.0, connection.limits());
    if K::FEED == Feed::Nodes {
        read_version(connection, shared).await.map_err(Trouble::Failed)?;
    }
    let mut facts = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    for _ in 0..PAGES_MAX {
        let (client, origin) = connection.client().await;
        let api: Api<K> = Api::all(client);
        let page = connection.limited(operation, limits.page, &origin, api.list(&params));
        let page = page.await?;
        shared.hear(K::FEED);
        facts.extend(page.items.into_iter().map(K::into_fact));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => {
                shared.change(|picture| picture.replace(K::FEED, facts));
                return Ok(page.metadata.resource_version.unwrap_or_default());
            }
        }
    }
    let message = format!("more than {} objects", u64::from(PAGES_MAX) * u64::from(PAGE));
    Err(Trouble::Failed(KubeError::new(KubeErrorKind::Invalid, operation, message)))
}

/// Watches from a version on, which goes along with what comes in, until the watch ends.
async fn follow<K: Watched>(
    connection: &Connection,
    shared: &Shared,
    version: &mut String,
) -> Result<(), Trouble> {
    let (operation, limits) = (K::OPERATIONS.1, connection.limits());
    if K::FEED == Feed::Nodes {
        read_version(connection, shared).await.map_err(Trouble::Failed)?;
    }
    let (client, origin) = connection.client().await;
    let api: Api<K> = Api::all(client);
    let seconds = u32::try_from(limits.watch.as_secs()).unwrap_or_default();
    let params = WatchParams::default().timeout(seconds);
    let stream =
        connection.limited(operation, limits.request, &origin, api.watch(&params, version));
    let mut stream = Box::pin(stream.await?);
    shared.hear(K::FEED);
    while let Some(event) = next(&mut stream, limits).await {
        let event = event.map_err(|error| connection.told(operation, &error, &origin))?;
        shared.hear(K::FEED);
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                advance(version, object.resource_version());
                let fact = object.into_fact();
                shared.change(|picture| picture.put(fact));
            }
            WatchEvent::Deleted(object) => {
                advance(version, object.resource_version());
                let fact = object.into_fact();
                shared.change(|picture| picture.remove(&fact));
            }
            WatchEvent::Bookmark(bookmark) => {
                advance(version, Some(bookmark.metadata.resource_version));
            }
            WatchEvent::Error(status) => {
                return Err(connection.told(operation, &kube::Error::Api(status), &origin));
            }
        }
    }
    Ok(())
}

/// The next event; none when the watch has ended, or says nothing for longer than it may last.
async fn next<T>(
    stream: &mut (impl TryStream<Ok = T, Error = kube::Error> + Unpin),
    limits: &KubeLimits,
) -> Option<Result<T, kube::Error>> {
    let at_most = limits.watch + KubeLimits::WATCH_SLACK;
    tokio::time::timeout(at_most, stream.try_next()).await.ok()?.transpose()
}

fn advance(version: &mut String, newer: Option<String>) {
    if let Some(newer) = newer.filter(|newer| !newer.is_empty()) {
        *version = newer;
    }
}

/// What is read of `/version`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    git_version: String,
}

/// Reads the API server's version: a roll of the control plane changes it, one server at a time.
async fn read_version(connection: &Connection, shared: &Shared) -> Result<(), KubeError> {
    const OPERATION: &str = "Version";
    let request = request(OPERATION, Method::GET, "/version", None)?;
    let answer = connection.send(OPERATION, request).await?;
    let version: Version = serde_json::from_slice(&answer.body).map_err(|error| {
        let message = format!("this is no API server: its /version says {error}");
        KubeError::new(KubeErrorKind::Config, OPERATION, message)
    })?;
    shared.change(|picture| picture.set_server_version(&version.git_version));
    Ok(())
}
