//! A member's state by its report, and that a standing says what the guard says.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::time::Duration;

use super::*;
use crate::etcd::{MemberReport, Version, Why, may_go};

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs).unwrap()
}

fn limits() -> Limits {
    Limits {
        report_age_max: Limits::REPORT_AGE_MAX,
        lag_max: Limits::LAG_MAX,
        snapshot_age_max: Duration::from_secs(7200),
        not_before: Timestamp::MIN,
        one_member_downtime: false,
    }
}

const MEMBERS: [&str; 3] = ["a", "b", "c"];

fn topology() -> Topology {
    let member = |name: &str| {
        let (group, zone) = (format!("host-{name}"), Some(format!("zone-{name}")));
        (name.to_owned(), TopologyMember { group, zone })
    };
    let cluster = TopologyCluster { members: MEMBERS.into_iter().map(member).collect() };
    Topology { clusters: [("main".to_owned(), cluster)].into() }
}

/// A healthy member's first report, written a moment ago.
fn fact(name: &str) -> MemberFact {
    let members = MEMBERS.map(|name| (name.to_owned(), MemberRole::Voter));
    let report = MemberReport {
        format_version: MemberReport::FORMAT_VERSION,
        member: name.to_owned(),
        instance_id: format!("i-{name}"),
        sequence: 1,
        is_healthy: true,
        term: 4,
        leader: Some("b".to_owned()),
        lag: 0,
        alarms: BTreeSet::new(),
        members: members.into(),
        snapshot_at: Some(at(-600)),
        version: Some(Version { minor: Minor::of_three(5), patch: 9 }),
        cluster_version: Some(Minor::of_three(5)),
    };
    MemberFact { report, written_at: at(-3), before: None }
}

/// How the cluster stands when the report of `a` is changed so.
fn standing(change: impl FnOnce(&mut BTreeMap<String, MemberFact>)) -> Standing {
    let mut members = MEMBERS.map(|name| (name.to_owned(), fact(name))).into();
    change(&mut members);
    let facts = [("main".to_owned(), members)].into();
    Standing::of("c.example.com", &topology(), &facts, at(0), &limits())
}

fn states(standing: &Standing) -> Vec<MemberState> {
    standing.etcds["main"].members.values().map(|member| member.state).collect()
}

#[test]
fn who_looks_once_sees_a_healthy_cluster_as_well() {
    let standing = standing(|_| ());
    let (leader, follower) = (MemberState::Leader, MemberState::Follower);
    assert_eq!(states(&standing), [follower, leader, follower]);
    assert!(standing.is_well(), "{standing:#?}");
    assert_eq!(standing.etcds["main"].snapshot_at, Some(at(-600)));
    let left = standing.etcds["main"].domains.outages.values().map(|outage| outage.left_now);
    assert_eq!(left.collect::<Vec<_>>(), [2, 2, 2]);
}

#[test]
fn each_trouble_is_a_state_and_a_complaint() {
    type Change = fn(&mut BTreeMap<String, MemberFact>);
    let cases: [(Change, MemberState, Why); 5] = [
        (|all| drop(all.remove("a")), MemberState::NoReport, Why::NoReport),
        (
            |all| all.get_mut("a").unwrap().written_at = at(-300),
            MemberState::Silent,
            Why::Stale { age_secs: 300, age_secs_max: 45 },
        ),
        (
            |all| all.get_mut("a").unwrap().report.is_healthy = false,
            MemberState::NotHealthy,
            Why::NotHealthy,
        ),
        (
            |all| {
                let report = &mut all.get_mut("a").unwrap().report;
                report.members.insert("a".to_owned(), MemberRole::Learner);
            },
            MemberState::Learner,
            Why::Learner,
        ),
        (
            |all| all.get_mut("a").unwrap().report.lag = 501,
            MemberState::Follower,
            Why::Lag { lag: 501, lag_max: 500 },
        ),
    ];
    for (change, state, why) in cases {
        let standing = standing(change);
        assert_eq!(states(&standing)[0], state, "{why:?}");
        let complaints = &standing.etcds["main"].complaints;
        let about = |c: &&RefusalReason| c.member.as_deref() == Some("a");
        let whys: Vec<&Why> = complaints.iter().filter(about).map(|c| &c.why).collect();
        assert_eq!(whys, [&why]);
        let up = usize::from(state == MemberState::Follower);
        assert_eq!(standing.etcds["main"].domains.outages["zone-b"].left_now, 1 + up, "{why:?}");
    }
}

/// What is wrong while nobody goes is wrong when somebody goes, too.
#[test]
fn the_guard_refuses_whenever_a_standing_complains() {
    let mut members: BTreeMap<String, MemberFact> =
        MEMBERS.map(|name| (name.to_owned(), fact(name))).into();
    members.get_mut("b").unwrap().report.term = 5;
    let facts: Facts = [("main".to_owned(), members)].into();
    let standing = Standing::of("c.example.com", &topology(), &facts, at(0), &limits());
    let complaints = &standing.etcds["main"].complaints;
    assert!(!complaints.is_empty());
    let keeps = |group: &str, id: &str| group.replace("host-", "i-") == id;
    let refusal = may_go(&topology(), &facts, &keeps, "host-c", at(0), &limits()).unwrap_err();
    assert!(refusal.reasons.is_superset(complaints), "{refusal} lacks some of {complaints:?}");
}
