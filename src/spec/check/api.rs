//! The API server's name.

use super::super::text::is_dns_subdomain;
use super::super::{DnsType, Spec};
use super::Report;

/// The public name must be one that the zone can hold.
pub(super) fn check(spec: &Spec, report: &mut Report) {
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
