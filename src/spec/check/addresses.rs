//! VPC, subnets and address ranges.

use ipnet::IpNet;

use super::super::field::Field;
use super::super::text::{AccessSource, is_dns_subdomain};
use super::super::{Spec, SubnetSpec};
use super::{Report, id, unique};

pub(super) fn check(spec: &Spec, report: &mut Report) {
    vpc(spec, report);
    subnets(spec, report);
    ranges(spec, report);
    access(spec, report);
}

fn vpc(spec: &Spec, report: &mut Report) {
    let field = spec.cluster_field("spec.networkID");
    match &spec.cluster.spec.network_id {
        Some(vpc) => id(report, &field, "vpc-", Some(vpc)),
        None => report.error_hint(
            &field,
            "`networkID` is missing",
            "not yet: managed networks; give the id of a VPC that exists",
        ),
    }
}

fn subnets(spec: &Spec, report: &mut Report) {
    let subnets = &spec.cluster.spec.subnets;
    let list = spec.cluster_field("spec.subnets");
    if subnets.is_empty() {
        report.error(&list, "the cluster has no subnet");
    }
    unique(report, &list, subnets.iter().map(|subnet| subnet.name.as_str()));
    for (index, subnet) in subnets.iter().enumerate() {
        one_subnet(spec, subnet, &list.clone().index(index), report);
    }
    let ids: Vec<(usize, &String)> = subnets
        .iter()
        .enumerate()
        .filter_map(|(index, subnet)| Some((index, subnet.id.as_ref()?)))
        .collect();
    for (position, (index, subnet_id)) in ids.iter().enumerate() {
        let earlier = ids.iter().take(position).find(|(_, other)| other == subnet_id);
        if let Some((first, _)) = earlier {
            let message = format!("`{subnet_id}` is the subnet of item [{first}] already");
            report.error(&list.clone().index(*index).key("id"), message);
        }
    }
}

fn one_subnet(spec: &Spec, subnet: &SubnetSpec, field: &Field, report: &mut Report) {
    if !is_dns_subdomain(&subnet.name) {
        let message =
            format!("`{}` is not a name of lowercase letters, digits and `-`", subnet.name);
        report.error(&field.clone().key("name"), message);
    }
    match &subnet.id {
        Some(value) => id(report, &field.clone().key("id"), "subnet-", Some(value)),
        None => report.error_hint(
            field,
            "`id` is missing",
            "not yet: managed networks; give the id of a subnet that exists",
        ),
    }
    let letter = |region: &String| subnet.zone.strip_prefix(region.as_str());
    let in_region = spec
        .cluster
        .spec
        .region
        .as_ref()
        .is_none_or(|region| letter(region).is_some_and(|rest| !rest.is_empty()));
    if !in_region || subnet.zone.is_empty() {
        let region = spec.cluster.spec.region.as_deref().unwrap_or("any region");
        let message = format!("`{}` is not a zone of {region}", subnet.zone);
        report.error(&field.clone().key("zone"), message);
    }
}

/// A range of addresses with the name of its field.
struct Range {
    net: IpNet,
    field: Field,
    called: String,
}

/// What may lie in what, and what may not overlap.
fn ranges(spec: &Spec, report: &mut Report) {
    let cluster = &spec.cluster.spec;
    let range = |net: Option<IpNet>, path: &str| {
        net.map(|net| Range {
            net,
            field: spec.cluster_field(path),
            called: path.rsplit('.').next().unwrap_or(path).to_owned(),
        })
    };
    let additional = cluster.additional_network_cidrs.iter().enumerate();
    let additional = additional.filter_map(|(index, net)| {
        range(Some(*net), &format!("spec.additionalNetworkCIDRs[{index}]"))
    });
    let networks: Vec<Range> =
        range(cluster.network_cidr, "spec.networkCIDR").into_iter().chain(additional).collect();
    let subnets = cluster.subnets.iter().enumerate();
    let subnets: Vec<Range> = subnets
        .filter_map(|(index, subnet)| {
            let found = range(subnet.cidr, &format!("spec.subnets[{index}].cidr"))?;
            Some(Range { called: format!("subnet `{}`", subnet.name), ..found })
        })
        .collect();
    let whole = range(cluster.non_masquerade_cidr, "spec.nonMasqueradeCIDR");
    let pods = range(cluster.pod_cidr, "spec.podCIDR");
    let services = range(cluster.service_cluster_ip_range, "spec.serviceClusterIPRange");

    for subnet in subnets.iter().filter(|_| cluster.network_cidr.is_some()) {
        if !networks.iter().any(|network| network.net.contains(&subnet.net)) {
            let message =
                format!("`{}` is not inside `networkCIDR` or `additionalNetworkCIDRs`", subnet.net);
            report.error(&subnet.field, message);
        }
    }
    let in_vpc = cluster.networking.as_ref().is_some_and(|network| network.amazonvpc.is_some());
    disjoint(&networks, report);
    disjoint(&subnets, report);
    if let Some(services) = &services {
        apart(services, &pods, report);
        if in_vpc {
            apart(services, networks.iter().chain(&subnets), report);
        }
    }
    if in_vpc {
        return;
    }
    for range in pods.iter().chain(&services) {
        if let Some(whole) = &whole
            && !whole.net.contains(&range.net)
        {
            let message =
                format!("`{}` is not inside `nonMasqueradeCIDR` `{}`", range.net, whole.net);
            report.error(&range.field, message);
        }
    }
    if let Some(whole) = &whole {
        // Pods and services lie inside it.
        apart(whole, networks.iter(), report);
        if pods.is_none() || services.is_none() {
            report
                .error(&whole.field, format!("`{}` is too small for pods and services", whole.net));
        }
    }
}

/// No two of a list overlap.
fn disjoint(ranges: &[Range], report: &mut Report) {
    for (index, range) in ranges.iter().enumerate() {
        apart(range, ranges.iter().take(index), report);
    }
}

/// A range overlaps none of the others; one finding is enough.
fn apart<'r>(range: &Range, others: impl IntoIterator<Item = &'r Range>, report: &mut Report) {
    let overlaps =
        |other: &&Range| range.net.contains(&other.net) || other.net.contains(&range.net);
    let Some(other) = others.into_iter().find(overlaps) else { return };
    // Of a default and a written line, the written one is to be changed.
    let own = report.positions.wrote(&range.field) || !report.positions.wrote(&other.field);
    let (range, other) = if own { (range, other) } else { (other, range) };
    let message = format!("`{}` overlaps {} `{}`", range.net, other.called, other.net);
    report.error_hint(&range.field, message, "make one of them smaller, or move it");
    report.see(&other.field);
}

/// Each source once: AWS refuses the same rule twice.
fn access(spec: &Spec, report: &mut Report) {
    let cluster = &spec.cluster.spec;
    let lists: [(&str, &[AccessSource]); 3] = [
        ("spec.kubernetesApiAccess", &cluster.kubernetes_api_access),
        ("spec.sshAccess", &cluster.ssh_access),
        ("spec.nodePortAccess", &cluster.node_port_access),
    ];
    for (path, sources) in lists {
        let texts: Vec<String> = sources.iter().map(ToString::to_string).collect();
        unique(report, &spec.cluster_field(path), texts.iter().map(String::as_str));
    }
}
