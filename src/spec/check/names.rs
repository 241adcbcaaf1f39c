//! Names that resources will have: within AWS's limits, and none twice.

use std::collections::BTreeMap;

use super::super::text::is_dns_subdomain;
use super::super::{InstanceGroup, Spec};
use super::Report;

/// Length of a launch template's name; an ASG's may have 255.
/// Source: EC2 API reference, CreateLaunchTemplate; Auto Scaling, CreateAutoScalingGroup.
const LAUNCH_TEMPLATE_NAME_MAX: usize = 128;

/// Length of a DNS name. Source: RFC 1035, 2.3.4, without the length bytes.
const DNS_NAME_MAX: usize = 253;

pub(super) fn check(spec: &Spec, report: &mut Report) {
    // The longest name of our own: `kprod-owner.etcd-events-<member>.internal.<cluster>`.
    let clusters = spec.cluster.spec.etcd_clusters.iter();
    let member = clusters.flat_map(|cluster| &cluster.etcd_members).map(|member| member.name.len());
    let longest = "kprod-owner._etcd-server-ssl-events._tcp.internal."
        .len()
        .max("kprod-owner.etcd-events-.internal.".len() + member.max().unwrap_or_default());
    if longest + spec.name().len() > DNS_NAME_MAX {
        let most = DNS_NAME_MAX.saturating_sub(longest);
        let message = format!("too long for the records below it: {most} characters at most");
        report.error(&spec.cluster_field("metadata.name"), message);
    }
    let mut seen: BTreeMap<String, &InstanceGroup> = BTreeMap::new();
    for group in spec.groups.values() {
        one_group(spec, group, report);
        if let Some(other) = seen.insert(spec.machine_name(group), group) {
            let message = format!(
                "its resources would be called `{}`, as those of group `{}`",
                spec.machine_name(group),
                other.name()
            );
            report.error(&group.field("metadata.name"), message);
        }
    }
}

fn one_group(spec: &Spec, group: &InstanceGroup, report: &mut Report) {
    let field = group.field("metadata.name");
    let name = spec.machine_name(group);
    if !is_dns_subdomain(group.name()) {
        match group.name().split('.').map(str::len).max() {
            Some(longest) if longest > 63 => {
                let message = format!("the name has {longest} characters, DNS takes 63 at most");
                report.error_hint(&field, message, "shorten it, or divide it by a `.`");
            }
            _ => report.error(
                &field,
                format!(
                    "`{}` is not a name of lowercase letters, digits, `-` and `.`",
                    group.name()
                ),
            ),
        }
    } else if name.len() > LAUNCH_TEMPLATE_NAME_MAX {
        report.error(
            &field,
            format!(
                "its launch template would be called `{name}`: AWS takes {LAUNCH_TEMPLATE_NAME_MAX} \
                 characters, this has {}",
                name.len()
            ),
        );
    }
}
