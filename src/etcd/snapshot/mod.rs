//! Snapshots of an etcd cluster: which there are, who takes the next one and when, which are kept, and
//! which of `main` and `events` belong together.
//!
//! What is listed is verified: it was taken, its own sum was right, it was uploaded, read back and
//! compared; its record comes last. So a snapshot that is not in the list is none, whatever lies in the
//! bucket. Everything here is pure: the member's machine (`node::etcd`) and the simulated world follow
//! the same decisions.

mod content;
mod list;
mod moment;
mod request;
mod retention;
mod schedule;
mod slot;
#[cfg(test)]
mod tests;
mod tool;
mod turn;

pub use content::{Content, ContentError, examine, hex, sha256_of, sum};
pub use list::{
    CERTIFICATES_PART, Claim, List, ListError, Record, SNAPSHOT_PART, Taken, name, object, prefix,
};
pub use moment::{Moment, MomentError, TOGETHER_SECS_MAX, at_once, newest_together};
pub use request::{Beside, REQUEST_SECS_MAX, Request, request_key};
pub use retention::{Lying, Sorted, UPLOAD_SECS_MAX, discarded, sort};
pub use schedule::{Schedule, Store};
pub use tool::{BUMP_REVISIONS, Restore, Tooling, ToolingError};
pub use turn::{CLAIM_SECS_MAX, Member, Reason, Turn, turn};

pub use super::epoch::snapshots_key;
