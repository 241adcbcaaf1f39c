//! Machines of members that sleep, and what they still say when they wake up.

use std::collections::BTreeSet;

use super::ills::Ills;
use super::report::sequence;
use super::{StoredEtcd, StoredMember};
use crate::sim::World;

impl World {
    /// A machine stops where it is, as a guest does that nobody runs any more: it does nothing, and EC2
    /// does not know. Its members, and its node, fall silent.
    pub fn doze(&mut self, instance_id: &str) {
        self.tend_members();
        let now = self.now;
        for (cluster, etcds) in &mut self.etcds {
            for (name, etcd) in etcds {
                etcd.doze(instance_id, |etcd, member| {
                    let ills = Ills::of(&self.faults.members, cluster, name);
                    etcd.newest_report(member, now, &ills).map(|(report, _)| report)
                });
            }
        }
        if let Some(machine) = self.machines.get_mut(instance_id) {
            machine.is_asleep = true;
        }
        self.cluster_follows(instance_id);
        self.tend_members();
    }

    /// It goes on. First of all each of its members sends the report that it was about to send when it fell
    /// asleep, whoever has taken its place since: the bucket dates it by now.
    pub fn wake_up(&mut self, instance_id: &str) {
        self.tend_members();
        let now = self.now;
        for member in self.members_mut() {
            let Some(mut report) = member.stale.take_if(|it| it.instance_id == instance_id) else {
                continue;
            };
            report.sequence = sequence(now);
            match member.run {
                Some(_) => member.kept = Some((report, now)),
                None => member.last = Some((report, now)),
            }
        }
        if let Some(machine) = self.machines.get_mut(instance_id) {
            machine.is_asleep = false;
        }
        self.cluster_follows(instance_id);
        self.tend_members();
    }

    /// Machines that sleep, or that ended in their sleep with something left to say.
    pub fn sleepers(&self) -> BTreeSet<String> {
        let asleep = self.machines.values().filter(|machine| machine.is_asleep);
        let ids = asleep.map(|machine| machine.instance_id.clone());
        let members = self.etcds.values().flat_map(|etcds| etcds.values());
        let stale = members.flat_map(|etcd| etcd.members.values().filter_map(|m| m.stale.as_ref()));
        ids.chain(stale.map(|report| report.instance_id.clone())).collect()
    }

    fn members_mut(&mut self) -> impl Iterator<Item = &mut StoredMember> {
        let etcds = self.etcds.values_mut().flat_map(|etcds| etcds.values_mut());
        etcds.flat_map(|etcd| etcd.members.values_mut())
    }
}

impl StoredEtcd {
    /// Keeps what the members of a machine were about to report.
    fn doze(
        &mut self,
        instance_id: &str,
        newest: impl Fn(&Self, &str) -> Option<crate::etcd::MemberReport>,
    ) {
        let runs_there = |(name, member): (&String, &StoredMember)| {
            let run = member.run.as_ref().filter(|run| run.instance_id == instance_id);
            run.map(|_| name.clone())
        };
        let names: Vec<String> = self.members.iter().filter_map(runs_there).collect();
        for name in names {
            let report = newest(self, &name);
            if let Some(member) = self.members.get_mut(&name) {
                member.stale = report;
            }
        }
    }
}
