//! How members are at a moment, whatever they reported last; and what ails them, from a moment on.

use std::collections::BTreeMap;

use super::ills::{Ills, lag, never_votes};
use super::{MemberFault, StoredEtcd, StoredMember};
use crate::sim::{Time, World};

/// How a member is; nothing is known of one that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberState {
    /// The machine that it runs on.
    pub host: Option<String>,
    /// Whether it is up and well.
    pub is_healthy: bool,
    /// Whether it votes, as its cluster knows.
    pub is_voter: bool,
    /// Entries that it lags behind.
    pub lag: u64,
    /// When the newest snapshot of its cluster was taken.
    pub snapshot_at: Option<Time>,
}

impl World {
    /// From now on something ails a member, `<cluster>/<etcd>/<member>`. What was reported before stays
    /// as it was written.
    pub fn ail(&mut self, member: &str, fault: MemberFault) {
        self.keep_reports();
        self.faults.members.entry(member.to_owned()).or_default().insert(fault);
        self.tend_members();
    }

    /// From now on it does not.
    pub fn recover(&mut self, member: &str, fault: &MemberFault) {
        self.keep_reports();
        if let Some(faults) = self.faults.members.get_mut(member) {
            faults.remove(fault);
        }
        self.tend_members();
    }

    /// From now on nothing ails any member.
    pub fn recover_all(&mut self) {
        self.keep_reports();
        self.faults.members.clear();
        self.tend_members();
    }

    /// How the members of an etcd cluster are now.
    pub fn member_states(&mut self, cluster: &str, etcd: &str) -> BTreeMap<String, MemberState> {
        if !self.etcds.contains_key(cluster) {
            self.find_members(cluster);
        }
        self.tend_members();
        let ills = Ills::of(&self.faults.members, cluster, etcd);
        let known = self.etcds.get(cluster).and_then(|etcds| etcds.get(etcd));
        known.map(|known| known.states(self.now, &ills)).unwrap_or_default()
    }

    fn keep_reports(&mut self) {
        self.tend_members();
        let now = self.now;
        for (cluster, etcds) in &mut self.etcds {
            for (name, etcd) in etcds {
                etcd.keep(now, &Ills::of(&self.faults.members, cluster, name));
            }
        }
    }
}

impl StoredEtcd {
    /// Keeps what each member reported last.
    fn keep(&mut self, now: Time, ills: &Ills<'_>) {
        let reports: Vec<_> =
            self.members.keys().map(|name| self.newest_report(name, now, ills)).collect();
        for (member, report) in self.members.values_mut().zip(reports) {
            member.kept = report;
        }
    }

    fn states(&self, now: Time, ills: &Ills<'_>) -> BTreeMap<String, MemberState> {
        let snapshot_at = self.snapshot(now);
        let state = |name: &str, member: &StoredMember| {
            let run = member.run.as_ref();
            MemberState {
                host: run.map(|run| run.instance_id.clone()),
                is_healthy: run.is_some() && self.is_healthy(name, now, ills),
                is_voter: member.votes(now) && !ills.any(name, never_votes),
                lag: run.map_or(0, |run| lag(name, run, now, ills)),
                snapshot_at,
            }
        };
        self.members.iter().map(|(name, member)| (name.clone(), state(name, member))).collect()
    }
}
