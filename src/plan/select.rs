//! `--only`: the named addresses and what has to come before them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Rollout, order};
use crate::resource::{Key, Kind, ResourceSet};

/// What a plan is limited to.
pub(super) enum Selection {
    /// Nothing is left out.
    All,
    /// A part.
    Part {
        /// Changes that are kept, as far as they change.
        changed: BTreeSet<Key>,
        /// These, and all that they refer to, changed or not: what stands against one of them
        /// stands against the plan.
        read: BTreeSet<Key>,
    },
}

impl Selection {
    /// From the addresses that the user named; all when there are none. The changes are linked.
    pub(super) fn of(only: &BTreeSet<Key>, changes: &[Change], desired: &ResourceSet) -> Self {
        if only.is_empty() {
            return Selection::All;
        }
        let needs: BTreeMap<&Key, &BTreeSet<Key>> =
            changes.iter().map(|change| (&change.address, &change.depends_on)).collect();
        let changed = closure(only, |key| needs.get(key).copied().cloned().unwrap_or_default());
        let read = closure(&changed, |key| {
            let Some(wanted) = desired.get(key) else { return BTreeSet::new() };
            wanted.references().into_iter().chain(order::named(wanted)).collect()
        });
        Selection::Part { changed, read }
    }

    /// Whether what stands against a resource stands against the plan.
    pub(super) fn reads(&self, key: &Key) -> bool {
        match self {
            Selection::All => true,
            Selection::Part { read, .. } => read.contains(key),
        }
    }

    /// Drops what is not selected. A rollout that waits for a change which is left out is not
    /// pending after this plan.
    pub(super) fn keep(&self, changes: &mut Vec<Change>, rollout: &mut Rollout) {
        let Selection::Part { changed, .. } = self else { return };
        let all: BTreeSet<Key> = changes.iter().map(|change| change.address.clone()).collect();
        let is_kept = |key: &Key| changed.contains(key) || !all.contains(key);
        changes.retain(|change| changed.contains(&change.address));
        rollout.groups.retain(|group| {
            let template = Key::new(Kind::LaunchTemplate, &group.launch_template_name);
            is_kept(&group.address) && is_kept(&template)
        });
    }
}

/// The keys that can be reached from some; each is visited once.
fn closure(from: &BTreeSet<Key>, next: impl Fn(&Key) -> BTreeSet<Key>) -> BTreeSet<Key> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<Key> = from.iter().cloned().collect();
    while let Some(key) = waiting.pop() {
        if reached.insert(key.clone()) {
            waiting.extend(next(&key));
        }
    }
    reached
}
