//! Machines in target groups.

use super::*;
use crate::cloud::TargetState;
use crate::resource::{HealthCheck, Listener, LoadBalancer, SubnetMapping, TargetGroup};

/// A target group whose first checks take 20 s and whose deregistration takes 60 s.
fn target_group(world: &mut World, name: &str) -> String {
    let wanted = TargetGroup {
        name: name.to_owned(),
        protocol: "TCP".to_owned(),
        port: 443,
        vpc_id: VPC.to_owned(),
        health_check: HealthCheck::tcp(),
        deregistration_delay_seconds: 300,
        connection_termination_enabled: false,
        preserve_client_ip_enabled: true,
        tags: owner(),
    };
    let call = Call::CreateTargetGroup { target_group: Box::new(wanted) };
    let arn = make(world, &call).unwrap().attributes[&Attribute::Arn].clone();
    let settings = Call::ModifyTargetGroupAttributes {
        target_group_arn: arn.clone(),
        deregistration_delay_seconds: 60,
        connection_termination_enabled: false,
        preserve_client_ip_enabled: true,
    };
    make(world, &settings).unwrap();
    arn
}

/// Puts a target group to use.
fn listen(world: &mut World, target_group_arn: &str) {
    let balancer = LoadBalancer {
        name: "api".to_owned(),
        scheme: "internal".to_owned(),
        ip_address_type: "ipv4".to_owned(),
        subnet_mappings: BTreeSet::from([SubnetMapping {
            subnet_id: "subnet-a".to_owned(),
            private_ipv4_address: None,
            allocation_id: None,
        }]),
        security_groups: BTreeSet::new(),
        cross_zone_enabled: false,
        deletion_protection_enabled: false,
        tags: owner(),
    };
    let call = Call::CreateLoadBalancer { load_balancer: Box::new(balancer) };
    let arn = make(world, &call).unwrap().attributes[&Attribute::Arn].clone();
    let listener = Listener {
        load_balancer_arn: Ref::Known(arn),
        port: 443,
        protocol: "TCP".to_owned(),
        target_group_arn: Ref::Known(target_group_arn.to_owned()),
        ssl_policy: None,
        certificate_arn: None,
    };
    make(world, &Call::CreateListener { listener: Box::new(listener) }).unwrap();
}

/// A group of two behind a target group that is in use.
fn balanced(world: &mut World) -> String {
    let arn = target_group(world, "api");
    listen(world, &arn);
    let mut wanted = group("web", 2, 4, "ab");
    wanted.target_group_arns.insert(Ref::Known(arn.clone()));
    running_group(world, wanted);
    arn
}

fn state(world: &mut World, arn: &str, id: &str) -> Option<TargetState> {
    world.read_targets(&names(&[arn])).unwrap()[arn].get(id).copied()
}

/// States of a target until it is out, each once.
fn states(world: &mut World, arn: &str, id: &str, secs: u64) -> Vec<Option<TargetState>> {
    let mut seen = Vec::new();
    for _ in 0..secs {
        seen.push(state(world, arn, id));
        world.advance_secs(1);
    }
    seen.dedup();
    seen
}

fn register(arn: &str, ids: &[&str]) -> Call {
    Call::RegisterTargets { target_group_arn: arn.to_owned(), instance_ids: names(ids) }
}

fn deregister(arn: &str, ids: &[&str]) -> Call {
    Call::DeregisterTargets { target_group_arn: arn.to_owned(), instance_ids: names(ids) }
}

#[test]
fn a_machine_that_serves_is_checked_and_gets_traffic() {
    use TargetState::{Healthy, Initial};
    let mut world = account(1);
    let arn = balanced(&mut world);
    make(&mut world, &desire("web", 3)).unwrap();
    world.advance_secs(5);
    let young = world.members("web").find(|m| m.lifecycle.as_str() == "Pending").unwrap();
    let young = young.instance_id.clone();
    assert_eq!(states(&mut world, &arn, &young, 200), [None, Some(Initial), Some(Healthy)]);
    assert_eq!(world.targets(&arn).len(), 3);
}

