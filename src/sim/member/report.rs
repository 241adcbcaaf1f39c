//! What members say of themselves, as of the moment they say it.

use std::collections::BTreeMap;

use super::ills::{Ills, lag, never_votes};
use super::{MemberFault, Run, StoredEtcd, StoredMember};
use crate::etcd::{MemberReport, MemberRole};
use crate::sim::clock::Time;

/// Between two reports.
const REPORT_MS: i64 = 10_000;

/// The number of a report that is written at a moment.
pub(super) fn sequence(at: Time) -> u64 {
    u64::try_from(at.0 / REPORT_MS).unwrap_or(0)
}

impl StoredEtcd {
    /// Notes since when something has been silent: faults come without a date.
    pub(super) fn note_silence(&mut self, now: Time, ills: &Ills<'_>) {
        for (name, member) in &mut self.members {
            let is_silent = ills.any(name, |fault| *fault == MemberFault::Silent);
            let since = member.silent_since.unwrap_or(now);
            member.silent_since = is_silent.then_some(since);
        }
    }

    pub(super) fn newest_report(
        &self,
        name: &str,
        now: Time,
        ills: &Ills<'_>,
    ) -> Option<(MemberReport, Time)> {
        let member = self.members.get(name)?;
        let until = member.silent_since.map_or(now, |since| since.min(now));
        let Some(run) = member.run.as_ref().filter(|run| run.since <= until) else {
            return member.last.clone();
        };
        let lived = until.0 - run.since.0;
        let at = Time(run.since.0 + lived - lived % REPORT_MS);
        let kept = member.kept.as_ref().filter(|(_, kept_at)| *kept_at >= at);
        if let Some(kept) = kept {
            return Some(kept.clone());
        }
        Some((self.report(name, run, at, ills), at))
    }

    /// What a member says at a moment.
    fn report(&self, name: &str, run: &Run, at: Time, ills: &Ills<'_>) -> MemberReport {
        let (term, leader) = self.leader(at);
        let alarms = self.members.keys().flat_map(|member| ills.of_member(member));
        let alarms = alarms.filter_map(|fault| match fault {
            MemberFault::Alarm { name } => Some(name.clone()),
            _ => None,
        });
        MemberReport {
            format_version: MemberReport::FORMAT_VERSION,
            member: name.to_owned(),
            instance_id: run.instance_id.clone(),
            sequence: sequence(at),
            is_healthy: self.is_healthy(name, at, ills),
            term,
            leader: leader.cloned(),
            lag: lag(name, run, at, ills),
            alarms: alarms.collect(),
            members: self.roles(at, ills),
            snapshot_at: self.snapshot(at).map(Time::timestamp),
            version: Some(run.version),
            cluster_version: self.version(at),
        }
    }

    fn roles(&self, at: Time, ills: &Ills<'_>) -> BTreeMap<String, MemberRole> {
        let role = |(name, member): (&String, &StoredMember)| {
            let votes = member.votes(at) && !ills.any(name, never_votes);
            (name.clone(), if votes { MemberRole::Voter } else { MemberRole::Learner })
        };
        self.members.iter().map(role).collect()
    }
}
