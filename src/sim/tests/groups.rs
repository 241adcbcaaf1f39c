//! What auto scaling groups do with their machines.

use super::*;
use crate::resource::{LifecycleHook, MixedInstancesPolicy};
use crate::sim::{Lifecycle, Machine, Shortage};

fn zones(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    counts.iter().map(|(zone, count)| ((*zone).to_owned(), *count)).collect()
}

#[test]
fn machines_boot_spread_over_zones() {
    let mut world = account(1);
    template(&mut world, "web", template_data(&[]));
    make(&mut world, &create(group("web", 5, 9, "abc"))).unwrap();
    assert_eq!(world.members("web").count(), 0, "nothing is launched before the group looks");
    world.advance_secs(5);
    assert!(world.members("web").all(|m| m.lifecycle == Lifecycle::Pending));
    assert_eq!(world.members("web").count(), 5);
    world.advance_secs(World::BOOT_SECS.0 + World::BOOT_SECS.1 + 5);
    assert_eq!(serving(&world, "web"), zones(&[("a", 2), ("b", 2), ("c", 1)]));
    assert_eq!(world.next_event(), None);
}

#[test]
fn desired_capacity_moves_only_with_the_limits() {
    let mut world = account(1);
    running_group(&mut world, group("web", 2, 9, "abc"));
    let desired = |world: &World| world.groups.get("web").unwrap().desired_capacity;
    world.set_desired_capacity("web", 6).unwrap();
    make(&mut world, &update(group("web", 3, 9, "abc"))).unwrap();
    assert_eq!(desired(&world), 6);
    make(&mut world, &update(group("web", 0, 4, "abc"))).unwrap();
    assert_eq!(desired(&world), 4);
    make(&mut world, &update(group("web", 5, 9, "abc"))).unwrap();
    assert_eq!(desired(&world), 5);
    world.advance_secs(600);
    assert_eq!(serving(&world, "web").values().sum::<usize>(), 5);
}

#[test]
fn scale_in_takes_the_fullest_zone_and_the_oldest_version() {
    let mut world = account(1);
    running_group(&mut world, group("web", 4, 9, "ab"));
    let data = LaunchTemplateData { user_data: "other".to_owned(), ..template_data(&[]) };
    let version = make(
        &mut world,
        &Call::CreateLaunchTemplateVersion {
            launch_template_name: "web".to_owned(),
            version_description: String::new(),
            data: Box::new(data),
            client_token: "t".to_owned(),
        },
    );
    assert_eq!(version.unwrap().version, Some(2));
    // What a roll does to the pin.
    world.groups.edit("web", |stored| stored.version = 2);
    make(&mut world, &update(group("web", 6, 9, "ab"))).unwrap();
    world.advance_secs(600);
    let versions = |world: &World| world.members("web").map(|m| m.version).collect::<Vec<_>>();
    assert_eq!(versions(&world).iter().filter(|v| **v == 2).count(), 2);
    make(&mut world, &update(group("web", 2, 2, "ab"))).unwrap();
    world.advance_secs(600);
    assert_eq!(versions(&world), [2, 2]);
    assert_eq!(serving(&world, "web"), zones(&[("a", 1), ("b", 1)]));
}

#[test]
fn protected_machines_stay_and_new_ones_are_protected_on_request() {
    let mut world = account(1);
    let mut wanted = group("web", 3, 3, "abc");
    wanted.new_instances_protected_from_scale_in = true;
    running_group(&mut world, wanted.clone());
    (wanted.min_size, wanted.max_size) = (1, 1);
    make(&mut world, &update(wanted)).unwrap();
    world.advance_secs(600);
    assert_eq!(world.members("web").count(), 3);
    let free = world.members("web").next().unwrap().instance_id.clone();
    world.set_protection(&free, false).unwrap();
    world.advance_secs(1);
    world.set_desired_capacity("web", 1).unwrap();
    world.advance_secs(600);
    assert_eq!(world.members("web").count(), 2);
    assert!(world.members("web").all(|machine| machine.instance_id != free));
}

