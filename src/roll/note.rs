//! What is noted for the rolls of a cluster in an object of the state bucket of its own: written whole, over
//! whatever was there, and taken away.

use serde::Serialize;

use crate::apply::store::{self, PATIENT};
use crate::apply::store_failure;
use crate::cloud::{Cloud, Condition, Entry};
use crate::error::Failure;

/// A note of one cluster.
pub(super) struct Note<'a> {
    /// The cluster.
    pub(super) cluster: &'a str,
    /// Its object's key.
    pub(super) key: String,
}

impl Note<'_> {
    /// Reads what is noted, if anything is.
    pub(super) async fn read<C: Cloud>(&self, cloud: &C) -> Result<Option<Entry>, Failure> {
        let found = store::get(cloud, &self.key, PATIENT).await;
        found.map_err(|error| store_failure(&error, self.cluster))
    }

    /// Notes something; the newest counts.
    pub(super) async fn write<C: Cloud>(
        &self,
        cloud: &C,
        what: &impl Serialize,
    ) -> Result<(), Failure> {
        let body = serde_json::to_vec_pretty(what).map_err(|error| {
            Failure::error(format!("`{}` cannot be written: {error}", self.key))
        })?;
        let written = store::put(cloud, &self.key, &body, &Condition::Any, PATIENT).await;
        written.map(drop).map_err(|error| store_failure(&error, self.cluster))
    }

    /// Takes it away, if it is there.
    pub(super) async fn clear<C: Cloud>(&self, cloud: &C) -> Result<(), Failure> {
        let removed = store::remove(cloud, &self.key, &Condition::Any, PATIENT).await;
        removed.map_err(|error| store_failure(&error, self.cluster))
    }
}
