//! What the checkers call broken, on worlds that are laid out by hand.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use super::{Look, Moment, i08, i09, i10, i14};
use crate::cloud::Call;
use crate::kube::{KubeCall, NodePatch};
use crate::rehearsal::act::Act;
use crate::rehearsal::fault::Faults;
use crate::rehearsal::ledger::Ledger;
use crate::rehearsal::scene::{Scene, Templates};
use crate::rehearsal::shape::{Layout, Pool, Shape};
use crate::resource::{FAILED_TAG, GroupTag, ROLL_TAG, Ref};
use crate::roll::mark::{DRAIN_ANNOTATION, Raised, RollMark};
use crate::roll::{Forced, RolloutRole, forced};
use crate::sim::{Lifecycle, StoredObject, Time, World};
use crate::spec::IntOrPercent;

/// A cluster with etcd on machines of its own and a pool of three, all of the old version, that stood long
/// enough for everything about it to be known.
async fn settled() -> (World, Ledger) {
    let shape = Shape {
        zones: 2,
        layout: Layout::Dedicated(3),
        pools: vec![Pool::Spread],
        is_upgrade: false,
    };
    let templates = Templates::default();
    let mut scene = Scene::of(7, &shape, &templates, |_| Faults::none()).await.unwrap();
    let mut ledger = Ledger::open(&mut scene.world, &scene.cluster, &scene.policy);
    scene.world.set_desired_capacity(&group_of(&ledger, RolloutRole::Node), 3).unwrap();
    scene.world.advance_secs(3600);
    ledger.look(&mut scene.world);
    (scene.world, ledger)
}

fn group_of(ledger: &Ledger, role: RolloutRole) -> String {
    ledger.of_role(|known| known == role).next().unwrap().to_owned()
}

fn member(world: &World, group: &str) -> String {
    world.members(group).next().unwrap().instance_id.clone()
}

fn terminate(group: &str, machine: &str) -> Call {
    Call::TerminateInstanceInAutoScalingGroup {
        auto_scaling_group_name: group.to_owned(),
        instance_ids: [machine.to_owned()].into(),
        should_decrement_desired_capacity: false,
    }
}

/// Has a machine be in another lifecycle: how many of its group serve then, as far as kprod can know.
fn serve_once(world: &mut World, ledger: &mut Ledger, machine: &str, is: Lifecycle) -> i32 {
    world.machines.get_mut(machine).unwrap().lifecycle = is;
    ledger.look_anew();
    ledger.look(world);
    ledger.known_to_serve(world.now, &group_of(ledger, RolloutRole::Node))
}

/// The request that makes a machine's node take work, or not any more.
fn patch(world: &mut World, cluster: &str, machine: &str, unschedulable: bool) -> KubeCall {
    let node = world.cluster(cluster).node_name(machine);
    let patch = NodePatch { unschedulable: Some(unschedulable), ..NodePatch::default() };
    KubeCall::PatchNode { node, patch }
}

/// Notes a surge on a group, and what it is to have.
fn note(world: &mut World, group: &str, raised: Option<Raised>, desired: i32) {
    let mark = RollMark {
        id: "20260101T120000Z-0f".to_owned(),
        began_at: "2026-01-01T12:00:00Z".parse().unwrap(),
        from: None,
        suspended: [].into(),
        raised,
        giving: [].into(),
    };
    world.groups.edit(group, |stored| {
        let tag = GroupTag { value: mark.to_string(), propagate_at_launch: false };
        stored.group.tags.insert(ROLL_TAG.to_owned(), tag);
        stored.desired_capacity = desired;
    });
}

/// What I14 says to the end of a machine that another one will stand in for.
fn end(world: &World, ledger: &Ledger, group: &str, machine: &str) -> Result<(), String> {
    let call = terminate(group, machine);
    let moment = Moment::Before { who: "run-1", act: Act::Cloud(&call) };
    i14(&Look { world, ledger, moment })
}

