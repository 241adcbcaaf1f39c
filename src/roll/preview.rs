//! What a roll would do, seen before it begins: machines with their reasons, in order, how many at
//! a time and why, and what stands in the way now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::decide::{GroupScene, MachineScene, Scene, decide};
use super::estimate::{Times, Work, estimate};
use super::{
    Group, HaltReason, Machine, MachineReason, Observation, Pause, Policy, Retire, RolloutRole,
    Stage, Target, Undo, Verdict,
};
use crate::etcd::guard::{self, RefusalReason, Why};
use crate::kube::drain::{self, PreflightFinding};
use crate::plan::{FieldChange, Plan};
use crate::resource::{Key, Kind, Resource};
use crate::spec::IntOrPercent;

/// A roll as it would go, by one look.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// The cluster.
    pub cluster: String,
    /// `sim` or `aws`.
    pub cloud: String,
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// When groups and machines were read.
    pub observed_at: Timestamp,
    /// The roll that an earlier run began and did not end.
    pub unfinished: Option<String>,
    /// Groups with machines to replace, in rolling order.
    pub groups: Vec<PreviewGroup>,
    /// Machines of all the cluster's groups.
    pub machine_count: usize,
    /// The most machines that it begins with, where that is limited.
    pub machines_max: Option<usize>,
    /// Machines to replace that it leaves for later: beyond that number, or in groups that it is not
    /// to touch.
    pub left_count: usize,
    /// What is put back, group by group, where nothing is replaced and all is undone.
    pub undo: Option<Vec<Undo>>,
    /// Pods and budgets that would hold a drain.
    pub preflight: Vec<PreflightFinding>,
    /// Why the quorum guard would not let a machine go now, by group: what waits for others' next
    /// report is left out.
    pub guard: BTreeMap<String, Vec<RefusalReason>>,
    /// Why it would halt at once.
    pub halts: Vec<HaltReason>,
    /// Whether it would do nothing at all: no machine to replace, no mark to take away.
    pub is_idle: bool,
    /// Somebody asked rolls to pause.
    pub paused: Option<Pause>,
    /// Changes of the plan that no apply has made: the roll goes where the last apply said.
    pub unapplied_count: usize,
    /// Whether Kubernetes is left out.
    pub cloudonly: bool,
    /// How long it may take; none where nothing tells.
    pub estimate: Option<Duration>,
}

/// A group with machines to replace.
#[derive(Clone, Debug, PartialEq)]
pub struct PreviewGroup {
    /// Its name.
    pub group: String,
    /// What its machines do.
    pub role: RolloutRole,
    /// Machines that it has.
    pub machine_count: usize,
    /// Machines to replace.
    pub machines: Vec<PreviewMachine>,
    /// How many at a time.
    pub slots: Slots,
    /// Fields in which the machines differ from what is wanted.
    pub causes: Vec<FieldChange>,
}

/// A machine to replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewMachine {
    /// Its instance id.
    pub instance_id: String,
    /// Its zone.
    pub zone: String,
    /// The template version it runs; none when attached by hand.
    pub version: Option<u64>,
    /// Its node.
    pub node: Option<String>,
    /// The etcd members on it: etcd cluster and member.
    pub members: Vec<(String, String)>,
    /// Why it is replaced; never empty.
    pub reasons: Vec<MachineReason>,
}

/// How many machines of a group are worked on at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// New ones that come before old ones go.
    pub surge: usize,
    /// Old ones that go before new ones come.
    pub unavailable: usize,
    /// Why it is that many, where the policy alone does not say it.
    pub why: Vec<String>,
}

