//! The few fields of a resource that tell what it is, on one line.

use std::collections::BTreeMap;

use crate::pki;
use crate::resource::{Authority, AutoScalingGroup, DnsName, LaunchTemplate, Ref, Resource, Role};
use crate::ui::finding::plural;

/// Says what a resource is.
pub(super) fn of(resource: &Resource) -> String {
    match resource {
        Resource::SecurityGroup(r) => format!("in {}", r.vpc_id),
        Resource::SecurityGroupRules(r) => plural(r.rules.len(), "rule"),
        Resource::Role(r) => of_role(r),
        Resource::InstanceProfile(r) => {
            format!("role {}", r.roles.iter().cloned().collect::<Vec<_>>().join(", "))
        }
        Resource::LoadBalancer(r) => {
            format!("{}, {}", r.scheme, plural(r.subnet_mappings.len(), "subnet"))
        }
        Resource::TargetGroup(r) => {
            format!("{} {}, health {} {}", r.protocol, r.port, r.health_check.protocol, {
                r.health_check.path.as_deref().unwrap_or(&r.health_check.port)
            })
        }
        Resource::Listener(r) => {
            format!("{} {} to {}", r.protocol, r.port, short(&r.target_group_arn))
        }
        Resource::HostedZone(r) => format!("private, seen by {}", r.vpc_id),
        Resource::DnsName(r) => of_name(r),
        Resource::Volume(r) => {
            let cipher = if r.encrypted { "encrypted" } else { "not encrypted" };
            format!("{} GiB {} in {}, {cipher}", r.size, r.volume_type, r.availability_zone)
        }
        Resource::NetworkInterface(r) => format!("in {}", r.subnet_id),
        Resource::Authority(r) => of_authority(r),
        Resource::Epoch(r) => format!("of {}", plural(r.members.len(), "member")),
        Resource::Asset(r) => format!("for machines to fetch, {} bytes", r.size),
        Resource::LaunchTemplate(r) => of_template(r),
        Resource::AutoScalingGroup(r) => of_group(r),
    }
}

/// A known value, or the name of the resource that will give it.
fn short(reference: &Ref) -> String {
    match reference {
        Ref::Known(value) => value.clone(),
        Ref::Of(key, _) => key.name.clone(),
    }
}

/// Record types with what they say; types that say the same together, long lists counted.
fn of_name(name: &DnsName) -> String {
    let mut types: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (record_type, set) in &name.record_sets {
        let values: Vec<String> = set.resource_records.iter().map(short).collect();
        let says = match &set.alias_target {
            Some(alias) => format!("alias {}", short(&alias.dns_name)),
            None if values.len() > 2 => plural(values.len(), "value"),
            None => values.join(", "),
        };
        types.entry(says).or_default().push(record_type);
    }
    let types: Vec<String> =
        types.iter().map(|(says, types)| format!("{} {says}", types.join(", "))).collect();
    types.join("; ")
}

/// What it signs, and for how long, where it ends at all.
fn of_authority(authority: &Authority) -> String {
    let Ok(known) = authority.authority.parse::<pki::Authority>() else {
        return authority.key_spec.clone().unwrap_or_default();
    };
    let life = match known.has_certificate() {
        true => format!("for {} years", pki::AUTHORITY_DAYS / 365),
        false => "without an end".to_owned(),
    };
    format!("ECDSA P-256 {life}, signs {}", known.signs())
}

fn of_role(role: &Role) -> String {
    let mut parts = Vec::new();
    if !role.inline_policies.is_empty() {
        let count = role.inline_policies.len();
        parts.push(if count == 1 { "1 policy".to_owned() } else { format!("{count} policies") });
    }
    if !role.attached_policy_arns.is_empty() {
        parts.push(format!("{} attached", role.attached_policy_arns.len()));
    }
    if parts.is_empty() { "no policies".to_owned() } else { parts.join(", ") }
}

fn of_template(template: &LaunchTemplate) -> String {
    let data = &template.launch_template_data;
    let disk = data.block_device_mappings.first();
    let disk = disk.map(|disk| format!(", {} GiB {}", disk.volume_size, disk.volume_type));
    format!("{}, {}{}", data.instance_type, data.image_id, disk.unwrap_or_default())
}

fn of_group(group: &AutoScalingGroup) -> String {
    let size = if group.min_size == group.max_size {
        plural(usize::try_from(group.min_size).unwrap_or_default(), "machine")
    } else {
        format!("{} to {} machines", group.min_size, group.max_size)
    };
    let places = if group.vpc_zone_identifier.is_empty() {
        plural(group.availability_zones.len(), "zone")
    } else {
        plural(group.vpc_zone_identifier.len(), "subnet")
    };
    let policy = group.mixed_instances_policy.as_ref().map(|policy| {
        let spot = 100 - policy.on_demand_percentage_above_base_capacity;
        let types = if policy.overrides.is_empty() {
            "types by attributes".to_owned()
        } else {
            plural(policy.overrides.len(), "type")
        };
        let base = match policy.on_demand_base_capacity {
            0 => String::new(),
            base => format!(" above {base} on demand"),
        };
        format!(", {types}, {spot}% spot{base}")
    });
    format!("{size}, {places}{}", policy.unwrap_or_default())
}
