//! Objects of the state bucket that a change makes. Each function makes one call, once.

use std::collections::BTreeMap;

use super::Answer;
use crate::boot::Program;
use crate::cloud::aws::{AwsCloud, bucket};
use crate::cloud::{CloudError, CloudErrorKind, Condition, Reply, asset, epoch};
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

/// Writes what machines fetch, from the file that has this content.
pub(super) async fn create_asset(
    cloud: &AwsCloud,
    cluster: &str,
    sha256: &str,
    size: u64,
) -> Answer {
    const OPERATION: &str = "CreateAsset";
    let program = Program { version: None, sha256: sha256.to_owned(), size };
    let Some(body) = cloud.program(&program).await else {
        let message = format!("no file that was named has the content {sha256}");
        return Err(CloudError::new(CloudErrorKind::Invalid, OPERATION, "NoContent", message));
    };
    let key = asset::key(cluster, sha256);
    match bucket::upload(cloud, &key, body).await {
        Ok(()) => Ok(super::told([(Attribute::Id, Some(key.as_str()))])),
        Err(error) => Err(bucket::call_error(OPERATION, &error)),
    }
}

/// Removes an object, whatever it holds.
pub(super) async fn delete_object(cloud: &AwsCloud, key: &str) -> Answer {
    match bucket::remove(cloud, key, Condition::Any).await {
        Ok(()) => Ok(Reply::default()),
        Err(error) => Err(bucket::call_error("DeleteObject", &error)),
    }
}
