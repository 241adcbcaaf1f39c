//! Which pods of a node are evicted, and which are not: as `kubectl drain --ignore-daemonsets
//! --delete-emptydir-data` picks them.
//!
//! Sources, by the names used below: "filters" is kubectl's `pkg/drain/filters.go`, "eviction" the API
//! server's `pkg/registry/core/pod/storage/eviction.go`, whose answers are described in Kubernetes,
//! "API-initiated Eviction" and "Safely Drain a Node".
//!
//! kubectl lists a node's pods once and waits for those. Here the node is looked at again and again,
//! so one rule is added: a pod that the cordon does not keep away, and that came after it, is left
//! alone; evicted, it would come back for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::view::{Budget, KubeView, Pod, PodId, PodPhase};

/// Annotation of a node that a roll cordoned: when. A cordon without it is somebody else's.
pub const DRAIN_ANNOTATION: &str = "kprod.dev/drain-since";

/// How long after its grace a deleted pod is waited for when a drain is forced: a kubelet that works
/// has ended it by then. kubectl's `--skip-wait-for-delete-timeout` is the same (filters,
/// `skipDeletedFilter`).
const OVERDUE: Duration = Duration::from_secs(30);

/// What a drain may do beyond asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainPolicy {
    /// Pods without a controller are evicted too, and lost; otherwise they block the drain.
    pub delete_bare_pods: bool,
    /// Pods that are still there are deleted, whatever their budgets say: the time is up and the
    /// policy says so.
    pub force: bool,
}

/// How a node's drain stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    /// Pods to ask the eviction of.
    pub evict: Vec<DrainPod>,
    /// Pods to delete whatever their budgets say; only under [`DrainPolicy::force`].
    pub delete: Vec<DrainPod>,
    /// Pods on their way out, which are still waited for.
    pub leaving: Vec<PodId>,
    /// Pods that no waiting gets away.
    pub blocked: Vec<Blocked>,
    /// Pods that stay, or that nobody waits for.
    pub ignored: Vec<(PodId, IgnoreReason)>,
}

/// A pod that has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainPod {
    /// Which.
    pub pod: PodId,
    /// The very one.
    pub uid: String,
    /// The budget that allows none now, and its numbers; the API server would refuse.
    pub held: Option<String>,
}

/// A pod that no waiting gets away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Which.
    pub pod: PodId,
    /// What holds it.
    pub why: BlockReason,
}

/// What holds a pod for ever.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlockReason {
    /// Nothing would make it again (filters, `unreplicatedFilter`).
    Bare,
    /// Its budget never allows an eviction.
    Budget { budget: PodId, message: String },
    /// Two budgets select it: the API server answers its eviction with 500, always (eviction, "more
    /// than one PodDisruptionBudget").
    TwoBudgets { budgets: BTreeSet<PodId> },
}

impl fmt::Display for BlockReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockReason::Bare => write!(f, "no controller would make it again"),
            BlockReason::Budget { message, .. } => write!(f, "{message}"),
            BlockReason::TwoBudgets { budgets } => {
                let names: Vec<String> = budgets.iter().map(PodId::to_string).collect();
                write!(f, "budgets {} select it both, so no eviction succeeds", names.join(" and "))
            }
        }
    }
}

impl BlockReason {
    /// What somebody has to do about it.
    pub fn way_out(&self) -> String {
        match self {
            BlockReason::Bare => {
                "delete it, give it a controller, or set `deleteBarePods: true` in \
                                  the group's `rollingUpdate`"
                    .to_owned()
            }
            BlockReason::Budget { budget, .. } => format!(
                "let budget {budget} allow one disruption, or run one replica more than it asks for"
            ),
            BlockReason::TwoBudgets { budgets } => {
                let names: Vec<String> = budgets.iter().map(PodId::to_string).collect();
                format!("change the selectors so that one of {} selects it", names.join(", "))
            }
        }
    }
}

/// Why a pod is left where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IgnoreReason {
    /// A DaemonSet would make it again at once, cordon or not (filters, `daemonSetFilter`). So it is
    /// where its DaemonSet is gone: the garbage collector removes the pod (Kubernetes, "Garbage
    /// Collection", "Owners and dependents"); one that was orphaned on purpose has no owner any more
    /// and is bare.
    DaemonSet,
    /// A kubelet made it from a file; the API server cannot end it (filters, `mirrorPodFilter`).
    Mirror,
    /// It tolerates the cordon and came after it; it would come back.
    CameAfter,
    /// It was deleted, its grace is long over, and the drain is forced.
    Overdue,
}

impl Drain {
    /// Whether nothing is left to wait for.
    pub fn is_drained(&self) -> bool {
        self.left() == 0
    }

