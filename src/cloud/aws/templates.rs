//! Launch templates, and on request the content of their versions.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{
    LaunchTemplate, LaunchTemplateBlockDeviceMapping,
    LaunchTemplateInstanceNetworkInterfaceSpecification, LaunchTemplateVersion,
    ResponseLaunchTemplateData,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::AwsCloud;
use super::ec2::{FILTER_VALUES, filter};
use super::observe::Found;
use super::tags::TagSet;
use crate::cloud::{CloudError, Ownership, Query, TemplateFacts, VersionFacts};
use crate::facts::ImageFact;
use crate::resource::{
    self, Attribute, BlockDeviceMapping, IMAGE_TAG, InstanceMarketOptions, LaunchTemplateData,
    LaunchTemplateInterface, MetadataOptions, Ref, Resource,
};

/// Versions that one call takes by number (EC2 API reference, DescribeLaunchTemplateVersions).
const VERSIONS: usize = 200;

/// Reads all templates of the account, without their content: the version tag says what the spec
/// last made of each.
pub(super) async fn read(cloud: &AwsCloud, query: &Query) -> Result<Vec<Found>, CloudError> {
    // Without a page size AWS pages as it sees fit, and emulators do not cut the list short.
    let call = cloud.ec2.describe_launch_templates();
    let page = |token| call.clone().set_next_token(token).send();
    let pages = cloud.pages("DescribeLaunchTemplates", page, |page| page.next_token()).await?;
    let templates = pages.iter().flat_map(|page| page.launch_templates());
    Ok(templates.map(|template| convert(template, &query.cluster)).collect())
}

fn convert(template: &LaunchTemplate, cluster: &str) -> Found {
    let notes = TagSet::ec2(template.tags());
    let ownership = Ownership::of(&notes.tags, cluster);
    let name = template.launch_template_name().unwrap_or_default();
    let wanted = notes.version.as_deref().and_then(version_note);
    let target = wanted.as_ref().map(|(version, revision, _)| format!("{version}:{revision}"));
    let resource = Resource::LaunchTemplate(resource::LaunchTemplate {
        launch_template_name: name.to_owned(),
        launch_template_data: content(None),
        tags: notes.tags,
    });
    let mut found = Found::new(name, resource, ownership)
        .attribute(Attribute::Id, template.launch_template_id())
        .attribute(Attribute::Target, target.as_deref())
        .digest(notes.digest)
        .unread(&["launch_template_data"]);
    let latest = template.latest_version_number().and_then(|number| number.try_into().ok());
    found.observed.template = Some(TemplateFacts {
        latest_version: latest.unwrap_or_default(),
        wanted,
        versions: BTreeMap::new(),
    });
    found
}

/// The images of the query that exist, by a filter: asked for by id, one that is missing would fail
/// the whole call. What our templates note of images costs no call, unless a deep look wants to know
/// whether they are still there.
pub(super) async fn images(
    cloud: &AwsCloud,
    query: &Query,
    templates: &[Found],
) -> Result<BTreeMap<String, ImageFact>, CloudError> {
    let mut facts = BTreeMap::new();
    if !query.deep {
        facts.extend(templates.iter().filter_map(noted_image));
        facts.retain(|id, _| query.image_ids.contains(id));
    }
    let missing: Vec<&String> =
        query.image_ids.iter().filter(|id| !facts.contains_key(*id)).collect();
    for ids in missing.chunks(FILTER_VALUES) {
        let call = cloud.ec2.describe_images().filters(filter("image-id", ids.iter().copied()));
        let page = |token| call.clone().set_next_token(token).send();
        let pages = cloud.pages("DescribeImages", page, |page| page.next_token()).await?;
        for image in pages.iter().flat_map(|page| page.images()) {
            if let (Some(id), Some(device)) = (image.image_id(), image.root_device_name()) {
                let fact = ImageFact { root_device_name: device.to_owned() };
                facts.insert(id.to_owned(), fact);
            }
        }
    }
    Ok(facts)
}

