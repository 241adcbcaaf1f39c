//! The simulated cluster's objects as the API writes them.

use kprod::kube::{LabelSelector, Owner, PodId, PodPhase, SelectorOperator, Taint, TaintEffect};
use kprod::sim::kubernetes::{Amount, BudgetRule, Kubernetes, StoredBudget, StoredNode, StoredPod};
use serde_json::{Value, json};

/// What is listed and watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Nodes,
    Pods,
    Budgets,
}

impl Kind {
    /// The kind that a collection's path names, and its namespace.
    pub(super) fn of<'a>(parts: &[&'a str]) -> Option<(Self, Option<&'a str>)> {
        match parts {
            ["api", "v1", "nodes"] => Some((Kind::Nodes, None)),
            ["api", "v1", "pods"] => Some((Kind::Pods, None)),
            ["api", "v1", "namespaces", namespace, "pods"] => Some((Kind::Pods, Some(namespace))),
            ["apis", "policy", "v1", "poddisruptionbudgets"] => Some((Kind::Budgets, None)),
            ["apis", "policy", "v1", "namespaces", namespace, "poddisruptionbudgets"] => {
                Some((Kind::Budgets, Some(namespace)))
            }
            _ => None,
        }
    }

    /// `kind` of one object and `apiVersion`.
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Kind::Nodes => ("Node", "v1"),
            Kind::Pods => ("Pod", "v1"),
            Kind::Budgets => ("PodDisruptionBudget", "policy/v1"),
        }
    }

    /// All objects in a namespace, or in all of them, in the order of their names.
    pub(super) fn all(self, cluster: &Kubernetes, namespace: Option<&str>) -> Vec<Value> {
        let is_in = |id: &PodId| namespace.is_none_or(|namespace| namespace == id.namespace);
        match self {
            Kind::Nodes => cluster.nodes().values().map(node).collect(),
            Kind::Pods => {
                let mut pods: Vec<&StoredPod> =
                    cluster.pods().filter(|stored| is_in(&stored.pod.id)).collect();
                pods.sort_by(|one, other| one.pod.id.cmp(&other.pod.id));
                pods.into_iter().map(pod).collect()
            }
            Kind::Budgets => {
                let budgets = cluster.budgets().iter().filter(|(id, _)| is_in(id));
                budgets.map(|(_, stored)| budget(stored)).collect()
            }
        }
    }
}

pub(super) fn node(stored: &StoredNode) -> Value {
    let node = &stored.node;
    let zone = if stored.zone.is_empty() { "eu-west-3a" } else { &stored.zone };
    let provider = node.instance_id.as_ref().map(|id| format!("aws:///{zone}/{id}"));
    let conditions: Vec<Value> = node
        .conditions
        .iter()
        .map(|(kind, condition)| {
            json!({
                "type": kind,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message,
                "lastTransitionTime": at(condition.since),
            })
        })
        .collect();
    let taints: Vec<Value> = node.taints.iter().map(taint).collect();
    let mut value = json!({
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {
            "name": node.name,
            "uid": node.uid,
            "resourceVersion": stored.version.to_string(),
            "creationTimestamp": at(node.created_at),
            "labels": node.labels,
            "annotations": node.annotations,
        },
        "spec": {"providerID": provider},
        "status": {
            "conditions": conditions,
            "nodeInfo": {
                "kubeletVersion": node.kubelet_version,
                "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "",
                "kernelVersion": "", "kubeProxyVersion": "", "machineID": "",
                "operatingSystem": "linux", "osImage": "", "systemUUID": "",
            },
        },
    });
    if node.unschedulable {
        value["spec"]["unschedulable"] = true.into();
    }
    if !taints.is_empty() {
        value["spec"]["taints"] = taints.into();
    }
    value
}

fn taint(taint: &Taint) -> Value {
    let effect = match taint.effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    };
    let mut value = json!({"key": taint.key, "effect": effect});
    if !taint.value.is_empty() {
        value["value"] = taint.value.as_str().into();
    }
    value
}

