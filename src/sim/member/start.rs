//! What a member's machine does once it is up: the decision of `etcd::start`, the same that a machine
//! makes by itself, by what it would see of this world.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ills::Ills;
use super::{Run, StoredEtcd, StoredMember};
use crate::etcd::epoch::{ClusterId, Epoch, Phase, Place, epoch_key, snapshots_key};
use crate::etcd::snapshot::sha256_of;
use crate::etcd::start::{
    Answer, Identity, Listed, MemberId, Sight, Stamp, Start, View, Volume, decide, reached,
};
use crate::etcd::{DataVersion, Version};
use crate::sim::clock::Time;
use crate::sim::{Machine, StoredObject, fnv};

/// Between two looks of a machine that waits.
pub(super) const LOOK_MS: u64 = 5_000;

/// What a member's volume holds once etcd has started on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Data {
    /// Whose it is.
    pub(super) stamp: Stamp,
    /// Whether the member votes: one that joined does when it has caught up.
    pub(super) votes: bool,
    /// Which program wrote it, and at which cluster version.
    #[serde(default)]
    pub(super) version: Option<DataVersion>,
}

/// What the machines of an etcd cluster find in the state bucket.
pub(super) struct Bucket<'a> {
    pub(super) cluster: &'a str,
    pub(super) etcd: &'a str,
    pub(super) objects: &'a BTreeMap<String, StoredObject>,
}

impl Bucket<'_> {
    /// The epoch, and when it was written.
    pub(super) fn epoch(&self) -> Option<(Epoch, Time)> {
        let key = epoch_key(self.cluster, self.etcd);
        let object = self.objects.get(&key)?;
        Some((Epoch::parse(&key, &object.body.to_bytes()).ok()?, object.written_at))
    }

    /// Whether the snapshot is there that an epoch begins with, and is what it was.
    fn has_beginning(&self, epoch: &Epoch) -> bool {
        epoch.restored_from.as_ref().is_none_or(|from| {
            let body = self.objects.get(&from.snapshot).map(|object| object.body.to_bytes());
            body.is_some_and(|body| sha256_of(&body) == from.sha256)
        })
    }

    fn has_snapshots(&self) -> bool {
        self.objects.contains_key(&snapshots_key(self.cluster, self.etcd))
    }
}

/// The id of the cluster that forms under an epoch, which is known by its token.
pub(super) fn cluster_id(token: &str) -> ClusterId {
    ClusterId(fnv(token))
}

impl StoredEtcd {
    /// Starts a member on a machine that is up, if that is what the machine decides.
    pub(super) fn start(
        &mut self,
        name: &str,
        machine: &Machine,
        program: Version,
        bucket: &Bucket<'_>,
        now: Time,
        ills: &Ills<'_>,
    ) {
        let Some(opened) = bucket.epoch() else { return };
        let sight = self.sight(name, program, &opened, bucket, now, ills);
        let (epoch, _) = opened;
        let is_first_look = self.epochs.is_empty();
        let joins = match decide(&sight) {
            Start::Existing => {
                let data = self.members.get(name).and_then(|member| member.data.as_ref());
                data.is_some_and(|data| !data.votes)
            }
            Start::Bootstrap => {
                if !bucket.has_beginning(&epoch) {
                    return;
                }
                self.leave_behind(&epoch);
                false
            }
            Start::Learner(_) => true,
            Start::Wait(_) | Start::Refuse(_) => return,
        };
        self.size = epoch.members.len();
        let Some(member) = self.members.get_mut(name) else { return };
        let stamp = Stamp::new(&sight.identity, &epoch);
        let version = Some(DataVersion::begun(program, reached(&sight)));
        member.data = Some(Data { stamp, votes: !joins, version });
        member.run = Some(Run::begin(machine, program, joins, now, is_first_look));
    }

    /// What forms under another epoch is another cluster: nothing has formed yet.
    fn leave_behind(&mut self, epoch: &Epoch) {
        if self.closed.as_ref().is_some_and(|token| *token != epoch.token) {
            (self.closed, self.formed_at, self.next_snapshot) = (None, None, None);
            self.versions.clear();
        }
    }

    fn sight(
        &self,
        name: &str,
        program: Version,
        opened: &(Epoch, Time),
        bucket: &Bucket<'_>,
        now: Time,
        ills: &Ills<'_>,
    ) -> Sight {
        let (epoch, written_at) = opened;
        let others = self.members.keys().filter(|other| *other != name);
        let answer = |other: &String| (other.clone(), self.answer(other, epoch, now, ills));
        let is_open = epoch.phase == Phase::Open;
        Sight {
            identity: Identity {
                cluster: bucket.cluster.to_owned(),
                etcd: bucket.etcd.to_owned(),
                member: name.to_owned(),
            },
            volume: self.members.get(name).map_or(Volume::Blank, StoredMember::volume),
            program,
            others: others.map(answer).collect(),
            has_reported: is_open && self.has_reported(*written_at, now, ills),
            has_snapshots: bucket.has_snapshots(),
            epoch: Some(epoch.clone()),
        }
    }

    /// etcd answers nobody before its cluster has formed.
    fn answer(&self, name: &str, epoch: &Epoch, now: Time, ills: &Ills<'_>) -> Answer {
        let Some(member) = self.members.get(name) else { return Answer::Silent };
        let token = member.data.as_ref().map(|data| &data.stamp.token);
        let Some(formed) = token.filter(|token| self.closed.as_ref() == Some(*token)) else {
            return Answer::Silent;
        };
        let Some(run) = member.run.as_ref().filter(|run| run.since <= now) else {
            return Answer::Silent;
        };
        let listed = self.members.iter().map(|(name, member)| Listed {
            id: MemberId(fnv(&member.volume_id) ^ fnv(name)),
            name: name.clone(),
            peer_urls: urls(epoch, name, |place| &place.peer_url),
            client_urls: urls(epoch, name, |place| &place.client_url),
            is_learner: !member.votes(now),
        });
        Answer::Speaks(View {
            cluster_id: cluster_id(formed),
            is_healthy: self.is_healthy(name, now, ills),
            program: Some(run.version),
            cluster_version: self.version(now),
            members: listed.collect(),
        })
    }

    fn has_reported(&self, since: Time, now: Time, ills: &Ills<'_>) -> bool {
        let mut reports =
            self.members.keys().filter_map(|name| self.newest_report(name, now, ills));
        reports.any(|(report, at)| report.leader.is_some() && at >= since)
    }
}

impl StoredMember {
    fn volume(&self) -> Volume {
        match &self.data {
            None => Volume::Blank,
            Some(data) => {
                let stamp = Some(data.stamp.clone());
                Volume::Ours { stamp, version: data.version, has_data: true }
            }
        }
    }
}

fn urls(epoch: &Epoch, member: &str, url: impl Fn(&Place) -> &String) -> BTreeSet<String> {
    epoch.members.get(member).map(|place| url(place).clone()).into_iter().collect()
}
