//! etcd members of the simulated world: what their reports say while machines come and go.

use std::collections::BTreeSet;

use super::*;
use crate::boot::settings::ETCD_PROGRAM;
use crate::boot::{Fetched, Hosted, Settings, user_data};
use crate::etcd::epoch::{Epoch, epoch_key, snapshots_key};
use crate::etcd::report::report_key;
use crate::etcd::snapshot::{List, Request, Schedule, Store, request_key, sha256_of};
use crate::etcd::{
    MemberReport, MemberRole, Minor, Topology, TopologyCluster, TopologyMember, Version,
};
use crate::sim::{MemberFault, StoredObject, Time};

const CLUSTER: &str = "c.example.com";

/// Three groups of one machine, each with a member.
fn etcd_world() -> World {
    etcd_world_told(|_| template_data(&[]).user_data)
}

/// The same, each machine with user data of its own.
fn etcd_world_told(user_data: impl Fn(&str) -> String) -> World {
    let mut world = account(3);
    let mut main = TopologyCluster::default();
    for zone in ["a", "b", "c"] {
        let name = format!("host-{zone}");
        let data = LaunchTemplateData { user_data: user_data(zone), ..template_data(&[]) };
        template(&mut world, &name, data);
        make(&mut world, &create(group(&name, 1, 1, zone))).unwrap();
        main.members.insert(zone.to_owned(), TopologyMember { group: name, zone: None });
    }
    world.advance_secs(600);
    world.host_etcd(CLUSTER, &Topology { clusters: [("main".to_owned(), main)].into() });
    world.advance_secs(60);
    world
}

fn report(world: &mut World, member: &str) -> Option<(MemberReport, Time)> {
    let entry = world.get_object(&report_key(CLUSTER, "main", member))?;
    let report = serde_json::from_slice(&entry.body).unwrap();
    Some((report, Time(entry.written_at.as_millisecond())))
}

fn says(world: &mut World, member: &str) -> MemberReport {
    report(world, member).unwrap().0
}

fn end_host(world: &mut World, member: &str) {
    let group = format!("host-{member}");
    let id = world.members(&group).next().unwrap().instance_id.clone();
    world.terminate_instance(&id).unwrap();
}

fn key(member: &str) -> String {
    format!("{CLUSTER}/main/{member}")
}

/// Something ails a member, and has been reported since.
fn ail(world: &mut World, member: &str, fault: MemberFault) {
    world.ail(&key(member), fault);
    world.advance_secs(10);
}

#[test]
fn members_of_machines_that_serve_are_healthy_voters_and_report_every_ten_seconds() {
    let mut world = etcd_world();
    let all = ["a", "b", "c"].map(|member| says(&mut world, member));
    for report in &all {
        assert!(report.is_healthy && report.lag == 0 && report.alarms.is_empty(), "{report:?}");
        assert_eq!((report.term, &report.leader), (all[0].term, &all[0].leader));
        assert_eq!(report.members.len(), 3);
        assert!(report.members.values().all(|role| *role == MemberRole::Voter));
        assert!(report.snapshot_at.is_some());
    }
    let (first, at) = report(&mut world, "a").unwrap();
    world.advance_secs(10);
    let (second, later) = report(&mut world, "a").unwrap();
    assert_eq!((second.sequence, later), (first.sequence + 1, at.plus_secs(10)));
    assert!(world.now.since_ms(later) < 10_000);
    assert!(world.get_object(&report_key(CLUSTER, "main", "x")).is_none());
    assert!(world.get_object(&report_key("other", "main", "a")).is_none());
}

#[test]
fn looking_draws_nothing() {
    let (mut looked, mut left) = (etcd_world(), etcd_world());
    let _ = left.get_object("something else");
    let _ = report(&mut looked, "a");
    assert_eq!(looked.drawn, left.drawn);
}

