//! The picture that the watches paint: what they brought, when they were last heard of, what they
//! complain about. Pure: the time is an argument.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::convert::Fact;
use crate::kube::{Budget, KubeError, KubeErrorKind, KubeView, Node, Pod, PodId};

/// How often a picture that stays the same is written anew for its time's sake.
const SEEN_AT_STEP: SignedDuration = SignedDuration::from_secs(5);

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Feed {
    Nodes,
    Pods,
    Budgets,
}

impl Feed {
    pub(super) const ALL: [Feed; 3] = [Feed::Nodes, Feed::Pods, Feed::Budgets];

    /// For messages.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Feed::Nodes => "nodes",
            Feed::Pods => "pods",
            Feed::Budgets => "disruption budgets",
        }
    }
}

/// How a watch is doing.
#[derive(Clone, Debug, Default)]
struct Health {
    was_listed: bool,
    /// When the server last said something, on a clock that runs through sleep.
    heard_ms: Option<i64>,
    /// What went wrong since.
    error: Option<KubeError>,
}

/// The picture with all that belongs to it.
pub(super) struct Picture {
    view: Arc<KubeView>,
    /// Where the view keeps each pod.
    places: BTreeMap<PodId, String>,
    health: BTreeMap<Feed, Health>,
    started_ms: i64,
}

/// What a look gives.
pub(super) enum Look {
    /// The picture.
    Seen(Arc<KubeView>),
    /// There is none yet; what went wrong so far.
    NotYet(Option<KubeError>),
    /// There is none, or it is too old.
    Failed(KubeError),
}

