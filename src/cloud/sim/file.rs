//! A world in a file: locked while it is used, replaced whole. Parameters, keys among them, are files
//! of their own beside it, which only their owner may read (mode 0600).

#![expect(clippy::disallowed_methods, reason = "the simulator's state is a file")]

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::pki::Secret;
use crate::sim::World;

/// So long a process waits for others to be done with the world: each use takes milliseconds, so whoever
/// keeps it longer has been stopped.
pub(super) const LOCK_MAX: Duration = Duration::from_secs(60);

/// The pause between two tries.
const LOCK_RETRY: Duration = Duration::from_millis(2);

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
    /// The folder of the parameters.
    parameters: PathBuf,
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
            parameters: folder.join(format!("{name}.parameters")),
        })
    }

    /// Waits for the lock, for as long as `limit`; it is given back when the file is dropped, or its
    /// process ends.
    pub(super) fn lock(&self, limit: Duration) -> io::Result<File> {
        let file = File::options().create(true).truncate(false).write(true).open(&self.lock)?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if began.elapsed() < limit => {
                    std::thread::sleep(LOCK_RETRY);
                }
                Err(TryLockError::WouldBlock) => return Err(self.is_kept(limit)),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    fn is_kept(&self, limit: Duration) -> io::Error {
        io::Error::other(format!(
            "another process has kept {} locked for {} s; go on with it if it is stopped (`fg`), or end it",
            self.lock.display(),
            limit.as_secs()
        ))
    }

    /// Reads the world again if another process wrote it.
    pub(super) fn refresh(&self, stored: &mut Stored, seen: &mut Option<Stamp>) -> io::Result<()> {
        let stamp = match fs::metadata(&self.path) {
            Ok(metadata) => Stamp::of(&metadata)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.read_parameters(&mut stored.world);
            }
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
        self.read_parameters(&mut stored.world)
    }

    fn read_parameters(&self, world: &mut World) -> io::Result<()> {
        for path in files_below(&self.parameters)? {
            let below = path.strip_prefix(&self.parameters).map_err(io::Error::other)?;
            let name = format!("/{}", below.display());
            world.keep_parameter(name, Secret::new(fs::read_to_string(&path)?));
        }
        Ok(())
    }

    /// Writes parameters that were not there `before`, each file whole and at once, and removes those
    /// that are gone. Nobody else gets at them meanwhile: the world is locked.
    pub(super) fn write_parameters(
        &self,
        before: &BTreeSet<String>,
        world: &World,
    ) -> io::Result<()> {
        let now = world.parameter_names();
        for name in now.difference(before) {
            let Some(value) = world.parameter(name) else { continue };
            let path = self.path_of(name)?;
            let folder = path.parent().unwrap_or(&self.parameters);
            fs::create_dir_all(folder)?;
            // A temporary file is its owner's alone from its first moment.
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(value.expose().as_bytes())?;
            file.as_file().sync_all()?;
            file.persist_noclobber(&path).map_err(|error| error.error)?;
        }
        for name in before.difference(&now) {
            fs::remove_file(self.path_of(name)?)?;
        }
        Ok(())
    }

    /// Where a parameter lies. Its name is a path already; one that leads elsewhere is refused.
    fn path_of(&self, name: &str) -> io::Result<PathBuf> {
        let parts: Vec<&str> = name.trim_start_matches('/').split('/').collect();
        if parts.iter().any(|part| part.is_empty() || part.starts_with('.')) {
            let message = format!("`{name}` is no name of a parameter");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(self.parameters.join(parts.join("/")))
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

/// Every file below a folder; none if there is no such folder. What a killed write left is none.
fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else if !entry.file_name().to_string_lossy().starts_with('.') {
            files.push(entry.path());
        }
    }
    Ok(files)
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
