//! From a volume to a member that runs: look, decide, act, as often as it takes.
//!
//! Each act is one step, after which everything is looked at again; so a machine that is killed between
//! two steps, or meets another machine's act, goes on from what is there.

use std::time::Duration;

use super::client::EtcdClient;
use super::config::{Peers, config, unit};
use super::layout::Layout;
use super::look::{Look, look};
use super::machine::{Machine, NodeCloud, NodeError};
use super::restore::restore;
use super::volume::{Attached, note_version, stamp};
use super::watch::report_waiting;
use crate::boot::settings::Hosted;
use crate::epoch;
use crate::etcd::epoch::{Epoch, Place};
use crate::etcd::start::{
    Answer, Identity, Join, MemberId, Sight, Start, View, Volume, decide, reached,
};
use crate::etcd::version::DataVersion;
use crate::node::host::{off_thread, write_whole};
use crate::node::time::{boot_ms, sleep};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(3);
/// How often is looked: for about an hour, after which the program ends and systemd begins anew.
const LOOKS_MAX: usize = 1200;
/// How old a look may be when etcd is started by it. A machine that slept in between looks again.
const LOOK_AGE_MAX_MS: u64 = 60_000;

/// A member about to start.
pub(super) struct Beginner<'a, C> {
    pub(super) machine: &'a Machine<C>,
    pub(super) identity: &'a Identity,
    pub(super) hosted: &'a Hosted,
    pub(super) layout: &'a Layout,
    pub(super) client: &'a EtcdClient,
}

/// Whether etcd runs after a step.
enum Step {
    /// It does, under this epoch.
    Started(Box<Epoch>),
    /// Not yet: look again.
    Again,
}

