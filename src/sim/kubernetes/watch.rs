//! What is told of changes: the picture that a watching client has, a little late; and the history
//! that a watch can be begun from.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::{Kubernetes, StoredBudget, StoredNode, StoredPod};
use crate::kube::{KubeError, KubeView, Pod, PodId};
use crate::sim::Time;

/// A change of one object: its newest form, and whether it is gone.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A node.
    Node(Box<StoredNode>, bool),
    /// A pod.
    Pod(Box<StoredPod>, bool),
    /// A disruption budget.
    Budget(Box<StoredBudget>, bool),
}

/// A change with its resource version.
#[derive(Clone, Debug, PartialEq)]
pub struct Versioned {
    /// The resource version.
    pub version: u64,
    /// What changed.
    pub change: Change,
}

/// The picture that a client's watches have. It begins with the first look, as a client begins with
/// a list; until then nothing is kept. It follows from the cluster's state and is not part of it.
#[derive(Debug, Default)]
pub(super) struct Watch {
    picture: Option<KubeView>,
    /// Changes that the client has not been told of, with when it is.
    feed: VecDeque<(Time, Versioned)>,
    /// Pictures that were handed out and may be brought up to date once nobody holds them.
    spares: Vec<Spare>,
}

/// A picture that was handed out, and what has changed since.
#[derive(Debug)]
struct Spare {
    view: Arc<KubeView>,
    /// Nodes that changed, or whose pods did.
    nodes: BTreeSet<String>,
    budgets: BTreeSet<PodId>,
}

impl Clone for Watch {
    /// A copy of a world has the same picture, and hands out pictures of its own.
    fn clone(&self) -> Self {
        Self { picture: self.picture.clone(), feed: self.feed.clone(), spares: Vec::new() }
    }
}

impl PartialEq for Watch {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The last changes, for watches that begin at a resource version; kept on request.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    kept_max: usize,
    changes: VecDeque<Versioned>,
}

impl PartialEq for History {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Watch {
    /// Pictures that are kept for the next ones.
    const SPARES_MAX: usize = 3;

    /// When the client is told of the next change.
    pub(super) fn next(&self) -> Option<Time> {
        self.feed.front().map(|(at, _)| *at)
    }

    fn show(&mut self, told: Versioned) {
        let Some(picture) = &mut self.picture else { return };
        picture.generation = told.version;
        match told.change {
            Change::Node(stored, is_gone) => {
                let name = stored.node.name.clone();
                for spare in &mut self.spares {
                    spare.nodes.insert(name.clone());
                }
                match is_gone {
                    false => picture.nodes.insert(name, stored.node),
                    true => picture.nodes.remove(&name),
                };
            }
            Change::Pod(stored, is_gone) => {
                let node = stored.pod.node.clone().unwrap_or_default();
                for spare in &mut self.spares {
                    spare.nodes.extend([node.clone(), String::new()]);
                }
                show_pod(&mut picture.pods, node, stored.pod, is_gone);
            }
            Change::Budget(stored, is_gone) => {
                let id = stored.budget.id.clone();
                for spare in &mut self.spares {
                    spare.budgets.insert(id.clone());
                }
                match is_gone {
                    false => picture.budgets.insert(id, stored.budget),
                    true => picture.budgets.remove(&id),
                };
            }
        }
    }

