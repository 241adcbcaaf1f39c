//! Snapshots of simulated members: taken by the same decisions as on a real machine, in no time.
//!
//! What is in one is a line of text; its record and its place in the bucket are as those of a real one. How
//! often they are taken, how long they are kept and where they go is what the member's machine was told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::ills::{Ills, never_votes};
use super::start::cluster_id;
use super::{StoredEtcd, StoredMember};
use crate::etcd::epoch::{Epoch, epoch_key, snapshots_key};
use crate::etcd::snapshot::{
    Content, List, Member, Reason, Record, Request, SNAPSHOT_PART, Sorted, Store, Taken, Turn,
    name, object, request_key, sha256_of, sort, turn,
};
use crate::etcd::version::Version;
use crate::sim::clock::Time;
use crate::sim::{StoredObject, World};

/// Revisions of a simulated cluster are seconds since the beginning of 2026.
const FIRST_SECOND: i64 = 1_767_225_600;
/// Times of snapshots that are remembered: a report may be from a moment ago.
const TIMES_MAX: usize = 4;

impl World {
    /// Has members take the snapshots that are due, and says when the next one is.
    pub(super) fn take_snapshots(&mut self) -> Option<Time> {
        let now = self.now;
        let mut etcds = std::mem::take(&mut self.etcds);
        let mut due = Vec::new();
        for (cluster, etcds) in &mut etcds {
            if self.faults.failing_snapshots.contains(cluster) {
                continue;
            }
            for (etcd, known) in etcds {
                let is_asked = self.objects.contains_key(&request_key(cluster, etcd));
                if known.closed.is_none() || !(is_asked || known.is_snapshot_due(now)) {
                    due.extend(known.next_snapshot);
                    continue;
                }
                let ills = Ills::of(&self.faults.members, cluster, etcd);
                known.next_snapshot = take(&mut self.objects, cluster, etcd, known, now, &ills);
                due.extend(known.next_snapshot);
            }
        }
        self.etcds = etcds;
        due.into_iter().filter(|at| *at > now).min()
    }
}

impl StoredEtcd {
    /// Whether its members have formed the cluster of an epoch.
    fn has_formed(&self, token: &str) -> bool {
        self.closed.as_deref() == Some(token)
    }

    fn is_snapshot_due(&self, now: Time) -> bool {
        self.next_snapshot.is_none_or(|at| at <= now)
    }

    /// Whether any member's machine was told where snapshots go.
    fn has_store(&self) -> bool {
        let mut runs = self.members.values().filter_map(|member| member.run.as_ref());
        runs.any(|run| run.snapshots.is_some())
    }

    /// The newest snapshot at a moment.
    pub(super) fn snapshot(&self, at: Time) -> Option<Time> {
        self.snapshots.iter().copied().filter(|taken| *taken <= at).max()
    }
}

