//! What a run keeps of a cluster: authorities, and the state bucket's objects; and what makes the
//! bucket.

use serde_json::{Value, json};

use super::{Scope, Statement};
use crate::state::StateAddress;

/// The epochs of the cluster's etcd.
pub(super) fn read(scope: &Scope) -> Vec<Statement> {
    let Some(address) = &scope.state else { return Vec::new() };
    vec![
        // On the bucket as a whole: S3 tells a missing object from a forbidden one by this right
        // alone, and a read of an object carries no prefix to put into a condition.
        Statement::new("FindState", &["s3:ListBucket"], [s3(scope, &address.bucket)], Value::Null),
        Statement::new(
            "ReadEpochs",
            &["s3:GetObject"],
            [etcd(scope, address, "epoch")],
            Value::Null,
        ),
    ]
}

/// Objects of a sort of all etcd clusters.
fn etcd(scope: &Scope, address: &StateAddress, below: &str) -> String {
    let key = address.key(&format!("etcd/{}/*/{below}", scope.cluster));
    s3(scope, &format!("{}/{key}", address.bucket))
}

/// The objects of this cluster, and no other's; a bucket may hold a fleet's. Where a KMS key of one's
/// own encrypts the bucket, the key's policy has to let the operator use it.
pub(super) fn keep(scope: &Scope) -> Vec<Statement> {
    let Some(address) = &scope.state else { return Vec::new() };
    let cluster = &scope.cluster;
    let object = |key: String| s3(scope, &format!("{}/{}", address.bucket, address.key(&key)));
    let objects = ["lease", "journal", "incarnation", "pause", "restore"]
        .map(|kind| object(format!("{kind}/{cluster}")))
        .into_iter()
        .chain(["assets", "roll"].map(|kind| object(format!("{kind}/{cluster}/*"))));
    let epochs = etcd(scope, address, "epoch");
    // Never written: what members say of themselves is theirs to write.
    let reports = etcd(scope, address, "report/*");
    let leaves = etcd(scope, address, "leaves/*");
    let snapshots = etcd(scope, address, "snapshots");
    let requests = etcd(scope, address, "snapshot-request");
    vec![
        Statement::new(
            "KeepState",
            &["s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
            objects,
            Value::Null,
        ),
        Statement::new("OpenEpochs", &["s3:PutObject"], [epochs.clone()], Value::Null),
        Statement::new(
            "RemoveEpochs",
            &["s3:DeleteObject"],
            [epochs, leaves.clone(), reports.clone()],
            Value::Null,
        ),
        Statement::new(
            "ReadMembers",
            &["s3:GetObject"],
            [leaves, reports, snapshots, requests.clone()],
            Value::Null,
        ),
        Statement::new(
            "AskForSnapshots",
            &["s3:DeleteObject", "s3:PutObject"],
            [requests],
            Value::Null,
        ),
        // Whether a snapshot is there, wherever its record says. None is ever read: all secrets of the
        // cluster are in it.
        Statement::new(
            "FindSnapshots",
            &["s3:ListBucket"],
            [s3(scope, "*")],
            json!({ "StringLike": { "s3:prefix": format!("*{cluster}/*") } }),
        ),
    ]
}

/// The cluster's authorities. None is ever overwritten: no call of kprod asks for it.
pub(super) fn authorities(scope: &Scope) -> Vec<Statement> {
    let all = [scope.parameter("*")];
    vec![Statement::new("KeepAuthorities", &AUTHORITIES, all, Value::Null)]
}

const AUTHORITIES: [&str; 4] =
    ["ssm:AddTagsToResource", "ssm:DeleteParameters", "ssm:GetParameter", "ssm:PutParameter"];

/// The bucket itself, and how it is kept safe.
pub(super) fn prepare(scope: &Scope) -> Vec<Statement> {
    let Some(address) = &scope.state else { return Vec::new() };
    let bucket = [s3(scope, &address.bucket)];
    vec![Statement::new("PrepareStateBucket", &PREPARE, bucket, Value::Null)]
}

const PREPARE: [&str; 14] = [
    "s3:CreateBucket",
    "s3:GetBucketOwnershipControls",
    "s3:GetBucketPolicy",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketVersioning",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:ListBucket",
    "s3:PutBucketOwnershipControls",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketVersioning",
    "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration",
];

fn s3(scope: &Scope, path: &str) -> String {
    format!("arn:{}:s3:::{path}", scope.partition)
}