#[test]
fn a_lost_machine_is_replaced_unless_launching_is_suspended() {
    let mut world = account(1);
    running_group(&mut world, group("web", 2, 2, "ab"));
    let first = world.members("web").next().unwrap().instance_id.clone();
    world.terminate_instance(&first).unwrap();
    world.advance_secs(600);
    assert_eq!(serving(&world, "web"), zones(&[("a", 1), ("b", 1)]));
    let suspend = Call::SuspendProcesses {
        auto_scaling_group_name: "web".to_owned(),
        processes: names(&["Launch"]),
    };
    make(&mut world, &suspend).unwrap();
    let second = world.members("web").next().unwrap().instance_id.clone();
    world.terminate_instance(&second).unwrap();
    world.advance_secs(600);
    assert_eq!(world.members("web").count(), 1);
    let resume = Call::ResumeProcesses {
        auto_scaling_group_name: "web".to_owned(),
        processes: names(&["Launch"]),
    };
    make(&mut world, &resume).unwrap();
    world.advance_secs(600);
    assert_eq!(world.members("web").count(), 2);
}

#[test]
fn a_shortage_sends_machines_to_other_zones_and_balance_brings_them_back() {
    let mut world = account(1);
    let short = |zone: &str| Shortage {
        availability_zone: format!("eu-west-3{zone}"),
        instance_type: None,
    };
    world.faults.shortages.insert(short("a"));
    running_group(&mut world, group("web", 6, 6, "abc"));
    assert_eq!(serving(&world, "web"), zones(&[("b", 3), ("c", 3)]));

    world.faults.shortages.clear();
    world.advance_secs(7200);
    assert_eq!(serving(&world, "web"), zones(&[("a", 2), ("b", 2), ("c", 2)]));

    world.faults.shortages.extend([short("a"), short("b"), short("c")]);
    make(&mut world, &update(group("web", 7, 7, "abc"))).unwrap();
    world.advance_secs(120);
    let activity = world.works["web"].activities.back().unwrap().clone();
    assert_eq!(activity.status, "Failed");
    assert!(activity.message.contains("sufficient m6i.large capacity"), "{}", activity.message);
    world.faults.shortages.clear();
    world.advance_secs(1800);
    assert_eq!(world.members("web").count(), 7);
}

#[test]
fn balance_never_goes_below_the_desired_capacity() {
    let mut world = account(3);
    running_group(&mut world, group("web", 6, 6, "a"));
    make(&mut world, &update(group("web", 6, 6, "abc"))).unwrap();
    for _ in 0..1200 {
        world.advance_secs(1);
        assert!(serving(&world, "web").values().sum::<usize>() >= 6);
        let lasts = |machine: &&Machine| machine.lifecycle.counts() && !machine.balances;
        assert_eq!(world.members("web").filter(lasts).count(), 6, "no other is there for balance");
    }
    assert_eq!(serving(&world, "web"), zones(&[("a", 2), ("b", 2), ("c", 2)]));
    let suspend = Call::SuspendProcesses {
        auto_scaling_group_name: "web".to_owned(),
        processes: names(&["AZRebalance"]),
    };
    make(&mut world, &suspend).unwrap();
    make(&mut world, &update(group("web", 6, 6, "a"))).unwrap();
    world.advance_secs(1200);
    assert_eq!(serving(&world, "web"), zones(&[("a", 2), ("b", 2), ("c", 2)]));
}

#[test]
fn a_machine_holds_the_interface_of_its_group_until_it_is_gone() {
    let mut world = account(1);
    let made = interface(&mut world, "a", &[], "t");
    let address = made.attributes[&Attribute::PrivateIpAddress].clone();
    running_group(&mut world, group("web", 3, 3, "a"));
    assert!(world.members("web").all(|machine| machine.private_ip_address != address));

    let mut data = template_data(&[]);
    data.network_interfaces[0].network_interface_id = Some(Ref::Known(id(&made)));
    data.network_interfaces[0].delete_on_termination = false;
    template(&mut world, "etcd", data);
    let mut wanted = group("etcd", 1, 1, "");
    wanted.availability_zones = names(&["eu-west-3a"]);
    make(&mut world, &create(wanted)).unwrap();
    world.advance_secs(600);
    let first = world.members("etcd").next().unwrap().clone();
    assert_eq!(first.private_ip_address, address);
    let delete = Call::DeleteNetworkInterface { network_interface_id: id(&made) };
    assert_eq!(refused(&mut world, &delete), "InvalidNetworkInterface.InUse");
    make(&mut world, &terminate("etcd", &[&first.instance_id], false)).unwrap();
    world.advance_secs(10);
    assert_eq!(world.members("etcd").count(), 1, "the old one still holds the interface");
    assert!(world.works["etcd"].activities.back().unwrap().message.contains("in use"));
    world.advance_secs(600);
    let second = world.members("etcd").next().unwrap();
    assert_ne!(second.instance_id, first.instance_id);
    assert_eq!(second.private_ip_address, address);
}

