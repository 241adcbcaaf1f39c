//! The state bucket: small objects under conditions, in S3. Each function makes one request, once;
//! whoever asked tries again. What the bucket itself is like is in `state_bucket`.
//!
//! Every request names the account that the bucket must belong to, so that a bucket of somebody else
//! is never read nor written (Amazon S3 User Guide, "Verifying bucket ownership with bucket owner
//! condition"). Conditions are those of "Add preconditions to S3 operations with conditional
//! requests"; deletes know them since September 2025.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode};

use super::AwsCloud;
use super::clock::{Clock, Listener};
use crate::cloud::{CloudError, CloudErrorKind, Condition, Entry, StoreError};
use crate::state::StateAddress;

/// A request for a small object takes well under a second. A lease is renewed by one, and must not
/// end while one hangs; this is far below what the lease allows for the longest call.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// What machines fetch has some tens of megabytes. It is shorter than the longest call of a lease
/// (`apply::lease::LONGEST_CALL`).
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(50);
/// For a connection to be made, within the above.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Nothing that kprod writes comes near; what is larger was not written by kprod.
const OBJECT_BYTES_MAX: usize = 8 << 20;

/// A failure of the state bucket as one of a call.
pub(super) fn call_error(operation: &str, error: &StoreError) -> CloudError {
    let kind = match error {
        StoreError::Conflict(_) => CloudErrorKind::AlreadyExists,
        StoreError::Denied { .. } => CloudErrorKind::Denied,
        StoreError::Failed { kind, .. } => *kind,
        StoreError::NotConfigured
        | StoreError::BucketMissing { .. }
        | StoreError::BucketElsewhere { .. }
        | StoreError::BucketForeign { .. } => CloudErrorKind::Invalid,
    };
    let code = match error {
        StoreError::Conflict(_) => "PreconditionFailed",
        StoreError::Denied { .. } => "AccessDenied",
        _ => "StateBucket",
    };
    CloudError::new(kind, operation, code, error.to_string())
}

/// A client for the bucket, whose answers set the clock.
pub(super) fn client(config: &SdkConfig, clock: Arc<Clock>) -> aws_sdk_s3::Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_timeout(REQUEST_TIMEOUT)
        .build();
    let settings = aws_sdk_s3::config::Builder::from(config)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled())
        .interceptor(Listener(clock))
        .build();
    aws_sdk_s3::Client::from_conf(settings)
}

/// Reads an object.
pub(super) async fn get(cloud: &AwsCloud, key: &str) -> Result<Option<Entry>, StoreError> {
    let request = Request::on_object(cloud, "GetObject", key).await?;
    let call = cloud
        .s3
        .get_object()
        .bucket(&request.state.bucket)
        .key(request.state.key(key))
        .expected_bucket_owner(request.owner)
        .checksum_mode(ChecksumMode::Enabled);
    let answer = match call.send().await {
        Ok(answer) => answer,
        Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => {
            return Ok(None);
        }
        Err(error) => return Err(request.told(error).await),
    };
    let length = answer.content_length().and_then(|length| usize::try_from(length).ok());
    if length.is_none_or(|length| length > OBJECT_BYTES_MAX) {
        let why = format!("`{}` is larger than anything kprod writes", request.target);
        return Err(StoreError::unusable(why));
    }
    let etag = answer.e_tag().unwrap_or_default().to_owned();
    let date =
        answer.last_modified().and_then(|date| jiff::Timestamp::from_second(date.secs()).ok());
    let Some(written_at) = date else {
        let why = format!("the answer about `{}` does not say when it was written", request.target);
        return Err(StoreError::unusable(why));
    };
    // The client's own limit ends when the headers are there; checksums are compared on the way.
    match tokio::time::timeout(REQUEST_TIMEOUT, answer.body.collect()).await {
        Ok(Ok(body)) => Ok(Some(Entry { body: body.to_vec(), etag, written_at })),
        Ok(Err(error)) => Err(request.cut_short(&error.to_string())),
        Err(_) => Err(request.cut_short("it did not arrive in time")),
    }
}

/// An object that a listing names.
pub(super) struct Listed {
    /// Its key, below the place of the state.
    pub(super) key: String,
    /// Its length in bytes.
    pub(super) size: u64,
}

