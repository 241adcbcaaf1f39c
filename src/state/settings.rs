//! How the state bucket should be set up, how it is, and the steps between the two.

use serde_json::Value;

use super::{StateAddress, policy};

/// Old versions of a lease are kept so long: they tell who held it in the days before a bad one.
const LEASE_VERSIONS_DAYS: i32 = 7;
/// Old versions of a journal are the runs before the newest; a quarter of them is kept.
const JOURNAL_VERSIONS_DAYS: i32 = 90;

/// The bucket that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedBucket {
    /// Where the state is kept.
    pub address: StateAddress,
    /// The cluster's region.
    pub region: String,
    /// Encrypt with this KMS key; without one S3's own keys do, or the key that is set already.
    pub kms_key: Option<String>,
}

/// A bucket as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketSettings {
    /// Whether it keeps what is overwritten.
    pub is_versioned: bool,
    /// What new objects are encrypted with.
    pub encryption: Option<Encryption>,
    /// Which ways to the public are closed.
    pub access_block: AccessBlock,
    /// Whether access lists are off, so that every object is the bucket owner's.
    pub enforces_owner: bool,
    /// Its policy.
    pub policy: Option<Value>,
    /// Its rules about old versions, those of others included.
    pub version_rules: Vec<VersionRule>,
}

/// Default encryption of a bucket (Amazon S3 User Guide, "Setting default server-side encryption").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// With keys that S3 manages (SSE-S3, `AES256`).
    S3,
    /// With a key of KMS, by id or ARN; an empty one is the account's own key for S3.
    Kms(String),
}

/// The four settings of "Blocking public access to your Amazon S3 storage".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessBlock {
    /// `BlockPublicAcls`.
    pub block_public_acls: bool,
    /// `IgnorePublicAcls`.
    pub ignore_public_acls: bool,
    /// `BlockPublicPolicy`.
    pub block_public_policy: bool,
    /// `RestrictPublicBuckets`.
    pub restrict_public_buckets: bool,
}

impl AccessBlock {
    /// Everything closed.
    pub const ALL: AccessBlock = AccessBlock {
        block_public_acls: true,
        ignore_public_acls: true,
        block_public_policy: true,
        restrict_public_buckets: true,
    };
}

/// A lifecycle rule that ends old versions below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRule {
    /// Its name in the bucket.
    pub id: String,
    /// What it is about.
    pub prefix: String,
    /// A version goes so many days after it was replaced.
    pub days: i32,
}

/// One step towards the wanted bucket: one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketStep {
    /// Make it, in this region.
    Create(String),
    /// Close every way to the public.
    BlockPublicAccess,
    /// Switch access lists off (`BucketOwnerEnforced`).
    EnforceOwner,
    /// Set the default encryption.
    Encrypt(Encryption),
    /// Keep what is overwritten.
    Version,
    /// Replace the policy.
    SetPolicy(Value),
    /// Add these lifecycle rules, or replace those of the same names.
    ExpireVersions(Vec<VersionRule>),
}

/// The steps from a bucket as it is (none: it is not there) to the wanted one. A setting that is
/// stricter than asked for, and whatever others set up besides, stays.
pub fn steps(wanted: &WantedBucket, found: Option<&BucketSettings>) -> Vec<BucketStep> {
    let (bucket, region) = (&wanted.address.bucket, &wanted.region);
    let mut steps = Vec::new();
    if found.is_none() {
        steps.push(BucketStep::Create(region.clone()));
    }
    let none = BucketSettings::default();
    let BucketSettings {
        is_versioned,
        encryption,
        access_block,
        enforces_owner,
        policy,
        version_rules,
    } = found.unwrap_or(&none);
    if *access_block != AccessBlock::ALL {
        steps.push(BucketStep::BlockPublicAccess);
    }
    if !enforces_owner {
        steps.push(BucketStep::EnforceOwner);
    }
    if let Some(encryption) = missing_encryption(encryption.as_ref(), wanted.kms_key.as_deref()) {
        steps.push(BucketStep::Encrypt(encryption));
    }
    if !is_versioned {
        steps.push(BucketStep::Version);
    }
    if !policy.as_ref().is_some_and(|policy| policy::demands_tls(policy, bucket, region)) {
        let policy = policy::with_tls(policy.as_ref(), bucket, region);
        steps.push(BucketStep::SetPolicy(policy));
    }
    let mut rules = version_rules_of(&wanted.address);
    rules.retain(|rule| !version_rules.contains(rule));
    if !rules.is_empty() {
        steps.push(BucketStep::ExpireVersions(rules));
    }
    steps
}

