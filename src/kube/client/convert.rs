//! From the API's objects to kprod's facts. Pure; what is missing becomes what the API says it means.

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::policy::v1 as policy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

use crate::kube::{
    Budget, Condition, LabelSelector, Node, Owner, Pod, PodId, PodPhase, Requirement,
    SelectorOperator, Taint, TaintEffect,
};

/// What the API server fills in when a pod says nothing.
/// Source: Kubernetes API reference, `core/v1` PodSpec, `terminationGracePeriodSeconds`.
const GRACE_SECS: u32 = 30;

/// The annotation of a pod that a kubelet made from a file.
/// Source: Kubernetes, `core/v1` annotation_key_constants.go, `MirrorPodAnnotationKey`.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

pub(super) fn node(node: core::Node) -> Node {
    let spec = node.spec.unwrap_or_default();
    let status = node.status.unwrap_or_default();
    let is_ours =
        |key: &String| Node::ANNOTATION_PREFIXES.iter().any(|prefix| key.starts_with(prefix));
    let mut annotations = node.metadata.annotations.unwrap_or_default();
    annotations.retain(|key, _| is_ours(key));
    Node {
        name: node.metadata.name.unwrap_or_default(),
        uid: node.metadata.uid.unwrap_or_default(),
        instance_id: spec.provider_id.as_deref().and_then(instance_id),
        unschedulable: spec.unschedulable.unwrap_or_default(),
        taints: spec.taints.unwrap_or_default().into_iter().filter_map(taint).collect(),
        annotations,
        labels: node.metadata.labels.unwrap_or_default(),
        conditions: status.conditions.unwrap_or_default().into_iter().map(condition).collect(),
        created_at: time(node.metadata.creation_timestamp.as_ref()),
        kubelet_version: status.node_info.unwrap_or_default().kubelet_version,
    }
}

/// The instance of a provider id.
/// Source: cloud-provider-aws, `pkg/providers/v1/instances.go`: `aws:///<zone>/<instance>`, and
/// `aws:////<instance>` for one whose zone is not known.
fn instance_id(provider_id: &str) -> Option<String> {
    let path = provider_id.strip_prefix("aws://")?;
    let id = path.rsplit('/').next()?;
    id.starts_with("i-").then(|| id.to_owned())
}

/// None for an effect that this Kubernetes does not know.
fn taint(taint: core::Taint) -> Option<Taint> {
    let effect = match taint.effect.as_str() {
        "NoSchedule" => TaintEffect::NoSchedule,
        "PreferNoSchedule" => TaintEffect::PreferNoSchedule,
        "NoExecute" => TaintEffect::NoExecute,
        _ => return None,
    };
    Some(Taint { key: taint.key, value: taint.value.unwrap_or_default(), effect })
}

fn condition(condition: core::NodeCondition) -> (String, Condition) {
    let fact = Condition {
        status: condition.status,
        since: time(condition.last_transition_time.as_ref()),
        reason: condition.reason.unwrap_or_default(),
        message: condition.message.unwrap_or_default(),
    };
    (condition.type_, fact)
}

pub(super) fn pod(pod: core::Pod) -> Pod {
    let spec = pod.spec.unwrap_or_default();
    let status = pod.status.unwrap_or_default();
    let metadata = pod.metadata;
    let annotations = metadata.annotations.unwrap_or_default();
    let owners = metadata.owner_references.unwrap_or_default();
    let grace = spec.termination_grace_period_seconds;
    let is_empty_dir = |volume: &core::Volume| volume.empty_dir.is_some();
    let is_ready =
        |condition: &core::PodCondition| condition.type_ == "Ready" && condition.status == "True";
    Pod {
        id: id(metadata.namespace, metadata.name),
        uid: metadata.uid.unwrap_or_default(),
        node: spec.node_name.filter(|node| !node.is_empty()),
        created_at: time(metadata.creation_timestamp.as_ref()),
        phase: phase(status.phase.as_deref()),
        is_ready: status.conditions.unwrap_or_default().iter().any(is_ready),
        deleted_until: metadata.deletion_timestamp.map(|time| time.0),
        grace_secs: grace.map_or(GRACE_SECS, |secs| u32::try_from(secs).unwrap_or_default()),
        owner: controller(owners),
        is_mirror: annotations.contains_key(MIRROR_ANNOTATION),
        has_empty_dir: spec.volumes.unwrap_or_default().iter().any(is_empty_dir),
        priority_class: spec.priority_class_name.unwrap_or_default(),
        labels: metadata.labels.unwrap_or_default(),
        tolerates_all: spec.tolerations.unwrap_or_default().iter().any(tolerates_all),
    }
}

