//! The state bucket's own settings: read them, make one step.

use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketLocationConstraint, BucketVersioningStatus,
    CreateBucketConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleFilter, NoncurrentVersionExpiration, ObjectOwnership, OwnershipControls,
    OwnershipControlsRule, PublicAccessBlockConfiguration, ServerSideEncryption,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
    VersioningConfiguration,
};

use super::AwsCloud;
use super::bucket::Request;
use crate::cloud::{CloudErrorKind, StoreError};
use crate::state::{AccessBlock, BucketSettings, BucketStep, Encryption, VersionRule};

/// The only region without a location constraint (Amazon S3 API Reference, CreateBucket).
const UNCONSTRAINED: &str = "us-east-1";

/// Sends a read of one setting; `None` when S3 says by this code that it was never set.
macro_rules! read {
    ($cloud:expr, $method:ident, $operation:literal, $unset:literal) => {
        async {
            let request = Request::on_bucket($cloud, $operation).await?;
            let call = $cloud.s3.$method().bucket(&request.state.bucket);
            match call.expected_bucket_owner(request.owner).send().await {
                Ok(answer) => Ok(Some(answer)),
                Err(error) => {
                    use aws_sdk_s3::error::ProvideErrorMetadata;
                    match error.code() {
                        Some($unset) => Ok(None),
                        _ => Err(request.told(error).await),
                    }
                }
            }
        }
    };
}

/// Sends a write of one setting.
macro_rules! write {
    ($cloud:expr, $method:ident, $operation:literal, $set:ident ( $value:expr )) => {{
        let request = Request::on_bucket($cloud, $operation).await?;
        let call = $cloud.s3.$method().bucket(&request.state.bucket).$set($value);
        match call.expected_bucket_owner(request.owner).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(request.told(error).await),
        }
    }};
}

/// Reads the bucket's settings; none when there is no such bucket.
pub(super) async fn settings(cloud: &AwsCloud) -> Result<Option<BucketSettings>, StoreError> {
    let request = Request::on_bucket(cloud, "HeadBucket").await?;
    let head = cloud.s3.head_bucket().bucket(&request.state.bucket);
    match head.expected_bucket_owner(request.owner).send().await {
        Ok(head) => {
            if let Some(region) = head.bucket_region()
                && region != cloud.region
            {
                let (bucket, region) = (request.state.bucket.clone(), region.to_owned());
                let wanted = cloud.region.clone();
                return Err(StoreError::BucketElsewhere { bucket, region, wanted });
            }
        }
        Err(error) => match request.told(error).await {
            StoreError::BucketMissing { .. } => return Ok(None),
            error => return Err(error),
        },
    }
    let (access, owners, encryption, versions, policy, rules) = tokio::try_join!(
        access_block(cloud),
        enforces_owner(cloud),
        encryption(cloud),
        is_versioned(cloud),
        policy(cloud),
        lifecycle(cloud),
    )?;
    Ok(Some(BucketSettings {
        is_versioned: versions,
        encryption,
        access_block: access,
        enforces_owner: owners,
        policy,
        version_rules: rules.iter().filter_map(version_rule).collect(),
    }))
}

async fn access_block(cloud: &AwsCloud) -> Result<AccessBlock, StoreError> {
    let read = read!(
        cloud,
        get_public_access_block,
        "GetPublicAccessBlock",
        "NoSuchPublicAccessBlockConfiguration"
    );
    let answer = read.await?;
    let block = answer.and_then(|answer| answer.public_access_block_configuration);
    Ok(block.map_or_else(AccessBlock::default, |block| AccessBlock {
        block_public_acls: block.block_public_acls.unwrap_or_default(),
        ignore_public_acls: block.ignore_public_acls.unwrap_or_default(),
        block_public_policy: block.block_public_policy.unwrap_or_default(),
        restrict_public_buckets: block.restrict_public_buckets.unwrap_or_default(),
    }))
}