    /// Pods that have to go before the node is empty.
    pub fn left(&self) -> usize {
        self.evict.len() + self.delete.len() + self.leaving.len() + self.blocked.len()
    }

    /// The first pod that a budget holds, and which budget with which numbers.
    pub fn first_held(&self) -> Option<(PodId, String)> {
        self.evict.iter().find_map(|pod| Some((pod.pod.clone(), pod.held.clone()?)))
    }
}

/// How the drain of a node stands, by a picture of the cluster. The node may be unknown, or not
/// cordoned yet.
pub fn drain(view: &KubeView, node: &str, policy: &DrainPolicy) -> Drain {
    let cordoned_at = cordoned_at(view, node);
    let mut drain = Drain::default();
    for pod in view.pods_on(node) {
        let id = pod.id.clone();
        let entry = |held| DrainPod { pod: pod.id.clone(), uid: pod.uid.clone(), held };
        match fate(view, pod, cordoned_at, *policy) {
            Fate::Ignored(reason) => drain.ignored.push((id, reason)),
            Fate::Leaving => drain.leaving.push(id),
            Fate::Blocked(why) => drain.blocked.push(Blocked { pod: id, why }),
            Fate::Evict(held) => drain.evict.push(entry(held)),
            Fate::Delete => drain.delete.push(entry(None)),
        }
    }
    drain
}

/// When a roll cordoned a node, by its note.
fn cordoned_at(view: &KubeView, node: &str) -> Option<Timestamp> {
    view.nodes.get(node)?.annotations.get(DRAIN_ANNOTATION)?.parse().ok()
}

/// What becomes of one pod.
enum Fate {
    Ignored(IgnoreReason),
    Leaving,
    Blocked(BlockReason),
    Evict(Option<String>),
    Delete,
}

fn fate(view: &KubeView, pod: &Pod, cordoned_at: Option<Timestamp>, policy: DrainPolicy) -> Fate {
    if let Some(reason) = ignored(pod, cordoned_at) {
        return Fate::Ignored(reason);
    }
    // Its data in an `emptyDir` goes with it: `--delete-emptydir-data` (filters,
    // `localStorageFilter`).
    if let Some(until) = pod.deleted_until {
        let is_overdue = policy.force && view.seen_at.duration_since(until) > overdue();
        return if is_overdue { Fate::Ignored(IgnoreReason::Overdue) } else { Fate::Leaving };
    }
    if policy.force {
        return Fate::Delete;
    }
    // A finished pod needs nobody to make it again (filters, `unreplicatedFilter`).
    if pod.owner.is_none() && !is_finished(pod) && !policy.delete_bare_pods {
        return Fate::Blocked(BlockReason::Bare);
    }
    by_budgets(view, pod)
}

fn overdue() -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(OVERDUE).unwrap_or(jiff::SignedDuration::MAX)
}

/// Whether a pod stays where it is, by the filters.
fn ignored(pod: &Pod, cordoned_at: Option<Timestamp>) -> Option<IgnoreReason> {
    if pod.is_mirror {
        return Some(IgnoreReason::Mirror);
    }
    // Finished pods of a DaemonSet are removed as others are.
    let is_daemon = pod.owner.as_ref().is_some_and(|owner| owner.kind == "DaemonSet");
    if is_daemon && !is_finished(pod) {
        return Some(IgnoreReason::DaemonSet);
    }
    let came_after = cordoned_at.is_some_and(|at| pod.created_at > at);
    (pod.tolerates_all && came_after).then_some(IgnoreReason::CameAfter)
}

/// Whether all containers of a pod ended for good.
fn is_finished(pod: &Pod) -> bool {
    matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed)
}

/// What a pod's budgets will say to its eviction.
fn by_budgets(view: &KubeView, pod: &Pod) -> Fate {
    // Such pods are evicted whatever their budgets say (eviction, `canIgnorePDB`).
    if is_finished(pod) || pod.phase == PodPhase::Pending {
        return Fate::Evict(None);
    }
    let budgets: Vec<&Budget> = view.budgets_of(pod).collect();
    match budgets.as_slice() {
        [] => Fate::Evict(None),
        [budget] => by_budget(budget, pod),
        _ => {
            let budgets = budgets.iter().map(|budget| budget.id.clone()).collect();
            Fate::Blocked(BlockReason::TwoBudgets { budgets })
        }
    }
}

