//! Asking members' machines for snapshots, and waiting for them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::super::context::Context;
use super::list_failure;
use crate::apply;
use crate::cloud::{Cloud, StoreError};
use crate::error::{ExitCode, Failure};
use crate::etcd::snapshot::{Beside, List, Moment, REQUEST_SECS_MAX, Request};
use crate::snapshot;

/// Between two looks whether a snapshot is there.
const PAUSE: Duration = Duration::from_secs(5);

/// The longest that anybody waits for a snapshot: a request is good for no longer.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(REQUEST_SECS_MAX.unsigned_abs());

/// What to ask for.
pub(super) struct Wish<'a> {
    /// The cluster.
    pub(super) cluster: &'a str,
    /// The etcd clusters, each with the member that is left and is to take it, whether it knows a quorum or
    /// not; where there is none, a healthy one does.
    pub(super) takers: BTreeMap<String, Option<String>>,
    /// How long to wait.
    pub(super) wait: Duration,
}

/// Asks for a snapshot of each etcd cluster at once, and waits until all are there and verified. Where
/// another run has asked, it waits for that one's first.
///
/// # Errors
/// When the bucket fails, or a snapshot is not there in time (exit 6).
pub(super) async fn ask<C: Cloud>(
    context: &Context<'_>,
    cloud: &C,
    wish: &Wish<'_>,
) -> anyhow::Result<Moment> {
    let id = format!("{:x}-{:08x}", cloud.now().as_millisecond(), fastrand::u32(..));
    let (asked, told) = (BTreeSet::new(), BTreeMap::new());
    let mut run = Asker { context, cloud, wish, id, asked, told };
    let taken = run.wait().await;
    for etcd in wish.takers.keys() {
        let withdrawn = snapshot::withdraw(cloud, wish.cluster, etcd, &run.id).await;
        withdrawn.map_err(|error| run.failed(&error))?;
    }
    taken
}

/// One run's requests, one for each etcd cluster, of one id.
struct Asker<'a, C> {
    context: &'a Context<'a>,
    cloud: &'a C,
    wish: &'a Wish<'a>,
    id: String,
    /// The etcd clusters that were asked.
    asked: BTreeSet<String>,
    /// Whose request was last told to come first, by etcd cluster.
    told: BTreeMap<String, String>,
}

impl<C: Cloud> Asker<'_, C> {
    async fn wait(&mut self) -> anyhow::Result<Moment> {
        let Wish { cluster, takers, wait } = self.wish;
        let until = apply::lease::later(self.cloud.now(), (*wait).min(WAIT_MAX));
        loop {
            let lists = snapshot::read_all(self.cloud, cluster, takers.keys()).await;
            let lists = lists.map_err(|error| list_failure(&error, cluster))?;
            let missing = missing(&lists, &self.id);
            if missing.is_empty() {
                let found = |(etcd, list): (&String, &List)| {
                    Some((etcd.clone(), list.answer_to(&self.id)?.clone()))
                };
                return Ok(lists.iter().filter_map(found).collect());
            }
            let now = self.cloud.now();
            for etcd in &missing {
                self.see_to(etcd, &lists, now).await?;
            }
            if now >= until {
                return Err(self.late(&missing).into());
            }
            self.cloud.sleep(PAUSE).await;
        }
    }

    /// Asks, or waits for what was asked.
    async fn see_to(
        &mut self,
        etcd: &str,
        lists: &BTreeMap<String, List>,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let (cloud, cluster) = (self.cloud, self.wish.cluster);
        let Some(list) = lists.get(etcd) else { return Ok(()) };
        let known = snapshot::request(cloud, cluster, etcd).await;
        let known = known.map_err(|error| self.failed(&error))?;
        let mine = self.request(etcd, now);
        match mine.beside(known.request.as_ref(), list, now, self.asked.contains(etcd)) {
            Beside::Wait => {}
            Beside::Behind(first) => self.tell_behind(etcd, first),
            Beside::Ask => match snapshot::ask(cloud, cluster, etcd, &known, &mine).await {
                Ok(()) => self.note_asked(etcd),
                // Another run was faster, or the answer was lost: the next look tells.
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(self.failed(&error).into()),
            },
        }
        Ok(())
    }

    fn request(&self, etcd: &str, asked_at: Timestamp) -> Request {
        let member = self.wish.takers.get(etcd).cloned().flatten();
        let alone = member.is_some();
        let (format_version, id) = (Request::FORMAT_VERSION, self.id.clone());
        Request { format_version, id, asked_at, member, alone }
    }

    fn note_asked(&mut self, etcd: &str) {
        if self.asked.is_empty() {
            let text = "asked for; a member's machine takes it, reads it back and lists it";
            self.context.ui.status(text);
        }
        self.asked.insert(etcd.to_owned());
        self.told.remove(etcd);
    }

    fn tell_behind(&mut self, etcd: &str, first: &Request) {
        if self.told.get(etcd) == Some(&first.id) {
            return;
        }
        let of = first.member.as_ref().map(|member| format!(" of member {member}"));
        self.context.ui.status(&format!(
            "etcd {etcd}: waiting for the snapshot{} that another run asked for at {}",
            of.unwrap_or_default(),
            first.asked_at
        ));
        self.told.insert(etcd.to_owned(), first.id.clone());
    }

    fn late(&self, missing: &[String]) -> Failure {
        let message = format!("no snapshot of etcd {} was taken in time", missing.join(", "));
        let is_behind = missing.iter().any(|etcd| self.told.contains_key(etcd));
        Failure::new(ExitCode::Halted, message).hint(match is_behind {
            true => {
                "another run's request came first and was not answered; see what the members' machines \
                 say. A request is good for half an hour"
            }
            false => "see what the members' machines say, and whether they take snapshots at all",
        })
    }

    fn failed(&self, error: &StoreError) -> Failure {
        apply::store_failure(error, self.wish.cluster)
    }
}

fn missing(lists: &BTreeMap<String, List>, id: &str) -> Vec<String> {
    let lacks = |(_, list): &(&String, &List)| list.answer_to(id).is_none();
    lists.iter().filter(lacks).map(|(etcd, _)| etcd.clone()).collect()
}
