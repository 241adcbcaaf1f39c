//! What a changed field costs: one table for all kinds, with the reason beside each entry.

use std::collections::BTreeSet;

use serde_json::Value;

use super::FieldClass;
use super::path::Difference;
use super::rollout;
use crate::cloud::{Observation, Observed};
use crate::pki::PUT_KEY_BACK;
use crate::resource::{Kind, read_target};

/// When an entry of the table has two classes, what decides between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// One class, always.
    Always(FieldClass),
    /// In place when items are only added; else this.
    UnlessOnlyAdded(FieldClass),
    /// In place when the number grows; else this.
    UnlessRaised(FieldClass),
    /// In place unless nothing was there before; then this.
    UnlessEmptyBefore(FieldClass),
    /// In place when both revisions are known and equal; else machines roll.
    UnlessSameRevision,
    /// Machines are drained when more run than the new maximum allows.
    DrainsBelowMachines,
    /// Machines are drained when a place goes in which some may run.
    DrainsRemovedPlace,
    /// Machines are drained when zones are balanced again while some run in one that the group has left.
    DrainsStrays,
}

/// One entry: a field, all below it, and what a change costs.
struct Entry {
    kind: Kind,
    /// Shape of the field's path; covers everything below it that has no longer entry.
    shape: &'static str,
    rule: Rule,
    /// Why, or for a forbidden field the way out.
    why: &'static str,
}

const IN_PLACE: Rule = Rule::Always(FieldClass::InPlace);
const ROLLS: Rule = Rule::Always(FieldClass::RollsMachines);
const REPLACES: Rule = Rule::Always(FieldClass::ReplacesResource);
const FORBIDDEN: Rule = Rule::Always(FieldClass::Forbidden);

const fn entry(kind: Kind, shape: &'static str, rule: Rule, why: &'static str) -> Entry {
    Entry { kind, shape, rule, why }
}

/// The process that moves machines between zones, out of those that their group has left among them.
/// Source: Auto Scaling user guide, "Suspend and resume Amazon EC2 Auto Scaling processes".
pub(super) const BALANCE: &str = "AZRebalance";

const NAME: &str = "a name is the identity";
const TAGS: &str = "tags are set and removed one by one";
const API: &str = "the API changes it in place";
const OTHER_EPOCH: &str = "an epoch belongs to one etcd cluster for good";
const OTHER_AUTHORITY: &str = "an authority is never replaced: what it signed would be refused";

