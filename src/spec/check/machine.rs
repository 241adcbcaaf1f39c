//! What a group's machines are: image, type, disks, and how they are bought.

use super::super::machine_type::{is_burstable, is_machine_type};
use super::super::{InstanceGroup, Spec, Tenancy, VolumeType};
use super::volume::{VolumeCheck, VolumeFields, volume};
use super::{Report, mix, unique};

pub(super) fn check(_: &Spec, group: &InstanceGroup, report: &mut Report) {
    image(group, report);
    machine_type(group, report);
    disks(group, report);
    spot(group, report);
    if let Some(policy) = &group.spec.mixed_instances_policy {
        mix::check(group, policy, report);
    }
}

fn image(group: &InstanceGroup, report: &mut Report) {
    let field = group.field("spec.image");
    match &group.spec.image {
        None => report.error(&field, "`image` is missing; give the id of an image, `ami-…`"),
        Some(image) if image.strip_prefix("ami-").is_some_and(|id| !id.is_empty()) => {}
        Some(image) => report.error_hint(
            &field,
            format!("`{image}` is not the id of an image"),
            "not yet: images by name or parameter; give the id, `ami-…`",
        ),
    }
}

fn machine_type(group: &InstanceGroup, report: &mut Report) {
    let field = group.field("spec.machineType");
    let kind = group.spec.machine_type.as_deref().unwrap_or_default();
    if !is_machine_type(kind) {
        report.error(&field, format!("`{kind}` is not a machine type such as `m6i.large`"));
    }
    if kind.starts_with("t2.") && !matches!(group.spec.tenancy, None | Some(Tenancy::Default)) {
        let message = "t2 machines share their hardware";
        report.error(&group.field("spec.tenancy"), message);
    }
    if group.spec.cpu_credits.is_some() && !is_burstable(kind) {
        let message = format!("`{kind}` has no CPU credits; t2, t3, t3a and t4g have");
        report.error(&group.field("spec.cpuCredits"), message);
    }
}

fn disks(group: &InstanceGroup, report: &mut Report) {
    let spec = &group.spec;
    volume(
        report,
        &VolumeCheck {
            volume_type: spec.root_volume_type.unwrap_or(VolumeType::Gp3),
            size: spec.root_volume_size.unwrap_or_default(),
            iops: spec.root_volume_iops,
            throughput: spec.root_volume_throughput,
            encrypted: spec.root_volume_encryption.unwrap_or(true),
            key: spec.root_volume_encryption_key.as_ref(),
            fields: VolumeFields {
                size: group.field("spec.rootVolumeSize"),
                iops: group.field("spec.rootVolumeIops"),
                throughput: group.field("spec.rootVolumeThroughput"),
                key: group.field("spec.rootVolumeEncryptionKey"),
            },
        },
    );
    let list = group.field("spec.volumes");
    unique(report, &list, spec.volumes.iter().map(|volume| volume.device.as_str()));
    for (index, disk) in spec.volumes.iter().enumerate() {
        let field = list.clone().index(index);
        if disk.device.strip_prefix("/dev/").is_none_or(str::is_empty) {
            let message = format!("`{}` is not a device such as `/dev/xvdd`", disk.device);
            report.error(&field.clone().key("device"), message);
        }
        volume(
            report,
            &VolumeCheck {
                volume_type: disk.volume_type.unwrap_or(VolumeType::Gp3),
                size: disk.size,
                iops: disk.iops,
                throughput: disk.throughput,
                encrypted: disk.encrypted.unwrap_or(true),
                key: disk.key.as_ref(),
                fields: VolumeFields {
                    size: field.clone().key("size"),
                    iops: field.clone().key("iops"),
                    throughput: field.clone().key("throughput"),
                    key: field.key("key"),
                },
            },
        );
    }
}

/// Spot without a mixed policy: the price asks for it.
fn spot(group: &InstanceGroup, report: &mut Report) {
    let spec = &group.spec;
    if let Some(price) = &spec.max_price {
        let dollars = price.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if !dollars || !price.parse::<f64>().is_ok_and(|price| price > 0.0) {
            let message = format!("`{price}` is not a price in dollars such as `0.12`");
            report.error(&group.field("spec.maxPrice"), message);
        }
    }
    let market = spec.max_price.is_some() && spec.mixed_instances_policy.is_none();
    if spec.instance_interruption_behavior.is_some() && !market {
        report.error(
            &group.field("spec.instanceInterruptionBehavior"),
            "has no effect: it belongs to `maxPrice` without a `mixedInstancesPolicy`",
        );
    }
}
