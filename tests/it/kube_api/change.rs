//! Requests that change something.

use std::collections::{BTreeMap, BTreeSet};

use kprod::kube::{LabelSelector, PodId, PodPhase, Taint, TaintEffect};
use kprod::sim::kubernetes::{Amount, BudgetRule, NodeFields, Refusal};
use serde_json::{Value, json};

use super::http::{Answer, Request};
use super::objects::{self, Kind};
use super::{State, refused, status};

pub(super) fn make(state: &mut State, request: &Request, parts: &[&str]) -> Answer {
    let body: Value = match request.body.as_slice() {
        [] => Value::Null,
        bytes => match serde_json::from_slice(bytes) {
            Ok(body) => body,
            Err(error) => return status(400, "BadRequest", &error.to_string()),
        },
    };
    let done = match (request.method.as_str(), parts) {
        ("POST", ["api", "v1", "nodes"]) => create_node(state, &body),
        ("PATCH" | "PUT", ["api", "v1", "nodes", name]) => write_node(state, request, name, &body),
        ("PATCH" | "PUT", ["api", "v1", "nodes", name, "status"]) => {
            write_node_status(state, name, &body)
        }
        ("DELETE", ["api", "v1", "nodes", name]) => {
            let deleted = state.cluster.delete_node(name, uid_of(&body));
            deleted.map(|()| status(200, "", ""))
        }
        ("POST", ["api", "v1", "namespaces"]) => Ok(Answer::json(201, &body)),
        ("DELETE", ["api", "v1", "namespaces", _]) => Ok(status(200, "", "")),
        ("POST", ["api", "v1", "namespaces", namespace, "pods"]) => {
            create_pod(state, namespace, &body)
        }
        ("PATCH" | "PUT", ["api", "v1", "namespaces", namespace, "pods", name, "status"]) => {
            write_pod_status(state, &PodId::new(*namespace, *name), &body)
        }
        ("POST", ["api", "v1", "namespaces", namespace, "pods", name, "eviction"]) => {
            evict(state, request, &PodId::new(*namespace, *name), &body)
        }
        ("DELETE", ["api", "v1", "namespaces", namespace, "pods", name]) => {
            delete_pod(state, &PodId::new(*namespace, *name), &body)
        }
        ("POST", ["apis", "policy", "v1", "namespaces", namespace, "poddisruptionbudgets"]) => {
            write_budget(state, namespace, &body)
        }
        (
            "DELETE",
            ["apis", "policy", "v1", "namespaces", namespace, "poddisruptionbudgets", name],
        ) => {
            state.cluster.remove_budget(&PodId::new(*namespace, *name));
            Ok(status(200, "", ""))
        }
        _ => Ok(status(404, "NotFound", &format!("{} not found", request.path))),
    };
    done.unwrap_or_else(|refusal| refused(&refusal))
}

fn evict(
    state: &mut State,
    request: &Request,
    id: &PodId,
    body: &Value,
) -> Result<Answer, Refusal> {
    let options = &body["deleteOptions"];
    let dry_run = request.query("dryRun").is_some() || !options["dryRun"].is_null();
    state.cluster.evict(id, uid_of(options), grace_of(options), dry_run)?;
    Ok(status(201, "", ""))
}

/// A pod that stays for its grace period is the answer; one that is gone at once as well.
fn delete_pod(state: &mut State, id: &PodId, body: &Value) -> Result<Answer, Refusal> {
    let before = state.cluster.pod(id).map(objects::pod);
    state.cluster.delete(id, uid_of(body), grace_of(body))?;
    let after = state.cluster.pod(id).map(objects::pod).or(before);
    Ok(Answer::json(200, &after.unwrap_or_default()))
}

fn uid_of(options: &Value) -> Option<&str> {
    options["preconditions"]["uid"].as_str()
}

fn grace_of(options: &Value) -> Option<u32> {
    options["gracePeriodSeconds"].as_u64().and_then(|secs| u32::try_from(secs).ok())
}

/// PUT writes the object whole; PATCH merges into it. Of a node both kinds of patch do the same:
/// its taints are one list that is replaced whole.
/// Source: Kubernetes API reference, `core/v1` NodeSpec: `taints` is an atomic list.
fn write_node(
    state: &mut State,
    request: &Request,
    name: &str,
    body: &Value,
) -> Result<Answer, Refusal> {
    let Some(stored) = state.cluster.nodes().get(name) else {
        return Ok(status(404, "NotFound", &format!("nodes \"{name}\" not found")));
    };
    let wanted = match request.method.as_str() {
        "PUT" => body.clone(),
        _ => {
            let content = request.header("content-type").map(String::as_str);
            let is_merge = matches!(
                content,
                Some("application/merge-patch+json" | "application/strategic-merge-patch+json")
            );
            if !is_merge {
                let words =
                    format!("the body of the request was in an unknown format: {content:?}");
                return Ok(status(415, "UnsupportedMediaType", &words));
            }
            let mut merged = objects::node(stored);
            merge(&mut merged, body);
            merged
        }
    };
    let asked = body["metadata"]["resourceVersion"].as_str();
    let version = asked.map(|version| version.parse().unwrap_or(0));
    state.cluster.write_node(name, version, fields(&wanted))?;
    Ok(node(state, name))
}