async fn enforces_owner(cloud: &AwsCloud) -> Result<bool, StoreError> {
    let read = read!(
        cloud,
        get_bucket_ownership_controls,
        "GetBucketOwnershipControls",
        "OwnershipControlsNotFoundError"
    );
    let controls = read.await?.and_then(|answer| answer.ownership_controls);
    Ok(controls.is_some_and(|controls| {
        let mut rules = controls.rules.iter();
        rules.any(|rule| rule.object_ownership == ObjectOwnership::BucketOwnerEnforced)
    }))
}

async fn encryption(cloud: &AwsCloud) -> Result<Option<Encryption>, StoreError> {
    let read = read!(
        cloud,
        get_bucket_encryption,
        "GetBucketEncryption",
        "ServerSideEncryptionConfigurationNotFoundError"
    );
    let rules = read.await?.and_then(|answer| answer.server_side_encryption_configuration);
    let rules = rules.map(|configuration| configuration.rules).unwrap_or_default();
    let default = rules.into_iter().find_map(|r| r.apply_server_side_encryption_by_default);
    Ok(default.map(|default| match default.sse_algorithm {
        ServerSideEncryption::Aes256 => Encryption::S3,
        _ => Encryption::Kms(default.kms_master_key_id.unwrap_or_default()),
    }))
}

async fn is_versioned(cloud: &AwsCloud) -> Result<bool, StoreError> {
    // This setting has a state of its own for "never".
    let read = read!(cloud, get_bucket_versioning, "GetBucketVersioning", "-");
    let status = read.await?.and_then(|answer| answer.status);
    Ok(status == Some(BucketVersioningStatus::Enabled))
}

async fn policy(cloud: &AwsCloud) -> Result<Option<serde_json::Value>, StoreError> {
    let read = read!(cloud, get_bucket_policy, "GetBucketPolicy", "NoSuchBucketPolicy");
    let Some(text) = read.await?.and_then(|answer| answer.policy) else { return Ok(None) };
    let policy = serde_json::from_str(&text);
    policy.map(Some).map_err(|error| StoreError::unusable(format!("the bucket's policy: {error}")))
}

async fn lifecycle(cloud: &AwsCloud) -> Result<Vec<LifecycleRule>, StoreError> {
    let read = read!(
        cloud,
        get_bucket_lifecycle_configuration,
        "GetBucketLifecycleConfiguration",
        "NoSuchLifecycleConfiguration"
    );
    Ok(read.await?.and_then(|answer| answer.rules).unwrap_or_default())
}

/// A rule in our words, if it is on, is about a prefix and nothing else, and ends old versions and
/// what they leave behind.
fn version_rule(rule: &LifecycleRule) -> Option<VersionRule> {
    let filter = rule.filter.as_ref()?;
    let is_plain = filter.tag.is_none()
        && filter.and.is_none()
        && filter.object_size_greater_than.is_none()
        && filter.object_size_less_than.is_none();
    let ends_markers = rule.expiration.as_ref()?.expired_object_delete_marker?;
    let expiration = rule.noncurrent_version_expiration.as_ref()?;
    let keeps_some = expiration.newer_noncurrent_versions.is_some_and(|count| count > 0);
    if rule.status != ExpirationStatus::Enabled || !is_plain || !ends_markers || keeps_some {
        return None;
    }
    Some(VersionRule {
        id: rule.id.clone()?,
        prefix: filter.prefix.clone()?,
        days: expiration.noncurrent_days?,
    })
}

