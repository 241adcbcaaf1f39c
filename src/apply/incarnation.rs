//! How often each resource with a client token was removed: part of the next token.
//!
//! A client token makes a repeated create harmless, also over a crash: the same content gives the
//! same token. For the same reason a resource that was removed and is wanted again would be answered
//! with the id of the removed one. So each removal is counted, before it is made. The count is no
//! truth about the world: one too many costs nothing.

use std::collections::BTreeMap;

use super::store::{self, PATIENT};
use crate::cloud::{Cloud, Condition, StoreError};
use crate::resource::{Key, Kind};

/// Removals by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Incarnations(BTreeMap<String, u64>);

fn object(cluster: &str) -> String {
    format!("incarnation/{cluster}")
}

/// Whether resources of this kind are made under a client token (or Route53's caller reference).
fn has_token(kind: Kind) -> bool {
    matches!(kind, Kind::Volume | Kind::NetworkInterface | Kind::LaunchTemplate | Kind::HostedZone)
}

/// Counts resources as removed that are made again although they are still there: under other names,
/// and for others.
///
/// # Errors
/// When the state bucket cannot be read or written.
pub async fn forget_tokens<C: Cloud>(
    cloud: &C,
    cluster: &str,
    removed: &[&Key],
) -> Result<(), StoreError> {
    Incarnations::load(cloud, cluster).await?.count(cloud, cluster, removed).await
}

impl Incarnations {
    /// Reads the counts; none were kept for a cluster that never lost a resource.
    pub(super) async fn load<C: Cloud>(cloud: &C, cluster: &str) -> Result<Self, StoreError> {
        let entry = store::get(cloud, &object(cluster), PATIENT).await?;
        let Some(entry) = entry else { return Ok(Self::default()) };
        let counts = serde_json::from_slice(&entry.body).map_err(|error| {
            StoreError::unusable(format!("`{}` cannot be read: {error}", object(cluster)))
        })?;
        Ok(Self(counts))
    }

    /// So often it was removed.
    pub(super) fn of(&self, address: &Key) -> u64 {
        self.0.get(&address.to_string()).copied().unwrap_or_default()
    }

    /// Counts the removals that are about to be made, in one write. Only the holder of the lease
    /// calls this, so the write needs no condition.
    pub(super) async fn count<C: Cloud>(
        &mut self,
        cloud: &C,
        cluster: &str,
        removed: &[&Key],
    ) -> Result<(), StoreError> {
        let removed: Vec<&&Key> = removed.iter().filter(|key| has_token(key.kind)).collect();
        if removed.is_empty() {
            return Ok(());
        }
        for key in removed {
            *self.0.entry(key.to_string()).or_default() += 1;
        }
        let body = serde_json::to_vec_pretty(&self.0)
            .map_err(|error| StoreError::unusable(error.to_string()))?;
        let written = store::put(cloud, &object(cluster), &body, &Condition::Any, PATIENT).await;
        written.map(|_| ())
    }
}
