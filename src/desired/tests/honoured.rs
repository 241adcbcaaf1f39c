//! What kops' less common fields become.

use super::*;
use crate::resource::{Attribute, Kind, Ref, RequirementRange, Resource};

/// The small cluster with some text of it replaced.
fn with(from: &str, to: &str) -> ResourceSet {
    assert!(SMALL.contains(from), "{from}");
    let desired = build(&spec(&SMALL.replace(from, to)), &Facts::default());
    assert_eq!(desired.findings, []);
    desired.resources
}

const CERTIFICATE: &str = "arn:aws:acm:eu-west-3:123456789012:certificate/1";

#[test]
fn a_certificate_ends_tls_at_443_and_8443_leads_past_it() {
    let public =
        "  - {name: u, type: Utility, zone: eu-west-3a, cidr: 10.0.16.0/20, id: subnet-u}\n";
    let text = format!(
        "{public}  api: {{loadBalancer: {{type: Public, sslCertificate: \"{CERTIFICATE}\"}}}}\n  \
         etcdClusters:"
    );
    let resources = with("  etcdClusters:", &text);
    let mut listeners = Vec::new();
    for resource in resources.values() {
        let Resource::Listener(listener) = resource else { continue };
        let Ref::Of(target, Attribute::Arn) = &listener.target_group_arn else { panic!() };
        let Some(Resource::TargetGroup(group)) = resources.get(target) else { panic!() };
        assert_eq!((group.port, &group.protocol), (443, &listener.protocol));
        let prefix = target.name.split_once("-c-example").unwrap().0.to_owned();
        let policy = listener.ssl_policy.clone().unwrap_or_default();
        assert_eq!(listener.certificate_arn.is_some(), listener.protocol == "TLS");
        listeners.push((listener.port, listener.protocol.clone(), prefix, policy));
    }
    let row = |port: i32, protocol: &str, prefix: &str, policy: &str| {
        (port, protocol.to_owned(), prefix.to_owned(), policy.to_owned())
    };
    // The machines' own load balancer knows nothing of the certificate.
    let expected = [
        row(443, "TLS", "tls", "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"),
        row(8443, "TCP", "tcp", ""),
        row(443, "TCP", "tcp-internal", ""),
    ];
    assert_eq!(listeners, expected);
    let peers = |group: &str| -> Vec<String> {
        let key = Key::new(Kind::SecurityGroupRules, format!("{group}.c.example.com"));
        let Some(Resource::SecurityGroupRules(rules)) = resources.get(&key) else { panic!() };
        let past = rules.rules.iter().filter(|rule| rule.from_port == 8443);
        past.map(|rule| match (&rule.cidr_ipv4, &rule.referenced_group_id) {
            (Some(cidr), None) => cidr.clone(),
            (None, Some(Ref::Of(key, _))) => key.to_string(),
            _ => panic!("{rule:?}"),
        })
        .collect()
    };
    assert_eq!(peers("api-elb"), ["198.51.100.0/24"]);
    assert_eq!(peers("masters"), ["security_group/api-elb.c.example.com"]);
}

#[test]
fn requirements_are_rounded_inwards() {
    let wanted = "maxSize: 3, mixedInstancesPolicy: {instanceRequirements: {\
                  cpu: {min: 2, max: \"8\"}, memory: {min: 8G, max: 32G}}}";
    let resources = with("maxSize: 3", wanted);
    let key = Key::new(Kind::AutoScalingGroup, "nodes.c.example.com");
    let Some(Resource::AutoScalingGroup(asg)) = resources.get(&key) else { panic!() };
    let mix = asg.mixed_instances_policy.as_ref().unwrap();
    assert!(mix.overrides.is_empty());
    assert_eq!(mix.on_demand_allocation_strategy, "lowest-price");
    let requirements = mix.instance_requirements.as_ref().unwrap();
    assert_eq!(requirements.vcpu_count, RequirementRange { min: 2, max: Some(8) });
    assert_eq!(requirements.memory_mib, RequirementRange { min: 7630, max: Some(30_517) });
}
