//! Epochs of etcd, and what is left of clusters that have none: objects of the state bucket.

use std::collections::{BTreeMap, BTreeSet};

use super::observe::Found;
use super::{AwsCloud, bucket};
use crate::cloud::{CloudError, Entry, Query, StoreError, epoch};
use crate::etcd::epoch::epoch_key;
use crate::resource::{Key, Kind};

/// Epochs that are there, and what is left of others.
#[derive(Default)]
pub(super) struct Epochs {
    pub(super) found: Vec<Found>,
    pub(super) remains: BTreeMap<Key, BTreeSet<String>>,
}

/// Reads the epochs of a query, one call each; of one that is not there, what would tell that it was.
pub(super) async fn read(cloud: &AwsCloud, query: &Query) -> Result<Epochs, CloudError> {
    let mut epochs = Epochs::default();
    let cluster = &query.cluster;
    for etcd in epoch::wanted(query) {
        let key = Key::new(Kind::Epoch, epoch::name(etcd, cluster));
        match get(cloud, &epoch_key(cluster, etcd)).await? {
            Some(entry) => {
                let observed = epoch::observed(cluster, etcd, &entry.body)?;
                epochs.found.push(Found { key, observed });
            }
            None => {
                let remains = remains(cloud, cluster, etcd).await?;
                if !remains.is_empty() {
                    epochs.remains.insert(key, remains);
                }
            }
        }
    }
    Ok(epochs)
}

/// Objects that tell of members that have run.
async fn remains(
    cloud: &AwsCloud,
    cluster: &str,
    etcd: &str,
) -> Result<BTreeSet<String>, CloudError> {
    let prefix = epoch::prefix(cluster, etcd);
    let keys = told("ListObjectsV2", cloud, || bucket::list(cloud, &prefix)).await?;
    let mut keys: BTreeSet<String> =
        keys.unwrap_or_default().into_iter().map(|object| object.key).collect();
    keys.retain(|key| epoch::is_remains(cluster, etcd, key));
    Ok(keys)
}

async fn get(cloud: &AwsCloud, key: &str) -> Result<Option<Entry>, CloudError> {
    Ok(told("GetObject", cloud, || bucket::get(cloud, key)).await?.flatten())
}

/// Asks the bucket, again where that helps. One that is not there yet, or is not for this cluster, holds
/// nothing: a plan can be made without it, and an apply, which takes its lease there, says what to do.
pub(super) async fn told<T, F>(
    operation: &str,
    cloud: &AwsCloud,
    ask: impl Fn() -> F,
) -> Result<Option<T>, CloudError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let once = || async {
        match ask().await {
            Ok(answer) => Ok(Some(answer)),
            Err(
                StoreError::NotConfigured
                | StoreError::BucketMissing { .. }
                | StoreError::BucketElsewhere { .. }
                | StoreError::BucketForeign { .. },
            ) => Ok(None),
            Err(error) => Err(bucket::call_error(operation, &error)),
        }
    };
    cloud.reader.read(cloud, once).await
}
