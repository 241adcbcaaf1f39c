//! The etcd clusters: what quorum and data rest on.

use std::collections::{BTreeMap, BTreeSet};

use super::super::field::Field;
use super::super::text::is_dns_label;
use super::super::{
    EtcdBackupSpec, EtcdClusterSpec, EtcdMemberSpec, InstanceGroup, Role, Spec, VolumeType,
};
use super::volume::{VolumeCheck, VolumeFields, volume};
use super::{Report, s3_address, unique};

/// The etcd clusters there are ports and security rules for.
const CLUSTERS: [&str; 2] = ["main", "events"];

/// More members only make writes slower. Source: etcd FAQ, "What is maximum cluster size?".
const MEMBERS_MAX: usize = 7;

/// A snapshot reads the whole database from one member's disk: no more often than this, in seconds.
const INTERVAL_SECS_MIN: u64 = 600;
const DAY_SECS: u64 = 86_400;
/// Snapshots of one sort that a list may hold: it is read whole, and often.
const KEPT_MAX: u64 = 1000;

pub(super) fn check(spec: &Spec, report: &mut Report) {
    let clusters = &spec.cluster.spec.etcd_clusters;
    let list = spec.cluster_field("spec.etcdClusters");
    if !clusters.iter().any(|cluster| cluster.name == "main") {
        report.error(&list, "there is no etcd cluster `main`");
    }
    unique(report, &list, clusters.iter().map(|cluster| cluster.name.as_str()));
    for (index, cluster) in clusters.iter().enumerate() {
        etcd_cluster(spec, cluster, &list.clone().index(index), report);
    }
    for group in spec.groups.values().filter(|group| group.is_vital()) {
        hosting(spec, group, report);
    }
}

fn etcd_cluster(spec: &Spec, cluster: &EtcdClusterSpec, field: &Field, report: &mut Report) {
    if !CLUSTERS.contains(&cluster.name.as_str()) {
        let message =
            format!("etcd clusters are called `main` and `events`, not `{}`", cluster.name);
        report.error(&field.clone().key("name"), message);
    }
    let members = &cluster.etcd_members;
    let list = field.clone().key("etcdMembers");
    let count = members.len();
    if count == 0 {
        report.error(&list, "an etcd cluster needs members");
    } else if count.is_multiple_of(2) {
        report.error_hint(
            &list,
            format!("{count} members survive no more failures than {} do", count - 1),
            "have 1, 3, 5 or 7",
        );
    } else if count > MEMBERS_MAX {
        report.error_hint(&list, format!("{count} members are too many"), "have 1, 3, 5 or 7");
    }
    unique(report, &list, members.iter().map(|member| member.name.as_str()));
    let mut hosts: BTreeMap<&str, &str> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        let field = list.clone().index(index);
        etcd_member(spec, cluster, member, &field, report);
        if let Some(other) = hosts.insert(&member.instance_group, &member.name) {
            let group = &member.instance_group;
            let message = format!(
                "group `{group}` hosts member `{other}` of `{}` already; losing it would lose both",
                cluster.name
            );
            report.error(&field.key("instanceGroup"), message);
        }
    }
    one_role(spec, cluster, &list, report);
    if let Some(backups) = &cluster.backups {
        let field = field.clone().key("backups");
        if let Some(day) =
            backups.last_drill.as_ref().filter(|_| backups.last_drill_day().is_none())
        {
            let message = format!("`{day}` is not a day such as `2026-10-31`");
            report.error(&field.clone().key("lastDrill"), message);
        }
        let field = field.key("backupStore");
        // What lies below `configBase` is as right as that.
        let base = spec.cluster.spec.config_base.as_deref();
        let own = |store: &&String| base.is_none_or(|base| !store.starts_with(base));
        s3_address(report, &field, backups.backup_store.as_ref().filter(own));
        snapshots(spec, cluster, backups, report);
    }
}

/// How often snapshots are taken, and how long they are kept.
fn snapshots(
    spec: &Spec,
    cluster: &EtcdClusterSpec,
    backups: &EtcdBackupSpec,
    report: &mut Report,
) {
    let clusters = &spec.cluster.spec.etcd_clusters;
    let index = clusters.iter().position(|known| known.name == cluster.name).unwrap_or_default();
    let field =
        |name: &str| spec.cluster_field("spec.etcdClusters").index(index).key("backups").key(name);
    let EtcdBackupSpec { backup_store: _, last_drill: _, interval, keep_all, keep_daily } = backups;
    let interval = interval.unwrap_or(EtcdBackupSpec::INTERVAL).secs;
    if !(INTERVAL_SECS_MIN..=DAY_SECS).contains(&interval) {
        report.error_hint(
            &field("interval"),
            "a snapshot reads the whole database, and one that is days old is none",
            "`10m` to `24h`",
        );
    }
    let keep_all = keep_all.unwrap_or(EtcdBackupSpec::KEEP_ALL).secs;
    if !(interval..=interval.saturating_mul(KEPT_MAX)).contains(&keep_all) {
        report.error_hint(
            &field("keepAll"),
            format!("that would keep {} snapshots", keep_all / interval.max(1)),
            format!("at least the interval, and no more than {KEPT_MAX} of it"),
        );
    }
    let keep_daily = keep_daily.unwrap_or(EtcdBackupSpec::KEEP_DAILY).secs;
    if keep_daily > KEPT_MAX * DAY_SECS {
        report.error_hint(
            &field("keepDaily"),
            format!("that would keep {} snapshots", keep_daily / DAY_SECS),
            format!("{KEPT_MAX} days are the most; `keepAll` alone counts when it is longer"),
        );
    }
}

