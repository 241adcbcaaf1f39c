//! How a roll may go about it: from the spec's `rollingUpdate` and the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::etcd::{Limits, Topology, TopologyCluster, TopologyMember};
use crate::spec::{
    ClusterRollingUpdateSpec, DrainTimeoutAction, InstanceGroup, IntOrPercent, OverallRolloutSpec,
    RepairSpec, Role, RollingUpdateSpec, Span, Spec, fill,
};

/// Everything that limits a roll.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// By ASG name: the cluster's groups. One that is not here is left alone.
    pub groups: BTreeMap<String, GroupPolicy>,
    /// What holds over all groups.
    pub cluster: ClusterPolicy,
    /// Which etcd members live where.
    pub topology: Topology,
    /// Roll only these groups (`--only`); empty for all.
    pub only: BTreeSet<String>,
    /// Begin with at most so many machines (`--max-machines`).
    pub machines_max: Option<usize>,
    /// Replace every machine (`--force`).
    pub force: bool,
    /// Try a revision again that an automatic rollback left behind (`--retry`).
    pub retry: bool,
    /// The Kubernetes version that new machines bring, from the spec.
    pub kubernetes_version: Option<String>,
    /// Leave Kubernetes out: no cordon, drain or node check (`--cloudonly`). The quorum guard stays.
    pub cloudonly: bool,
    /// Begin nothing; finish or undo what was begun, and take every mark away (`--abort`).
    pub abort: bool,
    /// Replace machines that are broken, and no others (`kprod repair`).
    pub repair: Option<RepairPolicy>,
    /// Groups whose machines, or some of them, go without being replaced.
    pub retire: BTreeMap<String, Retire>,
}

/// What machines of a group do, in the order of a roll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RolloutRole {
    /// Jump hosts; no nodes.
    Bastion,
    /// Hosts of etcd members alone; no nodes.
    Etcd,
    /// API servers, with or without a member beside them.
    ControlPlane,
    /// Everything else.
    Node,
}

impl RolloutRole {
    /// Whether its machines join the cluster as nodes.
    pub fn joins(self) -> bool {
        matches!(self, RolloutRole::ControlPlane | RolloutRole::Node)
    }

    /// Whether its machines are replaced one at a time across all such groups, behind the guard.
    pub fn is_quorum(self) -> bool {
        matches!(self, RolloutRole::Etcd | RolloutRole::ControlPlane)
    }
}

/// Limits of one group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupPolicy {
    /// What its machines do.
    pub role: RolloutRole,
    /// Machines that may be there too many; a percentage rounds up.
    pub max_surge: IntOrPercent,
    /// Machines that may be missing; a percentage rounds down, at least 1 unless it is a plain 0.
    pub max_unavailable: IntOrPercent,
    /// Machines of one zone that may be missing, over all worker groups: in
    /// [`ClusterPolicy::max_unavailable_per_zone`]. This is the group's own share of it.
    pub max_unavailable_per_zone: Option<IntOrPercent>,
    /// Whether old machines are drained and terminated; `false` only brings new ones.
    pub drain_and_terminate: bool,
    /// How long a drain may take.
    pub drain_timeout: Duration,
    /// What happens then.
    pub on_drain_timeout: DrainOutcome,
    /// How long to wait after a drain before the machine ends.
    pub post_drain_delay: Duration,
    /// How long a load balancer may take to let a machine go.
    pub deregister_timeout: Duration,
    /// How long a new machine may take until its node is ready.
    pub boot_timeout: Duration,
    /// How long a regression may last before the roll halts.
    pub validate_timeout: Duration,
    /// How long a new machine has to stay ready before it counts.
    pub soak: Duration,
    /// New machines that have to be validated before the group goes on at full speed; 0 for none.
    pub canary: u32,
    /// How long canaries are watched after they are validated.
    pub canary_soak: Duration,
    /// Pods without a controller may be deleted; otherwise they halt the drain.
    pub delete_bare_pods: bool,
    /// Machines older than this are replaced.
    pub max_age: Option<Duration>,
}