#[test]
fn a_machine_that_is_ended_leaves_its_load_balancers_first() {
    use TargetState::{Draining, Healthy};
    let mut world = account(1);
    let arn = balanced(&mut world);
    let old = ids(&world, "web")[0].clone();
    assert_eq!(state(&mut world, &arn, &old), Some(Healthy));
    let at = world.now;
    make(&mut world, &terminate("web", &[&old], false)).unwrap();
    assert_eq!(world.machines[&old].lifecycle.as_str(), "Terminating");
    while state(&mut world, &arn, &old).is_some() {
        assert_eq!(state(&mut world, &arn, &old), Some(Draining));
        assert_eq!(world.machines[&old].power.as_str(), "running");
        world.advance_secs(1);
    }
    let secs = world.now.since_ms(at) / 1000;
    assert!((60..64).contains(&secs), "{secs}");
    world.advance_secs(600);
    assert!(!world.machines.contains_key(&old));
    assert_eq!(world.targets(&arn).len(), 2);

    // Whom EC2 ends at once, nobody drains.
    let other = ids(&world, "web")[0].clone();
    make(&mut world, &end(&[&other])).unwrap();
    assert_eq!(state(&mut world, &arn, &other), Some(TargetState::Unused));
    world.advance_secs(60);
    assert!(!world.machines.contains_key(&other));
}

#[test]
fn a_detached_machine_leaves_its_load_balancers_and_may_be_put_back() {
    use TargetState::{Draining, Healthy, Initial};
    let mut world = account(1);
    let arn = balanced(&mut world);
    let one = ids(&world, "web")[0].clone();
    make(&mut world, &detach("web", &[&one], false)).unwrap();
    assert_eq!(states(&mut world, &arn, &one, 100), [Some(Draining), None]);
    assert_eq!(world.machines[&one].group, None);
    make(&mut world, &register(&arn, &[&one])).unwrap();
    assert_eq!(states(&mut world, &arn, &one, 100), [Some(Initial), Some(Healthy)]);
    make(&mut world, &deregister(&arn, &[&one])).unwrap();
    world.advance_secs(30);
    assert_eq!(state(&mut world, &arn, &one), Some(Draining));
    make(&mut world, &register(&arn, &[&one])).unwrap();
    assert_eq!(states(&mut world, &arn, &one, 100), [Some(Initial), Some(Healthy)]);
}

#[test]
fn targets_are_machines_that_run_and_leaving_twice_is_no_error() {
    let mut world = account(1);
    let arn = balanced(&mut world);
    let one = ids(&world, "web")[0].clone();
    assert_eq!(refused(&mut world, &register(&arn, &["i-none"])), "InvalidTarget");
    assert_eq!(refused(&mut world, &register(&arn, &[])), "ValidationError");
    let nowhere = arn.replace("api", "none");
    assert_eq!(refused(&mut world, &register(&nowhere, &[&one])), "TargetGroupNotFound");
    make(&mut world, &deregister(&arn, &["i-none"])).unwrap();
    make(&mut world, &end(&[&one])).unwrap();
    assert_eq!(refused(&mut world, &register(&arn, &[&one])), "InvalidTarget");
    let read = world.read_targets(&names(&[&arn, &nowhere])).unwrap();
    assert_eq!(read.keys().collect::<Vec<_>>(), [&arn], "what does not exist is left out");
}

#[test]
fn a_target_that_does_not_work_or_a_group_that_nobody_uses_gets_no_traffic() {
    use TargetState::{Healthy, Unhealthy, Unused};
    let mut world = account(1);
    let arn = balanced(&mut world);
    let one = ids(&world, "web")[0].clone();
    world.impair(&one);
    assert_eq!(state(&mut world, &arn, &one), Some(Unhealthy));
    world.repair(&one);
    assert_eq!(state(&mut world, &arn, &one), Some(Healthy));
    let spare = target_group(&mut world, "spare");
    make(&mut world, &register(&spare, &[&one])).unwrap();
    assert_eq!(state(&mut world, &spare, &one), Some(Unused));
}

#[test]
fn a_groups_target_groups_come_and_go_with_its_machines_unless_suspended() {
    let mut world = account(1);
    let arn = target_group(&mut world, "api");
    running_group(&mut world, group("web", 2, 4, "ab"));
    let arns = names(&[&arn]);
    let name = || "web".to_owned();
    let on = Call::AttachLoadBalancerTargetGroups {
        auto_scaling_group_name: name(),
        arns: arns.clone(),
    };
    let off = Call::DetachLoadBalancerTargetGroups { auto_scaling_group_name: name(), arns };
    make(&mut world, &on).unwrap();
    assert_eq!(world.targets(&arn).len(), 2);
    make(&mut world, &suspend("web", &["AddToLoadBalancer"])).unwrap();
    make(&mut world, &desire("web", 3)).unwrap();
    world.advance_secs(600);
    assert_eq!(world.targets(&arn).len(), 2, "a machine of the time of the suspension");
    make(&mut world, &resume("web", &["AddToLoadBalancer"])).unwrap();
    world.advance_secs(600);
    assert_eq!(world.targets(&arn).len(), 2, "is added by hand");
    make(&mut world, &off).unwrap();
    assert_eq!(world.targets(&arn).len(), 0);
}
