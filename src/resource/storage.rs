//! What outlives a machine: etcd volumes and network interfaces.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Ref, Tags};

/// An EBS volume of an etcd member; its natural key is the `Name` tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// The zone it lives in; AWS cannot change it.
    pub availability_zone: String,
    /// Size in GiB; can only grow.
    pub size: i32,
    /// `gp3`, `gp2`, `io1`, `io2` or `standard`.
    pub volume_type: String,
    /// Operations a second, where the type takes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iops: Option<i32>,
    /// MiB a second, for `gp3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<i32>,
    /// Whether it is encrypted; AWS cannot change it.
    pub encrypted: bool,
    /// The KMS key, if not the account's default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// Tags, `Name` among them.
    pub tags: Tags,
}

/// A network interface that keeps a group's address over its machines; its natural key is the
/// `Name` tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkInterface {
    /// The subnet; AWS cannot change it.
    pub subnet_id: String,
    /// Description shown in the console.
    pub description: String,
    /// Security groups.
    pub groups: BTreeSet<Ref>,
    /// Tags, `Name` among them.
    pub tags: Tags,
}
