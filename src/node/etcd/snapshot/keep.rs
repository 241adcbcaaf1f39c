//! Looking, deciding, taking, recording, pruning.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::deliver::{Part, deliver};
use super::save::Tools;
use super::{Health, Shared, SnapshotError, lock, look_into};
use crate::cloud::StoreError;
use crate::cloud::archive::{Address, Stored};
use crate::etcd::snapshot::{
    CERTIFICATES_PART, Content, Lying, Member, Reason, Record, Request, SNAPSHOT_PART, Sorted,
    Store, Taken, Tooling, Turn, discarded, name, object, prefix, sha256_of, sort, turn,
};
use crate::etcd::start::Identity;
use crate::node::etcd::layout::Layout;
use crate::node::etcd::machine::{Machine, NodeCloud};
use crate::node::host::{fresh_folder, off_thread, remove_folder, write_whole};
use crate::node::time::{boot_ms, sleep};
use crate::snapshot::{self, Known, SnapshotStoreError};

/// Between two looks: whoever asks for a snapshot waits no longer for it to begin.
const PAUSE: Duration = Duration::from_secs(10);
/// Between two reads of the list while nothing is asked for.
const LIST_MS: u64 = 60_000;
/// How often a record is written: another member may write the list at the same moment.
const RECORDS_MAX: usize = 5;

/// Takes the snapshots of a member.
pub(in crate::node::etcd) struct Keeper<'a, C> {
    pub(in crate::node::etcd) machine: &'a Machine<C>,
    pub(in crate::node::etcd) identity: &'a Identity,
    pub(in crate::node::etcd) layout: &'a Layout,
    pub(in crate::node::etcd) store: &'a Store,
    pub(in crate::node::etcd) shared: &'a Shared,
}

