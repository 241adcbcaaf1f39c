//! The state bucket: small objects under conditions, in S3.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;

use super::AwsCloud;
use crate::cloud::{Condition, Entry, StoreError};

/// Where a cluster's state is kept: `spec.configBase`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateAddress {
    /// The bucket.
    pub bucket: String,
    /// What every key begins with; empty or with a final slash.
    pub prefix: String,
}

impl StateAddress {
    /// Reads `s3://bucket/prefix`.
    pub fn parse(address: &str) -> Option<Self> {
        let path = address.strip_prefix("s3://")?;
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        let prefix = prefix.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        (!bucket.is_empty()).then(|| Self { bucket: bucket.to_owned(), prefix })
    }
}

pub(super) async fn get(cloud: &AwsCloud, key: &str) -> Result<Option<Entry>, StoreError> {
    let state = state(cloud)?;
    let call = cloud.s3.get_object().bucket(&state.bucket).key(state.prefix.clone() + key);
    match call.send().await {
        Ok(answer) => {
            let etag = answer.e_tag().unwrap_or_default().to_owned();
            let body = answer.body.collect().await;
            let body = body.map_err(|error| StoreError::Failed(error.to_string()))?;
            Ok(Some(Entry { body: body.to_vec(), etag }))
        }
        Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => {
            Ok(None)
        }
        Err(error) => Err(failed(key, &error)),
    }
}

pub(super) async fn put(
    cloud: &AwsCloud,
    key: &str,
    body: Vec<u8>,
    condition: Condition,
) -> Result<String, StoreError> {
    let state = state(cloud)?;
    let mut call = cloud.s3.put_object().bucket(&state.bucket).key(state.prefix.clone() + key);
    match condition {
        Condition::Any => {}
        Condition::Absent => call = call.if_none_match("*"),
        Condition::Match(etag) => call = call.if_match(etag),
    }
    let answer = call.body(ByteStream::from(body)).send().await;
    let answer = answer.map_err(|error| failed(key, &error))?;
    Ok(answer.e_tag().unwrap_or_default().to_owned())
}

pub(super) async fn remove(
    cloud: &AwsCloud,
    key: &str,
    condition: Condition,
) -> Result<(), StoreError> {
    let state = state(cloud)?;
    let mut call = cloud.s3.delete_object().bucket(&state.bucket).key(state.prefix.clone() + key);
    if let Condition::Match(etag) = condition {
        call = call.if_match(etag);
    }
    call.send().await.map(|_| ()).map_err(|error| failed(key, &error))
}

fn state(cloud: &AwsCloud) -> Result<&StateAddress, StoreError> {
    cloud.state.as_ref().ok_or_else(|| {
        StoreError::Failed("no state bucket: set `spec.configBase` to s3://bucket/path".to_owned())
    })
}

fn failed<E: ProvideErrorMetadata, R>(key: &str, error: &SdkError<E, R>) -> StoreError {
    match error.code() {
        // A conditional write that raced another one, and one that came too late.
        Some("PreconditionFailed" | "ConditionalRequestConflict") => {
            StoreError::Conflict(key.to_owned())
        }
        code => {
            let (code, message) = (code.unwrap_or("Unknown"), error.message().unwrap_or_default());
            StoreError::Failed(format!("{key}: {message} ({code})"))
        }
    }
}
