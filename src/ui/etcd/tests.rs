//! A standing as it is read, at 80 columns, and as JSON.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::etcd::domains::{Domains, Outage};
use crate::etcd::{MemberFact, MemberReport, Minor, RefusalReason, Version, Why};
use crate::ui::json;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn member(name: &str, state: MemberState, zone: &str) -> (String, MemberStanding) {
    let report = MemberReport {
        format_version: MemberReport::FORMAT_VERSION,
        member: name.to_owned(),
        instance_id: "i-0123456789abcdef0".to_owned(),
        sequence: 9,
        is_healthy: true,
        term: 12,
        leader: Some("a".to_owned()),
        lag: 3,
        alarms: BTreeSet::new(),
        members: BTreeMap::new(),
        snapshot_at: None,
        version: Some(Version {
            minor: Minor::of_three(if name == "a" { 5 } else { 4 }),
            patch: 9,
        }),
        cluster_version: Some(Minor::of_three(4)),
    };
    let fact = MemberFact { report, written_at: at("2026-11-21T08:10:00Z"), before: None };
    let fact = (state != MemberState::NoReport).then_some(fact);
    let (group, zone) = (format!("etcd-{name}"), Some(zone.to_owned()));
    (name.to_owned(), MemberStanding { group, zone, fact, state })
}

fn standing() -> Standing {
    let members = [
        member("a", MemberState::Leader, "eu-west-3a"),
        member("b", MemberState::Follower, "eu-west-3b"),
        member("c", MemberState::NoReport, "eu-west-3b"),
    ];
    let outage =
        |lost, left, left_now| Outage { lost, left, left_in_maintenance: left - 1, left_now };
    let outages =
        [("eu-west-3a".to_owned(), outage(1, 2, 1)), ("eu-west-3b".to_owned(), outage(2, 1, 1))];
    let complaint =
        RefusalReason { etcd: "main".to_owned(), member: Some("c".to_owned()), why: Why::NoReport };
    let main = EtcdStanding {
        members: members.into(),
        domains: Domains { members: 3, quorum: 2, outages: outages.into() },
        snapshot_at: Some(at("2026-11-21T07:30:00Z")),
        cluster_version: Some(Minor::of_three(4)),
        complaints: [complaint].into(),
    };
    Standing {
        cluster: "prod.k8s.example.com".to_owned(),
        observed_at: at("2026-11-21T08:10:04Z"),
        etcds: [("main".to_owned(), main)].into(),
    }
}

#[test]
fn a_standing_reads_well_and_fits() {
    let text = text(&standing(), true, 80, Style::plain());
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn the_form_of_a_standing_in_json_is_a_contract() {
    insta::assert_snapshot!(format!("{:#}", json::etcd(&standing(), true)));
}
