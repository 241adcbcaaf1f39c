//! A cluster as its API server tells it: nodes, pods, disruption budgets.
//!
//! Only what decisions need; everything is a value that can be recorded and replayed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::call::TaintEffect;

/// One picture of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubeView {
    /// Grows with every change that a watch brings.
    pub generation: u64,
    /// When the server was last heard of, on the clock of the port.
    pub seen_at: Timestamp,
    /// The API server's version, such as `v1.34.2`; each of several may answer.
    pub server_version: String,
    /// Nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// Pods by the node they are bound to; those that wait for a node under an empty name.
    pub pods: BTreeMap<String, BTreeMap<PodId, Pod>>,
    /// Disruption budgets by namespace and name.
    pub budgets: BTreeMap<PodId, Budget>,
}

impl KubeView {
    /// A picture older than this is not acted upon: a watch that lost its server keeps its last one.
    pub const STALE_AFTER: Duration = Duration::from_secs(60);

    /// The pods bound to a node.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &Pod> {
        self.pods.get(node).into_iter().flat_map(BTreeMap::values)
    }

    /// The budgets that select a pod.
    pub fn budgets_of<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = &'a Budget> {
        self.budgets.values().filter(move |budget| budget.selects(pod))
    }
}

/// Namespace and name of a pod, or of a budget.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PodId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl PodId {
    /// Of namespace and name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl From<PodId> for String {
    fn from(id: PodId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for PodId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = text.split_once('/');
        parts
            .map(|(namespace, name)| Self::new(namespace, name))
            .ok_or_else(|| format!("`{text}` is not `namespace/name`"))
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Tells it from an earlier node of the same name.
    pub uid: String,
    /// The instance it runs on, from `spec.providerID` (`aws:///<zone>/<instance>`); none while the
    /// cloud controller has not written it.
    pub instance_id: Option<String>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Its taints.
    pub taints: BTreeSet<Taint>,
    /// Its annotations, of those that kprod and the autoscaler read: those that begin with one of
    /// [`Node::ANNOTATION_PREFIXES`].
    pub annotations: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its conditions by type, such as `Ready` and `DiskPressure`.
    pub conditions: BTreeMap<String, Condition>,
    /// When its object was made.
    pub created_at: Timestamp,
    /// Its kubelet's version, such as `v1.34.2`.
    pub kubelet_version: String,
}

impl Node {
    /// Annotations that are kept; others may be large, and change often.
    pub const ANNOTATION_PREFIXES: [&str; 3] =
        ["kprod.dev/", "cluster-autoscaler.kubernetes.io/", "kops.k8s.io/"];

    /// Whether its kubelet says that it is ready, and was heard of lately.
    pub fn is_ready(&self) -> bool {
        self.conditions.get("Ready").is_some_and(|condition| condition.status == "True")
    }

    /// Whether it is ready, and nobody has cordoned it.
    pub fn takes_work(&self) -> bool {
        self.is_ready() && !self.unschedulable
    }

    /// Whether it has been ready before, though it is not now: its condition `Ready` has changed after its
    /// kubelet's first word, which the other conditions keep the moment of. Of a kubelet that is silent
    /// all of them say since when, and the moment that the node was made has to do.
    /// Source: Kubernetes, `lastTransitionTime` of a node's conditions; the kubelet sets all of them when
    /// it registers.
    pub fn was_ready(&self) -> bool {
        let Some(ready) = self.conditions.get("Ready") else { return false };
        let others = self.conditions.iter().filter(|(kind, _)| *kind != "Ready");
        let first_word = others.map(|(_, condition)| condition.since).min();
        let is_after = |moment, by| ready.since.duration_since(moment) > by;
        first_word.is_some_and(|first| is_after(first, FIRST_WORD))
            || is_after(self.created_at, FIRST_READY)
    }

    /// Since when it is ready.
    pub fn ready_since(&self) -> Option<Timestamp> {
        let condition = self.conditions.get("Ready")?;
        (condition.status == "True").then_some(condition.since)
    }
}

