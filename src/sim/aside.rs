//! What is kept beside the world's state: counters and notes by which whoever works something out from
//! a part of it can tell that nothing has changed since.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

/// Something that is no part of the state: it is not stored, and equal to any other.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Aside<T>(pub(crate) T);

impl<T> PartialEq for Aside<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A part of the state that counts how often somebody had it to change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counted<T> {
    value: T,
    #[serde(skip)]
    changes: Aside<u64>,
}

impl<T> Counted<T> {
    /// Grows with each change, and perhaps without one: while it stays, so does the value.
    pub fn changes(&self) -> u64 {
        self.changes.0
    }
}

impl<T> Deref for Counted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Counted<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.changes.0 = self.changes.0.wrapping_add(1);
        &mut self.value
    }
}
