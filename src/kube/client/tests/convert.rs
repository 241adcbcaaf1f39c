//! Objects as the API server sends them, and what kprod makes of them.

use serde_json::{Value, json};

use crate::kube::client::convert;
use crate::kube::{Budget, Node, Pod, PodId, PodPhase, SelectorOperator, TaintEffect};

/// A fixture with some of its values changed, or removed by `null`.
fn changed(fixture: &str, changes: &[(&str, Value)]) -> Value {
    let mut object: Value = serde_json::from_str(fixture).unwrap();
    for (pointer, value) in changes {
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        let parent = object.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value {
            Value::Null => parent.remove(last),
            value => parent.insert(last.to_owned(), value.clone()),
        };
    }
    object
}

fn node(changes: &[(&str, Value)]) -> Node {
    let object = changed(include_str!("../fixtures/node.json"), changes);
    convert::node(serde_json::from_value(object).unwrap())
}

fn pod(changes: &[(&str, Value)]) -> Pod {
    let object = changed(include_str!("../fixtures/pod.json"), changes);
    convert::pod(serde_json::from_value(object).unwrap())
}

fn budget(changes: &[(&str, Value)]) -> Budget {
    let object = changed(include_str!("../fixtures/budget.json"), changes);
    convert::budget(serde_json::from_value(object).unwrap())
}

#[test]
fn a_node_as_it_is() {
    let node = node(&[]);
    assert_eq!(node.name, "i-0a1b2c3d4e5f60718.eu-west-3.compute.internal");
    assert_eq!(node.uid, "6f1c7a52-8a55-4b53-9d5c-1f0e9b7d2a10");
    assert_eq!(node.instance_id.as_deref(), Some("i-0a1b2c3d4e5f60718"));
    assert!(node.unschedulable && node.is_ready());
    assert_eq!(node.ready_since(), Some("2026-11-20T07:00:40Z".parse().unwrap()));
    assert_eq!(node.conditions["DiskPressure"].status, "False");
    assert_eq!(node.kubelet_version, "v1.34.2");
    assert_eq!(node.created_at, "2026-11-20T07:00:00Z".parse().unwrap());
    assert_eq!(node.labels["topology.kubernetes.io/zone"], "eu-west-3a");
}

#[test]
fn annotations_of_others_are_left_out() {
    let kept: Vec<String> = node(&[]).annotations.into_keys().collect();
    assert_eq!(
        kept,
        [
            "cluster-autoscaler.kubernetes.io/scale-down-disabled",
            "kops.k8s.io/needs-update",
            "kprod.dev/drain-since"
        ]
    );
    for read in [crate::roll::mark::KOPS_REPLACE_ANNOTATION, crate::roll::mark::REPLACE_ANNOTATION]
    {
        assert!(Node::ANNOTATION_PREFIXES.iter().any(|prefix| read.starts_with(prefix)), "{read}");
    }
}

#[test]
fn taints_keep_value_and_effect_and_an_effect_of_the_future_is_passed_over() {
    let taints: Vec<_> = node(&[]).taints.into_iter().map(|t| (t.key, t.value, t.effect)).collect();
    let told = |key: &str, value: &str, effect| (key.to_owned(), value.to_owned(), effect);
    assert_eq!(
        taints,
        [
            told("dedicated", "gpu", TaintEffect::NoExecute),
            told("kprod.dev/outdated", "", TaintEffect::PreferNoSchedule),
            told("node.kubernetes.io/unschedulable", "", TaintEffect::NoSchedule),
        ]
    );
}

#[test]
fn a_provider_id_names_an_instance_or_nothing() {
    let id = |provider_id: Value| node(&[("/spec/providerID", provider_id)]).instance_id;
    assert_eq!(id(json!("aws:////i-0123456789abcdef0")).as_deref(), Some("i-0123456789abcdef0"));
    for none in ["aws:///eu-west-3a/", "aws:///eu-west-3a/fargate-ip-10-0-0-1", "gce://p/z/i-1", ""]
    {
        assert_eq!(id(json!(none)), None, "{none}");
    }
    assert_eq!(id(Value::Null), None);
}

