//! Where a cluster's state is kept.

use std::fmt;

/// A place in S3: `spec.configBase`, or where snapshots go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateAddress {
    /// The bucket.
    pub bucket: String,
    /// What every key begins with; empty or with a final slash.
    pub prefix: String,
}

impl StateAddress {
    /// Reads `s3://bucket/prefix`; none if it is no such address.
    pub fn parse(address: &str) -> Option<Self> {
        let path = address.strip_prefix("s3://")?;
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        let prefix = prefix.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        (!bucket.is_empty()).then(|| Self { bucket: bucket.to_owned(), prefix })
    }

    /// The whole key of an object of ours.
    pub fn key(&self, object: &str) -> String {
        format!("{}{object}", self.prefix)
    }
}

impl fmt::Display for StateAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix.trim_end_matches('/'))
    }
}