fn node(state: &State, name: &str) -> Answer {
    let node = state.cluster.nodes().get(name).map(objects::node);
    Answer::json(200, &node.unwrap_or_default())
}

/// Source: RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let object = target.as_object_mut().unwrap();
    for (key, change) in changes {
        if change.is_null() {
            object.remove(key);
        } else {
            merge(object.entry(key).or_insert(Value::Null), change);
        }
    }
}

fn fields(node: &Value) -> NodeFields {
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    NodeFields {
        unschedulable: node["spec"]["unschedulable"].as_bool().unwrap_or(false),
        taints: taints.filter_map(taint).collect::<BTreeSet<_>>(),
        annotations: words(&node["metadata"]["annotations"]),
        labels: words(&node["metadata"]["labels"]),
    }
}

fn taint(value: &Value) -> Option<Taint> {
    let effect = match value["effect"].as_str()? {
        "NoSchedule" => TaintEffect::NoSchedule,
        "PreferNoSchedule" => TaintEffect::PreferNoSchedule,
        "NoExecute" => TaintEffect::NoExecute,
        _ => return None,
    };
    let word = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
    Some(Taint { key: word("key"), value: word("value"), effect })
}

fn words(object: &Value) -> BTreeMap<String, String> {
    let pairs = object.as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn create_node(state: &mut State, body: &Value) -> Result<Answer, Refusal> {
    let name = body["metadata"]["name"].as_str().unwrap_or_default();
    let provider = body["spec"]["providerID"].as_str();
    let instance_id = provider.and_then(|id| id.rsplit('/').next());
    state.cluster.create_node(name, instance_id, fields(body))?;
    let mut answer = node(state, name);
    answer.status = 201;
    Ok(answer)
}

fn write_node_status(state: &mut State, name: &str, body: &Value) -> Result<Answer, Refusal> {
    if let Some(is_ready) = ready_of(body) {
        state.cluster.write_node_ready(name, is_ready)?;
    }
    Ok(node(state, name))
}

fn ready_of(body: &Value) -> Option<bool> {
    let mut conditions = body["status"]["conditions"].as_array()?.iter();
    let ready = conditions.find(|condition| condition["type"] == "Ready")?;
    Some(ready["status"] == "True")
}

fn create_pod(state: &mut State, namespace: &str, body: &Value) -> Result<Answer, Refusal> {
    let id = PodId::new(namespace, body["metadata"]["name"].as_str().unwrap_or_default());
    let grace = body["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
    let grace = u32::try_from(grace).unwrap_or(u32::MAX);
    let node = body["spec"]["nodeName"].as_str();
    state.cluster.create_bare_pod(&id, words(&body["metadata"]["labels"]), grace, node)?;
    let made = state.cluster.pod(&id).map(objects::pod).unwrap_or_default();
    Ok(Answer::json(201, &made))
}

fn write_pod_status(state: &mut State, id: &PodId, body: &Value) -> Result<Answer, Refusal> {
    let phases = [
        PodPhase::Pending,
        PodPhase::Running,
        PodPhase::Succeeded,
        PodPhase::Failed,
        PodPhase::Unknown,
    ];
    let known = state.cluster.pod(id).map(|stored| (stored.pod.phase, stored.pod.is_ready));
    let (phase, is_ready) = known.unwrap_or((PodPhase::Pending, false));
    let asked = body["status"]["phase"].as_str();
    let phase = phases.into_iter().find(|one| Some(objects::phase(*one)) == asked).unwrap_or(phase);
    state.cluster.write_pod_status(id, phase, ready_of(body).unwrap_or(is_ready))?;
    let written = state.cluster.pod(id).map(objects::pod).unwrap_or_default();
    Ok(Answer::json(200, &written))
}

fn write_budget(state: &mut State, namespace: &str, body: &Value) -> Result<Answer, Refusal> {
    let id = PodId::new(namespace, body["metadata"]["name"].as_str().unwrap_or_default());
    let spec = &body["spec"];
    let amount = |value: &Value| match value.as_str() {
        Some(text) => Amount::Percent(text.trim_end_matches('%').parse().unwrap_or(0)),
        None => Amount::Count(value.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0)),
    };
    let rule = match &spec["maxUnavailable"] {
        Value::Null => BudgetRule::MinAvailable(amount(&spec["minAvailable"])),
        most => BudgetRule::MaxUnavailable(amount(most)),
    };
    let selector = spec["selector"].is_object().then(|| LabelSelector {
        match_labels: words(&spec["selector"]["matchLabels"]),
        match_expressions: Vec::new(),
    });
    state.cluster.set_budget(&id, selector, rule);
    let all = Kind::Budgets.all(&state.cluster, Some(namespace));
    let made = all.into_iter().find(|budget| budget["metadata"]["name"] == id.name.as_str());
    Ok(Answer::json(201, &made.unwrap_or_default()))
}
