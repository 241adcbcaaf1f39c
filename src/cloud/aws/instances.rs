//! Instances by the cluster's owner tag, whoever looks after them; what EC2's status checks and
//! target groups say of instances.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, Instance, InstanceLifecycleType, InstanceStatus, SummaryStatus};
use aws_sdk_elasticloadbalancingv2::types::{TargetHealthDescription, TargetHealthStateEnum};

use super::AwsCloud;
use crate::cloud::{CloudError, CloudErrorKind, TaggedInstance, TargetState, TargetsByGroup};
use crate::resource::{OWN_TAG_PREFIX, OWNER_TAG};

/// The tag by which Auto Scaling notes the group on an instance.
/// Source: Auto Scaling user guide, "Tag Auto Scaling groups and instances".
const GROUP_TAG: &str = "aws:autoscaling:groupName";

/// The tag by which EC2 notes the launch template's version on an instance.
/// Source: EC2 user guide, "Launch instances from a launch template".
const VERSION_TAG: &str = "aws:ec2launchtemplate:version";

/// Everything that is not gone.
const STATES: [&str; 5] = ["pending", "running", "shutting-down", "stopping", "stopped"];

/// The biggest page. Without a limit AWS puts all into one answer, and counts it against the smaller
/// allowance (EC2 developer guide, "Request throttling for the Amazon EC2 API").
const PAGE: i32 = 1000;

pub(super) async fn read(
    cloud: &AwsCloud,
    cluster: &str,
) -> Result<Vec<TaggedInstance>, CloudError> {
    let owned = Filter::builder().name(format!("tag:{OWNER_TAG}")).values(cluster).build();
    let states = STATES.map(str::to_owned).to_vec();
    let alive = Filter::builder().name("instance-state-name").set_values(Some(states)).build();
    let call = cloud.ec2.describe_instances().filters(owned).filters(alive).max_results(PAGE);
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
    let tags: BTreeMap<&str, &str> =
        instance.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?))).collect();
    let own = tags.iter().filter(|(key, _)| key.starts_with(OWN_TAG_PREFIX));
    let launched_at = instance.launch_time().map(|at| jiff::Timestamp::from_second(at.secs()));
    TaggedInstance {
        instance_id: text(instance.instance_id()),
        group: tags.get(GROUP_TAG).map(|group| (*group).to_owned()),
        availability_zone: text(instance.placement().and_then(|place| place.availability_zone())),
        state: text(instance.state().and_then(|state| state.name()).map(|name| name.as_str())),
        instance_type: text(instance.instance_type().map(|kind| kind.as_str())),
        launched_at: launched_at.and_then(Result::ok),
        is_spot: instance.instance_lifecycle() == Some(&InstanceLifecycleType::Spot),
        version: tags.get(VERSION_TAG).and_then(|version| version.parse().ok()),
        tags: own.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

/// Instances that fail a status check. A filter names the check; ids would have to be listed by the
/// hundred, and one that is gone would fail the call.
pub(super) async fn statuses(
    cloud: &AwsCloud,
    ids: &BTreeSet<String>,
) -> Result<BTreeMap<String, String>, CloudError> {
    let mut found = BTreeMap::new();
    for check in ["instance", "system"] {
        let filter = Filter::builder().name(format!("{check}-status.status"));
        let filter = filter.values(SummaryStatus::Impaired.as_str()).build();
        let call = cloud.ec2.describe_instance_status().filters(filter).max_results(PAGE);
        let page = |token| call.clone().set_next_token(token).send();
        let pages = cloud.pages("DescribeInstanceStatus", page, |page| page.next_token()).await?;
        let failing = pages.iter().flat_map(|page| page.instance_statuses());
        let failing =
            failing.filter_map(InstanceStatus::instance_id).filter(|id| ids.contains(*id));
        let told = |id: &str| (id.to_owned(), format!("{check} status check: impaired"));
        found.extend(failing.map(told));
    }
    Ok(found)
}

/// What target groups do with the machines registered with them: a call each, since AWS has no
/// other.
pub(super) async fn targets(
    cloud: &AwsCloud,
    arns: &BTreeSet<String>,
) -> Result<TargetsByGroup, CloudError> {
    let mut found = TargetsByGroup::new();
    for arn in arns {
        let call = cloud.elb.describe_target_health().target_group_arn(arn);
        let answer = match cloud.read("DescribeTargetHealth", || call.clone().send()).await {
            Ok(answer) => answer,
            Err(error) if error.kind == CloudErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let states = answer.target_health_descriptions().iter().filter_map(target_state);
        found.insert(arn.clone(), states.collect());
    }
    Ok(found)
}

/// A state that this kprod does not know is none that gets traffic.
fn target_state(told: &TargetHealthDescription) -> Option<(String, TargetState)> {
    let state = match told.target_health()?.state()? {
        TargetHealthStateEnum::Healthy => TargetState::Healthy,
        TargetHealthStateEnum::Initial => TargetState::Initial,
        TargetHealthStateEnum::Draining | TargetHealthStateEnum::UnhealthyDraining => {
            TargetState::Draining
        }
        TargetHealthStateEnum::Unused => TargetState::Unused,
        _ => TargetState::Unhealthy,
    };
    Some((told.target()?.id()?.to_owned(), state))
}
