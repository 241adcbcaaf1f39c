//! A group as an auto scaling group: how many machines, where, and what may end them.

use std::collections::BTreeSet;

use super::super::{InstanceGroup, Role, Spec, SubnetType};
use super::{Report, arn, id, ids, unique};
use crate::finding::did_you_mean;

/// Processes of an ASG that can be suspended.
/// Source: Auto Scaling user guide, "Types of processes".
const PROCESSES: [&str; 9] = [
    "AZRebalance",
    "AddToLoadBalancer",
    "AlarmNotification",
    "HealthCheck",
    "InstanceRefresh",
    "Launch",
    "ReplaceUnhealthy",
    "ScheduledActions",
    "Terminate",
];

/// Bounds of an ASG's maximum instance lifetime, in seconds: a day and a year.
/// Source: Auto Scaling API reference, CreateAutoScalingGroup.
const LIFETIME_SECS: std::ops::RangeInclusive<u64> = 86_400..=31_536_000;

/// Length of a target group's name. Source: ELBv2 API reference, CreateTargetGroup.
const TARGET_GROUP_NAME_MAX: usize = 32;

pub(super) fn check(spec: &Spec, group: &InstanceGroup, report: &mut Report) {
    sizes(group, report);
    subnets(spec, group, report);
    processes(group, report);
    lifetime(group, report);
    attachments(group, report);
    if group.is_vital() {
        vital(group, report);
    }
}

fn sizes(group: &InstanceGroup, report: &mut Report) {
    let (min, max) = group.sizes();
    if min > max {
        let message = format!("`minSize` {min} is more than `maxSize` {max}");
        report.error(&group.field("spec.minSize"), message);
    } else if max == 0 && matches!(group.spec.role, Role::ControlPlane | Role::Etcd) {
        report.error(&group.field("spec.maxSize"), "the group needs a machine");
    }
}

fn subnets(spec: &Spec, group: &InstanceGroup, report: &mut Report) {
    let cluster = &spec.cluster.spec.subnets;
    for (index, zone) in group.spec.zones.iter().enumerate() {
        if !cluster.iter().any(|subnet| subnet.zone == *zone) {
            let zones: BTreeSet<&str> = cluster.iter().map(|subnet| subnet.zone.as_str()).collect();
            let field = group.field("spec.zones").index(index);
            report.unknown(
                &field,
                format!("the cluster has no subnet in the zone `{zone}`"),
                zone,
                zones,
            );
        }
    }
    let list = group.field("spec.subnets");
    let names = &group.spec.subnets;
    if names.is_empty() && group.spec.zones.is_empty() {
        report.error_hint(
            &list,
            "the group has no subnet",
            "name subnets of the cluster in `subnets`",
        );
    }
    unique(report, &list, names.iter().map(String::as_str));
    let mut types: BTreeSet<SubnetType> = BTreeSet::new();
    for (index, name) in names.iter().enumerate() {
        let field = list.clone().index(index);
        let Some(subnet) = spec.subnet(name) else {
            let known = cluster.iter().map(|subnet| subnet.name.as_str());
            let near =
                did_you_mean(name, known).map(|near| format!("did you mean `{near}`? else "));
            let hint = format!("{}add it to the cluster's `subnets`", near.unwrap_or_default());
            report.error_hint(&field, format!("the cluster has no subnet `{name}`"), hint);
            continue;
        };
        types.insert(subnet.subnet_type);
        if !group.spec.zones.is_empty() && !group.spec.zones.contains(&subnet.zone) {
            let message =
                format!("subnet `{name}` is in {}, which `zones` leaves out", subnet.zone);
            report.error(&field, message);
        }
    }
    if types.len() > 1 {
        report.error(&list, "the subnets of a group are all of one type");
    }
    if group.spec.associate_public_ip == Some(true) && types.contains(&SubnetType::Private) {
        let message = "machines in private subnets have no public address";
        report.error(&group.field("spec.associatePublicIp"), message);
    }
}

fn processes(group: &InstanceGroup, report: &mut Report) {
    let list = group.field("spec.suspendProcesses");
    let processes = &group.spec.suspend_processes;
    unique(report, &list, processes.iter().map(String::as_str));
    for (index, process) in processes.iter().enumerate() {
        if !PROCESSES.contains(&process.as_str()) {
            let hint = match did_you_mean(process, PROCESSES) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", PROCESSES.join(", ")),
            };
            let message = format!("auto scaling groups have no process `{process}`");
            report.error_hint(&list.clone().index(index), message, hint);
        }
    }
}

fn lifetime(group: &InstanceGroup, report: &mut Report) {
    let secs = group.spec.max_instance_lifetime.map_or(0, |span| span.secs);
    if secs != 0 && !LIFETIME_SECS.contains(&secs) {
        let message = "a machine's lifetime is 0 (for ever), or a day to a year (24h to 8760h)";
        report.error(&group.field("spec.maxInstanceLifetime"), message);
    }
}

/// Target groups, security groups and the instance profile.
fn attachments(group: &InstanceGroup, report: &mut Report) {
    let list = group.field("spec.externalLoadBalancers");
    let arns = || group.spec.external_load_balancers.iter().map(|target| &target.target_group_arn);
    for (index, value) in arns().enumerate() {
        let field = list.clone().index(index).key("targetGroupArn");
        arn(report, &field, "elasticloadbalancing", "targetgroup/", value);
        let name = value.split('/').nth(1).unwrap_or_default();
        if name.len() > TARGET_GROUP_NAME_MAX {
            report.error(&field, format!("`{name}` is longer than a target group's name can be"));
        }
    }
    unique(report, &list, arns().map(String::as_str));
    let replaced = group.spec.security_group_override.as_ref();
    id(report, &group.field("spec.securityGroupOverride"), "sg-", replaced);
    let further = group.field("spec.additionalSecurityGroups");
    ids(report, &further, "sg-", &group.spec.additional_security_groups);
    if let Some(profile) = group.spec.iam.as_ref().and_then(|iam| iam.profile.as_ref()) {
        arn(report, &group.field("spec.iam.profile"), "iam", "instance-profile/", profile);
    }
}

/// Groups that host etcd or the control plane: nothing may end their machines but a rollout, which
/// asks the quorum guard first.
fn vital(group: &InstanceGroup, report: &mut Report) {
    let spec = &group.spec;
    let why =
        "it would end machines of the control plane or of etcd without asking the quorum guard";
    let mut refuse = |path: &str, what: &str| {
        report.error(&group.field(path), format!("{what}: {why}"));
    };
    if spec.max_price.is_some() {
        refuse("spec.maxPrice", "no spot machines here");
    }
    let mix = spec.mixed_instances_policy.as_ref();
    if mix.is_some_and(|mix| mix.on_demand_above_base != Some(100)) {
        refuse("spec.mixedInstancesPolicy.onDemandAboveBase", "no spot machines here, hence 100");
    }
    if spec.capacity_rebalance == Some(true) {
        refuse("spec.capacityRebalance", "no capacity rebalancing here");
    }
    if spec.max_instance_lifetime.is_some_and(|span| span.secs > 0) {
        refuse("spec.maxInstanceLifetime", "no maximum lifetime here");
    }
    if spec.autoscale == Some(true) {
        refuse("spec.autoscale", "no autoscaling here");
    }
    let surge = spec.rolling_update.as_ref().and_then(|rollout| rollout.max_surge);
    if surge.is_some_and(|surge| !surge.is_zero()) {
        let message = "these machines are replaced one for one: `maxSurge` is 0";
        report.error(&group.field("spec.rollingUpdate.maxSurge"), message);
    }
}
