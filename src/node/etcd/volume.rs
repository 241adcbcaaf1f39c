//! A member's volume: found by its tags, attached, looked at, formatted once, mounted.

use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::layout::Layout;
use super::machine::{Machine, NodeCloud, NodeError};
use crate::cloud::machine::MemberVolume;
use crate::cloud::{CloudError, CloudErrorKind};
use crate::etcd::epoch::Epoch;
use crate::etcd::start::{Identity, Stamp, Volume};
use crate::etcd::version::DataVersion;
use crate::node::host::{BlockDevice, Contents, HostError, off_thread, read_if_there, write_whole};
use crate::node::time::sleep;

/// Between two looks at a volume or a disk.
const PAUSE: Duration = Duration::from_secs(2);
/// How often is looked: for 15 minutes. A machine that shuts down holds its volume for as long as its
/// services take to stop, and EC2 for some minutes more.
const LOOKS_MAX: usize = 450;

/// A member's volume on its machine.
#[derive(Clone, Debug)]
pub(super) struct Attached {
    volume_id: String,
    device: BlockDevice,
    is_formatted: bool,
}

impl Attached {
    /// Finds the member's volume and attaches it, as often as another machine still holds it. `index`
    /// is the member's place among those of its machine.
    ///
    /// # Errors
    /// When there is not exactly one volume, the calls fail, or it does not come free in time.
    pub(super) async fn find<C: NodeCloud>(
        machine: &Machine<C>,
        identity: &Identity,
        index: usize,
    ) -> Result<Self, NodeError> {
        let mut trouble = "it is not there yet".to_owned();
        for _ in 0..LOOKS_MAX {
            let volume = look(machine, identity).await?;
            let holder = volume.attached_to.as_deref();
            if holder == Some(machine.instance_id.as_str()) {
                let id = volume.volume_id.clone();
                match off_thread(move || BlockDevice::of_volume(&id)).await? {
                    Some(device) => {
                        let MemberVolume { volume_id, is_formatted, .. } = volume;
                        return Ok(Self { volume_id, device, is_formatted });
                    }
                    None => "the machine does not see its disk".clone_into(&mut trouble),
                }
            } else if let Some(holder) = holder {
                trouble = format!("machine {holder} holds it");
            } else if let Err(error) = attach(machine, &volume.volume_id, index).await {
                trouble = error.to_string();
            }
            machine.tell(identity, &format!("waits for its volume: {trouble}"));
            sleep(PAUSE).await;
        }
        Err(NodeError::Volume { identity: identity.clone(), why: trouble })
    }

    /// Looks at what is on it, and mounts it if that is a file system of kprod's.
    ///
    /// # Errors
    /// When the disk cannot be read or mounted.
    pub(super) async fn inspect(&self, layout: &Layout) -> Result<Volume, NodeError> {
        let (device, layout) = (self.device.clone(), layout.clone());
        let is_formatted = self.is_formatted;
        let seen = off_thread(move || {
            Ok(match device.contents()? {
                Contents::Nothing if is_formatted => Volume::Emptied,
                Contents::Nothing => Volume::Blank,
                Contents::Else(what) => Volume::Strange { what },
                Contents::Ours => {
                    device.mount(&layout.volume)?;
                    let has_data = layout.data_mark().exists();
                    match (note(&layout.stamp())?, note(&layout.version())?) {
                        (Ok(stamp), Ok(version)) => Volume::Ours { stamp, version, has_data },
                        (Err(error), _) => {
                            let what = format!("a note of its owner that makes no sense: {error}");
                            Volume::Strange { what }
                        }
                        (_, Err(error)) => {
                            let what = format!("a note of versions that makes no sense: {error}");
                            Volume::Strange { what }
                        }
                    }
                }
            })
        });
        Ok(seen.await?)
    }

    /// Makes a file system on a blank volume and mounts it. The tag comes first: whatever happens from
    /// then on, the volume is never taken for blank again.
    ///
    /// # Errors
    /// When the tag may not have been set, or the disk cannot be formatted.
    pub(super) async fn format<C: NodeCloud>(
        &mut self,
        machine: &Machine<C>,
        layout: &Layout,
    ) -> Result<(), NodeError> {
        machine.cloud.mark_formatted(&self.volume_id, &machine.instance_id).await?;
        self.is_formatted = true;
        let (device, folder) = (self.device.clone(), layout.volume.clone());
        let made = off_thread(move || {
            device.format()?;
            device.mount(&folder)
        });
        Ok(made.await?)
    }
}

/// Writes whose data the volume is about to hold.
///
/// # Errors
/// When the file cannot be written.
pub(super) async fn stamp(
    layout: &Layout,
    identity: &Identity,
    epoch: &Epoch,
) -> Result<(), NodeError> {
    let (path, stamp) = (layout.stamp(), Stamp::new(identity, epoch));
    let body = serde_json::to_vec_pretty(&stamp).unwrap_or_default();
    Ok(off_thread(move || write_whole(&path, &body, 0o644)).await?)
}

/// A file of JSON beside the data; none if it is not there.
fn note<T: DeserializeOwned>(
    path: &Path,
) -> Result<Result<Option<T>, serde_json::Error>, HostError> {
    let body = read_if_there(path)?;
    Ok(body.map(|body| serde_json::from_slice(&body)).transpose())
}

/// Notes which program is about to write the data, or at which cluster version it was written.
///
/// # Errors
/// When the file cannot be written.
pub(super) async fn note_version(layout: &Layout, version: DataVersion) -> Result<(), NodeError> {
    let path = layout.version();
    let body = serde_json::to_vec_pretty(&version).unwrap_or_default();
    Ok(off_thread(move || write_whole(&path, &body, 0o644)).await?)
}

/// The one volume that is the member's.
async fn look<C: NodeCloud>(
    machine: &Machine<C>,
    identity: &Identity,
) -> Result<MemberVolume, NodeError> {
    let Identity { cluster, etcd, member } = identity;
    let mut found = machine.cloud.member_volumes(cluster, etcd, member).await?;
    let volume = found.pop();
    match volume {
        Some(volume) if found.is_empty() => Ok(volume),
        Some(volume) => {
            let ids = found.iter().chain([&volume]).map(|volume| volume.volume_id.as_str());
            let ids = ids.collect::<Vec<_>>().join(", ");
            let why = format!("there are several: {ids}; only one may carry the member's tags");
            Err(NodeError::Volume { identity: identity.clone(), why })
        }
        None => {
            let why = "there is none; `kprod apply` makes it".to_owned();
            Err(NodeError::Volume { identity: identity.clone(), why })
        }
    }
}

/// Asks for the volume; what another attempt may mend is no failure.
async fn attach<C: NodeCloud>(
    machine: &Machine<C>,
    volume_id: &str,
    index: usize,
) -> Result<(), CloudError> {
    machine.cloud.attach_volume(volume_id, &machine.instance_id, &device_name(index)).await
}

/// The name that EC2 knows the attachment by; the disk is found by its serial number.
/// Source: EC2 user guide, "Device names for volumes on Amazon EC2 instances": `/dev/sd[f-p]`.
fn device_name(index: usize) -> String {
    let letter = (b'f'..=b'p').nth(index).unwrap_or(b'p');
    format!("/dev/sd{}", char::from(letter))
}

impl From<CloudError> for NodeError {
    fn from(error: CloudError) -> Self {
        // What a machine may not do it will not be able to do by trying again.
        match error.kind {
            CloudErrorKind::Denied => NodeError::Denied(error),
            _ => NodeError::Cloud(error),
        }
    }
}
