//! How often, and how long they are kept.

use serde::{Deserialize, Serialize};

/// Times of an etcd cluster's snapshots, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Between two snapshots.
    pub interval_secs: u64,
    /// How long every one is kept.
    pub keep_all_secs: u64,
    /// How long the last one of each day (UTC) is kept.
    pub keep_daily_secs: u64,
}

impl Schedule {
    /// Hourly, so that an hour of changes is the most that is lost; all of two days, for what is
    /// noticed soon; one of each day for a month, for what is noticed late. etcd-manager takes them as often.
    /// Source: kops documentation, "Backing up etcd".
    pub const USUAL: Self =
        Self { interval_secs: 3600, keep_all_secs: 2 * 86_400, keep_daily_secs: 30 * 86_400 };

    fn usual() -> Self {
        Self::USUAL
    }

    fn is_usual(&self) -> bool {
        *self == Self::USUAL
    }
}

/// Where an etcd cluster's snapshots go, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `s3://bucket/prefix`.
    pub store: String,
    /// How often, and how long they are kept.
    #[serde(default = "Schedule::usual", skip_serializing_if = "Schedule::is_usual")]
    pub schedule: Schedule,
}