#[test]
fn a_node_that_was_never_heard_of_is_not_ready() {
    let silent = node(&[("/status", Value::Null), ("/spec", Value::Null)]);
    assert!(!silent.is_ready() && !silent.unschedulable);
    assert_eq!(silent.kubelet_version, "");
    let unknown = json!([{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]);
    assert!(!node(&[("/status/conditions", unknown)]).is_ready());
}

#[test]
fn a_pod_as_it_is() {
    let pod = pod(&[]);
    assert_eq!(pod.id, PodId::new("shop", "web-7d9c5b8f6-x2x4q"));
    assert_eq!(pod.node.as_deref(), Some("node-a"));
    assert_eq!((pod.phase, pod.is_ready), (PodPhase::Running, true));
    assert_eq!((pod.grace_secs, pod.deleted_until), (60, None));
    assert!(pod.has_empty_dir && !pod.is_mirror && !pod.tolerates_all);
    assert_eq!(pod.priority_class, "important");
    assert_eq!(pod.created_at, "2026-11-20T08:00:00Z".parse().unwrap());
    assert_eq!(pod.labels["app"], "web");
}

#[test]
fn only_a_controller_is_an_owner() {
    let owner = pod(&[]).owner.unwrap();
    assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("ReplicaSet", "web-7d9c5b8f6"));
    let others = json!([
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1"},
        {"apiVersion": "v1", "kind": "Node", "name": "b", "uid": "2", "controller": false},
    ]);
    assert_eq!(pod(&[("/metadata/ownerReferences", others)]).owner, None);
    assert_eq!(pod(&[("/metadata/ownerReferences", Value::Null)]).owner, None);
}

#[test]
fn a_mirror_pod_is_told_by_its_annotation() {
    let annotations = json!({"kubernetes.io/config.mirror": "abc", "other": "x"});
    assert!(pod(&[("/metadata/annotations", annotations)]).is_mirror);
}

#[test]
fn phases_and_what_is_none_of_them() {
    let phase = |phase: Value| pod(&[("/status/phase", phase)]).phase;
    assert_eq!(phase(json!("Pending")), PodPhase::Pending);
    assert_eq!(phase(json!("Succeeded")), PodPhase::Succeeded);
    assert_eq!(phase(json!("Failed")), PodPhase::Failed);
    assert_eq!(phase(json!("Unknown")), PodPhase::Unknown);
    assert_eq!(phase(json!("Resting")), PodPhase::Unknown);
    assert_eq!(phase(Value::Null), PodPhase::Pending);
}

#[test]
fn a_pod_that_says_nothing_gets_what_the_api_server_fills_in() {
    let bare = pod(&[("/spec", Value::Null), ("/status", Value::Null)]);
    assert_eq!((bare.node, bare.grace_secs, bare.is_ready), (None, 30, false));
    assert!(!bare.has_empty_dir);
    let waiting = pod(&[("/spec/nodeName", json!(""))]);
    assert_eq!(waiting.node, None);
    let leaving = pod(&[("/metadata/deletionTimestamp", json!("2026-11-21T10:12:00Z"))]);
    assert_eq!(leaving.deleted_until, Some("2026-11-21T10:12:00Z".parse().unwrap()));
}

#[test]
fn only_exists_without_key_and_effect_tolerates_everything() {
    let tolerates =
        |toleration: Value| pod(&[("/spec/tolerations", json!([toleration]))]).tolerates_all;
    assert!(tolerates(json!({"operator": "Exists"})));
    assert!(tolerates(json!({"operator": "Exists", "key": "", "effect": ""})));
    assert!(!tolerates(json!({"operator": "Exists", "effect": "NoSchedule"})));
    assert!(!tolerates(json!({"operator": "Exists", "key": "dedicated"})));
    assert!(!tolerates(json!({"operator": "Equal", "key": "", "value": ""})));
}

#[test]
fn a_budget_as_it_is() {
    let budget = budget(&[]);
    assert_eq!(budget.id, PodId::new("shop", "web"));
    assert_eq!((budget.disruptions_allowed, budget.current_healthy), (0, 9));
    assert_eq!((budget.desired_healthy, budget.expected_pods), (9, 10));
    assert!(budget.is_observed && !budget.is_blocked_for_ever());
    let selector = budget.selector.unwrap();
    assert_eq!(selector.match_labels["app"], "web");
    let operators: Vec<_> = selector.match_expressions.iter().map(|r| r.operator).collect();
    assert_eq!(
        operators,
        [
            SelectorOperator::NotIn,
            SelectorOperator::DoesNotExist,
            SelectorOperator::In,
            SelectorOperator::Exists
        ]
    );
    assert!(selector.match_expressions[2].values.contains("b"));
}

#[test]
fn an_empty_selector_selects_all_and_none_selects_nothing() {
    let mut pod = pod(&[]);
    pod.labels.clear();
    assert!(budget(&[("/spec/selector", json!({}))]).selects(&pod));
    assert!(!budget(&[("/spec/selector", Value::Null)]).selects(&pod));
    assert!(!budget(&[]).selects(&pod));
}

#[test]
fn a_status_of_an_older_form_is_not_observed() {
    let observed = |changes: &[(&str, Value)]| budget(changes).is_observed;
    assert!(!observed(&[("/metadata/generation", json!(5))]));
    assert!(!observed(&[("/status/observedGeneration", Value::Null)]));
    assert!(!observed(&[("/status", Value::Null)]), "its controller never wrote");
    assert!(observed(&[("/status/observedGeneration", json!(5))]));
}
