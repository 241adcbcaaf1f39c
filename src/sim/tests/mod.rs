//! A small account to test in, and the tests of each service.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]

mod balancer;
mod compute;
mod dns;
mod faults;
mod groups;
mod health;
mod iam;
mod kubernetes;
mod kubernetes_laws;
mod laws;
mod members;
mod moves;
mod parameters;
mod reads;
mod security;
mod targets;

use std::collections::{BTreeMap, BTreeSet};

use super::{Outcome, World};
use crate::cloud::{Call, CloudError, CloudErrorKind, Reply};
use crate::facts::AdoptedNetwork;
use crate::resource::{
    Attribute, AutoScalingGroup, LaunchTemplateData, LaunchTemplateInterface, MetadataOptions,
    NetworkInterface, OWNER_TAG, Ref, Tags,
};

const VPC: &str = "vpc-1";

/// An account with a VPC over three zones and a public zone; nothing lags.
fn account(seed: u64) -> World {
    let mut world = World::new("123456789012", "eu-west-3", seed);
    let subnets = [("a", "10.0.0.0/20"), ("b", "10.0.16.0/20"), ("c", "10.0.32.0/20")];
    world.adopt_network(&AdoptedNetwork {
        vpc_id: VPC.to_owned(),
        vpc_cidrs: vec!["10.0.0.0/16".parse().unwrap()],
        subnets: subnets
            .iter()
            .map(|(zone, cidr)| {
                (format!("subnet-{zone}"), format!("eu-west-3{zone}"), cidr.parse().ok())
            })
            .collect(),
        public_zone: Some("example.com".to_owned()),
        cluster: "c.example.com".to_owned(),
    });
    world
}

fn make(world: &mut World, call: &Call) -> Result<Reply, CloudError> {
    match world.answer(call) {
        Outcome::Answered(result) => result,
        Outcome::Crashed => panic!("the call crashed"),
    }
}

/// Makes a call that has to be refused, and gives the code.
fn refused(world: &mut World, call: &Call) -> String {
    let before = (world.groups.clone(), world.security_groups.clone(), world.zones.clone());
    let code = make(world, call).unwrap_err().code;
    let after = (world.groups.clone(), world.security_groups.clone(), world.zones.clone());
    assert_eq!(before, after, "a refused call changed something");
    code
}

fn id(reply: &Reply) -> String {
    reply.attributes[&Attribute::Id].clone()
}

fn owner() -> Tags {
    Tags::from([(OWNER_TAG.to_owned(), "c.example.com".to_owned())])
}

fn security_group(world: &mut World, name: &str) -> String {
    let call = Call::CreateSecurityGroup {
        group_name: name.to_owned(),
        description: "test".to_owned(),
        vpc_id: VPC.to_owned(),
        tags: owner(),
    };
    id(&make(world, &call).unwrap())
}

fn template_data(groups: &[String]) -> LaunchTemplateData {
    LaunchTemplateData {
        image_id: "ami-0123456789abcdef0".to_owned(),
        instance_type: "m6i.large".to_owned(),
        iam_instance_profile_name: None,
        iam_instance_profile_arn: None,
        key_name: None,
        user_data: "#cloud-config".to_owned(),
        block_device_mappings: Vec::new(),
        network_interfaces: vec![LaunchTemplateInterface {
            device_index: 0,
            network_interface_id: None,
            associate_public_ip_address: None,
            groups: groups.iter().cloned().map(Ref::Known).collect(),
            delete_on_termination: true,
        }],
        metadata_options: MetadataOptions {
            http_tokens: "required".to_owned(),
            http_put_response_hop_limit: 1,
        },
        monitoring_enabled: false,
        ebs_optimized: None,
        tenancy: None,
        cpu_credits: None,
        instance_market_options: None,
        private_dns_hostname_type: None,
        tag_specifications: BTreeMap::new(),
    }
}

fn template(world: &mut World, name: &str, data: LaunchTemplateData) {
    let call = Call::CreateLaunchTemplate {
        launch_template_name: name.to_owned(),
        version_description: data.revision(),
        data: Box::new(data),
        tags: owner(),
        client_token: format!("token of {name}"),
    };
    make(world, &call).unwrap();
}