#[test]
fn a_launch_hook_holds_a_machine_back_and_gives_it_up_in_silence() {
    let mut world = account(1);
    let mut wanted = group("web", 1, 1, "a");
    let hook = LifecycleHook {
        lifecycle_transition: "autoscaling:EC2_INSTANCE_LAUNCHING".to_owned(),
        heartbeat_timeout: 300,
        default_result: "ABANDON".to_owned(),
    };
    wanted.lifecycle_hooks.insert("ready".to_owned(), hook);
    template(&mut world, "web", template_data(&[]));
    make(&mut world, &create(wanted)).unwrap();
    let mut states = Vec::new();
    for _ in 0..200 {
        world.advance_secs(1);
        states.extend(world.members("web").map(|machine| machine.lifecycle.as_str()));
        states.dedup();
    }
    assert_eq!(states, ["Pending", "Pending:Wait", "InService"]);

    world.faults.silent_hooks.insert("web".to_owned());
    let first = world.members("web").next().unwrap().instance_id.clone();
    world.terminate_instance(&first).unwrap();
    world.advance_secs(1800);
    assert_eq!(serving(&world, "web"), zones(&[]));
    world.faults.silent_hooks.clear();
    world.advance_secs(1800);
    assert_eq!(serving(&world, "web"), zones(&[("a", 1)]));
}

#[test]
fn a_termination_hook_delays_the_end_of_what_served() {
    let mut world = account(1);
    let mut wanted = group("web", 1, 1, "a");
    let hook = LifecycleHook {
        lifecycle_transition: "autoscaling:EC2_INSTANCE_TERMINATING".to_owned(),
        heartbeat_timeout: 300,
        default_result: "CONTINUE".to_owned(),
    };
    wanted.lifecycle_hooks.insert("drain".to_owned(), hook);
    running_group(&mut world, wanted);
    let machine = world.members("web").next().unwrap().instance_id.clone();
    make(&mut world, &terminate("web", &[&machine], false)).unwrap();
    let mut states = Vec::new();
    while let Some(machine) = world.machines.get(&machine) {
        states.push(machine.lifecycle.as_str());
        world.advance_secs(1);
    }
    states.dedup();
    assert_eq!(states, ["Terminating:Wait", "Terminating"]);
    assert_eq!(world.members("web").count(), 1, "a new one is on its way already");
}

#[test]
fn spot_and_on_demand_keep_their_shares() {
    for (base, share, on_demand) in [(0, 0, 0), (2, 0, 2), (0, 100, 9), (1, 50, 5), (0, 10, 1)] {
        let mut world = account(1);
        let mut wanted = group("web", 9, 9, "abc");
        wanted.mixed_instances_policy = Some(MixedInstancesPolicy {
            overrides: vec!["m5.large".to_owned(), "m6i.large".to_owned()],
            instance_requirements: None,
            on_demand_allocation_strategy: "prioritized".to_owned(),
            on_demand_base_capacity: base,
            on_demand_percentage_above_base_capacity: share,
            spot_allocation_strategy: "price-capacity-optimized".to_owned(),
            spot_instance_pools: None,
            spot_max_price: None,
        });
        running_group(&mut world, wanted);
        let found = world.members("web").filter(|machine| !machine.is_spot).count();
        assert_eq!(found, on_demand, "base {base}, share {share}");
        assert!(world.members("web").all(|machine| machine.instance_type == "m5.large"));
    }
}

