//! The etcd clusters and their members.

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::machine::VolumeType;
use super::text::Span;
use crate::etcd::snapshot::Schedule;

/// One etcd cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdClusterSpec {
    /// `main`, or `events` for a cluster of its own for events.
    pub name: String,
    /// Its members: 1, 3, 5 or 7.
    #[serde(default)]
    pub etcd_members: Vec<EtcdMemberSpec>,
    /// Where snapshots go.
    #[serde(default)]
    pub backups: Option<EtcdBackupSpec>,
}

/// One member: a name, the group that hosts it and its volume, which outlives the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdMemberSpec {
    /// Name, unique in the etcd cluster; part of the member's DNS name.
    pub name: String,
    /// The group that hosts it: one machine, one zone.
    pub instance_group: String,
    /// Type of the volume.
    #[serde(default)]
    pub volume_type: Option<VolumeType>,
    /// Operations per second of the volume.
    #[serde(default)]
    pub volume_iops: Option<u32>,
    /// Throughput of the volume, in MiB a second.
    #[serde(default)]
    pub volume_throughput: Option<u32>,
    /// Size of the volume, in GiB.
    #[serde(default)]
    pub volume_size: Option<u32>,
    /// Key that the volume is encrypted with; the account's own key when absent.
    #[serde(default)]
    pub kms_key_id: Option<String>,
    /// Whether the volume is encrypted; cannot be changed later.
    #[serde(default)]
    pub encrypted_volume: Option<bool>,
}

/// Below the cluster's state, where snapshots go that nobody has named a place for: then by etcd cluster.
pub const USUAL_BACKUPS: &str = "backups/etcd";

/// Where an etcd cluster's snapshots go, how often they are taken and how long they are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdBackupSpec {
    /// `s3://` address; the hosts of the members may write below it.
    pub backup_store: Option<String>,
    /// Between two snapshots.
    pub interval: Option<Span>,
    /// How long every snapshot is kept.
    pub keep_all: Option<Span>,
    /// How long the last snapshot of each day (UTC) is kept.
    pub keep_daily: Option<Span>,
    /// The day on which a restore from them was last tried, such as `2026-10-31`: for the lints.
    pub last_drill: Option<String>,
}

impl EtcdBackupSpec {
    /// Between two snapshots, where nothing is said.
    pub const INTERVAL: Span = Span { secs: Schedule::USUAL.interval_secs };
    /// How long every snapshot is kept, where nothing is said.
    pub const KEEP_ALL: Span = Span { secs: Schedule::USUAL.keep_all_secs };
    /// How long one of each day is kept, where nothing is said.
    pub const KEEP_DAILY: Span = Span { secs: Schedule::USUAL.keep_daily_secs };

    /// The day of the last drill, if what is written is one.
    pub fn last_drill_day(&self) -> Option<Date> {
        self.last_drill.as_ref()?.parse().ok()
    }
}
