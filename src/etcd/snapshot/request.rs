//! Asking a member's machine for a snapshot: an object of the state bucket, which the machine looks for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::List;

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

/// What whoever has a request to make does beside the one that is there: there is one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside<'a> {
    /// Nothing is in the way: it asks.
    Ask,
    /// It has asked, and waits.
    Wait,
    /// Another one comes first: it waits for that one's end.
    Behind(&'a Request),
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

    /// What to do with this request where another one, or none, is found. One that was answered, or that
    /// nobody waits for any more, is in nobody's way.
    ///
    /// A cluster that has lost its quorum answers only its survivor's: that one goes before all others, and
    /// before another survivor's when it comes anew, whose member may be gone. `has_asked`, and was itself
    /// put aside since, it waits: two runs do not put each other aside for ever.
    pub fn beside<'a>(
        &self,
        found: Option<&'a Request>,
        list: &List,
        now: Timestamp,
        has_asked: bool,
    ) -> Beside<'a> {
        let Some(found) = found.filter(|found| found.is_alive(now)) else { return Beside::Ask };
        if found.id == self.id {
            return Beside::Wait;
        }
        let is_over = list.answer_to(&found.id).is_some();
        let is_urgent = self.alone && !found.alone;
        let is_anew = self.alone && self.member != found.member && !has_asked;
        match is_over || is_urgent || is_anew {
            true => Beside::Ask,
            false => Beside::Behind(found),
        }
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
