//! Clusters in the middle of a roll: every group is noted and pinned, every node to replace tainted, so
//! that a decision is about machines alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::etcd::report::EarlierReport;
use crate::etcd::{
    Facts, MemberFact, MemberReport, MemberRole, Topology, TopologyCluster, TopologyMember,
};
use crate::kube::{Condition, KubeView, Node, Taint, TaintEffect};
use crate::roll::decide::decide;
use crate::roll::mark::{DRAIN_ANNOTATION, DetachMark, OUTDATED_TAINT, Raised, RollMark};
use crate::roll::{
    ClusterPolicy, Decision, DrainOutcome, Group, GroupPolicy, HaltReason, Machine, Memory,
    Observation, Policy, RolloutRole, Stage, Target,
};
use crate::spec::IntOrPercent;

/// The version that machines of a layout run.
pub(super) const OLD: u64 = 1;
/// The version that they should run.
pub(super) const NEW: u64 = 2;

const ID: &str = "roll-1";
const ZONES: [&str; 3] = ["a", "b", "c"];
const MEMBERS: [&str; 3] = ["a", "b", "c"];
/// The group of their machines, which is not rolled.
const HOSTS: &str = "hosts";

/// A cluster, and how it is rolled.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) observation: Observation,
    pub(super) policy: Policy,
}

/// A moment, in seconds from the decision's.
pub(super) fn at(secs: i64) -> Timestamp {
    let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    now.checked_add(SignedDuration::from_secs(secs)).unwrap()
}

impl Layout {
    /// Groups with so many machines each, `name-0` and so on, over three zones: all serve, and all are
    /// to be replaced.
    pub(super) fn new(groups: &[(&str, RolloutRole, i32)]) -> Self {
        let mut layout = Self { observation: observation(), policy: policy() };
        for (name, role, count) in groups {
            layout.policy.groups.insert((*name).to_owned(), limits(*role));
            Arc::make_mut(&mut layout.observation.groups)
                .insert((*name).to_owned(), group(name, *count));
            for index in 0..usize::try_from(*count).unwrap() {
                layout.add(name, &format!("{name}-{index}"), ZONES[index % ZONES.len()]);
            }
        }
        layout
    }

    /// One more machine, which serves and is to be replaced.
    pub(super) fn add(&mut self, group: &str, id: &str, zone: &str) {
        Arc::make_mut(&mut self.observation.machines)
            .insert(id.to_owned(), machine(group, id, zone));
        self.view().nodes.insert(id.to_owned(), node(id));
    }

    /// A member belongs on a group's machine.
    pub(super) fn host(&mut self, member: &str, group: &str) {
        let main = self.policy.topology.clusters.get_mut("main").unwrap();
        main.members.get_mut(member).unwrap().group = group.to_owned();
    }

    /// The machines that may be replaced: all but those of members.
    pub(super) fn ids(&self) -> Vec<String> {
        let machines = self.observation.machines.values().filter(|m| m.group != HOSTS);
        machines.map(|m| m.instance_id.clone()).collect()
    }

    pub(super) fn decide(&self) -> Decision {
        decide(&self.observation, &self.policy)
    }

    pub(super) fn limits(&mut self, group: &str) -> &mut GroupPolicy {
        self.policy.groups.get_mut(group).unwrap()
    }

    pub(super) fn group(&mut self, group: &str) -> &mut Group {
        Arc::make_mut(&mut self.observation.groups).get_mut(group).unwrap()
    }

    pub(super) fn machine(&mut self, id: &str) -> &mut Machine {
        Arc::make_mut(&mut self.observation.machines).get_mut(id).unwrap()
    }

    pub(super) fn node(&mut self, id: &str) -> &mut Node {
        self.view().nodes.get_mut(id).unwrap()
    }

    /// It is so late, and the watch has heard of its server just now.
    pub(super) fn seen_at(&mut self, secs: i64) {
        self.observation.now = at(secs);
        self.view().seen_at = at(secs);
    }

    /// A node stops to answer.
    pub(super) fn unready(&mut self, id: &str) {
        self.node(id).conditions.insert("Ready".to_owned(), condition("Unknown", at(-300)));
    }

    /// A new machine is ready, and not for long enough to count.
    pub(super) fn soaks(&mut self, id: &str) {
        self.renew(id);
        self.machine(id).launched_at = Some(at(-100));
        self.node(id).conditions.insert("Ready".to_owned(), condition("True", at(-10)));
    }

