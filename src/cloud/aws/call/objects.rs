//! Objects of the state bucket that a change makes. Each function makes one call, once.

use std::collections::BTreeMap;

use super::Answer;
use crate::cloud::aws::{AwsCloud, bucket};
use crate::cloud::{Condition, Reply, epoch};
use crate::etcd::epoch::epoch_key;
use crate::resource::{Attribute, EpochMember};

/// Opens an etcd cluster's first epoch, under the condition that there is none.
pub(super) async fn create_epoch(
    cloud: &AwsCloud,
    cluster: &str,
    etcd: &str,
    members: &BTreeMap<String, EpochMember>,
) -> Answer {
    let first = epoch::first(cluster, etcd, members, fastrand::u64(..));
    let key = epoch_key(cluster, etcd);
    match bucket::put(cloud, &key, first.to_bytes(), Condition::Absent).await {
        Ok(_) => Ok(super::told([(Attribute::Id, Some(first.token.as_str()))])),
        Err(error) => Err(bucket::call_error("CreateEpoch", &error)),
    }
}

/// Removes an object, whatever it holds.
pub(super) async fn delete_object(cloud: &AwsCloud, key: &str) -> Answer {
    match bucket::remove(cloud, key, Condition::Any).await {
        Ok(()) => Ok(Reply::default()),
        Err(error) => Err(bucket::call_error("DeleteObject", &error)),
    }
}
