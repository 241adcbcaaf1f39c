//! Files of the machine: read whole, written whole.

#![expect(clippy::disallowed_methods, reason = "the machine's own files are kprod's to keep")]

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::HostError;

/// Nothing that kprod keeps on a machine comes near.
const BYTES_MAX: u64 = 1 << 20;

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
