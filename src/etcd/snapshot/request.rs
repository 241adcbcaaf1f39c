//! Asking a member's machine for a snapshot: an object of the state bucket, which the machine looks for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How long a request is good for, in seconds: whoever asked has stopped waiting by then.
pub const REQUEST_SECS_MAX: i64 = 1800;

/// The content of [`request_key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Version of this form.
    pub format_version: u32,
    /// Tells requests apart; the record of the snapshot repeats it.
    pub id: String,
    /// When it was asked for, on the bucket's clock.
    pub asked_at: Timestamp,
    /// The member that is to take it; any if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Whether the member takes it although it knows no quorum: it is the one that is left.
    #[serde(default)]
    pub alone: bool,
}

impl Request {
    /// Raised when an older kprod could no longer read it.
    pub const FORMAT_VERSION: u32 = 1;

    /// Reads an object of the state bucket; what makes no sense asks for nothing.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let request: Self = serde_json::from_slice(body).ok()?;
        (request.format_version == Self::FORMAT_VERSION).then_some(request)
    }

    /// The object's content.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// Whether somebody may still wait for it.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        let age = now.duration_since(self.asked_at).as_secs();
        (-REQUEST_SECS_MAX..REQUEST_SECS_MAX).contains(&age)
    }
}

/// The object of the state bucket by which a snapshot is asked for.
pub fn request_key(cluster: &str, etcd: &str) -> String {
    format!("etcd/{cluster}/{etcd}/snapshot-request")
}
