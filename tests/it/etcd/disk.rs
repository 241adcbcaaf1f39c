//! Disks of machines: loop devices, which belong to the whole system and not to a namespace.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::machine::sh;

/// Disks whose files are in one folder; they are given back with it.
pub(crate) struct Disks {
    folder: PathBuf,
}

impl Disks {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// A blank disk for a volume.
    pub(crate) fn make(&self, volume_id: &str) -> String {
        let image = self.folder.join(volume_id);
        let image = image.display();
        sh(&format!("truncate -s 256M {image} && losetup -f --show {image}"))
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        let ours = "losetup -nO NAME,BACK-FILE | grep -F \"$1/\" | cut -d' ' -f1";
        let give_back = format!("{ours} | xargs -r -n1 losetup -d");
        let _ = Command::new("sh").args(["-c", &give_back, "sh"]).arg(&self.folder).status();
    }
}