/// What happens when a drain takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainOutcome {
    /// The machine is uncordoned, nothing new begins, and the roll halts with the pods named.
    Fail,
    /// The machine is uncordoned and left for a later roll; the others go on, and the roll halts with the
    /// pods named when they are done.
    Skip,
    /// Pods that are still there are deleted, whatever their budgets say.
    Force,
}

/// Limits over all groups.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterPolicy {
    /// Worker machines that may be missing at once over all groups; none for no such limit.
    pub max_unavailable: Option<IntOrPercent>,
    /// Worker machines of one zone that may be missing at once; none for no such limit.
    pub max_unavailable_per_zone: Option<IntOrPercent>,
    /// New machines that may fail, in percent of those that were to come, before the pin goes back.
    pub failure_percent: u32,
    /// Whether an etcd cluster of one member may be down while its machine is replaced.
    pub one_member_downtime: bool,
    /// How old the newest verified snapshot may be when a member goes.
    pub snapshot_age_max: Duration,
}

/// Limits of a repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairPolicy {
    /// How long a machine has to be broken.
    pub broken_for: Duration,
    /// Machines that may be replaced at once, over all groups.
    pub at_once: u32,
    /// Broken machines, in percent of all, above which nothing is touched: then it is not the
    /// machines.
    pub halt_above_percent: u32,
}

/// What goes of a group without being replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retire {
    /// All machines: the group is removed.
    All,
    /// Machines above this number: the maximum is lowered.
    DownTo(i32),
    /// Machines in other zones than these: a subnet is removed.
    OutOf(BTreeSet<String>),
}

impl Policy {
    /// What a spec says; nothing is limited or forced beyond it, and nothing goes.
    pub fn of(spec: &Spec) -> Self {
        let spec = filled(spec);
        let groups = spec.groups.values();
        Self {
            groups: groups.map(|g| (spec.machine_name(g), GroupPolicy::of(g))).collect(),
            cluster: ClusterPolicy::of(&spec),
            topology: topology(&spec),
            only: BTreeSet::new(),
            machines_max: None,
            force: false,
            retry: false,
            kubernetes_version: spec.cluster.spec.kubernetes_version.clone(),
            cloudonly: false,
            abort: false,
            repair: None,
            retire: BTreeMap::new(),
        }
    }

    /// Lets machines of a group go. A group that the spec has no more, named as in AWS, goes by what
    /// the cluster says for its groups.
    pub fn retire(&mut self, spec: &Spec, group: &str, what: Retire) {
        if !self.groups.contains_key(group) {
            let role = role_of_name(spec, group);
            let mut removed = filled(spec);
            let mut stand_in = InstanceGroup {
                metadata: spec.cluster.metadata.clone(),
                spec: crate::spec::InstanceGroupSpec::new(role),
            };
            stand_in.metadata.name = group.to_owned();
            removed.groups = [(group.to_owned(), stand_in)].into();
            fill(&mut removed);
            let policies = removed.groups.values().map(GroupPolicy::of);
            self.groups.extend(policies.map(|policy| (group.to_owned(), policy)));
        }
        self.retire.insert(group.to_owned(), what);
    }
}

/// A spec in which every field with a default holds a value, whoever made it.
fn filled(spec: &Spec) -> Spec {
    let mut spec = spec.clone();
    fill(&mut spec);
    spec
}

/// The role that a group's name in AWS tells ([`Spec::machine_name`]). Bastions are called as workers
/// are; their machines have no nodes to drain either way.
fn role_of_name(spec: &Spec, group: &str) -> Role {
    let own = group.strip_suffix(spec.name()).unwrap_or(group).trim_end_matches('.');
    match own.rsplit_once('.') {
        Some((_, "masters")) => Role::ControlPlane,
        Some((_, "etcd")) => Role::Etcd,
        _ => Role::Node,
    }
}

/// Which member is on which group, named as in AWS.
fn topology(spec: &Spec) -> Topology {
    let clusters = spec.cluster.spec.etcd_clusters.iter().map(|etcd| {
        let members = etcd.etcd_members.iter().filter_map(|member| {
            let host = spec.groups.get(&member.instance_group)?;
            let mut zones = spec.zones_of(host).into_iter().map(str::to_owned);
            let zone = zones.next().filter(|_| zones.next().is_none());
            let group = spec.machine_name(host);
            Some((member.name.clone(), TopologyMember { group, zone }))
        });
        (etcd.name.clone(), TopologyCluster { members: members.collect() })
    });
    Topology { clusters: clusters.collect() }
}

