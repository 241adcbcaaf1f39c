//! What a spec's words become: who takes over from whom, and what stands without any.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::time::Duration;

use super::{DrainOutcome, Policy, RepairPolicy, Retire, RolloutRole};
use crate::document::{Document, LineMap};
use crate::finding::has_errors;
use crate::spec::{IntOrPercent, Spec, Strictness, read};
use crate::yaml;

const BASE: &str = include_str!("../../../tests/it/honour/cluster.yaml");

/// The base cluster with a `rollingUpdate` of its own, and one for the group `nodes`.
fn policy(cluster: &str, nodes: &str) -> (Spec, Policy) {
    let limits = yaml::Limits::default();
    let json = |text: &str| yaml::parse(text, &limits).unwrap().remove(0).to_json();
    let roots = yaml::parse(BASE, &limits).unwrap();
    let mut values: Vec<_> = roots.into_iter().map(|root| root.to_json()).collect();
    for (name, words) in [("c.example.com", cluster), ("nodes", nodes)] {
        let value = values.iter_mut().find(|value| value["metadata"]["name"] == name).unwrap();
        value["spec"]["rollingUpdate"] = json(words);
    }
    let roots = values.iter().flat_map(|v| yaml::parse(&yaml::to_text(v), &limits).unwrap());
    let document = |root| Document { file: "c.yaml".to_owned(), root, lines: LineMap::Identity };
    let parsed = read(roots.map(document).collect::<Vec<_>>(), Strictness::Strict);
    assert!(!has_errors(&parsed.findings), "{:#?}", parsed.findings);
    let spec = parsed.spec.unwrap();
    let policy = Policy::of(&spec);
    (spec, policy)
}

fn mins(mins: u64) -> Duration {
    Duration::from_secs(mins * 60)
}

#[test]
fn without_a_word_the_defaults_stand() {
    let (spec, policy) = policy("{}", "{}");
    let nodes = &policy.groups["nodes.c.example.com"];
    assert_eq!(nodes.role, RolloutRole::Node);
    assert_eq!(
        (nodes.max_surge, nodes.max_unavailable),
        (IntOrPercent::Int(1), IntOrPercent::Int(0))
    );
    assert_eq!((nodes.drain_timeout, nodes.on_drain_timeout), (mins(15), DrainOutcome::Fail));
    assert_eq!((nodes.boot_timeout, nodes.validate_timeout), (mins(15), mins(15)));
    assert_eq!(
        (nodes.soak, nodes.post_drain_delay),
        (Duration::from_secs(10), Duration::from_secs(5))
    );
    assert_eq!((nodes.canary, nodes.canary_soak), (1, Duration::ZERO));
    assert!(nodes.drain_and_terminate && !nodes.delete_bare_pods && nodes.max_age.is_none());
    let master = &policy.groups["control-plane.masters.c.example.com"];
    assert_eq!(master.role, RolloutRole::ControlPlane);
    assert_eq!(
        (master.max_surge, master.max_unavailable),
        (IntOrPercent::Int(0), IntOrPercent::Int(1))
    );
    assert_eq!(policy.cluster.snapshot_age_max, mins(120));
    assert_eq!((policy.cluster.failure_percent, policy.cluster.one_member_downtime), (20, false));
    let repair = RepairPolicy::of(&spec);
    assert_eq!((repair.broken_for, repair.at_once, repair.halt_above_percent), (mins(10), 1, 20));
    assert_eq!(policy.kubernetes_version.as_deref(), Some("1.34.2"));
}

#[test]
fn a_groups_word_goes_before_the_clusters_and_that_before_the_defaults() {
    let (spec, policy) = policy(
        "{drainTimeout: 5m, soak: 1m, canary: 2, canarySoak: 10m, onDrainTimeout: Skip, maxSurge: 3, \
         overall: {maxUnavailable: 10%}, repair: {atOnce: 2}, oneMemberDowntime: true}",
        "{drainTimeout: 7m, canary: 0, maxNodeAge: 720h}",
    );
    let nodes = &policy.groups["nodes.c.example.com"];
    assert_eq!((nodes.drain_timeout, nodes.soak), (mins(7), mins(1)));
    assert_eq!((nodes.canary, nodes.canary_soak), (0, Duration::ZERO), "no canary, none to watch");
    assert_eq!(nodes.max_age, Some(mins(720 * 60)));
    let spot = &policy.groups["spot.c.example.com"];
    assert_eq!((spot.drain_timeout, spot.on_drain_timeout), (mins(5), DrainOutcome::Skip));
    assert_eq!((spot.canary, spot.canary_soak, spot.max_age), (2, mins(10), None));
    assert_eq!(spot.max_surge, IntOrPercent::Int(3));
    assert_eq!(policy.cluster.max_unavailable, Some(IntOrPercent::Percent(10)));
    assert!(policy.cluster.one_member_downtime);
    assert_eq!(RepairPolicy::of(&spec).at_once, 2);
    let host = &policy.groups["etcd-a.etcd.c.example.com"];
    assert_eq!((host.role, host.max_surge), (RolloutRole::Etcd, IntOrPercent::Int(0)));
}

#[test]
fn members_are_where_the_spec_says_under_the_names_of_aws() {
    let (_, policy) = policy("{}", "{}");
    let hosted = |group| policy.topology.members_on(group).collect::<Vec<_>>();
    assert_eq!(hosted("etcd-a.etcd.c.example.com"), [("main", "a")]);
    assert_eq!(hosted("etcd-b.etcd.c.example.com"), [("events", "b")]);
    assert!(hosted("control-plane.masters.c.example.com").is_empty());
}

#[test]
fn a_group_that_the_spec_has_no_more_goes_by_the_clusters_word() {
    let (spec, mut policy) = policy("{drainTimeout: 5m}", "{drainTimeout: 7m}");
    policy.retire(&spec, "nodes.c.example.com", Retire::DownTo(1));
    policy.retire(&spec, "old.c.example.com", Retire::All);
    policy.retire(&spec, "old.masters.c.example.com", Retire::All);
    assert_eq!(policy.groups["nodes.c.example.com"].drain_timeout, mins(7));
    let old = &policy.groups["old.c.example.com"];
    assert_eq!((old.role, old.drain_timeout), (RolloutRole::Node, mins(5)));
    assert_eq!(policy.groups["old.masters.c.example.com"].role, RolloutRole::ControlPlane);
    assert_eq!(policy.retire.len(), 3);
}
