//! The API's load balancers: an internal one always, a public one if asked for.
//!
//! Each has target groups of its own: AWS lets a target group serve one network load balancer only
//! (Elastic Load Balancing user guide, "Target groups for your Network Load Balancers").

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::name::{API_PORT, Names, PAST_CERTIFICATE_PORT};
use super::{security, tag};
use crate::resource::{
    Attribute, HealthCheck, Key, Kind, Listener, LoadBalancer, Ref, Resource, SubnetMapping,
    TargetGroup,
};
use crate::spec::{ApiSubnetSpec, Field, Kind as Document, Spec, SubnetSpec, SubnetType};

/// One load balancer with its listeners.
struct Balancer {
    name: String,
    /// The tag `Name`.
    title: String,
    scheme: &'static str,
    subnets: BTreeSet<SubnetMapping>,
    routes: Vec<Route>,
}

/// A listener and the target group behind it.
struct Route {
    port: u16,
    target_group: String,
    /// The certificate and the policy of TLS that ends here; none where TLS goes through.
    tls: Option<Tls>,
}

/// TLS that ends at the load balancer, which speaks TLS of its own to the targets.
struct Tls {
    certificate: String,
    policy: Option<String>,
}

impl Route {
    /// What listener and target group speak.
    fn protocol(&self) -> String {
        if self.tls.is_some() { "TLS" } else { "TCP" }.to_owned()
    }
}

/// Builds load balancers, target groups and listeners.
pub(super) fn build(spec: &Spec, draft: &mut Draft<'_>) {
    let field = Field::new(Document::Cluster, spec.name(), "spec.api.loadBalancer");
    for balancer in balancers(spec) {
        let title = &balancer.title;
        if balancer.subnets.is_empty() {
            let message = format!("no subnet for the load balancer `{title}`");
            draft.error(&field, message, "give the cluster subnets of the type it needs");
        }
        for route in &balancer.routes {
            add_target_group(spec, &field, route, title, draft);
            add_listener(&field, &balancer.name, route, draft);
        }
        add_balancer(spec, &field, &balancer, draft);
    }
}

/// The target groups that the control plane's machines register with.
pub(super) fn target_groups(spec: &Spec) -> BTreeSet<Ref> {
    let routes = balancers(spec).into_iter().flat_map(|balancer| balancer.routes);
    routes.map(|route| target_group(&route.target_group)).collect()
}

/// The load balancer inside the VPC.
pub(super) fn internal(spec: &Spec) -> Key {
    Key::new(Kind::LoadBalancer, Names::of(spec.name()).balancer("api-internal"))
}

/// The load balancer that users reach: the public one, or the internal one if there is no other.
pub(super) fn for_users(spec: &Spec) -> Key {
    if spec.public_api() {
        Key::new(Kind::LoadBalancer, Names::of(spec.name()).balancer("api"))
    } else {
        internal(spec)
    }
}

fn balancers(spec: &Spec) -> Vec<Balancer> {
    let names = Names::of(spec.name());
    let mut balancers = vec![Balancer {
        name: names.balancer("api-internal"),
        title: names.internal_api(),
        scheme: "internal",
        subnets: subnets(spec, !spec.public_api(), &[SubnetType::Private, SubnetType::Public]),
        routes: vec![through(API_PORT, names.balancer("tcp-internal"))],
    }];
    if spec.public_api() {
        balancers.push(Balancer {
            name: names.balancer("api"),
            title: format!("api.{}", spec.name()),
            scheme: "internet-facing",
            subnets: subnets(spec, true, &[SubnetType::Utility, SubnetType::Public]),
            routes: public_routes(spec),
        });
    }
    balancers
}

/// A route that TLS goes through untouched.
fn through(port: u16, target_group: String) -> Route {
    Route { port, target_group, tls: None }
}

/// The routes of the public load balancer, as kops has them: with a certificate TLS ends there, and a
/// second port leads past it, for clients that have certificates of their own.
fn public_routes(spec: &Spec) -> Vec<Route> {
    let names = Names::of(spec.name());
    let said = security::balancer(spec);
    let certificate = said.and_then(|balancer| balancer.ssl_certificate.clone());
    let Some(certificate) = certificate else {
        return vec![through(API_PORT, names.balancer("tcp"))];
    };
    let policy = said.and_then(|balancer| balancer.ssl_policy.clone());
    let tls = Some(Tls { certificate, policy });
    vec![
        Route { port: API_PORT, target_group: names.balancer("tls"), tls },
        through(PAST_CERTIFICATE_PORT, names.balancer("tcp")),
    ]
}

