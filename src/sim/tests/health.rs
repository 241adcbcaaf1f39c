//! What befalls machines, and what their group makes of it.

use super::*;
use crate::resource::{LifecycleHook, MixedInstancesPolicy};
use crate::sim::{LaunchFault, LaunchRates, Outage};

fn spot_group(world: &mut World) {
    let policy = MixedInstancesPolicy {
        overrides: vec!["m5.large".to_owned()],
        instance_requirements: None,
        on_demand_allocation_strategy: "prioritized".to_owned(),
        on_demand_base_capacity: 1,
        on_demand_percentage_above_base_capacity: 0,
        spot_allocation_strategy: "price-capacity-optimized".to_owned(),
        spot_instance_pools: None,
        spot_max_price: None,
    };
    let wanted =
        AutoScalingGroup { mixed_instances_policy: Some(policy), ..group("spot", 2, 2, "ab") };
    running_group(world, wanted);
}

#[test]
fn spot_capacity_is_taken_back_two_minutes_after_the_notice() {
    let mut world = account(1);
    spot_group(&mut world);
    let of = |world: &World, is_spot| {
        let found = world.members("spot").find(|machine| machine.is_spot == is_spot);
        found.unwrap().instance_id.clone()
    };
    let (spot, on_demand) = (of(&world, true), of(&world, false));
    assert!(world.reclaim_spot(&on_demand).is_err());
    world.reclaim_spot(&spot).unwrap();
    let at = world.machines[&spot].reclaimed_at.unwrap();
    assert_eq!(at, world.now.plus_secs(120));
    world.advance_secs(60);
    world.reclaim_spot(&spot).unwrap();
    assert_eq!(world.machines[&spot].reclaimed_at, Some(at), "the first notice counts");
    world.advance_secs(59);
    assert_eq!(world.machines[&spot].power.as_str(), "running");
    world.advance_secs(1);
    assert_eq!(world.machines[&spot].power.as_str(), "shutting-down");
    world.advance_secs(600);
    assert!(!world.machines.contains_key(&spot));
    assert_eq!(serving(&world, "spot").values().sum::<usize>(), 2);
}

#[test]
fn a_zone_that_is_out_gets_no_machines_and_its_own_come_back_with_it() {
    let mut world = account(1);
    running_group(&mut world, group("web", 4, 9, "ab"));
    let before = ids(&world, "web");
    world.begin_outage("eu-west-3a", Outage::Impaired);
    let failing = world.read_statuses(&before.iter().cloned().collect()).unwrap();
    assert_eq!(failing.len(), 2);
    assert!(failing.values().all(|what| what == "system status check: impaired"), "{failing:?}");
    make(&mut world, &desire("web", 5)).unwrap();
    world.advance_secs(60);
    assert!(
        world
            .members("web")
            .filter(|m| !before.contains(&m.instance_id))
            .all(|m| m.availability_zone == "eu-west-3b")
    );
    world.end_outage("eu-west-3a");
    world.advance_secs(3600);
    assert!(before.iter().all(|id| world.machines.contains_key(id)), "it was a short outage");
    assert!(world.read_statuses(&before.into_iter().collect()).unwrap().is_empty());
}

#[test]
fn a_zone_may_take_its_machines_with_it() {
    for outage in [Outage::Ended, Outage::Impaired] {
        let mut world = account(1);
        running_group(&mut world, group("web", 4, 9, "ab"));
        world.begin_outage("eu-west-3a", outage);
        world.advance_secs(3600);
        assert_eq!(serving(&world, "web"), BTreeMap::from([("b".to_owned(), 4)]), "{outage:?}");
        world.end_outage("eu-west-3a");
        world.advance_secs(7200);
        let both = BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 2)]);
        assert_eq!(serving(&world, "web"), both, "balanced again");
        assert_eq!(world.next_event(), None);
    }
}

#[test]
fn an_impaired_machine_is_called_unhealthy_after_a_while_and_replaced() {
    let mut world = account(1);
    running_group(&mut world, group("web", 2, 2, "ab"));
    let one = ids(&world, "web")[0].clone();
    world.impair(&one);
    let all: BTreeSet<String> = ids(&world, "web").into_iter().chain(["i-none".into()]).collect();
    let failing = world.read_statuses(&all).unwrap();
    assert_eq!(failing.keys().collect::<Vec<_>>(), [&one]);
    world.advance_secs(100);
    assert_eq!(serving(&world, "web").len(), 2, "it may recover");
    world.advance_secs(100);
    assert_eq!(world.machines[&one].lifecycle.as_str(), "Terminating");
    let facts = listed(&mut world, "web");
    let told = facts.instances.iter().find(|known| known.instance_id == one).unwrap();
    assert_eq!(told.health_status, "Unhealthy");
    world.advance_secs(600);
    assert!(!world.machines.contains_key(&one));
    assert_eq!(ids(&world, "web").len(), 2);
}

