//! Files of the machine: read whole, written whole.

#![expect(clippy::disallowed_methods, reason = "the machine's own files are kprod's to keep")]

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::HostError;

/// Nothing that kprod keeps on a machine comes near.
const BYTES_MAX: u64 = 1 << 20;
/// What is copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Reads a file; none if there is no such file.
///
/// # Errors
/// When it is there and cannot be read, or is larger than anything kprod writes.
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, HostError> {
    let failed = |cause| HostError::file("cannot read", path, cause);
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > BYTES_MAX => {
            let why = format!("it has {} bytes, more than {BYTES_MAX}", metadata.len());
            return Err(failed(io::Error::other(why)));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    }
    fs::read(path).map(Some).map_err(failed)
}

/// Writes a file whole or not at all, and onto the disk; its folder is made when it is not there.
///
/// # Errors
/// When the folder cannot be written.
pub fn write_whole(path: &Path, body: &[u8], mode: u32) -> Result<(), HostError> {
    let write = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.write_all(body)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|cause| HostError::file("cannot write", path, cause))
}

/// Opens a file to read it.
///
/// # Errors
/// When it is not there, or may not be read.
pub fn open(path: &Path) -> Result<File, HostError> {
    File::open(path).map_err(|cause| HostError::file("cannot read", path, cause))
}

/// Makes a folder that is empty, and its owner's alone.
///
/// # Errors
/// When what is there cannot be removed, or the folder cannot be made.
pub fn fresh_folder(path: &Path) -> Result<(), HostError> {
    remove_folder(path)?;
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
        .map_err(|cause| HostError::file("cannot make the folder", path, cause))
}

/// Removes a folder with all that is in it; one that is not there is gone already.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_folder(path: &Path) -> Result<(), HostError> {
    match fs::remove_dir_all(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(HostError::file("cannot remove", path, cause))
        }
        _ => Ok(()),
    }
}

/// Removes a file, and has the disk know it; one that is not there is gone already.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_whole(path: &Path) -> Result<(), HostError> {
    let removed = || match fs::remove_file(path) {
        Ok(()) => File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed().map_err(|cause| HostError::file("cannot remove", path, cause))
}

/// Renames a folder to a name that is not taken, and has the disk know it.
///
/// # Errors
/// When it cannot be renamed.
pub fn rename_whole(from: &Path, to: &Path) -> Result<(), HostError> {
    let renamed = || -> io::Result<()> {
        fs::rename(from, to)?;
        File::open(to.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    renamed().map_err(|cause| HostError::file("cannot rename to", to, cause))
}

/// Copies a file and puts the SHA-256 of its content at its end, as etcd does with a snapshot.
///
/// # Errors
/// When it cannot be read or written.
pub fn copy_with_sum(from: &Path, to: &Path) -> Result<(), HostError> {
    let copied = || -> io::Result<()> {
        let (mut source, mut copy) = (File::open(from)?, File::create(to)?);
        let mut sum = Sha256::new();
        let mut chunk = vec![0; COPY_BYTES];
        loop {
            let count = source.read(&mut chunk)?;
            let read = chunk.get(..count).unwrap_or_default();
            if read.is_empty() {
                break;
            }
            sum.update(read);
            copy.write_all(read)?;
        }
        copy.write_all(&sum.finalize())?;
        copy.sync_all()
    };
    copied().map_err(|cause| HostError::file("cannot copy", from, cause))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::etcd::snapshot::examine;

    #[test]
    fn a_copied_database_is_a_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        let [database, copy] = ["db", "copy"].map(|name| folder.path().join(name));
        fs::write(&database, vec![7; 300 * 512]).unwrap();
        copy_with_sum(&database, &copy).unwrap();
        let content = examine(open(&copy).unwrap()).unwrap();
        assert_eq!(content.bytes, 300 * 512 + 32);
        let fresh = folder.path().join("fresh");
        for _ in 0..2 {
            fresh_folder(&fresh).unwrap();
            assert_eq!(fs::read_dir(&fresh).unwrap().count(), 0);
            fs::write(fresh.join("left"), "x").unwrap();
        }
        remove_folder(&fresh).unwrap();
        remove_folder(&fresh).unwrap();
        assert!(!fresh.exists());
    }
}
