//! Nodes: cordons, taints, annotations, labels, removal.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kprod::kube::{Kube as _, KubeCall, KubeErrorKind, Node, NodePatch, Taint, TaintEffect};

use super::{Ground, Scene};

pub(super) async fn seen<G: Ground>(scene: &Scene<'_, G>) {
    let node = scene.node("a").await;
    assert_eq!(node.instance_id.as_deref(), Some("i-0c0ffee0c0ffee0c0"));
    assert!(!node.uid.is_empty() && !node.unschedulable && !node.is_ready());
    let not_ready = |taint: &Taint| taint.key == "node.kubernetes.io/not-ready";
    scene.node_is(&node, |node| node.taints.iter().any(not_ready)).await;
    assert!(!scene.view().await.server_version.is_empty());
}

pub(super) async fn cordon<G: Ground>(scene: &Scene<'_, G>) {
    let node = scene.node("a").await;
    for unschedulable in [true, true, false, false, true] {
        // Nobody runs the node, so that a patch for one that is away is made as any other.
        let patch = NodePatch {
            unschedulable: Some(unschedulable),
            if_away: unschedulable,
            ..NodePatch::default()
        };
        scene.patch(&node, patch).await;
        scene.node_is(&node, |node| node.unschedulable == unschedulable).await;
    }
}

fn taint(key: &str, value: &str, effect: TaintEffect) -> Taint {
    Taint { key: key.to_owned(), value: value.to_owned(), effect }
}

/// The taints of the laws' own, in a node's.
fn own(node: &Node) -> BTreeSet<Taint> {
    node.taints.iter().filter(|taint| taint.key.starts_with("kprod.dev/")).cloned().collect()
}

pub(super) async fn taints<G: Ground>(scene: &Scene<'_, G>) {
    let node = scene.node("a").await;
    let others: BTreeSet<Taint> = node.taints.clone();
    let soft = taint("kprod.dev/one", "", TaintEffect::PreferNoSchedule);
    let hard = taint("kprod.dev/one", "x", TaintEffect::NoSchedule);
    let other = taint("kprod.dev/two", "", TaintEffect::PreferNoSchedule);
    let add = |taints: &[&Taint]| NodePatch {
        add_taints: taints.iter().map(|&taint| taint.clone()).collect(),
        ..NodePatch::default()
    };
    for _twice in 0..2 {
        scene.patch(&node, add(&[&soft, &hard, &other])).await;
        let all = BTreeSet::from([soft.clone(), hard.clone(), other.clone()]);
        scene.node_is(&node, |node| own(node) == all).await;
    }
    let changed = taint("kprod.dev/one", "y", TaintEffect::NoSchedule);
    scene.patch(&node, add(&[&changed])).await;
    let all = BTreeSet::from([soft, changed, other.clone()]);
    scene.node_is(&node, |node| own(node) == all).await;
    let remove =
        NodePatch { remove_taints: ["kprod.dev/one".to_owned()].into(), ..NodePatch::default() };
    for _twice in 0..2 {
        scene.patch(&node, remove.clone()).await;
        let left = scene.node_is(&node, |node| own(node) == BTreeSet::from([other.clone()])).await;
        assert!(others.is_subset(&left.taints), "{others:?} are not all in {:?}", left.taints);
    }
}

pub(super) async fn marks<G: Ground>(scene: &Scene<'_, G>) {
    let node = scene.node("a").await;
    let marks = |value: Option<&str>| -> BTreeMap<String, Option<String>> {
        let value = value.map(str::to_owned);
        BTreeMap::from([("kprod.dev/contract".to_owned(), value)])
    };
    let patch = |value: Option<&str>| NodePatch {
        annotations: marks(value),
        labels: marks(value),
        ..NodePatch::default()
    };
    for value in [Some("one"), Some("one"), Some("two"), None, None] {
        scene.patch(&node, patch(value)).await;
        let has = |marks: &BTreeMap<String, String>| {
            marks.get("kprod.dev/contract").map(String::as_str) == value
        };
        scene.node_is(&node, |node| has(&node.annotations) && has(&node.labels)).await;
    }
}

pub(super) async fn missing<G: Ground>(scene: &Scene<'_, G>) {
    let node = scene.name("nobody");
    let cordon = NodePatch { unschedulable: Some(true), ..NodePatch::default() };
    let untaint =
        NodePatch { remove_taints: ["kprod.dev/one".to_owned()].into(), ..NodePatch::default() };
    for patch in [cordon, untaint] {
        let call = KubeCall::PatchNode { node: node.clone(), patch };
        scene.refused(call, KubeErrorKind::NotFound).await;
    }
    let call = KubeCall::DeleteNode { node, uid: "00000000-0000-0000-0000-000000000000".into() };
    scene.refused(call, KubeErrorKind::NotFound).await;
}

pub(super) async fn deletion<G: Ground>(scene: &Scene<'_, G>) {
    let first = scene.node("a").await;
    let delete = |uid: &str| KubeCall::DeleteNode { node: first.name.clone(), uid: uid.to_owned() };
    let other = delete("00000000-0000-0000-0000-000000000000");
    scene.refused(other, KubeErrorKind::Conflict).await;
    scene.node_is(&first, |node| node.uid == first.uid).await;
    scene.make(delete(&first.uid)).await;
    scene.see("no node", |view| (!view.nodes.contains_key(&first.name)).then_some(())).await;
    let second = scene.node("a").await;
    assert_ne!(second.uid, first.uid);
    scene.refused(delete(&first.uid), KubeErrorKind::Conflict).await;
    scene.make(delete(&second.uid)).await;
}

/// Whoever waits for a change is woken by somebody else's, too.
pub(super) async fn notices<G: Ground>(scene: &Scene<'_, G>) {
    let node = scene.node("a").await;
    let before = scene.view().await;
    scene.ground().label_node(&node.name, "kprod.dev/noticed").await;
    scene.ground().port().changed(before.generation, Duration::from_secs(10)).await;
    let after = scene.view().await;
    assert!(after.generation > before.generation);
    scene.node_is(&node, |node| node.labels.contains_key("kprod.dev/noticed")).await;
    assert!(!before.nodes[&node.name].labels.contains_key("kprod.dev/noticed"), "a picture stays");
}
