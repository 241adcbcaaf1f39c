//! Calls of Auto Scaling and EC2 about the machines of a group: how many there are, and which leave,
//! join and end.

use std::collections::BTreeSet;

use super::groups::list;
use super::{Answer, done};
use crate::cloud::Reply;
use crate::cloud::aws::AwsCloud;

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
    let told =
        told.map(|it| (it.description().unwrap_or_default(), it.cause().unwrap_or_default()));
    let places_kept = if shrinks { others_ends(told) } else { BTreeSet::new() };
    Ok(Reply { places_kept, ..Reply::default() })
}

/// How the cause of an activity begins to tell that a call asked for it, after the moment and the
/// machine: "At 2017-06-28T06:06:36Z instance i-0b9d was taken out of service in response to a user
/// request, shrinking the capacity from 3 to 2."
/// Source: Auto Scaling user guide, "Verify a scaling activity"; kubernetes/autoscaler#144.
const ASKED_FOR: &str = "user request";

/// The machines of activities that no call asked for, by description ("Terminating EC2 instance:
/// i-0b9d") and cause.
fn others_ends<'a>(activities: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeSet<String> {
    let others = activities.filter(|(_, cause)| !cause.is_empty() && !cause.contains(ASKED_FOR));
    let ids = others.filter_map(|(what, _)| what.split_whitespace().find(|w| w.starts_with("i-")));
    ids.map(str::to_owned).collect()
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

#[cfg(test)]
mod tests {
    use super::others_ends;

    #[test]
    fn a_machine_that_ends_for_a_reason_of_awss_own_keeps_its_place() {
        let told = [
            (
                "Terminating EC2 instance: i-0a",
                "At 2026-01-01T12:00:00Z instance i-0a was taken out of service in response to a user \
                 request, shrinking the capacity from 3 to 2.",
            ),
            (
                "Terminating EC2 instance: i-0b",
                "At 2026-01-01T12:00:00Z an instance was taken out of service in response to an EC2 \
                 health check indicating it has been terminated or stopped.",
            ),
            ("Terminating EC2 instance: i-0c", ""),
        ];
        assert_eq!(others_ends(told.into_iter()), ["i-0b".to_owned()].into());
    }
}