fn missing_encryption(found: Option<&Encryption>, key: Option<&str>) -> Option<Encryption> {
    match (found, key) {
        (Some(Encryption::Kms(found)), Some(key)) if is_same_key(found, key) => None,
        (_, Some(key)) => Some(Encryption::Kms(key.to_owned())),
        (Some(_), None) => None,
        (None, None) => Some(Encryption::S3),
    }
}

/// Whether two names of a key are of one key: an ARN ends with the id.
fn is_same_key(one: &str, other: &str) -> bool {
    let id = |name: &str| name.rsplit_once(":key/").map_or(name, |(_, id)| id).to_owned();
    id(one) == id(other)
}

/// Leases and journals are rewritten often, and only their newest version counts. A rule is named
/// after its prefix, since clusters may share a bucket.
fn version_rules_of(address: &StateAddress) -> Vec<VersionRule> {
    let rule = |folder: &str, days| {
        let prefix = address.key(folder);
        VersionRule { id: format!("kprod old versions of {prefix}"), prefix, days }
    };
    vec![rule("lease/", LEASE_VERSIONS_DAYS), rule("journal/", JOURNAL_VERSIONS_DAYS)]
}

impl BucketStep {
    /// What it is about, for people.
    pub fn subject(&self) -> &'static str {
        match self {
            BucketStep::Create(_) => "bucket",
            BucketStep::BlockPublicAccess => "public access",
            BucketStep::EnforceOwner => "object ownership",
            BucketStep::Encrypt(_) => "default encryption",
            BucketStep::Version => "versioning",
            BucketStep::SetPolicy(_) => "policy",
            BucketStep::ExpireVersions(_) => "lifecycle",
        }
    }

    /// What is there before it, in words.
    pub fn before(&self, found: Option<&BucketSettings>) -> String {
        let Some(found) = found else { return "absent".to_owned() };
        match self {
            BucketStep::Create(_) => "absent".to_owned(),
            BucketStep::BlockPublicAccess => open_ways(found.access_block),
            BucketStep::EnforceOwner => "access lists count".to_owned(),
            BucketStep::Encrypt(_) => {
                found.encryption.as_ref().map_or_else(|| "none".to_owned(), Encryption::describe)
            }
            BucketStep::Version => "off".to_owned(),
            BucketStep::SetPolicy(_) => "requests without TLS are let in".to_owned(),
            BucketStep::ExpireVersions(_) => "old versions stay for ever".to_owned(),
        }
    }

    /// What is there after it, in words.
    pub fn after(&self) -> String {
        match self {
            BucketStep::Create(region) => format!("in {region}"),
            BucketStep::BlockPublicAccess => "blocked in all four ways".to_owned(),
            BucketStep::EnforceOwner => "the bucket's owner owns every object".to_owned(),
            BucketStep::Encrypt(encryption) => encryption.describe(),
            BucketStep::Version => "on".to_owned(),
            BucketStep::SetPolicy(_) => "requests without TLS are denied".to_owned(),
            BucketStep::ExpireVersions(rules) => {
                let each = |rule: &VersionRule| {
                    format!("old versions of {} go after {} days", rule.prefix, rule.days)
                };
                rules.iter().map(each).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

impl Encryption {
    fn describe(&self) -> String {
        match self {
            Encryption::S3 => "with keys of S3 (SSE-S3)".to_owned(),
            Encryption::Kms(key) if key.is_empty() => "with the account's key for S3".to_owned(),
            Encryption::Kms(key) => format!("with the KMS key {key}"),
        }
    }
}

/// The settings that leave a way to the public open.
fn open_ways(block: AccessBlock) -> String {
    let AccessBlock {
        block_public_acls,
        ignore_public_acls,
        block_public_policy,
        restrict_public_buckets,
    } = block;
    let ways = [
        (block_public_acls, "BlockPublicAcls"),
        (ignore_public_acls, "IgnorePublicAcls"),
        (block_public_policy, "BlockPublicPolicy"),
        (restrict_public_buckets, "RestrictPublicBuckets"),
    ];
    let open = ways.into_iter().filter(|(is_closed, _)| !is_closed).map(|(_, name)| name);
    format!("without {}", open.collect::<Vec<_>>().join(", "))
}
