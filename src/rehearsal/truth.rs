//! The truth about a world, as no process sees it.

use std::collections::BTreeMap;

use crate::apply::lease;
use crate::etcd::MemberRole;
use crate::etcd::guard::Limits;
use crate::kube::{Node, NodePatch, PodId, PodPhase};
use crate::roll::Policy;
use crate::sim::kubernetes::BudgetRule;
use crate::sim::{Time, World};

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
    let is_meant =
        |known: &Node| known.name == node && !(patch.if_away && known.takes_work());
    let nodes = nodes(world, cluster);
    let id = nodes.iter().find(|(_, known)| is_meant(known)).map(|(id, _)| *id)?;
    Some((id, unschedulable))
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
    /// The machine that it runs on.
    pub host: Option<String>,
    /// Whether it is up and well.
    pub is_healthy: bool,
    /// Whether it votes, as its cluster knows.
    pub is_voter: bool,
    /// Entries that it lags behind.
    pub lag: u64,
    /// The newest snapshot that it knows of.
    pub snapshot_at: Option<Time>,
}

impl Member {
    /// Whether nothing has changed that matters to a quorum.
    pub fn is_as_good_as(&self, other: &Member) -> bool {
        let of = |m: &Member| (m.host.clone(), m.is_healthy, m.is_voter, m.lag <= Limits::LAG_MAX);
        of(self) == of(other)
    }
}

/// The members of all etcd clusters, by etcd cluster.
pub fn members(world: &mut World, cluster: &str, policy: &Policy) -> BTreeMap<String, Vec<Member>> {
    let of = |world: &mut World, etcd: &str| {
        let reports = world.member_reports(cluster, etcd);
        let wanted = policy.topology.clusters.get(etcd).into_iter();
        let members = wanted.flat_map(|known| known.members.iter()).map(|(name, place)| {
            let told = reports.get(name);
            let runs = told.filter(|(report, _)| world.machines.contains_key(&report.instance_id));
            let votes = |(report, _): &(crate::etcd::MemberReport, Time)| {
                report.members.get(name) == Some(&MemberRole::Voter)
            };
            Member {
                member: name.clone(),
                group: place.group.clone(),
                host: runs.map(|(report, _)| report.instance_id.clone()),
                is_healthy: runs.is_some_and(|(report, _)| report.is_healthy),
                is_voter: told.is_some_and(votes),
                lag: told.map_or(0, |(report, _)| report.lag),
                snapshot_at: told
                    .and_then(|(report, _)| report.snapshot_at)
                    .map(|at| Time(at.as_millisecond())),
            }
        });
        members.collect()
    };
    let etcds: Vec<&String> = policy.topology.clusters.keys().collect();
    etcds.into_iter().map(|etcd| (etcd.clone(), of(world, etcd))).collect()
}
