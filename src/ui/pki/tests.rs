//! A status as it is read, at 80 columns, and as JSON.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;

use super::*;
use crate::pki::{Authority, AuthorityStatus, LeafStatus, MemberLeaf};
use crate::ui::json;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn authority(authority: Authority, state: State) -> AuthorityStatus {
    let is_there = !matches!(state, State::Missing | State::Wrong { .. });
    AuthorityStatus {
        authority,
        state,
        fingerprint: is_there.then(|| "0123456789abcdef".repeat(4)),
    }
}

fn leaf(state: State, renewed_from: &str) -> LeafStatus {
    LeafStatus { state, renewed_from: Some(at(renewed_from)) }
}

fn status() -> Status {
    let until = Some(at("2036-11-19T08:10:00Z"));
    let wrong = "it is the certificate of `x`, not that of this cluster's authority".to_owned();
    let peers = |etcd: &str| Authority::EtcdPeers(etcd.to_owned());
    let due = State::Due { until: at("2027-07-22T09:10:00Z") };
    let ending = State::Ending { until: at("2027-05-02T09:10:00Z") };
    let leaves = BTreeMap::from([
        (MemberLeaf::Client, leaf(State::Valid { until }, "2027-03-23T08:10:00Z")),
        (MemberLeaf::Peer, leaf(due, "2026-11-21T08:00:00Z")),
        (MemberLeaf::Server, leaf(ending, "2026-09-01T08:00:00Z")),
    ]);
    let machine = Some("i-0123456789abcdef0".to_owned());
    let member = |etcd: &str, name: &str, instance_id, leaves| MemberLeaves {
        etcd: etcd.to_owned(),
        member: name.to_owned(),
        instance_id,
        leaves,
    };
    Status {
        cluster: "prod.k8s.example.com".to_owned(),
        observed_at: at("2026-11-21T08:10:04Z"),
        authorities: vec![
            authority(Authority::EtcdClients, State::Valid { until }),
            authority(peers("events"), State::Ending { until: at("2028-01-02T03:04:05Z") }),
            authority(peers("main"), State::Wrong { why: wrong }),
            authority(Authority::Kubernetes, State::Ended { at: at("2026-11-20T08:10:00Z") }),
            authority(Authority::FrontProxy, State::Missing),
            authority(Authority::ServiceAccount, State::Keyless),
        ],
        members: vec![
            member("main", "a", machine, leaves),
            member("events", "a", None, BTreeMap::new()),
        ],
    }
}

#[test]
fn a_status_reads_well_and_fits() {
    let text = text(&status(), true, 80, Style::plain());
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn the_form_of_a_status_in_json_is_a_contract() {
    insta::assert_snapshot!(format!("{:#}", json::pki(&status(), true)));
}
