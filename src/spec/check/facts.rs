//! What a spec says of the cloud, against what is there.

use super::super::{DnsType, Spec};
use super::Report;
use super::api::{is_below, is_zone_id};
use crate::facts::{Facts, VpcFact};
use crate::finding::Finding;

/// Everything in which a filled spec and the facts disagree.
pub fn check_facts(spec: &Spec, facts: &Facts) -> Vec<Finding> {
    let mut report = Report::new(&spec.positions);
    identity(spec, facts, &mut report);
    if let Some(vpc) = vpc(spec, facts, &mut report) {
        networks(spec, vpc, &mut report);
    }
    subnets(spec, facts, &mut report);
    public_zone(spec, facts, &mut report);
    images(spec, facts, &mut report);
    report.findings
}

/// Account and region: the credentials must be those the cluster was meant for.
fn identity(spec: &Spec, facts: &Facts, report: &mut Report) {
    let cluster = &spec.cluster.spec;
    for (path, what, wanted, found) in [
        ("spec.account", "account", &cluster.account, &facts.account),
        ("spec.region", "region", &cluster.region, &facts.region),
    ] {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != found) {
            report.error_hint(
                &spec.cluster_field(path),
                format!("the cluster is in {what} `{wanted}`, the credentials are for `{found}`"),
                "use the credentials and region of the cluster",
            );
        }
    }
}

fn vpc<'f>(spec: &Spec, facts: &'f Facts, report: &mut Report) -> Option<&'f VpcFact> {
    let wanted = spec.cluster.spec.network_id.as_ref()?;
    let found = facts.vpc.as_ref().filter(|vpc| vpc.id == *wanted);
    if found.is_none() {
        let message = format!("there is no VPC `{wanted}` in {}", facts.region);
        report.error(&spec.cluster_field("spec.networkID"), message);
    }
    found
}

/// The VPC's CIDRs are those the spec names. Where they were not read, its subnets' own stand for
/// them.
fn networks(spec: &Spec, vpc: &VpcFact, report: &mut Report) {
    if vpc.cidrs.is_empty() {
        return;
    }
    let cluster = &spec.cluster.spec;
    let first = cluster.network_cidr.map(|net| (net, spec.cluster_field("spec.networkCIDR")));
    let list = spec.cluster_field("spec.additionalNetworkCIDRs");
    let further = cluster.additional_network_cidrs.iter().enumerate();
    let further = further.map(|(index, net)| (*net, list.clone().index(index)));
    for (net, field) in first.into_iter().chain(further) {
        if !vpc.cidrs.contains(&net) {
            let cidrs: Vec<String> = vpc.cidrs.iter().map(ToString::to_string).collect();
            let message = format!("VPC `{}` has no CIDR `{net}`, but {}", vpc.id, cidrs.join(", "));
            report.error(&field, message);
        }
    }
}

fn subnets(spec: &Spec, facts: &Facts, report: &mut Report) {
    let cluster = &spec.cluster.spec;
    for (index, subnet) in cluster.subnets.iter().enumerate() {
        let Some(id) = &subnet.id else { continue };
        let field = spec.cluster_field("spec.subnets").index(index);
        let Some(fact) = facts.subnets.get(id) else {
            let message = format!("there is no subnet `{id}` in {}", facts.region);
            report.error(&field.key("id"), message);
            continue;
        };
        if fact.zone != subnet.zone {
            let message =
                format!("subnet `{id}` is in zone `{}`, not `{}`", fact.zone, subnet.zone);
            report.error(&field.clone().key("zone"), message);
        }
        if let Some(wanted) = &cluster.network_id
            && fact.vpc_id != *wanted
        {
            let message = format!("subnet `{id}` is in VPC `{}`, not `{wanted}`", fact.vpc_id);
            report.error(&field.clone().key("id"), message);
        }
        if let Some(cidr) = subnet.cidr.filter(|cidr| *cidr != fact.cidr) {
            let message = format!("subnet `{id}` has the CIDR `{}`, not `{cidr}`", fact.cidr);
            report.error(&field.key("cidr"), message);
        }
    }
}

/// The zone of the public records exists and can hold the API's name.
fn public_zone(spec: &Spec, facts: &Facts, report: &mut Report) {
    let cluster = &spec.cluster.spec;
    let Some(wanted) = cluster.dns_zone.as_ref().filter(|_| spec.dns_type() != DnsType::None)
    else {
        return;
    };
    let Some(zone) = &facts.public_zone else {
        report.error_hint(
            &spec.cluster_field("spec.dnsZone"),
            format!("there is no hosted zone `{wanted}`"),
            "create it, or do without with `topology: {dns: {type: None}}`",
        );
        return;
    };
    let name = cluster.master_public_name.as_deref().unwrap_or_default();
    if is_zone_id(wanted) && !is_below(name, &zone.name) {
        let message = format!("`{name}` is outside the zone `{}`", zone.name);
        report.error(&spec.cluster_field("spec.masterPublicName"), message);
    }
}

/// The images exist, or are at least known. Only a warning: a launch template takes any id, and the
/// proof that it can launch comes before anything depends on it.
fn images(spec: &Spec, facts: &Facts, report: &mut Report) {
    for group in spec.groups.values() {
        if let Some(image) = group.spec.image.as_ref().filter(|id| !facts.images.contains_key(*id))
        {
            let message = format!("there is no image `{image}` in {}", facts.region);
            report.warning(&group.field("spec.image"), message);
        }
    }
}
