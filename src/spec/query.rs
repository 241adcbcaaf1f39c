//! Questions that every later stage asks of a spec.

use std::collections::BTreeSet;

use super::{BalancerType, EtcdClusterSpec, EtcdMemberSpec, InstanceGroup, Role, Spec, SubnetSpec};

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

    /// Whether a public API load balancer is asked for.
    pub fn public_api(&self) -> bool {
        let balancer = self.cluster.spec.api.as_ref().and_then(|api| api.load_balancer.as_ref());
        balancer.and_then(|balancer| balancer.balancer_type) == Some(BalancerType::Public)
    }
}

impl InstanceGroup {
    /// The group's name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The fewest and the most machines; 0 where nothing is said, which `fill` rules out.
    pub fn sizes(&self) -> (u32, u32) {
        (self.spec.min_size.unwrap_or(0), self.spec.max_size.unwrap_or(0))
    }
}
