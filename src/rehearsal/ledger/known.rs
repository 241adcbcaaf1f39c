//! What kprod can know of, by what is remembered: what happened a moment ago it need not have seen.

use super::{Ledger, Loss, MachineBook, count};
use crate::sim::Time;

impl Ledger {
    /// Whether something that happened then cannot be known yet.
    pub fn is_fresh(&self, now: Time, at: Time) -> bool {
        now.since_ms(at) < Self::NOTICE_MS
    }

    /// Machines that a group should have without kprod's surge, as far as kprod can know: of what others
    /// have just made of that, the least.
    pub fn known_to_be_wanted(&self, now: Time, group: &str, desired: i32) -> i32 {
        self.may_be_known(now, group, desired).0
    }

    /// The same, of what others have just made of that the most: what a share may be taken of.
    pub fn wanted_at_most(&self, now: Time, group: &str, desired: i32) -> i32 {
        self.may_be_known(now, group, desired).1
    }

    /// The least and the most of what a listing may still give for [`Ledger::known_to_be_wanted`].
    pub(super) fn may_be_known(&self, now: Time, group: &str, desired: i32) -> (i32, i32) {
        let Some(book) = self.groups.get(group) else { return (desired, desired) };
        let mut then = desired - book.raised;
        let (mut least, mut most) = (then, then);
        for (at, by) in book.resized.iter().rev() {
            if !self.is_fresh(now, *at) {
                break;
            }
            then -= by;
            (least, most) = (least.min(then), most.max(then));
        }
        (least, most)
    }

    /// Machines of a group that serve, with those lost so lately that nobody can know.
    pub fn known_to_serve(&self, now: Time, group: &str) -> i32 {
        let serve = self.machines.values().filter(|book| book.group == group && book.serves);
        let lost = self.fresh_losses(now).filter(|loss| loss.group == group);
        count(serve) + count(lost)
    }

    /// Whether a machine serves since so lately that nobody can know: who ends it takes it for one that does
    /// not.
    pub fn serves_unknown(&self, now: Time, id: &str) -> bool {
        self.has_just_joined(now, id) || self.is_just_uncordoned(now, id)
    }

    /// Whether a machine serves for the first time, and so lately that nobody can know. One that kprod has
    /// begun with it has seen, unless it was to end at once: a request that is refused for a moment is sent
    /// again.
    pub(super) fn has_just_joined(&self, now: Time, id: &str) -> bool {
        let is_unseen = |book: &MachineBook| !book.is_begun || book.was_unseen;
        let book = self.machines.get(id).filter(|book| is_unseen(book));
        book.is_some_and(|book| book.is_first && self.is_fresh(now, book.since))
    }

    /// Whether a machine that did not serve when kprod began with it serves since somebody took its cordon
    /// off, and so lately that nobody can know. What did serve then was taken away by kprod, within limits
    /// that hold on.
    fn is_just_uncordoned(&self, now: Time, id: &str) -> bool {
        let began_away = self.machines.get(id).is_some_and(|book| book.is_begun && book.was_away);
        began_away && self.is_freshly_uncordoned(now, id)
    }

    /// Whether somebody took a machine's cordon off so lately that nobody can know.
    pub fn is_freshly_uncordoned(&self, now: Time, id: &str) -> bool {
        self.uncordoned_at.get(id).is_some_and(|at| self.is_fresh(now, *at))
    }

    /// What the world took so lately that nobody can know.
    pub fn fresh_losses(&self, now: Time) -> impl Iterator<Item = &Loss> {
        let is_back = |loss: &Loss| self.machines.get(&loss.instance_id).is_some_and(|m| m.serves);
        self.losses.iter().filter(move |loss| self.is_fresh(now, loss.at) && !is_back(loss))
    }
}
