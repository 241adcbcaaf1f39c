//! Eventual consistency: reads that lag behind writes, and fresh ids that later calls do not know.
//!
//! AWS says that a positive answer to one call does not mean that the next call sees it (EC2 API
//! Reference, "Eventual consistency"). Each object keeps its recent history; a read gets the newest
//! entry that is old enough for that sort of read. Delays are drawn once, at the write, so a world is
//! a function of its seed; they are finite, so every read catches up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::World;
use super::aside::Aside;
use super::clock::Time;

/// Longest delays, in seconds; the actual ones are drawn between 0 and these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// Until a read by name or id sees a write.
    pub by_key_secs_max: u64,
    /// Until a read by tag sees a write; never less than the read by name.
    pub by_tag_secs_max: u64,
    /// Until a mutating call knows a new id.
    pub fresh_id_secs_max: u64,
}

impl Lag {
    /// Every read sees every write.
    pub fn none() -> Self {
        Self { by_key_secs_max: 0, by_tag_secs_max: 0, fresh_id_secs_max: 0 }
    }

    /// Until a watch of a cluster tells of a change, at most, in milliseconds: half of a read by name.
    pub(super) fn watch_ms_max(&self) -> u64 {
        self.by_key_secs_max.saturating_mul(500)
    }

    /// Enough to fail a run that trusts its reads, and short enough for its retries.
    pub fn usual() -> Self {
        Self { by_key_secs_max: 4, by_tag_secs_max: 15, fresh_id_secs_max: 5 }
    }
}

/// When a write becomes visible.
#[derive(Clone, Copy, Debug)]
pub struct Visibility {
    pub(super) usable_at: Time,
    pub(super) by_key_at: Time,
    pub(super) by_tag_at: Time,
}

impl World {
    /// Draws when a write of now becomes visible.
    pub(super) fn visibility(&mut self) -> Visibility {
        let fresh = self.draw(self.lag.fresh_id_secs_max.saturating_mul(1000).saturating_add(1));
        let key = self.draw(self.lag.by_key_secs_max.saturating_mul(1000).saturating_add(1));
        let tag = self.draw(self.lag.by_tag_secs_max.saturating_mul(1000).saturating_add(1));
        Visibility {
            usable_at: self.now.plus_ms(fresh),
            by_key_at: self.now.plus_ms(key),
            by_tag_at: self.now.plus_ms(key.max(tag)),
        }
    }
}

/// Objects of one sort by id or name, each with its recent history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shelf<T> {
    items: BTreeMap<String, Item<T>>,
    #[serde(skip)]
    changes: Aside<u64>,
    /// Whether nothing but what is true can be read.
    #[serde(skip)]
    is_settled: Aside<bool>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item<T> {
    usable_at: Time,
    /// Oldest first, at least one; the last is the truth.
    history: Vec<Entry<T>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry<T> {
    by_key_at: Time,
    by_tag_at: Time,
    /// None from the moment the object was deleted.
    value: Option<T>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), changes: Aside(0), is_settled: Aside(false) }
    }
}

impl<T: Clone> Shelf<T> {
    /// The truth: what AWS itself decides by, such as whether a name is taken.
    pub fn get(&self, id: &str) -> Option<&T> {
        self.items.get(id)?.history.last()?.value.as_ref()
    }

    /// The truth about all objects, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &T)> {
        self.items.iter().filter_map(|(id, item)| Some((id, item.history.last()?.value.as_ref()?)))
    }

    /// The true objects.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, value)| value)
    }

    /// What a mutating call knows: the truth, except that a fresh id is not known yet.
    pub fn usable(&self, id: &str, now: Time) -> Option<&T> {
        self.items.get(id).filter(|item| item.usable_at <= now)?;
        self.get(id)
    }

    /// What a read by id or name sees: the newest write that became visible. An older one that is
    /// slower to show never takes its place.
    pub fn by_key(&self, id: &str, now: Time) -> Option<&T> {
        let history = &self.items.get(id)?.history;
        history.iter().rev().find(|entry| entry.by_key_at <= now)?.value.as_ref()
    }

    /// What a read by tag sees.
    pub fn by_tag(&self, id: &str, now: Time) -> Option<&T> {
        let history = &self.items.get(id)?.history;
        history.iter().rev().find(|entry| entry.by_tag_at <= now)?.value.as_ref()
    }

    /// Grows with each change of what is true: while it stays, so does that.
    pub fn changes(&self) -> u64 {
        self.changes.0
    }

    /// Ids of all objects, deleted ones that some reads still see among them.
    pub fn ids(&self) -> impl Iterator<Item = &String> {
        self.items.keys()
    }

    /// Writes an object.
    pub fn put(&mut self, id: &str, value: T, visibility: Visibility) {
        self.push(id, Some(value), visibility);
    }

    /// Deletes an object; reads may see it a little longer.
    pub fn remove(&mut self, id: &str, visibility: Visibility) {
        if self.get(id).is_some() {
            self.push(id, None, visibility);
        }
    }

    /// Changes what AWS changes by itself: seen at once, in every entry that is still read.
    pub fn edit(&mut self, id: &str, change: impl Fn(&mut T)) {
        self.changes.0 += 1;
        if let Some(item) = self.items.get_mut(id) {
            item.history.iter_mut().filter_map(|entry| entry.value.as_mut()).for_each(change);
        }
    }

    fn push(&mut self, id: &str, value: Option<T>, visibility: Visibility) {
        self.changes.0 += 1;
        self.is_settled.0 = false;
        let is_new = self.get(id).is_none();
        let item = self
            .items
            .entry(id.to_owned())
            .or_insert_with(|| Item { usable_at: visibility.usable_at, history: Vec::new() });
        if is_new {
            item.usable_at = visibility.usable_at;
        }
        item.history.push(Entry {
            by_key_at: visibility.by_key_at,
            by_tag_at: visibility.by_tag_at,
            value,
        });
    }

    /// Forgets history that no read sees any more.
    pub fn settle(&mut self, now: Time) {
        if self.is_settled.0 {
            return;
        }
        let mut is_settled = true;
        self.items.retain(|_, item| {
            let oldest_seen = item.history.iter().rposition(|entry| entry.by_tag_at <= now);
            if let Some(position) = oldest_seen {
                item.history.drain(..position);
            }
            let is_gone = item.history.len() == 1
                && item.history.iter().all(|e| e.value.is_none() && e.by_tag_at <= now);
            is_settled &= is_gone || matches!(&item.history[..], [Entry { value: Some(_), .. }]);
            !is_gone
        });
        self.is_settled.0 = is_settled;
    }
}
