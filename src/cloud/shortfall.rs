//! What a group lacks, why, and the way out: the same words for a run that waits and for the doctor; and
//! what else its activities tell.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::observation::{GroupFacts, Instance};

/// Why a group has fewer machines than it should, as far as its newest activity and the states of its
/// machines tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// AWS has no such machine in that zone.
    Capacity,
    /// The account may not have more.
    Quota,
    /// A machine did not complete its launch hook.
    Hook,
    /// Whatever the activity says.
    Activity,
    /// Nothing failed so far.
    Slow,
}

impl GroupFacts {
    /// Machines that do not serve yet, named in one message.
    const WAITING_MAX: usize = 3;

    /// What the group lacks of the machines that it is to have: [`GroupFacts::shortfall_of`].
    pub fn shortfall(&self) -> Option<String> {
        self.shortfall_of(self.desired_capacity)
    }

    /// What the group lacks, in words: machines in service of those `wanted`, what the others do, and
    /// why no more come. None when nothing is missing.
    pub fn shortfall_of(&self, wanted: i32) -> Option<String> {
        let waiting: Vec<&Instance> =
            self.instances.iter().filter(|i| i.lifecycle_state != "InService").collect();
        let in_service = self.instances.len() - waiting.len();
        if in_service >= usize::try_from(wanted).unwrap_or_default() {
            return None;
        }
        let mut what = format!("{in_service} of {wanted} machines in service");
        for instance in waiting.iter().take(Self::WAITING_MAX) {
            let Instance { instance_id, lifecycle_state, availability_zone, .. } = instance;
            what.push_str(&format!("; {instance_id} in {availability_zone} is {lifecycle_state}"));
        }
        if let Some(activity) = &self.failed_activity {
            what.push_str(&format!("; last failed activity: {}", activity.trim_end()));
        }
        Some(what)
    }

    /// The way out for a group that is short.
    pub fn way_out(&self) -> &'static str {
        match self.cause() {
            Cause::Capacity => {
                "AWS has no such machine there now: give the group more machine types or zones, or \
                 wait; it goes on trying by itself"
            }
            Cause::Quota => {
                "a quota of the account is reached: have it raised (Service Quotas, Amazon EC2), or \
                 ask for less; the group goes on trying by itself"
            }
            Cause::Hook => {
                "a machine does not complete its launch hook: its console output and the journal of \
                 its units say why"
            }
            Cause::Activity => "mend what the activity names; the group goes on trying by itself",
            Cause::Slow => "nothing has failed: give it more time with --wait-timeout",
        }
    }

    /// Whether what fails is the machines themselves, and not that AWS has none to give.
    pub fn is_machines_fault(&self) -> bool {
        matches!(self.cause(), Cause::Hook | Cause::Activity) && self.failed_activity.is_some()
    }

    /// Texts as in "Troubleshoot issues in Amazon EC2 Auto Scaling" (Auto Scaling user guide). A vCPU
    /// limit speaks of capacity as well, so quotas come first.
    fn cause(&self) -> Cause {
        let says = |words: &[&str]| {
            let text = self.failed_activity.as_deref().unwrap_or_default().to_lowercase();
            words.iter().any(|word| text.contains(word))
        };
        let waits = self.instances.iter().any(|i| i.lifecycle_state == "Pending:Wait");
        match &self.failed_activity {
            Some(_) if says(&["limit", "quota", "count exceeded"]) => Cause::Quota,
            Some(_) if says(&["capacity"]) => Cause::Capacity,
            // A machine that was given up still holds its interface when the next one is launched, so
            // that the newest failure need not be the first.
            _ if waits || says(&["lifecycle"]) => Cause::Hook,
            Some(_) => Cause::Activity,
            None => Cause::Slow,
        }
    }
}

/// What the newest failed launch of a group says, if none has worked since. Activities are given
/// newest first: description, status, message.
pub(crate) fn failed_launch<'a>(
    activities: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>,
) -> Option<&'a str> {
    activities
        .into_iter()
        .filter(|(description, ..)| description.starts_with("Launching"))
        .find(|(_, status, _)| ["Successful", "Failed", "Cancelled"].contains(status))
        .filter(|(_, status, _)| *status != "Successful")
        .map(|(_, _, message)| message)
}

/// When launches ended whose hook was abandoned, by its time or by the machine, since the last launch that
/// worked: newest first, as activities are given: moment, description, status, message. Another failure
/// in between, such as of an interface that the machine before still holds, ends nothing.
/// Source: Auto Scaling user guide, "How lifecycle hooks work" and "Troubleshoot: lifecycle hooks"
/// ("Lifecycle Action with token … was abandoned").
pub(crate) fn abandoned_launches<'a>(
    activities: impl IntoIterator<Item = (Timestamp, &'a str, &'a str, &'a str)>,
) -> Vec<Timestamp> {
    let launches =
        activities.into_iter().filter(|(_, description, ..)| description.starts_with("Launching"));
    let failed = launches
        .filter(|(_, _, status, _)| ["Successful", "Failed", "Cancelled"].contains(status))
        .take_while(|(_, _, status, _)| *status != "Successful");
    failed
        .filter(|(.., message)| {
            let message = message.to_lowercase();
            message.contains("lifecycle") && message.contains("abandon")
        })
        .map(|(at, ..)| at)
        .collect()
}

