//! The epoch of an etcd cluster: which cluster it is, who belongs to it, and whether it may still be
//! formed.
//!
//! It is one object of the state bucket, written under conditions only, so that of two writers one
//! learns that it came too late. A volume without data may form a cluster only while the epoch is
//! open; the first healthy quorum closes it, and nothing opens it again. A restore is another epoch,
//! with another token, on volumes of its own.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::guard::quorum;

/// The content of [`epoch_key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Epoch {
    /// Version of this form.
    pub format_version: u32,
    /// 1 for a new cluster, one more for each restore.
    pub number: u64,
    /// What etcd is told as `--initial-cluster-token`: no two epochs share one, so members of two
    /// epochs never take each other for their own.
    pub token: String,
    /// Its members by name.
    pub members: BTreeMap<String, Place>,
    /// Whether it may still be formed.
    pub phase: Phase,
    /// What its members begin with; nothing for a new cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<Restored>,
}

/// Where a member is to be found, whichever machine hosts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Where other members reach it, such as `https://etcd-a.internal.c.example.com:2380`.
    pub peer_url: String,
    /// Where clients reach it.
    pub client_url: String,
}

/// Whether an epoch's cluster may still be formed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum Phase {
    /// Nobody has said yet that it has formed.
    Open,
    /// It has formed; whoever has no data joins it.
    Closed {
        /// The id that etcd gave it.
        cluster_id: ClusterId,
    },
}

/// The snapshot that an epoch begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restored {
    /// Where the snapshot lies: `s3://bucket/key`.
    pub snapshot: String,
    /// The SHA-256 of its content, in hex.
    pub sha256: String,
    /// The epoch that it is a snapshot of.
    pub epoch: u64,
    /// How far revisions jump, so that no client sees one twice; all members have to do the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bump_revisions: Option<u64>,
}

/// The id that etcd gives a cluster when it forms: a digest of its token and first members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterId(pub u64);

/// Why an epoch cannot go on as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// The object is no epoch.
    #[error("`{key}` is no epoch of an etcd cluster: {why}")]
    Unreadable {
        /// The object.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// A newer kprod wrote it.
    #[error("`{key}` has format {found}, this kprod reads {}", Epoch::FORMAT_VERSION)]
    Newer {
        /// The object.
        key: String,
        /// Its format.
        found: u64,
    },
    /// Another cluster has formed under the same epoch.
    #[error("epoch {number} belongs to the etcd cluster {formed}, not to {asked}")]
    OtherCluster {
        /// The epoch.
        number: u64,
        /// The cluster that it was closed for.
        formed: ClusterId,
        /// The one that it should be closed for.
        asked: ClusterId,
    },
    /// A cluster that has not formed has nothing that could be restored over.
    #[error("epoch {number} is still open: its members have not formed a cluster")]
    StillOpen {
        /// The epoch.
        number: u64,
    },
}

impl Epoch {
    /// Raised when an older kprod could no longer read it.
    pub const FORMAT_VERSION: u32 = 1;

    /// The first epoch of an etcd cluster. `nonce` tells it from one of the same name that was here
    /// before.
    pub fn first(cluster: &str, etcd: &str, members: BTreeMap<String, Place>, nonce: u64) -> Self {
        Self::numbered(1, cluster, etcd, members, nonce)
    }

    /// The epoch after this one: other volumes, which begin with a snapshot. One that was to begin with
    /// a snapshot itself, and has not formed, may be followed too: the snapshot may be of no use, and
    /// volumes that were meant for it serve no other epoch.
    ///
    /// # Errors
    /// [`EpochError::StillOpen`]: while machines may form a new cluster, there is nothing to restore
    /// over.
    pub fn next(
        &self,
        cluster: &str,
        etcd: &str,
        members: BTreeMap<String, Place>,
        restored_from: Restored,
        nonce: u64,
    ) -> Result<Self, EpochError> {
        if self.phase == Phase::Open && self.restored_from.is_none() {
            return Err(EpochError::StillOpen { number: self.number });
        }
        let number = self.number.saturating_add(1);
        let next = Self::numbered(number, cluster, etcd, members, nonce);
        Ok(Self { restored_from: Some(restored_from), ..next })
    }

    /// This epoch once a cluster has formed; itself if that is known already.
    ///
    /// # Errors
    /// [`EpochError::OtherCluster`] when it was closed for another one.
    pub fn closed(&self, cluster_id: ClusterId) -> Result<Self, EpochError> {
        match self.phase {
            Phase::Closed { cluster_id: formed } if formed != cluster_id => {
                Err(EpochError::OtherCluster { number: self.number, formed, asked: cluster_id })
            }
            _ => Ok(Self { phase: Phase::Closed { cluster_id }, ..self.clone() }),
        }
    }

