//! What was read, put together into one observation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::Look;
use crate::cloud::{Instance, TaggedInstance};
use crate::kube::KubeView;
use crate::resource::DETACHED_TAG;
use crate::roll::mark::DetachMark;
use crate::roll::{Group, Machine, Observation, Stage, TargetState};

/// Groups and machines, put together.
pub(super) struct Picture {
    /// The names of nodes by instance id.
    nodes: BTreeMap<String, String>,
    /// The nodes of machines that were read to be outside of their groups.
    outside: Vec<Option<String>>,
    groups: Arc<BTreeMap<String, Group>>,
    machines: Arc<BTreeMap<String, Machine>>,
}

impl Picture {
    /// Whether these are the nodes that it was put together with.
    fn has(&self, nodes: &BTreeMap<&str, &str>) -> bool {
        let known = self.nodes.iter().map(|(id, node)| (id.as_str(), node.as_str()));
        known.eq(nodes.iter().map(|(id, node)| (*id, *node)))
    }

    /// Whether a machine outside of its group may be gone: nobody sees its node serve.
    fn doubts_outside(&self, view: Option<&KubeView>) -> bool {
        let node = |name: &Option<String>| view?.nodes.get(name.as_ref()?);
        self.outside.iter().any(|name| node(name).is_none_or(|node| !node.is_ready()))
    }
}

