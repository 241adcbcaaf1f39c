//! A world in a file: locked while it is used, replaced whole.

#![expect(clippy::disallowed_methods, reason = "the simulator's state is a file")]

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sim::World;

/// What a file holds.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    /// Time that sleeps have skipped, in milliseconds.
    pub(super) skipped_ms: u64,
    pub(super) world: World,
}

/// Where a world lies, and the file that is locked while it is used.
pub(super) struct WorldFile {
    pub(super) path: PathBuf,
    lock: PathBuf,
}

/// Tells two states of a file apart.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: std::time::SystemTime,
    length: u64,
    inode: u64,
}

impl WorldFile {
    pub(super) fn new(folder: &Path, account: &str, region: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let name = format!("sim-{account}-{region}");
        Ok(Self {
            path: folder.join(format!("{name}.json")),
            lock: folder.join(format!("{name}.lock")),
        })
    }

    /// Waits for the lock; it is given back when the file is dropped, or its process ends.
    pub(super) fn lock(&self) -> io::Result<File> {
        let file = File::options().create(true).truncate(false).write(true).open(&self.lock)?;
        file.lock()?;
        Ok(file)
    }

    /// Reads the world again if another process wrote it.
    pub(super) fn refresh(&self, stored: &mut Stored, seen: &mut Option<Stamp>) -> io::Result<()> {
        let stamp = match fs::metadata(&self.path) {
            Ok(metadata) => Stamp::of(&metadata)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if seen.as_ref() == Some(&stamp) {
            return Ok(());
        }
        let read: Stored = serde_json::from_slice(&fs::read(&self.path)?)
            .map_err(|error| unreadable(&error.to_string()))?;
        if read.world.format_version != World::FORMAT_VERSION {
            let found = read.world.format_version;
            let wanted = World::FORMAT_VERSION;
            return Err(unreadable(&format!("format {found}, this kprod writes {wanted}")));
        }
        *stored = read;
        *seen = Some(stamp);
        Ok(())
    }

    /// Replaces the file whole: a reader finds the old world or the new one.
    pub(super) fn write(&self, stored: &Stored) -> io::Result<Stamp> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        let bytes = serde_json::to_vec(stored)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        file.write_all(&bytes)?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Stamp::of(&fs::metadata(&self.path)?)
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> io::Result<Self> {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Ok(Self { modified: metadata.modified()?, length: metadata.len(), inode })
    }
}

fn unreadable(why: &str) -> io::Error {
    let message = format!(
        "no simulated account of this kprod ({why}); remove the file to begin with an empty one"
    );
    io::Error::new(io::ErrorKind::InvalidData, message)
}
