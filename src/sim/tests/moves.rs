//! Machines into, out of and with their group.

use super::*;
use crate::resource::{DETACHED_TAG, GroupTag, MixedInstancesPolicy, ROLL_TAG};
use crate::sim::{Lag, Power};

fn desired(world: &World, group: &str) -> i32 {
    world.groups.get(group).unwrap().desired_capacity
}

/// A second version of a group's template.
fn second_version(world: &mut World, name: &str) -> u64 {
    let data = LaunchTemplateData { user_data: "other".to_owned(), ..template_data(&[]) };
    let call = Call::CreateLaunchTemplateVersion {
        launch_template_name: name.to_owned(),
        version_description: data.revision(),
        data: Box::new(data),
        client_token: "second".to_owned(),
    };
    make(world, &call).unwrap().version.unwrap()
}

fn pin(group: &str, version: u64, policy: Option<MixedInstancesPolicy>) -> Call {
    Call::PinLaunchTemplateVersion {
        auto_scaling_group_name: group.to_owned(),
        launch_template_name: group.to_owned(),
        version,
        mixed_instances_policy: policy,
    }
}

#[test]
fn a_detached_machine_runs_on_and_its_group_launches_another() {
    let mut world = account(1);
    running_group(&mut world, group("web", 2, 2, "ab"));
    let before = ids(&world, "web");
    make(&mut world, &detach("web", &[&before[0]], false)).unwrap();
    assert_eq!(
        listed(&mut world, "web").instances[..]
            .iter()
            .filter(|i| i.lifecycle_state == "Detaching")
            .count(),
        1
    );
    assert_eq!(states_of(&mut world, &before[0], 600), ["Detaching", "InService"]);
    let out = &world.machines[&before[0]];
    assert_eq!((out.group.as_deref(), out.power), (None, Power::Running));
    assert!(!out.tags.contains_key("aws:autoscaling:groupName"));
    assert_eq!((ids(&world, "web").len(), desired(&world, "web")), (2, 2));
    assert!(!ids(&world, "web").contains(&before[0]));
}

#[test]
fn a_machine_that_ends_while_it_is_detached_is_gone() {
    let mut world = account(1);
    running_group(&mut world, group("web", 2, 2, "ab"));
    let before = ids(&world, "web");
    world.end_secs = Some(1);
    world.terminate_instance(&before[0]).unwrap();
    make(&mut world, &detach("web", &[&before[0]], false)).unwrap();
    world.advance_secs(600);
    assert!(!world.machines.contains_key(&before[0]), "it is in nobody's list");
    assert_eq!(ids(&world, "web").len(), 2);
}