    /// The picture: a spare one brought up to date if nobody holds it, else a copy.
    fn hand_out(&mut self, seen_at: Time, server_version: &str) -> Option<Arc<KubeView>> {
        let picture = self.picture.as_ref()?;
        let free = self.spares.iter_mut().position(|spare| Arc::get_mut(&mut spare.view).is_some());
        let mut spare = match free {
            Some(position) => self.spares.remove(position),
            None => Spare {
                view: Arc::new(picture.clone()),
                nodes: BTreeSet::new(),
                budgets: BTreeSet::new(),
            },
        };
        if let Some(view) = Arc::get_mut(&mut spare.view) {
            for name in std::mem::take(&mut spare.nodes) {
                copy(&picture.nodes, &mut view.nodes, &name);
                copy(&picture.pods, &mut view.pods, &name);
            }
            for id in std::mem::take(&mut spare.budgets) {
                copy(&picture.budgets, &mut view.budgets, &id);
            }
            view.generation = picture.generation;
            view.seen_at = seen_at.timestamp();
            server_version.clone_into(&mut view.server_version);
        }
        let view = spare.view.clone();
        self.spares.push(spare);
        if self.spares.len() > Self::SPARES_MAX {
            self.spares.remove(0);
        }
        Some(view)
    }
}

/// Shows a pod where it is. A pod is bound once: then it leaves those that wait for a node.
fn show_pod(
    pods: &mut BTreeMap<String, BTreeMap<PodId, Pod>>,
    node: String,
    pod: Pod,
    is_gone: bool,
) {
    for place in [node.as_str(), ""] {
        let is_last = pods.get_mut(place).is_some_and(|there| {
            there.remove(&pod.id);
            there.is_empty()
        });
        if is_last {
            pods.remove(place);
        }
    }
    if !is_gone {
        pods.entry(node).or_default().insert(pod.id.clone(), pod);
    }
}

fn copy<K: Ord + Clone, V: Clone>(from: &BTreeMap<K, V>, to: &mut BTreeMap<K, V>, key: &K) {
    match from.get(key) {
        Some(value) => to.insert(key.clone(), value.clone()),
        None => to.remove(key),
    };
}

impl Kubernetes {
    /// The picture that a watching client has.
    ///
    /// # Errors
    /// When the API server refuses, or has not answered for longer than a picture is good for.
    pub fn view(&mut self) -> Result<Arc<KubeView>, KubeError> {
        self.tell();
        let trouble = self.check_api("Watch").err();
        if let Some(error) = &trouble
            && !error.kind.is_passing()
        {
            return Err(error.clone());
        }
        let heard_of_at = self.heard_of_at();
        if let Some(error) = trouble {
            let silent_ms = u128::from(self.now.since_ms(heard_of_at));
            if self.watch.picture.is_none() || silent_ms > KubeView::STALE_AFTER.as_millis() {
                return Err(error);
            }
        }
        if self.watch.picture.is_none() {
            self.watch.picture = Some(self.list());
        }
        let version = self.server_version();
        let missing = || {
            let message = format!("the cluster {} was never listed", self.name);
            KubeError::new(crate::kube::KubeErrorKind::Unreachable, "Watch", message)
        };
        self.watch.hand_out(heard_of_at, &version).ok_or_else(missing)
    }

    /// The generation of the picture; 0 before the first look.
    pub fn picture_generation(&self) -> u64 {
        self.watch.picture.as_ref().map_or(0, |picture| picture.generation)
    }

    /// Everything as it is now.
    pub fn list(&self) -> KubeView {
        let mut pods: BTreeMap<String, BTreeMap<PodId, Pod>> = BTreeMap::new();
        for stored in self.pods.values() {
            let on = pods.entry(stored.pod.node.clone().unwrap_or_default()).or_default();
            on.insert(stored.pod.id.clone(), stored.pod.clone());
        }
        let nodes = self.nodes.iter().map(|(name, stored)| (name.clone(), stored.node.clone()));
        let budgets = self.budgets.iter().map(|(id, stored)| (id.clone(), stored.budget.clone()));
        KubeView {
            generation: self.generation,
            seen_at: self.now.timestamp(),
            server_version: self.server_version(),
            nodes: nodes.collect(),
            pods,
            budgets: budgets.collect(),
        }
    }

    /// The oldest version of an API server that runs.
    pub fn server_version(&self) -> String {
        let of = |id: &String| Some(self.hosts.get(id)?.host.kubelet_version.clone());
        let versions = self.api_servers.iter().filter_map(of);
        versions.min_by_key(|version| numbers(version)).unwrap_or(self.settings.version.clone())
    }