#[tokio::test]
async fn after_a_rollback_what_the_group_went_back_to_is_wanted() {
    let (mut world, ledger) = settled().await;
    let group = group_of(&ledger, RolloutRole::Etcd);
    let machine = member(&world, &group);
    let target = world.groups.get(&group).unwrap().group.tags["kprod.dev/target"].value.clone();
    let (new, revision) = target.split_once(':').unwrap();
    let (old, new) = (world.machines[&machine].version, new.parse().unwrap());
    let run = |world: &mut World, version| {
        world.machines.get_mut(&machine).unwrap().version = version;
    };
    assert_eq!(end(&world, &ledger, &group, &machine), Ok(()), "{old} goes, {new} comes");
    run(&mut world, new);
    assert!(end(&world, &ledger, &group, &machine).is_err());

    let failed = GroupTag { value: revision.to_owned(), propagate_at_launch: false };
    world.groups.edit(&group, |stored| {
        stored.group.tags.insert(FAILED_TAG.to_owned(), failed.clone());
        stored.version = new;
    });
    assert!(end(&world, &ledger, &group, &machine).is_err(), "the group has not gone back yet");
    world.groups.edit(&group, |stored| stored.version = old);
    assert_eq!(end(&world, &ledger, &group, &machine), Ok(()));
    run(&mut world, old);
    assert!(end(&world, &ledger, &group, &machine).is_err());
}

#[tokio::test]
async fn a_machine_as_wanted_goes_once_by_force_and_again_by_another_roll_alone() {
    let (mut world, mut ledger) = settled().await;
    ledger.policy.force = true;
    let group = group_of(&ledger, RolloutRole::Etcd);
    let machine = member(&world, &group);
    let target = world.groups.get(&group).unwrap().group.tags["kprod.dev/target"].value.clone();
    world.machines.get_mut(&machine).unwrap().version =
        target.split_once(':').unwrap().0.parse().unwrap();
    assert!(end(&world, &ledger, &group, &machine).is_err(), "nobody forces it yet");
    let key = forced::key(&ledger.cluster);
    let since = |world: &mut World, at: Time| {
        let groups = [(group.clone(), at.timestamp())].into();
        let forced = Forced { format_version: 1, roll: "of a test".to_owned(), groups };
        let object = StoredObject::new(serde_json::to_vec(&forced).unwrap(), "of a test", at);
        world.objects.insert(key.clone(), object);
    };
    let first = world.now;
    since(&mut world, first);
    ledger.look(&mut world);
    assert_eq!(end(&world, &ledger, &group, &machine), Ok(()));
    world.objects.remove(&key);
    ledger.look(&mut world);
    assert_eq!(end(&world, &ledger, &group, &machine), Ok(()), "it is still there");

    world.advance_secs(60);
    let now = world.now;
    world.machines.get_mut(&machine).unwrap().launched_at = now;
    since(&mut world, now.plus_ms(1));
    ledger.look(&mut world);
    assert!(end(&world, &ledger, &group, &machine).is_err(), "the first moment holds");
    world.objects.remove(&key);
    ledger.look(&mut world);
    since(&mut world, now.plus_ms(1));
    ledger.look(&mut world);
    assert_eq!(end(&world, &ledger, &group, &machine), Ok(()), "that roll was over");
}

#[tokio::test]
async fn a_machine_as_wanted_is_drained_for_a_surge_alone() {
    let (mut world, mut ledger) = settled().await;
    let group = group_of(&ledger, RolloutRole::Node);
    let ids: Vec<String> = world.members(&group).map(|m| m.instance_id.clone()).collect();
    let call = patch(&mut world, &ledger.cluster, &ids[0], true);
    let drain = |world: &World, ledger: &Ledger| {
        i14(&Look { world, ledger, moment: Moment::Before { who: "run-1", act: Act::Kube(&call) } })
    };
    assert!(ids.len() > 1);
    assert_eq!(drain(&world, &ledger), Ok(()));
    world.machines.get_mut(&ids[0]).unwrap().version = 2;
    assert!(drain(&world, &ledger).is_err());
    ledger.groups.get_mut(&group).unwrap().raised = 1;
    assert!(drain(&world, &ledger).is_err(), "outdated ones take the surge with them");
    for id in &ids {
        world.machines.get_mut(id).unwrap().version = 2;
    }
    assert_eq!(drain(&world, &ledger), Ok(()));
    ledger.begin("run-1", &ids[1]);
    assert_eq!(
        drain(&world, &ledger),
        Ok(()),
        "whoever meant to drain another one was killed before"
    );
    let other = world.cluster(&ledger.cluster).node_name(&ids[1]);
    let since = Some("2026-01-01T12:00:00Z".to_owned());
    let annotations = [(DRAIN_ANNOTATION.to_owned(), since)].into();
    let noted = NodePatch { annotations, ..NodePatch::default() };
    let noted = KubeCall::PatchNode { node: other, patch: noted };
    world.cluster(&ledger.cluster).request(&noted).unwrap();
    assert!(drain(&world, &ledger).is_err(), "another one takes it with it");
}