impl Look<'_> {
    /// Puts the parts together, with this run's own writes that the reads may not show.
    pub(in crate::roll::driver) fn assemble(
        &mut self,
        now: Timestamp,
        view: Option<Arc<KubeView>>,
    ) -> Observation {
        let nodes = nodes_by_instance(view.as_deref());
        let known = self.picture.take().filter(|picture| picture.has(&nodes));
        let picture = known.unwrap_or_else(|| self.draw(now, &nodes));
        let (groups, machines) = (picture.groups.clone(), picture.machines.clone());
        let doubts_outside = picture.doubts_outside(view.as_deref());
        // What is forgotten now counts for this look still.
        self.picture = (!self.edits.forget(now)).then_some(picture);
        self.doubts_outside = doubts_outside;
        if let Some(view) = &view {
            self.memory.know_nodes(&machines, view);
            self.memory.know_budgets(view);
        }
        self.forget_gone_pods(view.as_deref());
        Observation {
            now,
            run_started_at: self.started_at,
            cluster: self.query.cluster.clone(),
            id: self.id.clone(),
            cloud_seen_at: self.seen_at,
            groups,
            machines,
            kube: view,
            members: self.facts.clone(),
            baseline: self.baseline.clone(),
            api_unready: self.api_unready.clone(),
            memory: self.memory.clone(),
            paused: self.paused.clone(),
            forced: self.forced.clone(),
        }
    }

    fn draw(&mut self, now: Timestamp, nodes: &BTreeMap<&str, &str>) -> Picture {
        let mut groups = self.groups.clone();
        let mut machines = self.machines(now, nodes);
        let mut outside = Vec::new();
        for machine in machines.values().filter(|machine| !machine.is_member) {
            let name = &machine.group;
            groups.entry(name.clone()).or_insert_with(|| Group::gone(name));
            outside.push(machine.node.clone());
        }
        self.edits.apply(self.seen_at, &mut groups, &mut machines);
        self.memory.restore_marks(&mut groups);
        for group in groups.values_mut() {
            group.pin_revision = group.pin.and_then(|pin| self.revision(group, pin));
        }
        let nodes = nodes.iter().map(|(id, node)| ((*id).to_owned(), (*node).to_owned()));
        let (groups, machines) = (Arc::new(groups), Arc::new(machines));
        Picture { nodes: nodes.collect(), outside, groups, machines }
    }

    fn machines(
        &mut self,
        now: Timestamp,
        nodes: &BTreeMap<&str, &str>,
    ) -> BTreeMap<String, Machine> {
        let mut machines = BTreeMap::new();
        for (name, members) in &self.members {
            let Some(group) = self.groups.get(name) else { continue };
            for member in members {
                let id = &member.instance_id;
                let first_seen = *self.first_seen.entry(id.clone()).or_insert(now);
                let tagged = self.tagged.get(id);
                let detached = tagged.and_then(detach_mark);
                // It runs on: what is known of it is what EC2 says.
                if detached.is_some() && member.lifecycle_state == DETACHING {
                    continue;
                }
                let version = member.launch_template_version;
                let machine = Machine {
                    instance_id: id.clone(),
                    group: name.clone(),
                    detached,
                    is_member: true,
                    zone: member.availability_zone.clone(),
                    instance_type: member.instance_type.clone(),
                    stage: stage_of(&member.lifecycle_state),
                    unhealthy: self.unhealthy(member),
                    version,
                    revision: version.and_then(|version| self.revision(group, version)),
                    launched_at: tagged.and_then(|m| m.launched_at).or(Some(first_seen)),
                    node: nodes.get(id.as_str()).map(|node| (*node).to_owned()),
                    targets: self.targets_of(group, id),
                };
                machines.insert(id.clone(), machine);
            }
        }
        for outside in self.tagged.values() {
            if let Some(machine) = self.outside(outside, nodes) {
                machines.entry(machine.instance_id.clone()).or_insert(machine);
            }
        }
        machines
    }

    /// A machine that carries a detach mark and is in no group.
    fn outside(&self, found: &TaggedInstance, nodes: &BTreeMap<&str, &str>) -> Option<Machine> {
        let mark = detach_mark(found)?;
        let group = self.groups.get(&mark.group);
        let ends = matches!(found.state.as_str(), "shutting-down" | "stopping" | "stopped");
        if found.state == "terminated" {
            return None;
        }
        let revision = |version| group.and_then(|group| self.revision(group, version));
        Some(Machine {
            instance_id: found.instance_id.clone(),
            group: mark.group.clone(),
            detached: Some(mark),
            is_member: false,
            zone: found.availability_zone.clone(),
            instance_type: found.instance_type.clone(),
            stage: if ends { Stage::Leaving } else { Stage::Serving },
            unhealthy: None,
            version: found.version,
            revision: found.version.and_then(revision),
            launched_at: found.launched_at,
            node: nodes.get(found.instance_id.as_str()).map(|node| (*node).to_owned()),
            targets: None,
        })
    }

    fn unhealthy(&self, member: &Instance) -> Option<String> {
        if let Some(status) = self.statuses.get(&member.instance_id) {
            return Some(status.clone());
        }
        let is_unhealthy = member.health_status.eq_ignore_ascii_case("unhealthy");
        is_unhealthy.then(|| "Auto Scaling calls it unhealthy".to_owned())
    }

    fn revision(&self, group: &Group, version: u64) -> Option<String> {
        self.revisions.get(&group.launch_template_name)?.get(&version)?.clone()
    }

    fn targets_of(&self, group: &Group, id: &str) -> Option<BTreeMap<String, TargetState>> {
        if group.mark.is_none() || group.target_group_arns.is_empty() {
            return None;
        }
        let known = group.target_group_arns.iter().filter_map(|arn| {
            let state = self.targets.get(arn)?.get(id)?;
            Some((arn.clone(), *state))
        });
        Some(known.collect())
    }

    /// Evictions of pods that are gone are remembered no longer.
    fn forget_gone_pods(&mut self, view: Option<&KubeView>) {
        let Some(view) = view.filter(|_| !self.memory.evictions.is_empty()) else { return };
        let attempts = &mut self.memory.evictions;
        let mut there = BTreeSet::new();
        for pod in view.pods.values().flat_map(BTreeMap::values) {
            if attempts.contains_key(&pod.uid) {
                there.insert(pod.uid.clone());
            }
        }
        attempts.retain(|uid, _| there.contains(uid));
    }
}

/// The names of nodes by instance id.
fn nodes_by_instance(view: Option<&KubeView>) -> BTreeMap<&str, &str> {
    let nodes = view.into_iter().flat_map(|view| view.nodes.values());
    nodes.filter_map(|node| Some((node.instance_id.as_deref()?, node.name.as_str()))).collect()
}

fn detach_mark(found: &TaggedInstance) -> Option<DetachMark> {
    found.tags.get(DETACHED_TAG)?.parse().ok()
}

/// How a group calls a machine that is being taken out of it.
/// Source: Auto Scaling user guide, "Amazon EC2 Auto Scaling instance lifecycle".
const DETACHING: &str = "Detaching";

/// Source: Auto Scaling user guide, "Amazon EC2 Auto Scaling instance lifecycle".
pub(super) fn stage_of(lifecycle_state: &str) -> Stage {
    match lifecycle_state {
        "InService" => Stage::Serving,
        state if state.starts_with("Pending") || state.starts_with("Warmed") => Stage::Booting,
        state if state.starts_with("Terminat") || state == DETACHING || state == "Detached" => {
            Stage::Leaving
        }
        // Standby: somebody else has taken it out of service.
        _ => Stage::Serving,
    }
}
