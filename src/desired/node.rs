//! What the machines that host etcd run: the pinned program, told which members are theirs.

use super::group::ETCD_HOOK;
use crate::boot::settings::ETCD_PROGRAM;
use crate::boot::{Fetched, Hosted, Settings, user_data};
use crate::cloud::asset;
use crate::etcd::snapshot::{Schedule, Store};
use crate::spec::{EtcdBackupSpec, InstanceGroup, Spec, UserDataPart, UserDataType};

/// The part of a group's user data that starts its etcd members; none where it hosts none, or no program
/// is pinned.
pub(super) fn part(spec: &Spec, group: &InstanceGroup) -> Option<UserDataPart> {
    settings(spec, group).map(|settings| UserDataPart {
        name: user_data::PART.to_owned(),
        content_type: UserDataType::ShellScript,
        content: user_data::script(&settings),
    })
}

/// What a group's machine is told.
fn settings(spec: &Spec, group: &InstanceGroup) -> Option<Settings> {
    let members = hosted(spec, group);
    let program = spec.node_program.as_ref().filter(|_| !members.is_empty())?;
    let cluster = &spec.cluster.spec;
    Some(Settings {
        format_version: Settings::FORMAT_VERSION,
        cluster: spec.name().to_owned(),
        account: cluster.account.clone(),
        region: cluster.region.clone().unwrap_or_default(),
        config_base: cluster.config_base.clone().unwrap_or_default(),
        auto_scaling_group_name: spec.machine_name(group),
        launch_hook: Some(ETCD_HOOK.to_owned()),
        members,
        etcd_program: ETCD_PROGRAM.into(),
        program: Fetched { key: asset::key(spec.name(), &program.sha256), size: program.size },
    })
}

/// The etcd members on a group's machine, as its settings name them.
pub(super) fn hosted(spec: &Spec, group: &InstanceGroup) -> Vec<Hosted> {
    let members = spec.members_on(group.name()).into_iter();
    let hosted = members.map(|(etcd, member)| Hosted {
        etcd: etcd.name.clone(),
        member: member.name.clone(),
        quota_backend_bytes: None,
        snapshots: etcd.backups.as_ref().and_then(snapshots),
    });
    hosted.collect()
}

/// Where snapshots of an etcd cluster go, and when one is due. Every default has been filled.
fn snapshots(backups: &EtcdBackupSpec) -> Option<Store> {
    Some(Store {
        store: backups.backup_store.clone()?,
        schedule: Schedule {
            interval_secs: backups.interval?.secs,
            keep_all_secs: backups.keep_all?.secs,
            keep_daily_secs: backups.keep_daily?.secs,
        },
    })
}