/// A kubelet's first word about its conditions is said within a second; moments are whole seconds.
const FIRST_WORD: SignedDuration = SignedDuration::from_secs(1);

/// So long after its object was made, a node's first word about itself comes at the latest.
const FIRST_READY: SignedDuration = SignedDuration::from_secs(60);

/// One condition of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Since when.
    pub since: Timestamp,
    /// One word, for machines.
    pub reason: String,
    /// A sentence, for people.
    pub message: String,
}

/// A taint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value; often empty.
    pub value: String,
    /// What it does.
    pub effect: TaintEffect,
}

/// Who made a pod and would make another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner {
    /// `ReplicaSet`, `StatefulSet`, `DaemonSet`, `Job`, `Node`, …
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PodPhase {
    /// Not started.
    Pending,
    /// At least one container runs.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, one badly.
    Failed,
    /// The node does not answer.
    Unknown,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Namespace and name.
    pub id: PodId,
    /// Tells it from an earlier pod of the same name.
    pub uid: String,
    /// The node it is bound to.
    pub node: Option<String>,
    /// When its object was made.
    pub created_at: Timestamp,
    /// Where it is in its life.
    pub phase: PodPhase,
    /// Whether its `Ready` condition is true.
    pub is_ready: bool,
    /// When it has to be gone, once somebody deleted it (`deletionTimestamp`, grace included).
    pub deleted_until: Option<Timestamp>,
    /// `terminationGracePeriodSeconds`.
    pub grace_secs: u32,
    /// Its controller; none for a bare pod.
    pub owner: Option<Owner>,
    /// Whether a kubelet made it from a file (annotation `kubernetes.io/config.mirror`).
    pub is_mirror: bool,
    /// Whether it keeps data in an `emptyDir`, which goes with it.
    pub has_empty_dir: bool,
    /// Its priority class; empty for none.
    pub priority_class: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it tolerates every taint (`operator: Exists` without key), as DaemonSets of the
    /// system do.
    pub tolerates_all: bool,
}

/// A disruption budget (`policy/v1` PodDisruptionBudget).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Namespace and name.
    pub id: PodId,
    /// Which pods it is about; none selects no pod.
    pub selector: Option<LabelSelector>,
    /// Evictions that it allows now, as its controller last wrote.
    pub disruptions_allowed: u32,
    /// Pods that are healthy.
    pub current_healthy: u32,
    /// Pods that have to be.
    pub desired_healthy: u32,
    /// Pods that it counts.
    pub expected_pods: u32,
    /// Whether its controller has seen its newest form.
    pub is_observed: bool,
}

impl Budget {
    /// Whether it is about a pod.
    pub fn selects(&self, pod: &Pod) -> bool {
        self.id.namespace == pod.id.namespace
            && self.selector.as_ref().is_some_and(|selector| selector.selects(&pod.labels))
    }

    /// Whether it can never allow an eviction while all its pods are healthy: `maxUnavailable: 0`, or
    /// `minAvailable` of all of them.
    pub fn is_blocked_for_ever(&self) -> bool {
        self.expected_pods > 0 && self.desired_healthy >= self.expected_pods
    }
}

/// A label selector; all of it has to hold. An empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelSelector {
    /// Labels by value.
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements.
    pub match_expressions: Vec<Requirement>,
}

/// One requirement of a selector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// How it is compared.
    pub operator: SelectorOperator,
    /// With what.
    pub values: BTreeSet<String>,
}

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SelectorOperator {
    /// The label has one of the values.
    In,
    /// The label is absent, or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether labels fit it.
    /// Source: Kubernetes, "Labels and selectors": `NotIn` also selects what lacks the label.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let fits = |requirement: &Requirement| {
            let value = labels.get(&requirement.key);
            match requirement.operator {
                SelectorOperator::In => value.is_some_and(|v| requirement.values.contains(v)),
                SelectorOperator::NotIn => value.is_none_or(|v| !requirement.values.contains(v)),
                SelectorOperator::Exists => value.is_some(),
                SelectorOperator::DoesNotExist => value.is_none(),
            }
        };
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(fits)
    }
}
