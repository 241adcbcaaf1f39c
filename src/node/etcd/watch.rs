//! A member that runs: looked at every few seconds, as long as the machine lives.
//!
//! A learner that has caught up gets its vote; the first healthy quorum closes the epoch; what the
//! member is goes to its key in the state bucket. When its epoch is over, the member is stopped: it is
//! of a cluster that people have left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::client::{EtcdClient, EtcdError, Status};
use super::layout::Layout;
use super::machine::{Machine, NodeCloud, NodeError};
use super::snapshot::{Health, Shared};
use super::volume::note_version;
use crate::cloud::{Condition, StoreError};
use crate::epoch::{self, EpochStoreError, Known};
use crate::etcd::epoch::{Epoch, Phase, Place};
use crate::etcd::report::{MemberReport, MemberRole, report_key};
use crate::etcd::start::{Identity, Listed, RefuseReason, View};
use crate::etcd::version::DataVersion;
use crate::node::time::{boot_ms, sleep};

/// Between two looks, until the member votes and is well.
const FAST: Duration = Duration::from_secs(1);
/// From then on: reports are this far apart.
const SLOW: Duration = Duration::from_secs(10);
/// Between two reads of the epoch, once it is closed.
const EPOCH_MS: u64 = 60_000;
/// How long a member is watched over before its life begins anew, as it does after a reboot: its
/// certificates are renewed where they are due, and the client takes the new ones.
const DAY_MS: u64 = 86_400_000;
/// Looks in a row that find no etcd, after which it is decided anew what to do.
const GONE_MAX: usize = 15;

/// A member that was started.
pub(super) struct Watch<'a, C> {
    pub(super) machine: &'a Machine<C>,
    pub(super) identity: &'a Identity,
    pub(super) layout: &'a Layout,
    pub(super) client: &'a EtcdClient,
    pub(super) shared: &'a Shared,
}

/// What was seen of a member at a moment.
struct Seen {
    status: Status,
    view: View,
    alarms: BTreeSet<String>,
    lag: u64,
}

impl Seen {
    fn mine(&self) -> Option<&Listed> {
        self.view.members.iter().find(|listed| listed.id == self.status.id)
    }

    /// Whether it is a healthy voter.
    fn is_voter(&self) -> bool {
        let votes = self.mine().is_some_and(|listed| !listed.is_learner && listed.is_started());
        votes && self.view.is_healthy && self.status.leader.is_some()
    }
}