fn group(name: &str, min_size: i32, max_size: i32, zones: &str) -> AutoScalingGroup {
    AutoScalingGroup {
        auto_scaling_group_name: name.to_owned(),
        launch_template_name: name.to_owned(),
        target: Ref::Known(String::new()),
        mixed_instances_policy: None,
        min_size,
        max_size,
        vpc_zone_identifier: zones.chars().map(|zone| format!("subnet-{zone}")).collect(),
        availability_zones: BTreeSet::new(),
        target_group_arns: BTreeSet::new(),
        health_check_type: "EC2".to_owned(),
        health_check_grace_period: 0,
        new_instances_protected_from_scale_in: false,
        max_instance_lifetime: 0,
        capacity_rebalance: false,
        suspended_processes: BTreeSet::new(),
        enabled_metrics: BTreeSet::new(),
        lifecycle_hooks: BTreeMap::new(),
        tags: BTreeMap::new(),
    }
}

fn create(group: AutoScalingGroup) -> Call {
    Call::CreateAutoScalingGroup { group: Box::new(group), version: 1 }
}

fn update(group: AutoScalingGroup) -> Call {
    Call::UpdateAutoScalingGroup { group: Box::new(group), version: None }
}

/// A group with its template, made and left alone until it rests.
fn running_group(world: &mut World, wanted: AutoScalingGroup) {
    template(world, &wanted.auto_scaling_group_name, template_data(&[]));
    make(world, &create(wanted)).unwrap();
    world.advance_secs(3600);
}

/// A call that ends machines of a group.
fn terminate(group: &str, ids: &[&str], should_decrement_desired_capacity: bool) -> Call {
    Call::TerminateInstanceInAutoScalingGroup {
        auto_scaling_group_name: group.to_owned(),
        instance_ids: names(ids),
        should_decrement_desired_capacity,
    }
}

fn interface(world: &mut World, zone: &str, groups: &[String], token: &str) -> Reply {
    let interface = NetworkInterface {
        subnet_id: format!("subnet-{zone}"),
        description: String::new(),
        groups: groups.iter().cloned().map(Ref::Known).collect(),
        tags: owner(),
    };
    let client_token = token.to_owned();
    make(world, &Call::CreateNetworkInterface { interface: Box::new(interface), client_token })
        .unwrap()
}

/// Machines that serve in a group, by zone letter.
fn serving(world: &World, group: &str) -> BTreeMap<String, usize> {
    let mut zones = BTreeMap::new();
    for machine in world.members(group).filter(|m| m.lifecycle.as_str() == "InService") {
        let zone = machine.availability_zone.trim_start_matches("eu-west-3").to_owned();
        *zones.entry(zone).or_insert(0) += 1;
    }
    zones
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A machine's group lists it so.
fn listed(world: &mut World, group: &str) -> crate::cloud::GroupFacts {
    let key = crate::resource::Key::new(crate::resource::Kind::AutoScalingGroup, group);
    let query = crate::cloud::Query { keys: [key.clone()].into(), ..Default::default() };
    world.observe_groups(&query).unwrap().remove(&key).unwrap().group.unwrap()
}

/// Ids of a group's machines, in their order.
fn ids(world: &World, group: &str) -> Vec<String> {
    world.members(group).map(|machine| machine.instance_id.clone()).collect()
}

fn desire(group: &str, desired_capacity: i32) -> Call {
    Call::SetDesiredCapacity { auto_scaling_group_name: group.to_owned(), desired_capacity }
}

fn detach(group: &str, ids: &[&str], should_decrement_desired_capacity: bool) -> Call {
    Call::DetachInstances {
        auto_scaling_group_name: group.to_owned(),
        instance_ids: names(ids),
        should_decrement_desired_capacity,
    }
}

fn attach(group: &str, ids: &[&str]) -> Call {
    Call::AttachInstances { auto_scaling_group_name: group.to_owned(), instance_ids: names(ids) }
}

fn end(ids: &[&str]) -> Call {
    Call::TerminateInstances { instance_ids: names(ids) }
}

fn suspend(group: &str, processes: &[&str]) -> Call {
    Call::SuspendProcesses {
        auto_scaling_group_name: group.to_owned(),
        processes: names(processes),
    }
}

fn resume(group: &str, processes: &[&str]) -> Call {
    Call::ResumeProcesses { auto_scaling_group_name: group.to_owned(), processes: names(processes) }
}

/// Lifecycle states that a machine goes through until it is out of its group, each once.
fn states_of(world: &mut World, instance_id: &str, secs: u64) -> Vec<&'static str> {
    let mut states = Vec::new();
    for _ in 0..secs {
        if let Some(machine) = world.machines.get(instance_id) {
            states.push(machine.lifecycle.as_str());
        }
        world.advance_secs(1);
    }
    states.dedup();
    states
}
