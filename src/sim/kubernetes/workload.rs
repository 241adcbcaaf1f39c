//! Workloads, and the controllers that keep their pods.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::node::DAEMONS_TOLERATE;
use super::{Delay, Event, Kubernetes};
use crate::kube::{Owner, PodId, Taint, TaintEffect};
use crate::sim::Time;

/// Who keeps a workload's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WorkloadKind {
    /// So many pods, wherever there is room; another one at once when one is deleted.
    Deployment,
    /// So many pods with names, one after the other; another one when its name is free.
    StatefulSet,
    /// A pod on each node that it tolerates, cordoned ones too.
    DaemonSet,
    /// So many pods that end well.
    Job,
    /// Pods that nobody makes again.
    Bare,
    /// Pods that a control-plane kubelet makes from files; the API server shows mirrors of them.
    Static,
}

/// What a pod does with a TERM signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PodStop {
    /// It ends soon.
    #[default]
    Prompt,
    /// It goes on until its grace period is over and it is killed.
    WholeGrace,
    /// It never ends: its kubelet cannot kill it.
    Never,
}

/// A workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Who keeps its pods.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Pods that it wants; without meaning for DaemonSets and static pods.
    pub replicas: u32,
    /// Labels of its pods.
    pub labels: BTreeMap<String, String>,
    /// Labels that a node has to have.
    pub node_selector: BTreeMap<String, String>,
    /// Keys of taints that its pods tolerate.
    pub tolerates: BTreeSet<String>,
    /// Whether its pods tolerate every taint.
    pub tolerates_all: bool,
    /// `terminationGracePeriodSeconds`.
    pub grace_secs: u32,
    /// Whether its pods keep data in an `emptyDir`.
    pub has_empty_dir: bool,
    /// The priority class of its pods; empty for none.
    pub priority_class: String,
    /// How long its pods take to be ready; the cluster's pace if none.
    pub start: Option<Delay>,
    /// How long its pods run until their work is done; for ever if none.
    pub run: Option<Delay>,
    /// What its pods do with a TERM signal.
    pub stop: PodStop,
}

/// A workload with its pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredWorkload {
    pub(super) workload: Workload,
    /// Ends the name of a Deployment's ReplicaSet.
    pub(super) hash: String,
    /// Its pods.
    pub(super) owned: BTreeSet<u64>,
    /// Those that run, or are about to.
    pub(super) active: BTreeSet<u64>,
    /// Those that are ready and not deleted.
    pub(super) healthy: BTreeSet<u64>,
    /// Pods bound to nodes, by zone.
    pub(super) by_zone: BTreeMap<String, u32>,
    /// Pods of a job that have ended well.
    pub(super) succeeded: u32,
    /// The budgets that select its pods.
    pub(super) budgets: Vec<PodId>,
    /// When its controller looks next.
    sync_at: Option<Time>,
}

impl Workload {
    /// A workload whose pods are labelled `app: <name>`, with nothing else said.
    pub fn new(kind: WorkloadKind, namespace: &str, name: &str, replicas: u32) -> Self {
        Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            replicas,
            labels: BTreeMap::from([("app".to_owned(), name.to_owned())]),
            node_selector: BTreeMap::new(),
            tolerates: BTreeSet::new(),
            tolerates_all: false,
            // The API's default.
            grace_secs: 30,
            has_empty_dir: false,
            priority_class: String::new(),
            start: None,
            run: None,
            stop: PodStop::Prompt,
        }
    }

    /// Which pods the scheduler takes first.
    pub(super) fn rank(&self) -> u8 {
        match self.priority_class.as_str() {
            "system-node-critical" => 0,
            "system-cluster-critical" => 1,
            _ => 2,
        }
    }

    /// Whether its pods may run on a node with a taint.
    pub(super) fn tolerates(&self, taint: &Taint) -> bool {
        let is_daemons = DAEMONS_TOLERATE.contains(&taint.key.as_str());
        self.tolerates_all
            || self.tolerates.contains(&taint.key)
            || (self.kind == WorkloadKind::DaemonSet && is_daemons)
    }

    /// Whether a taint keeps its pods from a node.
    pub(super) fn is_kept_off(&self, taint: &Taint) -> bool {
        taint.effect != TaintEffect::PreferNoSchedule && !self.tolerates(taint)
    }

    pub(super) fn tolerates_lost_nodes(&self) -> bool {
        self.tolerates_all || matches!(self.kind, WorkloadKind::DaemonSet | WorkloadKind::Static)
    }
}

