//! Epochs: which etcd cluster it is that the members of a cluster make up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The epoch of an etcd cluster: an object of the state bucket under which its members form it, once.
/// It is opened by whoever applies, and closed by the members; neither shows in here, nor does the
/// token that it is told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// The cluster.
    pub cluster: String,
    /// The etcd cluster: `main` or `events`.
    pub etcd: String,
    /// The object's key in the state bucket.
    pub key: String,
    /// Its members by name.
    pub members: BTreeMap<String, EpochMember>,
}

/// Where a member is to be found, whichever machine hosts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochMember {
    /// Where other members reach it.
    pub peer_url: String,
    /// Where clients reach it.
    pub client_url: String,
}