#[tokio::test]
async fn a_machine_that_nobody_could_use_may_go_for_a_moment_after_somebody_uncordons_it() {
    let (world, ledger) = settled().await;
    let group = group_of(&ledger, RolloutRole::Node);
    let ids: Vec<String> = world.members(&group).map(|m| m.instance_id.clone()).collect();
    // One as wanted beside two old ones that serve nobody, in a group with a surge of one.
    let laid_out = |was_cordoned: bool| {
        let (mut world, mut ledger) = (world.clone(), ledger.clone());
        world.machines.get_mut(&ids[0]).unwrap().version = 2;
        ledger.groups.get_mut(&group).unwrap().raised = 1;
        let cluster = ledger.cluster.clone();
        let cordon = |world: &mut World, id: &str, unschedulable: bool| {
            let call = patch(world, &cluster, id, unschedulable);
            world.cluster(&cluster).request(&call).unwrap();
        };
        ids[1..].iter().for_each(|id| cordon(&mut world, id, true));
        cordon(&mut world, &ids[0], was_cordoned);
        ledger.look(&mut world);
        world.advance_secs(Ledger::NOTICE_MS / 1000);
        ledger.look(&mut world);
        ledger.begin("run-1", &ids[0]);
        cordon(&mut world, &ids[0], true);
        world.advance_secs(10);
        ledger.look(&mut world);
        cordon(&mut world, &ids[0], false);
        ledger.uncordoned_at.insert(ids[0].clone(), world.now);
        ledger.look(&mut world);
        assert!(ledger.machines[&ids[0]].serves);
        (world, ledger)
    };
    let may = |world: &World, ledger: &Ledger, act: Act<'_>| {
        let look = Look { world, ledger, moment: Moment::Before { who: "run-1", act } };
        (i08(&look).is_ok(), i14(&look).is_ok())
    };
    let end = Call::TerminateInstanceInAutoScalingGroup {
        auto_scaling_group_name: group.clone(),
        instance_ids: [ids[0].clone()].into(),
        should_decrement_desired_capacity: true,
    };
    let (mut world, mut ledger) = laid_out(true);
    assert_eq!(may(&world, &ledger, Act::Cloud(&end)), (true, true), "nobody can know");
    let anew = patch(&mut world, &ledger.cluster, &ids[0], true);
    assert_eq!(may(&world, &ledger, Act::Kube(&anew)), (false, false), "who does that knows");
    world.advance_secs(Ledger::NOTICE_MS / 1000);
    ledger.look(&mut world);
    assert_eq!(may(&world, &ledger, Act::Cloud(&end)), (false, false), "that was to be seen");
    let (world, ledger) = laid_out(false);
    assert_eq!(may(&world, &ledger, Act::Cloud(&end)), (false, false), "kprod took it away");
}

