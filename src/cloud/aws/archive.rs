//! Snapshots in S3. Each function makes one request, once, or one for each page of a list; whoever asked
//! tries again. Requests name the account that the bucket must belong to, as those to the state bucket do.

#![expect(clippy::disallowed_methods, reason = "what is fetched goes to a file")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumMode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::AwsCloud;
use super::bucket::Request;
use crate::cloud::archive::{Address, Archive, OBJECT_BYTES_MAX, Stored};
use crate::cloud::{CloudErrorKind, StoreError};
use crate::etcd::snapshot::Content;
use crate::state::StateAddress;

/// How long one may take: 5 GB at 10 MB a second, and some more.
const LIMIT: Duration = Duration::from_secs(600);
/// Pages of a list, of a thousand objects each.
const PAGES_MAX: usize = 20;

impl Archive for AwsCloud {
    async fn store(
        &self,
        object: &Address,
        file: &Path,
        content: &Content,
    ) -> Result<(), StoreError> {
        Box::pin(store(self, object, file, content)).await
    }

    async fn fetch(
        &self,
        object: &Address,
        into: &Path,
        bytes_max: u64,
    ) -> Result<bool, StoreError> {
        Box::pin(fetch(self, object, into, bytes_max)).await
    }

    async fn stored(&self, prefix: &Address) -> Result<Vec<Stored>, StoreError> {
        Box::pin(stored(self, prefix)).await
    }

    async fn discard(&self, object: &Address) -> Result<(), StoreError> {
        Box::pin(discard(self, object)).await
    }
}

async fn store(
    cloud: &AwsCloud,
    object: &Address,
    file: &Path,
    content: &Content,
) -> Result<(), StoreError> {
    if content.bytes > OBJECT_BYTES_MAX {
        let why = format!(
            "`{}` has {} bytes, S3 takes {OBJECT_BYTES_MAX} at once",
            file.display(),
            content.bytes
        );
        return Err(StoreError::unusable(why));
    }
    let bucket = in_bucket(object);
    let request = Request::on(cloud, "PutObject", &bucket, &object.key).await?;
    let body = ByteStream::from_path(file).await.map_err(|error| unusable_file(file, &error))?;
    let call = cloud
        .s3
        .put_object()
        .bucket(&object.bucket)
        .key(&object.key)
        .expected_bucket_owner(request.owner)
        .content_length(i64::try_from(content.bytes).unwrap_or(i64::MAX))
        .checksum_sha256(in_base64(&content.sha256))
        .body(body);
    match call.customize().config_override(patient()).send().await {
        Ok(_) => Ok(()),
        Err(error) => Err(told(request.told(error).await, object)),
    }
}

async fn fetch(
    cloud: &AwsCloud,
    object: &Address,
    into: &Path,
    bytes_max: u64,
) -> Result<bool, StoreError> {
    let bucket = in_bucket(object);
    let request = Request::on(cloud, "GetObject", &bucket, &object.key).await?;
    let call = cloud
        .s3
        .get_object()
        .bucket(&object.bucket)
        .key(&object.key)
        .expected_bucket_owner(request.owner)
        .checksum_mode(ChecksumMode::Enabled);
    let mut answer = match call.customize().config_override(patient()).send().await {
        Ok(answer) => answer,
        Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => {
            return Ok(false);
        }
        Err(error) => return Err(told(request.told(error).await, object)),
    };
    let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
    if length.is_none_or(|length| length > bytes_max) {
        return Err(StoreError::unusable(format!("`{object}` is larger than {bytes_max} bytes")));
    }
    let mut file = File::create(into).map_err(|error| unusable_file(into, &error))?;
    // The client's own limit ends when the headers are there.
    let copied = tokio::time::timeout(LIMIT, async {
        while let Some(chunk) = answer.body.next().await {
            let chunk = chunk.map_err(|error| request.cut_short(&error.to_string()))?;
            file.write_all(&chunk).map_err(|error| unusable_file(into, &error))?;
        }
        Ok(true)
    });
    copied.await.unwrap_or_else(|_| Err(request.cut_short("it did not arrive in time")))
}

async fn stored(cloud: &AwsCloud, prefix: &Address) -> Result<Vec<Stored>, StoreError> {
    let bucket = in_bucket(prefix);
    let request = Request::on(cloud, "ListObjectsV2", &bucket, &prefix.key).await?;
    let mut found = Vec::new();
    let mut next: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let call = cloud
            .s3
            .list_objects_v2()
            .bucket(&prefix.bucket)
            .prefix(&prefix.key)
            .set_continuation_token(next.take())
            .expected_bucket_owner(request.owner);
        let page = match call.send().await {
            Ok(page) => page,
            Err(error) => return Err(told(request.told(error).await, prefix)),
        };
        for object in page.contents() {
            let written = object.last_modified().map(|date| Timestamp::from_second(date.secs()));
            let (Some(key), Some(Ok(written_at))) = (object.key(), written) else { continue };
            let address = Address { bucket: prefix.bucket.clone(), key: key.to_owned() };
            let bytes = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
            found.push(Stored { address, bytes, written_at });
        }
        next = page.next_continuation_token().map(str::to_owned);
        if next.is_none() {
            return Ok(found);
        }
    }
    Err(StoreError::unusable(format!("more than {PAGES_MAX},000 objects are below `{prefix}`")))
}

async fn discard(cloud: &AwsCloud, object: &Address) -> Result<(), StoreError> {
    let bucket = in_bucket(object);
    let request = Request::on(cloud, "DeleteObject", &bucket, &object.key).await?;
    let call = cloud
        .s3
        .delete_object()
        .bucket(&object.bucket)
        .key(&object.key)
        .expected_bucket_owner(request.owner);
    match call.send().await {
        Ok(_) => Ok(()),
        Err(error) => Err(told(request.told(error).await, object)),
    }
}

fn in_bucket(object: &Address) -> StateAddress {
    StateAddress { bucket: object.bucket.clone(), prefix: String::new() }
}

/// A client that gives a large object the time it takes.
fn patient() -> Builder {
    Builder::new().timeout_config(TimeoutConfig::builder().operation_timeout(LIMIT).build())
}

/// What is said of the state bucket would mislead whoever keeps snapshots in another one.
fn told(error: StoreError, object: &Address) -> StoreError {
    let bucket = &object.bucket;
    match error {
        StoreError::BucketMissing { .. } => {
            let why = format!("the bucket `{bucket}`, which `backupStore` names, does not exist");
            StoreError::unusable(why)
        }
        StoreError::BucketElsewhere { region, wanted, .. } => StoreError::unusable(format!(
            "the bucket `{bucket}`, which `backupStore` names, is in {region}, the cluster in {wanted}"
        )),
        other => other,
    }
}

fn unusable_file(file: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::failed(CloudErrorKind::Invalid, format!("`{}`: {error}", file.display()))
}

/// S3 takes sums in base64.
fn in_base64(hex: &str) -> String {
    let digits = hex.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    let bytes: Vec<u8> = digits.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
    STANDARD.encode(bytes)
}
