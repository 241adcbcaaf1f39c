//! Machines below the cluster: kubelets that join and fall silent, API servers that come and go.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Delay, Event, Kubernetes};
use crate::kube::{Taint, TaintEffect};
use crate::resource::Tags;

/// What kprod and kops tell of a machine by its tags.
/// Source: cluster-autoscaler, `cloudprovider/aws/README.md`, for labels and taints.
const CONTROL_PLANE_TAG: &str = "k8s.io/role/control-plane";
const NODE_TAG: &str = "k8s.io/role/node";
const LABEL_TAG: &str = "k8s.io/cluster-autoscaler/node-template/label/";
const TAINT_TAG: &str = "k8s.io/cluster-autoscaler/node-template/taint/";

/// A machine that has booted, as far as a cluster cares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its instance id.
    pub instance_id: String,
    /// Its auto scaling group; empty for none.
    pub group: String,
    /// Its image.
    pub image_id: String,
    /// Its zone.
    pub availability_zone: String,
    /// Its type.
    pub instance_type: String,
    /// Whether an API server runs on it.
    pub is_control_plane: bool,
    /// Its kubelet's version, such as `v1.34.2`.
    pub kubelet_version: String,
    /// Labels that its node joins with.
    pub labels: BTreeMap<String, String>,
    /// Taints that its node joins with.
    pub taints: BTreeSet<Taint>,
}

/// A machine, and whether it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredHost {
    pub(super) host: Host,
    pub(super) node: String,
    /// Whether its kubelet runs; one that ends is still known to EC2 for a while.
    pub(super) is_alive: bool,
}

impl Kubernetes {
    /// A machine's kubelet runs: it will join, or report again after a silence. One that runs already
    /// changes nothing.
    pub fn host_boots(&mut self, host: Host) {
        let instance_id = host.instance_id.clone();
        if self.hosts.get(&instance_id).is_some_and(|known| known.is_alive) {
            return;
        }
        let pace = self.settings.pace.clone();
        let mut join = pace.join;
        if host.is_control_plane {
            let (least, spread) = (pace.api_start.0, pace.api_start.1);
            self.after(pace.api_start, Event::ApiStarts { instance_id: instance_id.clone() });
            // A control-plane kubelet registers with the API server that it has just started.
            join = Delay(join.0.max(least.saturating_add(spread)), join.1);
        }
        let node = self.node_name(&instance_id);
        let is_registered = self.nodes.contains_key(&node);
        let known = StoredHost { host, node: node.clone(), is_alive: true };
        self.hosts.insert(instance_id.clone(), known);
        match is_registered {
            true => self.after(pace.ready, Event::Ready { node }),
            false => self.after(join, Event::Joins { instance_id }),
        }
    }

    /// A machine ends, or its system does not work any more: nothing on it runs from now on.
    pub fn host_stops(&mut self, instance_id: &str) {
        let Some(stored) = self.hosts.get_mut(instance_id) else { return };
        if !std::mem::replace(&mut stored.is_alive, false) {
            return;
        }
        let node = stored.node.clone();
        if self.api_servers.remove(instance_id) && self.api_servers.is_empty() {
            self.api_lost_at = Some(self.now);
        }
        if self.nodes.contains_key(&node) {
            self.after(self.settings.pace.node_grace, Event::Lost { node });
        }
    }

    /// EC2 does not know a machine any more.
    pub fn host_is_gone(&mut self, instance_id: &str) {
        self.host_stops(instance_id);
        let Some(stored) = self.hosts.remove(instance_id) else { return };
        if self.nodes.contains_key(&stored.node) {
            self.after(self.settings.pace.cloud_check, Event::CloudCheck { node: stored.node });
        }
    }

    /// The machines that are known: by instance id, whether each runs.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, bool)> {
        self.hosts.iter().map(|(id, stored)| (id.as_str(), stored.is_alive))
    }

    /// How a node of a machine is called: by resource name.
    /// Source: EC2 user guide, "Amazon EC2 instance hostname types".
    pub fn node_name(&self, instance_id: &str) -> String {
        match self.settings.region.as_str() {
            "us-east-1" => format!("{instance_id}.ec2.internal"),
            region => format!("{instance_id}.{region}.compute.internal"),
        }
    }

    /// Whether the kubelet of a node runs.
    pub(super) fn is_node_alive(&self, node: &str) -> bool {
        let instance_id = self.nodes.get(node).map(|stored| stored.instance_id.as_str());
        let host = instance_id.and_then(|id| self.hosts.get(id));
        host.is_some_and(|host| host.is_alive)
    }

    pub(super) fn api_starts(&mut self, instance_id: &str) {
        if self.hosts.get(instance_id).is_some_and(|stored| stored.is_alive) {
            self.api_servers.insert(instance_id.to_owned());
            self.api_lost_at = None;
        }
    }

    /// A kubelet registers, unless its machine ended meanwhile or a fault keeps it from it.
    pub(super) fn joins(&mut self, instance_id: &str) {
        let Some(stored) = self.hosts.get(instance_id).cloned() else { return };
        let is_registered = self.nodes.contains_key(&stored.node);
        let never_joins = stored.host.is_named(&self.faults.never_join);
        if !stored.is_alive || is_registered || never_joins {
            return;
        }
        let node = stored.node.clone();
        self.register(&stored);
        self.after(self.settings.pace.initialise, Event::Initialises { node: node.clone() });
        if !stored.host.is_named(&self.faults.never_ready) {
            self.after(self.settings.pace.ready, Event::Ready { node: node.clone() });
        }
        self.after(self.settings.pace.sync, Event::DaemonPods { node });
    }
}

impl Host {
    /// What a machine's tags tell of it: its role, and what its node joins with. None for one without
    /// a kubelet, such as a bastion.
    pub fn by_tags(instance_id: &str, tags: &Tags) -> Option<Self> {
        let is_control_plane = tags.contains_key(CONTROL_PLANE_TAG);
        if !is_control_plane && !tags.contains_key(NODE_TAG) {
            return None;
        }
        let (labels, taints) = told_by_tags(tags);
        Some(Self {
            instance_id: instance_id.to_owned(),
            group: String::new(),
            image_id: String::new(),
            availability_zone: String::new(),
            instance_type: String::new(),
            is_control_plane,
            kubelet_version: String::new(),
            labels,
            taints,
        })
    }

    /// Whether a fault names it: by instance, group or image.
    fn is_named(&self, names: &BTreeSet<String>) -> bool {
        [&self.instance_id, &self.group, &self.image_id].iter().any(|name| names.contains(*name))
    }
}

/// Labels and taints that a machine's node joins with.
fn told_by_tags(tags: &Tags) -> (BTreeMap<String, String>, BTreeSet<Taint>) {
    let labels = tags.iter().filter_map(|(key, value)| {
        let label = key.strip_prefix(LABEL_TAG)?;
        Some((label.to_owned(), value.clone()))
    });
    let taints = tags.iter().filter_map(|(key, value)| {
        let key = key.strip_prefix(TAINT_TAG)?.to_owned();
        let (value, effect) = value.rsplit_once(':').unwrap_or(("", value));
        let effect = match effect {
            "NoExecute" => TaintEffect::NoExecute,
            "PreferNoSchedule" => TaintEffect::PreferNoSchedule,
            _ => TaintEffect::NoSchedule,
        };
        Some(Taint { key, value: value.to_owned(), effect })
    });
    (labels.collect(), taints.collect())
}
