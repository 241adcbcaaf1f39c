//! A member's data from the snapshot that its epoch begins with.
//!
//! The data appears whole or not at all: it is made in a folder beside, and renamed. What was fetched is
//! held to the sum in the epoch first, and to etcd's own.

use super::layout::Layout;
use super::machine::{Machine, NodeCloud, NodeError};
use super::snapshot::{SnapshotError, Tools, look_into};
use crate::cloud::archive::{Address, OBJECT_BYTES_MAX};
use crate::etcd::epoch::{Epoch, Restored};
use crate::etcd::snapshot::{Restore, Tooling};
use crate::etcd::start::Identity;
use crate::node::host::{fresh_folder, off_thread, remove_folder, rename_whole};

/// Makes the member's data, where there is none yet.
///
/// # Errors
/// When the snapshot is not there, is not what the epoch says, or etcd's program fails.
pub(super) async fn restore<C: NodeCloud>(
    machine: &Machine<C>,
    identity: &Identity,
    layout: &Layout,
    epoch: &Epoch,
    from: &Restored,
) -> Result<(), NodeError> {
    machine.tell(identity, &format!("begins with the snapshot {}", from.snapshot));
    let folder = layout.snapshots.clone();
    off_thread(move || fresh_folder(&folder)).await?;
    let made = restore_in(machine, identity, layout, epoch, from).await;
    let folder = layout.snapshots.clone();
    let removed = off_thread(move || remove_folder(&folder)).await;
    made?;
    Ok(removed?)
}

async fn restore_in<C: NodeCloud>(
    machine: &Machine<C>,
    identity: &Identity,
    layout: &Layout,
    epoch: &Epoch,
    from: &Restored,
) -> Result<(), SnapshotError> {
    let file = layout.snapshots.join("snapshot.db");
    let object = from.snapshot.clone();
    let address: Address = object.parse()?;
    if !machine.cloud.fetch(&address, &file, OBJECT_BYTES_MAX).await? {
        return Err(SnapshotError::Missing { object });
    }
    let content = look_into(file.clone(), &object).await?;
    if content.sha256 != from.sha256 {
        let (found, wanted) = (content.sha256, from.sha256.clone());
        return Err(SnapshotError::Changed { object, found, wanted });
    }
    machine.note_progress().await;
    let tools = Tools { server: machine.settings.etcd_program.clone() };
    let tooling = Tooling::of(tools.version().await?).map_err(SnapshotError::from)?;
    // On the member's own volume, so that a rename is all that is left to do.
    let beside = layout.volume.join("data.new");
    let args = Restore {
        file: &file.to_string_lossy(),
        data: &beside.to_string_lossy(),
        member: &identity.member,
        members: &epoch.members,
        token: &epoch.token,
        bump_revisions: from.bump_revisions,
    }
    .args(tooling)
    .map_err(SnapshotError::from)?;
    let left = beside.clone();
    off_thread(move || remove_folder(&left)).await?;
    tools.restore(tooling, args).await?;
    let data = layout.data();
    off_thread(move || rename_whole(&beside, &data)).await?;
    machine.note_progress().await;
    Ok(())
}