/// The table.
const TABLE: &[Entry] = &[
    entry(Kind::SecurityGroup, "group_name", REPLACES, NAME),
    entry(Kind::SecurityGroup, "description", REPLACES, "EC2 has no call to change it"),
    entry(Kind::SecurityGroup, "vpc_id", REPLACES, "a group stays in its VPC"),
    entry(Kind::SecurityGroup, "tags", IN_PLACE, TAGS),
    entry(Kind::SecurityGroupRules, "group_id", REPLACES, "rules go with their group"),
    entry(Kind::SecurityGroupRules, "rules", IN_PLACE, "new rules are added before old ones go"),
    entry(Kind::Role, "role_name", REPLACES, NAME),
    entry(Kind::Role, "assume_role_policy_document", IN_PLACE, API),
    entry(Kind::Role, "permissions_boundary", IN_PLACE, API),
    entry(Kind::Role, "inline_policies", IN_PLACE, API),
    entry(Kind::Role, "attached_policy_arns", IN_PLACE, API),
    entry(Kind::Role, "tags", IN_PLACE, TAGS),
    entry(Kind::InstanceProfile, "instance_profile_name", REPLACES, NAME),
    entry(Kind::InstanceProfile, "roles", IN_PLACE, API),
    entry(Kind::InstanceProfile, "tags", IN_PLACE, TAGS),
    entry(Kind::LoadBalancer, "name", REPLACES, NAME),
    entry(Kind::LoadBalancer, "scheme", REPLACES, "fixed when a load balancer is made"),
    entry(Kind::LoadBalancer, "ip_address_type", REPLACES, "kprod makes it anew"),
    entry(
        Kind::LoadBalancer,
        "subnet_mappings",
        Rule::UnlessOnlyAdded(FieldClass::ReplacesResource),
        "a network load balancer can gain subnets, not lose or change one",
    ),
    entry(
        Kind::LoadBalancer,
        "security_groups",
        Rule::UnlessEmptyBefore(FieldClass::ReplacesResource),
        "a network load balancer made without security groups never takes any",
    ),
    entry(Kind::LoadBalancer, "cross_zone_enabled", IN_PLACE, API),
    entry(Kind::LoadBalancer, "deletion_protection_enabled", IN_PLACE, API),
    entry(Kind::LoadBalancer, "tags", IN_PLACE, TAGS),
    entry(Kind::TargetGroup, "name", REPLACES, NAME),
    entry(Kind::TargetGroup, "protocol", REPLACES, "fixed when a target group is made"),
    entry(Kind::TargetGroup, "port", REPLACES, "fixed when a target group is made"),
    entry(Kind::TargetGroup, "vpc_id", REPLACES, "fixed when a target group is made"),
    entry(Kind::TargetGroup, "health_check", IN_PLACE, API),
    entry(Kind::TargetGroup, "deregistration_delay_seconds", IN_PLACE, API),
    entry(Kind::TargetGroup, "connection_termination_enabled", IN_PLACE, API),
    entry(Kind::TargetGroup, "preserve_client_ip_enabled", IN_PLACE, API),
    entry(Kind::TargetGroup, "tags", IN_PLACE, TAGS),
    entry(Kind::Listener, "load_balancer_arn", REPLACES, "a listener goes with its load balancer"),
    entry(Kind::Listener, "port", IN_PLACE, API),
    entry(Kind::Listener, "protocol", IN_PLACE, API),
    entry(Kind::Listener, "certificate_arn", IN_PLACE, API),
    entry(Kind::Listener, "ssl_policy", IN_PLACE, API),
    entry(Kind::Listener, "target_group_arn", IN_PLACE, API),
    entry(Kind::HostedZone, "name", FORBIDDEN, "give the cluster another name"),
    entry(
        Kind::HostedZone,
        "vpc_id",
        FORBIDDEN,
        "machines find each other through this zone; make a cluster in the other VPC",
    ),
    entry(Kind::HostedZone, "comment", IN_PLACE, API),
    entry(Kind::HostedZone, "tags", IN_PLACE, TAGS),
    entry(Kind::DnsName, "hosted_zone_id", REPLACES, "a record stays in its zone"),
    entry(Kind::DnsName, "name", REPLACES, NAME),
    entry(Kind::DnsName, "record_sets", IN_PLACE, "all records of a name change in one batch"),
    entry(Kind::DnsName, "owner", IN_PLACE, "the owner record is part of the batch"),
    entry(
        Kind::Volume,
        "availability_zone",
        FORBIDDEN,
        "a volume stays in its zone; add a member in the other zone, then remove this one",
    ),
    entry(
        Kind::Volume,
        "size",
        Rule::UnlessRaised(FieldClass::Forbidden),
        "a volume can only grow; keep the size, or replace the member with a fresh one",
    ),
    entry(Kind::Volume, "volume_type", IN_PLACE, "EBS changes it while attached"),
    entry(Kind::Volume, "iops", IN_PLACE, "EBS changes it while attached"),
    entry(Kind::Volume, "throughput", IN_PLACE, "EBS changes it while attached"),
    entry(
        Kind::Volume,
        "encrypted",
        FORBIDDEN,
        "fixed when a volume is made; keep the setting, or replace the member with a fresh one",
    ),
    entry(
        Kind::Volume,
        "kms_key_id",
        FORBIDDEN,
        "fixed when a volume is made; keep the key, or replace the member with a fresh one",
    ),
    entry(Kind::Volume, "tags", IN_PLACE, TAGS),
    entry(Kind::NetworkInterface, "subnet_id", REPLACES, "an interface stays in its subnet"),
    entry(Kind::NetworkInterface, "description", IN_PLACE, API),
    entry(Kind::NetworkInterface, "groups", IN_PLACE, API),
    entry(Kind::NetworkInterface, "tags", IN_PLACE, TAGS),
    entry(Kind::Authority, "authority", FORBIDDEN, OTHER_AUTHORITY),
    entry(Kind::Authority, "cluster", FORBIDDEN, OTHER_AUTHORITY),
    entry(Kind::Authority, "key_spec", FORBIDDEN, PUT_KEY_BACK),
    entry(Kind::Authority, "secret_parameter", FORBIDDEN, OTHER_AUTHORITY),
    entry(Kind::Authority, "public_parameter", IN_PLACE, "the key that is there tells it"),
    entry(Kind::Epoch, "cluster", FORBIDDEN, OTHER_EPOCH),
    entry(Kind::Epoch, "etcd", FORBIDDEN, OTHER_EPOCH),
    entry(Kind::Epoch, "key", FORBIDDEN, OTHER_EPOCH),
    entry(
        Kind::Epoch,
        "members",
        FORBIDDEN,
        "an etcd cluster keeps the members that it was opened for: keep etcdMembers as they were; \
         other ones take a new cluster of another name",
    ),
    entry(Kind::Asset, "cluster", REPLACES, NAME),
    entry(Kind::Asset, "key", REPLACES, NAME),
    entry(Kind::Asset, "sha256", REPLACES, NAME),
    entry(Kind::Asset, "size", REPLACES, "its content is not what its name says"),
    entry(Kind::LaunchTemplate, "launch_template_name", REPLACES, NAME),
    entry(
        Kind::LaunchTemplate,
        "launch_template_data",
        ROLLS,
        "a machine is built from it once, at launch",
    ),
    entry(
        Kind::LaunchTemplate,
        "launch_template_data.tag_specifications",
        IN_PLACE,
        "tags do not change what a machine is",
    ),
    entry(Kind::LaunchTemplate, "tags", IN_PLACE, TAGS),
    entry(Kind::AutoScalingGroup, "auto_scaling_group_name", REPLACES, NAME),
    entry(
        Kind::AutoScalingGroup,
        "launch_template_name",
        FORBIDDEN,
        "a group keeps its launch template; make a group of another name beside it",
    ),
    entry(
        Kind::AutoScalingGroup,
        "target",
        Rule::UnlessSameRevision,
        "the rolling update goes there machine by machine",
    ),
    entry(
        Kind::AutoScalingGroup,
        "mixed_instances_policy",
        IN_PLACE,
        "holds for machines launched from now on",
    ),
    entry(Kind::AutoScalingGroup, "min_size", IN_PLACE, API),
    entry(
        Kind::AutoScalingGroup,
        "max_size",
        Rule::DrainsBelowMachines,
        "machines above the maximum are drained first",
    ),
    entry(
        Kind::AutoScalingGroup,
        "vpc_zone_identifier",
        Rule::DrainsRemovedPlace,
        "machines in a removed subnet are drained first",
    ),
    entry(
        Kind::AutoScalingGroup,
        "availability_zones",
        Rule::DrainsRemovedPlace,
        "machines in a removed zone are drained first",
    ),
    entry(Kind::AutoScalingGroup, "target_group_arns", IN_PLACE, API),
    entry(Kind::AutoScalingGroup, "health_check_type", IN_PLACE, API),
    entry(Kind::AutoScalingGroup, "health_check_grace_period", IN_PLACE, API),
    entry(
        Kind::AutoScalingGroup,
        "new_instances_protected_from_scale_in",
        IN_PLACE,
        "holds for machines launched from now on",
    ),
    entry(
        Kind::AutoScalingGroup,
        "max_instance_lifetime",
        IN_PLACE,
        "AWS replaces older machines by and by",
    ),
    entry(Kind::AutoScalingGroup, "capacity_rebalance", IN_PLACE, API),
    entry(
        Kind::AutoScalingGroup,
        "suspended_processes",
        Rule::DrainsStrays,
        "machines in a zone that the group has left are drained before it balances its zones again",
    ),
    entry(Kind::AutoScalingGroup, "enabled_metrics", IN_PLACE, API),
    entry(Kind::AutoScalingGroup, "lifecycle_hooks", IN_PLACE, API),
    entry(Kind::AutoScalingGroup, "tags", IN_PLACE, TAGS),
];