fn by_budget(budget: &Budget, pod: &Pod) -> Fate {
    // Of a pod that is not ready the server asks less: enough others are healthy, or the budget's
    // `unhealthyPodEvictionPolicy` is `AlwaysAllow` (Kubernetes, "Specifying a Disruption Budget").
    let is_spare = !pod.is_ready
        && budget.desired_healthy > 0
        && budget.current_healthy >= budget.desired_healthy;
    if budget.disruptions_allowed > 0 || is_spare {
        return Fate::Evict(None);
    }
    // What its controller has not seen may allow more than its numbers say.
    if pod.is_ready && budget.is_observed && budget.is_blocked_for_ever() {
        let message = never(budget);
        return Fate::Blocked(BlockReason::Budget { budget: budget.id.clone(), message });
    }
    Fate::Evict(Some(not_now(budget)))
}

/// Why a budget never allows an eviction.
fn never(budget: &Budget) -> String {
    let Budget { id, desired_healthy, expected_pods, .. } = budget;
    format!(
        "budget {id} never allows an eviction: {desired_healthy} of its {expected_pods} pods have to \
         be healthy"
    )
}

/// Why a budget allows no eviction now.
fn not_now(budget: &Budget) -> String {
    let Budget { id, current_healthy, desired_healthy, .. } = budget;
    if !budget.is_observed {
        return format!("budget {id} has not been looked at by its controller");
    }
    format!(
        "budget {id} allows none now: {current_healthy} pods are healthy, {desired_healthy} have to be"
    )
}

/// Something that will hold up the drain of some nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreflightFinding {
    /// The budget, or the pod.
    pub object: String,
    /// Whether the roll will halt there; else it waits until the object changes.
    pub halts: bool,
    /// What about it: a fragment without a stop.
    pub message: String,
    /// What somebody may do about it.
    pub way_out: String,
    /// The nodes it is about.
    pub nodes: BTreeSet<String>,
}

/// What will hold up the drain of nodes, before any is begun: budgets that never allow an eviction,
/// or none now; pods that two budgets select; bare pods. One finding for each object, those that halt
/// first.
pub fn preflight(view: &KubeView, nodes: &BTreeSet<String>) -> Vec<PreflightFinding> {
    let mut findings: BTreeMap<(bool, String, String), PreflightFinding> = BTreeMap::new();
    for node in nodes {
        let Drain { evict, blocked, delete: _, leaving: _, ignored: _ } =
            drain(view, node, &DrainPolicy::default());
        let blocked = blocked.iter().map(of_blocked);
        let held = evict.iter().filter_map(|pod| of_held(view, node, pod));
        for finding in blocked.chain(held) {
            let key = (!finding.halts, finding.object.clone(), finding.message.clone());
            findings.entry(key).or_insert(finding).nodes.insert(node.clone());
        }
    }
    findings.into_values().collect()
}

fn of_blocked(blocked: &Blocked) -> PreflightFinding {
    let object = match &blocked.why {
        BlockReason::Budget { budget, .. } => format!("budget/{budget}"),
        BlockReason::Bare | BlockReason::TwoBudgets { .. } => format!("pod/{}", blocked.pod),
    };
    PreflightFinding {
        object,
        halts: true,
        message: blocked.why.to_string(),
        way_out: blocked.why.way_out(),
        nodes: BTreeSet::new(),
    }
}

fn of_held(view: &KubeView, node: &str, entry: &DrainPod) -> Option<PreflightFinding> {
    let message = entry.held.clone()?;
    let pod = view.pods.get(node)?.get(&entry.pod)?;
    let budget = view.budgets_of(pod).next()?;
    Some(PreflightFinding {
        object: format!("budget/{}", budget.id),
        halts: false,
        message,
        way_out: "the drain waits until it allows one, at most for `drainTimeout`".to_owned(),
        nodes: BTreeSet::new(),
    })
}

/// How long kubectl waits before it asks again for an eviction that a budget refused.
/// Source: kubectl `pkg/drain/drain.go`, `evictPods`.
const RETRY: Duration = Duration::from_secs(5);
/// So often it is asked at that pace; then ever more slowly.
const RETRIES_AT_PACE: u32 = 6;
/// The longest pause that kprod makes by itself: 1,000 refused pods then cost 33 requests a second.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// The longest wish of a server that is followed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// When to ask again for an eviction that was refused at `at`, for the `count`-th time, by a server
/// that asked to wait for `retry_after`. A pod whose budget allows one by the picture
/// ([`DrainPod::held`]) may be asked for at once where the server named no time.
pub fn next_attempt(at: Timestamp, count: u32, retry_after: Option<Duration>) -> Timestamp {
    let doublings = count.saturating_sub(RETRIES_AT_PACE).min(8);
    let pace = RETRY.saturating_mul(1 << doublings).min(RETRY_MAX);
    let wait = pace.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