pub(super) fn pod(stored: &StoredPod) -> Value {
    let pod = &stored.pod;
    let mut value = json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": pod.id.name,
            "namespace": pod.id.namespace,
            "uid": pod.uid,
            "resourceVersion": stored.version.to_string(),
            "creationTimestamp": at(pod.created_at),
            "labels": pod.labels,
        },
        "spec": {
            "containers": [{"name": "main", "image": "simulated:1"}],
            "terminationGracePeriodSeconds": pod.grace_secs,
            "priorityClassName": pod.priority_class,
        },
        "status": {
            "phase": phase(pod.phase),
            "conditions": [
                {"type": "PodScheduled", "status": truth(pod.node.is_some())},
                {"type": "Ready", "status": truth(pod.is_ready)},
            ],
        },
    });
    if let Some(node) = &pod.node {
        value["spec"]["nodeName"] = node.as_str().into();
    }
    if let Some(Owner { kind, name }) = &pod.owner {
        let version = if kind == "Node" { "v1" } else { "apps/v1" };
        value["metadata"]["ownerReferences"] = json!([
            {"apiVersion": version, "kind": kind, "name": name, "uid": name, "controller": true}
        ]);
    }
    if pod.is_mirror {
        value["metadata"]["annotations"]["kubernetes.io/config.mirror"] = pod.uid.as_str().into();
    }
    if let Some(until) = pod.deleted_until {
        value["metadata"]["deletionTimestamp"] = at(until);
        value["metadata"]["deletionGracePeriodSeconds"] = pod.grace_secs.into();
    }
    if pod.has_empty_dir {
        value["spec"]["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
    }
    if pod.tolerates_all {
        value["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    }
    value
}

pub(super) fn budget(stored: &StoredBudget) -> Value {
    let budget = &stored.budget;
    let amount = |amount: Amount| match amount {
        Amount::Count(count) => json!(count),
        Amount::Percent(percent) => json!(format!("{percent}%")),
    };
    let mut spec = match stored.rule {
        BudgetRule::MinAvailable(wanted) => json!({"minAvailable": amount(wanted)}),
        BudgetRule::MaxUnavailable(wanted) => json!({"maxUnavailable": amount(wanted)}),
    };
    if let Some(selected) = &budget.selector {
        spec["selector"] = selector(selected);
    }
    let mut value = json!({
        "kind": "PodDisruptionBudget",
        "apiVersion": "policy/v1",
        "metadata": {
            "name": budget.id.name,
            "namespace": budget.id.namespace,
            "uid": stored.uid,
            "resourceVersion": stored.version.to_string(),
            "generation": stored.generations.0,
            "creationTimestamp": at(stored.created_at.timestamp()),
        },
        "spec": spec,
        "status": {
            "disruptionsAllowed": budget.disruptions_allowed,
            "currentHealthy": budget.current_healthy,
            "desiredHealthy": budget.desired_healthy,
            "expectedPods": budget.expected_pods,
        },
    });
    if stored.generations.1 > 0 {
        let allowed = budget.disruptions_allowed > 0;
        value["status"]["observedGeneration"] = stored.generations.1.into();
        value["status"]["conditions"] = json!([{
            "type": "DisruptionAllowed",
            "status": truth(allowed),
            "reason": if allowed { "SufficientPods" } else { "InsufficientPods" },
            "message": "",
            "lastTransitionTime": at(stored.created_at.timestamp()),
        }]);
    }
    for (name, since) in &stored.disrupted {
        value["status"]["disruptedPods"][name] = at(since.timestamp());
    }
    value
}

fn selector(selector: &LabelSelector) -> Value {
    let operator = |operator: SelectorOperator| match operator {
        SelectorOperator::In => "In",
        SelectorOperator::NotIn => "NotIn",
        SelectorOperator::Exists => "Exists",
        SelectorOperator::DoesNotExist => "DoesNotExist",
    };
    let expressions: Vec<Value> = selector
        .match_expressions
        .iter()
        .map(
            |one| json!({"key": one.key, "operator": operator(one.operator), "values": one.values}),
        )
        .collect();
    json!({"matchLabels": selector.match_labels, "matchExpressions": expressions})
}

/// Times have whole seconds on the wire.
fn at(time: jiff::Timestamp) -> Value {
    let seconds = jiff::Timestamp::from_second(time.as_second()).unwrap();
    seconds.to_string().into()
}

fn truth(is: bool) -> &'static str {
    if is { "True" } else { "False" }
}

pub(super) fn phase(phase: PodPhase) -> &'static str {
    match phase {
        PodPhase::Pending => "Pending",
        PodPhase::Running => "Running",
        PodPhase::Succeeded => "Succeeded",
        PodPhase::Failed => "Failed",
        PodPhase::Unknown => "Unknown",
    }
}
