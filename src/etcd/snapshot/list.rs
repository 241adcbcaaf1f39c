//! The list of an etcd cluster's verified snapshots: one object of the state bucket, written under
//! conditions only.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Content;
use crate::etcd::epoch::ClusterId;
use crate::etcd::version::Version;

/// What etcd gave, among the objects of a snapshot.
pub const SNAPSHOT_PART: &str = "snapshot.db";
/// The cluster's certificates beside it.
pub const CERTIFICATES_PART: &str = "certificates.json";

/// The content of [`super::snapshots_key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Version of this form.
    pub format_version: u32,
    /// Who takes one now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// The snapshots, oldest first.
    pub snapshots: Vec<Record>,
}

/// A member that takes a snapshot: the others let it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The member.
    pub member: String,
    /// Since when.
    pub at: Timestamp,
}

/// One verified snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its name, unique in the list.
    pub name: String,
    /// Where it lies: `s3://bucket/key`.
    pub object: String,
    /// The member that it was taken of.
    pub member: String,
    /// The number of the epoch that it is of.
    pub epoch: u64,
    /// The token of that epoch.
    pub token: String,
    /// The id of the etcd cluster.
    pub cluster_id: ClusterId,
    /// The version of etcd that wrote it.
    pub etcd_version: Version,
    /// The revision of the newest change in it.
    pub revision: u64,
    /// The term that its member was in.
    pub term: u64,
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of its content, in hex.
    pub sha256: String,
    /// When it was taken, on the bucket's clock.
    pub taken_at: Timestamp,
    /// When it had been read back and compared.
    pub verified_at: Timestamp,
    /// The SHA-256 of the cluster's certificates, which lie beside it.
    pub certificates_sha256: String,
    /// The request that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// What is known of a snapshot when it has been taken, before it is anywhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The member.
    pub member: String,
    /// The revision of the newest change in it.
    pub revision: u64,
    /// When.
    pub at: Timestamp,
    /// Its file.
    pub content: Content,
}

/// Why a list cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// It is none.
    #[error("`{key}` is no list of snapshots: {why}")]
    Unreadable {
        /// The object.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// A newer kprod wrote it.
    #[error("`{key}` has format {found}, this kprod reads {}", List::FORMAT_VERSION)]
    Newer {
        /// The object.
        key: String,
        /// Its format.
        found: u64,
    },
}

impl List {
    /// Raised when an older kprod could no longer read it.
    pub const FORMAT_VERSION: u32 = 1;

    /// A list without any.
    pub fn empty() -> Self {
        Self { format_version: Self::FORMAT_VERSION, claim: None, snapshots: Vec::new() }
    }

    /// Reads an object of the state bucket.
    ///
    /// # Errors
    /// [`ListError::Newer`] and [`ListError::Unreadable`]; neither is ever taken for "no snapshots".
    pub fn parse(key: &str, body: &[u8]) -> Result<Self, ListError> {
        let unreadable = |error: serde_json::Error| ListError::Unreadable {
            key: key.to_owned(),
            why: error.to_string(),
        };
        let value: serde_json::Value = serde_json::from_slice(body).map_err(unreadable)?;
        let found = value.get("format_version").and_then(serde_json::Value::as_u64);
        match found {
            Some(found) if found > u64::from(Self::FORMAT_VERSION) => {
                Err(ListError::Newer { key: key.to_owned(), found })
            }
            _ => serde_json::from_value(value).map_err(unreadable),
        }
    }

    /// The object's content.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// The newest snapshot.
    pub fn newest(&self) -> Option<&Record> {
        self.snapshots.iter().max_by_key(|record| record.taken_at)
    }

    /// The newest snapshot of an epoch.
    pub fn newest_of(&self, token: &str) -> Option<&Record> {
        let own = self.snapshots.iter().filter(|record| record.token == token);
        own.max_by_key(|record| record.taken_at)
    }

    /// The snapshot of a name.
    pub fn find(&self, name: &str) -> Option<&Record> {
        self.snapshots.iter().find(|record| record.name == name)
    }

    /// The snapshot that a request asked for.
    pub fn answer_to(&self, request: &str) -> Option<&Record> {
        self.snapshots.iter().find(|record| record.request.as_deref() == Some(request))
    }

    /// The list with a claim in it.
    #[must_use]
    pub fn claimed(&self, member: &str, at: Timestamp) -> Self {
        Self { claim: Some(Claim { member: member.to_owned(), at }), ..self.clone() }
    }

    /// The list with one more snapshot, whose taker takes none any more.
    #[must_use]
    pub fn with(&self, record: Record) -> Self {
        let claim = self.claim.clone().filter(|claim| claim.member != record.member);
        let mut snapshots = self.snapshots.clone();
        snapshots.retain(|known| known.name != record.name);
        snapshots.push(record);
        snapshots
            .sort_by(|one, other| (one.taken_at, &one.name).cmp(&(other.taken_at, &other.name)));
        Self { claim, snapshots, ..self.clone() }
    }
}

/// A snapshot's name: when, of what revision, of which member. Names sort by time.
pub fn name(taken: &Taken) -> String {
    let at = taken.at.strftime("%Y-%m-%dT%H-%M-%SZ");
    format!("{at}-r{}-{}", taken.revision, taken.member)
}

/// What the objects of an etcd cluster's snapshots begin with.
pub fn prefix(store: &str, cluster: &str, etcd: &str) -> String {
    format!("{}/{cluster}/{etcd}/", store.trim_end_matches('/'))
}

/// Where a part of a snapshot lies, below a store.
pub fn object(store: &str, cluster: &str, etcd: &str, name: &str, part: &str) -> String {
    format!("{}{name}/{part}", prefix(store, cluster, etcd))
}
