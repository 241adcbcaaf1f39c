//! Epochs of etcd clusters: objects of the state bucket that an apply writes, and that the members of
//! this world close once they have formed.

use std::collections::{BTreeMap, BTreeSet};

use super::look::Look;
use super::store::StoredObject;
use super::{Answer, Refused, World};
use crate::cloud::{CloudError, Query, Reply, epoch};
use crate::etcd::epoch::epoch_key;
use crate::resource::{Attribute, EpochMember, Key, Kind};

impl World {
    pub(super) fn create_epoch(
        &mut self,
        cluster: &str,
        etcd: &str,
        members: &BTreeMap<String, EpochMember>,
    ) -> Answer {
        let key = epoch_key(cluster, etcd);
        if self.objects.contains_key(&key) {
            let message = format!("there is an object `{key}` already");
            return Err(Refused::exists("PreconditionFailed", message));
        }
        // Follows from the moment, and not from the dice: nothing else hangs on it.
        let nonce = self.seed ^ self.now.0.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let first = epoch::first(cluster, etcd, members, nonce);
        self.objects.insert(key, StoredObject::new(first.to_bytes(), &first.token, self.now));
        let attributes = BTreeMap::from([(Attribute::Id, first.token)]);
        Ok(Reply { attributes, ..Reply::default() })
    }

    pub(super) fn delete_object(&mut self, key: &str) -> Answer {
        self.objects.remove(key);
        Ok(Reply::default())
    }

    /// What is left of etcd clusters that have no epoch, of those that a query asks for.
    pub(super) fn etcd_remains(&mut self, query: &Query) -> BTreeMap<Key, BTreeSet<String>> {
        let cluster = &query.cluster;
        let wanted = epoch::wanted(query).into_iter().map(str::to_owned);
        let lost: Vec<String> =
            wanted.filter(|etcd| !self.objects.contains_key(&epoch_key(cluster, etcd))).collect();
        let mut remains = BTreeMap::new();
        for etcd in lost {
            let prefix = epoch::prefix(cluster, &etcd);
            let mut keys: BTreeSet<String> =
                self.objects.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
            keys.extend(self.reporting_members(cluster, &etcd));
            keys.retain(|key| epoch::is_remains(cluster, &etcd, key));
            if !keys.is_empty() {
                remains.insert(Key::new(Kind::Epoch, epoch::name(&etcd, cluster)), keys);
            }
        }
        remains
    }
}

impl Look<'_> {
    /// Epochs by their objects, which never lag.
    pub(super) fn epochs(&mut self) -> Result<(), CloudError> {
        let cluster = &self.query.cluster;
        for etcd in epoch::wanted(self.query) {
            let Some(object) = self.world.objects.get(&epoch_key(cluster, etcd)) else { continue };
            let observed = epoch::observed(cluster, etcd, &object.body.to_bytes())?;
            self.add(&epoch::name(etcd, cluster), observed);
        }
        Ok(())
    }
}
