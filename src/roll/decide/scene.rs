//! The look that every stage shares: groups in rolling order, each machine joined with its node and
//! judged.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::assess;
use crate::kube::{KubeView, Node};
use crate::roll::mark::{DRAIN_ANNOTATION, WAS_CORDONED_ANNOTATION, tail};
use crate::roll::{
    Group, GroupPolicy, Machine, MachineReason, Observation, Policy, Retire, RolloutRole, Stage,
    Target,
};
use crate::spec::IntOrPercent;

/// A cluster's machines, joined and judged.
pub struct Scene<'a> {
    /// What was seen.
    pub o: &'a Observation,
    /// What limits the roll.
    pub p: &'a Policy,
    /// The groups, in rolling order.
    pub groups: Vec<GroupScene<'a>>,
}

/// A group with its machines.
pub struct GroupScene<'a> {
    /// What was seen of it.
    pub group: &'a Group,
    /// Its limits.
    pub policy: &'a GroupPolicy,
    /// What goes of it without being replaced.
    pub retire: Option<&'a Retire>,
    /// Whether this roll may touch it.
    pub in_scope: bool,
    /// Whether nothing new begins: what was begun is brought to its end, and no more.
    pub is_ending: bool,
    /// What its new machines are to be built from; none while nobody knows.
    pub goal: Option<Target>,
    /// How many of the machines that its note names have taken their place of the surge with them.
    pub given_back: i32,
    /// Its machines by instance id, detached ones among them.
    pub machines: Vec<MachineScene<'a>>,
}

/// A machine with its node.
pub struct MachineScene<'a> {
    /// What was seen of it.
    pub machine: &'a Machine,
    /// Its node.
    pub node: Option<&'a Node>,
    /// Whether work can run on it.
    pub availability: Availability,
    /// Why it is to be replaced; empty when it is as wanted.
    pub reasons: Vec<MachineReason>,
    /// Whether it goes without being replaced, since its group has more than it should.
    pub is_surplus: bool,
    /// Whether it has no node, and this run has known one: such a one is not on its way.
    pub lost_its_node: bool,
    /// Whether its drain's cordon may be off: it was asked for without an answer, or to be taken off, and no
    /// watch has told since.
    pub is_cordon_unsure: bool,
}

/// Whether a machine counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It serves: it is ready, takes work, and has stayed so for long enough.
    Available,
    /// It is new and on its way; until when it may take.
    Coming(Timestamp),
    /// It is new, and too late.
    Overdue,
    /// It is ready, and not for long enough; until when.
    Soaking(Timestamp),
    /// It served, and does not now.
    Unready,
    /// Somebody else cordoned it.
    Cordoned,
    /// A roll drains it, since when.
    Draining(Timestamp),
    /// It ends.
    Leaving,
}

impl<'a> Scene<'a> {
    /// Joins and judges.
    pub fn of(o: &'a Observation, p: &'a Policy) -> Self {
        let nodes = nodes_by_instance(o);
        let mut machines: BTreeMap<&str, Vec<&Machine>> = BTreeMap::new();
        for machine in o.machines.values() {
            machines.entry(&machine.group).or_default().push(machine);
        }
        let mut groups: Vec<GroupScene> = o
            .groups
            .values()
            .filter_map(|group| {
                let policy = p.groups.get(&group.name)?;
                let machines = machines.remove(group.name.as_str()).unwrap_or_default();
                Some(GroupScene::of(o, p, group, policy, machines, &nodes))
            })
            .collect();
        groups.sort_by(|left, right| left.order().cmp(&right.order()));
        Self { o, p, groups }
    }

    /// The cluster, unless Kubernetes is left out.
    pub fn view(&self) -> Option<&'a KubeView> {
        if self.p.cloudonly { None } else { self.o.kube.as_deref() }
    }

    /// All machines, with their groups.
    pub fn machines(&self) -> impl Iterator<Item = (&GroupScene<'a>, &MachineScene<'a>)> {
        self.groups.iter().flat_map(|group| group.machines.iter().map(move |m| (group, m)))
    }

    /// The groups that are replaced behind the quorum guard.
    pub fn quorum(&self) -> impl Iterator<Item = &GroupScene<'a>> {
        self.groups.iter().filter(|group| group.policy.role.is_quorum())
    }

    /// The groups of workers.
    pub fn workers(&self) -> impl Iterator<Item = &GroupScene<'a>> {
        self.groups.iter().filter(|group| group.policy.role == RolloutRole::Node)
    }
}

