//! Assets: objects of the state bucket that machines fetch, all of a cluster in one listing.

use super::epochs::told;
use super::observe::Found;
use super::{AwsCloud, bucket};
use crate::cloud::{CloudError, Query, asset};
use crate::resource::{Key, Kind};

/// Reads the assets that are there, if the query is about any.
pub(super) async fn read(cloud: &AwsCloud, query: &Query) -> Result<Vec<Found>, CloudError> {
    if !asset::is_asked(query) {
        return Ok(Vec::new());
    }
    let prefix = asset::prefix(&query.cluster);
    let listed = told("ListObjectsV2", cloud, || bucket::list(cloud, &prefix)).await?;
    let seen = listed.unwrap_or_default().into_iter().filter_map(|object| {
        let (name, observed) = asset::observed(&query.cluster, &object.key, object.size)?;
        Some(Found { key: Key::new(Kind::Asset, name), observed })
    });
    Ok(seen.collect())
}
