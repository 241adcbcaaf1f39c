//! etcd: how many members, where, on what, and what brings them back.

use std::collections::{BTreeMap, BTreeSet};

use super::{Lint, Notes, Said};
use crate::finding::Severity;
use crate::spec::{
    EtcdBackupSpec, EtcdClusterSpec, EtcdMemberSpec, Field, InstanceGroup, Kind, Spec, VolumeType,
    is_burstable, memory_mib,
};

/// Source: etcd FAQ, "What is failure tolerance?": of three one may fail, of five two.
pub(super) const SIZE: Lint = Lint {
    id: "L18",
    asks: "enough etcd members: three at least, five where one may fail while another is replaced",
    seen_by: &[],
};

/// Source: etcd FAQ, "Deploying etcd clusters across multiple data centers": a zone that holds a
/// majority takes the cluster with it, and any further zone only adds ways to fail.
pub(super) const DOMAINS: Lint = Lint {
    id: "L19",
    asks: "no zone whose loss loses the quorum: members over three zones, or all in one",
    seen_by: &[],
};

/// Source: etcd hardware guide, "Memory", "Disks" and "Example hardware configurations".
pub(super) const MACHINES: Lint = Lint {
    id: "L20",
    asks: "machines and disks that are fast enough for etcd at any hour",
    seen_by: &[],
};

/// EBS encrypts a volume when it is made, or never.
pub(super) const ENCRYPTION: Lint = Lint {
    id: "L24",
    asks: "encrypted volumes: all secrets of Kubernetes are on them",
    seen_by: &[],
};

/// Without a snapshot nothing brings a cluster back that a mistake has ended.
pub const BACKUPS: Lint = Lint {
    id: "L25",
    asks: "snapshots of each etcd cluster: a place for them, one an hour, kept for a week, the newest \
           no older than `snapshotAgeMax`",
    seen_by: &["doctor"],
};

/// How much of what was written may be lost, and how late a mistake may be noticed, in seconds.
const SNAPSHOT_SECS: u64 = 3600;
const KEPT_SECS: u64 = 7 * 86_400;

/// A restore that nobody has tried is a hope: people and process rust faster than snapshots.
pub(super) const DRILL: Lint =
    Lint { id: "L68", asks: "a restore of etcd that was tried in the last 90 days", seen_by: &[] };

/// Days for which a drill counts: a quarter.
const DRILL_DAYS: i32 = 90;

/// Memory below which etcd is killed sooner or later, and that it should have, in MiB.
const MEMORY_MIB: (u32, u32) = (2 << 10, 8 << 10);

/// A disk that is too small for etcd, and that it should have, in GiB.
const DISK_GIB: (u32, u32) = (8, 20);

pub(super) fn lint(spec: &Spec, notes: &mut Notes) {
    for (index, cluster) in spec.cluster.spec.etcd_clusters.iter().enumerate() {
        let field = Field::new(Kind::Cluster, spec.name(), "spec.etcdClusters").index(index);
        let members = field.clone().key("etcdMembers");
        size(cluster, &members, notes);
        domains(spec, cluster, &members, notes);
        for (index, member) in cluster.etcd_members.iter().enumerate() {
            disk(member, &members.clone().index(index), notes);
        }
        backups(cluster, &field, notes);
        drill(cluster, &field, notes);
    }
    for group in spec.groups.values().filter(|group| spec.hosts_etcd(group.name())) {
        machines(group, notes);
    }
}

/// L18. Even counts could not work; events alone may stop for as long as a machine is replaced.
fn size(cluster: &EtcdClusterSpec, field: &Field, notes: &mut Notes) {
    let name = &cluster.name;
    match cluster.etcd_members.len() {
        1 if notes.is_production() => {
            let message = format!("`{name}` has one member: it stops whenever that machine does");
            let hint = "have 5 members, or 3";
            notes.add(SIZE, Severity::Error, field, Said { message, hint });
        }
        3 if notes.is_production() && name == "main" => {
            let message =
                format!("while one of the 3 members of `{name}` is replaced, no other may fail");
            notes.add(SIZE, Severity::Warning, field, Said { message, hint: "have 5 members" });
        }
        _ => {}
    }
}

/// L19.
fn domains(spec: &Spec, cluster: &EtcdClusterSpec, field: &Field, notes: &mut Notes) {
    let members = cluster.etcd_members.len();
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    for member in &cluster.etcd_members {
        let group = spec.groups.get(&member.instance_group);
        let zone = group.and_then(|group| spec.zones_of(group).into_iter().next());
        // A member whose zone cannot be told was told of.
        let Some(zone) = zone else { return };
        *zones.entry(zone).or_default() += 1;
    }
    let may_fail = members.saturating_sub(1) / 2;
    let name = &cluster.name;
    if zones.len() == 1 && members > 1 {
        let message = format!("all {members} members of `{name}` are in one zone and end with it");
        let hint = "spread them over three zones";
        notes.add(DOMAINS, Severity::Warning, field, Said { message, hint });
        return;
    }
    let heavy = zones.iter().find(|(_, count)| zones.len() > 1 && **count > may_fail);
    if let Some((zone, count)) = heavy {
        let message = format!(
            "{count} of {members} members of `{name}` are in {zone}: without that zone there is no \
             quorum, and the others only add ways to fail"
        );
        let hint = "spread them over three zones; with fewer, put all into one";
        notes.add(DOMAINS, Severity::Error, field, Said { message, hint });
    }
}