impl StoredWorkload {
    /// What its pods name as their controller.
    pub(super) fn owner(&self, node: Option<&str>) -> Option<Owner> {
        let Workload { kind, name, .. } = &self.workload;
        let (kind, name) = match kind {
            WorkloadKind::Deployment => ("ReplicaSet", format!("{name}-{}", self.hash)),
            WorkloadKind::StatefulSet => ("StatefulSet", name.clone()),
            WorkloadKind::DaemonSet => ("DaemonSet", name.clone()),
            WorkloadKind::Job => ("Job", name.clone()),
            WorkloadKind::Bare => return None,
            WorkloadKind::Static => ("Node", node.unwrap_or_default().to_owned()),
        };
        Some(Owner { kind: kind.to_owned(), name })
    }
}

impl Kubernetes {
    /// Adds a workload; its controller makes the pods. One of the same kind, namespace and name is
    /// replaced in what it wants of new pods. Gives its number.
    pub fn install(&mut self, workload: Workload) -> u64 {
        let number = match self.find_workload(&workload) {
            Some(number) => {
                if let Some(known) = self.workloads.get_mut(&number) {
                    known.workload = workload;
                }
                number
            }
            None => self.add_workload(workload),
        };
        self.select_budgets(number);
        match self.workloads.get(&number).map(|known| known.workload.kind) {
            Some(WorkloadKind::DaemonSet) => {
                for node in self.nodes.keys().cloned().collect::<Vec<_>>() {
                    self.after(self.settings.pace.sync, Event::DaemonPods { node });
                }
            }
            _ => self.wake_controller(number),
        }
        number
    }

    fn add_workload(&mut self, workload: Workload) -> u64 {
        let number = self.number();
        let stored = StoredWorkload {
            workload,
            hash: self.suffix(9),
            owned: BTreeSet::new(),
            active: BTreeSet::new(),
            healthy: BTreeSet::new(),
            by_zone: BTreeMap::new(),
            succeeded: 0,
            budgets: Vec::new(),
            sync_at: None,
        };
        self.workloads.insert(number, stored);
        number
    }

    fn find_workload(&self, wanted: &Workload) -> Option<u64> {
        let is_it = |known: &StoredWorkload| {
            let known = &known.workload;
            (known.kind, &known.namespace, &known.name)
                == (wanted.kind, &wanted.namespace, &wanted.name)
        };
        self.workloads.iter().find(|(_, known)| is_it(known)).map(|(number, _)| *number)
    }

    /// The workloads.
    pub fn workloads(&self) -> impl Iterator<Item = &Workload> {
        self.workloads.values().map(|known| &known.workload)
    }

    /// The pods of a workload that run, or are about to.
    pub fn active_pods(&self, namespace: &str, name: &str) -> usize {
        let is_it = |known: &&StoredWorkload| {
            known.workload.namespace == namespace && known.workload.name == name
        };
        self.workloads.values().filter(is_it).map(|known| known.active.len()).sum()
    }

    /// Has a controller look at its pods soon.
    pub(super) fn wake_controller(&mut self, workload: u64) {
        let Some(known) = self.workloads.get_mut(&workload) else { return };
        let looks = !matches!(known.workload.kind, WorkloadKind::DaemonSet | WorkloadKind::Static);
        if looks && known.sync_at.is_none() {
            known.sync_at = Some(self.now);
            self.after(self.settings.pace.sync, Event::Sync { workload });
        }
    }

