//! Calls of EC2: launch templates, their versions, and the proof that a version can launch.

use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::{
    CreditSpecificationRequest, HostnameType, InstanceInterruptionBehavior,
    InstanceNetworkInterfaceSpecification, InstanceType, LaunchTemplateBlockDeviceMappingRequest,
    LaunchTemplateEbsBlockDeviceRequest, LaunchTemplateHttpTokensState,
    LaunchTemplateIamInstanceProfileSpecificationRequest,
    LaunchTemplateInstanceMarketOptionsRequest, LaunchTemplateInstanceMetadataOptionsRequest,
    LaunchTemplateInstanceNetworkInterfaceSpecificationRequest, LaunchTemplatePlacementRequest,
    LaunchTemplatePrivateDnsNameOptionsRequest, LaunchTemplateSpecification,
    LaunchTemplateSpotMarketOptionsRequest, LaunchTemplateTagSpecificationRequest,
    LaunchTemplatesMonitoringRequest, MarketType, RequestLaunchTemplateData, ResourceType, Tenancy,
    VolumeType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::security::{ec2_tags, known, tagged};
use super::{Answer, done, told};
use crate::cloud::aws::AwsCloud;
use crate::cloud::{CloudError, CloudErrorKind, Reply};
use crate::resource::{
    Attribute, BlockDeviceMapping, InstanceMarketOptions, LaunchTemplateData,
    LaunchTemplateInterface, MetadataOptions, Ref, Tags,
};

pub(super) async fn create_launch_template(
    cloud: &AwsCloud,
    name: &str,
    version_description: &str,
    data: &LaunchTemplateData,
    tags: &Tags,
    client_token: &str,
) -> Answer {
    let call = cloud
        .ec2
        .create_launch_template()
        .client_token(client_token)
        .launch_template_name(name)
        .version_description(version_description)
        .launch_template_data(content(data))
        .set_tag_specifications(tagged(ResourceType::LaunchTemplate, tags));
    let answer = call.send().await.map_err(|e| cloud.failed("CreateLaunchTemplate", e))?;
    let id = answer.launch_template().and_then(|template| template.launch_template_id());
    // A new template begins with version 1; the newest one may be another by the time that a
    // repeated token is answered.
    Ok(Reply { version: Some(1), ..told([(Attribute::Id, id)]) })
}

pub(super) async fn create_launch_template_version(
    cloud: &AwsCloud,
    name: &str,
    version_description: &str,
    data: &LaunchTemplateData,
    client_token: &str,
) -> Answer {
    let call = cloud
        .ec2
        .create_launch_template_version()
        .client_token(client_token)
        .launch_template_name(name)
        .version_description(version_description)
        .launch_template_data(content(data));
    let answer = call.send().await.map_err(|e| cloud.failed("CreateLaunchTemplateVersion", e))?;
    let version = answer.launch_template_version();
    let number = version.and_then(|version| version.version_number()?.try_into().ok());
    let id = version.and_then(|version| version.launch_template_id());
    Ok(Reply { version: number, ..told([(Attribute::Id, id)]) })
}

/// Proves a version by a dry run of RunInstances: `DryRunOperation` says that the launch would have
/// been made (EC2 API, RunInstances). Any other error speaks for the version.
pub(super) async fn prove_launch_template_version(
    cloud: &AwsCloud,
    name: &str,
    version: u64,
    subnet_id: Option<&str>,
    interfaces: &[LaunchTemplateInterface],
) -> Answer {
    let template = LaunchTemplateSpecification::builder()
        .launch_template_name(name)
        .version(version.to_string())
        .build();
    let call = cloud
        .ec2
        .run_instances()
        .dry_run(true)
        .min_count(1)
        .max_count(1)
        .launch_template(template)
        .set_network_interfaces(subnet_id.map(|subnet| proof_interfaces(interfaces, subnet)));
    let Err(error) = call.send().await else {
        let message = format!("a dry run of version {version} of {name} launched a machine");
        let kind = CloudErrorKind::Invalid;
        return Err(CloudError::new(kind, "RunInstances", "NoDryRun", message));
    };
    let code = error.code().unwrap_or_default();
    // Without a subnet the template names an interface that keeps an address, and the machine that
    // the version will replace holds it until then.
    let keeps_address = subnet_id.is_none();
    match code {
        "DryRunOperation" => Ok(Reply::default()),
        "InvalidNetworkInterface.InUse" if keeps_address => Ok(Reply::default()),
        _ => Err(cloud.failed("RunInstances", error)),
    }
}

pub(super) async fn delete_launch_template(cloud: &AwsCloud, name: &str) -> Answer {
    let call = cloud.ec2.delete_launch_template().launch_template_name(name);
    done(call.send().await.map_err(|e| cloud.failed("DeleteLaunchTemplate", e)))
}

/// The template's interfaces with the subnet that a group would add. Beside interfaces AWS takes a
/// subnet only inside of one, and what a request says of interfaces counts in place of the
/// template's (EC2 API, RunInstances), so each is named whole. Of interfaces that nobody named the
/// main one is enough.
fn proof_interfaces(
    interfaces: &[LaunchTemplateInterface],
    subnet_id: &str,
) -> Vec<InstanceNetworkInterfaceSpecification> {
    let builder = || InstanceNetworkInterfaceSpecification::builder().subnet_id(subnet_id);
    if interfaces.is_empty() {
        return vec![builder().device_index(0).build()];
    }
    let whole = |interface: &LaunchTemplateInterface| {
        builder()
            .device_index(interface.device_index)
            .set_groups(known(&interface.groups))
            .set_associate_public_ip_address(interface.associate_public_ip_address)
            .delete_on_termination(interface.delete_on_termination)
            .build()
    };
    interfaces.iter().map(whole).collect()
}

/// A version's content. What is at AWS's default is left out where saying it could be refused.
fn content(data: &LaunchTemplateData) -> RequestLaunchTemplateData {
    let credits = data.cpu_credits.as_ref();
    let hostname = data.private_dns_hostname_type.as_deref().map(HostnameType::from);
    let tenancy = data.tenancy.as_deref().map(Tenancy::from);
    RequestLaunchTemplateData::builder()
        .image_id(&data.image_id)
        .instance_type(InstanceType::from(data.instance_type.as_str()))
        .set_iam_instance_profile(profile(data))
        .set_key_name(data.key_name.clone())
        .set_user_data((!data.user_data.is_empty()).then(|| STANDARD.encode(&data.user_data)))
        .set_block_device_mappings(list(&data.block_device_mappings, disk))
        .set_network_interfaces(list(&data.network_interfaces, interface))
        .metadata_options(metadata_options(&data.metadata_options))
        .monitoring(
            LaunchTemplatesMonitoringRequest::builder().enabled(data.monitoring_enabled).build(),
        )
        .set_ebs_optimized(data.ebs_optimized)
        .set_placement(
            tenancy
                .map(|tenancy| LaunchTemplatePlacementRequest::builder().tenancy(tenancy).build()),
        )
        .set_credit_specification(
            credits
                .map(|credits| CreditSpecificationRequest::builder().cpu_credits(credits).build()),
        )
        .set_instance_market_options(data.instance_market_options.as_ref().map(market_options))
        .set_private_dns_name_options(hostname.map(|hostname| {
            LaunchTemplatePrivateDnsNameOptionsRequest::builder().hostname_type(hostname).build()
        }))
        .set_tag_specifications(tag_specifications(data))
        .build()
}

/// A list as AWS takes it: an empty one is left out.
fn list<T, U>(items: &[T], convert: impl Fn(&T) -> U) -> Option<Vec<U>> {
    (!items.is_empty()).then(|| items.iter().map(convert).collect())
}

fn profile(
    data: &LaunchTemplateData,
) -> Option<LaunchTemplateIamInstanceProfileSpecificationRequest> {
    let (name, arn) = (&data.iam_instance_profile_name, &data.iam_instance_profile_arn);
    (name.is_some() || arn.is_some()).then(|| {
        LaunchTemplateIamInstanceProfileSpecificationRequest::builder()
            .set_name(name.clone())
            .set_arn(arn.clone())
            .build()
    })
}

fn disk(disk: &BlockDeviceMapping) -> LaunchTemplateBlockDeviceMappingRequest {
    let ebs = LaunchTemplateEbsBlockDeviceRequest::builder()
        .volume_size(disk.volume_size)
        .volume_type(VolumeType::from(disk.volume_type.as_str()))
        .set_iops(disk.iops)
        .set_throughput(disk.throughput)
        .set_encrypted(disk.encrypted.then_some(true))
        .set_kms_key_id(disk.kms_key_id.clone())
        .delete_on_termination(disk.delete_on_termination)
        .build();
    LaunchTemplateBlockDeviceMappingRequest::builder()
        .device_name(&disk.device_name)
        .ebs(ebs)
        .build()
}

fn interface(
    interface: &LaunchTemplateInterface,
) -> LaunchTemplateInstanceNetworkInterfaceSpecificationRequest {
    let existing = interface.network_interface_id.as_ref().and_then(Ref::known);
    LaunchTemplateInstanceNetworkInterfaceSpecificationRequest::builder()
        .device_index(interface.device_index)
        .set_network_interface_id(existing.map(str::to_owned))
        .set_associate_public_ip_address(interface.associate_public_ip_address)
        .set_groups(known(&interface.groups))
        .delete_on_termination(interface.delete_on_termination)
        .build()
}

fn metadata_options(options: &MetadataOptions) -> LaunchTemplateInstanceMetadataOptionsRequest {
    LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .http_tokens(LaunchTemplateHttpTokensState::from(options.http_tokens.as_str()))
        .http_put_response_hop_limit(options.http_put_response_hop_limit)
        .build()
}

fn market_options(options: &InstanceMarketOptions) -> LaunchTemplateInstanceMarketOptionsRequest {
    let behavior = options.instance_interruption_behavior.as_deref();
    let price = Some(&options.max_price).filter(|price| !price.is_empty());
    let spot = LaunchTemplateSpotMarketOptionsRequest::builder()
        .set_max_price(price.cloned())
        .set_instance_interruption_behavior(behavior.map(InstanceInterruptionBehavior::from))
        .build();
    LaunchTemplateInstanceMarketOptionsRequest::builder()
        .market_type(MarketType::Spot)
        .spot_options(spot)
        .build()
}

fn tag_specifications(
    data: &LaunchTemplateData,
) -> Option<Vec<LaunchTemplateTagSpecificationRequest>> {
    let specifications = data.tag_specifications.iter().filter(|(_, tags)| !tags.is_empty());
    let specifications = specifications.map(|(kind, tags)| {
        LaunchTemplateTagSpecificationRequest::builder()
            .resource_type(ResourceType::from(kind.as_str()))
            .set_tags(Some(ec2_tags(tags)))
            .build()
    });
    Some(specifications.collect::<Vec<_>>()).filter(|all| !all.is_empty())
}