#[tokio::test]
async fn a_newcomer_may_give_a_surge_back_for_a_moment_after_it_joins() {
    let (mut world, mut ledger) = settled().await;
    let group = group_of(&ledger, RolloutRole::Node);
    let id = member(&world, &group);
    world.machines.get_mut(&id).unwrap().version = 2;
    ledger.groups.get_mut(&group).unwrap().raised = 1;
    let end = Call::TerminateInstanceInAutoScalingGroup {
        auto_scaling_group_name: group.clone(),
        instance_ids: [id.clone()].into(),
        should_decrement_desired_capacity: true,
    };
    let may = |world: &World, ledger: &Ledger| {
        let act = Act::Cloud(&end);
        i14(&Look { world, ledger, moment: Moment::Before { who: "run-1", act } }).is_ok()
    };
    let book = ledger.machines.get_mut(&id).unwrap();
    (book.is_first, book.since) = (true, world.now);
    assert!(may(&world, &ledger), "nobody can know");
    world.advance_secs(Ledger::NOTICE_MS / 1000);
    assert!(!may(&world, &ledger), "that was to be seen");
    let book = ledger.machines.get_mut(&id).unwrap();
    (book.is_first, book.since) = (false, world.now);
    assert!(!may(&world, &ledger), "it has served before");
}

#[tokio::test]
async fn at_the_end_a_machine_more_is_one_that_aws_balances_zones_with() {
    let (mut world, ledger) = settled().await;
    for machine in world.machines.values_mut() {
        machine.version = 2;
    }
    let at_end = |world: &World| i14(&Look { world, ledger: &ledger, moment: Moment::End });
    assert_eq!(at_end(&world), Ok(()));

    let group = group_of(&ledger, RolloutRole::Node);
    let mut more = world.machines[&member(&world, &group)].clone();
    more.instance_id = "i-0123456789abcdef0".to_owned();
    (more.lifecycle, more.balances) = (Lifecycle::Pending, true);
    world.machines.insert(more.instance_id.clone(), more.clone());
    assert_eq!(at_end(&world), Ok(()), "the one that it is for goes once it serves");
    more.balances = false;
    world.machines.insert(more.instance_id.clone(), more);
    let told = at_end(&world).unwrap_err();
    assert!(told.contains("machines, not"), "{told}");
}

#[tokio::test]
async fn a_share_of_all_workers_is_one_of_those_that_may_be_known_of() {
    let (mut world, mut ledger) = settled().await;
    let group = group_of(&ledger, RolloutRole::Node);
    let ids: Vec<String> = world.members(&group).map(|m| m.instance_id.clone()).collect();
    ledger.policy.cluster.max_unavailable = Some(IntOrPercent::Percent(25));
    ledger.policy.cluster.max_unavailable_per_zone = None;
    serve_once(&mut world, &mut ledger, &ids[0], Lifecycle::Terminating);
    world.advance_secs(Ledger::NOTICE_MS / 1000);
    ledger.look(&mut world);
    let call = patch(&mut world, &ledger.cluster, &ids[1], true);
    let may = |world: &World, ledger: &Ledger| {
        let act = Act::Kube(&call);
        i10(&Look { world, ledger, moment: Moment::Before { who: "run-1", act } }).is_ok()
    };
    assert!(!may(&world, &ledger), "two of three are more than a quarter, and one");
    ledger.groups.get_mut(&group).unwrap().resized.push((world.now, -5));
    assert!(
        may(&world, &ledger),
        "two of eight are a quarter, and that others are less nobody can know"
    );
    world.advance_secs(Ledger::NOTICE_MS / 1000);
    assert!(!may(&world, &ledger), "that was to be seen");
}

#[tokio::test]
async fn what_kprod_only_meant_to_take_is_a_loss_when_the_world_takes_it() {
    let (world, ledger) = settled().await;
    let group = group_of(&ledger, RolloutRole::Node);
    let machine = member(&world, &group);
    let before = ledger.known_to_serve(world.now, &group);
    let end = |world: &mut World, ledger: &mut Ledger| {
        serve_once(world, ledger, &machine, Lifecycle::Terminating)
    };
    let (mut taken, mut known) = (world.clone(), ledger.clone());
    known.begin("run-1", &machine);
    assert_eq!(end(&mut taken, &mut known), before - 1, "kprod took it");

    let (mut taken, mut known) = (world, ledger);
    known.begin("run-1", &machine);
    known.finish("run-1");
    taken.advance_secs(3600);
    known.look(&mut taken);
    assert_eq!(end(&mut taken, &mut known), before, "nobody can know");
    taken.advance_secs(Ledger::NOTICE_MS / 1000);
    assert_eq!(known.known_to_serve(taken.now, &group), before - 1, "that was to be seen");
}

