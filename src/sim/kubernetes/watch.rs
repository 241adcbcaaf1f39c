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
///
/// A change is told by name when its time has come; what it is about is copied at the next look, as it
/// is by then. So a watch is late, never runs backwards, and costs little for what nobody looks at.
#[derive(Debug, Default)]
pub(super) struct Watch {
    picture: Option<KubeView>,
    /// What changed and was not told yet, with when it is and the resource version.
    feed: VecDeque<(Time, u64, Thing)>,
    /// What was told since the last look.
    told: BTreeSet<Thing>,
    /// The resource version of what was told last.
    generation: u64,
    /// Pictures that were handed out and may be brought up to date once nobody holds them.
    spares: Vec<Spare>,
}

/// An object that changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Node(String),
    Pod(u64),
    /// A pod that is gone, with the node it was bound to.
    GonePod(PodId, String),
    Budget(PodId),
}

/// A picture that was handed out, and what has changed since.
#[derive(Debug)]
struct Spare {
    view: Arc<KubeView>,
    nodes: BTreeSet<String>,
    /// Pods with the node they are or were bound to.
    pods: BTreeSet<(String, PodId)>,
    budgets: BTreeSet<PodId>,
}

impl Clone for Watch {
    /// A copy of a world has the same picture, and hands out pictures of its own.
    fn clone(&self) -> Self {
        Self {
            picture: self.picture.clone(),
            feed: self.feed.clone(),
            told: self.told.clone(),
            generation: self.generation,
            spares: Vec::new(),
        }
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

impl History {
    fn keep(&mut self, version: u64, change: Change) {
        if self.kept_max == 0 {
            return;
        }
        if self.changes.len() >= self.kept_max {
            self.changes.pop_front();
        }
        self.changes.push_back(Versioned { version, change });
    }
}

impl Watch {
    /// Pictures that are kept for the next ones.
    const SPARES_MAX: usize = 3;

    /// When the client is told of the next change.
    pub(super) fn next(&self) -> Option<Time> {
        self.feed.front().map(|(at, ..)| *at)
    }

    /// The picture: a spare one brought up to date if nobody holds it, else a copy.
    fn hand_out(&mut self, seen_at: Time, server_version: &str) -> Option<Arc<KubeView>> {
        let picture = self.picture.as_ref()?;
        // The one handed out last lacks the least.
        let free =
            self.spares.iter_mut().rposition(|spare| Arc::get_mut(&mut spare.view).is_some());
        let mut spare = match free {
            Some(position) => self.spares.remove(position),
            None => Spare {
                view: Arc::new(picture.clone()),
                nodes: BTreeSet::new(),
                pods: BTreeSet::new(),
                budgets: BTreeSet::new(),
            },
        };
        if let Some(view) = Arc::get_mut(&mut spare.view) {
            for name in std::mem::take(&mut spare.nodes) {
                put(&mut view.nodes, &name, picture.nodes.get(&name));
            }
            for (node, id) in std::mem::take(&mut spare.pods) {
                // It may have been among those that wait for a node.
                for place in [node.as_str(), ""] {
                    leave(&mut view.pods, place, &id);
                    let pod = picture.pods.get(place).and_then(|there| there.get(&id));
                    if let Some(pod) = pod {
                        let there = view.pods.entry(place.to_owned()).or_default();
                        there.insert(id.clone(), pod.clone());
                    }
                }
            }
            for id in std::mem::take(&mut spare.budgets) {
                put(&mut view.budgets, &id, picture.budgets.get(&id));
            }
            view.generation = self.generation;
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

/// Takes a pod away from a place.
fn leave(pods: &mut BTreeMap<String, BTreeMap<PodId, Pod>>, place: &str, id: &PodId) {
    let is_last = pods.get_mut(place).is_some_and(|there| {
        there.remove(id);
        there.is_empty()
    });
    if is_last {
        pods.remove(place);
    }
}

/// Writes an object, or removes it where there is none.
fn put<K: Ord + Clone, V: Clone>(into: &mut BTreeMap<K, V>, key: &K, value: Option<&V>) {
    match value {
        Some(value) => into.insert(key.clone(), value.clone()),
        None => into.remove(key),
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
            self.watch.generation = self.generation;
        }
        self.copy_told();
        let version = self.server_version();
        let missing = || {
            let message = format!("the cluster {} was never listed", self.name);
            KubeError::new(crate::kube::KubeErrorKind::Unreachable, "Watch", message)
        };
        self.watch.hand_out(heard_of_at, &version).ok_or_else(missing)
    }

    /// The generation of the picture; 0 before the first look.
    pub fn picture_generation(&self) -> u64 {
        self.watch.generation
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
        if self.history.kept_max > 0 {
            let change = Change::Node(Box::new(stored.clone()), false);
            self.history.keep(version, change);
        }
        self.note(version, || Thing::Node(name.to_owned()));
    }

    /// Tells that a node is gone.
    pub(super) fn forget_node(&mut self, stored: StoredNode) {
        let version = self.next_version();
        self.note(version, || Thing::Node(stored.node.name.clone()));
        self.history.keep(version, Change::Node(Box::new(stored), true));
    }

    /// Tells that a pod has changed.
    pub(super) fn touch_pod(&mut self, number: u64) {
        let version = self.next_version();
        let Some(stored) = self.pods.get_mut(&number) else { return };
        stored.version = version;
        if self.history.kept_max > 0 {
            let change = Change::Pod(Box::new(stored.clone()), false);
            self.history.keep(version, change);
        }
        self.note(version, || Thing::Pod(number));
    }

    /// Tells that a pod is gone.
    pub(super) fn forget_pod(&mut self, stored: StoredPod) {
        let version = self.next_version();
        let node = || stored.pod.node.clone().unwrap_or_default();
        self.note(version, || Thing::GonePod(stored.pod.id.clone(), node()));
        self.history.keep(version, Change::Pod(Box::new(stored), true));
    }

    /// Tells that a budget has changed.
    pub(super) fn touch_budget(&mut self, id: &PodId) {
        let version = self.next_version();
        let Some(stored) = self.budgets.get_mut(id) else { return };
        stored.version = version;
        if self.history.kept_max > 0 {
            let change = Change::Budget(Box::new(stored.clone()), false);
            self.history.keep(version, change);
        }
        self.note(version, || Thing::Budget(id.clone()));
    }

    /// Tells that a budget is gone.
    pub(super) fn forget_budget(&mut self, stored: StoredBudget) {
        let version = self.next_version();
        self.note(version, || Thing::Budget(stored.budget.id.clone()));
        self.history.keep(version, Change::Budget(Box::new(stored), true));
    }

    fn next_version(&mut self) -> u64 {
        self.generation = self.generation.wrapping_add(1);
        self.generation
    }

    fn note(&mut self, version: u64, thing: impl FnOnce() -> Thing) {
        if self.watch.picture.is_none() {
            return;
        }
        let lag_ms_max = self.lag_ms_max.max(self.faults.watch_lag_ms_max);
        let lag = self.draw(lag_ms_max.saturating_add(u64::from(lag_ms_max > 0)));
        let last = self.watch.feed.back().map_or(self.now, |(at, ..)| *at);
        self.watch.feed.push_back((self.now.plus_ms(lag).max(last), version, thing()));
    }

    /// Tells the client of what is due, if it can be reached.
    pub(super) fn tell(&mut self) {
        if self.watch.feed.is_empty() || !self.is_reachable() {
            return;
        }
        while self.watch.next().is_some_and(|at| at <= self.now) {
            let Some((_, version, thing)) = self.watch.feed.pop_front() else { return };
            self.watch.generation = version;
            self.watch.told.insert(thing);
        }
    }

    /// Copies what was told of into the picture.
    fn copy_told(&mut self) {
        let Watch { picture: Some(picture), told, spares, .. } = &mut self.watch else { return };
        for thing in std::mem::take(told) {
            match thing {
                Thing::Node(name) => {
                    let node = self.nodes.get(&name).map(|stored| &stored.node);
                    put(&mut picture.nodes, &name, node);
                    spares.iter_mut().for_each(|spare| {
                        spare.nodes.insert(name.clone());
                    });
                }
                Thing::Budget(id) => {
                    let budget = self.budgets.get(&id).map(|stored| &stored.budget);
                    put(&mut picture.budgets, &id, budget);
                    spares.iter_mut().for_each(|spare| {
                        spare.budgets.insert(id.clone());
                    });
                }
                Thing::Pod(number) => {
                    // One that is gone by now is told to be.
                    if let Some(stored) = self.pods.get(&number) {
                        show(picture, spares, &stored.pod);
                    }
                }
                Thing::GonePod(id, node) => {
                    for place in [node.as_str(), ""] {
                        leave(&mut picture.pods, place, &id);
                    }
                    for spare in spares.iter_mut() {
                        spare.pods.insert((node.clone(), id.clone()));
                    }
                    // Another one may have its name by now.
                    let another = self.pod_names.get(&id).and_then(|number| self.pods.get(number));
                    if let Some(stored) = another {
                        show(picture, spares, &stored.pod);
                    }
                }
            }
        }
    }
}

/// Shows a pod where it is. A pod is bound once: then it leaves those that wait for a node.
fn show(picture: &mut KubeView, spares: &mut [Spare], pod: &Pod) {
    let node = pod.node.clone().unwrap_or_default();
    leave(&mut picture.pods, "", &pod.id);
    for spare in spares {
        spare.pods.insert((node.clone(), pod.id.clone()));
    }
    picture.pods.entry(node).or_default().insert(pod.id.clone(), pod.clone());
}

/// The numbers of a version such as `v1.34.2`, for comparing.
fn numbers(version: &str) -> Vec<u64> {
    let parts = version.trim_start_matches('v').split('.');
    parts.map(|part| part.parse().unwrap_or(0)).collect()
}
