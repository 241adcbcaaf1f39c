//! Assets: what machines fetch at their first boot.

use serde::{Deserialize, Serialize};

/// A file that machines fetch: an object of the state bucket, called by its content's digest, so that it
/// never changes. Its bytes are whoever's who applies; a plan needs none of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// The cluster.
    pub cluster: String,
    /// The object's key in the state bucket.
    pub key: String,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// Its length in bytes.
    pub size: u64,
}