/// Has each member that is well decide, and gives when the next one would take a snapshot.
fn take(
    objects: &mut BTreeMap<String, StoredObject>,
    cluster: &str,
    etcd: &str,
    known: &mut StoredEtcd,
    now: Time,
    ills: &Ills<'_>,
) -> Option<Time> {
    if !known.has_store() {
        return None;
    }
    let epoch = epoch_of(objects, cluster, etcd).filter(|epoch| known.has_formed(&epoch.token))?;
    let key = snapshots_key(cluster, etcd);
    let mut list = match objects.get(&key) {
        Some(object) => List::parse(&key, &object.body.to_bytes()).ok()?,
        None => List::empty(),
    };
    let request = objects.get(&request_key(cluster, etcd));
    let request = request.and_then(|object| Request::parse(&object.body.to_bytes()));
    let votes = |(name, member): &(&String, &StoredMember)| {
        member.votes(now) && !ills.any(name, never_votes)
    };
    let voters: BTreeSet<String> =
        known.members.iter().filter(votes).map(|(name, _)| name.clone()).collect();
    let (term, leader) = known.leader(now);
    let mut next = Vec::new();
    let mut times: VecDeque<Time> = known.snapshots.clone();
    for (member, stored) in &known.members {
        let Some(run) = stored.run.as_ref().filter(|run| run.since <= now) else { continue };
        let Some(store) = &run.snapshots else { continue };
        let asks = Member {
            cluster,
            name: member,
            token: &epoch.token,
            is_well: voters.contains(member) && known.is_healthy(member, now, ills),
            voters: &voters,
            leader: leader.map(String::as_str),
        };
        let reason = match turn(&asks, &list, request.as_ref(), &store.schedule, now.timestamp()) {
            Turn::Take(reason) => reason,
            Turn::NotBefore(at) => {
                next.push(Time(at.as_millisecond()));
                continue;
            }
        };
        let asked = request.as_ref().filter(|_| matches!(reason, Reason::Asked { .. }));
        let at = (now, term, run.version);
        let place = Place { store, cluster, etcd };
        let record = place.record(member, &epoch, at, asked);
        let body = content(cluster, etcd, &record.name);
        objects.insert(record.object.clone(), StoredObject::new(body, &record.name, now));
        list = place.keep(objects, list.with(record), &epoch, now);
        let etag = format!("snapshots-{}", now.0);
        objects.insert(key.clone(), StoredObject::new(list.to_bytes(), &etag, now));
        times.push_back(now);
        if times.len() > TIMES_MAX {
            times.pop_front();
        }
        // The others decide by the new list.
        next.push(now.plus_ms(1));
    }
    known.snapshots = times;
    next.into_iter().min()
}

fn epoch_of(objects: &BTreeMap<String, StoredObject>, cluster: &str, etcd: &str) -> Option<Epoch> {
    let key = epoch_key(cluster, etcd);
    Epoch::parse(&key, &objects.get(&key)?.body.to_bytes()).ok()
}

fn content(cluster: &str, etcd: &str, name: &str) -> Vec<u8> {
    format!("SIMULATED snapshot {name} of etcd {etcd} of {cluster}\n").into_bytes()
}

/// Where an etcd cluster's snapshots go.
struct Place<'a> {
    store: &'a Store,
    cluster: &'a str,
    etcd: &'a str,
}

impl Place<'_> {
    fn record(
        &self,
        member: &str,
        epoch: &Epoch,
        (now, term, version): (Time, u64, Version),
        asked: Option<&Request>,
    ) -> Record {
        let Self { store, cluster, etcd } = self;
        let revision = u64::try_from(now.0 / 1000 - FIRST_SECOND).unwrap_or(1);
        let at = now.timestamp();
        let nothing = Content { bytes: 0, sha256: String::new() };
        let name = name(&Taken { member: member.to_owned(), revision, at, content: nothing });
        let body = content(cluster, etcd, &name);
        Record {
            object: object(&store.store, cluster, etcd, &name, SNAPSHOT_PART),
            name,
            member: member.to_owned(),
            epoch: epoch.number,
            token: epoch.token.clone(),
            cluster_id: cluster_id(&epoch.token),
            etcd_version: version,
            revision,
            term,
            bytes: body.len() as u64,
            sha256: sha256_of(&body),
            taken_at: at,
            verified_at: at,
            certificates_sha256: sha256_of(b"{}"),
            request: asked.map(|request| request.id.clone()),
        }
    }

    /// Takes out what is kept no longer.
    fn keep(
        &self,
        objects: &mut BTreeMap<String, StoredObject>,
        list: List,
        epoch: &Epoch,
        now: Time,
    ) -> List {
        let from = epoch.restored_from.as_ref().map(|from| from.snapshot.as_str());
        let held = list.snapshots.iter().filter(|record| Some(record.object.as_str()) == from);
        let held = held.map(|record| record.name.clone()).collect();
        let schedule = &self.store.schedule;
        let Sorted { kept, gone } = sort(&list, self.cluster, schedule, now.timestamp(), &held);
        for record in gone {
            objects.remove(&record.object);
        }
        kept
    }
}