#[tokio::test]
async fn what_kprod_lets_be_is_a_loss_when_the_world_has_just_ended_it() {
    let (mut world, mut ledger) = settled().await;
    let group = group_of(&ledger, RolloutRole::Node);
    let machine = member(&world, &group);
    let before = ledger.known_to_serve(world.now, &group);
    let cordon = |world: &mut World, ledger: &mut Ledger, unschedulable: bool| {
        let call = patch(world, &ledger.cluster, &machine, unschedulable);
        world.cluster(&ledger.cluster).request(&call).unwrap();
        ledger.finish("run-1");
        ledger.look(world);
    };
    ledger.begin("run-1", &machine);
    cordon(&mut world, &mut ledger, true);
    let serve = serve_once(&mut world, &mut ledger, &machine, Lifecycle::Terminating);
    assert_eq!(serve, before - 1, "kprod has cordoned it");
    ledger.let_be(&machine);
    cordon(&mut world, &mut ledger, false);
    assert_eq!(ledger.known_to_serve(world.now, &group), before, "nobody can know");
    world.advance_secs(Ledger::NOTICE_MS / 1000);
    assert_eq!(ledger.known_to_serve(world.now, &group), before - 1, "that was to be seen");
}

#[tokio::test]
async fn a_machine_that_is_taken_out_of_its_group_serves_on_unless_load_balancers_let_it_go() {
    let (mut world, mut ledger) = settled().await;
    let group = group_of(&ledger, RolloutRole::Node);
    let machine = member(&world, &group);
    let before = ledger.known_to_serve(world.now, &group);
    // Whom kprod has begun with is no loss that it could not know of.
    ledger.begin("run-1", &machine);
    let mut serve =
        |world: &mut World| serve_once(world, &mut ledger, &machine, Lifecycle::Detaching);
    assert_eq!(serve(&mut world), before);
    world.groups.edit(&group, |stored| {
        stored.group.target_group_arns.insert(Ref::Known("arn:shop".to_owned()));
    });
    assert_eq!(serve(&mut world), before - 1);
}

#[tokio::test]
async fn a_node_that_has_just_come_back_may_go_as_it_was_and_not_once_that_can_be_known() {
    let (mut world, ledger) = settled().await;
    let group = group_of(&ledger, RolloutRole::Node);
    let machine = member(&world, &group);
    let call = terminate(&group, &machine);
    let ends = |world: &World| {
        let moment = Moment::Before { who: "run-1", act: Act::Cloud(&call) };
        i09(&Look { world, ledger: &ledger, moment })
    };
    assert!(ends(&world).is_err(), "it works");
    let node = world.cluster(&ledger.cluster).node_name(&machine);
    world.cluster(&ledger.cluster).flap_node(&node, 120);
    world.advance_secs(110);
    assert_eq!(ends(&world), Ok(()), "it does not answer");
    world.advance_secs(30);
    assert_eq!(ends(&world), Ok(()), "it answers again, for half a minute at most");
    world.advance_secs(Ledger::NOTICE_MS / 1000);
    assert!(ends(&world).is_err(), "it works again");
}