impl Slots {
    /// Of one group.
    fn of(group: &GroupScene<'_>) -> Self {
        let positive = |count: i32| usize::try_from(count).unwrap_or_default();
        let (surge, unavailable) = (positive(group.max_surge()), positive(group.max_unavailable()));
        let Group { desired, max, .. } = group.group;
        let mut why = Vec::new();
        let wanted_surge =
            !matches!(group.policy.max_surge, IntOrPercent::Int(0) | IntOrPercent::Percent(0));
        if group.policy.role.is_quorum() {
            why.push("one at a time over the control plane and etcd".to_owned());
        } else if group.is_ending {
            why.push("no surge: nothing new begins".to_owned());
        } else if let Some(retire) = group.retire {
            let others = match retire {
                Retire::All | Retire::DownTo(_) => "none comes in place of those that go",
                Retire::OutOf(_) => "others come in the zones that stay",
            };
            why.push(others.to_owned());
        } else if group.raises() && wanted_surge && desired >= max {
            why.push(format!("no surge: it has {desired} machines of at most {max}"));
        } else if surge == 0 && wanted_surge && group.policy.role != RolloutRole::Node {
            why.push("no surge: only workers surge".to_owned());
        }
        let asks_for_none = group.policy.max_unavailable == IntOrPercent::Int(0);
        if asks_for_none
            && unavailable > 0
            && !group.policy.role.is_quorum()
            && !group.is_ending
            && group.retire.is_none()
        {
            why.push("one may be missing all the same, or nothing would ever go".to_owned());
        }
        Self { surge, unavailable, why }
    }

    /// All together.
    pub fn total(&self) -> usize {
        self.surge + self.unavailable
    }
}

impl Preview {
    /// From a look, and the plan that was made of the same world.
    pub fn of(observation: &Observation, policy: &Policy, plan: &Plan) -> Self {
        let scene = Scene::of(observation, policy);
        let mut groups: Vec<PreviewGroup> =
            scene.groups.iter().filter_map(|group| preview_group(group, policy, plan)).collect();
        let left_count = keep_first(&mut groups, &scene);
        let forced = observation.forced.as_ref().map(|forced| forced.roll.as_str());
        let decision = decide(observation, policy);
        let undo = policy.abort.then(|| Undo::of(&scene, &decision));
        let verdict = decision.verdict;
        // Where every machine was to go, a run has to say that none is left.
        let is_idle = verdict == Verdict::Done && forced.is_none();
        let halts = match verdict {
            Verdict::Halted(reasons) => reasons,
            Verdict::Act(_) | Verdict::Wait(_) | Verdict::Done => Vec::new(),
        };
        let stays = |machine: &&Machine| machine.stage != Stage::Leaving;
        Self {
            cluster: observation.cluster.clone(),
            cloud: plan.cloud.clone(),
            account: plan.account.clone(),
            region: plan.region.clone(),
            observed_at: observation.cloud_seen_at,
            unfinished: observation.unfinished().or(forced).map(str::to_owned),
            preflight: preflight(observation, &groups),
            guard: refusals(observation, policy, &groups),
            machine_count: observation.machines.values().filter(stays).count(),
            machines_max: policy.machines_max,
            left_count,
            undo,
            groups,
            halts,
            is_idle,
            paused: observation.paused.clone(),
            unapplied_count: plan.changes.len(),
            cloudonly: policy.cloudonly,
            estimate: estimate(&Work::of(observation, policy, &Times::ASSUMED)),
        }
    }

    /// Machines to replace.
    pub fn to_replace(&self) -> usize {
        self.groups.iter().map(|group| group.machines.len()).sum()
    }

    /// What would halt it: pods, budgets, what is decided now. The guard waits first, since most of
    /// what it says mends itself.
    pub fn obstacle_count(&self) -> usize {
        let blocked = self.preflight.iter().filter(|finding| finding.halts).count();
        blocked + self.halts.len()
    }
}

/// Keeps the machines that the roll may begin with, and those that were begun. Gives how many others are
/// to be replaced, in groups that it is not to touch as well.
fn keep_first(groups: &mut Vec<PreviewGroup>, scene: &Scene<'_>) -> usize {
    let begun: BTreeSet<&str> =
        scene.machines().filter(|(_, m)| m.is_begun()).map(|(_, m)| m.id()).collect();
    let mut room = scene.p.machines_max.unwrap_or(usize::MAX);
    for group in groups.iter_mut() {
        group.machines.retain(|machine| {
            let is_begun = begun.contains(machine.instance_id.as_str());
            let is_kept = is_begun || room > 0;
            room -= usize::from(is_kept && !is_begun);
            is_kept
        });
    }
    groups.retain(|group| !group.machines.is_empty());
    let all: usize = scene.groups.iter().map(|group| group.outdated().count()).sum();
    let kept: usize = groups.iter().map(|group| group.machines.len()).sum();
    all.saturating_sub(kept)
}