    /// A controller looks at its pods and makes what lacks, or deletes what is too much.
    pub(super) fn sync(&mut self, number: u64) {
        let Some(known) = self.workloads.get_mut(&number) else { return };
        known.sync_at = None;
        match known.workload.kind {
            WorkloadKind::Deployment => self.sync_replicas(number),
            WorkloadKind::StatefulSet => self.sync_ordinals(number),
            WorkloadKind::Job => self.sync_job(number),
            WorkloadKind::Bare => self.make_bare(number),
            WorkloadKind::DaemonSet | WorkloadKind::Static => {}
        }
    }

    fn sync_replicas(&mut self, number: u64) {
        let Some(known) = self.workloads.get(&number) else { return };
        let (wanted, has) = (count(known.workload.replicas), known.active.len());
        let prefix = format!("{}-{}", known.workload.name, known.hash);
        for _ in has..wanted {
            self.create_named(number, &prefix);
        }
        self.delete_surplus(number, has.saturating_sub(wanted));
    }

    /// Pods with names, each once all before it are ready.
    /// Source: Kubernetes, "StatefulSets", "Deployment and Scaling Guarantees".
    fn sync_ordinals(&mut self, number: u64) {
        let Some(known) = self.workloads.get(&number) else { return };
        let Workload { namespace, name, replicas, .. } = known.workload.clone();
        for ordinal in 0..replicas {
            let name = format!("{name}-{ordinal}");
            match self.pod(&PodId::new(namespace.clone(), name.clone())) {
                Some(stored) if stored.is_healthy() => {}
                Some(_) => break,
                None => {
                    self.create_pod(number, name, None);
                    break;
                }
            }
        }
        let surplus = self.workloads.get(&number).map_or(0, |known| known.active.len());
        self.delete_surplus(number, surplus.saturating_sub(count(replicas)));
    }

    fn sync_job(&mut self, number: u64) {
        let Some(known) = self.workloads.get(&number) else { return };
        let missing = known.workload.replicas.saturating_sub(known.succeeded);
        let prefix = known.workload.name.clone();
        for _ in known.active.len()..count(missing) {
            self.create_named(number, &prefix);
        }
    }

    /// Pods without a controller are made once.
    fn make_bare(&mut self, number: u64) {
        let Some(known) = self.workloads.get_mut(&number) else { return };
        let wanted = std::mem::take(&mut known.workload.replicas);
        let name = known.workload.name.clone();
        for ordinal in 0..wanted {
            let name = if wanted == 1 { name.clone() } else { format!("{name}-{ordinal}") };
            self.create_pod(number, name, None);
        }
    }

    fn create_named(&mut self, number: u64, prefix: &str) {
        let name = format!("{prefix}-{}", self.suffix(5));
        self.create_pod(number, name, None);
    }

    /// Deletes the newest pods, those that are not ready first.
    fn delete_surplus(&mut self, number: u64, surplus: usize) {
        let Some(known) = self.workloads.get(&number).filter(|_| surplus > 0) else { return };
        let mut active: Vec<u64> = known.active.iter().rev().copied().collect();
        active.sort_by_key(|pod| known.healthy.contains(pod));
        for pod in active.into_iter().take(surplus) {
            self.delete_pod(pod, None);
        }
    }

    /// Every DaemonSet that tolerates a node has its pod there.
    pub(super) fn daemon_pods(&mut self, node: &str) {
        let Some(stored) = self.nodes.get(node) else { return };
        let lacks = |number: u64, known: &StoredWorkload| {
            let is_its = |pod: &u64| known.owned.contains(pod);
            known.workload.kind == WorkloadKind::DaemonSet
                && !stored.pods.iter().any(is_its)
                && self.fits(number, &stored.node)
        };
        let lacking = self.workloads.iter().filter(|(number, known)| lacks(**number, known));
        let lacking: Vec<(u64, String)> =
            lacking.map(|(number, known)| (*number, known.workload.name.clone())).collect();
        for (number, name) in lacking {
            let name = format!("{name}-{}", self.suffix(5));
            self.create_pod(number, name, Some(node));
        }
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
