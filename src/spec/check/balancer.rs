//! The API server's load balancers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::super::field::Field;
use super::super::{ApiBalancerSpec, ApiSubnetSpec, Spec, SubnetSpec, SubnetType};
use super::{Report, id, ids, is_arn, unique};

pub(super) fn check(spec: &Spec, report: &mut Report) {
    let api = spec.cluster.spec.api.as_ref();
    let Some(balancer) = api.and_then(|api| api.load_balancer.as_ref()) else { return };
    let base = spec.cluster_field("spec.api.loadBalancer");
    let replaced = balancer.security_group_override.as_ref();
    id(report, &base.clone().key("securityGroupOverride"), "sg-", replaced);
    let groups = &balancer.additional_security_groups;
    ids(report, &base.clone().key("additionalSecurityGroups"), "sg-", groups);
    certificate(spec, balancer, &base, report);
    subnets(spec, balancer, &base.clone().key("subnets"), report);
    let open = |subnet: &SubnetSpec| subnet.subnet_type != SubnetType::Private;
    if spec.public_api() && !spec.cluster.spec.subnets.iter().any(open) {
        report.error(
            &base.key("type"),
            "a public load balancer needs a subnet of type `Utility` or `Public`",
        );
    }
}

/// A certificate ends TLS at the public load balancer. At the internal one that would break the
/// machines, which prove who they are with certificates of their own.
fn certificate(spec: &Spec, balancer: &ApiBalancerSpec, base: &Field, report: &mut Report) {
    let field = base.clone().key("sslCertificate");
    match &balancer.ssl_certificate {
        Some(_) if !spec.public_api() => report.error_hint(
            &field,
            "the certificate is the public load balancer's, and `type` is not `Public`",
            "leave it out: machines reach the internal one with certificates of their own",
        ),
        Some(value) => {
            let of_acm = is_arn("acm", "certificate/", value);
            if !of_acm && !is_arn("iam", "server-certificate/", value) {
                let like = "`arn:aws:acm:…:certificate/…` or `arn:aws:iam::…:server-certificate/…`";
                let message = format!("`{value}` is not a certificate's ARN of the form {like}");
                report.error(&field, message);
            }
        }
        None => {}
    }
    let Some(policy) = &balancer.ssl_policy else { return };
    let field = base.clone().key("sslPolicy");
    if balancer.ssl_certificate.is_none() {
        report.error(&field, "has no effect: it belongs to `sslCertificate`");
    } else if policy.strip_prefix("ELBSecurityPolicy-").is_none_or(str::is_empty) {
        let message = format!("`{policy}` is not a TLS policy such as `ELBSecurityPolicy-…`");
        report.error(&field, message);
    }
}

/// The subnets of the load balancer of the given type: one a zone, and addresses that fit it.
fn subnets(spec: &Spec, balancer: &ApiBalancerSpec, list: &Field, report: &mut Report) {
    let subnets = &balancer.subnets;
    unique(report, list, subnets.iter().map(|subnet| subnet.name.as_str()));
    let mut zones = BTreeMap::new();
    for (index, wanted) in subnets.iter().enumerate() {
        let field = list.clone().index(index);
        let name = wanted.name.as_str();
        let Some(subnet) = spec.subnet(name) else {
            let known = spec.cluster.spec.subnets.iter().map(|subnet| subnet.name.as_str());
            let message = format!("the cluster has no subnet `{name}`");
            report.unknown(&field.key("name"), message, name, known);
            continue;
        };
        if spec.public_api() && subnet.subnet_type == SubnetType::Private {
            let message = format!("subnet `{name}` is private, the load balancer public");
            report.error(&field.clone().key("name"), message);
        }
        // A subnet named twice has been spoken of.
        match zones.insert(subnet.zone.as_str(), name) {
            Some(other) if other != name => {
                let message = format!("subnet `{other}` is in the zone {} already", subnet.zone);
                let hint = "a load balancer takes one subnet a zone";
                report.error_hint(&field.clone().key("name"), message, hint);
            }
            _ => {}
        }
        addresses(spec, wanted, subnet, &field, report);
    }
    let allocations = subnets.iter().enumerate();
    let allocations = allocations.filter_map(|(index, s)| Some((index, s.allocation_id.as_ref()?)));
    let mut seen = BTreeMap::new();
    for (index, allocation) in allocations {
        if let Some(first) = seen.insert(allocation, index) {
            let message = format!("`{allocation}` is the address of item [{first}] already");
            report.error(&list.clone().index(index).key("allocationId"), message);
        }
    }
}

/// Fixed addresses: private ones inside, elastic ones outside.
fn addresses(
    spec: &Spec,
    wanted: &ApiSubnetSpec,
    subnet: &SubnetSpec,
    field: &Field,
    report: &mut Report,
) {
    let allocation = field.clone().key("allocationId");
    id(report, &allocation, "eipalloc-", wanted.allocation_id.as_ref());
    if wanted.allocation_id.is_some() && !spec.public_api() {
        report.error(&allocation, "an internal load balancer takes no elastic IP");
    }
    let Some(address) = wanted.private_ipv4_address else { return };
    let field = field.clone().key("privateIPv4Address");
    if spec.public_api() {
        report.error(&field, "a public load balancer takes no private address");
    }
    if let Some(IpNet::V4(net)) = subnet.cidr
        && !is_free(net, address)
    {
        let message = format!("`{address}` is not an address that AWS gives out in `{net}`");
        report.error(&field, message);
    }
}

/// Whether machines may have an address of a subnet: AWS keeps the first four and the last.
/// Source: VPC user guide, "Subnet CIDR blocks".
fn is_free(net: ipnet::Ipv4Net, address: Ipv4Addr) -> bool {
    let offset = u32::from(address).wrapping_sub(u32::from(net.network()));
    IpNet::V4(net).contains(&IpAddr::V4(address)) && offset > 3 && address != net.broadcast()
}
