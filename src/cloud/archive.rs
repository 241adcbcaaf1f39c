//! The port for what is too large for the state bucket's objects: snapshots of etcd, from and to files.
//!
//! An object is named by its whole address, `s3://bucket/key`: snapshots may go to another bucket than
//! the state's, and a record made long ago has to find what it names.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::str::FromStr;

use jiff::Timestamp;

use super::StoreError;
use crate::etcd::snapshot::Content;

/// Large objects.
pub trait Archive: Send + Sync {
    /// Writes a file as an object; whatever was there is replaced. The cloud itself compares what
    /// arrives with the file's SHA-256.
    ///
    /// # Errors
    /// When the file cannot be read, does not hold this any more, or the store fails.
    fn store(
        &self,
        object: &Address,
        file: &Path,
        content: &Content,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads an object into a file that is there and empty; false if there is no such object. What is
    /// in the file is to be compared by the caller.
    ///
    /// # Errors
    /// When it is larger than allowed, the file cannot be written, or the store fails.
    fn fetch(
        &self,
        object: &Address,
        into: &Path,
        bytes_max: u64,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The objects whose addresses begin so.
    ///
    /// # Errors
    /// When the store fails, or there are more than a list may hold.
    fn stored(
        &self,
        prefix: &Address,
    ) -> impl Future<Output = Result<Vec<Stored>, StoreError>> + Send;

    /// Removes an object; one that is not there is gone already.
    ///
    /// # Errors
    /// When the store fails.
    fn discard(&self, object: &Address) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
}

/// The most bytes of an object: what S3 takes in one request, 5 GB (Amazon S3 User Guide, "Uploading
/// objects"). etcd's own advice is to stay below 8 GB, and its default limit is 2 GB ("System limits").
pub const OBJECT_BYTES_MAX: u64 = 5_000_000_000;

/// An object of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where it is.
    pub address: Address,
    /// Its length.
    pub bytes: u64,
    /// When it was written, on the store's clock.
    pub written_at: Timestamp,
}

/// Not the address of an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address such as `s3://bucket/key`")]
pub struct NoAddress(String);

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let parts = text.strip_prefix("s3://").and_then(|path| path.split_once('/'));
        match parts {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
                Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
            }
            _ => Err(NoAddress(text.to_owned())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in ["s3://b/k", "s3://backups/c.example.com/etcd/main/x/snapshot.db"] {
            let address: Result<Address, _> = text.parse();
            assert_eq!(address.map(|address| address.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "b/k", "s3://b", "s3://b/", "s3:///k"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
