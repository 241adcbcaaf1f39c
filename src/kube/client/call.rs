//! One [`KubeCall`], one request; only a change of taints, and one that rests on what a node is like,
//! reads the node first.

use http::{Method, Request};
use serde_json::{Map, Value, json};

use super::connection::Connection;
use crate::kube::{KubeCall, KubeError, KubeErrorKind, NodePatch, PodId, Taint};

/// Makes a call.
///
/// # Errors
/// Whatever the API server answers.
pub(super) async fn make(connection: &Connection, call: &KubeCall) -> Result<(), KubeError> {
    let operation = call.operation();
    let (method, path, body) = match call {
        KubeCall::PatchNode { node, patch } => {
            let path = node_path(node);
            let has_taints = !patch.add_taints.is_empty() || !patch.remove_taints.is_empty();
            let before = match has_taints || patch.if_away {
                true => Some(read(connection, operation, &path).await?),
                false => None,
            };
            if patch.if_away && before.as_ref().is_some_and(takes_work) {
                let message = format!("{node} is back: it is ready, and takes pods");
                return Err(KubeError::new(KubeErrorKind::Conflict, operation, message));
            }
            let Some(body) = node_patch(patch, before.as_ref()) else { return Ok(()) };
            (Method::PATCH, path, body)
        }
        KubeCall::EvictPod { pod, uid, grace_secs } => {
            let body = eviction(pod, uid, *grace_secs);
            (Method::POST, format!("{}/eviction", pod_path(pod)), body)
        }
        KubeCall::DeletePod { pod, uid, grace_secs } => {
            (Method::DELETE, pod_path(pod), delete_options(uid, *grace_secs))
        }
        KubeCall::DeleteNode { node, uid } => {
            (Method::DELETE, node_path(node), delete_options(uid, None))
        }
    };
    let request = request(operation, method, &path, Some(&body))?;
    connection.send(operation, request).await.map(drop)
}

async fn read(connection: &Connection, operation: &str, path: &str) -> Result<Value, KubeError> {
    let request = request(operation, Method::GET, path, None)?;
    let answer = connection.send(operation, request).await?;
    serde_json::from_slice(&answer.body).map_err(|error| {
        let message = format!("{path} is no object: {error}");
        KubeError::new(KubeErrorKind::Invalid, operation, message)
    })
}

/// A request with a JSON body.
///
/// # Errors
/// When a name cannot be part of a path.
pub(super) fn request(
    operation: &str,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Request<Vec<u8>>, KubeError> {
    let content = match method {
        // Source: RFC 7386; Kubernetes, "Update API objects in place using kubectl patch".
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let builder = Request::builder().method(method).uri(path).header("accept", "application/json");
    let body = body.map(|body| body.to_string().into_bytes());
    let request = match body {
        Some(body) => builder.header("content-type", content).body(body),
        None => builder.body(Vec::new()),
    };
    request.map_err(|error| {
        KubeError::new(KubeErrorKind::Invalid, operation, format!("{path}: {error}"))
    })
}

fn node_path(node: &str) -> String {
    format!("/api/v1/nodes/{node}")
}

fn pod_path(pod: &PodId) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name)
}

/// Source: Kubernetes API reference, `policy/v1` Eviction.
fn eviction(pod: &PodId, uid: &str, grace_secs: Option<u32>) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": delete_options(uid, grace_secs),
    })
}

/// Source: Kubernetes API reference, `meta/v1` DeleteOptions.
fn delete_options(uid: &str, grace_secs: Option<u32>) -> Value {
    let mut options = json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": uid},
    });
    if let Some(seconds) = grace_secs {
        options["gracePeriodSeconds"] = seconds.into();
    }
    options
}