#[test]
fn detaching_is_for_machines_that_serve_twenty_at_most_and_not_below_the_minimum() {
    let mut world = account(1);
    running_group(&mut world, group("web", 3, 6, "abc"));
    let all = ids(&world, "web");
    let many: Vec<String> = (0..21).map(|n| format!("i-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(refused(&mut world, &detach("web", &many, false)), "ValidationError");
    assert_eq!(refused(&mut world, &detach("web", &[], false)), "ValidationError");
    assert_eq!(refused(&mut world, &detach("web", &["i-none"], false)), "ValidationError");
    let error = make(&mut world, &detach("web", &[&all[0]], true)).unwrap_err();
    assert!(error.message.contains("min-size=3, max-size=6, and desired-size=3"), "{error}");
    make(&mut world, &desire("web", 4)).unwrap();
    world.advance_secs(5);
    let young = world.members("web").find(|m| !all.contains(&m.instance_id)).unwrap();
    let young = young.instance_id.clone();
    let error = make(&mut world, &detach("web", &[&young], false)).unwrap_err();
    assert!(error.message.contains("not in InService"), "{error}");
    make(&mut world, &detach("web", &[&all[0]], true)).unwrap();
    world.advance_secs(600);
    assert_eq!((ids(&world, "web").len(), desired(&world, "web")), (3, 3));
}

#[test]
fn an_attached_machine_counts_and_its_group_does_not_know_its_version() {
    let mut world = account(1);
    running_group(&mut world, group("web", 2, 3, "ab"));
    running_group(&mut world, group("other", 1, 1, "c"));
    let one = ids(&world, "web")[0].clone();
    make(&mut world, &detach("web", &[&one], false)).unwrap();
    assert_eq!(refused(&mut world, &attach("web", &[&one])), "ValidationError", "on its way out");
    world.advance_secs(600);
    assert_eq!(refused(&mut world, &attach("other", &[&one])), "ValidationError", "another zone");
    make(&mut world, &attach("web", &[&one])).unwrap();
    assert_eq!(refused(&mut world, &attach("web", &[&one])), "ValidationError", "there already");
    assert_eq!(desired(&world, "web"), 3);
    assert_eq!(states_of(&mut world, &one, 60), ["Pending", "InService"]);
    let facts = listed(&mut world, "web");
    let of = |id: &str| facts.instances.iter().find(|i| i.instance_id == id).unwrap();
    assert_eq!((facts.instances.len(), of(&one).launch_template_version), (3, None));
    assert_eq!(world.machines[&one].tags["aws:autoscaling:groupName"], "web");
    let known = world.tagged_instances("c.example.com").unwrap();
    assert!(known.is_empty(), "only what carries the owner's tag");

    make(&mut world, &detach("web", &[&one], true)).unwrap();
    world.advance_secs(60);
    make(&mut world, &desire("web", 3)).unwrap();
    world.advance_secs(600);
    let error = make(&mut world, &attach("web", &[&one])).unwrap_err();
    assert!(error.message.contains("To attach 1 instance,"), "{error}");
}

#[test]
fn a_group_replaces_the_machines_it_is_told_to_end_all_in_one_call() {
    let mut world = account(1);
    running_group(&mut world, group("web", 4, 8, "ab"));
    let before = ids(&world, "web");
    let both = [before[0].as_str(), before[1].as_str()];
    make(&mut world, &terminate("web", &both, false)).unwrap();
    assert!(both.iter().all(|id| world.machines[*id].lifecycle.as_str() == "Terminating"));
    let told = make(&mut world, &terminate("web", &both, true)).unwrap();
    assert_eq!(desired(&world, "web"), 4, "what ends already is not counted again");
    assert_eq!(told.places_kept, names(&both));
    world.terminate_instance(&before[2]).unwrap();
    world.advance_secs(600);
    let kept = world.read_places_kept("web").unwrap();
    assert_eq!(kept, names(&[&before[2]]), "nobody asked the group for that");
    assert_eq!(ids(&world, "web").len(), 4);
    assert!(before[..2].iter().all(|id| !world.machines.contains_key(id)));
}

#[test]
fn a_group_shrinks_with_the_machines_it_is_told_to_end_and_not_below_its_minimum() {
    let mut world = account(1);
    running_group(&mut world, group("web", 2, 8, "ab"));
    make(&mut world, &desire("web", 4)).unwrap();
    world.advance_secs(600);
    let all = ids(&world, "web");
    let three = [all[0].as_str(), &all[1], &all[2]];
    let error = make(&mut world, &terminate("web", &three, true)).unwrap_err();
    assert!(error.message.contains("will violate group's min size constraint"), "{error}");
    assert_eq!((ids(&world, "web").len(), desired(&world, "web")), (4, 4), "all or none");
    for _ in 0..2 {
        let told = make(&mut world, &terminate("web", &three[..2], true)).unwrap();
        assert_eq!((told.places_kept.len(), desired(&world, "web")), (0, 2));
    }
    world.advance_secs(600);
    assert_eq!((ids(&world, "web").len(), desired(&world, "web")), (2, 2));
    let error = make(&mut world, &terminate("web", &[three[0]], false)).unwrap_err();
    assert_eq!((error.code.as_str(), error.kind), ("ValidationError", CloudErrorKind::NotFound));
}

#[test]
fn capacity_stays_within_its_limits_and_follows_the_minimum_up() {
    let mut world = account(1);
    running_group(&mut world, group("web", 1, 3, "ab"));
    for outside in [0, 4] {
        assert_eq!(refused(&mut world, &desire("web", outside)), "ValidationError");
    }
    make(&mut world, &desire("web", 2)).unwrap();
    let minimum =
        |min_size| Call::SetGroupMinimum { auto_scaling_group_name: "web".to_owned(), min_size };
    make(&mut world, &minimum(3)).unwrap();
    assert_eq!(desired(&world, "web"), 3);
    make(&mut world, &minimum(0)).unwrap();
    assert_eq!(desired(&world, "web"), 3, "it never falls by itself");
    assert_eq!(refused(&mut world, &minimum(4)), "ValidationError");
}

#[test]
fn a_pin_is_for_machines_to_come_and_names_what_exists() {
    let mut world = account(1);
    running_group(&mut world, group("web", 2, 2, "ab"));
    assert_eq!(refused(&mut world, &pin("web", 2, None)), "ValidationError");
    assert_eq!(second_version(&mut world, "web"), 2);
    make(&mut world, &pin("web", 2, None)).unwrap();
    world.advance_secs(600);
    let versions = |world: &World| world.members("web").map(|m| m.version).collect::<Vec<_>>();
    assert_eq!(versions(&world), [1, 1]);
    let old = ids(&world, "web");
    make(&mut world, &terminate("web", &[&old[0]], false)).unwrap();
    world.advance_secs(600);
    let mut now = versions(&world);
    now.sort_unstable();
    assert_eq!(now, [1, 2]);
    assert_eq!(listed(&mut world, "web").pin, Some(2));
}

#[test]
fn a_pin_without_the_policy_drops_it() {
    let mut world = account(1);
    let policy = MixedInstancesPolicy {
        overrides: vec!["m5.large".to_owned()],
        instance_requirements: None,
        on_demand_allocation_strategy: "prioritized".to_owned(),
        on_demand_base_capacity: 0,
        on_demand_percentage_above_base_capacity: 0,
        spot_allocation_strategy: "price-capacity-optimized".to_owned(),
        spot_instance_pools: None,
        spot_max_price: None,
    };
    let wanted = AutoScalingGroup {
        mixed_instances_policy: Some(policy.clone()),
        ..group("web", 1, 1, "a")
    };
    running_group(&mut world, wanted);
    second_version(&mut world, "web");
    make(&mut world, &pin("web", 2, Some(policy.clone()))).unwrap();
    let has = |world: &World| world.groups.get("web").unwrap().group.mixed_instances_policy.clone();
    assert_eq!(has(&world), Some(policy));
    make(&mut world, &pin("web", 1, None)).unwrap();
    assert_eq!(has(&world), None);
}

#[test]
fn ec2_ends_all_of_a_call_or_none_and_remembers_for_an_hour() {
    let mut world = account(1);
    running_group(&mut world, group("web", 3, 3, "abc"));
    let all = ids(&world, "web");
    assert_eq!(refused(&mut world, &end(&[&all[0], "i-none"])), "InvalidInstanceID.NotFound");
    assert!(world.members("web").all(|machine| machine.power == Power::Running));
    make(&mut world, &detach("web", &[&all[0]], false)).unwrap();
    world.advance_secs(60);
    make(&mut world, &end(&[&all[0], &all[1]])).unwrap();
    assert_eq!(world.machines[&all[1]].lifecycle.as_str(), "InService", "not noticed yet");
    assert_eq!(world.machines[&all[1]].power.as_str(), "shutting-down");
    world.advance_secs(600);
    assert!(all[..2].iter().all(|id| !world.machines.contains_key(id)));
    assert_eq!(serving(&world, "web").values().sum::<usize>(), 3);
    make(&mut world, &end(&[&all[0]])).unwrap();
    world.advance_secs(3600);
    assert_eq!(refused(&mut world, &end(&[&all[0]])), "InvalidInstanceID.NotFound");
}

#[test]
fn tags_go_on_several_machines_at_once_or_on_none() {
    let mut world = account(1);
    let mut wanted = group("web", 2, 2, "ab");
    let own = GroupTag { value: "c.example.com".to_owned(), propagate_at_launch: true };
    wanted.tags.insert(OWNER_TAG.to_owned(), own);
    let mark = GroupTag { value: "id=r".to_owned(), propagate_at_launch: false };
    running_group(&mut world, wanted);
    let tags = BTreeMap::from([(ROLL_TAG.to_owned(), mark)]);
    let tag = Call::CreateOrUpdateTags { auto_scaling_group_name: "web".to_owned(), tags };
    make(&mut world, &tag).unwrap();
    assert_eq!(listed(&mut world, "web").mark.as_deref(), Some("id=r"));

    let all = ids(&world, "web");
    let tag = |ids: &[&str]| Call::CreateTags {
        resource_ids: names(ids),
        tags: Tags::from([
            (DETACHED_TAG.to_owned(), "web r".to_owned()),
            ("Name".to_owned(), "x".to_owned()),
        ]),
    };
    let refusal = make(&mut world, &tag(&[&all[0], "i-none"])).unwrap_err();
    assert_eq!(refusal.code, "InvalidInstanceID.NotFound");
    let marked = |world: &mut World| {
        let found = world.tagged_instances("c.example.com").unwrap();
        found.iter().filter(|one| one.tags.contains_key(DETACHED_TAG)).count()
    };
    assert_eq!(marked(&mut world), 0);
    make(&mut world, &tag(&[&all[0], &all[1]])).unwrap();
    assert_eq!(marked(&mut world), 2);
    let one = world.tagged_instances("c.example.com").unwrap().remove(0);
    assert_eq!(one.tags.keys().collect::<Vec<_>>(), [OWNER_TAG, DETACHED_TAG]);
    assert_eq!((one.version, one.state.as_str(), one.is_spot), (Some(1), "running", false));
    assert_eq!(one.launched_at, Some(world.machines[&one.instance_id].launched_at.timestamp()));
    let keys = names(&[DETACHED_TAG]);
    let untag = Call::DeleteTags { resource_ids: names(&[&all[0], &all[1]]), keys };
    make(&mut world, &untag).unwrap();
    assert_eq!(marked(&mut world), 0);
}

/// Whoever trusts the first look after a call is wrong now and then, and right in the end.
#[test]
fn listings_lag_behind_their_machines_and_catch_up() {
    let mut stale = [0, 0];
    for seed in 0..20 {
        let mut world = account(seed);
        let mut wanted = group("web", 2, 2, "ab");
        let own = GroupTag { value: "c.example.com".to_owned(), propagate_at_launch: true };
        wanted.tags.insert(OWNER_TAG.to_owned(), own);
        running_group(&mut world, wanted);
        world.lag = Lag { by_key_secs_max: 4, by_tag_secs_max: 15, fresh_id_secs_max: 0 };
        let one = ids(&world, "web")[0].clone();
        make(&mut world, &terminate("web", &[&one], false)).unwrap();
        let in_listing = |world: &mut World| {
            let facts = listed(world, "web");
            facts.instances.into_iter().find(|known| known.instance_id == one)
        };
        let by_tag = |world: &mut World| {
            let found = world.tagged_instances("c.example.com").unwrap();
            found.into_iter().find(|known| known.instance_id == one)
        };
        stale[0] += usize::from(in_listing(&mut world).unwrap().lifecycle_state == "InService");
        stale[1] += usize::from(by_tag(&mut world).unwrap().state == "running");
        world.advance_secs(16);
        assert_eq!(in_listing(&mut world).unwrap().lifecycle_state, "Terminating");
        assert_eq!(by_tag(&mut world).unwrap().state, "shutting-down");
        world.advance_secs(600);
        assert!(in_listing(&mut world).is_none() && by_tag(&mut world).is_none());
        assert_eq!(listed(&mut world, "web").instances.len(), 2);
        assert!(world.shadows.is_empty());
    }
    assert!((1..20).contains(&stale[0]) && (1..=20).contains(&stale[1]), "{stale:?}");
}