impl<C: NodeCloud> Watch<'_, C> {
    /// Watches over the member for a day, or until etcd is gone or its epoch is over. `ready` hears when it is a
    /// healthy voter of a closed epoch for the first time.
    ///
    /// # Errors
    /// [`NodeError::Refused`] when the epoch belongs to another cluster now; the caller stops etcd. Trouble
    /// that passes is told and outlived.
    pub(super) async fn watch(&self, mut ready: impl FnMut()) -> Result<(), NodeError> {
        let (mut known, mut read_at) = (None, 0);
        let mut noted = None;
        let (mut gone, mut applied) = (0, 0);
        let mut is_ready = false;
        let began_at = boot_ms();
        loop {
            let is_due = boot_ms() - read_at > EPOCH_MS;
            let is_open = |known: &Known| known.epoch.phase == Phase::Open;
            if (is_due || known.as_ref().is_none_or(is_open))
                && let Some(newest) = self.read_epoch().await
            {
                self.check(known.as_ref(), &newest)?;
                (known, read_at) = (Some(newest), boot_ms());
            }
            let epoch = known.as_ref().map(|known| &known.epoch);
            let seen = match epoch {
                Some(epoch) => self.see(epoch).await,
                None => None,
            };
            gone = if seen.is_some() { 0 } else { gone + 1 };
            if let (Some(seen), Some(known)) = (&seen, &known) {
                if seen.status.applied > applied {
                    applied = seen.status.applied;
                    if !is_ready {
                        self.machine.note_progress().await;
                    }
                }
                self.care(seen, known).await?;
                noted = self.note_version(seen, noted).await;
                let is_closed = known.epoch.cluster_id() == Some(seen.status.cluster_id);
                if seen.is_voter() && is_closed && !std::mem::replace(&mut is_ready, true) {
                    self.write_voter(&known.epoch).await;
                    self.machine.tell(self.identity, "is a healthy voter");
                    ready();
                }
            }
            self.shared.see(epoch.map(|epoch| health(seen.as_ref(), epoch)));
            self.report(seen.as_ref(), epoch).await;
            if gone >= GONE_MAX || boot_ms().saturating_sub(began_at) > DAY_MS {
                return Ok(());
            }
            sleep(if is_ready && seen.is_some() { SLOW } else { FAST }).await;
        }
    }

    async fn read_epoch(&self) -> Option<Known> {
        let Identity { cluster, etcd, .. } = self.identity;
        match epoch::read(&self.machine.cloud, cluster, etcd).await {
            Ok(known) => known,
            Err(error) => {
                self.machine.tell(self.identity, &format!("its epoch was not read: {error}"));
                None
            }
        }
    }

    /// The member was started under one epoch; under another one it is not to go on.
    fn check(&self, known: Option<&Known>, newest: &Known) -> Result<(), NodeError> {
        let Some(known) = known else { return Ok(()) };
        if known.epoch.token == newest.epoch.token {
            return Ok(());
        }
        let (found, wanted) = (known.epoch.number, newest.epoch.number);
        Err(self.refused(RefuseReason::OtherEpoch { found, wanted }))
    }

    /// Asks the member what it is; none when it does not answer.
    async fn see(&self, epoch: &Epoch) -> Option<Seen> {
        let me = epoch.members.get(&self.identity.member)?;
        let seen = async {
            let status = self.client.status(&me.client_url).await?;
            let view = match status.is_learner {
                false => self.client.view(&me.client_url).await?,
                true => self.view_of_others(epoch, &status).await?,
            };
            let alarms = self.client.alarms(&me.client_url).await.unwrap_or_default();
            let committed = self.committed_by_leader(&status, &view).await;
            let lag = committed.max(status.committed).saturating_sub(status.applied);
            Ok(Seen { status, view, alarms, lag })
        };
        match seen.await {
            Ok(seen) => Some(seen),
            Err::<_, EtcdError>(error) => {
                self.machine.tell(self.identity, &format!("does not answer: {error}"));
                None
            }
        }
    }

    /// A learner answers little more than what it is: the members are asked of the others. It is not
    /// healthy itself, whatever they are: it takes no read.
    async fn view_of_others(&self, epoch: &Epoch, status: &Status) -> Result<View, EtcdError> {
        let mut last = Err(EtcdError::Unreachable {
            url: format!("the leader of cluster {}", status.cluster_id),
            why: "nobody else belongs to the epoch".to_owned(),
        });
        for (_, place) in self.others(epoch) {
            last = self.client.view(&place.client_url).await;
            if last.as_ref().is_ok_and(|view| view.cluster_id == status.cluster_id) {
                break;
            }
        }
        last.map(|view| View { is_healthy: false, ..view })
    }

    fn others<'e>(&self, epoch: &'e Epoch) -> impl Iterator<Item = (&'e String, &'e Place)> {
        epoch.members.iter().filter(|(name, _)| **name != self.identity.member)
    }

    /// What the leader knows to be agreed on: a member that is cut off knows nothing newer itself.
    async fn committed_by_leader(&self, status: &Status, view: &View) -> u64 {
        let leader = view.members.iter().find(|listed| Some(listed.id) == status.leader);
        let url = leader.filter(|leader| leader.id != status.id);
        let Some(url) = url.and_then(|leader| leader.client_urls.first()) else { return 0 };
        self.client.status(url).await.map_or(0, |status| status.committed)
    }

    /// Does what there is to be done for a member.
    async fn care(&self, seen: &Seen, known: &Known) -> Result<(), NodeError> {
        let formed = seen.status.cluster_id;
        match known.epoch.phase {
            Phase::Closed { cluster_id } if cluster_id != formed => {
                let member = self.identity.member.clone();
                let reason =
                    RefuseReason::OtherCluster { member, found: formed, wanted: cluster_id };
                return Err(self.refused(reason));
            }
            Phase::Open if seen.is_voter() => self.close(known, seen).await,
            Phase::Open | Phase::Closed { .. } => {}
        }
        if seen.status.is_learner {
            self.promote(seen, &known.epoch).await;
        }
        Ok(())
    }

    /// Notes the cluster version beside the data whenever it is another one; gives what is noted. While
    /// etcd has not decided, what was noted when it started holds.
    async fn note_version(&self, seen: &Seen, noted: Option<DataVersion>) -> Option<DataVersion> {
        let (Some(cluster), Some(program)) = (seen.view.cluster_version, seen.status.version)
        else {
            return noted;
        };
        let version = DataVersion::begun(program, Some(cluster));
        if noted == Some(version) {
            return noted;
        }
        match note_version(self.layout, version).await {
            Ok(()) => Some(version),
            Err(error) => {
                self.machine.tell(self.identity, &format!("its versions were not noted: {error}"));
                None
            }
        }
    }

    async fn close(&self, known: &Known, seen: &Seen) {
        let Identity { cluster, etcd, .. } = self.identity;
        let formed = seen.status.cluster_id;
        match epoch::close(&self.machine.cloud, cluster, etcd, known, formed).await {
            Ok(_) => {
                let text = format!("epoch {} is closed: {formed} has formed", known.epoch.number);
                self.machine.tell(self.identity, &text);
            }
            // Another member was first; what it wrote is read next.
            Err(EpochStoreError::Store(StoreError::Conflict(_))) => {}
            Err(error) => {
                let text = format!("the epoch could not be closed: {error}");
                self.machine.tell(self.identity, &text);
            }
        }
    }

    /// Has the cluster agree on a write once the member votes. etcd 3.4 notes in its data how far it has
    /// come at writes, and at no change of members: where no write follows one, 3.5 makes the change once
    /// more, marks the members as removed that are to come, and 3.6 goes by those marks.
    /// Source: etcd v3.5.26 `server/etcdserver/server.go`, `apply`;
    /// `server/etcdserver/api/membership/cluster.go`, `CleanupZombieMembersIfNeeded`.
    async fn write_voter(&self, epoch: &Epoch) {
        let member = &self.identity.member;
        let Some(me) = epoch.members.get(member) else { return };
        if let Err(error) = self.client.write_voter(&me.client_url, member).await {
            self.machine.tell(self.identity, &format!("takes no write: {error}"));
        }
    }

    /// Asks the others for a vote; the leader gives it once the learner has caught up. A learner itself
    /// cannot be asked.
    async fn promote(&self, seen: &Seen, epoch: &Epoch) {
        for (_, place) in self.others(epoch) {
            match self.client.promote(&place.client_url, seen.status.id).await {
                Ok(()) => return self.machine.tell(self.identity, "has caught up, and votes"),
                Err(error) => {
                    self.machine.tell(self.identity, &format!("does not vote yet: {error}"));
                }
            }
        }
    }

    async fn report(&self, seen: Option<&Seen>, epoch: Option<&Epoch>) {
        let blank = blank_report(self.machine, self.identity);
        let report = match seen {
            None => blank,
            Some(seen) => {
                let members = seen.view.members.iter();
                let name = |id| {
                    let listed = seen.view.members.iter().find(|listed| listed.id == id);
                    listed.map(|listed| name_of(listed, epoch))
                };
                MemberReport {
                    is_healthy: seen.view.is_healthy,
                    term: seen.status.term,
                    leader: seen.status.leader.and_then(name),
                    lag: seen.lag,
                    alarms: seen.alarms.clone(),
                    members: members.map(|listed| (name_of(listed, epoch), role(listed))).collect(),
                    version: seen.status.version,
                    cluster_version: seen.view.cluster_version,
                    ..blank
                }
            }
        };
        let report = MemberReport { snapshot_at: self.shared.newest(), ..report };
        write(self.machine, self.identity, &report).await;
    }

    fn refused(&self, reason: RefuseReason) -> NodeError {
        NodeError::Refused { identity: self.identity.clone(), reason: Box::new(reason) }
    }
}