fn nodes_by_instance(o: &Observation) -> BTreeMap<&str, &Node> {
    let nodes = o.kube.iter().flat_map(|view| view.nodes.values());
    nodes.filter_map(|node| Some((node.instance_id.as_deref()?, node))).collect()
}

impl<'a> GroupScene<'a> {
    fn of(
        o: &'a Observation,
        p: &'a Policy,
        group: &'a Group,
        policy: &'a GroupPolicy,
        machines: Vec<&'a Machine>,
        nodes: &BTreeMap<&str, &'a Node>,
    ) -> Self {
        let goal = assess::goal(group, p);
        let retire = p.retire.get(&group.name);
        let mut scene = Self {
            group,
            policy,
            retire,
            in_scope: p.only.is_empty() || p.only.contains(&group.name),
            is_ending: p.abort || !o.memory.halts.is_empty(),
            goal,
            given_back: given_back(o, group, &machines),
            machines: Vec::with_capacity(machines.len()),
        };
        for machine in machines {
            let node = nodes.get(machine.instance_id.as_str()).copied();
            let availability = availability(o, p, policy, machine, node);
            let reasons = assess::reasons(o, p, &scene, machine, node, availability);
            let lost_its_node = node.is_none() && o.memory.joined.contains(&machine.instance_id);
            let is_cordon_unsure = node.is_some_and(|node| is_cordon_unsure(o, node));
            scene.machines.push(MachineScene {
                machine,
                node,
                availability,
                reasons,
                is_surplus: false,
                lost_its_node,
                is_cordon_unsure,
            });
        }
        assess::retire_surplus(&mut scene);
        assess::return_surge(&mut scene);
        scene
    }

    /// The group's name.
    pub fn name(&self) -> &'a str {
        &self.group.name
    }

    /// Position in the order of a roll.
    fn order(&self) -> (u8, RolloutRole, &str) {
        (self.turn(), self.policy.role, self.name())
    }

    /// Which groups go together: bastions, then what the guard watches, then workers.
    pub fn turn(&self) -> u8 {
        match self.policy.role {
            RolloutRole::Bastion => 0,
            RolloutRole::Etcd | RolloutRole::ControlPlane => 1,
            RolloutRole::Node => 2,
        }
    }

    /// Machines to replace that are not on their way out.
    pub fn outdated(&self) -> impl Iterator<Item = &MachineScene<'a>> {
        self.machines.iter().filter(|m| m.is_outdated() && m.availability != Availability::Leaving)
    }

    /// Machines that serve, detached ones among them.
    pub fn available(&self) -> i32 {
        count(self.machines.iter().filter(|m| m.availability == Availability::Available))
    }

    /// What a surge has raised the desired capacity by.
    pub fn raised(&self) -> i32 {
        let raised = self.group.mark.as_ref().and_then(|mark| mark.raised);
        raised.map_or(0, |raised| {
            let most = raised.by.saturating_sub(self.given_back).max(0);
            raised.outstanding(self.group.desired).min(most)
        })
    }

    /// Machines that the group should have, without what a surge adds.
    pub fn wanted(&self) -> i32 {
        self.group.desired.saturating_sub(self.raised())
    }

    /// Machines that lack: what it should have and does not serve.
    pub fn missing(&self) -> i32 {
        self.wanted().saturating_sub(self.available()).max(0)
    }

    /// Machines that it should have and that are not even on their way.
    pub fn lacking(&self) -> i32 {
        let members = self
            .machines
            .iter()
            .filter(|m| m.machine.is_member && !matches!(m.availability, Availability::Leaving));
        self.group.desired.saturating_sub(count(members)).max(0)
    }

    /// Whether something of it comes or goes.
    pub fn is_in_flight(&self) -> bool {
        let moves = |m: &MachineScene<'_>| {
            m.is_begun()
                || matches!(m.availability, Availability::Coming(_) | Availability::Soaking(_))
        };
        self.lacking() > 0 || self.machines.iter().any(moves)
    }

    /// Machines that were taken out of it and are still there.
    pub fn detached(&self) -> impl Iterator<Item = &MachineScene<'a>> {
        self.machines
            .iter()
            .filter(|m| !m.machine.is_member && m.availability != Availability::Leaving)
    }

    /// How many machines may be missing: a percentage rounds down, at least 1 unless it is a plain
    /// zero. A group that can neither surge nor miss one would never move: then one may be missing.
    pub fn max_unavailable(&self) -> i32 {
        let wanted = self.wanted();
        let missing = match self.policy.max_unavailable {
            IntOrPercent::Int(count) => clamp(count),
            IntOrPercent::Percent(0) => 0,
            IntOrPercent::Percent(percent) => (wanted.max(0) * clamp(percent) / 100).max(1),
        };
        let needs_one = missing == 0 && self.surge_allowed() == 0;
        if needs_one { 1 } else { missing }
    }

    /// How many machines may be brought that are too many: none any more when nothing new begins.
    pub fn max_surge(&self) -> i32 {
        if self.is_ending { 0 } else { self.surge_allowed() }
    }

    /// How many machines may be there too many: a percentage rounds up. A group behind target groups
    /// raises its desired capacity, as far as its maximum allows.
    fn surge_allowed(&self) -> i32 {
        if self.policy.role != RolloutRole::Node || self.retire.is_some() {
            return 0;
        }
        let wanted = self.wanted();
        let surge = match self.policy.max_surge {
            IntOrPercent::Int(count) => clamp(count),
            IntOrPercent::Percent(percent) => {
                (wanted.max(0) * clamp(percent)).saturating_add(99) / 100
            }
        };
        if self.raises() { surge.min(self.group.max.saturating_sub(wanted)).max(0) } else { surge }
    }

    /// Whether its surge raises the desired capacity: a detached machine would be taken out of its
    /// target groups at once.
    pub fn raises(&self) -> bool {
        !self.group.target_group_arns.is_empty()
    }

    /// Whether the pin is what new machines should get; equal content is equal.
    pub fn is_pinned(&self) -> bool {
        let Some(goal) = &self.goal else { return true };
        self.group.pin == Some(goal.version)
            || self.group.pin_revision.as_ref() == Some(&goal.revision)
    }

    /// Machines of what new ones are built from, that serve.
    pub fn validated(&self) -> impl Iterator<Item = &MachineScene<'a>> {
        self.machines
            .iter()
            .filter(|m| m.availability == Availability::Available && self.is_current(m.machine))
    }

    /// Whether a machine is built from what new ones are built from.
    pub fn is_current(&self, machine: &Machine) -> bool {
        self.goal.as_ref().is_some_and(|goal| assess::runs(machine, goal))
    }
}