/// The owner that would make another one. Others own it for the garbage collector alone.
/// Source: Kubernetes API reference, `meta/v1` OwnerReference, `controller`.
fn controller(owners: Vec<meta::OwnerReference>) -> Option<Owner> {
    let owner = owners.into_iter().find(|owner| owner.controller == Some(true))?;
    Some(Owner { kind: owner.kind, name: owner.name })
}

/// An empty key with `Exists` fits every taint, an empty effect every effect.
/// Source: Kubernetes API reference, `core/v1` Toleration.
fn tolerates_all(toleration: &core::Toleration) -> bool {
    let is_empty = |text: &Option<String>| text.as_ref().is_none_or(String::is_empty);
    toleration.operator.as_deref() == Some("Exists")
        && is_empty(&toleration.key)
        && is_empty(&toleration.effect)
}

fn phase(phase: Option<&str>) -> PodPhase {
    match phase {
        Some("Running") => PodPhase::Running,
        Some("Succeeded") => PodPhase::Succeeded,
        Some("Failed") => PodPhase::Failed,
        // A pod without a status was not started.
        Some("Pending" | "") | None => PodPhase::Pending,
        Some(_) => PodPhase::Unknown,
    }
}

pub(super) fn budget(budget: policy::PodDisruptionBudget) -> Budget {
    let spec = budget.spec.unwrap_or_default();
    let status = budget.status.unwrap_or_default();
    let count = |number: i32| u32::try_from(number).unwrap_or_default();
    let generation = budget.metadata.generation.unwrap_or_default();
    Budget {
        id: id(budget.metadata.namespace, budget.metadata.name),
        selector: spec.selector.map(selector),
        disruptions_allowed: count(status.disruptions_allowed),
        current_healthy: count(status.current_healthy),
        desired_healthy: count(status.desired_healthy),
        expected_pods: count(status.expected_pods),
        is_observed: status.observed_generation.is_some_and(|observed| observed >= generation),
    }
}

fn selector(selector: meta::LabelSelector) -> LabelSelector {
    let expressions = selector.match_expressions.unwrap_or_default();
    LabelSelector {
        match_labels: selector.match_labels.unwrap_or_default(),
        match_expressions: expressions.into_iter().map(requirement).collect(),
    }
}

fn requirement(requirement: meta::LabelSelectorRequirement) -> Requirement {
    let operator = match requirement.operator.as_str() {
        "In" => SelectorOperator::In,
        "NotIn" => SelectorOperator::NotIn,
        "DoesNotExist" => SelectorOperator::DoesNotExist,
        // The API server takes no other.
        _ => SelectorOperator::Exists,
    };
    let values = requirement.values.unwrap_or_default().into_iter().collect();
    Requirement { key: requirement.key, operator, values }
}

fn id(namespace: Option<String>, name: Option<String>) -> PodId {
    PodId { namespace: namespace.unwrap_or_default(), name: name.unwrap_or_default() }
}

fn time(time: Option<&meta::Time>) -> Timestamp {
    time.map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// An object that is watched: what kprod makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Node(Node),
    Pod(Pod),
    Budget(Budget),
}
