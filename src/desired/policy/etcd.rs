//! Rights of machines that host etcd members.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Scope, allow};
use crate::pki::Authority;
use crate::resource::FORMATTED_TAG;
use crate::spec::{EtcdClusterSpec, EtcdMemberSpec, InstanceGroup, Role, Spec, USUAL_BACKUPS};
use crate::state::StateAddress;

/// Hosting etcd: the member's volume, the launch hook, the cluster's epoch and the snapshots. There
/// is no right to detach a volume: a machine gives up its member by ending.
pub(super) fn etcd_host(scope: &Scope<'_>, role: Role) -> Vec<Value> {
    let hosted = hosted(scope.spec, role);
    if hosted.is_empty() {
        return Vec::new();
    }
    let volume = scope.arn("ec2", "volume/*");
    let ours = scope.made_by_kprod();
    let mut mark = ours.clone();
    mark["ForAllValues:StringEquals"] = json!({ "aws:TagKeys": [FORMATTED_TAG] });
    // A machine's own disks do not carry kprod's tag, so that only members' volumes are meant.
    let attach = json!([volume, scope.arn("ec2", "instance/*")]);
    let mut statements = vec![
        allow("FindVolumes", &["ec2:DescribeVolumes"], "*", Value::Null),
        allow("AttachVolumes", &["ec2:AttachVolume"], attach, ours),
        allow("MarkVolumes", &["ec2:CreateTags"], volume, mark),
        allow(
            "LaunchHook",
            &["autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat"],
            hook_groups(scope, &hosted),
            Value::Null,
        ),
    ];
    statements.extend(volume_keys(scope, &hosted));
    statements.extend(etcd_objects(scope, &hosted));
    statements
}

/// One etcd member on a group of the role.
struct Hosted<'a> {
    group: &'a InstanceGroup,
    etcd: &'a EtcdClusterSpec,
    member: &'a EtcdMemberSpec,
}

fn hosted(spec: &Spec, role: Role) -> Vec<Hosted<'_>> {
    let members = |group| {
        let members = spec.members_on(InstanceGroup::name(group)).into_iter();
        members.map(move |(etcd, member)| Hosted { group, etcd, member })
    };
    spec.groups_of(role).flat_map(members).collect()
}

fn hook_groups(scope: &Scope<'_>, hosted: &[Hosted<'_>]) -> Value {
    let names: BTreeSet<String> =
        hosted.iter().map(|hosted| scope.spec.machine_name(hosted.group)).collect();
    let arn = |name: String| {
        scope.arn("autoscaling", &format!("autoScalingGroup:*:autoScalingGroupName/{name}"))
    };
    names.into_iter().map(arn).collect()
}

/// Where the keys lie of the etcd clusters that have a member on a role's machines, and of no other.
pub(super) fn places(spec: &Spec, role: Role) -> BTreeSet<String> {
    let names = hosted(spec, role).into_iter().map(|hosted| hosted.etcd.name.clone());
    names.map(|name| Authority::EtcdPeers(name).place().path()).collect()
}

/// Attaching a volume under a key of the user's own makes a grant for EC2.
/// Source: EBS user guide, "Requirements for Amazon EBS encryption".
fn volume_keys(scope: &Scope<'_>, hosted: &[Hosted<'_>]) -> Vec<Value> {
    let keys: BTreeSet<&str> =
        hosted.iter().filter_map(|hosted| hosted.member.kms_key_id.as_deref()).collect();
    let (aliases, ids): (Vec<&str>, Vec<&str>) =
        keys.into_iter().partition(|key| key.starts_with("alias/"));
    let arn = |id: &str| match id.strip_prefix("arn:") {
        Some(_) => id.to_owned(),
        None => scope.arn("kms", &format!("key/{id}")),
    };
    let keys: Vec<String> = ids.into_iter().map(arn).collect();
    let for_ec2 = json!({ "Bool": { "kms:GrantIsForAWSResource": "true" } });
    let mut by_alias = for_ec2.clone();
    // An alias names no resource; it is a condition on any key.
    by_alias["ForAnyValue:StringEquals"] = json!({ "kms:ResourceAliases": aliases });
    let any = scope.arn("kms", "key/*");
    let of_keys = allow("VolumeKeys", &["kms:CreateGrant"], keys.clone(), for_ec2);
    let of_aliases = allow("VolumeKeysByAlias", &["kms:CreateGrant"], any, by_alias);
    let of_keys = (!keys.is_empty()).then_some(of_keys);
    let of_aliases = (!aliases.is_empty()).then_some(of_aliases);
    of_keys.into_iter().chain(of_aliases).collect()
}

/// Where an etcd cluster's snapshots lie. The usual places of all etcd clusters count as one: where names
/// are long there is little room in a policy.
fn store<'a>(etcd: &'a EtcdClusterSpec, base: Option<&str>) -> Option<&'a str> {
    let store = etcd.backups.as_ref()?.backup_store.as_deref()?;
    let (parent, name) = store.rsplit_once('/')?;
    let below = base.and_then(|base| parent.strip_prefix(base.trim_end_matches('/')));
    Some(
        if name == etcd.name
            && below.and_then(|below| below.strip_prefix('/')) == Some(USUAL_BACKUPS)
        {
            parent
        } else {
            store
        },
    )
}

/// The epoch and reports of members below the cluster's state; snapshots where the spec says.
/// Of all that only snapshots are ever removed by a machine, when they are kept no longer; where the
/// bucket keeps versions, one that is removed by mistake, or by an intruder, comes back.
fn etcd_objects(scope: &Scope<'_>, hosted: &[Hosted<'_>]) -> Vec<Value> {
    let base = scope.spec.cluster.spec.config_base.as_deref();
    let below = format!("etcd/{}/*", scope.spec.name());
    let state = base.and_then(|base| scope.objects(base, &below));
    let stores = hosted.iter().filter_map(|hosted| store(hosted.etcd, base));
    let stores: BTreeSet<&str> = stores.collect();
    let snapshots = stores.iter().filter_map(|store| scope.objects(store, "*"));
    let snapshots: BTreeSet<String> = snapshots.collect();
    let mut buckets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for store in stores.into_iter().filter_map(StateAddress::parse) {
        let objects = store.key("*");
        buckets.entry(store.bucket).or_default().insert(objects);
    }
    let mut statements = Vec::new();
    if let Some(state) = state {
        statements.push(allow("EtcdState", &["s3:GetObject", "s3:PutObject"], state, Value::Null));
    }
    if !snapshots.is_empty() {
        let objects: Value = snapshots.into_iter().collect();
        let actions = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"];
        statements.push(allow("Snapshots", &actions, objects, Value::Null));
    }
    if let Some(state) = base.and_then(StateAddress::parse) {
        // On the bucket as a whole: S3 tells a missing object from a forbidden one by this right
        // alone, and a read of an object carries no prefix to put into a condition. A member must know
        // that there is no epoch, no report, no snapshot; not that it may not read them.
        let bucket = format!("arn:{}:s3:::{}", scope.partition, state.bucket);
        statements.push(allow("FindState", &["s3:ListBucket"], bucket, Value::Null));
    }
    for (index, (bucket, prefixes)) in buckets.into_iter().enumerate() {
        let prefixes = prefixes.into_iter().collect::<Vec<_>>();
        statements.push(allow(
            &format!("ListSnapshots{index}"),
            &["s3:ListBucket"],
            format!("arn:{}:s3:::{bucket}", scope.partition),
            json!({ "StringLike": { "s3:prefix": prefixes } }),
        ));
    }
    statements
}
