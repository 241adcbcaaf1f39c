//! The state bucket's contract: small objects with conditional writes, as S3 has them.
//!
//! It holds the lease and the journal. S3 answers `If-None-Match: *` and `If-Match` with 412 when
//! the condition fails, and is strongly consistent (Amazon S3 User Guide, "Conditional requests").

use std::future::Future;

use super::error::CloudErrorKind;
use crate::state::{BucketSettings, BucketStep, StateAddress};

/// The bucket that holds the objects: what it is like, and how it is set up.
pub trait StateBucket: Send + Sync {
    /// Where the objects are; none where they need no bucket.
    ///
    /// # Errors
    /// [`StoreError::NotConfigured`].
    fn bucket(&self) -> Result<Option<&StateAddress>, StoreError>;

    /// Reads the bucket's settings; none when there is no such bucket.
    ///
    /// # Errors
    /// When the bucket is somebody else's or in another region, or a read is denied or fails.
    fn settings(&self) -> impl Future<Output = Result<Option<BucketSettings>, StoreError>> + Send;

    /// Makes one step; made twice, it changes nothing.
    ///
    /// # Errors
    /// As [`StateBucket::settings`].
    fn make(&self, step: &BucketStep) -> impl Future<Output = Result<(), StoreError>> + Send;
}

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
    /// Changes with the content; on S3 equal contents have equal tags.
    pub etag: String,
    /// When it was written, on the store's clock; S3 tells whole seconds.
    pub written_at: jiff::Timestamp,
}

/// Why a read or write did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The condition did not hold, or another write was under way: look again.
    #[error("`{0}` was changed by somebody else")]
    Conflict(String),
    /// The spec names no bucket.
    #[error("there is no place for the state: `spec.configBase` is not set")]
    NotConfigured,
    /// There is no such bucket.
    #[error("the state bucket `{bucket}` does not exist")]
    BucketMissing {
        /// The bucket.
        bucket: String,
    },
    /// The bucket is in another region than the cluster.
    #[error("the state bucket `{bucket}` is in {region}, the cluster in {wanted}")]
    BucketElsewhere {
        /// The bucket.
        bucket: String,
        /// Where it is.
        region: String,
        /// Where it should be.
        wanted: String,
    },
    /// The bucket belongs to somebody else.
    #[error("the state bucket `{bucket}` belongs to another account than {account}")]
    BucketForeign {
        /// The bucket.
        bucket: String,
        /// The account of the credentials.
        account: String,
    },
    /// The credentials may not make this request.
    #[error("{operation} on `{target}` was denied: {message}")]
    Denied {
        /// The S3 operation, such as `PutObject`.
        operation: String,
        /// The object or bucket, as `s3://bucket/key`.
        target: String,
        /// What S3 says.
        message: String,
    },
    /// The store failed.
    #[error("state store: {why}")]
    Failed {
        /// What it means for the caller.
        kind: CloudErrorKind,
        /// What failed, and how.
        why: String,
    },
}

impl StoreError {
    /// A failure of a kind.
    pub fn failed(kind: CloudErrorKind, why: impl Into<String>) -> Self {
        Self::Failed { kind, why: why.into() }
    }

    /// Content that this kprod cannot use.
    pub fn unusable(why: impl Into<String>) -> Self {
        Self::failed(CloudErrorKind::Invalid, why)
    }

    /// Whether the same request may succeed later without anybody's help.
    pub fn is_passing(&self) -> bool {
        matches!(self, StoreError::Failed { kind, .. } if kind.is_retriable())
    }

    /// What to do about it, where somebody has to do something.
    pub fn way_out(&self, cluster: &str) -> Option<String> {
        match self {
            StoreError::Conflict(_) | StoreError::Failed { .. } => None,
            StoreError::NotConfigured => Some(format!(
                "set `spec.configBase` to s3://BUCKET/{cluster}; `kprod state create {cluster}` \
                 then makes the bucket"
            )),
            StoreError::BucketMissing { .. } => Some(format!(
                "`kprod state create {cluster}` makes it; if the name is wrong, mend \
                 `spec.configBase`"
            )),
            StoreError::BucketElsewhere { wanted, .. } => Some(format!(
                "name a bucket in {wanted} in `spec.configBase`; `kprod state create {cluster}` \
                 makes one that is not there"
            )),
            StoreError::BucketForeign { .. } => Some(
                "all of AWS shares the names of buckets: use the credentials of the account that \
                 owns it, or name another bucket in `spec.configBase`"
                    .to_owned(),
            ),
            StoreError::Denied { operation, target, message } => {
                Some(denied_way_out(cluster, operation, target, message))
            }
        }
    }
}

/// The permissions that a request needs. Who may not list a bucket is denied the read of an object
/// that is not there (Amazon S3 API Reference, GetObject, "Permissions"); what is encrypted with a KMS
/// key needs that key as well. The statements are those of `permission`.
fn denied_way_out(cluster: &str, operation: &str, target: &str, message: &str) -> String {
    let path = target.strip_prefix("s3://").unwrap_or(target);
    let bucket = path.split('/').next().unwrap_or_default();
    if message.contains("kms:") {
        return "allow kms:GenerateDataKey and kms:Decrypt on the key that encrypts the bucket"
            .to_owned();
    }
    let (level, statements) = match operation {
        "GetObject" if path.ends_with("/epoch") => ("plan", "FindState and ReadEpochs"),
        "GetObject" if path.contains("/etcd/") => ("apply", "FindState and ReadMembers"),
        "GetObject" => ("apply", "FindState and KeepState"),
        "PutObject" if path.ends_with("/epoch") => ("apply", "OpenEpochs"),
        "PutObject" | "DeleteObject" if path.ends_with("/snapshot-request") => {
            ("apply", "AskForSnapshots")
        }
        "ListObjectsV2" => ("apply", "FindSnapshots"),
        "PutObject" | "DeleteObject" => ("apply", "KeepState"),
        _ => ("state", "PrepareStateBucket"),
    };
    let listing = match operation {
        "GetObject" => format!(" and s3:ListBucket on arn:aws:s3:::{bucket}"),
        _ => String::new(),
    };
    format!(
        "allow s3:{} on arn:aws:s3:::{path}{listing}: {statements} of `kprod policy {cluster} --for \
         {level}`",
        action(operation)
    )
}

/// The action that allows an operation, where its name is another one (Service Authorization
/// Reference, "Actions, resources, and condition keys for Amazon S3").
fn action(operation: &str) -> &str {
    match operation {
        "HeadBucket" | "ListObjectsV2" => "ListBucket",
        "GetPublicAccessBlock" => "GetBucketPublicAccessBlock",
        "PutPublicAccessBlock" => "PutBucketPublicAccessBlock",
        "GetBucketEncryption" => "GetEncryptionConfiguration",
        "PutBucketEncryption" => "PutEncryptionConfiguration",
        "GetBucketLifecycleConfiguration" => "GetLifecycleConfiguration",
        "PutBucketLifecycleConfiguration" => "PutLifecycleConfiguration",
        other => other,
    }
}