/// Makes one step.
pub(super) async fn make(cloud: &AwsCloud, step: &BucketStep) -> Result<(), StoreError> {
    match step {
        BucketStep::Create(region) => create(cloud, region).await,
        BucketStep::BlockPublicAccess => {
            let block = PublicAccessBlockConfiguration::builder()
                .block_public_acls(true)
                .ignore_public_acls(true)
                .block_public_policy(true)
                .restrict_public_buckets(true)
                .build();
            write!(
                cloud,
                put_public_access_block,
                "PutPublicAccessBlock",
                public_access_block_configuration(block)
            )
        }
        BucketStep::EnforceOwner => {
            let rule = OwnershipControlsRule::builder()
                .object_ownership(ObjectOwnership::BucketOwnerEnforced)
                .build();
            let controls = OwnershipControls::builder().rules(rule.map_err(unbuilt)?).build();
            let controls = controls.map_err(unbuilt)?;
            write!(
                cloud,
                put_bucket_ownership_controls,
                "PutBucketOwnershipControls",
                ownership_controls(controls)
            )
        }
        BucketStep::Encrypt(encryption) => encrypt(cloud, encryption).await,
        BucketStep::Version => {
            let on =
                VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
            write!(
                cloud,
                put_bucket_versioning,
                "PutBucketVersioning",
                versioning_configuration(on)
            )
        }
        BucketStep::SetPolicy(document) => {
            write!(cloud, put_bucket_policy, "PutBucketPolicy", policy(document.to_string()))
        }
        BucketStep::ExpireVersions(rules) => expire_versions(cloud, rules).await,
    }
}

async fn create(cloud: &AwsCloud, region: &str) -> Result<(), StoreError> {
    let request = Request::on_bucket(cloud, "CreateBucket").await?;
    let mut call = cloud
        .s3
        .create_bucket()
        .bucket(&request.state.bucket)
        .object_ownership(ObjectOwnership::BucketOwnerEnforced);
    if region != UNCONSTRAINED {
        let constraint = CreateBucketConfiguration::builder()
            .location_constraint(BucketLocationConstraint::from(region))
            .build();
        call = call.create_bucket_configuration(constraint);
    }
    match call.send().await {
        Ok(_) => Ok(()),
        // An answer was lost, or somebody of this account was faster.
        Err(error)
            if error.as_service_error().is_some_and(|e| e.is_bucket_already_owned_by_you()) =>
        {
            Ok(())
        }
        Err(error) => Err(request.told(error).await),
    }
}

async fn encrypt(cloud: &AwsCloud, encryption: &Encryption) -> Result<(), StoreError> {
    let default = ServerSideEncryptionByDefault::builder();
    let default = match encryption {
        Encryption::S3 => default.sse_algorithm(ServerSideEncryption::Aes256),
        Encryption::Kms(key) => {
            default.sse_algorithm(ServerSideEncryption::AwsKms).kms_master_key_id(key)
        }
    };
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(default.build().map_err(unbuilt)?)
        // One key for many objects, so that KMS is not asked for each.
        .bucket_key_enabled(matches!(encryption, Encryption::Kms(_)))
        .build();
    let rules = ServerSideEncryptionConfiguration::builder().rules(rule).build();
    let rules = rules.map_err(unbuilt)?;
    write!(
        cloud,
        put_bucket_encryption,
        "PutBucketEncryption",
        server_side_encryption_configuration(rules)
    )
}

/// Adds rules to those that are there: S3 knows only all of them at once.
async fn expire_versions(cloud: &AwsCloud, wanted: &[VersionRule]) -> Result<(), StoreError> {
    let mut rules = lifecycle(cloud).await?;
    rules.retain(|rule| wanted.iter().all(|wanted| rule.id.as_ref() != Some(&wanted.id)));
    for rule in wanted {
        let after = NoncurrentVersionExpiration::builder().noncurrent_days(rule.days).build();
        let rule = LifecycleRule::builder()
            .id(&rule.id)
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix(&rule.prefix).build())
            .noncurrent_version_expiration(after)
            .expiration(LifecycleExpiration::builder().expired_object_delete_marker(true).build())
            .build();
        rules.push(rule.map_err(unbuilt)?);
    }
    let all = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build();
    let all = all.map_err(unbuilt)?;
    write!(
        cloud,
        put_bucket_lifecycle_configuration,
        "PutBucketLifecycleConfiguration",
        lifecycle_configuration(all)
    )
}

/// A request that lacks a required part.
fn unbuilt(error: impl std::fmt::Display) -> StoreError {
    StoreError::failed(CloudErrorKind::Invalid, error.to_string())
}
