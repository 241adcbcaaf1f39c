//! Machines as reads see them: a change shows after a while, and by a tag later than in the listing of
//! its group.
//!
//! Sources: EC2 API reference, "Eventual consistency"; see also `lag`. A machine keeps one shadow:
//! what it was before the first change that a read may still miss. When that change shows, so do all
//! that came after it, hence no read runs backwards.

use serde::{Deserialize, Serialize};

use super::clock::Time;
use super::{Machine, World};

/// What a machine was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shadow {
    /// Until when its group's listing tells it.
    in_group_until: Time,
    /// Until when a read by tag tells it.
    by_tag_until: Time,
    /// None before it was launched.
    was: Option<Machine>,
}

impl World {
    /// Keeps what a machine is, for reads that will miss the change that is about to be made.
    pub(super) fn shade(&mut self, instance_id: &str) {
        let (key, tag) = (self.lag.by_key_secs_max, self.lag.by_tag_secs_max);
        let is_shaded = self.shadows.get(instance_id).is_some_and(|s| s.by_tag_until > self.now);
        if (key == 0 && tag == 0) || is_shaded {
            return;
        }
        let key = self.draw(key.saturating_mul(1000).saturating_add(1));
        let tag = self.draw(tag.saturating_mul(1000).saturating_add(1)).max(key);
        let shadow = Shadow {
            in_group_until: self.now.plus_ms(key),
            by_tag_until: self.now.plus_ms(tag),
            was: self.machines.get(instance_id).cloned(),
        };
        self.shadows.insert(instance_id.to_owned(), shadow);
    }

    /// Machines as the listing of their groups shows them, by id.
    pub(super) fn machines_listed(&self) -> impl Iterator<Item = &Machine> {
        self.machines_told(|shadow| shadow.in_group_until)
    }

    /// Machines as a read by tag shows them.
    pub(super) fn machines_tagged(&self) -> impl Iterator<Item = &Machine> {
        self.machines_told(|shadow| shadow.by_tag_until)
    }

    fn machines_told(&self, until: impl Fn(&Shadow) -> Time) -> impl Iterator<Item = &Machine> {
        let now = self.now;
        let shadow_of = move |id: &str| self.shadows.get(id).filter(|s| until(s) > now);
        let only_shadows = self.shadows.iter().filter(|(id, _)| !self.machines.contains_key(*id));
        let ids = self.machines.keys().chain(only_shadows.map(|(id, _)| id));
        ids.filter_map(move |id| match shadow_of(id) {
            Some(shadow) => shadow.was.as_ref(),
            None => self.machines.get(id),
        })
    }

    pub(super) fn settle_shadows(&mut self) {
        let now = self.now;
        self.shadows.retain(|_, shadow| shadow.by_tag_until > now);
    }
}
