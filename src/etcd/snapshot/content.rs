//! What a snapshot's file says of itself.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// etcd appends the SHA-256 of the database to it, so that whoever restores can tell a flipped byte.
/// Source: etcd `server/etcdserver/api/v3rpc/maintenance.go`, `Snapshot`.
const SUM_BYTES: usize = 32;
/// A database consists of pages, whose size is a multiple of this: what is left over is the sum.
/// Source: etcd `etcdutl/snapshot/v3_snapshot.go`, `hasChecksum`.
const PAGE_BYTES: u64 = 512;
/// What is read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its length in bytes, the sum included.
    pub bytes: u64,
    /// The SHA-256 of all of it, in hex.
    pub sha256: String,
}

/// Why a file is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is cut off, or was never a snapshot.
    #[error("its {bytes} bytes do not end with a sum: it is cut off, or no snapshot of etcd")]
    NoSum {
        /// Its length.
        bytes: u64,
    },
    /// A byte of it is another one than etcd sent.
    #[error("its sum is {found} and has to be {wanted}: it was changed after etcd had read it")]
    WrongSum {
        /// Of what is there.
        found: String,
        /// As etcd says at its end.
        wanted: String,
    },
}

/// Reads a snapshot from end to end and holds it to the sum that etcd put at its end.
///
/// # Errors
/// When it cannot be read, or is not what etcd sent.
pub fn examine(file: impl Read) -> Result<Content, ContentError> {
    let (mut whole, mut database) = (Sha256::new(), Sha256::new());
    // The last bytes read, which may be the sum.
    let mut tail: Vec<u8> = Vec::with_capacity(SUM_BYTES + CHUNK_BYTES);
    let bytes = read_whole(file, |read| {
        whole.update(read);
        tail.extend_from_slice(read);
        let settled = tail.len().saturating_sub(SUM_BYTES);
        database.update(tail.drain(..settled).as_slice());
    })?;
    if bytes % PAGE_BYTES != SUM_BYTES as u64 || bytes <= PAGE_BYTES {
        return Err(ContentError::NoSum { bytes });
    }
    let (found, wanted) = (hex(&database.finalize()), hex(&tail));
    if found != wanted {
        return Err(ContentError::WrongSum { found, wanted });
    }
    Ok(Content { bytes, sha256: hex(&whole.finalize()) })
}

/// Reads a file from end to end, whatever it is.
///
/// # Errors
/// When it cannot be read.
pub fn sum(file: impl Read) -> io::Result<Content> {
    let mut whole = Sha256::new();
    let bytes = read_whole(file, |read| whole.update(read))?;
    Ok(Content { bytes, sha256: hex(&whole.finalize()) })
}

/// Reads to the end, piece by piece, and gives the length.
fn read_whole(mut file: impl Read, mut take: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut bytes: u64 = 0;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(bytes),
            Ok(count) => {
                bytes = bytes.saturating_add(count as u64);
                take(chunk.get(..count).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The SHA-256 of bytes, in hex.
pub fn sha256_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