/// The subnets that the spec names for the API, if they are meant for this load balancer; otherwise
/// all of the first type that the cluster has, one a zone, as AWS wants it.
fn subnets(spec: &Spec, by_name: bool, types: &[SubnetType]) -> BTreeSet<SubnetMapping> {
    let named = security::balancer(spec).filter(|_| by_name).map(|balancer| &balancer.subnets);
    let mapping = |named: &ApiSubnetSpec| {
        Some(SubnetMapping {
            subnet_id: spec.subnet(&named.name)?.id.clone()?,
            private_ipv4_address: named.private_ipv4_address.map(|address| address.to_string()),
            allocation_id: named.allocation_id.clone(),
        })
    };
    let named: BTreeSet<_> = named.into_iter().flatten().filter_map(mapping).collect();
    if !named.is_empty() {
        return named;
    }
    let all = &spec.cluster.spec.subnets;
    let of_type = |subnet_type: &SubnetType| -> Vec<&SubnetSpec> {
        all.iter().filter(|subnet| subnet.subnet_type == *subnet_type).collect()
    };
    let chosen = types.iter().map(of_type).find(|subnets| !subnets.is_empty());
    let mut by_zone: BTreeMap<&str, &SubnetSpec> = BTreeMap::new();
    for subnet in chosen.unwrap_or_default() {
        by_zone.entry(&subnet.zone).or_insert(subnet);
    }
    let ids = super::subnet_ids(by_zone.into_values()).into_iter();
    ids.map(|subnet_id| SubnetMapping {
        subnet_id,
        private_ipv4_address: None,
        allocation_id: None,
    })
    .collect()
}

fn target_group(name: &str) -> Ref {
    Ref::Of(Key::new(Kind::TargetGroup, name), Attribute::Arn)
}

fn add_balancer(spec: &Spec, field: &Field, balancer: &Balancer, draft: &mut Draft<'_>) {
    let said = security::balancer(spec);
    let further = said.map(|balancer| balancer.additional_security_groups.clone());
    let further = further.unwrap_or_default().into_iter().map(Ref::Known);
    let resource = LoadBalancer {
        name: balancer.name.clone(),
        scheme: balancer.scheme.to_owned(),
        ip_address_type: "ipv4".to_owned(),
        subnet_mappings: balancer.subnets.clone(),
        security_groups: further.chain([security::of_api(spec).id]).collect(),
        cross_zone_enabled: said.and_then(|said| said.cross_zone_load_balancing).unwrap_or(false),
        deletion_protection_enabled: false,
        tags: tag::base(spec, &balancer.title),
    };
    draft.add(field, &balancer.name, Resource::LoadBalancer(resource));
}

fn add_target_group(spec: &Spec, field: &Field, route: &Route, title: &str, draft: &mut Draft<'_>) {
    let group = TargetGroup {
        name: route.target_group.clone(),
        protocol: route.protocol(),
        port: API_PORT.into(),
        vpc_id: super::vpc_id(spec),
        // kops' figures: an API server is out after 20 seconds.
        health_check: HealthCheck::tcp(),
        deregistration_delay_seconds: 30,
        connection_termination_enabled: true,
        // A control-plane machine reaches itself through the load balancer; with its address kept
        // the answer would never leave the machine.
        preserve_client_ip_enabled: false,
        tags: tag::base(spec, title),
    };
    draft.add(field, &route.target_group, Resource::TargetGroup(group));
}

fn add_listener(field: &Field, balancer: &str, route: &Route, draft: &mut Draft<'_>) {
    let listener = Listener {
        load_balancer_arn: Ref::Of(Key::new(Kind::LoadBalancer, balancer), Attribute::Arn),
        port: route.port.into(),
        protocol: route.protocol(),
        certificate_arn: route.tls.as_ref().map(|tls| tls.certificate.clone()),
        ssl_policy: route.tls.as_ref().and_then(|tls| tls.policy.clone()),
        target_group_arn: target_group(&route.target_group),
    };
    let name = Listener::name_of(balancer, route.port.into());
    draft.add(field, &name, Resource::Listener(listener));
}