/// The objects below a prefix: the first thousand, one page.
pub(super) async fn list(cloud: &AwsCloud, prefix: &str) -> Result<Vec<Listed>, StoreError> {
    let request = Request::on_object(cloud, "ListObjectsV2", prefix).await?;
    let call = cloud
        .s3
        .list_objects_v2()
        .bucket(&request.state.bucket)
        .prefix(request.state.key(prefix))
        .expected_bucket_owner(request.owner);
    let page = match call.send().await {
        Ok(page) => page,
        Err(error) => return Err(request.told(error).await),
    };
    let own = request.state.key("");
    let listed = page.contents().iter().filter_map(|object| {
        let key = object.key()?.strip_prefix(&own)?.to_owned();
        Some(Listed { key, size: u64::try_from(object.size()?).ok()? })
    });
    Ok(listed.collect())
}

/// Writes an object under a condition.
pub(super) async fn put(
    cloud: &AwsCloud,
    key: &str,
    body: Vec<u8>,
    condition: Condition,
) -> Result<String, StoreError> {
    let request = Request::on_object(cloud, "PutObject", key).await?;
    let mut call = cloud
        .s3
        .put_object()
        .bucket(&request.state.bucket)
        .key(request.state.key(key))
        .expected_bucket_owner(request.owner)
        .checksum_algorithm(ChecksumAlgorithm::Sha256);
    match condition {
        Condition::Any => {}
        Condition::Absent => call = call.if_none_match("*"),
        Condition::Match(etag) => call = call.if_match(etag),
    }
    match call.body(ByteStream::from(body)).send().await {
        Ok(answer) => Ok(answer.e_tag().unwrap_or_default().to_owned()),
        Err(error) => Err(request.told(error).await),
    }
}

/// Writes a large object that must not exist yet. S3 compares it with the checksum that comes along.
pub(super) async fn upload(cloud: &AwsCloud, key: &str, body: Vec<u8>) -> Result<(), StoreError> {
    let request = Request::on_object(cloud, "PutObject", key).await?;
    let call = cloud
        .s3
        .put_object()
        .bucket(&request.state.bucket)
        .key(request.state.key(key))
        .expected_bucket_owner(request.owner)
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .if_none_match("*")
        .body(ByteStream::from(body));
    let timeouts = TimeoutConfig::builder().operation_timeout(UPLOAD_TIMEOUT).build();
    let settings = aws_sdk_s3::config::Builder::new().timeout_config(timeouts);
    match call.customize().config_override(settings).send().await {
        Ok(_) => Ok(()),
        Err(error) => Err(request.told(error).await),
    }
}

/// Removes an object under a condition.
pub(super) async fn remove(
    cloud: &AwsCloud,
    key: &str,
    condition: Condition,
) -> Result<(), StoreError> {
    let request = Request::on_object(cloud, "DeleteObject", key).await?;
    let mut call = cloud
        .s3
        .delete_object()
        .bucket(&request.state.bucket)
        .key(request.state.key(key))
        .expected_bucket_owner(request.owner);
    if let Condition::Match(etag) = condition {
        call = call.if_match(etag);
    }
    match call.send().await {
        Ok(_) => Ok(()),
        Err(error) => Err(request.told(error).await),
    }
}

/// A request to the bucket: what it is about, for telling what its refusal means.
pub(super) struct Request<'c> {
    cloud: &'c AwsCloud,
    operation: &'static str,
    /// The key or bucket, as `s3://…`.
    target: String,
    pub(super) state: &'c StateAddress,
    pub(super) owner: &'c str,
}

impl<'c> Request<'c> {
    /// A request about an object of ours.
    async fn on_object(
        cloud: &'c AwsCloud,
        operation: &'static str,
        key: &str,
    ) -> Result<Self, StoreError> {
        let mut request = Request::on_bucket(cloud, operation).await?;
        request.target = format!("s3://{}/{}", request.state.bucket, request.state.key(key));
        Ok(request)
    }

    /// A request about any object of any bucket.
    pub(super) async fn on(
        cloud: &'c AwsCloud,
        operation: &'static str,
        address: &'c StateAddress,
        key: &str,
    ) -> Result<Self, StoreError> {
        let owner = cloud.account().await;
        let owner = owner.map_err(|error| StoreError::failed(error.kind, error.to_string()))?;
        let target = format!("s3://{}/{key}", address.bucket);
        Ok(Request { cloud, operation, target, state: address, owner })
    }

