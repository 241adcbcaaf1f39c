//! What the picture shows, and when it refuses to show anything.

use std::sync::Arc;

use jiff::Timestamp;

use crate::kube::client::convert::Fact;
use crate::kube::client::picture::{Feed, Look, Picture};
use crate::kube::{Budget, KubeError, KubeErrorKind, KubeView, Node, Pod, PodId, PodPhase};

const STALE_MS: i64 = 60_000;

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn node(name: &str, unschedulable: bool) -> Fact {
    Fact::Node(Node {
        name: name.to_owned(),
        uid: String::new(),
        instance_id: None,
        unschedulable,
        taints: [].into(),
        annotations: [].into(),
        labels: [].into(),
        conditions: [].into(),
        created_at: now(),
        kubelet_version: String::new(),
    })
}

fn pod(name: &str, node: Option<&str>) -> Fact {
    Fact::Pod(Pod {
        id: PodId::new("ns", name),
        uid: String::new(),
        node: node.map(str::to_owned),
        created_at: now(),
        phase: PodPhase::Running,
        is_ready: true,
        deleted_until: None,
        grace_secs: 30,
        owner: None,
        is_mirror: false,
        has_empty_dir: false,
        priority_class: String::new(),
        labels: [].into(),
        tolerates_all: false,
    })
}

fn budget(name: &str, disruptions_allowed: u32) -> Fact {
    Fact::Budget(Budget {
        id: PodId::new("ns", name),
        selector: None,
        disruptions_allowed,
        current_healthy: 1,
        desired_healthy: 1,
        expected_pods: 1,
        is_observed: true,
    })
}

/// A picture with a node, a pod that waits and a budget; heard of at 0.
fn painted() -> Picture {
    let mut picture = Picture::new(0);
    picture.replace(Feed::Nodes, vec![node("a", false)]);
    picture.replace(Feed::Pods, vec![pod("p", None)]);
    picture.replace(Feed::Budgets, vec![budget("b", 1)]);
    for feed in Feed::ALL {
        picture.heard(feed, 0);
    }
    picture
}

fn seen(picture: &mut Picture, now_ms: i64) -> Arc<KubeView> {
    match picture.look(now_ms, now()) {
        Look::Seen(view) => view,
        Look::NotYet(_) => panic!("not yet"),
        Look::Failed(error) => panic!("{error}"),
    }
}

fn failed(picture: &mut Picture, now_ms: i64) -> KubeError {
    match picture.look(now_ms, now()) {
        Look::Failed(error) => error,
        _ => panic!("it does not fail"),
    }
}

#[test]
fn nothing_is_shown_before_every_list_was_read() {
    let mut picture = Picture::new(0);
    picture.replace(Feed::Nodes, vec![]);
    picture.replace(Feed::Pods, vec![]);
    assert!(matches!(picture.look(0, now()), Look::NotYet(None)));
    picture.replace(Feed::Budgets, vec![]);
    assert!(matches!(picture.look(0, now()), Look::Seen(_)));
}

#[test]
fn the_picture_is_the_same_one_until_something_changes() {
    let mut picture = painted();
    let first = seen(&mut picture, 0);
    for same in [node("a", false), pod("p", None), budget("b", 1)] {
        picture.put(same);
    }
    picture.replace(Feed::Pods, vec![pod("p", None)]);
    picture.remove(&node("never-there", false));
    picture.remove(&pod("never-there", None));
    picture.remove(&budget("never-there", 1));
    assert!(Arc::ptr_eq(&first, &seen(&mut picture, 1_000)));

    picture.put(node("a", true));
    let second = seen(&mut picture, 1_000);
    assert!(second.generation > first.generation);
    assert!(second.nodes["a"].unschedulable && !first.nodes["a"].unschedulable);
}

#[test]
fn every_change_is_a_generation() {
    let mut picture = painted();
    let mut last = picture.generation();
    let mut grown = |picture: &Picture| {
        let before = std::mem::replace(&mut last, picture.generation());
        picture.generation() > before
    };
    picture.put(node("b", false));
    assert!(grown(&picture));
    picture.put(budget("b", 0));
    assert!(grown(&picture));
    picture.remove(&budget("b", 0));
    assert!(grown(&picture));
    picture.replace(Feed::Nodes, vec![node("a", false)]);
    assert!(grown(&picture), "b is gone");
    picture.set_server_version("v1.34.2");
    assert!(grown(&picture));
    picture.set_server_version("v1.34.2");
    assert!(!grown(&picture));
}

#[test]
fn a_pod_is_in_one_place() {
    let mut picture = painted();
    let place = |picture: &mut Picture| {
        let view = seen(picture, 0);
        let places = view.pods.iter().flat_map(|(node, pods)| pods.keys().map(move |_| node));
        places.cloned().collect::<Vec<_>>()
    };
    assert_eq!(place(&mut picture), [""]);
    picture.put(pod("p", Some("a")));
    assert_eq!(place(&mut picture), ["a"], "it was bound");
    picture.remove(&pod("p", Some("elsewhere")));
    assert!(seen(&mut picture, 0).pods.is_empty(), "and no empty place stays");
}

#[test]
fn a_picture_that_is_too_old_is_not_shown_and_says_why() {
    let mut picture = painted();
    picture.heard(Feed::Nodes, 50_000);
    picture.heard(Feed::Budgets, 50_000);
    seen(&mut picture, STALE_MS);
    let error = KubeError::new(KubeErrorKind::Throttled, "WatchPods", "too many requests");
    picture.failed(Feed::Pods, error);
    seen(&mut picture, STALE_MS);
    let stale = failed(&mut picture, STALE_MS + 1);
    assert_eq!(stale.kind, KubeErrorKind::Throttled);
    assert!(stale.message.contains("not heard of for 60 s, by the watch of pods"), "{stale}");
    assert!(stale.message.contains("too many requests"), "{stale}");
    picture.heard(Feed::Pods, STALE_MS + 2);
    seen(&mut picture, STALE_MS + 2);
}

#[test]
fn a_server_that_never_speaks_is_not_waited_for_longer() {
    let mut picture = Picture::new(1_000);
    assert!(matches!(picture.look(STALE_MS, now()), Look::NotYet(None)));
    let error = failed(&mut picture, 1_001 + STALE_MS);
    assert_eq!(error.kind, KubeErrorKind::Unreachable);
}

#[test]
fn a_refusal_is_told_at_once_and_forgotten_when_the_server_answers_again() {
    let mut picture = painted();
    let refusal = KubeError::new(KubeErrorKind::Unauthorized, "WatchNodes", "who are you");
    picture.failed(Feed::Nodes, refusal.clone());
    assert_eq!(failed(&mut picture, 1), refusal);
    picture.heard(Feed::Nodes, 2);
    seen(&mut picture, 2);
}

#[test]
fn a_picture_says_when_its_oldest_part_was_heard_of() {
    let mut picture = painted();
    picture.heard(Feed::Nodes, 30_000);
    picture.heard(Feed::Pods, 20_000);
    picture.heard(Feed::Budgets, 40_000);
    let view = seen(&mut picture, 45_000);
    assert_eq!(view.seen_at, "2026-11-21T11:59:35Z".parse().unwrap());
    assert_eq!(view.generation, painted().generation(), "time is no change");
}
