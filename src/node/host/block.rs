//! Disks: found by their serial number, looked at, formatted, mounted.

#![expect(clippy::disallowed_methods, reason = "devices and mount points are files")]

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::HostError;
use super::run::{LIMIT, failed, must, run};

/// Where udev names disks by their serial numbers. An EBS volume's is its id without the dash.
/// Source: EC2 user guide, "Identify the EBS device", and systemd's `60-persistent-storage.rules`.
const BY_ID: &str = "/dev/disk/by-id";
const EBS_PREFIX: &str = "nvme-Amazon_Elastic_Block_Store_";

/// How much of a blank disk has to be zero.
const BLANK_BYTES: usize = 1 << 20;
/// The label of kprod's file systems; ext4 takes 16 bytes.
const LABEL: &str = "kprod-etcd";
/// Making a file system of the largest volume takes seconds, since tables are written later.
const FORMAT_LIMIT: Duration = Duration::from_secs(300);
/// Mounting replays a journal.
const MOUNT_LIMIT: Duration = Duration::from_secs(300);
/// blkid's exit code for "nothing found". Source: blkid(8), "EXIT STATUS".
const NOTHING_FOUND: i32 = 2;

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockDevice {
    path: PathBuf,
}

/// What is on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Nothing: no signature, and zeroes at its beginning.
    Nothing,
    /// A file system that kprod made.
    Ours,
    /// Something else.
    Else(String),
}

impl BlockDevice {
    /// Finds the disk that a volume is, once the kernel has it; none before.
    ///
    /// # Errors
    /// When the folder of disks cannot be read.
    pub fn of_volume(volume_id: &str) -> Result<Option<Self>, HostError> {
        let link = Path::new(BY_ID).join(format!("{EBS_PREFIX}{}", volume_id.replace('-', "")));
        match fs::canonicalize(&link) {
            Ok(path) => Ok(Some(Self { path })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(HostError::file("cannot find the disk", link, error)),
        }
    }

    /// Looks at what is on it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn contents(&self) -> Result<Contents, HostError> {
        let device = self.name();
        let args = ["-p", "-o", "export", device.as_str()];
        let output = run("blkid", &args, LIMIT)?;
        if output.status.success() {
            return Ok(by_signature(&String::from_utf8_lossy(&output.stdout)));
        }
        if output.status.code() != Some(NOTHING_FOUND) {
            return Err(failed("blkid", &args, &output));
        }
        Ok(match self.begins_with_zeroes()? {
            true => Contents::Nothing,
            false => Contents::Else("bytes without a signature".to_owned()),
        })
    }

    /// Makes a file system on it. Whatever was on it would be gone then, so it is looked at once more,
    /// right before.
    ///
    /// # Errors
    /// When there is something on it, or mkfs fails.
    pub fn format(&self) -> Result<(), HostError> {
        if self.contents()? != Contents::Nothing {
            let cause = std::io::Error::other("there is something on it");
            return Err(HostError::file("will not format", &self.path, cause));
        }
        let device = self.name();
        // No blocks are kept back for root: etcd's own limit is what ends writes.
        let args = ["-q", "-m", "0", "-L", LABEL, device.as_str()];
        must("mkfs.ext4", &args, FORMAT_LIMIT).map(|_| ())
    }

    /// Mounts it; where it is mounted there already, nothing is done.
    ///
    /// # Errors
    /// When the folder cannot be made, something else is mounted there, or mount fails.
    pub fn mount(&self, folder: &Path) -> Result<(), HostError> {
        fs::create_dir_all(folder)
            .map_err(|cause| HostError::file("cannot make the folder", folder, cause))?;
        match mounted_at(folder)? {
            Some(source) if source == self.name() => return Ok(()),
            Some(source) => {
                let cause = std::io::Error::other(format!("{source} is mounted there"));
                return Err(HostError::file("cannot mount at", folder, cause));
            }
            None => {}
        }
        let (device, folder) = (self.name(), folder.to_string_lossy());
        let options = "noatime,nodev,nosuid,noexec";
        let args = ["-t", "ext4", "-o", options, device.as_str(), folder.as_ref()];
        must("mount", &args, MOUNT_LIMIT).map(|_| ())
    }

    fn begins_with_zeroes(&self) -> Result<bool, HostError> {
        let failed = |cause| HostError::file("cannot read", &self.path, cause);
        let mut bytes = Vec::with_capacity(BLANK_BYTES);
        let file = File::open(&self.path).map_err(failed)?;
        file.take(BLANK_BYTES as u64).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes.len() == BLANK_BYTES && bytes.iter().all(|byte| *byte == 0))
    }

    fn name(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

/// What blkid's `export` form says: one `KEY=value` a line.
fn by_signature(said: &str) -> Contents {
    let value = |key: &str| {
        let mut pairs = said.lines().filter_map(|line| line.split_once('='));
        pairs.find(|(found, _)| *found == key).map(|(_, value)| value.to_owned())
    };
    let (kind, label) = (value("TYPE"), value("LABEL"));
    match (kind.as_deref(), label.as_deref()) {
        (Some("ext4"), Some(LABEL)) => Contents::Ours,
        (Some(kind), Some(label)) => Contents::Else(format!("{kind} with the label {label}")),
        (Some(kind), None) => Contents::Else(kind.to_owned()),
        (None, _) => Contents::Else(value("PTTYPE").unwrap_or_else(|| "a signature".to_owned())),
    }
}

/// What is mounted at a folder.
fn mounted_at(folder: &Path) -> Result<Option<String>, HostError> {
    let folder = folder.to_string_lossy();
    let output = run("findmnt", &["-n", "-o", "SOURCE", "--mountpoint", &folder], LIMIT)?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok((output.status.success() && !said.is_empty()).then_some(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_label_on_our_file_system_is_ours() {
        let ours = "DEVNAME=/dev/nvme1n1\nLABEL=kprod-etcd\nUUID=1\nTYPE=ext4\nUSAGE=filesystem\n";
        assert_eq!(by_signature(ours), Contents::Ours);
        let other = "LABEL=data\nTYPE=ext4\n";
        let told = "ext4 with the label data".to_owned();
        assert_eq!(by_signature(other), Contents::Else(told));
        assert_eq!(by_signature("TYPE=LVM2_member\n"), Contents::Else("LVM2_member".to_owned()));
        assert_eq!(by_signature("PTTYPE=gpt\n"), Contents::Else("gpt".to_owned()));
    }
}
