//! How the API server is reached: its name and its load balancers.

use std::collections::BTreeMap;

use super::super::text::is_dns_subdomain;
use super::super::{ApiBalancerSpec, DnsType, Spec, SubnetType};
use super::{Report, id, ids, unique};

pub(super) fn check(spec: &Spec, report: &mut Report) {
    dns(spec, report);
    let api = spec.cluster.spec.api.as_ref();
    if let Some(balancer) = api.and_then(|api| api.load_balancer.as_ref()) {
        load_balancer(spec, balancer, report);
    }
}

/// The public name must be one that the zone can hold.
fn dns(spec: &Spec, report: &mut Report) {
    let cluster = &spec.cluster.spec;
    let field = spec.cluster_field("spec.masterPublicName");
    let name = cluster.master_public_name.as_deref().unwrap_or_default();
    if !is_dns_subdomain(name) {
        // The default is as wrong as the cluster's name, which has been spoken of.
        if !report.positions.wrote(&field) {
            return;
        }
        report.error(&field, format!("`{name}` is not a DNS name"));
        return;
    }
    if is_below(name, &format!("internal.{}", spec.name())) {
        let message = format!("`{name}` is in the cluster's private zone");
        report.error(&field, message);
        return;
    }
    if spec.dns_type() == DnsType::None {
        return;
    }
    let Some(zone) = &cluster.dns_zone else { return };
    let zone_field = spec.cluster_field("spec.dnsZone");
    let zone_name = zone.trim_end_matches('.');
    if is_zone_id(zone) {
        return;
    }
    if !is_dns_subdomain(zone_name) {
        report.error(&zone_field, format!("`{zone}` is neither a DNS name nor the id of a zone"));
    } else if !is_below(name, zone_name) {
        let wrote_zone = report.positions.wrote(&zone_field);
        let name_field = report.positions.wrote(&field) || !wrote_zone;
        report.error_hint(
            if name_field { &field } else { &zone_field },
            format!("`{name}` is outside the zone `{zone_name}`"),
            "`masterPublicName` must be below `dnsZone`",
        );
    }
}

/// Whether a name is a zone's own or below it.
pub(super) fn is_below(name: &str, zone: &str) -> bool {
    name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'))
}

/// Whether a text is the id of a hosted zone rather than its name.
pub(super) fn is_zone_id(text: &str) -> bool {
    let id = text.strip_prefix('Z').unwrap_or_default();
    id.len() >= 8 && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn load_balancer(spec: &Spec, balancer: &ApiBalancerSpec, report: &mut Report) {
    let base = spec.cluster_field("spec.api.loadBalancer");
    let replaced = balancer.security_group_override.as_ref();
    id(report, &base.clone().key("securityGroupOverride"), "sg-", replaced);
    let groups = &balancer.additional_security_groups;
    ids(report, &base.clone().key("additionalSecurityGroups"), "sg-", groups);

    let list = base.clone().key("subnets");
    let names = || balancer.subnets.iter().map(|subnet| subnet.name.as_str());
    unique(report, &list, names());
    if !balancer.subnets.is_empty() && !spec.public_api() {
        report.error(&list, "these are the public load balancer's, and `type` is not `Public`");
        return;
    }
    let mut zones = BTreeMap::new();
    for (index, name) in names().enumerate() {
        let field = list.clone().index(index).key("name");
        let Some(subnet) = spec.subnet(name) else {
            let known = spec.cluster.spec.subnets.iter().map(|subnet| subnet.name.as_str());
            report.unknown(&field, format!("the cluster has no subnet `{name}`"), name, known);
            continue;
        };
        if subnet.subnet_type == SubnetType::Private {
            report.error(&field, format!("subnet `{name}` is private, the load balancer public"));
        }
        // A subnet named twice has been spoken of.
        match zones.insert(subnet.zone.as_str(), name) {
            Some(other) if other != name => {
                let message = format!("subnet `{other}` is in the zone {} already", subnet.zone);
                report.error_hint(&field, message, "a load balancer takes one subnet a zone");
            }
            _ => {}
        }
    }
    let open = |kind: SubnetType| kind != SubnetType::Private;
    if spec.public_api() && !spec.cluster.spec.subnets.iter().any(|subnet| open(subnet.subnet_type))
    {
        report.error(
            &base.key("type"),
            "a public load balancer needs a subnet of type `Utility` or `Public`",
        );
    }
}
