//! Instances by the cluster's owner tag, whoever looks after them.

use aws_sdk_ec2::types::{Filter, Instance};

use super::AwsCloud;
use crate::cloud::{CloudError, TaggedInstance};
use crate::resource::OWNER_TAG;

/// The tag by which Auto Scaling notes the group on an instance.
/// Source: Auto Scaling user guide, "Tag Auto Scaling groups and instances".
const GROUP_TAG: &str = "aws:autoscaling:groupName";

/// Everything that is not gone.
const STATES: [&str; 5] = ["pending", "running", "shutting-down", "stopping", "stopped"];

pub(super) async fn read(
    cloud: &AwsCloud,
    cluster: &str,
) -> Result<Vec<TaggedInstance>, CloudError> {
    let owned = Filter::builder().name(format!("tag:{OWNER_TAG}")).values(cluster).build();
    let states = STATES.map(str::to_owned).to_vec();
    let alive = Filter::builder().name("instance-state-name").set_values(Some(states)).build();
    let call = cloud.ec2.describe_instances().filters(owned).filters(alive);
    let page = |token| call.clone().set_next_token(token).send();
    let pages = cloud.pages("DescribeInstances", page, |page| page.next_token()).await?;
    let reservations = pages.iter().flat_map(|page| page.reservations());
    let instances = reservations.flat_map(|reservation| reservation.instances());
    let mut found: Vec<TaggedInstance> = instances.map(convert).collect();
    found.sort();
    Ok(found)
}

fn convert(instance: &Instance) -> TaggedInstance {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let group = instance.tags().iter().find(|tag| tag.key() == Some(GROUP_TAG));
    TaggedInstance {
        instance_id: text(instance.instance_id()),
        group: group.and_then(|tag| tag.value()).map(str::to_owned),
        availability_zone: text(instance.placement().and_then(|place| place.availability_zone())),
        state: text(instance.state().and_then(|state| state.name()).map(|name| name.as_str())),
    }
}
