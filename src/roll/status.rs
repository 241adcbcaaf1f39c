//! How a cluster's machines stand at this moment, for whoever looks from outside of a run.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::decide::{Availability, Scene};
use super::{
    Decision, GroupProgress, HaltReason, MachineReason, Observation, Pause, Policy, Verdict,
};

/// A cluster's machines at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The cluster.
    pub cluster: String,
    /// When groups and machines were read.
    pub observed_at: Timestamp,
    /// The roll that is under way, or that did not end.
    pub roll: Option<RollStatus>,
    /// Groups in rolling order.
    pub groups: Vec<GroupProgress>,
    /// Revisions that an automatic rollback left behind, by group.
    pub failed: BTreeMap<String, String>,
    /// Machines that do not serve though nothing was begun with them.
    pub broken: Vec<BrokenMachine>,
    /// Why a roll would halt.
    pub halts: Vec<HaltReason>,
    /// Somebody asked rolls to pause.
    pub paused: Option<Pause>,
}

/// A roll that left its marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollStatus {
    /// Its id.
    pub id: String,
    /// When it began with the first of its groups.
    pub began_at: Timestamp,
    /// Groups that it works on.
    pub groups: Vec<String>,
}

/// A machine that does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenMachine {
    /// Its instance id.
    pub instance_id: String,
    /// Its group.
    pub group: String,
    /// What is wrong with it.
    pub why: String,
}

impl Status {
    /// From a look, and what is decided on it.
    pub fn of(observation: &Observation, policy: &Policy, decision: &Decision) -> Self {
        let failed = observation.groups.values().filter_map(|group| {
            let failed = group.failed.clone()?;
            Some((group.name.clone(), failed))
        });
        let halts = match &decision.verdict {
            Verdict::Halted(reasons) => reasons.clone(),
            Verdict::Act(_) | Verdict::Wait(_) | Verdict::Done => Vec::new(),
        };
        Self {
            cluster: observation.cluster.clone(),
            observed_at: observation.cloud_seen_at,
            roll: roll(observation),
            groups: decision.progress.groups.clone(),
            failed: failed.collect(),
            broken: broken(observation, policy),
            halts,
            paused: observation.paused.clone(),
        }
    }

    /// Whether all is as wanted and nothing goes on.
    pub fn is_quiet(&self) -> bool {
        let is_done = |group: &GroupProgress| group.outdated.is_empty() && group.in_work.is_empty();
        self.roll.is_none()
            && self.failed.is_empty()
            && self.broken.is_empty()
            && self.halts.is_empty()
            && self.paused.is_none()
            && self.groups.iter().all(is_done)
    }
}

/// What the marks on groups and machines tell of a roll.
fn roll(observation: &Observation) -> Option<RollStatus> {
    let marked =
        observation.groups.values().filter_map(|group| Some((group, group.mark.as_ref()?)));
    let (_, first) = marked.clone().min_by_key(|(_, mark)| mark.began_at)?;
    Some(RollStatus {
        id: first.id.clone(),
        began_at: first.began_at,
        groups: marked.map(|(group, _)| group.name.clone()).collect(),
    })
}

fn broken(observation: &Observation, policy: &Policy) -> Vec<BrokenMachine> {
    let scene = Scene::of(observation, policy);
    let mut found = Vec::new();
    for (group, m) in scene.machines() {
        let told = m.reasons.iter().find_map(|reason| match reason {
            MachineReason::Unhealthy { why } => Some(why.clone()),
            _ => None,
        });
        let why = match m.availability {
            Availability::Overdue => Some("it did not come up in time".to_owned()),
            Availability::Unready => {
                let ready = m.node.and_then(|node| node.conditions.get("Ready"));
                let of_node = ready.map(|ready| {
                    format!("its node is not ready since {}: {}", ready.since, ready.message)
                });
                m.machine.unhealthy.clone().or(of_node).or(Some("it does not serve".to_owned()))
            }
            _ => None,
        };
        if let Some(why) = told.or(why) {
            let (instance_id, group) = (m.id().to_owned(), group.name().to_owned());
            found.push(BrokenMachine { instance_id, group, why });
        }
    }
    found
}
