//! Assets: objects that nobody here needs the bytes of. What stands in the bucket is how long they are.

use serde::{Deserialize, Serialize};

use super::look::Look;
use super::store::StoredObject;
use super::{Answer, Refused, World};
use crate::cloud::{Reply, asset};
use crate::resource::Attribute;

/// What stands for the bytes of an asset.
#[derive(Debug, Serialize, Deserialize)]
struct StandIn {
    simulated_bytes: u64,
}

impl World {
    pub(super) fn create_asset(&mut self, cluster: &str, sha256: &str, size: u64) -> Answer {
        let key = asset::key(cluster, sha256);
        if self.objects.contains_key(&key) {
            let message = format!("there is an object `{key}` already");
            return Err(Refused::exists("PreconditionFailed", message));
        }
        let body = serde_json::to_vec(&StandIn { simulated_bytes: size }).unwrap_or_default();
        self.objects.insert(key.clone(), StoredObject::new(body, sha256, self.now));
        Ok(Reply { attributes: [(Attribute::Id, key)].into(), ..Reply::default() })
    }
}

impl Look<'_> {
    /// Assets by their objects, which never lag.
    pub(super) fn assets(&mut self) {
        if !asset::is_asked(self.query) {
            return;
        }
        let cluster = &self.query.cluster;
        let prefix = asset::prefix(cluster);
        let objects = self.world.objects.iter().filter(|(key, _)| key.starts_with(&prefix));
        let seen = objects.filter_map(|(key, object)| {
            let body = object.body.to_bytes();
            let size = serde_json::from_slice(&body)
                .map_or(body.len() as u64, |StandIn { simulated_bytes }| simulated_bytes);
            asset::observed(cluster, key, size)
        });
        for (name, observed) in seen.collect::<Vec<_>>() {
            self.add(&name, observed);
        }
    }
}