#[test]
fn a_member_whose_host_goes_falls_silent_and_comes_back_as_a_voter() {
    let mut world = etcd_world();
    let before = says(&mut world, "a");
    assert_eq!(before.leader.as_deref(), Some("a"));
    end_host(&mut world, "a");
    world.advance_secs(40);
    let (last, at) = report(&mut world, "a").unwrap();
    assert_eq!(last.instance_id, before.instance_id);
    assert!(world.now.since_ms(at) > 20_000, "the last report gets old");
    let other = says(&mut world, "b");
    assert_eq!((other.term, other.leader.as_deref()), (before.term + 1, Some("b")));
    assert!(other.is_healthy && other.members["a"] == MemberRole::Voter);
    let mut seen_unhealthy = false;
    for _ in 0..60 {
        world.advance_secs(5);
        let now = says(&mut world, "a");
        let is_new = now.instance_id != before.instance_id;
        seen_unhealthy |= is_new && !now.is_healthy;
        assert!(!is_new || now.is_healthy || now.lag > 0, "{now:?}");
    }
    assert!(seen_unhealthy, "it catches up first");
    let after = says(&mut world, "a");
    assert!(after.is_healthy && after.instance_id != before.instance_id);
    assert_eq!(after.term, before.term + 1, "nobody elects another leader for it");
}

#[test]
fn two_hosts_gone_are_no_leader_and_one_back_is_a_new_term() {
    let mut world = etcd_world();
    let term = says(&mut world, "c").term;
    end_host(&mut world, "a");
    end_host(&mut world, "b");
    world.advance_secs(15);
    let alone = says(&mut world, "c");
    assert!(!alone.is_healthy && alone.leader.is_none());
    world.advance_secs(600);
    let after = says(&mut world, "c");
    assert!(after.is_healthy && after.leader.is_some() && after.term > term);
}

#[test]
fn a_member_that_lost_its_data_learns_before_it_votes() {
    let mut world = etcd_world();
    world.lose_volume(CLUSTER, "main", "c");
    assert_eq!(says(&mut world, "a").members["c"], MemberRole::Voter, "it runs still");
    end_host(&mut world, "c");
    let mut roles = BTreeSet::new();
    for _ in 0..80 {
        world.advance_secs(5);
        roles.insert(says(&mut world, "a").members["c"]);
    }
    assert_eq!(roles, BTreeSet::from([MemberRole::Voter, MemberRole::Learner]));
    assert_eq!(says(&mut world, "a").members["c"], MemberRole::Voter);
    assert!(says(&mut world, "c").is_healthy);
}

#[test]
fn each_fault_shows_in_the_reports() {
    let mut world = etcd_world();
    ail(&mut world, "a", MemberFault::Slow { lag: 900 });
    assert_eq!((says(&mut world, "a").lag, says(&mut world, "b").lag), (900, 0));
    ail(&mut world, "b", MemberFault::Alarm { name: "NOSPACE".to_owned() });
    assert!(says(&mut world, "c").alarms.contains("NOSPACE"));
    ail(&mut world, "c", MemberFault::Learner);
    assert_eq!(says(&mut world, "a").members["c"], MemberRole::Learner);
    ail(&mut world, "b", MemberFault::Silent);
    let (_, at) = report(&mut world, "b").unwrap();
    world.advance_secs(100);
    assert_eq!(report(&mut world, "b").unwrap().1, at);
    ail(&mut world, "b", MemberFault::Missing);
    assert_eq!(report(&mut world, "b"), None);
    world.recover_all();
    world.advance_secs(10);
    let healed = ["a", "b", "c"].map(|member| says(&mut world, member));
    assert!(healed.iter().all(|r| r.is_healthy && r.lag == 0 && r.alarms.is_empty()));
    ail(&mut world, "a", MemberFault::Sick);
    assert!(!says(&mut world, "a").is_healthy);
    world.advance_secs(10);
    assert_ne!(says(&mut world, "b").leader.as_deref(), Some("a"));
}

