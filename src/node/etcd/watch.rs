//! A member that runs: looked at every few seconds, as long as the machine lives.
//!
//! A learner that has caught up gets its vote; the first healthy quorum closes the epoch; what the
//! member is goes to its key in the state bucket. When its epoch is over, the member is stopped: it is
//! of a cluster that people have left behind.

mod owed;
mod told;
mod under;

use std::collections::BTreeSet;
use std::time::Duration;

use self::owed::Owed;
use self::under::Under;
use super::client::{EtcdClient, EtcdError, Status};
use super::layout::Layout;
use super::machine::{Machine, NodeCloud, NodeError};
use super::snapshot::Shared;
use super::volume::note_version;
use crate::cloud::{Condition, StoreError};
use crate::epoch::{self, EpochStoreError, Known};
use crate::etcd::epoch::{Epoch, Phase, Place};
use crate::etcd::report::{MemberReport, report_key};
use crate::etcd::start::{Identity, Listed, RefuseReason, View};
use crate::etcd::version::DataVersion;
use crate::node::time::{boot_ms, sleep};

/// Between two looks, until the member votes and is well.
const FAST: Duration = Duration::from_secs(1);
/// From then on: reports are this far apart.
const SLOW: Duration = Duration::from_secs(10);
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
    /// The epoch that etcd was started under.
    pub(super) started: &'a Epoch,
}

/// What was seen of a member at a moment.
struct Seen {
    status: Status,
    view: View,
    /// The alarms that are raised; none if nobody could read them.
    alarms: Option<BTreeSet<String>>,
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

    /// Whether it may be counted on: nobody knows that while its alarms are not read.
    fn is_healthy(&self) -> bool {
        self.view.is_healthy && self.alarms.is_some()
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
        let mut under = Under::new(self.started.clone());
        let mut noted = None;
        let (mut gone, mut applied) = (0, 0);
        let mut is_ready = false;
        let mut owed = Owed::new();
        let began_at = boot_ms();
        loop {
            if under.is_due(boot_ms())
                && let Some(newest) = self.read_epoch().await
            {
                under.take(newest, boot_ms()).map_err(|reason| self.refused(reason))?;
            }
            let known = under.known();
            let epoch = known.map(|known| &known.epoch);
            let seen = match epoch {
                Some(epoch) => self.see(epoch).await,
                None => None,
            };
            gone = if seen.is_some() { 0 } else { gone + 1 };
            if let (Some(seen), Some(known)) = (&seen, known) {
                if seen.status.applied > applied {
                    applied = seen.status.applied;
                    if !is_ready {
                        self.machine.note_progress().await;
                    }
                }
                self.care(seen, known).await?;
                noted = self.note_version(seen, noted).await;
                let is_closed = known.epoch.cluster_id() == Some(seen.status.cluster_id);
                if seen.is_voter() && is_closed {
                    if owed.is_due() {
                        owed.note(self.write_voter(&known.epoch).await);
                    }
                    if !std::mem::replace(&mut is_ready, true) {
                        self.machine.tell(self.identity, "is a healthy voter");
                        ready();
                    }
                }
            }
            self.shared.see(epoch.map(|epoch| told::health(seen.as_ref(), epoch)));
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

    /// Asks the member what it is; none when it does not answer.
    async fn see(&self, epoch: &Epoch) -> Option<Seen> {
        let me = epoch.members.get(&self.identity.member)?;
        let seen = async {
            let status = self.client.status(&me.client_url).await?;
            let view = match status.is_learner {
                false => self.client.view(&me.client_url).await?,
                true => self.view_of_others(epoch, &status).await?,
            };
            let alarms = self.alarms(&status, &me.client_url).await;
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

    /// The alarms as the member knows them; none if it does not tell. A learner is not asked: it tells nothing
    /// of the sort, and counts for nothing.
    async fn alarms(&self, status: &Status, url: &str) -> Option<BTreeSet<String>> {
        if status.is_learner {
            return Some(BTreeSet::new());
        }
        match self.client.alarms(url).await {
            Ok(alarms) => Some(alarms),
            Err(error) => {
                self.machine.tell(self.identity, &format!("its alarms were not read: {error}"));
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

    /// Has the cluster agree on a write once the member votes; whether it did. etcd 3.4 notes in its data how
    /// far it has come at writes, and at no change of members: where no write follows one, 3.5 makes the change
    /// once more, marks the members as removed that are to come, and 3.6 goes by those marks.
    /// Source: etcd v3.5.26 `server/etcdserver/server.go`, `apply`;
    /// `server/etcdserver/api/membership/cluster.go`, `CleanupZombieMembersIfNeeded`.
    async fn write_voter(&self, epoch: &Epoch) -> bool {
        let member = &self.identity.member;
        let Some(me) = epoch.members.get(member) else { return false };
        let written = self.client.write_voter(&me.client_url, member).await;
        if let Err(error) = &written {
            self.machine.tell(self.identity, &format!("takes no write: {error}"));
        }
        written.is_ok()
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
            Some(seen) => told::report(seen, epoch, blank),
        };
        let report = MemberReport { snapshot_at: self.shared.newest(), ..report };
        write(self.machine, self.identity, &report).await;
    }

    fn refused(&self, reason: RefuseReason) -> NodeError {
        NodeError::Refused { identity: self.identity.clone(), reason: Box::new(reason) }
    }
}

/// Reports that a member does not run yet.
pub(super) async fn report_waiting<C: NodeCloud>(machine: &Machine<C>, identity: &Identity) {
    write(machine, identity, &blank_report(machine, identity)).await;
}

fn blank_report<C: NodeCloud>(machine: &Machine<C>, identity: &Identity) -> MemberReport {
    // Grows over all lives of this program on this boot of the machine.
    MemberReport::blank(&identity.member, &machine.instance_id, boot_ms())
}

/// A report that is not written makes the member look older than it is, which is safe.
async fn write<C: NodeCloud>(machine: &Machine<C>, identity: &Identity, report: &MemberReport) {
    let key = report_key(&identity.cluster, &identity.etcd, &identity.member);
    let body = serde_json::to_vec(report).unwrap_or_default();
    if let Err(error) = machine.cloud.put(&key, body, Condition::Any).await {
        machine.tell(identity, &format!("its report was not written: {error}"));
    }
}