    /// The resource version of the newest change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Keeps the last changes from now on, for [`Kubernetes::changes_since`].
    pub fn keep_history(&mut self, changes_max: usize) {
        self.history.kept_max = changes_max;
    }

    /// The changes after a resource version; none when it is too old to know.
    pub fn changes_since(&self, version: u64) -> Option<Vec<&Versioned>> {
        let oldest = self.history.changes.front().map_or(self.generation + 1, |c| c.version);
        let is_known = version.saturating_add(1) >= oldest && version <= self.generation;
        is_known.then(|| self.history.changes.iter().filter(|c| c.version > version).collect())
    }

    /// Tells that a node has changed.
    pub(super) fn touch_node(&mut self, name: &str) {
        let version = self.next_version();
        let Some(stored) = self.nodes.get_mut(name) else { return };
        stored.version = version;
        if self.is_told() {
            let stored = self.nodes.get(name).cloned().map(Box::new);
            self.note(version, stored.map(|stored| Change::Node(stored, false)));
        }
    }

    /// Tells that a node is gone.
    pub(super) fn forget_node(&mut self, stored: StoredNode) {
        let version = self.next_version();
        self.note(version, Some(Change::Node(Box::new(stored), true)));
    }

    /// Tells that a pod has changed.
    pub(super) fn touch_pod(&mut self, number: u64) {
        let version = self.next_version();
        let Some(stored) = self.pods.get_mut(&number) else { return };
        stored.version = version;
        if self.is_told() {
            let stored = self.pods.get(&number).cloned().map(Box::new);
            self.note(version, stored.map(|stored| Change::Pod(stored, false)));
        }
    }

    /// Tells that a pod is gone.
    pub(super) fn forget_pod(&mut self, stored: StoredPod) {
        let version = self.next_version();
        self.note(version, Some(Change::Pod(Box::new(stored), true)));
    }

    /// Tells that a budget has changed.
    pub(super) fn touch_budget(&mut self, id: &PodId) {
        let version = self.next_version();
        let Some(stored) = self.budgets.get_mut(id) else { return };
        stored.version = version;
        let stored = Box::new(stored.clone());
        self.note(version, Some(Change::Budget(stored, false)));
    }

    /// Tells that a budget is gone.
    pub(super) fn forget_budget(&mut self, stored: StoredBudget) {
        let version = self.next_version();
        self.note(version, Some(Change::Budget(Box::new(stored), true)));
    }

    /// Whether anybody hears of changes.
    fn is_told(&self) -> bool {
        self.watch.picture.is_some() || self.history.kept_max > 0
    }

    fn next_version(&mut self) -> u64 {
        self.generation = self.generation.wrapping_add(1);
        self.generation
    }

    fn note(&mut self, version: u64, change: Option<Change>) {
        let Some(change) = change else { return };
        let told = Versioned { version, change };
        if self.history.kept_max > 0 {
            if self.history.changes.len() >= self.history.kept_max {
                self.history.changes.pop_front();
            }
            self.history.changes.push_back(told.clone());
        }
        if self.watch.picture.is_none() {
            return;
        }
        let lag_ms_max = self.lag_ms_max.max(self.faults.watch_lag_ms_max);
        let lag = self.draw(lag_ms_max.saturating_add(u64::from(lag_ms_max > 0)));
        let last = self.watch.feed.back().map_or(self.now, |(at, _)| *at);
        self.watch.feed.push_back((self.now.plus_ms(lag).max(last), told));
    }

    /// Tells the client of what is due, if it can be reached.
    pub(super) fn tell(&mut self) {
        if !self.is_reachable() {
            return;
        }
        while self.watch.next().is_some_and(|at| at <= self.now) {
            let Some((_, told)) = self.watch.feed.pop_front() else { return };
            self.watch.show(told);
        }
    }
}

/// The numbers of a version such as `v1.34.2`, for comparing.
fn numbers(version: &str) -> Vec<u64> {
    let parts = version.trim_start_matches('v').split('.');
    parts.map(|part| part.parse().unwrap_or(0)).collect()
}
