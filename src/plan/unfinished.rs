//! What an unfinished rolling update holds. Processes that it has suspended are no drift: they run again
//! when it comes to its end, or is aborted, and not before, since machines may be out of their groups.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::Comparison;
use crate::cloud::Observed;
use crate::finding::{Finding, Severity};
use crate::resource::{Key, Resource, RollMark};

/// Wants of a group what it has, where a roll has made it so and takes it back by itself.
pub(super) fn leave_to_roll(wanted: &mut Resource, found: &Observed) {
    let held = held(wanted, found);
    if let Resource::AutoScalingGroup(group) = wanted {
        group.suspended_processes.extend(held);
    }
}

/// Processes of a group that a roll keeps suspended, and nobody else. What the roll cannot read of its own
/// note, or has noted and not come to, is none of them.
fn held(wanted: &Resource, found: &Observed) -> BTreeSet<String> {
    let (Resource::AutoScalingGroup(wanted), Resource::AutoScalingGroup(there)) =
        (wanted, &found.resource)
    else {
        return BTreeSet::new();
    };
    let noted = suspended_by_roll(found);
    let suspended = noted.intersection(&there.suspended_processes);
    suspended.filter(|process| !wanted.suspended_processes.contains(*process)).cloned().collect()
}

/// What an unfinished roll has noted to suspend, and to resume when it ends.
pub(super) fn suspended_by_roll(found: &Observed) -> BTreeSet<String> {
    let mark = found.group.as_ref().and_then(|facts| facts.mark.as_ref());
    let mark = mark.and_then(|text| text.parse::<RollMark>().ok());
    mark.map(|mark| mark.suspended).unwrap_or_default()
}

/// A note for each group of ours of which a roll holds something, with how to go on.
pub(super) fn findings(comparisons: &BTreeMap<Key, Comparison<'_>>, cluster: &str) -> Vec<Finding> {
    comparisons
        .iter()
        .filter_map(|(key, comparison)| {
            let found = comparison.observed.filter(|found| found.ownership.is_owned())?;
            let held: Vec<String> = held(comparison.symbolic, found).into_iter().collect();
            (!held.is_empty()).then(|| note(&held, cluster).field(key.to_string()))
        })
        .collect()
}

fn note(held: &[String], cluster: &str) -> Finding {
    let names = held.join(", ");
    let message = format!("a rolling update that has not ended keeps {names} suspended");
    let hint = format!(
        "`kprod rolling-update {cluster} --yes` goes on with it, and with `--abort` puts back what it \
         has begun; both resume them"
    );
    Finding::new(Severity::Note, message).hint(hint)
}
