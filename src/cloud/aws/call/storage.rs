//! Calls of EC2: volumes and network interfaces.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{AttributeValue, ResourceType, VolumeType};

use super::security::{known, tagged};
use super::{Answer, done, told};
use crate::cloud::aws::AwsCloud;
use crate::resource::{Attribute, NetworkInterface, Volume};

/// Makes a volume. An unencrypted one is not asked for by name: where an account encrypts by
/// default, that stands.
pub(super) async fn create_volume(cloud: &AwsCloud, volume: &Volume, client_token: &str) -> Answer {
    let call = cloud
        .ec2
        .create_volume()
        .client_token(client_token)
        .availability_zone(&volume.availability_zone)
        .size(volume.size)
        .volume_type(VolumeType::from(volume.volume_type.as_str()))
        .set_iops(volume.iops)
        .set_throughput(volume.throughput)
        .set_encrypted(volume.encrypted.then_some(true))
        .set_kms_key_id(volume.kms_key_id.clone())
        .set_tag_specifications(tagged(ResourceType::Volume, &volume.tags));
    let answer = call.send().await.map_err(|e| cloud.failed("CreateVolume", e))?;
    Ok(told([(Attribute::Id, answer.volume_id())]))
}

pub(super) async fn modify_volume(
    cloud: &AwsCloud,
    volume_id: &str,
    size: i32,
    volume_type: &str,
    iops: Option<i32>,
    throughput: Option<i32>,
) -> Answer {
    let call = cloud
        .ec2
        .modify_volume()
        .volume_id(volume_id)
        .size(size)
        .volume_type(VolumeType::from(volume_type))
        .set_iops(iops)
        .set_throughput(throughput);
    done(call.send().await.map_err(|e| cloud.failed("ModifyVolume", e)))
}

pub(super) async fn delete_volume(cloud: &AwsCloud, volume_id: &str) -> Answer {
    let call = cloud.ec2.delete_volume().volume_id(volume_id);
    done(call.send().await.map_err(|e| cloud.failed("DeleteVolume", e)))
}

pub(super) async fn create_network_interface(
    cloud: &AwsCloud,
    interface: &NetworkInterface,
    client_token: &str,
) -> Answer {
    let call = cloud
        .ec2
        .create_network_interface()
        .client_token(client_token)
        .subnet_id(&interface.subnet_id)
        .description(&interface.description)
        .set_groups(known(&interface.groups))
        .set_tag_specifications(tagged(ResourceType::NetworkInterface, &interface.tags));
    let answer = call.send().await.map_err(|e| cloud.failed("CreateNetworkInterface", e))?;
    let made = answer.network_interface();
    let attributes = [
        (Attribute::Id, made.and_then(|made| made.network_interface_id())),
        (Attribute::PrivateIpAddress, made.and_then(|made| made.private_ip_address())),
    ];
    Ok(told(attributes))
}

pub(super) async fn modify_network_interface_groups(
    cloud: &AwsCloud,
    network_interface_id: &str,
    groups: &BTreeSet<String>,
) -> Answer {
    let call = cloud.ec2.modify_network_interface_attribute();
    let call = call.network_interface_id(network_interface_id);
    let call = call.set_groups(Some(groups.iter().cloned().collect()));
    done(call.send().await.map_err(|e| cloud.failed("ModifyNetworkInterfaceAttribute", e)))
}

pub(super) async fn modify_network_interface_description(
    cloud: &AwsCloud,
    network_interface_id: &str,
    description: &str,
) -> Answer {
    let call = cloud.ec2.modify_network_interface_attribute();
    let call = call.network_interface_id(network_interface_id);
    let call = call.description(AttributeValue::builder().value(description).build());
    done(call.send().await.map_err(|e| cloud.failed("ModifyNetworkInterfaceAttribute", e)))
}

pub(super) async fn delete_network_interface(
    cloud: &AwsCloud,
    network_interface_id: &str,
) -> Answer {
    let call = cloud.ec2.delete_network_interface().network_interface_id(network_interface_id);
    done(call.send().await.map_err(|e| cloud.failed("DeleteNetworkInterface", e)))
}