    /// A machine was launched then and has no node to this day.
    pub(super) fn never_joins(&mut self, id: &str, launched_at: Timestamp) {
        self.machine(id).launched_at = Some(launched_at);
        self.view().nodes.remove(id);
    }

    /// A roll has begun to drain a machine, on which nothing is left.
    pub(super) fn drain(&mut self, id: &str) {
        let node = self.node(id);
        node.unschedulable = true;
        node.annotations.insert(DRAIN_ANNOTATION.to_owned(), at(-30).to_string());
    }

    /// A machine stands outside of its group.
    pub(super) fn detach(&mut self, id: &str) {
        let machine = self.machine(id);
        machine.is_member = false;
        machine.detached = Some(DetachMark { group: machine.group.clone(), id: ID.to_owned() });
    }

    /// A machine runs what it should.
    pub(super) fn renew(&mut self, id: &str) {
        let machine = self.machine(id);
        machine.version = Some(NEW);
        machine.revision = Some("new".to_owned());
        let node = self.node(id);
        (node.unschedulable, node.taints) = (false, [].into());
        node.annotations.remove(DRAIN_ANNOTATION);
    }

    /// A machine runs what it should not any more; its node is tainted.
    pub(super) fn make_old(&mut self, id: &str) {
        let machine = self.machine(id);
        (machine.version, machine.revision) = (Some(OLD), Some("old".to_owned()));
        *self.node(id) = node(id);
    }

    /// A node is known to be replaced.
    pub(super) fn taint(&mut self, id: &str) {
        self.node(id).taints = node(id).taints;
    }

    /// What a group should run has failed, and its pin is back.
    pub(super) fn fail(&mut self, group: &str) {
        let group = self.group(group);
        group.failed = Some("new".to_owned());
        group.pin = Some(OLD);
        group.pin_revision = Some("old".to_owned());
        self.halt();
    }

    /// Nothing new begins any more.
    pub(super) fn halt(&mut self) {
        self.observation.memory.halts.push(stuck_pod());
    }

    /// A machine is left for a later roll.
    pub(super) fn skip(&mut self, id: &str) {
        self.observation.memory.skipped.insert(id.to_owned(), stuck_pod());
    }

    /// So many of a group's machines are its surge.
    pub(super) fn raise(&mut self, group: &str, by: i32) {
        let group = self.group(group);
        let base = group.desired - by;
        group.mark.as_mut().unwrap().raised = Some(Raised { base, by, made: by });
    }

    fn view(&mut self) -> &mut KubeView {
        Arc::make_mut(self.observation.kube.as_mut().unwrap())
    }
}

pub(super) fn stuck_pod() -> HaltReason {
    HaltReason {
        group: None,
        object: "pod shop/cart".to_owned(),
        message: "does not leave".to_owned(),
        way_out: "mend it".to_owned(),
    }
}

fn observation() -> Observation {
    let view = KubeView {
        generation: 1,
        seen_at: at(0),
        server_version: "v1.34.2".to_owned(),
        nodes: BTreeMap::new(),
        pods: BTreeMap::new(),
        budgets: BTreeMap::new(),
    };
    Observation {
        now: at(0),
        run_started_at: at(-600),
        cluster: "c.example.com".to_owned(),
        id: ID.to_owned(),
        cloud_seen_at: at(0),
        groups: Arc::default(),
        machines: Arc::new(MEMBERS.map(host).into()),
        kube: Some(Arc::new(view)),
        members: Arc::new(Facts::from([("main".to_owned(), MEMBERS.map(fact).into())])),
        api_unready: None,
        baseline: Arc::default(),
        memory: Memory::default(),
        paused: None,
        forced: None,
    }
}

/// Members on machines of a group that no policy names: what the guard asks of them is always true.
fn topology() -> Topology {
    let member =
        |name: &str| (name.to_owned(), TopologyMember { group: HOSTS.to_owned(), zone: None });
    let main = TopologyCluster { members: MEMBERS.map(member).into() };
    Topology { clusters: [("main".to_owned(), main)].into() }
}

fn host(member: &str) -> (String, Machine) {
    let id = format!("host-{member}");
    (id.clone(), machine(HOSTS, &id, "zone-a"))
}