#[test]
fn detaching_keeps_the_machine_and_force_ends_all() {
    let mut world = account(1);
    running_group(&mut world, group("web", 1, 3, "ab"));
    world.set_desired_capacity("web", 2).unwrap();
    world.advance_secs(600);
    let one = world.members("web").next().unwrap().instance_id.clone();
    world.detach(&one, true).unwrap();
    world.advance_secs(600);
    assert_eq!((world.members("web").count(), world.machines.len()), (1, 2));
    let other = world.members("web").next().unwrap().instance_id.clone();
    assert!(world.detach(&other, true).is_err(), "the group is at its minimum");

    let delete =
        |force| Call::DeleteAutoScalingGroup { auto_scaling_group_name: "web".to_owned(), force };
    assert_eq!(refused(&mut world, &delete(false)), "ResourceInUse");
    make(&mut world, &delete(true)).unwrap();
    assert_eq!(refused(&mut world, &create(group("web", 0, 0, "a"))), "AlreadyExists");
    assert!(world.groups.get("web").unwrap().is_pending_delete);
    world.advance_secs(600);
    assert!(world.groups.get("web").is_none());
    assert_eq!(world.machines.len(), 1, "the detached one is nobody's to end");
}

#[test]
fn a_group_that_is_deleted_goes_with_its_last_member_though_that_one_is_only_detached() {
    let mut world = account(1);
    running_group(&mut world, group("web", 0, 1, "a"));
    world.set_desired_capacity("web", 1).unwrap();
    world.advance_secs(600);
    let only = world.members("web").next().unwrap().instance_id.clone();
    world.detach(&only, true).unwrap();
    let name = "web".to_owned();
    let delete = Call::DeleteAutoScalingGroup { auto_scaling_group_name: name, force: true };
    make(&mut world, &delete).unwrap();
    assert!(world.groups.get("web").unwrap().is_pending_delete);
    world.advance_secs(600);
    assert!(world.groups.get("web").is_none());
    assert_eq!(world.machines.len(), 1, "the detached one is nobody's to end");
}

#[test]
fn an_image_that_does_not_boot_never_serves() {
    let mut world = account(1);
    world.faults.unbootable_images.insert("ami-0123456789abcdef0".to_owned());
    running_group(&mut world, group("web", 1, 1, "a"));
    assert_eq!(serving(&world, "web"), zones(&[]));
    assert!(world.works["web"].failures > 0);
}

#[test]
fn groups_need_what_they_name() {
    let mut world = account(1);
    template(&mut world, "web-template", template_data(&[]));
    let wanted = || AutoScalingGroup {
        launch_template_name: "web-template".to_owned(),
        ..group("web", 1, 2, "a")
    };
    let cases: [(&str, AutoScalingGroup); 6] = [
        ("limits", AutoScalingGroup { min_size: 3, ..wanted() }),
        ("no zone", AutoScalingGroup { vpc_zone_identifier: BTreeSet::new(), ..wanted() }),
        (
            "unknown subnet",
            AutoScalingGroup { vpc_zone_identifier: names(&["subnet-x"]), ..wanted() },
        ),
        ("both", AutoScalingGroup { availability_zones: names(&["eu-west-3a"]), ..wanted() }),
        ("an hour", AutoScalingGroup { max_instance_lifetime: 3600, ..wanted() }),
        ("no template", AutoScalingGroup { launch_template_name: "none".to_owned(), ..wanted() }),
    ];
    for (case, group) in cases {
        assert_eq!(refused(&mut world, &create(group)), "ValidationError", "{case}");
    }
    let mut busy = wanted();
    busy.suspended_processes = names(&["AZRebalance"]);
    busy.enabled_metrics = names(&["GroupMinSize"]);
    make(&mut world, &create(busy)).unwrap();
    let stored = world.groups.get("web").unwrap();
    assert!(stored.group.suspended_processes.is_empty(), "suspending is a call of its own");
    assert!(stored.group.enabled_metrics.is_empty(), "so are metrics");
    assert_eq!(refused(&mut world, &create(wanted())), "AlreadyExists");
}
