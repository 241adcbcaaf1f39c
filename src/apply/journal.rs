//! The journal: what a run meant to do and what came of it, for people and for resume hints.
//!
//! Never truth: the next run looks at the cloud. So it may lag behind: it is written before each wave
//! begins, with what the wave is about to do and what became of the one before, at the end, and now
//! and then inside a long wave; not with each call. When it cannot be written the run goes on.
//!
//! One object per cluster holds the newest run; a bucket that keeps versions keeps the runs before.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lease::later;
use super::store::{self, BRIEF};
use crate::cloud::{Cloud, Condition, StoreError};
use crate::plan::Action;
use crate::resource::Key;

/// Oldest entries go first; a run that makes more calls is counted, not listed.
const ENTRIES_MAX: usize = 2_000;
/// Least time between two writes inside a wave.
const FLUSH_INTERVAL: Duration = Duration::from_secs(15);

/// One run as the state bucket keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalRecord {
    /// Version of this form.
    pub format_version: u32,
    /// The cluster.
    pub cluster: String,
    /// The run's id.
    pub run: String,
    /// Who ran it.
    pub holder: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; none for one that runs or was killed.
    pub finished_at: Option<Timestamp>,
    /// How it ended, in words.
    pub outcome: Option<String>,
    /// Entries that no longer fit.
    pub dropped_count: usize,
    /// What happened, oldest first.
    pub entries: Vec<JournalEntry>,
}

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// When.
    pub at: Timestamp,
    /// Which resource.
    pub address: Key,
    /// What.
    #[serde(flatten)]
    pub what: JournalStep,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum JournalStep {
    /// A change is about to begin.
    Intent {
        /// What the plan says.
        action: Action,
    },
    /// A call took effect.
    Call {
        /// The operation.
        operation: String,
    },
    /// The change is done.
    Done,
    /// The change failed.
    Failed {
        /// Why.
        why: String,
    },
}

impl JournalRecord {
    /// The outcome of a run that did all that it should.
    pub const DONE: &str = "done";

    /// Whether the run ended, and well.
    pub fn is_done(&self) -> bool {
        self.finished_at.is_some() && self.outcome.as_deref() == Some(Self::DONE)
    }

    /// Resources whose change began, or was about to begin, and did not end.
    pub fn unfinished(&self) -> Vec<Key> {
        let mut open = std::collections::BTreeSet::new();
        for entry in &self.entries {
            match &entry.what {
                JournalStep::Intent { .. } => {
                    open.insert(entry.address.clone());
                }
                JournalStep::Call { .. } => {}
                JournalStep::Done | JournalStep::Failed { .. } => {
                    open.remove(&entry.address);
                }
            }
        }
        open.into_iter().collect()
    }
}

/// What stands in the journal's place before a run begins its own.
#[derive(Debug)]
pub struct Found {
    /// The newest run's journal; none when there is none, or none that this kprod reads.
    pub record: Option<JournalRecord>,
    /// Under what the next write is allowed.
    condition: Condition,
}

/// The journal of a run that goes on.
#[derive(Debug)]
pub struct Journal {
    record: JournalRecord,
    flushed_at: Timestamp,
    is_dirty: bool,
    condition: Condition,
    /// Another run writes its own now: this one has lost the lease, or will see that it has.
    is_over: bool,
}

/// The object that holds a cluster's journal.
pub fn key(cluster: &str) -> String {
    format!("journal/{cluster}")
}

/// Looks what the newest run has left.
///
/// # Errors
/// When the store fails.
pub async fn find<C: Cloud>(cloud: &C, cluster: &str) -> Result<Found, StoreError> {
    let entry = store::get(cloud, &key(cluster), BRIEF).await?;
    Ok(match entry {
        None => Found { record: None, condition: Condition::Absent },
        Some(entry) => Found {
            record: serde_json::from_slice(&entry.body).ok(),
            condition: Condition::Match(entry.etag),
        },
    })
}

/// Reads the newest run's journal; `None` when there is none that this kprod reads.
///
/// # Errors
/// When the store fails.
pub async fn read_last<C: Cloud>(
    cloud: &C,
    cluster: &str,
) -> Result<Option<JournalRecord>, StoreError> {
    Ok(find(cloud, cluster).await?.record)
}

impl Journal {
    /// Opens the journal of a run that begins at `started_at`, in place of what was found; it is
    /// written with the first flush.
    pub fn new(
        cluster: &str,
        run: &str,
        holder: &str,
        started_at: Timestamp,
        found: &Found,
    ) -> Self {
        let record = JournalRecord {
            format_version: 1,
            cluster: cluster.to_owned(),
            run: run.to_owned(),
            holder: holder.to_owned(),
            started_at,
            finished_at: None,
            outcome: None,
            dropped_count: 0,
            entries: Vec::new(),
        };
        let condition = found.condition.clone();
        Self { record, flushed_at: started_at, is_dirty: true, condition, is_over: false }
    }

    /// Adds a line; it is written with the next flush.
    pub fn add(&mut self, at: Timestamp, address: &Key, what: JournalStep) {
        if self.record.entries.len() >= ENTRIES_MAX {
            self.record.entries.remove(0);
            self.record.dropped_count += 1;
        }
        self.record.entries.push(JournalEntry { at, address: address.clone(), what });
        self.is_dirty = true;
    }

    /// Whether enough time has passed for another write.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.is_dirty && later(self.flushed_at, FLUSH_INTERVAL) <= now
    }

    /// Writes what is not written yet.
    pub async fn flush<C: Cloud>(&mut self, cloud: &C) {
        /// The first may find that an earlier write took effect, though its answer was lost.
        const ATTEMPTS: usize = 2;
        if !self.is_dirty {
            return;
        }
        let Ok(body) = serde_json::to_vec_pretty(&self.record) else { return };
        self.flushed_at = cloud.now();
        let key = key(&self.record.cluster);
        for _ in 0..ATTEMPTS {
            if self.is_over {
                return;
            }
            match store::put(cloud, &key, &body, &self.condition, BRIEF).await {
                Ok(etag) => {
                    self.condition = Condition::Match(etag);
                    self.is_dirty = false;
                    return;
                }
                Err(StoreError::Conflict(_)) => self.recognise(cloud).await,
                // Lost lines cost a hint, never a resource; the next write makes up for it.
                Err(_) => return,
            }
        }
    }

    /// After a conflict: our own write whose answer was lost, or the last words of a run before this
    /// one, which may be replaced; or a later run's, which must not.
    async fn recognise<C: Cloud>(&mut self, cloud: &C) {
        let Ok(found) = find(cloud, &self.record.cluster).await else { return };
        let is_later = |found: &JournalRecord| {
            found.run != self.record.run && found.started_at > self.record.started_at
        };
        self.is_over = found.record.as_ref().is_some_and(is_later);
        self.condition = found.condition;
    }

    /// Closes the journal.
    pub async fn close<C: Cloud>(mut self, cloud: &C, outcome: &str) {
        self.record.finished_at = Some(cloud.now());
        self.record.outcome = Some(outcome.to_owned());
        self.is_dirty = true;
        self.flush(cloud).await;
    }
}