/// Said of a field that the table does not know; a test proves that there is none.
const UNCLASSED: &str = "kprod does not know what changing it costs; undo the change";

/// The entry with the longest shape that covers a path.
fn find(kind: Kind, shape: &str) -> Option<&'static Entry> {
    TABLE
        .iter()
        .filter(|entry| entry.kind == kind)
        .filter(|entry| {
            shape == entry.shape
                || shape.strip_prefix(entry.shape).is_some_and(|rest| rest.starts_with(['.', '[']))
        })
        .max_by_key(|entry| entry.shape.len())
}

/// Why a field has its class; for a forbidden field, the way out.
pub(super) fn why(kind: Kind, shape: &str) -> &'static str {
    find(kind, shape).map_or(UNCLASSED, |entry| entry.why)
}

/// What one difference costs, given what runs now.
pub(super) fn classify(
    kind: Kind,
    difference: &Difference,
    observed: &Observed,
    observation: &Observation,
) -> FieldClass {
    let Some(entry) = find(kind, &difference.path.shape) else { return FieldClass::Forbidden };
    let (before, after) = (difference.before.as_ref(), difference.after.as_ref());
    let unless = |in_place: bool, class| if in_place { FieldClass::InPlace } else { class };
    match entry.rule {
        Rule::Always(class) => class,
        Rule::UnlessOnlyAdded(class) => unless(items(before).is_subset(&items(after)), class),
        Rule::UnlessRaised(class) => unless(number(after) >= number(before), class),
        Rule::UnlessEmptyBefore(class) => unless(!items(before).is_empty(), class),
        Rule::UnlessSameRevision => unless(same_revision(before, after), FieldClass::RollsMachines),
        Rule::DrainsBelowMachines => {
            unless(number(after) >= machine_count(observed), FieldClass::DrainsFirst)
        }
        Rule::DrainsRemovedPlace => {
            let removed: BTreeSet<String> =
                items(before).difference(&items(after)).cloned().collect();
            let drains = runs_in(&removed, observed, observation);
            unless(!drains, FieldClass::DrainsFirst)
        }
        Rule::DrainsStrays => {
            let (before, after) = (items(before), items(after));
            let balances = before.contains(BALANCE) && !after.contains(BALANCE);
            let drains = balances && rollout::has_strays(observed, observation);
            unless(!drains, FieldClass::DrainsFirst)
        }
    }
}

