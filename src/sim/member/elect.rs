//! Terms and leaders; the first one closes the epoch.

use super::ills::Ills;
use super::start::{Bucket, cluster_id};
use super::{Epoch, MemberFault, StoredEtcd};
use crate::etcd::epoch::{Epoch as Opened, epoch_key};
use crate::etcd::{Minor, Phase};
use crate::sim::clock::Time;

/// Terms that are remembered.
const EPOCHS_MAX: usize = 8;

impl StoredEtcd {
    /// The epoch, closed for the cluster that has formed; none if it is closed already.
    pub(super) fn close(&mut self, bucket: &Bucket<'_>) -> Option<(String, Opened)> {
        self.formed_at?;
        let token =
            self.members.values().find_map(|member| Some(&member.data.as_ref()?.stamp.token));
        let token = token?.clone();
        if self.closed.as_ref() == Some(&token) {
            return None;
        }
        let (epoch, _) = bucket.epoch().filter(|(epoch, _)| epoch.token == token)?;
        self.closed = Some(token);
        let is_open = epoch.phase == Phase::Open;
        let closed = is_open.then(|| epoch.closed(cluster_id(&epoch.token)).ok())??;
        Some((epoch_key(bucket.cluster, bucket.etcd), closed))
    }

    /// A leader among those that are healthy, if they are enough; the one they have, if they can.
    pub(super) fn elect(&mut self, now: Time, ills: &Ills<'_>) {
        let able: Vec<&String> =
            self.members.keys().filter(|name| self.is_able(name, now, ills)).collect();
        let enough = able.len() > self.members.len().max(self.size) / 2;
        let is_first_look = self.epochs.is_empty();
        let (term, leader) = match self.epochs.back() {
            Some(epoch) => (epoch.term, epoch.leader.as_ref()),
            None => (1, None),
        };
        let chosen = match leader {
            Some(leader) if enough && able.contains(&leader) => Some(leader),
            _ => able.first().copied().filter(|_| enough),
        };
        if chosen != leader || is_first_look {
            // What stood before anybody looked stood for long.
            let since = if is_first_look { Time(0) } else { now };
            let term = if chosen.is_some() { term + 1 } else { term };
            let leader = chosen.cloned();
            self.epochs.push_back(Epoch { since, term, leader });
            if self.epochs.len() > EPOCHS_MAX {
                self.epochs.pop_front();
            }
        }
        if self.formed_at.is_none() && self.epochs.back().is_some_and(|e| e.leader.is_some()) {
            let runs = self.members.values().filter_map(|member| member.run.as_ref());
            self.formed_at = runs.map(|run| run.caught_up_at).filter(|at| *at <= now).max();
        }
    }

    /// Raises the cluster version to the lowest of its members', once all of them are there and somebody
    /// leads. Source: etcd `server/etcdserver/server.go`, `monitorVersions`.
    pub(super) fn raise_version(&mut self, now: Time) {
        let runs = self.members.values().map(|member| {
            member.run.as_ref().filter(|run| run.since <= now).map(|run| run.version.minor)
        });
        let lowest = runs.collect::<Option<Vec<Minor>>>().and_then(|all| all.into_iter().min());
        let (Some(lowest), (_, Some(_))) = (lowest, self.leader(now)) else { return };
        if self.version(now).is_none_or(|known| known < lowest) {
            self.versions.push((now, lowest));
            // Each of them sees it at once, and notes it beside its data.
            let data = self.members.values_mut().filter_map(|member| member.data.as_mut());
            for version in data.filter_map(|data| data.version.as_mut()) {
                version.cluster = lowest;
            }
        }
    }

    /// The cluster version at a moment.
    pub(super) fn version(&self, at: Time) -> Option<Minor> {
        let known = self.versions.iter().rev().find(|(since, _)| *since <= at);
        known.map(|(_, version)| *version)
    }

    /// Whether a member is up, caught up and votes.
    pub(super) fn is_able(&self, name: &str, at: Time, ills: &Ills<'_>) -> bool {
        let Some(run) = self.members.get(name).and_then(|member| member.run.as_ref()) else {
            return false;
        };
        let is_ill =
            |fault: &MemberFault| matches!(fault, MemberFault::Sick | MemberFault::Learner);
        run.caught_up_at <= at && !ills.any(name, is_ill)
    }

    /// The term and the leader at a moment.
    pub(super) fn leader(&self, at: Time) -> (u64, Option<&String>) {
        let epoch = self.epochs.iter().rev().find(|epoch| epoch.since <= at);
        epoch.map_or((1, None), |epoch| (epoch.term, epoch.leader.as_ref()))
    }

    /// Whether a member says at a moment that it is well: it is, and there is a leader.
    pub(super) fn is_healthy(&self, name: &str, at: Time, ills: &Ills<'_>) -> bool {
        self.leader(at).1.is_some() && self.is_able(name, at, ills)
    }
}