    /// A request about the bucket.
    pub(super) async fn on_bucket(
        cloud: &'c AwsCloud,
        operation: &'static str,
    ) -> Result<Self, StoreError> {
        let state = cloud.state.as_ref().ok_or(StoreError::NotConfigured)?;
        let owner = cloud.account().await;
        let owner = owner.map_err(|error| StoreError::failed(error.kind, error.to_string()))?;
        let target = format!("s3://{}", state.bucket);
        Ok(Request { cloud, operation, target, state, owner })
    }

    /// What an error means. A refusal costs some more requests: S3 says the same of a bucket of
    /// somebody else and of a missing permission.
    pub(super) async fn told<E>(&self, error: SdkError<E, HttpResponse>) -> StoreError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let bucket = self.state.bucket.clone();
        if let Some(region) = self.other_region(&error) {
            let wanted = self.cloud.region.clone();
            return StoreError::BucketElsewhere { bucket, region, wanted };
        }
        match (error.code(), status(&error)) {
            // A conditional write that came too late, one that raced another, and one whose object
            // is gone (PutObject and DeleteObject, "If-Match").
            (Some("PreconditionFailed" | "ConditionalRequestConflict" | "NoSuchKey"), _) => {
                StoreError::Conflict(self.target.clone())
            }
            (Some("NoSuchBucket"), _) => StoreError::BucketMissing { bucket },
            // HEAD has no body that could hold a code.
            (_, Some(404)) if self.operation == "HeadBucket" => {
                StoreError::BucketMissing { bucket }
            }
            (Some("BucketAlreadyExists"), _) => self.foreign(),
            (code, Some(403)) if code.is_none_or(is_denial) => match self.is_foreign().await {
                Some(true) => self.foreign(),
                Some(false) | None => self.denied(error.message().unwrap_or("no reason given")),
            },
            // Another change of the bucket is under way (S3, "List of error codes").
            (Some("OperationAborted"), _) => {
                let why = error.message().unwrap_or_default().to_owned();
                StoreError::failed(CloudErrorKind::Unavailable, why)
            }
            _ => {
                let error = self.cloud.failed(self.operation, error);
                StoreError::failed(error.kind, error.to_string())
            }
        }
    }

    fn foreign(&self) -> StoreError {
        let (bucket, account) = (self.state.bucket.clone(), self.owner.to_owned());
        StoreError::BucketForeign { bucket, account }
    }

    fn denied(&self, message: &str) -> StoreError {
        StoreError::Denied {
            operation: self.operation.to_owned(),
            target: self.target.clone(),
            message: message.to_owned(),
        }
    }

    pub(super) fn cut_short(&self, why: &str) -> StoreError {
        let why = format!("{}: {}: {why}", self.operation, self.target);
        StoreError::failed(CloudErrorKind::AnswerLost, why)
    }

    /// The region that S3 points to, if it is not ours: by a redirect, or by the header that comes
    /// with refusals ("Request redirection and the REST API"; HeadBucket).
    fn other_region<E>(&self, error: &SdkError<E, HttpResponse>) -> Option<String> {
        let region = error.raw_response()?.headers().get("x-amz-bucket-region")?;
        (region != self.cloud.region).then(|| region.to_owned())
    }

    /// Whether the bucket belongs to somebody else; none if the credentials may see neither the
    /// bucket nor a list of their own ones.
    async fn is_foreign(&self) -> Option<bool> {
        let s3 = &self.cloud.s3;
        let head = s3.head_bucket().bucket(&self.state.bucket);
        if head.clone().expected_bucket_owner(self.owner).send().await.is_ok() {
            return Some(false);
        }
        match s3.list_buckets().prefix(&self.state.bucket).send().await {
            Ok(mine) => {
                let mut names = mine.buckets().iter().filter_map(|bucket| bucket.name());
                Some(!names.any(|name| name == self.state.bucket))
            }
            Err(_) => head.send().await.is_ok().then_some(true),
        }
    }
}

/// Whether a code speaks of permissions; of HEAD the client makes one of the status.
fn is_denial(code: &str) -> bool {
    ["AccessDenied", "Forbidden"].contains(&code)
}

/// The HTTP status of an answer.
fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}
