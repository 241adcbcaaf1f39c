//! What outlives etcd's machines: a volume for each member, an interface for each group that hosts
//! one.

use super::draft::Draft;
use super::name::Names;
use super::{security, tag};
use crate::resource::{NetworkInterface, Resource, Volume};
use crate::spec::{EtcdClusterSpec, EtcdMemberSpec, Field, InstanceGroup, Kind, Spec, VolumeType};

/// Builds volumes and interfaces.
pub(super) fn build(spec: &Spec, draft: &mut Draft<'_>) {
    for (cluster_index, etcd) in spec.cluster.spec.etcd_clusters.iter().enumerate() {
        for (member_index, member) in etcd.etcd_members.iter().enumerate() {
            let path = format!("spec.etcdClusters[{cluster_index}].etcdMembers[{member_index}]");
            let field = Field::new(Kind::Cluster, spec.name(), &path);
            add_volume(spec, etcd, member, &field, draft);
        }
    }
    for group in spec.groups.values().filter(|group| spec.hosts_etcd(group.name())) {
        add_interface(spec, group, draft);
    }
}

/// A volume in the zone of the group that hosts the member.
fn add_volume(
    spec: &Spec,
    etcd: &EtcdClusterSpec,
    member: &EtcdMemberSpec,
    field: &Field,
    draft: &mut Draft<'_>,
) {
    let host = spec.groups.get(&member.instance_group);
    let zone = host.and_then(|group| spec.zones_of(group).into_iter().next());
    let Some(zone) = zone else {
        draft.error(field, "no zone for the member's volume", "name a group with one subnet");
        return;
    };
    let name = Names::of(spec.name()).volume(&etcd.name, &member.name);
    let volume_type = member.volume_type.unwrap_or(VolumeType::Gp3);
    let volume = Volume {
        availability_zone: zone.to_owned(),
        size: super::number(member.volume_size),
        volume_type: volume_type.name().to_owned(),
        iops: takes_iops(volume_type).then(|| super::number(member.volume_iops)),
        throughput: takes_throughput(volume_type).then(|| super::number(member.volume_throughput)),
        encrypted: member.encrypted_volume.unwrap_or(true),
        kms_key_id: member.kms_key_id.clone(),
        tags: tag::volume(spec, etcd, member, &name),
    };
    draft.add(field, &name, Resource::Volume(volume));
}

/// Whether a volume type has a setting for operations a second.
pub(super) fn takes_iops(volume_type: VolumeType) -> bool {
    matches!(volume_type, VolumeType::Gp3 | VolumeType::Io1 | VolumeType::Io2)
}

/// Whether a volume type has a setting for throughput.
pub(super) fn takes_throughput(volume_type: VolumeType) -> bool {
    volume_type == VolumeType::Gp3
}

/// The interface that every machine of a group comes up with: a fixed address, and one machine at a
/// time.
fn add_interface(spec: &Spec, group: &InstanceGroup, draft: &mut Draft<'_>) {
    let field = Field::new(Kind::InstanceGroup, group.name(), "spec.subnets");
    let Some(subnet_id) = super::subnet_ids(spec.subnets_of(group)).into_iter().next() else {
        draft.error(&field, "no subnet for the group's interface", "name one subnet with an id");
        return;
    };
    if group.spec.associate_public_ip == Some(true) {
        let field = Field::new(Kind::InstanceGroup, group.name(), "spec.associatePublicIp");
        let message = "a machine that hosts etcd keeps one interface, which has no public address";
        draft.warning(&field, message, "use a private subnet, and say `associatePublicIp: false`");
    }
    let name = spec.machine_name(group);
    let interface = NetworkInterface {
        subnet_id,
        description: format!("etcd host {name}"),
        groups: security::of_machines(spec, group),
        tags: tag::group(spec, group, &name),
    };
    draft.add(&field, &name, Resource::NetworkInterface(interface));
}