/// L20, memory and processors. A mixed group is as small as its smallest type.
fn machines(group: &InstanceGroup, notes: &mut Notes) {
    let mix = group.spec.mixed_instances_policy.as_ref().map(|mix| mix.instances.as_slice());
    let types = mix.filter(|types| !types.is_empty());
    let types: BTreeSet<&str> = match types {
        Some(types) => types.iter().map(String::as_str).collect(),
        None => group.spec.machine_type.as_deref().into_iter().collect(),
    };
    let field = Field::new(Kind::InstanceGroup, group.name(), "spec.machineType");
    let hint = "take a type with 8 GiB and steady processors, such as `m6i.large`";
    for machine_type in types {
        let mib = memory_mib(machine_type);
        let of_memory = match mib {
            Some(mib) if mib < MEMORY_MIB.0 => Some((Severity::Error, mib)),
            Some(mib) if mib < MEMORY_MIB.1 => Some((Severity::Warning, mib)),
            _ => None,
        };
        if let Some((severity, mib)) = of_memory {
            let gib = f64::from(mib) / f64::from(1 << 10);
            let message = format!("`{machine_type}` has {gib} GiB of memory, little for etcd");
            notes.add(MACHINES, severity, &field, Said { message, hint });
        }
        if is_burstable(machine_type) {
            let message = format!(
                "`{machine_type}` is burstable: out of credits, etcd loses its leader again and again"
            );
            notes.add(MACHINES, notes.error_in_production(), &field, Said { message, hint });
        }
    }
}

/// L20, disks, and L24.
fn disk(member: &EtcdMemberSpec, field: &Field, notes: &mut Notes) {
    let name = &member.name;
    let gib = member.volume_size.unwrap_or(DISK_GIB.1);
    let of_size = match gib {
        _ if gib < DISK_GIB.0 => Some(Severity::Error),
        _ if gib < DISK_GIB.1 => Some(Severity::Warning),
        _ => None,
    };
    if let Some(severity) = of_size {
        let message = format!("{gib} GiB are little for the data of member `{name}`");
        let field = field.clone().key("volumeSize");
        notes.add(MACHINES, severity, &field, Said { message, hint: "give it 20 GiB" });
    }
    if member.volume_type == Some(VolumeType::Standard) {
        let message = format!("magnetic disks are too slow for member `{name}`");
        let field = field.clone().key("volumeType");
        notes.add(MACHINES, Severity::Error, &field, Said { message, hint: "`gp3`" });
    }
    if member.encrypted_volume == Some(false) {
        let message = format!("the volume of member `{name}` is not encrypted, and never will be");
        let field = field.clone().key("encryptedVolume");
        let hint = "`true`, before the cluster is made; later only a new volume helps";
        notes.add(ENCRYPTION, Severity::Error, &field, Said { message, hint });
    }
}

/// L25.
fn backups(cluster: &EtcdClusterSpec, field: &Field, notes: &mut Notes) {
    let store = cluster.backups.as_ref().and_then(|backups| backups.backup_store.as_ref());
    if store.is_none() {
        let message = format!("`{}` has no place for snapshots", cluster.name);
        let field = field.clone().key("backups").key("backupStore");
        let hint = "give it an `s3://` address, or the cluster a `configBase`";
        notes.add(BACKUPS, Severity::Error, &field, Said { message, hint });
    }
    let Some(EtcdBackupSpec { backup_store: _, last_drill: _, interval, keep_all, keep_daily }) =
        &cluster.backups
    else {
        return;
    };
    if let Some(interval) = interval.filter(|interval| interval.secs > SNAPSHOT_SECS) {
        let message = format!("{interval} of what `{}` was told may be lost", cluster.name);
        let field = field.clone().key("backups").key("interval");
        notes.add(BACKUPS, Severity::Error, &field, Said { message, hint: "`1h`, or less" });
    }
    let kept = [keep_all, keep_daily].into_iter().flatten().map(|span| span.secs).max();
    if let Some(kept) = kept.filter(|kept| *kept < KEPT_SECS) {
        let days = kept / 86_400;
        let message = format!(
            "snapshots of `{}` are gone after {days} days, and mistakes are noticed late",
            cluster.name
        );
        let field = field.clone().key("backups").key("keepDaily");
        notes.add(BACKUPS, Severity::Warning, &field, Said { message, hint: "`720h`: a month" });
    }
}

/// L68. What `events` holds is gone after an hour anyway.
fn drill(cluster: &EtcdClusterSpec, field: &Field, notes: &mut Notes) {
    if !notes.is_production() || cluster.name != "main" {
        return;
    }
    let backups = cluster.backups.as_ref();
    let day = backups.and_then(EtcdBackupSpec::last_drill_day);
    let age = day.map(|day| (notes.today - day).get_days());
    let message = match (day, age) {
        (Some(_), Some(age)) if (0..=DRILL_DAYS).contains(&age) => return,
        (Some(day), Some(age)) if age > DRILL_DAYS => {
            format!("a restore of `main` was last tried on {day}, {age} days ago")
        }
        (Some(day), _) => {
            format!("a restore of `main` is said to be tried on {day}, which is to come")
        }
        (None, _) => "nobody says when a restore of `main` was last tried".to_owned(),
    };
    let field = field.clone().key("backups").key("lastDrill");
    let hint = "have a cluster that may stand still begin anew, `kprod etcd restore CLUSTER --latest`, or \
                with copies of these snapshots (README, \"A drill\"), then write down the day";
    notes.add(DRILL, Severity::Warning, &field, Said { message, hint });
}