#[test]
fn a_host_that_sleeps_says_when_it_wakes_up_what_it_was_about_to_say() {
    let mut world = etcd_world();
    let host = |world: &World| world.members("host-c").next().unwrap().instance_id.clone();
    let id = host(&world);
    let before = says(&mut world, "c");
    world.doze(&id);
    world.advance_secs(300);
    let (stale, at) = report(&mut world, "c").unwrap();
    assert!(stale.is_healthy && world.now.since_ms(at) >= 300_000);
    assert!(!world.member_states(CLUSTER, "main")["c"].is_healthy);
    let mut alone = world.clone();
    // While its machine is there, it follows up in a while.
    world.wake_up(&id);
    let (lie, at) = report(&mut world, "c").unwrap();
    assert!(lie.is_healthy && lie.sequence > before.sequence);
    assert!(world.now.since_ms(at) < 2_000, "it is dated by now");
    assert_eq!((lie.term, &lie.leader, &lie.instance_id), (before.term, &before.leader, &id));
    assert!(!world.member_states(CLUSTER, "main")["c"].is_healthy, "it catches up first");
    world.advance_secs(120);
    assert!(says(&mut world, "c").is_healthy && world.sleepers().is_empty());
    // Its replacement has come meanwhile: what it says lasts until that one's next report.
    alone.terminate_instance(&id).unwrap();
    alone.advance_secs(600);
    let replaced = says(&mut alone, "c");
    assert_ne!(replaced.instance_id, id);
    assert_eq!(alone.sleepers(), BTreeSet::from([id.clone()]));
    alone.wake_up(&id);
    assert_eq!(says(&mut alone, "c").instance_id, id);
    alone.advance_secs(10);
    assert_eq!(says(&mut alone, "c").instance_id, host(&alone));
}

#[test]
fn what_was_reported_stays_as_it_was_written() {
    let mut world = etcd_world();
    let told = |world: &mut World| {
        let (report, at) = report(world, "b").unwrap();
        (report.is_healthy, report.alarms.is_empty(), at)
    };
    let is_healthy = |world: &mut World| world.member_states(CLUSTER, "main")["b"].is_healthy;
    let (.., at) = told(&mut world);
    world.ail(&key("b"), MemberFault::Sick);
    world.ail(&key("b"), MemberFault::Alarm { name: "NOSPACE".to_owned() });
    assert!(!is_healthy(&mut world), "it is sick from now on");
    assert_eq!(told(&mut world), (true, true, at));
    world.advance_secs(10);
    assert_eq!(told(&mut world), (false, false, at.plus_secs(10)));
    world.recover_all();
    assert!(is_healthy(&mut world));
    assert_eq!(told(&mut world), (false, false, at.plus_secs(10)));
    world.advance_secs(10);
    assert_eq!(told(&mut world), (true, true, at.plus_secs(20)));
    end_host(&mut world, "b");
    assert_eq!(told(&mut world), (true, true, at.plus_secs(20)));
    let state = &world.member_states(CLUSTER, "main")["b"];
    assert_eq!((&state.host, state.is_healthy, state.is_voter), (&None, false, true));
}

#[test]
fn snapshots_are_taken_every_hour_until_they_fail() {
    let mut world = etcd_world();
    let at = |world: &mut World| says(world, "a").snapshot_at.unwrap();
    let first = at(&mut world);
    // Each slot of an hour has one, and the next in turn may have to step in.
    world.advance_secs(2 * 3600);
    let second = at(&mut world);
    let secs = |from: jiff::Timestamp, to: jiff::Timestamp| to.duration_since(from).as_secs();
    assert!(secs(first, second) >= 3600, "{first} {second}");
    assert!(secs(second, world.now.timestamp()) <= 3600 + 600, "{second}");
    let key = snapshots_key(CLUSTER, "main");
    let list = List::parse(&key, &world.look_at_object(&key).unwrap().body).unwrap();
    assert_eq!(list.newest().unwrap().taken_at, second);
    for record in &list.snapshots {
        let body = world.objects[&record.object].body.to_bytes();
        assert_eq!((sha256_of(&body), body.len() as u64), (record.sha256.clone(), record.bytes));
    }
    let members: BTreeSet<&String> = list.snapshots.iter().map(|record| &record.member).collect();
    assert!(members.len() > 1, "they take turns: {members:?}");
    world.faults.failing_snapshots.insert(CLUSTER.to_owned());
    assert_eq!(at(&mut world), second);
    world.advance_secs(7200);
    assert_eq!(at(&mut world), second);
}

