//! etcd members of the simulated world: what their reports say while machines come and go.

use std::collections::BTreeSet;

use super::*;
use crate::etcd::epoch::{Epoch, epoch_key, snapshots_key};
use crate::etcd::report::report_key;
use crate::etcd::snapshot::{List, sha256_of};
use crate::etcd::{MemberReport, MemberRole, Topology, TopologyCluster, TopologyMember};
use crate::sim::{MemberFault, StoredObject, Time};

const CLUSTER: &str = "c.example.com";

/// Three groups of one machine, each with a member.
fn etcd_world() -> World {
    let mut world = account(3);
    let mut main = TopologyCluster::default();
    for zone in ["a", "b", "c"] {
        let name = format!("host-{zone}");
        template(&mut world, &name, template_data(&[]));
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

#[test]
fn what_somebody_wrote_goes_before_what_the_world_makes_up() {
    let mut world = etcd_world();
    let key = report_key(CLUSTER, "main", "a");
    world.put_object(&key, b"mine".to_vec(), &crate::cloud::Condition::Any).unwrap().unwrap();
    let entry = world.get_object(&key).unwrap();
    assert_eq!(entry.body, b"mine");
    assert!(entry.written_at <= world.now.timestamp());
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