/// The image that a template of ours was built from.
fn noted_image(template: &Found) -> Option<(String, ImageFact)> {
    let Resource::LaunchTemplate(resource) = &template.observed.resource else { return None };
    let (id, device) = resource.tags.get(IMAGE_TAG)?.split_once(':')?;
    let fact = ImageFact { root_device_name: device.to_owned() };
    template.observed.ownership.is_owned().then(|| (id.to_owned(), fact))
}

/// Reads `<version>:<revision>:<content digest>`.
fn version_note(text: &str) -> Option<(u64, String, String)> {
    let mut parts = text.splitn(3, ':');
    let version = parts.next()?.parse().ok()?;
    Some((version, parts.next()?.to_owned(), parts.next()?.to_owned()))
}

/// Reads the versions asked for and the newest one of each template: one call a template, since
/// AWS takes numbers for one template only.
pub(super) async fn versions(
    cloud: &AwsCloud,
    wanted: &BTreeMap<String, BTreeSet<u64>>,
) -> Result<BTreeMap<String, BTreeMap<u64, VersionFacts>>, CloudError> {
    let mut all = BTreeMap::new();
    for (name, numbers) in wanted {
        let mut numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
        numbers.push("$Latest".to_owned());
        let mut facts = BTreeMap::new();
        for numbers in numbers.chunks(VERSIONS) {
            let call = cloud.ec2.describe_launch_template_versions().launch_template_name(name);
            let call = call.set_versions(Some(numbers.to_vec()));
            let page = |token| call.clone().set_next_token(token).send();
            let pages = cloud
                .pages("DescribeLaunchTemplateVersions", page, |page| page.next_token())
                .await?;
            let found = pages.iter().flat_map(|page| page.launch_template_versions());
            facts.extend(found.filter_map(version));
        }
        all.insert(name.clone(), facts);
    }
    Ok(all)
}

fn version(version: &LaunchTemplateVersion) -> Option<(u64, VersionFacts)> {
    let number = version.version_number()?.try_into().ok()?;
    let revision = version.version_description().and_then(revision).map(str::to_owned);
    Some((number, VersionFacts { revision, data: content(version.launch_template_data()) }))
}

/// The revision in a version's description: sixteen hex digits and nothing else.
fn revision(description: &str) -> Option<&str> {
    let is_digest = description.len() == 16 && description.bytes().all(|b| b.is_ascii_hexdigit());
    is_digest.then_some(description)
}

/// A version's content; of nothing, an empty one that [`crate::cloud::Observed::unread`] covers.
fn content(data: Option<&ResponseLaunchTemplateData>) -> LaunchTemplateData {
    let empty = ResponseLaunchTemplateData::builder().build();
    let data = data.unwrap_or(&empty);
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let profile = data.iam_instance_profile();
    let tag_specifications = data.tag_specifications().iter().map(|specification| {
        let kind = specification.resource_type().map_or("", |kind| kind.as_str());
        (kind.to_owned(), TagSet::ec2(specification.tags()).tags)
    });
    LaunchTemplateData {
        image_id: data.image_id().unwrap_or_default().to_owned(),
        instance_type: data.instance_type().map_or("", |kind| kind.as_str()).to_owned(),
        iam_instance_profile_name: owned(profile.and_then(|profile| profile.name())),
        iam_instance_profile_arn: owned(profile.and_then(|profile| profile.arn())),
        key_name: owned(data.key_name()),
        user_data: user_data(data.user_data().unwrap_or_default()),
        block_device_mappings: data.block_device_mappings().iter().map(disk).collect(),
        network_interfaces: data.network_interfaces().iter().map(interface).collect(),
        metadata_options: metadata_options(data),
        monitoring_enabled: data.monitoring().and_then(|m| m.enabled()).unwrap_or(false),
        ebs_optimized: data.ebs_optimized(),
        tenancy: data.placement().and_then(|p| p.tenancy()).map(|t| t.as_str().to_owned()),
        cpu_credits: owned(data.credit_specification().and_then(|credit| credit.cpu_credits())),
        instance_market_options: market_options(data),
        private_dns_hostname_type: data
            .private_dns_name_options()
            .and_then(|options| options.hostname_type())
            .map(|kind| kind.as_str().to_owned()),
        tag_specifications: tag_specifications.collect(),
    }
}

