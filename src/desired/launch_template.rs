//! Launch templates: what a group's machines are launched from.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::{iam, number, security, storage, tag, user_data};
use crate::facts::Facts;
use crate::resource::{
    Attribute, BlockDeviceMapping, IMAGE_TAG, InstanceMarketOptions, Key, Kind, LaunchTemplate,
    LaunchTemplateData, LaunchTemplateInterface, MetadataOptions, Ref, Resource, Tags,
};
use crate::spec::{
    Field, HttpTokens, InstanceGroup, InstanceGroupSpec, Kind as Document, Spec, VolumeSpec,
    VolumeType,
};

/// The root device of an image that the facts do not know. Most images have it.
/// Source: EC2 user guide, "Device names for volumes".
const USUAL_ROOT_DEVICE: &str = "/dev/xvda";

/// Builds a launch template for each group.
pub(super) fn build(spec: &Spec, facts: &Facts, draft: &mut Draft<'_>) {
    for group in spec.groups.values() {
        let name = spec.machine_name(group);
        let data = data(spec, facts, group, &name);
        user_data::check(spec, group, &data.user_data, draft);
        let template = LaunchTemplate {
            launch_template_name: name.clone(),
            launch_template_data: data,
            tags: tags(spec, facts, group, &name),
        };
        let field = Field::new(Document::InstanceGroup, group.name(), "metadata.name");
        draft.add(&field, &name, Resource::LaunchTemplate(template));
    }
}

/// The group's tags, and what image the template was built from.
fn tags(spec: &Spec, facts: &Facts, group: &InstanceGroup, name: &str) -> Tags {
    let mut tags = tag::group(spec, group, name);
    if let Some(image) = &group.spec.image
        && let Some(fact) = facts.images.get(image)
    {
        tags.insert(IMAGE_TAG.to_owned(), format!("{image}:{}", fact.root_device_name));
    }
    tags
}

fn data(spec: &Spec, facts: &Facts, group: &InstanceGroup, name: &str) -> LaunchTemplateData {
    let machine = &group.spec;
    let key_name = spec.cluster.spec.ssh_key_name.clone().filter(|key| !key.is_empty());
    let profile = iam::profile(spec, group);
    LaunchTemplateData {
        image_id: machine.image.clone().unwrap_or_default(),
        instance_type: machine.machine_type.clone().unwrap_or_default(),
        iam_instance_profile_name: profile.name,
        iam_instance_profile_arn: profile.arn,
        key_name,
        user_data: user_data::of(spec, group),
        block_device_mappings: disks(machine, facts),
        network_interfaces: vec![interface(spec, group, name)],
        metadata_options: metadata(machine),
        monitoring_enabled: machine.detailed_instance_monitoring.unwrap_or(false),
        ebs_optimized: machine.root_volume_optimization.filter(|asked| *asked),
        tenancy: machine.tenancy.map(|tenancy| tenancy.name().to_owned()),
        cpu_credits: machine.cpu_credits.map(|credits| credits.name().to_owned()),
        instance_market_options: market(machine),
        private_dns_hostname_type: Some("resource-name".to_owned()),
        tag_specifications: BTreeMap::from([("volume".to_owned(), tag::disks(spec, group, name))]),
    }
}

/// The root volume first, then the others as listed.
fn disks(machine: &InstanceGroupSpec, facts: &Facts) -> Vec<BlockDeviceMapping> {
    let image = machine.image.as_ref().and_then(|id| facts.images.get(id));
    let root_device = image.map_or(USUAL_ROOT_DEVICE, |image| image.root_device_name.as_str());
    let root = VolumeSpec {
        device: root_device.to_owned(),
        size: machine.root_volume_size.unwrap_or(0),
        volume_type: machine.root_volume_type,
        iops: machine.root_volume_iops,
        throughput: machine.root_volume_throughput,
        encrypted: machine.root_volume_encryption,
        key: machine.root_volume_encryption_key.clone(),
        delete_on_termination: Some(true),
    };
    std::iter::once(&root).chain(&machine.volumes).map(disk).collect()
}

fn disk(volume: &VolumeSpec) -> BlockDeviceMapping {
    let volume_type = volume.volume_type.unwrap_or(VolumeType::Gp3);
    BlockDeviceMapping {
        device_name: volume.device.clone(),
        volume_size: number(Some(volume.size)),
        volume_type: volume_type.name().to_owned(),
        iops: storage::takes_iops(volume_type).then(|| number(volume.iops)),
        throughput: storage::takes_throughput(volume_type).then(|| number(volume.throughput)),
        encrypted: volume.encrypted.unwrap_or(true),
        kms_key_id: volume.key.clone(),
        delete_on_termination: volume.delete_on_termination.unwrap_or(true),
    }
}

/// The main interface: the group's own one that outlives machines where it hosts etcd, a new one
/// elsewhere.
fn interface(spec: &Spec, group: &InstanceGroup, name: &str) -> LaunchTemplateInterface {
    if spec.hosts_etcd(group.name()) {
        let kept = Key::new(Kind::NetworkInterface, name);
        return LaunchTemplateInterface {
            device_index: 0,
            network_interface_id: Some(Ref::Of(kept, Attribute::Id)),
            associate_public_ip_address: None,
            groups: BTreeSet::new(),
            delete_on_termination: false,
        };
    }
    LaunchTemplateInterface {
        device_index: 0,
        network_interface_id: None,
        associate_public_ip_address: group.spec.associate_public_ip,
        groups: security::of_machines(spec, group),
        delete_on_termination: true,
    }
}

fn metadata(machine: &InstanceGroupSpec) -> MetadataOptions {
    let options = machine.instance_metadata.as_ref();
    let tokens = options.and_then(|options| options.http_tokens).unwrap_or(HttpTokens::Required);
    let hops = options.and_then(|options| options.http_put_response_hop_limit).unwrap_or(1);
    MetadataOptions {
        http_tokens: tokens.name().to_owned(),
        http_put_response_hop_limit: number(Some(hops)),
    }
}

/// Spot without a mixed instances policy; with one, the price is the policy's.
fn market(machine: &InstanceGroupSpec) -> Option<InstanceMarketOptions> {
    let max_price = machine.max_price.clone()?;
    let behavior = machine.instance_interruption_behavior;
    machine.mixed_instances_policy.is_none().then(|| InstanceMarketOptions {
        max_price,
        instance_interruption_behavior: behavior.map(|behavior| behavior.name().to_owned()),
    })
}