impl<C: NodeCloud> Keeper<'_, C> {
    /// Takes what is due, for as long as it is asked to.
    pub(in crate::node::etcd) async fn keep(&self) {
        let mut known: Option<(Known, u64)> = None;
        loop {
            if let Err(error) = self.look(&mut known).await {
                known = None;
                self.tell(&format!("no snapshot was taken: {error}"));
            }
            self.shared.set_taking(false);
            sleep(PAUSE).await;
        }
    }

    async fn look(&self, known: &mut Option<(Known, u64)>) -> Result<(), SnapshotError> {
        let Identity { cluster, etcd, .. } = self.identity;
        let cloud = &self.machine.cloud;
        let asked = snapshot::request(cloud, cluster, etcd).await?;
        let request = asked.request.filter(|request| request.is_alive(cloud.now()));
        let is_fresh = |(_, at): &(Known, u64)| boot_ms().saturating_sub(*at) < LIST_MS;
        let read = match known.take().filter(is_fresh).filter(|_| request.is_none()) {
            Some(read) => read,
            None => (snapshot::read(cloud, cluster, etcd).await?, boot_ms()),
        };
        *lock(&self.shared.newest) = read.0.list.newest().map(|record| record.taken_at);
        let (list, _) = known.insert(read);
        let Some(health) = lock(&self.shared.health).clone() else { return Ok(()) };
        let member = Member {
            cluster,
            name: &self.identity.member,
            token: &health.epoch.token,
            is_well: health.is_well,
            voters: &health.voters,
            leader: health.leader.as_deref(),
        };
        let schedule = &self.store.schedule;
        let Turn::Take(reason) = turn(&member, &list.list, request.as_ref(), schedule, cloud.now())
        else {
            return Ok(());
        };
        self.shared.set_taking(true);
        let claimed = list.list.claimed(&self.identity.member, cloud.now());
        match snapshot::follow(cloud, cluster, etcd, list, claimed).await {
            // Somebody else was faster; look again.
            Err(SnapshotStoreError::Store(StoreError::Conflict(_))) => {
                *known = None;
                return Ok(());
            }
            followed => drop(followed?),
        }
        *known = None;
        let request = request.filter(|_| matches!(reason, Reason::Asked { .. }));
        self.take(&health, request.as_ref()).await
    }

    /// Takes one, in a folder that is gone afterwards.
    async fn take(&self, health: &Health, request: Option<&Request>) -> Result<(), SnapshotError> {
        let folder = self.layout.snapshots.clone();
        off_thread(move || fresh_folder(&folder)).await?;
        let taken = self.take_in(&self.layout.snapshots, health, request).await;
        let folder = self.layout.snapshots.clone();
        let removed = off_thread(move || remove_folder(&folder)).await;
        let record = taken?;
        removed?;
        self.tell(&format!(
            "took the snapshot {}: revision {}, {} bytes, read back and compared",
            record.name, record.revision, record.bytes
        ));
        self.record(&record, health).await
    }

    async fn take_in(
        &self,
        folder: &Path,
        health: &Health,
        request: Option<&Request>,
    ) -> Result<Record, SnapshotError> {
        let Identity { cluster, etcd, member } = self.identity;
        let cloud = &self.machine.cloud;
        let tools = Tools { server: self.machine.settings.etcd_program.clone() };
        let file = folder.join(SNAPSHOT_PART);
        let at = cloud.now();
        self.save(&tools, health, &file, request.is_some_and(|request| request.alone)).await?;
        let content = look_into(file.clone(), "just taken").await?;
        let etcd_version = match health.version {
            Some(version) => version,
            None => tools.version().await?,
        };
        let revision = tools.revision(Tooling::of(etcd_version)?, &file).await?;
        let taken = Taken { member: member.clone(), revision, at, content: content.clone() };
        let name = name(&taken);
        let part = |part: &str, content: &Content| Part {
            object: object(&self.store.store, cluster, etcd, &name, part),
            file: folder.join(part),
            content: content.clone(),
        };
        let certificates = self.certificates(folder).await?;
        let beside = part(CERTIFICATES_PART, &certificates);
        let whole = part(SNAPSHOT_PART, &content);
        let address = whole.object.clone();
        // What lies there without a snapshot broke off on its way: the snapshot is the last to come.
        deliver(cloud, &[beside, whole]).await?;
        Ok(Record {
            name,
            object: address,
            member: member.clone(),
            epoch: health.epoch.number,
            token: health.epoch.token.clone(),
            cluster_id: health.epoch.cluster_id().unwrap_or(crate::etcd::ClusterId(0)),
            etcd_version,
            revision,
            term: health.term,
            bytes: content.bytes,
            sha256: content.sha256,
            taken_at: at,
            verified_at: cloud.now(),
            certificates_sha256: certificates.sha256,
            request: request.map(|request| request.id.clone()),
        })
    }

    async fn save(
        &self,
        tools: &Tools,
        health: &Health,
        file: &Path,
        is_alone: bool,
    ) -> Result<(), SnapshotError> {
        let place = health.epoch.members.get(&self.identity.member);
        let url = place.map(|place| place.client_url.as_str()).unwrap_or_default();
        match tools.save(self.layout, url, file).await {
            Err(error) if is_alone => {
                self.tell(&format!("serves nobody ({error}); its data is copied as it lies there"));
                Ok(Tools::copy(self.layout, file).await?)
            }
            saved => Ok(saved?),
        }
    }

    /// The certificates of the cluster's authorities. Their keys stay where they are, in the parameter
    /// store: a snapshot's reader is not to be able to sign.
    async fn certificates(&self, folder: &Path) -> Result<Content, SnapshotError> {
        let public = self.machine.cloud.public(&self.identity.cluster).await?;
        let body = serde_json::to_vec_pretty(&public).unwrap_or_default();
        let content = Content { bytes: body.len() as u64, sha256: sha256_of(&body) };
        let path = folder.join(CERTIFICATES_PART);
        off_thread(move || write_whole(&path, &body, 0o600)).await?;
        Ok(content)
    }

    /// Writes the record, and takes out of the list what is kept no longer. What lies in the archive
    /// goes after it: what is listed is there.
    async fn record(&self, record: &Record, health: &Health) -> Result<(), SnapshotError> {
        let Identity { cluster, etcd, .. } = self.identity;
        let cloud = &self.machine.cloud;
        for attempt in 1..=RECORDS_MAX {
            let known = snapshot::read(cloud, cluster, etcd).await?;
            let from = health.epoch.restored_from.as_ref().map(|from| from.snapshot.as_str());
            let held: BTreeSet<String> = known
                .list
                .snapshots
                .iter()
                .filter(|held| Some(held.object.as_str()) == from)
                .map(|held| held.name.clone())
                .collect();
            let with = known.list.with(record.clone());
            let Sorted { kept, gone } =
                sort(&with, cluster, &self.store.schedule, cloud.now(), &held);
            match snapshot::follow(cloud, cluster, etcd, &known, kept).await {
                Err(SnapshotStoreError::Store(StoreError::Conflict(_)))
                    if attempt < RECORDS_MAX => {}
                Err(error) => return Err(error.into()),
                Ok(known) => {
                    *lock(&self.shared.newest) = known.list.newest().map(|record| record.taken_at);
                    lock(&self.shared.gone).extend(gone.into_iter().map(|record| record.name));
                    if let Err(error) = self.prune(&known).await {
                        self.tell(&format!(
                            "snapshots that are kept no longer are still there: {error}"
                        ));
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Removes what has left the list, and what is left of an upload that broke off long ago. What could not
    /// be removed is tried again after the next snapshot.
    async fn prune(&self, known: &Known) -> Result<(), SnapshotError> {
        let Identity { cluster, etcd, .. } = self.identity;
        let cloud = &self.machine.cloud;
        let place: Address = prefix(&self.store.store, cluster, etcd).parse()?;
        let stored = cloud.stored(&place).await?;
        let lying: Vec<(Lying, Address)> =
            stored.into_iter().filter_map(|stored| below(&place, stored)).collect();
        let gone = lock(&self.shared.gone).clone();
        let all: Vec<Lying> = lying.iter().map(|(lying, _)| lying.clone()).collect();
        let goes = discarded(&known.list, &gone, &all, cloud.now());
        // The snapshot before what lies beside it: then it is known for what is left of one.
        for is_snapshot in [true, false] {
            let parts = lying.iter().filter(|(one, _)| (one.part == SNAPSHOT_PART) == is_snapshot);
            for (_, address) in parts.filter(|(one, _)| goes.contains(&one.name)) {
                cloud.discard(address).await?;
            }
        }
        lock(&self.shared.gone).clear();
        Ok(())
    }

    fn tell(&self, text: &str) {
        self.machine.tell(self.identity, text);
    }
}

/// An object as part of a snapshot, below the place of all of them.
fn below(place: &Address, stored: Stored) -> Option<(Lying, Address)> {
    let (name, part) = stored.address.key.strip_prefix(&place.key)?.split_once('/')?;
    let (name, part) = (name.to_owned(), part.to_owned());
    Some((Lying { name, part, written_at: stored.written_at }, stored.address))
}