/// How many of the machines that a group's note names are on their way out, or gone: the call that they
/// were named for was made, and has taken as many places, unless AWS said that some stay.
fn given_back(o: &Observation, group: &Group, machines: &[&Machine]) -> i32 {
    let named = group.mark.iter().flat_map(|mark| &mark.giving);
    count(named.filter(|name| {
        let is_it = |id: &str| tail(id) == name.as_str();
        let stays = |m: &&&Machine| is_it(&m.instance_id) && m.stage != Stage::Leaving;
        !machines.iter().any(|m| stays(&m)) && !o.memory.places_kept.iter().any(|id| is_it(id))
    }))
}

impl MachineScene<'_> {
    /// Whether it is to be replaced.
    pub fn is_outdated(&self) -> bool {
        !self.reasons.is_empty()
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.machine.instance_id
    }

    /// Whether a roll has begun to take it away.
    pub fn is_begun(&self) -> bool {
        matches!(self.availability, Availability::Draining(_) | Availability::Leaving)
    }

    /// Whether it is being drained for good: its node is not one that takes work again, since somebody took
    /// the cordon off, nor one that may.
    pub fn is_drained(&self) -> bool {
        let takes_work = |node: &Node| node.takes_work() && drain_since(node).is_some();
        matches!(self.availability, Availability::Draining(_))
            && !self.is_cordon_unsure
            && !self.node.is_some_and(takes_work)
    }

    /// Whether its time to come up is over and its node was never ready, as far as this run can know: nothing
    /// ever ran on it.
    pub fn never_served(&self) -> bool {
        let is_ready = || self.node.is_some_and(Node::is_ready);
        self.availability == Availability::Overdue && !self.lost_its_node && !is_ready()
    }

    /// Whether work runs on it, or may: it serves, or is ready and only does not count yet.
    pub fn works(&self) -> bool {
        let is_ready = || self.node.is_some_and(Node::is_ready);
        match self.availability {
            Availability::Available | Availability::Soaking(_) => true,
            Availability::Coming(_) => is_ready(),
            _ => false,
        }
    }

    /// Whether it was there and does not serve now, whoever took it away; new machines are on their
    /// way, and not away, unless this run has known their nodes.
    pub fn is_away(&self) -> bool {
        match self.availability {
            Availability::Available => false,
            Availability::Coming(_) | Availability::Soaking(_) | Availability::Overdue => {
                self.is_outdated() || self.lost_its_node
            }
            Availability::Unready
            | Availability::Cordoned
            | Availability::Draining(_)
            | Availability::Leaving => true,
        }
    }
}

