//! Calls of Auto Scaling and EC2 about the machines of a group: how many there are, and which leave,
//! join and end.

use std::collections::BTreeSet;

use super::groups::list;
use super::{Answer, done};
use crate::cloud::Reply;
use crate::cloud::aws::AwsCloud;
use crate::cloud::aws::groups::kept_by;

/// Sets how many machines a group should have. Cooldowns are for the autoscaler's own steps.
pub(super) async fn set_desired_capacity(cloud: &AwsCloud, group: &str, desired: i32) -> Answer {
    let call = cloud
        .autoscaling
        .set_desired_capacity()
        .auto_scaling_group_name(group)
        .desired_capacity(desired)
        .honor_cooldown(false);
    done(call.send().await.map_err(|e| cloud.failed("SetDesiredCapacity", e)))
}

/// Changes a group's minimum and says nothing else.
pub(super) async fn set_group_minimum(cloud: &AwsCloud, group: &str, min_size: i32) -> Answer {
    let call = cloud
        .autoscaling
        .update_auto_scaling_group()
        .auto_scaling_group_name(group)
        .min_size(min_size);
    done(call.send().await.map_err(|e| cloud.failed("UpdateAutoScalingGroup", e)))
}

/// Ends machines of one group. AWS does not say what becomes of one that it is ending already; by what
/// users report the call is no error (kubernetes/autoscaler#3255, #5411). Its activity tells why it ends.
pub(super) async fn terminate_in_group(
    cloud: &AwsCloud,
    group: &str,
    ids: &BTreeSet<String>,
    shrinks: bool,
) -> Answer {
    let call = cloud
        .autoscaling
        .terminate_instance_in_auto_scaling_group()
        .auto_scaling_group_name(group)
        .set_instance_ids(list(ids))
        .should_decrement_desired_capacity(shrinks);
    let answer = call.send().await;
    let answer = answer.map_err(|e| cloud.failed("TerminateInstanceInAutoScalingGroup", e))?;
    let told = answer.activities().iter().chain(answer.activity());
    let places_kept = if shrinks { kept_by(told) } else { BTreeSet::new() };
    Ok(Reply { places_kept, ..Reply::default() })
}

/// Takes machines out of a group.
pub(super) async fn detach_instances(
    cloud: &AwsCloud,
    group: &str,
    ids: &BTreeSet<String>,
    shrinks: bool,
) -> Answer {
    let call = cloud
        .autoscaling
        .detach_instances()
        .auto_scaling_group_name(group)
        .set_instance_ids(list(ids))
        .should_decrement_desired_capacity(shrinks);
    done(call.send().await.map_err(|e| cloud.failed("DetachInstances", e)))
}

/// Puts running machines into a group.
pub(super) async fn attach_instances(
    cloud: &AwsCloud,
    group: &str,
    ids: &BTreeSet<String>,
) -> Answer {
    let call = cloud.autoscaling.attach_instances().auto_scaling_group_name(group);
    let call = call.set_instance_ids(list(ids));
    done(call.send().await.map_err(|e| cloud.failed("AttachInstances", e)))
}

/// Ends instances, in a group or not.
pub(super) async fn terminate_instances(cloud: &AwsCloud, ids: &BTreeSet<String>) -> Answer {
    let call = cloud.ec2.terminate_instances().set_instance_ids(list(ids));
    done(call.send().await.map_err(|e| cloud.failed("TerminateInstances", e)))
}