    /// Reads an object of the state bucket.
    ///
    /// # Errors
    /// [`EpochError::Newer`] and [`EpochError::Unreadable`]; neither is ever taken for "no epoch".
    pub fn parse(key: &str, body: &[u8]) -> Result<Self, EpochError> {
        let unreadable = |why: String| EpochError::Unreadable { key: key.to_owned(), why };
        let value: serde_json::Value =
            serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))?;
        let found = value.get("format_version").and_then(serde_json::Value::as_u64);
        match found {
            Some(found) if found > u64::from(Self::FORMAT_VERSION) => {
                Err(EpochError::Newer { key: key.to_owned(), found })
            }
            _ => serde_json::from_value(value).map_err(|error| unreadable(error.to_string())),
        }
    }

    /// The object's content.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// How many members make a quorum.
    pub fn quorum(&self) -> usize {
        quorum(self.members.len())
    }

    /// The id of the cluster that has formed.
    pub fn cluster_id(&self) -> Option<ClusterId> {
        match self.phase {
            Phase::Open => None,
            Phase::Closed { cluster_id } => Some(cluster_id),
        }
    }

    fn numbered(
        number: u64,
        cluster: &str,
        etcd: &str,
        members: BTreeMap<String, Place>,
        nonce: u64,
    ) -> Self {
        Self {
            format_version: Self::FORMAT_VERSION,
            number,
            token: format!("{etcd}.{cluster}.{number}.{nonce:016x}"),
            members,
            phase: Phase::Open,
            restored_from: None,
        }
    }
}

/// The object of the state bucket that holds an etcd cluster's epoch.
pub fn epoch_key(cluster: &str, etcd: &str) -> String {
    format!("etcd/{cluster}/{etcd}/epoch")
}

/// The object of the state bucket that lists an etcd cluster's verified snapshots. Where it is, there
/// was a cluster with data.
pub fn snapshots_key(cluster: &str, etcd: &str) -> String {
    format!("etcd/{cluster}/{etcd}/snapshots")
}

impl fmt::Display for ClusterId {
    /// As etcd's own tools and logs write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl From<ClusterId> for String {
    fn from(id: ClusterId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for ClusterId {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(ClusterId)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    fn members() -> BTreeMap<String, Place> {
        let place = |name: &str| Place {
            peer_url: format!("https://etcd-{name}.internal.c:2380"),
            client_url: format!("https://etcd-{name}.internal.c:4001"),
        };
        ["a", "b", "c"].map(|name| (name.to_owned(), place(name))).into()
    }

    fn first() -> Epoch {
        Epoch::first("c", "main", members(), 7)
    }

    fn snapshot() -> Restored {
        let (snapshot, sha256) = ("s".to_owned(), "0".repeat(64));
        Restored { snapshot, sha256, epoch: 1, bump_revisions: Some(7) }
    }

    #[test]
    fn an_epoch_survives_json() {
        let next = first().closed(ClusterId(u64::MAX)).unwrap();
        for epoch in
            [first(), next.clone(), next.next("c", "main", members(), snapshot(), 8).unwrap()]
        {
            assert_eq!(Epoch::parse("k", &epoch.to_bytes()), Ok(epoch));
        }
    }

    #[test]
    fn what_this_kprod_cannot_read_is_never_no_epoch() {
        let mut value = serde_json::to_value(first()).unwrap();
        value["format_version"] = 2.into();
        let newer = Epoch::parse("k", value.to_string().as_bytes());
        assert_eq!(newer, Err(EpochError::Newer { key: "k".to_owned(), found: 2 }));
        value["format_version"] = 1.into();
        value["phase"]["state"] = "ajar".into();
        for body in [value.to_string().as_str(), "", "{}", "[]"] {
            assert!(matches!(
                Epoch::parse("k", body.as_bytes()),
                Err(EpochError::Unreadable { .. })
            ));
        }
    }

    #[test]
    fn a_closed_epoch_stays_closed_and_belongs_to_one_cluster() {
        let closed = first().closed(ClusterId(1)).unwrap();
        assert_eq!(closed.cluster_id(), Some(ClusterId(1)));
        assert_eq!(closed.closed(ClusterId(1)), Ok(closed.clone()));
        assert!(matches!(closed.closed(ClusterId(2)), Err(EpochError::OtherCluster { .. })));
    }

    #[test]
    fn an_epoch_follows_a_closed_one_only_and_shares_no_token_with_it() {
        let open = first();
        let next = |epoch: &Epoch| epoch.next("c", "main", members(), snapshot(), 7);
        assert_eq!(next(&open), Err(EpochError::StillOpen { number: 1 }));
        let closed = open.closed(ClusterId(1)).unwrap();
        let after = next(&closed).unwrap();
        assert_eq!((after.number, &after.phase), (2, &Phase::Open));
        assert_ne!(after.token, closed.token);
        // A restore from a snapshot that is of no use is not the last one.
        let once_more = next(&after).unwrap();
        assert_eq!((once_more.number, &once_more.phase), (3, &Phase::Open));
        // A cluster that was here before under the same name is another one, too.
        assert_ne!(Epoch::first("c", "main", members(), 8).token, open.token);
    }
}