fn fact(member: &str) -> (String, MemberFact) {
    let report = |sequence| MemberReport {
        format_version: MemberReport::FORMAT_VERSION,
        member: member.to_owned(),
        instance_id: format!("host-{member}"),
        sequence,
        is_healthy: true,
        term: 3,
        leader: Some("a".to_owned()),
        lag: 0,
        alarms: BTreeSet::new(),
        members: MEMBERS.map(|name| (name.to_owned(), MemberRole::Voter)).into(),
        snapshot_at: Some(at(-600)),
        version: None,
        cluster_version: None,
    };
    let before = Some(EarlierReport { report: report(1), written_at: at(-15) });
    (member.to_owned(), MemberFact { report: report(2), written_at: at(-5), before })
}

fn policy() -> Policy {
    Policy {
        groups: BTreeMap::new(),
        cluster: ClusterPolicy {
            max_unavailable: None,
            max_unavailable_per_zone: None,
            failure_percent: 10,
            one_member_downtime: false,
            snapshot_age_max: Duration::from_secs(7200),
        },
        topology: topology(),
        only: BTreeSet::new(),
        machines_max: None,
        force: false,
        retry: false,
        kubernetes_version: None,
        cloudonly: false,
        abort: false,
        repair: None,
        retire: BTreeMap::new(),
    }
}

fn limits(role: RolloutRole) -> GroupPolicy {
    GroupPolicy {
        role,
        max_surge: IntOrPercent::Int(0),
        max_unavailable: IntOrPercent::Int(1),
        max_unavailable_per_zone: None,
        drain_and_terminate: true,
        drain_timeout: Duration::from_secs(900),
        on_drain_timeout: DrainOutcome::Fail,
        post_drain_delay: Duration::from_secs(5),
        deregister_timeout: Duration::from_secs(300),
        boot_timeout: Duration::from_secs(600),
        validate_timeout: Duration::from_secs(900),
        soak: Duration::from_secs(30),
        canary: 0,
        canary_soak: Duration::ZERO,
        delete_bare_pods: false,
        max_age: None,
    }
}

fn group(name: &str, count: i32) -> Group {
    let suspended = ["AZRebalance", "AlarmNotification", "InstanceRefresh", "ScheduledActions"];
    let suspended: BTreeSet<String> = suspended.map(str::to_owned).into();
    Group {
        launch_template_name: name.to_owned(),
        desired: count,
        min: 0,
        max: count + 5,
        pin: Some(NEW),
        pin_revision: Some("new".to_owned()),
        target: Some(Target { version: NEW, revision: "new".to_owned() }),
        mark: Some(RollMark {
            id: ID.to_owned(),
            began_at: at(-600),
            from: Some(OLD),
            suspended: suspended.clone(),
            raised: None,
            giving: BTreeSet::new(),
        }),
        suspended,
        is_gone: false,
        ..Group::gone(name)
    }
}

fn machine(group: &str, id: &str, zone: &str) -> Machine {
    Machine {
        instance_id: id.to_owned(),
        group: group.to_owned(),
        detached: None,
        is_member: true,
        zone: zone.to_owned(),
        instance_type: "m7g.large".to_owned(),
        stage: Stage::Serving,
        unhealthy: None,
        version: Some(OLD),
        revision: Some("old".to_owned()),
        launched_at: Some(at(-86_400)),
        node: Some(id.to_owned()),
        targets: None,
    }
}

fn node(id: &str) -> Node {
    let taint = Taint {
        key: OUTDATED_TAINT.to_owned(),
        value: String::new(),
        effect: TaintEffect::PreferNoSchedule,
    };
    Node {
        name: id.to_owned(),
        uid: id.to_owned(),
        instance_id: Some(id.to_owned()),
        unschedulable: false,
        taints: [taint].into(),
        annotations: BTreeMap::new(),
        labels: BTreeMap::new(),
        conditions: [("Ready".to_owned(), condition("True", at(-86_000)))].into(),
        created_at: at(-86_100),
        kubelet_version: "v1.34.2".to_owned(),
    }
}

pub(super) fn condition(status: &str, since: Timestamp) -> Condition {
    Condition {
        status: status.to_owned(),
        since,
        reason: "Kubelet".to_owned(),
        message: String::new(),
    }
}
