//! The state bucket's contract: small objects with conditional writes, as S3 has them.
//!
//! It holds the lease and the journal. S3 answers `If-None-Match: *` and `If-Match` with 412 when
//! the condition fails, and is strongly consistent (Amazon S3 User Guide, "Conditional requests").

/// When a write is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    Any,
    /// Only if there is no such object.
    Absent,
    /// Only if the object still has this entity tag.
    Match(String),
}

/// An object with its entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The content.
    pub body: Vec<u8>,
    /// Changes with every write.
    pub etag: String,
}

/// Why a read or write did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The condition did not hold.
    #[error("`{0}` was changed by somebody else")]
    Conflict(String),
    /// The store failed.
    #[error("state store: {0}")]
    Failed(String),
}