/// The items of a list as text, so that they compare as a set.
fn items(value: Option<&Value>) -> BTreeSet<String> {
    let list = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
}

fn number(value: Option<&Value>) -> i64 {
    value.and_then(Value::as_i64).unwrap_or_default()
}

/// Whether two targets (`<version>:<revision>`) have the same revision.
fn same_revision(before: Option<&Value>, after: Option<&Value>) -> bool {
    let revision = |value: Option<&Value>| Some(read_target(value?.as_str()?)?.1.to_owned());
    revision(before).is_some() && revision(before) == revision(after)
}

/// Machines that a lower maximum must leave room for: those there, and those asked for.
fn machine_count(observed: &Observed) -> i64 {
    let Some(group) = &observed.group else { return 0 };
    let there = i64::try_from(rollout::machines(observed).count()).unwrap_or(i64::MAX);
    there.max(i64::from(group.desired_capacity))
}

/// Whether a machine may run in one of these subnets or zones. A subnet whose zone is unknown
/// counts as soon as the group has any machine.
fn runs_in(places: &BTreeSet<String>, observed: &Observed, observation: &Observation) -> bool {
    places.iter().any(|place| {
        let zone = if place.starts_with("subnet-") {
            observation.facts.subnets.get(place).map(|subnet| subnet.zone.as_str())
        } else {
            Some(place.as_str())
        };
        rollout::machines(observed)
            .any(|instance| zone.is_none_or(|zone| instance.availability_zone == zone))
    })
}

/// Whether the table knows a field.
#[cfg(test)]
pub(super) fn is_classed(kind: Kind, shape: &str) -> bool {
    find(kind, shape).is_some()
}