/// Whether a machine counts.
fn availability(
    o: &Observation,
    p: &Policy,
    policy: &GroupPolicy,
    machine: &Machine,
    node: Option<&Node>,
) -> Availability {
    if machine.stage == Stage::Leaving {
        return Availability::Leaving;
    }
    // A watch may be late to show what this run has just done, and later when it was cut off.
    let own = node.and_then(|node| o.memory.cordoned.get(&node.name));
    let shown_at = o.kube.as_ref().map_or(o.now, |view| view.seen_at);
    let may_not_show = |at: Timestamp| shown_at < later(at, WATCH_LAG);
    let own = own.filter(|cordon| cordon.known_at.is_none_or(may_not_show));
    if let Some(since) = node.and_then(drain_since).or(own.map(|cordon| cordon.at)) {
        return Availability::Draining(since.max(o.run_started_at));
    }
    let launched_at = machine.launched_at.unwrap_or(o.run_started_at);
    // A repair goes by how long a machine has been there; a roll gives it its time anew.
    let since = if p.repair.is_some() { launched_at } else { launched_at.max(o.run_started_at) };
    let due = later(since, policy.boot_timeout);
    let coming = || if o.now < due { Availability::Coming(due) } else { Availability::Overdue };
    if machine.stage == Stage::Booting {
        return coming();
    }
    if !policy.role.joins() || p.cloudonly || o.kube.is_none() {
        let serves = machine.unhealthy.is_none();
        return if serves { Availability::Available } else { Availability::Unready };
    }
    let Some(node) = node else { return coming() };
    let Some(ready_since) = node.ready_since() else {
        let is_new = later(node.created_at, policy.boot_timeout) > o.now && !node.was_ready();
        return if is_new { coming() } else { Availability::Unready };
    };
    if machine.unhealthy.is_some() {
        return Availability::Unready;
    }
    if node.unschedulable {
        return Availability::Cordoned;
    }
    let soaked_at = later(ready_since, policy.soak);
    if o.now < soaked_at && soaked_at < later(launched_at, policy.boot_timeout * 2) {
        return Availability::Soaking(soaked_at);
    }
    if !serves_targets(machine) {
        return coming();
    }
    Availability::Available
}

/// Whether load balancers send work to it, as far as they were asked.
fn serves_targets(machine: &Machine) -> bool {
    use crate::roll::TargetState;
    let targets = machine.targets.iter().flat_map(BTreeMap::values);
    targets.into_iter().all(|state| *state != TargetState::Initial)
}

/// So late a watch that hears of its server may be with what a request has changed.
const WATCH_LAG: Duration = Duration::from_secs(30);

/// Since when a roll drains a node.
pub(in crate::roll) fn drain_since(node: &Node) -> Option<Timestamp> {
    let value = node.annotations.get(DRAIN_ANNOTATION)?;
    // A value that nobody can read is still a mark of ours.
    Some(value.parse().unwrap_or(Timestamp::MIN))
}

/// Whether a drain's cordon that this run has asked for may not be there, or may not be any more.
fn is_cordon_unsure(o: &Observation, node: &Node) -> bool {
    let is_marked = drain_since(node).is_some();
    is_marked && o.memory.uncordoned.contains(&node.name) || !is_marked && is_doubted(o, node)
}

/// Whether a node's cordon was asked for and not answered.
pub(super) fn is_doubted(o: &Observation, node: &Node) -> bool {
    o.memory.cordoned.get(&node.name).is_some_and(|cordon| cordon.known_at.is_none())
}

/// Whether a node's cordon is somebody else's: it was there before a roll's, or before a roll's own shows.
/// Whoever has taken theirs off does not want it any more.
pub(super) fn was_cordoned(node: &Node) -> bool {
    let is_noted = || node.annotations.contains_key(WAS_CORDONED_ANNOTATION);
    node.unschedulable && (drain_since(node).is_none() || is_noted())
}

/// A moment so much later; the end of the calendar if there is none.
pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| at.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

/// A count as AWS counts.
pub(super) fn count<T>(items: impl Iterator<Item = T>) -> i32 {
    i32::try_from(items.count()).unwrap_or(i32::MAX)
}

fn clamp(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX).min(1_000_000)
}
