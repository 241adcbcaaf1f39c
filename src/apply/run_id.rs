//! What tells a run from every other.

use jiff::Timestamp;
use serde_json::json;

use crate::resource::digest;

/// A run's name, unique to its holder and the moment it began; so no randomness is needed from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunId {
    /// The moment, for people, and the digest.
    pub id: String,
    /// What the run's dice begin with.
    pub seed: u64,
}

impl RunId {
    /// That of a run which began at a moment of the cloud's clock.
    pub fn of(holder: &str, began_at: Timestamp) -> Self {
        let digest = digest(&json!([holder, began_at.as_nanosecond().to_string()]));
        Self {
            seed: u64::from_str_radix(&digest, 16).unwrap_or_default(),
            id: format!("{}-{digest}", began_at.strftime("%Y%m%dT%H%M%SZ")),
        }
    }
}