/// User data in plain text. What is no base64, or no text inside, stays as AWS gave it: somebody
/// else's, and different from anything wanted.
fn user_data(encoded: &str) -> String {
    let bytes = STANDARD.decode(encoded).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| encoded.to_owned())
}

fn disk(mapping: &LaunchTemplateBlockDeviceMapping) -> BlockDeviceMapping {
    let ebs = mapping.ebs();
    BlockDeviceMapping {
        device_name: mapping.device_name().unwrap_or_default().to_owned(),
        volume_size: ebs.and_then(|ebs| ebs.volume_size()).unwrap_or_default(),
        volume_type: ebs.and_then(|e| e.volume_type()).map_or("", |t| t.as_str()).to_owned(),
        iops: ebs.and_then(|ebs| ebs.iops()),
        throughput: ebs.and_then(|ebs| ebs.throughput()),
        encrypted: ebs.and_then(|ebs| ebs.encrypted()).unwrap_or(false),
        kms_key_id: ebs.and_then(|ebs| ebs.kms_key_id()).map(str::to_owned),
        delete_on_termination: ebs.and_then(|ebs| ebs.delete_on_termination()).unwrap_or(false),
    }
}

fn interface(
    interface: &LaunchTemplateInstanceNetworkInterfaceSpecification,
) -> LaunchTemplateInterface {
    LaunchTemplateInterface {
        device_index: interface.device_index().unwrap_or_default(),
        network_interface_id: interface.network_interface_id().map(|id| Ref::Known(id.to_owned())),
        associate_public_ip_address: interface.associate_public_ip_address(),
        groups: interface.groups().iter().cloned().map(Ref::Known).collect(),
        delete_on_termination: interface.delete_on_termination().unwrap_or(false),
    }
}

/// Settings of the metadata service; a template that says nothing gets AWS's defaults.
fn metadata_options(data: &ResponseLaunchTemplateData) -> MetadataOptions {
    let options = data.metadata_options();
    let tokens = options.and_then(|options| options.http_tokens());
    let hops = options.and_then(|options| options.http_put_response_hop_limit());
    MetadataOptions {
        http_tokens: tokens.map_or("optional", |tokens| tokens.as_str()).to_owned(),
        http_put_response_hop_limit: hops.unwrap_or(1),
    }
}

fn market_options(data: &ResponseLaunchTemplateData) -> Option<InstanceMarketOptions> {
    let spot = data.instance_market_options()?.spot_options()?;
    let behavior = spot.instance_interruption_behavior();
    Some(InstanceMarketOptions {
        max_price: spot.max_price().unwrap_or_default().to_owned(),
        instance_interruption_behavior: behavior.map(|behavior| behavior.as_str().to_owned()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn notes_that_somebody_mangled_count_as_missing() {
        let note = version_note("3:0123456789abcdef:fedcba9876543210").unwrap();
        assert_eq!((note.0, note.1.as_str()), (3, "0123456789abcdef"));
        for mangled in ["", "3", "3:r", "x:r:d", "-1:r:d"] {
            assert_eq!(version_note(mangled), None, "{mangled}");
        }
        assert_eq!(revision("0123456789abcdef"), Some("0123456789abcdef"));
        assert_eq!(revision("made by hand ...."), None);
    }

    #[test]
    fn user_data_survives_and_what_is_none_stays() {
        assert_eq!(user_data(&STANDARD.encode("#!/bin/sh\n")), "#!/bin/sh\n");
        assert_eq!(user_data("not base64!"), "not base64!");
    }
}