/// User data of a machine that hosts a member of `main`, and is told where its snapshots go.
fn told(member: &str, snapshots: Option<Store>) -> String {
    user_data::script(&Settings {
        format_version: Settings::FORMAT_VERSION,
        cluster: CLUSTER.to_owned(),
        account: None,
        region: "eu-west-3".to_owned(),
        config_base: format!("s3://state/{CLUSTER}"),
        auto_scaling_group_name: format!("host-{member}"),
        launch_hook: None,
        members: vec![Hosted {
            etcd: "main".to_owned(),
            member: member.to_owned(),
            quota_backend_bytes: None,
            snapshots,
        }],
        etcd_program: ETCD_PROGRAM.into(),
        program: Fetched { key: format!("assets/{CLUSTER}/0a"), size: 7 },
    })
}

#[test]
fn snapshots_are_taken_and_kept_as_the_machine_is_told() {
    let schedule = Schedule { interval_secs: 600, keep_all_secs: 1800, keep_daily_secs: 0 };
    let store = || Some(Store { store: format!("s3://state/{CLUSTER}/kept"), schedule });
    let mut world = etcd_world_told(|member| told(member, store()));
    world.advance_secs(4 * 3600);
    let key = snapshots_key(CLUSTER, "main");
    let list = List::parse(&key, &world.look_at_object(&key).unwrap().body).unwrap();
    let taken: Vec<i64> = list.snapshots.iter().map(|one| one.taken_at.as_second()).collect();
    assert!((3..=4).contains(&taken.len()), "half an hour, one every ten minutes: {taken:?}");
    assert!(taken.windows(2).all(|two| (500..=700).contains(&(two[1] - two[0]))), "{taken:?}");
    for record in &list.snapshots {
        assert!(record.object.starts_with(&format!("s3://state/{CLUSTER}/kept/{CLUSTER}/main/")));
    }
    let objects = world.objects.keys().filter(|key| key.starts_with("s3://"));
    assert_eq!(objects.count(), taken.len(), "what is kept no longer is gone");
}

#[test]
fn no_snapshot_is_taken_where_the_machine_is_told_no_place() {
    let mut world = etcd_world_told(|member| told(member, None));
    let request = Request {
        format_version: Request::FORMAT_VERSION,
        id: "1".to_owned(),
        asked_at: world.now.timestamp(),
        member: None,
        alone: false,
    };
    let key = request_key(CLUSTER, "main");
    world.put_object(&key, request.to_bytes(), &crate::cloud::Condition::Any).unwrap().unwrap();
    world.advance_secs(4 * 3600);
    assert!(says(&mut world, "a").is_healthy);
    assert_eq!(says(&mut world, "a").snapshot_at, None);
    assert!(world.look_at_object(&snapshots_key(CLUSTER, "main")).is_none());
}

#[test]
fn what_somebody_wrote_goes_before_what_the_world_makes_up() {
    let mut world = etcd_world();
    let key = report_key(CLUSTER, "main", "a");
    world.put_object(&key, b"mine".to_vec(), &crate::cloud::Condition::Any).unwrap().unwrap();
    let entry = world.get_object(&key).unwrap();
    assert_eq!(entry.body, b"mine");
    assert!(entry.written_at <= world.now.timestamp());
}