fn preview_group(group: &GroupScene<'_>, policy: &Policy, plan: &Plan) -> Option<PreviewGroup> {
    let outdated = group.in_order().into_iter().filter(|_| group.in_scope);
    let machines: Vec<PreviewMachine> = outdated.map(|m| preview_machine(m, policy)).collect();
    (!machines.is_empty()).then(|| PreviewGroup {
        group: group.name().to_owned(),
        role: group.policy.role,
        machine_count: group.machines.iter().filter(|m| m.machine.is_member).count(),
        slots: Slots::of(group),
        machines,
        causes: causes(group.name(), plan),
    })
}

fn preview_machine(found: &MachineScene<'_>, policy: &Policy) -> PreviewMachine {
    let machine = found.machine;
    let members = policy.topology.members_on(&machine.group);
    PreviewMachine {
        instance_id: machine.instance_id.clone(),
        zone: machine.zone.clone(),
        version: machine.version,
        node: found.node.map(|node| node.name.clone()),
        members: members.map(|(etcd, member)| (etcd.to_owned(), member.to_owned())).collect(),
        reasons: found.reasons.clone(),
    }
}

/// The fields for which a plan rolls a group.
fn causes(group: &str, plan: &Plan) -> Vec<FieldChange> {
    let found = plan.rollout.groups.iter().find(|rollout| rollout.address.name == group);
    found.map(|rollout| rollout.causes.clone()).unwrap_or_default()
}

fn preflight(observation: &Observation, groups: &[PreviewGroup]) -> Vec<PreflightFinding> {
    let Some(view) = &observation.kube else { return Vec::new() };
    let machines = groups.iter().flat_map(|group| &group.machines);
    let nodes: BTreeSet<String> = machines.filter_map(|machine| machine.node.clone()).collect();
    drain::preflight(view, &nodes)
}

/// What the guard says of each group that hosts a member or an API server. That nobody has reported
/// twice yet is no news: it takes a run that stays.
fn refusals(
    observation: &Observation,
    policy: &Policy,
    groups: &[PreviewGroup],
) -> BTreeMap<String, Vec<RefusalReason>> {
    let limits = policy.cluster.guard_limits(Timestamp::MIN);
    let (topology, members) = (&policy.topology, &observation.members);
    let keeps = |group: &str, id: &str| observation.keeps(group, id);
    let mut found = BTreeMap::new();
    for group in groups.iter().filter(|group| group.role.is_quorum()) {
        let (name, now) = (&group.group, observation.now);
        let asked = guard::may_go(topology, members, &keeps, name, now, &limits);
        let Err(refusal) = asked else { continue };
        let told: Vec<RefusalReason> =
            refusal.reasons.into_iter().filter(|reason| reason.why != Why::NotTwice).collect();
        if !told.is_empty() {
            found.insert(group.group.clone(), told);
        }
    }
    found
}

/// The same look as it will be once a plan is applied: groups have the targets that the plan sets.
/// A revision that is only known after the apply is told as such.
pub fn anticipate(observation: &mut Observation, plan: &Plan) {
    for rollout in &plan.rollout.groups {
        let Some(group) = Arc::make_mut(&mut observation.groups).get_mut(&rollout.address.name)
        else {
            continue;
        };
        let template = Key::new(Kind::LaunchTemplate, &rollout.launch_template_name);
        let change = plan.changes.iter().find(|change| change.address == template);
        let Some(change) = change else { continue };
        let revision = match &change.after {
            Some(Resource::LaunchTemplate(template)) if change.unknown.is_empty() => {
                template.launch_template_data.revision()
            }
            _ => "known after apply".to_owned(),
        };
        // No version has this number yet.
        let version = change.existing_version.unwrap_or(u64::MAX);
        group.target = Some(Target { version, revision });
    }
}