/// How the cause of an activity tells that a call asked for it, after the moment and the machine:
/// "At 2017-06-28T06:06:36Z instance i-0b9d was taken out of service in response to a user request,
/// shrinking the capacity from 3 to 2." A group that was only resized chooses by itself.
/// Source: Auto Scaling user guide, "Verify a scaling activity"; kubernetes/autoscaler#144.
pub(crate) const ASKED_FOR: &str = "in response to a user request";

/// The machines that activities end and that no call asked for, by description ("Terminating EC2
/// instance: i-0b9d") and cause. Without a cause nobody knows.
pub(crate) fn unasked_ends<'a>(
    activities: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> BTreeSet<String> {
    let ends = activities.into_iter().filter(|(what, _)| what.starts_with("Terminating"));
    let unasked = ends.filter(|(_, cause)| !cause.is_empty() && !cause.contains(ASKED_FOR));
    let ids = unasked.filter_map(|(what, _)| what.split_whitespace().find(|w| w.starts_with("i-")));
    ids.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(activity: Option<&str>, state: &str) -> GroupFacts {
        let instance = Instance {
            instance_id: "i-1".to_owned(),
            availability_zone: "eu-west-3a".to_owned(),
            instance_type: "m6i.large".to_owned(),
            lifecycle_state: state.to_owned(),
            health_status: "Healthy".to_owned(),
            launch_template_version: Some(1),
            protected_from_scale_in: false,
        };
        GroupFacts {
            desired_capacity: 2,
            instances: vec![instance],
            failed_activity: activity.map(str::to_owned),
            ..GroupFacts::default()
        }
    }

    #[test]
    fn the_way_out_fits_the_reason() {
        let capacity = "We currently do not have sufficient m6i.large capacity in the Availability \
                        Zone you requested (eu-west-3a).";
        let quota =
            "You have requested more vCPU capacity than your current vCPU limit of 32 allows";
        let abandoned = "Lifecycle Action with token 5f was abandoned: Heartbeat Timeout Elapsed";
        for (activity, state, cause) in [
            (Some(capacity), "Pending", Cause::Capacity),
            (Some("There is no Spot capacity available"), "Pending", Cause::Capacity),
            (Some(quota), "Pending", Cause::Quota),
            (Some("Max spot instance count exceeded"), "Pending", Cause::Quota),
            (Some(abandoned), "Pending", Cause::Hook),
            (Some("Interface: [eni-1] in use."), "Pending", Cause::Activity),
            (Some("Interface: [eni-1] in use."), "Pending:Wait", Cause::Hook),
            (None, "Pending:Wait", Cause::Hook),
            (None, "Pending", Cause::Slow),
        ] {
            assert_eq!(short(activity, state).cause(), cause, "{activity:?} {state}");
        }
        let what = short(Some(capacity), "Pending").shortfall();
        let expected = format!(
            "0 of 2 machines in service; i-1 in eu-west-3a is Pending; last failed activity: {capacity}"
        );
        assert_eq!(what, Some(expected));
        assert_eq!(short(None, "InService").shortfall_of(1), None);
    }

    #[test]
    fn a_launch_that_worked_since_hides_older_failures() {
        let failed = ("Launching a new EC2 instance", "Failed", "why");
        let abandoned = ("Launching a new EC2 instance: i-1", "Cancelled", "abandoned");
        let worked = ("Launching a new EC2 instance: i-2", "Successful", "");
        let begun = ("Launching a new EC2 instance: i-3", "InProgress", "");
        let ended = ("Terminating EC2 instance: i-1", "Successful", "");
        assert_eq!(failed_launch([begun, ended, abandoned, failed]), Some("abandoned"));
        assert_eq!(failed_launch([worked, failed]), None);
        assert_eq!(failed_launch([ended, failed]), Some("why"));
        assert_eq!(failed_launch([]), None);
    }

    #[test]
    fn launches_are_abandoned_in_a_row_until_one_works() {
        let at = |secs| Timestamp::from_second(secs).unwrap_or_default();
        let launch = |secs, status, message| {
            (at(secs), "Launching a new EC2 instance: i-1", status, message)
        };
        let abandoned =
            |secs| launch(secs, "Cancelled", "Lifecycle Action with token 5f was abandoned: x");
        let held =
            launch(25, "Failed", "Interface: [eni-1] in use. Launching EC2 instance failed.");
        let (begun, worked) = (launch(40, "InProgress", ""), launch(15, "Successful", ""));
        let ended = (at(35), "Terminating EC2 instance: i-1", "Successful", "");
        let told = [begun, ended, abandoned(30), held, abandoned(20), worked, abandoned(10)];
        assert_eq!(abandoned_launches(told), [at(30), at(20)]);
        assert_eq!(abandoned_launches([worked, abandoned(10)]), []);
        assert_eq!(abandoned_launches([held]), []);
    }

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
            (
                "Launching a new EC2 instance: i-0d",
                "At 2026-01-01T12:00:00Z an instance was started.",
            ),
            (
                "Terminating EC2 instance: i-0e",
                "At 2026-01-01T12:00:00Z a user request update of AutoScalingGroup constraints to min: \
                 1, max: 5, desired: 2 changing the desired capacity from 3 to 2. At \
                 2026-01-01T12:00:09Z an instance was taken out of service in response to a difference \
                 between desired and actual capacity, shrinking the capacity from 3 to 2.",
            ),
        ];
        assert_eq!(unasked_ends(told), ["i-0b", "i-0e"].map(str::to_owned).into());
    }
}