#[test]
fn etcd_goes_up_one_minor_version_at_a_time_and_the_cluster_version_follows_the_last_member() {
    let mut world = etcd_world();
    let image = world.members("host-a").next().unwrap().image_id.clone();
    let of = |minor| Version { minor: Minor::of_three(minor), patch: 1 };
    let cluster = |world: &mut World| says(world, "a").cluster_version.unwrap().minor;
    let before = cluster(&mut world);
    // Machines that come from now on bring this version.
    let exchange = |world: &mut World, minor: u32, member: &str| {
        world.set_etcd_of_image(&image, of(minor));
        let gone = says(world, member).instance_id;
        end_host(world, member);
        world.advance_secs(400);
        let says = says(world, member);
        says.is_healthy && says.instance_id != gone
    };
    for member in ["b", "c", "a"] {
        assert!(!exchange(&mut world.clone(), before + 2, member), "it would skip a version");
        assert!(exchange(&mut world, before + 1, member), "{member}");
        let risen = if member == "a" { before + 1 } else { before };
        assert_eq!(cluster(&mut world), risen, "after {member}");
        assert_eq!(says(&mut world, member).version, Some(of(before + 1)));
        // One may go back while one of the older version is left, and not after that.
        assert_eq!(exchange(&mut world.clone(), before, member), member != "a");
    }
    assert!(exchange(&mut world, before + 2, "b"), "the next one, now");
    assert_eq!(cluster(&mut world), before + 1);
}

#[test]
fn a_cluster_of_which_nobody_runs_remembers_its_version() {
    let mut world = etcd_world();
    let image = world.members("host-a").next().unwrap().image_id.clone();
    let before = says(&mut world, "a").cluster_version.unwrap().minor;
    let restart = |world: &mut World, minor: u32| {
        world.set_etcd_of_image(&image, Version { minor: Minor::of_three(minor), patch: 0 });
        ["a", "b", "c"].iter().for_each(|member| end_host(world, member));
        world.advance_secs(600);
        let now = world.now;
        ["a", "b", "c"].map(|member| now.since_ms(report(world, member).unwrap().1) < 20_000)
    };
    assert_eq!(restart(&mut world.clone(), before + 1), [true; 3]);
    assert_eq!(restart(&mut world.clone(), before + 2), [false; 3]);
    assert_eq!(restart(&mut world, before - 1), [false; 3]);
}

/// The members that have started since all hosts were ended, with blank volumes.
fn started_blank(world: &mut World, epoch: impl Fn(&mut World)) -> usize {
    let gone: BTreeSet<String> =
        ["a", "b", "c"].map(|member| says(world, member).instance_id).into();
    for member in ["a", "b", "c"] {
        world.lose_volume(CLUSTER, "main", member);
        end_host(world, member);
    }
    epoch(world);
    world.advance_secs(1200);
    let now = ["a", "b", "c"].map(|member| says(world, member).instance_id);
    now.iter().filter(|id| !gone.contains(*id)).count()
}

#[test]
fn blank_volumes_form_a_cluster_only_under_an_open_epoch() {
    let key = epoch_key(CLUSTER, "main");
    let epoch = |world: &World| Epoch::parse(&key, &world.objects[&key].body.to_bytes()).unwrap();
    let mut world = etcd_world();
    let formed = epoch(&world);
    assert!(formed.cluster_id().is_some(), "the first healthy quorum closes it");
    assert_eq!(started_blank(&mut world.clone(), |_| ()), 0, "it is closed");
    let gone = |world: &mut World| drop(world.objects.remove(&key));
    assert_eq!(started_blank(&mut world.clone(), gone), 0, "it is gone");
    let listed = snapshots_key(CLUSTER, "main");
    let open = |world: &mut World| {
        let next = Epoch::first(CLUSTER, "main", formed.members.clone(), 99);
        let at = world.now;
        world.objects.insert(key.clone(), StoredObject::new(next.to_bytes(), "next", at));
        world.objects.remove(&listed);
    };
    let with_snapshots = |world: &mut World| {
        open(world);
        let at = world.now;
        world.objects.insert(listed.clone(), StoredObject::new(b"[]".to_vec(), "list", at));
    };
    assert_eq!(started_blank(&mut world.clone(), with_snapshots), 0, "there are snapshots");
    assert_eq!(started_blank(&mut world, open), 3);
}