fn time(span: Option<Span>) -> Duration {
    Duration::from_secs(span.map_or(0, |span| span.secs))
}

impl GroupPolicy {
    fn of(group: &InstanceGroup) -> Self {
        let nothing = RollingUpdateSpec::default();
        let RollingUpdateSpec {
            drain_and_terminate,
            max_unavailable,
            max_surge,
            max_unavailable_per_zone,
            drain_timeout,
            on_drain_timeout,
            post_drain_delay,
            deregister_timeout,
            boot_timeout,
            validate_timeout,
            soak,
            canary,
            canary_soak,
            delete_bare_pods,
            max_node_age,
        } = group.spec.rolling_update.as_ref().unwrap_or(&nothing);
        Self {
            role: RolloutRole::of(group.spec.role),
            max_surge: max_surge.unwrap_or(IntOrPercent::Int(0)),
            max_unavailable: max_unavailable.unwrap_or(IntOrPercent::Int(1)),
            max_unavailable_per_zone: *max_unavailable_per_zone,
            drain_and_terminate: drain_and_terminate.unwrap_or(true),
            drain_timeout: time(*drain_timeout),
            on_drain_timeout: on_drain_timeout.map_or(DrainOutcome::Fail, DrainOutcome::of),
            post_drain_delay: time(*post_drain_delay),
            deregister_timeout: time(*deregister_timeout),
            boot_timeout: time(*boot_timeout),
            validate_timeout: time(*validate_timeout),
            soak: time(*soak),
            canary: canary.unwrap_or(0),
            canary_soak: time(*canary_soak),
            delete_bare_pods: delete_bare_pods.unwrap_or(false),
            max_age: max_node_age.map(|span| time(Some(span))),
        }
    }
}

impl RolloutRole {
    fn of(role: Role) -> Self {
        match role {
            Role::Bastion => RolloutRole::Bastion,
            Role::Etcd => RolloutRole::Etcd,
            Role::ControlPlane => RolloutRole::ControlPlane,
            Role::Node => RolloutRole::Node,
        }
    }
}

impl DrainOutcome {
    fn of(action: DrainTimeoutAction) -> Self {
        match action {
            DrainTimeoutAction::Fail => DrainOutcome::Fail,
            DrainTimeoutAction::Skip => DrainOutcome::Skip,
            DrainTimeoutAction::Force => DrainOutcome::Force,
        }
    }
}

impl ClusterPolicy {
    fn of(spec: &Spec) -> Self {
        let rollout = cluster_rollout(spec);
        let OverallRolloutSpec { max_unavailable, max_unavailable_per_zone, failure_percent } =
            rollout.overall.unwrap_or_default();
        Self {
            max_unavailable,
            max_unavailable_per_zone,
            failure_percent: failure_percent.unwrap_or(0),
            one_member_downtime: rollout.one_member_downtime.unwrap_or(false),
            snapshot_age_max: time(rollout.snapshot_age_max),
        }
    }

    /// What the quorum guard asks for, of reports that were written since a moment.
    pub fn guard_limits(&self, not_before: Timestamp) -> Limits {
        Limits {
            report_age_max: Limits::REPORT_AGE_MAX,
            lag_max: Limits::LAG_MAX,
            snapshot_age_max: self.snapshot_age_max,
            not_before,
            one_member_downtime: self.one_member_downtime,
        }
    }
}

impl RepairPolicy {
    /// What a spec says about repairs.
    pub fn of(spec: &Spec) -> Self {
        let RepairSpec { broken_for, at_once, halt_above_percent } =
            cluster_rollout(&filled(spec)).repair.unwrap_or_default();
        Self {
            broken_for: time(broken_for),
            at_once: at_once.unwrap_or(1),
            halt_above_percent: halt_above_percent.unwrap_or(0),
        }
    }
}

fn cluster_rollout(spec: &Spec) -> ClusterRollingUpdateSpec {
    spec.cluster.spec.rolling_update.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests;
