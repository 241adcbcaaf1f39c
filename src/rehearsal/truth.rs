//! The truth about a world, as no process sees it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::apply::lease;
use crate::etcd::guard::Limits;
use crate::kube::{Node, NodePatch, PodId, PodPhase};
use crate::roll::mark::DRAIN_ANNOTATION;
use crate::roll::{Forced, Policy, forced};
use crate::sim::kubernetes::BudgetRule;
use crate::sim::{MemberState, World};

/// The nodes of a cluster by instance id.
pub fn nodes<'a>(world: &'a World, cluster: &str) -> BTreeMap<&'a str, &'a Node> {
    let nodes = world.clusters.get(cluster).into_iter().flat_map(|known| known.nodes().values());
    nodes.map(|stored| (stored.instance_id.as_str(), &stored.node)).collect()
}

/// The machine whose node a patch makes take work or not, if it changes that at all.
pub fn patched<'a>(
    world: &'a World,
    cluster: &str,
    node: &str,
    patch: &NodePatch,
) -> Option<(&'a str, bool)> {
    let unschedulable = patch.unschedulable?;
    let is_meant = |known: &Node| known.name == node && !(patch.if_away && known.takes_work());
    let nodes = nodes(world, cluster);
    let id = nodes.iter().find(|(_, known)| is_meant(known)).map(|(id, _)| *id)?;
    Some((id, unschedulable))
}

/// The machines whose nodes say that a roll drains them.
pub fn drained<'a>(world: &'a World, cluster: &str) -> BTreeSet<&'a str> {
    let is_drained = |node: &Node| node.annotations.contains_key(DRAIN_ANNOTATION);
    nodes(world, cluster)
        .into_iter()
        .filter(|(_, node)| is_drained(node))
        .map(|(id, _)| id)
        .collect()
}

/// The machine that a patch lets be by taking its drain's note off, whoever's cordon it leaves.
pub fn released<'a>(
    world: &'a World,
    cluster: &str,
    node: &str,
    patch: &NodePatch,
) -> Option<&'a str> {
    patch.annotations.get(DRAIN_ANNOTATION).filter(|value| value.is_none())?;
    nodes(world, cluster).into_iter().find(|(_, known)| known.name == node).map(|(id, _)| id)
}

/// What disruption budgets ask for.
pub fn budget_rules(world: &World, cluster: &str) -> BTreeMap<PodId, BudgetRule> {
    let known = world.clusters.get(cluster);
    let budgets = known.into_iter().flat_map(|known| known.budgets().iter());
    budgets.map(|(id, stored)| (id.clone(), stored.rule)).collect()
}

/// Pods of a node that a drain moves and that nobody has asked to end yet.
pub fn pods_left(world: &World, cluster: &str, node: &str) -> Vec<PodId> {
    let Some(known) = world.clusters.get(cluster) else { return Vec::new() };
    let moves = |pod: &crate::kube::Pod| {
        let stays = pod.owner.as_ref().is_some_and(|owner| owner.kind == "DaemonSet");
        let is_over = matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed);
        pod.node.as_deref() == Some(node)
            && !pod.is_mirror
            && !stays
            && !is_over
            && pod.deleted_until.is_none()
    };
    known.pods().map(|stored| &stored.pod).filter(|pod| moves(pod)).map(|p| p.id.clone()).collect()
}

/// Who holds a cluster's lease.
pub fn lease_holder(world: &World, cluster: &str) -> Option<String> {
    let object = world.objects.get(&lease::key(cluster))?;
    let record: lease::LeaseRecord = serde_json::from_slice(&object.body.to_bytes()).ok()?;
    Some(record.holder)
}

/// Since when machines of a cluster's groups are replaced whatever they are built from, as the state bucket
/// has it now.
pub fn forced(world: &World, cluster: &str) -> BTreeMap<String, Timestamp> {
    let object = world.objects.get(&forced::key(cluster));
    let noted =
        object.and_then(|object| serde_json::from_slice::<Forced>(&object.body.to_bytes()).ok());
    noted.map(|noted| noted.groups).unwrap_or_default()
}

/// The minor version of Kubernetes that machines of a template version run.
pub fn version_of(world: &World, template: &str, version: u64) -> Option<u32> {
    let known = world.templates.get(template)?.versions.get(&version)?;
    minor(known.kubernetes_version.as_deref()?)
}

/// The minor version of `v1.34.2`.
fn minor(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').nth(1)?.parse().ok()
}

/// A member of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub member: String,
    /// The group whose machine hosts it.
    pub group: String,
    /// How it is.
    pub state: MemberState,
}

impl Member {
    /// Whether it runs, is healthy, votes and has caught up.
    pub fn is_well(&self) -> bool {
        let MemberState { host, is_healthy, is_voter, lag, snapshot_at: _ } = &self.state;
        host.is_some() && *is_healthy && *is_voter && *lag <= Limits::LAG_MAX
    }
}

/// The members of all etcd clusters, by etcd cluster.
pub fn members(world: &mut World, cluster: &str, policy: &Policy) -> BTreeMap<String, Vec<Member>> {
    let mut found = BTreeMap::new();
    for (etcd, wanted) in &policy.topology.clusters {
        let mut states = world.member_states(cluster, etcd);
        let members = wanted.members.iter().map(|(name, place)| Member {
            member: name.clone(),
            group: place.group.clone(),
            state: states.remove(name).unwrap_or_default(),
        });
        found.insert(etcd.clone(), members.collect());
    }
    found
}
