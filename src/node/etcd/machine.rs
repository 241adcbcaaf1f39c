//! The machine: who it is, what it talks to, what it has to say, and its launch.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::client::EtcdError;
use super::leaves::LeafError;
use super::snapshot::SnapshotError;
use crate::boot::settings::Settings;
use crate::cloud::machine::{Hook, Launch};
use crate::cloud::{Archive, Cloud, CloudError, MachineCloud, Parameters, StoreError};
use crate::epoch::EpochStoreError;
use crate::etcd::start::{Identity, RefuseReason};
use crate::etcd::version::NoVersion;
use crate::node::host::HostError;
use crate::node::time::{boot_ms, sleep};

/// All of the cloud that a machine needs.
pub trait NodeCloud: Archive + Cloud + MachineCloud + Parameters {}

impl<C: Archive + Cloud + MachineCloud + Parameters> NodeCloud for C {}

/// Takes what a member has to say, for people.
pub type Announce = Arc<dyn Fn(&Identity, &str) + Send + Sync>;

/// The machine that this program runs on.
pub struct Machine<C> {
    /// Its account.
    pub(super) cloud: C,
    /// What it was told.
    pub(super) settings: Settings,
    /// Who it is.
    pub(super) instance_id: String,
    announce: Announce,
    /// What each member said last: it says nothing twice.
    said: Mutex<BTreeMap<Identity, String>>,
    /// When the launch hook last heard of progress, in milliseconds since boot.
    extended_at: Mutex<Option<u64>>,
}

/// What keeps a member from its life.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Only people can decide.
    #[error("member {} of etcd {} does not start: {reason}", identity.member, identity.etcd)]
    Refused {
        /// The member.
        identity: Identity,
        /// Why.
        reason: Box<RefuseReason>,
    },
    /// Nothing changed for too long.
    #[error("member {} of etcd {} waited in vain: {why}", identity.member, identity.etcd)]
    WaitedInVain {
        /// The member.
        identity: Identity,
        /// For what.
        why: String,
    },
    /// Its volume is not there.
    #[error("the volume of member {} of etcd {}: {why}", identity.member, identity.etcd)]
    Volume {
        /// The member.
        identity: Identity,
        /// What is wrong.
        why: String,
    },
    /// The machine's role lacks a right.
    #[error("the machine's role lacks a right: {0}")]
    Denied(CloudError),
    /// A call failed.
    #[error(transparent)]
    Cloud(CloudError),
    /// The state bucket failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The epoch cannot be read or written.
    #[error(transparent)]
    Epoch(#[from] EpochStoreError),
    /// Its certificates are not there.
    #[error("the certificates of member {} of etcd {}: {why}", identity.member, identity.etcd)]
    Leaves {
        /// The member.
        identity: Identity,
        /// What is wrong.
        why: Box<LeafError>,
    },
    /// Its program is none of etcd's.
    #[error("{} is no program of etcd: {why}", program.display())]
    Program {
        /// Where it is.
        program: PathBuf,
        /// What is wrong with what it says.
        why: NoVersion,
    },
    /// A snapshot could not be taken, or is not what it should be.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The machine failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// etcd failed.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
}

/// The least time between two signs of progress: the hook waits for 300 s from each.
const EXTEND_MS: u64 = 60_000;
/// How often the hook is told that the machine is up, and how far apart.
const COMPLETIONS_MAX: usize = 40;
const COMPLETION_PAUSE: Duration = Duration::from_secs(15);

impl<C: NodeCloud> Machine<C> {
    /// The machine that this program runs on.
    ///
    /// # Errors
    /// When nobody says who it is.
    pub async fn this(
        cloud: C,
        settings: Settings,
        announce: Announce,
    ) -> Result<Self, CloudError> {
        let instance_id = cloud.this_instance(&settings.auto_scaling_group_name).await?;
        let (said, extended_at) = (Mutex::default(), Mutex::default());
        Ok(Self { cloud, settings, instance_id, announce, said, extended_at })
    }

    /// Says something of a member, unless that is what was said last.
    pub(super) fn tell(&self, identity: &Identity, text: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.get(identity).is_none_or(|last| last != text) {
            said.insert(identity.clone(), text.to_owned());
            (self.announce)(identity, text);
        }
    }

    /// Has the launch hook wait on, since something went on. That it could not be told ends nothing:
    /// it has minutes yet.
    pub(super) async fn note_progress(&self) {
        let Some(launch) = self.launch() else { return };
        if !self.may_extend() {
            return;
        }
        if let Err(error) = self.cloud.extend_launch(&launch).await {
            self.tell_all(&format!("the launch hook was not told of progress: {error}"));
        }
    }

    /// Completes the launch; once only, when every member is a healthy voter.
    pub(super) async fn complete_launch(&self) {
        let Some(launch) = self.launch() else { return };
        for _ in 0..COMPLETIONS_MAX {
            match self.cloud.complete_launch(&launch).await {
                Ok(Hook::Heard) => return self.tell_all("the machine's launch is complete"),
                Ok(Hook::Gone) => return self.tell_all("no launch hook waits for the machine"),
                Err(error) => self.tell_all(&format!("the launch is not complete yet: {error}")),
            }
            sleep(COMPLETION_PAUSE).await;
        }
    }

    /// The members that the machine hosts, in the order of its settings.
    pub(super) fn members(&self) -> Vec<Identity> {
        let identity = |hosted: &crate::boot::settings::Hosted| Identity {
            cluster: self.settings.cluster.clone(),
            etcd: hosted.etcd.clone(),
            member: hosted.member.clone(),
        };
        self.settings.members.iter().map(identity).collect()
    }

    fn launch(&self) -> Option<Launch> {
        let hook = self.settings.launch_hook.clone()?;
        let auto_scaling_group_name = self.settings.auto_scaling_group_name.clone();
        let instance_id = self.instance_id.clone();
        Some(Launch { auto_scaling_group_name, hook, instance_id })
    }

    fn may_extend(&self) -> bool {
        let now = boot_ms();
        let mut at = self.extended_at.lock().unwrap_or_else(PoisonError::into_inner);
        let may = at.is_none_or(|at| now.saturating_sub(at) >= EXTEND_MS);
        if may {
            *at = Some(now);
        }
        may
    }

    fn tell_all(&self, text: &str) {
        for identity in self.members() {
            self.tell(&identity, text);
        }
    }
}