/// How a member is, for whoever takes a snapshot of it.
fn health(seen: Option<&Seen>, epoch: &Epoch) -> Health {
    let Some(seen) = seen else {
        let (version, leader, voters) = (None, None, BTreeSet::new());
        return Health { epoch: epoch.clone(), is_well: false, version, term: 0, voters, leader };
    };
    let named = |listed: &Listed| name_of(listed, Some(epoch));
    let leader = seen.view.members.iter().find(|listed| Some(listed.id) == seen.status.leader);
    Health {
        epoch: epoch.clone(),
        is_well: seen.is_voter() && epoch.cluster_id() == Some(seen.status.cluster_id),
        version: seen.status.version,
        term: seen.status.term,
        voters: seen.view.voters().map(named).collect(),
        leader: leader.map(named),
    }
}

/// Reports that a member does not run yet.
pub(super) async fn report_waiting<C: NodeCloud>(machine: &Machine<C>, identity: &Identity) {
    write(machine, identity, &blank_report(machine, identity)).await;
}

fn blank_report<C: NodeCloud>(machine: &Machine<C>, identity: &Identity) -> MemberReport {
    MemberReport {
        format_version: MemberReport::FORMAT_VERSION,
        member: identity.member.clone(),
        instance_id: machine.instance_id.clone(),
        // Grows over all lives of this program on this boot of the machine.
        sequence: boot_ms(),
        is_healthy: false,
        term: 0,
        leader: None,
        lag: 0,
        alarms: BTreeSet::new(),
        members: BTreeMap::new(),
        snapshot_at: None,
        version: None,
        cluster_version: None,
    }
}

/// A report that is not written makes the member look older than it is, which is safe.
async fn write<C: NodeCloud>(machine: &Machine<C>, identity: &Identity, report: &MemberReport) {
    let key = report_key(&identity.cluster, &identity.etcd, &identity.member);
    let body = serde_json::to_vec(report).unwrap_or_default();
    if let Err(error) = machine.cloud.put(&key, body, Condition::Any).await {
        machine.tell(identity, &format!("its report was not written: {error}"));
    }
}

/// Who has not started has no name of its own: the epoch knows it by its address.
fn name_of(listed: &Listed, epoch: Option<&Epoch>) -> String {
    if !listed.name.is_empty() {
        return listed.name.clone();
    }
    let mut places = epoch.into_iter().flat_map(|epoch| &epoch.members);
    let place = places.find(|(_, place)| listed.peer_urls.contains(&place.peer_url));
    place.map_or_else(|| listed.id.to_string(), |(name, _)| name.clone())
}

fn role(listed: &Listed) -> MemberRole {
    match (listed.is_started(), listed.is_learner) {
        (false, _) => MemberRole::Unstarted,
        (true, true) => MemberRole::Learner,
        (true, false) => MemberRole::Voter,
    }
}
