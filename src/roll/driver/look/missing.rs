//! Groups that were there and are not: whether somebody deleted them.

use jiff::Timestamp;

use super::super::edits::TRUST_AFTER;
use super::Look;
use crate::apply::lease::later;

impl Look<'_> {
    /// Notes groups that are not there any more: deleted, once a later reading can be trusted to say so.
    pub(super) fn note_missing(&mut self, at: Timestamp) {
        self.known.extend(self.groups.keys().map(|name| (name.clone(), None)));
        for (name, since) in self.known.iter_mut().filter(|(n, _)| !self.groups.contains_key(*n)) {
            if at >= later(*since.get_or_insert(at), TRUST_AFTER) {
                self.memory.deleted.insert(name.clone());
            }
        }
    }

    /// When it can be told whether groups that are missing were deleted; none where none is missing.
    pub(in crate::roll::driver) fn missing_until(&self) -> Option<Timestamp> {
        let open = self.known.iter().filter(|(name, _)| !self.memory.deleted.contains(*name));
        open.filter_map(|(_, since)| Some(later((*since)?, TRUST_AFTER))).max()
    }
}