impl<C: NodeCloud> Beginner<'_, C> {
    /// Looks, decides and acts until etcd runs; gives the epoch that it was started under.
    ///
    /// # Errors
    /// [`NodeError::Refused`] when only people can decide; etcd does not run then. Any other one says
    /// what failed, and leaves etcd as it was.
    pub(super) async fn begin(&self, volume: &mut Attached) -> Result<Epoch, NodeError> {
        let mut why = String::new();
        for _ in 0..LOOKS_MAX {
            let looked_at = boot_ms();
            let Self { machine, identity, layout, client, .. } = self;
            let look = look(machine, identity, layout, volume, client).await?;
            let start = decide(&look.sight);
            machine.tell(identity, &start.to_string());
            why = start.to_string();
            match self.act(start, &look, looked_at, volume).await {
                Ok(Step::Started(epoch)) => return Ok(*epoch),
                Ok(Step::Again) => {}
                // Members refuse changes while they are not sure of each other.
                Err(NodeError::Etcd(error)) => {
                    why = error.to_string();
                    machine.tell(identity, &why);
                }
                Err(error) => return Err(error),
            }
            report_waiting(self.machine, self.identity).await;
            sleep(PAUSE).await;
        }
        Err(NodeError::WaitedInVain { identity: self.identity.clone(), why })
    }

    async fn act(
        &self,
        start: Start,
        look: &Look,
        looked_at: u64,
        volume: &mut Attached,
    ) -> Result<Step, NodeError> {
        let Look { sight, known: Some(known) } = look else {
            return self.hold(start).await;
        };
        let epoch = &known.epoch;
        match start {
            Start::Wait(_) | Start::Refuse(_) => self.hold(start).await,
            Start::Existing => {
                self.start(sight, epoch, &Peers::of_existing(epoch), looked_at).await
            }
            Start::Bootstrap => {
                self.prepare(sight, epoch, volume).await?;
                if let Some(from) = &epoch.restored_from {
                    // Once its data is made, the member starts on it like any other.
                    restore(self.machine, self.identity, self.layout, epoch, from).await?;
                    return Ok(Step::Again);
                }
                self.start(sight, epoch, &Peers::to_form(self.identity), looked_at).await
            }
            Start::Learner(join) => {
                self.prepare(sight, epoch, volume).await?;
                self.join(join, sight, epoch, looked_at).await
            }
        }
    }

    /// Nothing starts. What runs goes on while it is waited for, and is stopped once it is refused for
    /// anything but its program: what runs then was started by another one.
    async fn hold(&self, start: Start) -> Result<Step, NodeError> {
        let Start::Refuse(reason) = start else { return Ok(Step::Again) };
        if !reason.is_about_program() {
            self.stop().await?;
        }
        let identity = self.identity.clone();
        Err(NodeError::Refused { identity, reason: Box::new(reason) })
    }

    /// Stops etcd, if it runs.
    pub(super) async fn stop(&self) -> Result<(), NodeError> {
        let service = self.layout.service.clone();
        Ok(off_thread(move || service.stop_if_up()).await?)
    }

    /// A file system on the volume, and the note whose it is, before anything else happens to it.
    async fn prepare(
        &self,
        sight: &Sight,
        epoch: &Epoch,
        volume: &mut Attached,
    ) -> Result<(), NodeError> {
        if sight.volume == Volume::Blank {
            volume.format(self.machine, self.layout).await?;
            self.machine.note_progress().await;
        }
        stamp(self.layout, self.identity, epoch).await
    }

    /// One step into the member list; the last one starts etcd.
    async fn join(
        &self,
        join: Join,
        sight: &Sight,
        epoch: &Epoch,
        looked_at: u64,
    ) -> Result<Step, NodeError> {
        let (Some((view, through)), Some(me)) = (healthy(sight, epoch), self.place(epoch)) else {
            return Ok(Step::Again);
        };
        self.machine.note_progress().await;
        match join {
            Join::Replace { lost } => self.remove(through, lost).await.map(|()| Step::Again),
            Join::Add => {
                self.client.add_learner(&through.client_url, &me.peer_url).await?;
                Ok(Step::Again)
            }
            Join::Resume { .. } => {
                let peers = Peers::to_join(self.identity, me, view);
                self.start(sight, epoch, &peers, looked_at).await
            }
        }
    }

    async fn remove(&self, through: &Place, lost: MemberId) -> Result<(), NodeError> {
        Ok(self.client.remove(&through.client_url, lost).await?)
    }

    /// Starts etcd, if what the decision was made by still holds: right before, and not long after.
    /// The note of versions comes first: data is never newer than it says.
    async fn start(
        &self,
        sight: &Sight,
        epoch: &Epoch,
        peers: &Peers,
        at: u64,
    ) -> Result<Step, NodeError> {
        let Some(me) = self.place(epoch) else { return Ok(Step::Again) };
        let config = config(self.hosted, self.layout, epoch, me, peers);
        let unit = unit(self.identity, self.layout, &self.machine.settings.etcd_program);
        let (path, service) = (self.layout.config.clone(), self.layout.service.clone());
        let body = serde_json::to_vec_pretty(&config).unwrap_or_default();
        off_thread(move || {
            write_whole(&path, &body, 0o644)?;
            service.install(&unit)
        })
        .await?;
        let Identity { cluster, etcd, .. } = self.identity;
        let now = epoch::read(&self.machine.cloud, cluster, etcd).await?;
        let Some(now) = now.filter(|now| now.epoch == *epoch) else { return Ok(Step::Again) };
        if boot_ms() - at > LOOK_AGE_MAX_MS {
            return Ok(Step::Again);
        }
        note_version(self.layout, DataVersion::begun(sight.program, reached(sight))).await?;
        let service = self.layout.service.clone();
        off_thread(move || service.start()).await?;
        self.machine.note_progress().await;
        Ok(Step::Started(Box::new(now.epoch)))
    }

    fn place<'e>(&self, epoch: &'e Epoch) -> Option<&'e Place> {
        epoch.members.get(&self.identity.member)
    }
}

/// A healthy member's view of the epoch's cluster, and where that member is.
fn healthy<'s>(sight: &'s Sight, epoch: &'s Epoch) -> Option<(&'s View, &'s Place)> {
    sight.others.iter().find_map(|(name, answer)| match answer {
        Answer::Speaks(view) if view.is_healthy => Some((view, epoch.members.get(name)?)),
        _ => None,
    })
}
