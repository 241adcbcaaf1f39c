//! Waves: changes that do not depend on each other, in the order of their dependencies.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::Change;
use crate::resource::Key;

/// The changes by wave. Dependencies on what the plan does not change are met already. Changes that
/// depend on each other in a circle, as only a plan written by hand has them, are not among them.
pub(super) fn waves(changes: &[Change]) -> Vec<Vec<&Change>> {
    let planned: BTreeSet<&Key> = changes.iter().map(|change| &change.address).collect();
    let mut level: BTreeMap<&Key, usize> = BTreeMap::new();
    let mut waves: Vec<Vec<&Change>> = Vec::new();
    let mut rest: Vec<&Change> = changes.iter().collect();
    // Each round places at least one change, or there is a circle.
    while !rest.is_empty() {
        let (ready, blocked): (Vec<&Change>, Vec<&Change>) = rest.into_iter().partition(|change| {
            change.depends_on.iter().all(|key| !planned.contains(key) || level.contains_key(key))
        });
        if ready.is_empty() {
            break;
        }
        for change in &ready {
            level.insert(&change.address, waves.len());
        }
        waves.push(ready);
        rest = blocked;
    }
    waves
}
