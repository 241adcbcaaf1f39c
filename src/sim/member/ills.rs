//! What ails members, looked up by their names.

use std::collections::{BTreeMap, BTreeSet};

use super::{MemberFault, Run};
use crate::sim::Time;

/// What ails the members of one etcd cluster, by name.
pub(super) struct Ills<'a>(BTreeMap<&'a str, &'a BTreeSet<MemberFault>>);

impl<'a> Ills<'a> {
    pub(super) fn of(
        faults: &'a BTreeMap<String, BTreeSet<MemberFault>>,
        cluster: &str,
        etcd: &str,
    ) -> Self {
        // Mostly nothing ails anybody, and this is asked often.
        if faults.is_empty() {
            return Self(BTreeMap::new());
        }
        let prefix = format!("{cluster}/{etcd}/");
        let ills = faults.range(prefix.clone()..);
        let ills = ills.map_while(|(key, ills)| Some((key.strip_prefix(&prefix)?, ills)));
        Self(ills.collect())
    }

    pub(super) fn of_member(&self, member: &str) -> impl Iterator<Item = &'a MemberFault> {
        self.0.get(member).copied().into_iter().flatten()
    }

    pub(super) fn any(&self, member: &str, is: impl Fn(&MemberFault) -> bool) -> bool {
        self.of_member(member).any(is)
    }
}

/// Whether a member never votes for that.
pub(super) fn never_votes(fault: &MemberFault) -> bool {
    *fault == MemberFault::Learner
}

/// How many entries a member lags behind at a moment.
pub(super) fn lag(name: &str, run: &Run, at: Time, ills: &Ills<'_>) -> u64 {
    let slow = ills.of_member(name).find_map(|fault| match fault {
        MemberFault::Slow { lag } => Some(*lag),
        _ => None,
    });
    slow.unwrap_or_else(|| u64::try_from(run.caught_up_at.0 - at.0).unwrap_or(0))
}
