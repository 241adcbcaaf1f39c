//! Asking members' machines for snapshots, and waiting for them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::context::Context;
use super::list_failure;
use crate::apply;
use crate::cloud::Cloud;
use crate::error::{ExitCode, Failure};
use crate::etcd::snapshot::{List, Moment, REQUEST_SECS_MAX, Request};
use crate::snapshot;

/// Between two looks whether a snapshot is there.
const PAUSE: Duration = Duration::from_secs(5);

/// The longest that anybody waits for a snapshot: a request is good for no longer.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(REQUEST_SECS_MAX.unsigned_abs());

/// What to ask for.
pub(super) struct Wish<'a> {
    /// The cluster.
    pub(super) cluster: &'a str,
    /// The etcd clusters.
    pub(super) etcds: Vec<String>,
    /// The member that is to take it, whether it knows a quorum or not.
    pub(super) survivor: Option<&'a str>,
    /// How long to wait.
    pub(super) wait: Duration,
}

/// Asks for a snapshot of each etcd cluster at once, and waits until all are there and verified.
///
/// # Errors
/// When the bucket fails, or a snapshot is not there in time (exit 6).
pub(super) async fn ask<C: Cloud>(
    context: &Context<'_>,
    cloud: &C,
    wish: &Wish<'_>,
) -> anyhow::Result<Moment> {
    let asked_at = cloud.now();
    let id = format!("{:x}-{:08x}", asked_at.as_millisecond(), fastrand::u32(..));
    let request = Request {
        format_version: Request::FORMAT_VERSION,
        id: id.clone(),
        asked_at,
        member: wish.survivor.map(str::to_owned),
        alone: wish.survivor.is_some(),
    };
    let failed = |error| apply::store_failure(&error, wish.cluster);
    for etcd in &wish.etcds {
        snapshot::ask(cloud, wish.cluster, etcd, &request).await.map_err(failed)?;
    }
    context.ui.status("asked for; a member's machine takes it, reads it back and lists it");
    let found = wait(cloud, wish, &id).await;
    for etcd in &wish.etcds {
        snapshot::withdraw(cloud, wish.cluster, etcd).await.map_err(failed)?;
    }
    found
}

async fn wait<C: Cloud>(cloud: &C, wish: &Wish<'_>, id: &str) -> anyhow::Result<Moment> {
    let until = apply::lease::later(cloud.now(), wish.wait.min(WAIT_MAX));
    loop {
        let lists = snapshot::read_all(cloud, wish.cluster, &wish.etcds).await;
        let lists = lists.map_err(|error| list_failure(&error, wish.cluster))?;
        let missing = missing(&lists, id);
        if missing.is_empty() {
            let found =
                |(etcd, list): (&String, &List)| Some((etcd.clone(), list.answer_to(id)?.clone()));
            return Ok(lists.iter().filter_map(found).collect());
        }
        if cloud.now() >= until {
            let message = format!("no snapshot of etcd {} was taken in time", missing.join(", "));
            return Err(Failure::new(ExitCode::Halted, message)
                .hint("see what the members' machines say, and whether they take snapshots at all")
                .into());
        }
        cloud.sleep(PAUSE).await;
    }
}

fn missing(lists: &BTreeMap<String, List>, id: &str) -> Vec<String> {
    let lacks = |(_, list): &(&String, &List)| list.answer_to(id).is_none();
    lists.iter().filter(lacks).map(|(etcd, _)| etcd.clone()).collect()
}
