//! In which order machines were ended, by the emulator's log.

use std::collections::{BTreeMap, BTreeSet};

use super::super::calls::Call;
use super::people::Inventory;

/// The calls that end machines, with the groups of those machines, oldest first.
fn ends(calls: &[Call], before: &Inventory) -> Vec<BTreeSet<String>> {
    let groups: BTreeMap<&str, &str> = before
        .machines
        .iter()
        .filter_map(|m| Some((m.instance_id.as_str(), m.group.as_deref()?)))
        .collect();
    let is_end = |call: &&Call| call.is_change() && call.action.starts_with("TerminateInstance");
    let named = |call: &Call| {
        let ids = call.params.iter().filter(|(name, _)| name.starts_with("InstanceId"));
        ids.filter_map(|(_, id)| Some((*groups.get(id.as_str())?).to_owned())).collect()
    };
    calls.iter().filter(is_end).map(named).collect()
}

/// First those of etcd and of the control plane, one a call; then pools, several at the same time.
pub(super) fn check(calls: &[Call], before: &Inventory) {
    let ends = ends(calls, before);
    let is_guarded = |groups: &BTreeSet<String>| groups.iter().any(|name| guarded(name));
    let guarded = ends.iter().take_while(|groups| is_guarded(groups)).count();
    assert_eq!(guarded, 8, "one call for each machine of etcd and of the control plane: {ends:?}");
    let pools = &ends[guarded..];
    assert!(!pools.iter().any(is_guarded), "{ends:?}");
    // Pools take turns: none is done before another has begun.
    let of = |name: &str, group: &BTreeSet<String>| group.iter().any(|g| g.starts_with(name));
    for (one, other) in [("spot-", "general-"), ("general-", "spot-")] {
        let first = pools.iter().position(|groups| of(one, groups)).unwrap();
        let last = pools.iter().rposition(|groups| of(other, groups)).unwrap();
        assert!(first < last, "{one} after {other}: {ends:?}");
    }
}

fn guarded(group: &str) -> bool {
    group.contains(".masters.") || group.starts_with("etcd-")
}
