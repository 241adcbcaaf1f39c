//! Questions that every later stage asks of a spec.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::parse::API_VERSIONS;
use super::{
    BalancerType, DnsType, EtcdClusterSpec, EtcdMemberSpec, InstanceGroup, Kind, KubeletSpec, Role,
    Spec, SubnetSpec, Taint,
};

impl Spec {
    /// The cluster's name.
    pub fn name(&self) -> &str {
        &self.cluster.metadata.name
    }

    /// The groups of a role, by name.
    pub fn groups_of(&self, role: Role) -> impl Iterator<Item = &InstanceGroup> {
        self.groups.values().filter(move |group| group.spec.role == role)
    }

    /// The cluster's subnet of a name.
    pub fn subnet(&self, name: &str) -> Option<&SubnetSpec> {
        self.cluster.spec.subnets.iter().find(|subnet| subnet.name == name)
    }

    /// The subnets of a group, in the order of its list; names that do not exist are left out.
    pub fn subnets_of(&self, group: &InstanceGroup) -> Vec<&SubnetSpec> {
        group.spec.subnets.iter().filter_map(|name| self.subnet(name)).collect()
    }

    /// The zones a group's machines may be in.
    pub fn zones_of(&self, group: &InstanceGroup) -> BTreeSet<&str> {
        self.subnets_of(group).into_iter().map(|subnet| subnet.zone.as_str()).collect()
    }

    /// The etcd members that a group hosts: at most one of each etcd cluster.
    pub fn members_on(&self, group: &str) -> Vec<(&EtcdClusterSpec, &EtcdMemberSpec)> {
        let clusters = self.cluster.spec.etcd_clusters.iter();
        clusters
            .flat_map(|cluster| cluster.etcd_members.iter().map(move |member| (cluster, member)))
            .filter(|(_, member)| member.instance_group == group)
            .collect()
    }

    /// Whether a group hosts an etcd member.
    pub fn hosts_etcd(&self, group: &str) -> bool {
        !self.members_on(group).is_empty()
    }

    /// Whether etcd runs on machines of its own.
    pub fn dedicated_etcd(&self) -> bool {
        self.groups_of(Role::Etcd).next().is_some()
    }

    /// The labels that a group's nodes join with: the kubelet's of the cluster and of the group,
    /// the role's, the group's own; later ones win.
    pub fn node_labels(&self, group: &InstanceGroup) -> BTreeMap<String, String> {
        let role: &[&str] = match group.spec.role {
            Role::ControlPlane => &[
                "node-role.kubernetes.io/control-plane",
                "node.kubernetes.io/exclude-from-external-load-balancers",
            ],
            Role::Node => &["node-role.kubernetes.io/node"],
            Role::Etcd | Role::Bastion => &[],
        };
        let mut labels = BTreeMap::new();
        for kubelet in [self.cluster_kubelet(group), group.spec.kubelet.as_ref()] {
            labels.extend(kubelet.map(|kubelet| kubelet.node_labels.clone()).unwrap_or_default());
        }
        labels.extend(role.iter().map(|key| ((*key).to_owned(), String::new())));
        labels.extend(group.spec.node_labels.clone());
        labels
    }

    /// The taints that a group's nodes join with, from the cluster's kubelet, the group and its
    /// kubelet, without the one that every control-plane node has.
    pub fn taints(&self, group: &InstanceGroup) -> BTreeSet<Taint> {
        let kubelets = [self.cluster_kubelet(group), group.spec.kubelet.as_ref()];
        let kubelets = kubelets.into_iter().flatten().flat_map(|kubelet| &kubelet.taints);
        kubelets.chain(&group.spec.taints).cloned().collect()
    }

    /// The cluster's kubelet settings for a group's role.
    fn cluster_kubelet(&self, group: &InstanceGroup) -> Option<&KubeletSpec> {
        match group.spec.role {
            Role::ControlPlane => self.cluster.spec.master_kubelet.as_ref(),
            Role::Node | Role::Etcd | Role::Bastion => self.cluster.spec.kubelet.as_ref(),
        }
    }

    /// The documents that say this spec, the cluster first: they read back as the same spec.
    pub fn to_documents(&self) -> Vec<serde_json::Value> {
        let document = |kind: Kind, content: Result<Json, serde_json::Error>| {
            // Maps have text keys and numbers are whole, so that writing them cannot fail.
            let mut document = content.unwrap_or_default();
            document["apiVersion"] = API_VERSIONS[0].into();
            document["kind"] = kind.name().into();
            without_nulls(document)
        };
        let cluster = document(Kind::Cluster, serde_json::to_value(&self.cluster));
        let groups = self.groups.values();
        let groups = groups.map(|group| document(Kind::InstanceGroup, serde_json::to_value(group)));
        std::iter::once(cluster).chain(groups).collect()
    }

    /// The kind of zone that the public records are in.
    pub fn dns_type(&self) -> DnsType {
        let dns = self.cluster.spec.topology.as_ref().and_then(|topology| topology.dns.as_ref());
        dns.and_then(|dns| dns.dns_type).unwrap_or(DnsType::Public)
    }

    /// The name of a group's auto scaling group, launch template and machines.
    ///
    /// As kops (`pkg/model/names.go`); it has no word for dedicated etcd, which follows the control
    /// plane's pattern.
    pub fn machine_name(&self, group: &InstanceGroup) -> String {
        let (group, role, cluster) = (group.name(), group.spec.role, self.name());
        match role {
            Role::ControlPlane => format!("{group}.masters.{cluster}"),
            Role::Etcd => format!("{group}.etcd.{cluster}"),
            Role::Node | Role::Bastion => format!("{group}.{cluster}"),
        }
    }

    /// Whether a public API load balancer is asked for.
    pub fn public_api(&self) -> bool {
        let balancer = self.cluster.spec.api.as_ref().and_then(|api| api.load_balancer.as_ref());
        balancer.and_then(|balancer| balancer.balancer_type) == Some(BalancerType::Public)
    }
}

impl Role {
    /// The role as documents write it.
    pub fn name(self) -> &'static str {
        match self {
            Role::ControlPlane => "ControlPlane",
            Role::Node => "Node",
            Role::Etcd => "Etcd",
            Role::Bastion => "Bastion",
        }
    }
}

impl InstanceGroup {
    /// Whether the cluster lives on the group's machines: the control plane, or etcd.
    pub fn is_vital(&self) -> bool {
        matches!(self.spec.role, Role::ControlPlane | Role::Etcd)
    }

    /// The group's name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The fewest and the most machines; 0 where nothing is said, which `fill` rules out.
    pub fn sizes(&self) -> (u32, u32) {
        (self.spec.min_size.unwrap_or(0), self.spec.max_size.unwrap_or(0))
    }
}

/// Drops what is null or an empty list; an empty map stays, since `{}` may choose something.
fn without_nulls(value: Json) -> Json {
    match value {
        Json::Object(map) => map
            .into_iter()
            .filter(|(_, value)| !value.is_null() && !value.as_array().is_some_and(Vec::is_empty))
            .map(|(key, value)| (key, without_nulls(value)))
            .collect(),
        Json::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}
