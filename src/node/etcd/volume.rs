//! A member's volume: found by its tags, attached, looked at, formatted once, mounted.

mod begun;

use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;

use self::begun::Begun;
use super::layout::Layout;
use super::machine::{Machine, NodeCloud, NodeError};
use crate::cloud::machine::{MachineCloud, MemberVolume};
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
/// How often the tag is written that comes before a file system: for a minute. Once more does no harm, and an
/// answer that was lost may have been a yes.
const MARKS_MAX: usize = 30;

/// A member's volume on its machine.
#[derive(Clone, Debug)]
pub(super) struct Attached {
    /// The volume and the machine, as they are noted when a file system is about to be made.
    mine: Begun,
    device: BlockDevice,
    formatted_by: Option<String>,
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
                        let MemberVolume { volume_id, formatted_by, .. } = volume;
                        let mine = Begun { volume_id, instance_id: machine.instance_id.clone() };
                        return Ok(Self { mine, device, formatted_by });
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
        let (Self { mine, device, formatted_by }, layout) = (self.clone(), layout.clone());
        let seen = off_thread(move || {
            Ok(match device.contents()? {
                Contents::Nothing => {
                    let noted = Begun::read(&layout.formatting)?;
                    mine.nothing_on_it(formatted_by.as_deref(), noted.as_ref())
                }
                Contents::Else(what) => Volume::Strange { what },
                Contents::Ours => {
                    Begun::forget(&layout.formatting)?;
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
    /// then on, the volume is blank for nobody else again.
    ///
    /// # Errors
    /// When the tag may not have been set, or the disk cannot be formatted.
    pub(super) async fn format<C: NodeCloud>(
        &mut self,
        machine: &Machine<C>,
        layout: &Layout,
    ) -> Result<(), NodeError> {
        let (mine, note) = (self.mine.clone(), layout.formatting.clone());
        off_thread(move || mine.write(&note)).await?;
        mark(&machine.cloud, &self.mine, PAUSE).await?;
        self.formatted_by = Some(self.mine.instance_id.clone());
        let (device, layout) = (self.device.clone(), layout.clone());
        let made = off_thread(move || {
            device.format()?;
            Begun::forget(&layout.formatting)?;
            device.mount(&layout.volume)
        });
        Ok(made.await?)
    }
}

/// Sets the tag, as often as another attempt may help.
async fn mark(cloud: &impl MachineCloud, begun: &Begun, pause: Duration) -> Result<(), CloudError> {
    let mark = || cloud.mark_formatted(&begun.volume_id, &begun.instance_id);
    for _ in 1..MARKS_MAX {
        match mark().await {
            Err(error) if error.kind.is_retriable() => sleep(pause).await,
            done => return done,
        }
    }
    mark().await
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::sync::Mutex;

    use super::*;
    use crate::cloud::machine::{Hook, Launch};

    /// An account in which setting the tag fails so often, with the tag set or not.
    struct Flaky {
        kind: CloudErrorKind,
        failures: usize,
        calls: Mutex<Vec<(String, String)>>,
    }

    impl MachineCloud for Flaky {
        async fn this_instance(&self, _: &str) -> Result<String, CloudError> {
            Ok("i-1".to_owned())
        }

        async fn member_volumes(
            &self,
            _: &str,
            _: &str,
            _: &str,
        ) -> Result<Vec<MemberVolume>, CloudError> {
            Ok(Vec::new())
        }

        async fn attach_volume(&self, _: &str, _: &str, _: &str) -> Result<(), CloudError> {
            Ok(())
        }

        async fn mark_formatted(&self, volume_id: &str, value: &str) -> Result<(), CloudError> {
            let mut calls = self.calls.lock().unwrap();
            calls.push((volume_id.to_owned(), value.to_owned()));
            match calls.len() > self.failures {
                true => Ok(()),
                false => Err(CloudError::new(self.kind, "CreateTags", "Some", "trouble")),
            }
        }

        async fn extend_launch(&self, _: &Launch) -> Result<Hook, CloudError> {
            Ok(Hook::Gone)
        }

        async fn complete_launch(&self, _: &Launch) -> Result<Hook, CloudError> {
            Ok(Hook::Gone)
        }
    }

    #[tokio::test]
    async fn the_tag_is_set_again_where_that_may_help_and_not_for_ever() {
        let begun = Begun { volume_id: "vol-1".to_owned(), instance_id: "i-1".to_owned() };
        for kind in CloudErrorKind::ALL {
            for failures in [0, 1, MARKS_MAX - 1, MARKS_MAX, 3 * MARKS_MAX] {
                let cloud = Flaky { kind, failures, calls: Mutex::default() };
                let set = mark(&cloud, &begun, Duration::ZERO).await;
                let calls = cloud.calls.into_inner().unwrap();
                let tries = if kind.is_retriable() { MARKS_MAX } else { 1 };
                assert_eq!(calls.len(), tries.min(failures + 1), "{kind:?}, {failures}");
                assert_eq!(set.is_ok(), failures < tries, "{kind:?}, {failures}");
                assert!(calls.iter().all(|call| *call == ("vol-1".to_owned(), "i-1".to_owned())));
            }
        }
    }
}