/// What each suspended process leaves undone, and that resuming does it.
#[test]
fn suspended_processes_leave_lost_machines_where_they_are() {
    for (process, health) in
        [("HealthCheck", "Healthy"), ("ReplaceUnhealthy", "Unhealthy"), ("Terminate", "Unhealthy")]
    {
        let mut world = account(1);
        running_group(&mut world, group("web", 2, 2, "ab"));
        make(&mut world, &suspend("web", &[process])).unwrap();
        let one = ids(&world, "web")[0].clone();
        make(&mut world, &end(&[&one])).unwrap();
        world.advance_secs(3600);
        let facts = listed(&mut world, "web");
        let told = facts.instances.iter().find(|known| known.instance_id == one).unwrap();
        assert_eq!(
            (told.lifecycle_state.as_str(), told.health_status.as_str()),
            ("InService", health),
            "{process}"
        );
        assert_eq!(facts.instances.len(), 2);
        make(&mut world, &resume("web", &[process])).unwrap();
        world.advance_secs(600);
        assert!(!ids(&world, "web").contains(&one), "{process}");
        assert_eq!(serving(&world, "web").values().sum::<usize>(), 2);
    }
}

/// "Suspending the Terminate process applies only to instances that are in service."
#[test]
fn a_machine_that_never_served_goes_although_ending_is_suspended() {
    let mut world = account(1);
    template(&mut world, "web", template_data(&[]));
    make(&mut world, &create(group("web", 1, 1, "a"))).unwrap();
    make(&mut world, &suspend("web", &["Terminate"])).unwrap();
    world.advance_secs(5);
    let one = ids(&world, "web")[0].clone();
    make(&mut world, &end(&[&one])).unwrap();
    world.advance_secs(600);
    assert!(!world.machines.contains_key(&one));
    assert_eq!(serving(&world, "web").values().sum::<usize>(), 1);
}

#[test]
fn a_launch_may_go_wrong_in_each_way() {
    let hook = LifecycleHook {
        lifecycle_transition: "autoscaling:EC2_INSTANCE_LAUNCHING".to_owned(),
        heartbeat_timeout: 300,
        default_result: "ABANDON".to_owned(),
    };
    for has_hook in [false, true] {
        for fault in [LaunchFault::Ends, LaunchFault::Impaired, LaunchFault::Silent] {
            let mut world = account(1);
            world.faults.on_launch.insert(1, fault);
            let mut wanted = group("web", 1, 1, "a");
            if has_hook {
                wanted.lifecycle_hooks.insert("ready".to_owned(), hook.clone());
            }
            template(&mut world, "web", template_data(&[]));
            make(&mut world, &create(wanted)).unwrap();
            world.advance_secs(5);
            let first = ids(&world, "web")[0].clone();
            world.advance_secs(85);
            let machine = world.machines.get(&first);
            let serves = machine.is_some_and(|m| m.lifecycle.as_str() == "InService");
            assert_eq!(serves, !has_hook && fault != LaunchFault::Ends, "{fault:?}");
            assert!(!machine.is_some_and(|machine| machine.is_up()), "{fault:?}");
            let failing = world.read_statuses(&names(&[&first])).unwrap();
            assert_eq!(failing.len(), usize::from(fault == LaunchFault::Impaired), "{fault:?}");
            world.advance_secs(3600);
            // Nothing that AWS sees is wrong with a machine that is silent and has no hook.
            let stays = fault == LaunchFault::Silent && !has_hook;
            assert_eq!(world.machines.contains_key(&first), stays, "{fault:?}");
            assert!(stays || world.members("web").all(|machine| machine.is_up()));
            assert_eq!(ids(&world, "web").len(), 1);
        }
    }
}

#[test]
fn launches_go_wrong_by_chance_on_request() {
    let mut world = account(1);
    world.faults.launch_rates = LaunchRates { silent_permille: 300, ..LaunchRates::default() };
    running_group(&mut world, group("web", 100, 100, "abc"));
    let silent = world.members("web").filter(|machine| !machine.is_up()).count();
    assert!((15..45).contains(&silent), "{silent} of 100");
}