fn etcd_member(
    spec: &Spec,
    cluster: &EtcdClusterSpec,
    member: &EtcdMemberSpec,
    field: &Field,
    report: &mut Report,
) {
    // The member's DNS name is `etcd-<member>` or `etcd-events-<member>`.
    if !is_dns_label(&member.name)
        || !is_dns_label(&format!("etcd-{}-{}", cluster.name, member.name))
    {
        let message =
            format!("`{}` is not a short name of lowercase letters, digits and `-`", member.name);
        report.error(&field.clone().key("name"), message);
    }
    host(spec, member, &field.clone().key("instanceGroup"), report);
    let volume_type = member.volume_type.unwrap_or(VolumeType::Gp3);
    volume(
        report,
        &VolumeCheck {
            volume_type,
            size: member.volume_size.unwrap_or_default(),
            iops: member.volume_iops,
            throughput: member.volume_throughput,
            encrypted: member.encrypted_volume.unwrap_or(true),
            key: member.kms_key_id.as_ref(),
            fields: VolumeFields {
                size: field.clone().key("volumeSize"),
                iops: field.clone().key("volumeIops"),
                throughput: field.clone().key("volumeThroughput"),
                key: field.clone().key("kmsKeyId"),
            },
        },
    );
}

/// A member's group: it exists, may host etcd, and stands in one zone, where the volume is.
fn host(spec: &Spec, member: &EtcdMemberSpec, field: &Field, report: &mut Report) {
    let name = &member.instance_group;
    let Some(group) = spec.groups.get(name) else {
        let known = spec.groups.keys().map(String::as_str);
        report.unknown(field, format!("there is no instance group `{name}`"), name, known);
        return;
    };
    if matches!(group.spec.role, Role::Node | Role::Bastion) {
        let role = group.spec.role.name();
        report.error_hint(
            field,
            format!("group `{name}` has the role `{role}`"),
            "etcd runs on groups of role `ControlPlane` or `Etcd`",
        );
        return;
    }
    let zones = spec.zones_of(group);
    if zones.len() > 1 {
        let zones = zones.into_iter().collect::<Vec<_>>().join(", ");
        report.error_hint(
            field,
            format!("group `{name}` spans zones ({zones}), a member's volume cannot"),
            "give the member a group with one zone",
        );
    }
}

/// The private key that an etcd cluster's members are signed with is for the machines of one role.
fn one_role(spec: &Spec, cluster: &EtcdClusterSpec, field: &Field, report: &mut Report) {
    let groups = cluster.etcd_members.iter().map(|member| spec.groups.get(&member.instance_group));
    let roles: BTreeSet<&str> = groups
        .flatten()
        .filter(|group| group.is_vital())
        .map(|group| group.spec.role.name())
        .collect();
    if roles.len() > 1 {
        let roles = roles.into_iter().collect::<Vec<_>>().join("` and `");
        report.error_hint(
            field,
            format!("members of `{}` are on groups of the roles `{roles}`", cluster.name),
            "host all members of an etcd cluster on groups of one role: its keys are for that alone",
        );
    }
}

/// Whether a member names a group that cannot host it.
fn has_strays(spec: &Spec) -> bool {
    let mut members =
        spec.cluster.spec.etcd_clusters.iter().flat_map(|cluster| &cluster.etcd_members);
    members
        .any(|member| spec.groups.get(&member.instance_group).is_none_or(|group| !group.is_vital()))
}

/// What a group's role and its members say of each other.
fn hosting(spec: &Spec, group: &InstanceGroup, report: &mut Report) {
    let members = spec.members_on(group.name());
    let field = group.field("spec.role");
    match group.spec.role {
        // A member with a misspelt group may be the missing one, and has been spoken of.
        _ if has_strays(spec) => {}
        Role::Etcd if members.is_empty() => {
            report.error(&field, "no etcd member names this group as its `instanceGroup`");
        }
        Role::ControlPlane if !spec.dedicated_etcd() => {
            let missing =
                spec.cluster.spec.etcd_clusters.iter().filter(|cluster| {
                    !members.iter().any(|(hosted, _)| hosted.name == cluster.name)
                });
            for cluster in missing {
                report.error_hint(
                    &field,
                    format!("the group hosts no member of the etcd cluster `{}`", cluster.name),
                    "give it one, or move etcd to groups of role `Etcd`",
                );
            }
        }
        _ => {}
    }
    let (min, max) = group.sizes();
    if !members.is_empty() && (min, max) != (1, 1) {
        report.error_hint(
            &group.field("spec.maxSize"),
            format!("a group that hosts etcd has one machine, not {min} to {max}"),
            "`minSize: 1` and `maxSize: 1`; more members need more groups",
        );
    }
}