impl Picture {
    pub(super) fn new(now_ms: i64) -> Self {
        let view = KubeView {
            generation: 0,
            seen_at: Timestamp::UNIX_EPOCH,
            server_version: String::new(),
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            budgets: BTreeMap::new(),
        };
        Self {
            view: Arc::new(view),
            places: BTreeMap::new(),
            health: Feed::ALL.map(|feed| (feed, Health::default())).into(),
            started_ms: now_ms,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.view.generation
    }

    /// The picture as it is now.
    pub(super) fn look(&mut self, now_ms: i64, now: Timestamp) -> Look {
        for health in self.health.values() {
            if let Some(error) = health.error.as_ref().filter(|error| !error.kind.is_passing()) {
                return Look::Failed(error.clone());
            }
        }
        let mut oldest_ms = now_ms;
        for (feed, health) in &self.health {
            let heard_ms = health.heard_ms.unwrap_or(self.started_ms);
            let silent = Duration::from_millis(now_ms.saturating_sub(heard_ms).unsigned_abs());
            if silent > KubeView::STALE_AFTER {
                return Look::Failed(silence(*feed, silent, health.error.as_ref()));
            }
            oldest_ms = oldest_ms.min(heard_ms);
        }
        if self.health.values().any(|health| !health.was_listed) {
            let error = self.health.values().find_map(|health| health.error.clone());
            return Look::NotYet(error);
        }
        let age = SignedDuration::from_millis(now_ms.saturating_sub(oldest_ms));
        let seen_at = now.checked_sub(age).unwrap_or(now);
        if seen_at.duration_since(self.view.seen_at).abs() >= SEEN_AT_STEP {
            Arc::make_mut(&mut self.view).seen_at = seen_at;
        }
        Look::Seen(self.view.clone())
    }

    /// The server said something about a feed.
    pub(super) fn heard(&mut self, feed: Feed, now_ms: i64) {
        let health = self.health.entry(feed).or_default();
        health.heard_ms = Some(now_ms);
        health.error = None;
    }

    /// A list or a watch of a feed failed.
    pub(super) fn failed(&mut self, feed: Feed, error: KubeError) {
        self.health.entry(feed).or_default().error = Some(error);
    }

    /// The API server's version. It is no change by itself.
    pub(super) fn set_server_version(&mut self, version: &str) {
        if self.view.server_version != version {
            version.clone_into(&mut self.changed().server_version);
        }
    }

    /// A whole list came in.
    pub(super) fn replace(&mut self, feed: Feed, facts: Vec<Fact>) {
        match feed {
            Feed::Nodes => {
                let nodes: BTreeMap<String, Node> = facts.into_iter().filter_map(as_node).collect();
                if nodes != self.view.nodes {
                    self.changed().nodes = nodes;
                }
            }
            Feed::Pods => self.replace_pods(facts),
            Feed::Budgets => {
                let budgets: BTreeMap<PodId, Budget> =
                    facts.into_iter().filter_map(as_budget).collect();
                if budgets != self.view.budgets {
                    self.changed().budgets = budgets;
                }
            }
        }
        self.health.entry(feed).or_default().was_listed = true;
    }

    fn replace_pods(&mut self, facts: Vec<Fact>) {
        let mut pods: BTreeMap<String, BTreeMap<PodId, Pod>> = BTreeMap::new();
        let mut places = BTreeMap::new();
        for pod in facts.into_iter().filter_map(as_pod) {
            let place = place(&pod);
            places.insert(pod.id.clone(), place.clone());
            pods.entry(place).or_default().insert(pod.id.clone(), pod);
        }
        self.places = places;
        if pods != self.view.pods {
            self.changed().pods = pods;
        }
    }

    /// An object was added or has changed.
    pub(super) fn put(&mut self, fact: Fact) {
        match fact {
            Fact::Node(node) => {
                if self.view.nodes.get(&node.name) != Some(&node) {
                    self.changed().nodes.insert(node.name.clone(), node);
                }
            }
            Fact::Pod(pod) => self.put_pod(pod),
            Fact::Budget(budget) => {
                if self.view.budgets.get(&budget.id) != Some(&budget) {
                    self.changed().budgets.insert(budget.id.clone(), budget);
                }
            }
        }
    }

    fn put_pod(&mut self, pod: Pod) {
        let place = place(&pod);
        let known = self.view.pods.get(&place).and_then(|pods| pods.get(&pod.id));
        if known == Some(&pod) {
            return;
        }
        if self.places.get(&pod.id).is_some_and(|before| *before != place) {
            self.remove_pod(&pod.id);
        }
        self.places.insert(pod.id.clone(), place.clone());
        self.changed().pods.entry(place).or_default().insert(pod.id.clone(), pod);
    }

    /// An object is gone.
    pub(super) fn remove(&mut self, fact: &Fact) {
        match fact {
            Fact::Node(node) => {
                if self.view.nodes.contains_key(&node.name) {
                    self.changed().nodes.remove(&node.name);
                }
            }
            Fact::Pod(pod) => self.remove_pod(&pod.id),
            Fact::Budget(budget) => {
                if self.view.budgets.contains_key(&budget.id) {
                    self.changed().budgets.remove(&budget.id);
                }
            }
        }
    }

    fn remove_pod(&mut self, id: &PodId) {
        let Some(place) = self.places.remove(id) else { return };
        let pods = &mut self.changed().pods;
        if let Some(there) = pods.get_mut(&place) {
            there.remove(id);
            if there.is_empty() {
                pods.remove(&place);
            }
        }
    }

    /// The view, to be changed: whoever still holds the one before keeps it as it was.
    fn changed(&mut self) -> &mut KubeView {
        let view = Arc::make_mut(&mut self.view);
        view.generation += 1;
        view
    }
}

fn silence(feed: Feed, silent: Duration, error: Option<&KubeError>) -> KubeError {
    let last = error.map(|error| format!(": {}", error.message)).unwrap_or_default();
    let message = format!(
        "the API server was not heard of for {} s, by the watch of {}{last}",
        silent.as_secs(),
        feed.as_str()
    );
    let kind = error.map_or(KubeErrorKind::Unreachable, |error| error.kind);
    KubeError::new(kind, "Watch", message)
}

/// The key of a pod's node in a view.
fn place(pod: &Pod) -> String {
    pod.node.clone().unwrap_or_default()
}

fn as_node(fact: Fact) -> Option<(String, Node)> {
    match fact {
        Fact::Node(node) => Some((node.name.clone(), node)),
        _ => None,
    }
}

fn as_pod(fact: Fact) -> Option<Pod> {
    match fact {
        Fact::Pod(pod) => Some(pod),
        _ => None,
    }
}

fn as_budget(fact: Fact) -> Option<(PodId, Budget)> {
    match fact {
        Fact::Budget(budget) => Some((budget.id.clone(), budget)),
        _ => None,
    }
}
