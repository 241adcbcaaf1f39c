//! Load balancers, target groups and listeners.

use super::*;
use crate::resource::{HealthCheck, Listener, LoadBalancer, SubnetMapping, TargetGroup};

pub(super) fn balancer(groups: &[String], zones: &str) -> LoadBalancer {
    LoadBalancer {
        name: "api".to_owned(),
        scheme: "internal".to_owned(),
        ip_address_type: "ipv4".to_owned(),
        subnet_mappings: zones.chars().map(mapping).collect(),
        security_groups: groups.iter().cloned().map(Ref::Known).collect(),
        cross_zone_enabled: true,
        deletion_protection_enabled: true,
        tags: owner(),
    }
}

fn mapping(zone: char) -> SubnetMapping {
    let subnet_id = format!("subnet-{zone}");
    SubnetMapping { subnet_id, private_ipv4_address: None, allocation_id: None }
}

fn target_group(name: &str) -> TargetGroup {
    TargetGroup {
        name: name.to_owned(),
        protocol: "TCP".to_owned(),
        port: 443,
        vpc_id: VPC.to_owned(),
        health_check: HealthCheck::tcp(),
        deregistration_delay_seconds: 30,
        connection_termination_enabled: true,
        preserve_client_ip_enabled: false,
        tags: owner(),
    }
}

#[test]
fn the_same_load_balancer_twice_is_one() {
    let mut world = account(1);
    let sg = security_group(&mut world, "sg");
    let call = |wanted| Call::CreateLoadBalancer { load_balancer: Box::new(wanted) };
    let wanted = balancer(std::slice::from_ref(&sg), "ab");
    let made = make(&mut world, &call(wanted.clone())).unwrap();
    assert_eq!(make(&mut world, &call(wanted.clone())).unwrap(), made);
    let other = LoadBalancer { scheme: "internet-facing".to_owned(), ..wanted };
    assert_eq!(refused(&mut world, &call(other)), "DuplicateLoadBalancerName");

    let arn = made.attributes[&Attribute::Arn].clone();
    let stored = world.balancers.get(&arn).unwrap().balancer.clone();
    assert!(!stored.deletion_protection_enabled, "attributes are a call of their own");
    let protect = |on| Call::ModifyLoadBalancerAttributes {
        load_balancer_arn: arn.clone(),
        cross_zone_enabled: true,
        deletion_protection_enabled: on,
    };
    make(&mut world, &protect(true)).unwrap();
    let delete = Call::DeleteLoadBalancer { load_balancer_arn: arn.clone() };
    assert_eq!(refused(&mut world, &delete), "OperationNotPermitted");
    let subnets = |zones: &str| Call::SetSubnets {
        load_balancer_arn: arn.clone(),
        subnet_mappings: zones.chars().map(mapping).collect(),
    };
    assert_eq!(refused(&mut world, &subnets("a")), "InvalidConfigurationRequest");
    make(&mut world, &subnets("abc")).unwrap();
    make(&mut world, &protect(false)).unwrap();
    make(&mut world, &delete).unwrap();
    make(&mut world, &delete).unwrap();

    let group = Call::DeleteSecurityGroup { group_id: sg };
    assert_eq!(refused(&mut world, &group), "DependencyViolation", "its interfaces linger");
    world.advance_secs(60);
    make(&mut world, &group).unwrap();
}

#[test]
fn a_load_balancer_without_security_groups_never_takes_any() {
    let mut world = account(1);
    let sg = security_group(&mut world, "sg");
    let call = Call::CreateLoadBalancer { load_balancer: Box::new(balancer(&[], "a")) };
    let made = make(&mut world, &call).unwrap();
    let set = Call::SetSecurityGroups {
        load_balancer_arn: made.attributes[&Attribute::Arn].clone(),
        security_groups: BTreeSet::from([sg]),
    };
    assert_eq!(refused(&mut world, &set), "InvalidConfigurationRequest");
}

#[test]
fn a_target_group_belongs_to_one_load_balancer() {
    let mut world = account(1);
    let make_balancer = |world: &mut World, name: &str| {
        let wanted = LoadBalancer { name: name.to_owned(), ..balancer(&[], "a") };
        let call = Call::CreateLoadBalancer { load_balancer: Box::new(wanted) };
        make(world, &call).unwrap().attributes[&Attribute::Arn].clone()
    };
    let (one, other) = (make_balancer(&mut world, "one"), make_balancer(&mut world, "other"));
    let call = Call::CreateTargetGroup { target_group: Box::new(target_group("tcp")) };
    let target = make(&mut world, &call).unwrap().attributes[&Attribute::Arn].clone();
    assert!(world.target_groups.get(&target).unwrap().target_group.preserve_client_ip_enabled);
    let listen = |balancer: &str, port| Call::CreateListener {
        listener: Box::new(Listener {
            load_balancer_arn: Ref::Known(balancer.to_owned()),
            port,
            protocol: "TCP".to_owned(),
            certificate_arn: None,
            ssl_policy: None,
            target_group_arn: Ref::Known(target.clone()),
        }),
    };
    make(&mut world, &listen(&one, 443)).unwrap();
    assert_eq!(refused(&mut world, &listen(&one, 443)), "DuplicateListener");
    assert_eq!(refused(&mut world, &listen(&other, 443)), "TargetGroupAssociationLimit");
    let delete = Call::DeleteTargetGroup { target_group_arn: target.clone() };
    assert_eq!(refused(&mut world, &delete), "ResourceInUse");
    make(&mut world, &Call::DeleteLoadBalancer { load_balancer_arn: one }).unwrap();
    make(&mut world, &delete).unwrap();

    // Machines in service are its targets, others are not.
    let call = Call::CreateTargetGroup { target_group: Box::new(target_group("api")) };
    let target = make(&mut world, &call).unwrap().attributes[&Attribute::Arn].clone();
    let mut wanted = group("control", 2, 2, "ab");
    wanted.target_group_arns.insert(Ref::Known(target.clone()));
    template(&mut world, "control", template_data(&[]));
    template(&mut world, "xx-", template_data(&[]));
    make(
        &mut world,
        &create(AutoScalingGroup { launch_template_name: "xx-".to_owned(), ..wanted }),
    )
    .unwrap();
    world.advance_secs(10);
    assert_eq!(world.targets(&target).len(), 0);
    world.advance_secs(600);
    assert_eq!(world.targets(&target).len(), 2);
}