/// The merge patch that makes a node's marks so; none when it would change nothing.
///
/// Taints are one list that a patch replaces whole, and others change it as well (the node lifecycle
/// controller, autoscalers). So the patch carries the version of the node that it was made from:
/// when somebody was faster, the answer is 409.
/// Source: Kubernetes API reference, `core/v1` NodeSpec: `taints` is an atomic list.
fn node_patch(patch: &NodePatch, before: Option<&Value>) -> Option<Value> {
    let (mut metadata, mut spec) = (Map::new(), Map::new());
    if let Some(unschedulable) = patch.unschedulable {
        spec.insert(
            "unschedulable".to_owned(),
            if unschedulable { true.into() } else { Value::Null },
        );
    }
    for (field, marks) in [("annotations", &patch.annotations), ("labels", &patch.labels)] {
        if !marks.is_empty() {
            metadata.insert(field.to_owned(), json!(marks));
        }
    }
    // What was made from a node, or rests on what it is like, holds for that version of it.
    let mut version =
        before.filter(|_| patch.if_away).map(|node| &node["metadata"]["resourceVersion"]);
    if let Some(before) = before {
        let taints = before["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let after = taints_after(patch, &taints);
        if after != taints {
            spec.insert("taints".to_owned(), json!(after));
            version = Some(&before["metadata"]["resourceVersion"]);
        }
    }
    if metadata.is_empty() && spec.is_empty() {
        return None;
    }
    if let Some(version) = version {
        metadata.insert("resourceVersion".to_owned(), version.clone());
    }
    Some(json!({"metadata": metadata, "spec": spec}))
}

/// Whether a node is ready, and nobody has cordoned it.
fn takes_work(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_ready = |one: &Value| one["type"] == "Ready" && one["status"] == "True";
    conditions.iter().any(is_ready) && node["spec"]["unschedulable"] != true
}

/// The taints after a patch. Those it is not about stay as they are, with the time at which they
/// were added.
fn taints_after(patch: &NodePatch, before: &[Value]) -> Vec<Value> {
    let is_same = |taint: &Taint, value: &Value| {
        let text = |field: &str| value[field].as_str().unwrap_or_default();
        let effect = format!("{:?}", taint.effect);
        (taint.key.as_str(), effect.as_str()) == (text("key"), text("effect"))
    };
    let has_value =
        |taint: &Taint, value: &Value| value["value"].as_str().unwrap_or_default() == taint.value;
    let stays = |value: &&Value| {
        let key = value["key"].as_str().unwrap_or_default();
        match patch.add_taints.iter().find(|taint| is_same(taint, value)) {
            Some(taint) => has_value(taint, value),
            None => !patch.remove_taints.contains(key),
        }
    };
    let mut after: Vec<Value> = before.iter().filter(stays).cloned().collect();
    for taint in &patch.add_taints {
        if !after.iter().any(|value| is_same(taint, value)) {
            after.push(json!(taint));
        }
    }
    after
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::kube::TaintEffect;

    fn taint(key: &str, value: &str, effect: TaintEffect) -> Taint {
        Taint { key: key.to_owned(), value: value.to_owned(), effect }
    }

    fn node(taints: Value) -> Value {
        json!({"metadata": {"resourceVersion": "7"}, "spec": {"taints": taints}})
    }

    #[test]
    fn other_peoples_taints_stay_as_they_are() {
        let theirs =
            json!({"key": "a", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"});
        let before = node(json!([
            theirs,
            {"key": "old", "effect": "NoSchedule"},
            {"key": "old", "value": "x", "effect": "NoExecute"},
            {"key": "new", "value": "before", "effect": "NoSchedule"},
        ]));
        let patch = NodePatch {
            add_taints: [taint("new", "after", TaintEffect::NoSchedule)].into(),
            remove_taints: ["old".to_owned()].into(),
            ..NodePatch::default()
        };
        let made = node_patch(&patch, Some(&before)).unwrap();
        let after = json!([theirs, {"key": "new", "value": "after", "effect": "NoSchedule"}]);
        assert_eq!(made["spec"]["taints"], after);
        assert_eq!(made["metadata"], json!({"resourceVersion": "7"}));
        let again = node_patch(&patch, Some(&node(after)));
        assert_eq!(again, None, "nothing is left to be done");
    }

    #[test]
    fn what_rests_on_a_node_that_is_away_carries_the_version_that_said_so() {
        let patch = NodePatch { unschedulable: Some(true), if_away: true, ..NodePatch::default() };
        let node = |ready: &str, unschedulable: Value| {
            json!({
                "metadata": {"resourceVersion": "7"},
                "spec": {"unschedulable": unschedulable},
                "status": {"conditions": [{"type": "Ready", "status": ready}]},
            })
        };
        let before = node("Unknown", Value::Null);
        let made = node_patch(&patch, Some(&before)).unwrap();
        assert_eq!(made["metadata"], json!({"resourceVersion": "7"}));
        assert!(takes_work(&node("True", Value::Null)));
        let away = [before, node("False", Value::Null), node("True", true.into()), json!({})];
        for node in away {
            assert!(!takes_work(&node), "{node}");
        }
    }

    #[test]
    fn a_key_that_is_removed_and_added_is_there_once() {
        let patch = NodePatch {
            add_taints: [taint("k", "", TaintEffect::NoSchedule)].into(),
            remove_taints: ["k".to_owned()].into(),
            ..NodePatch::default()
        };
        let before = [json!({"key": "k", "effect": "NoExecute"})];
        let after = [json!({"key": "k", "value": "", "effect": "NoSchedule"})];
        assert_eq!(taints_after(&patch, &before), after);
        assert_eq!(taints_after(&patch, &after), after);
    }

    #[test]
    fn marks_alone_carry_no_version_so_nobody_is_in_the_way() {
        let patch = NodePatch {
            unschedulable: Some(false),
            annotations: [("a".to_owned(), None), ("b".to_owned(), Some("c".to_owned()))].into(),
            ..NodePatch::default()
        };
        assert_eq!(
            node_patch(&patch, None).unwrap(),
            json!({
                "metadata": {"annotations": {"a": null, "b": "c"}},
                "spec": {"unschedulable": null},
            })
        );
        assert_eq!(node_patch(&NodePatch::default(), None), None);
    }

    #[test]
    fn an_eviction_names_the_pod_it_means() {
        let body = eviction(&PodId::new("ns", "web-0"), "uid-1", Some(30));
        assert_eq!(body["apiVersion"], "policy/v1");
        assert_eq!(body["metadata"], json!({"name": "web-0", "namespace": "ns"}));
        assert_eq!(body["deleteOptions"]["preconditions"], json!({"uid": "uid-1"}));
        assert_eq!(body["deleteOptions"]["gracePeriodSeconds"], 30);
        let without = eviction(&PodId::new("ns", "web-0"), "uid-1", None);
        assert_eq!(without["deleteOptions"].get("gracePeriodSeconds"), None);
    }

    #[test]
    fn a_name_that_is_none_makes_no_request() {
        let error = request("DeletePod", Method::DELETE, "/api/v1/pods/a b", None).unwrap_err();
        assert_eq!(error.kind, KubeErrorKind::Invalid);
    }
}