#[tokio::test]
async fn a_surge_goes_by_what_a_listing_may_still_have_shown_and_not_by_what_could_be_known() {
    let (mut world, ledger) = settled().await;
    let group = group_of(&ledger, RolloutRole::Node);
    let mut raises = |others: i32, waits: u64| {
        let (mut ledger, now) = (ledger.clone(), world.now);
        note(&mut world, &group, None, others);
        ledger.others_set_desired(now, 3, world.groups.get(&group).unwrap());
        note(&mut world, &group, Some(Raised { base: 3, by: 1, made: 0 }), 4);
        let stored = world.groups.get(&group).unwrap();
        ledger.kprod_set_desired(now.plus_ms(waits), others, stored, Some(4));
        let raised = ledger.groups[&group].raised;
        let left = |world: &mut World, desired| {
            world.groups.edit(&group, |stored| stored.desired_capacity = desired);
            i09(&Look { world, ledger: &ledger, moment: Moment::End })
        };
        let fits = [2, 3, 4, 5, 6].map(|desired| left(&mut world, desired).is_ok());
        let fitting = (2..).zip(fits).filter_map(|(desired, fits)| fits.then_some(desired));
        (raised, fitting.collect::<Vec<i32>>())
    };
    assert_eq!(raises(3, 5_000), (1, vec![3]));
    assert_eq!(raises(2, 5_000), (1, vec![2, 3]), "others have just lowered it");
    assert_eq!(raises(4, 5_000), (1, vec![3, 4]), "others have just raised it");
    assert_eq!(raises(5, 5_000), (1, vec![3, 4, 5]), "they have raised it beyond the surge");
    assert_eq!(raises(2, Ledger::NOTICE_MS), (2, vec![2]), "that was to be seen");
}

#[tokio::test]
async fn nobody_can_tell_who_asked_for_the_number_that_a_killed_run_had_noted() {
    let (mut world, ledger) = settled().await;
    let group = group_of(&ledger, RolloutRole::Node);
    let mut ask = |made: i32, others: i32| {
        let mut ledger = ledger.clone();
        note(&mut world, &group, Some(Raised { base: 3, by: 2, made }), others);
        let book = ledger.groups.get_mut(&group).unwrap();
        (book.base, book.raised) = ((3, 3), made);
        ledger.others_set_desired(world.now, 3 + made, world.groups.get(&group).unwrap());
        (ledger.groups[&group].raised, ledger.groups[&group].base)
    };
    assert_eq!(ask(0, 4), (0, (4, 4)));
    assert_eq!(ask(0, 5), (2, (3, 5)), "that is the number");
    assert_eq!(ask(1, 5), (2, (3, 5)), "a part of it had come");
    assert_eq!(ask(1, 6), (1, (5, 6)));
    assert_eq!(ask(2, 5), (2, (3, 5)), "all of it had come, and nobody has asked for anything");
}

#[tokio::test]
async fn a_group_that_an_apply_makes_again_counts_from_then_on_and_not_while_it_still_goes() {
    let (mut world, mut ledger) = settled().await;
    let group = group_of(&ledger, RolloutRole::Node);
    ledger.groups.remove(&group);
    let mut is_known = |goes: bool| {
        world.groups.edit(&group, |stored| stored.is_pending_delete = goes);
        ledger.look(&mut world);
        ledger.groups.get(&group).map(|book| book.base)
    };
    assert_eq!(is_known(true), None);
    assert_eq!(is_known(false), Some((3, 3)));
}

/// A request that AWS refuses for a moment is sent again, by who has looked before both.
#[tokio::test]
async fn an_end_that_is_asked_for_again_is_judged_by_what_could_be_known_at_first() {
    let (mut world, settled) = settled().await;
    let group = group_of(&settled, RolloutRole::Node);
    let id = member(&world, &group);
    let call = terminate(&group, &id);
    let is_fine = |world: &World, ledger: &Ledger| {
        let act = Act::Cloud(&call);
        i08(&Look { world, ledger, moment: Moment::Before { who: "run-1", act } }).is_ok()
    };
    world.groups.edit(&group, |stored| stored.desired_capacity = 5);
    let joins = |ledger: &mut Ledger, now: Time| {
        let book = ledger.machines.get_mut(&id).unwrap();
        (book.serves, book.is_first, book.since) = (true, true, now);
    };
    let (mut ended, mut drained) = (settled.clone(), settled);
    joins(&mut ended, world.now);
    assert!(is_fine(&world, &ended), "nobody can know");
    ended.end(world.now, "run-1", &id);
    assert!(is_fine(&world, &ended), "nor could they then");
    joins(&mut drained, world.now);
    drained.begin("run-1", &id);
    assert!(!is_fine(&world, &drained), "who drains it has seen its node");
    world.advance_secs(Ledger::NOTICE_MS / 1000);
    assert!(!is_fine(&world, &ended), "that was to be seen");
}
