//! What a decision looks at: groups, machines, nodes, members, joined and with the time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::decision::HaltReason;
use super::forced::Forced;
use super::mark::{DetachMark, RollMark};
pub use crate::cloud::TargetState;
use crate::etcd::Facts;
use crate::kube::{KubeView, PodId};
use crate::resource::MixedInstancesPolicy;

/// One look at a cluster's machines.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Now, on the cloud's clock.
    pub now: Timestamp,
    /// When this run began. A limit that an earlier run has used up begins anew.
    pub run_started_at: Timestamp,
    /// The cluster.
    pub cluster: String,
    /// The roll's id: that of an unfinished roll, or this run's.
    pub id: String,
    /// When groups and machines were read.
    pub cloud_seen_at: Timestamp,
    /// Groups by ASG name: the cluster's own.
    pub groups: Arc<BTreeMap<String, Group>>,
    /// Machines by instance id: members of these groups, and those that carry a detach mark.
    pub machines: Arc<BTreeMap<String, Machine>>,
    /// The cluster; none where Kubernetes is left out.
    pub kube: Option<Arc<KubeView>>,
    /// What etcd's members report, by etcd cluster and member; a member without a report is absent.
    pub members: Arc<Facts>,
    /// What the API server says is not ready, where it was asked.
    pub api_unready: Option<String>,
    /// The cluster before the roll's first step.
    pub baseline: Arc<Baseline>,
    /// What this run remembers of its own doing; a run that goes on from another one begins empty.
    pub memory: Memory,
    /// Somebody asked the roll to pause.
    pub paused: Option<Pause>,
    /// The roll that is to replace every machine and that no run has brought to its end; read where that
    /// matters.
    pub forced: Option<Arc<Forced>>,
}

impl Observation {
    /// The id of the roll that an earlier run began and did not end, by the notes on groups; the newest of
    /// several.
    pub fn unfinished(&self) -> Option<&str> {
        self.groups.values().filter_map(|group| Some(group.mark.as_ref()?.id.as_str())).max()
    }

    /// Whether a group has a machine that does not end.
    pub fn keeps(&self, group: &str, instance_id: &str) -> bool {
        let machine = self.machines.get(instance_id);
        machine.is_some_and(|machine| machine.group == group && machine.stage != Stage::Leaving)
    }
}

/// A group.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its launch template's name.
    pub launch_template_name: String,
    /// Several instance types: AWS takes a pin only together with them.
    pub mixed_instances_policy: Option<MixedInstancesPolicy>,
    /// Machines that it should have.
    pub desired: i32,
    /// Fewest.
    pub min: i32,
    /// Most.
    pub max: i32,
    /// The version that new machines get; none for `$Latest` or `$Default`.
    pub pin: Option<u64>,
    /// The revision of that version, where it is known.
    pub pin_revision: Option<String>,
    /// Where the group should go.
    pub target: Option<Target>,
    /// The revision that an automatic rollback left behind.
    pub failed: Option<String>,
    /// What a roll has noted.
    pub mark: Option<RollMark>,
    /// Whether somebody took that note off since this run has seen it.
    pub is_unmarked: bool,
    /// Processes that are suspended.
    pub suspended: BTreeSet<String>,
    /// Target groups that its machines are registered with.
    pub target_group_arns: BTreeSet<String>,
    /// What its newest failed launch says, while it is short of machines.
    pub failed_activity: Option<String>,
    /// When its launches ended whose hook nobody completed, while it is short of machines and none has
    /// worked since; newest first.
    pub abandoned_at: Vec<Timestamp>,
    /// Whether that is the machines' own fault, and not that AWS has none to give.
    pub is_machines_fault: bool,
    /// What helps against it, where a launch failed.
    pub way_out: Option<&'static str>,
    /// Whether somebody removed it while machines of it stood outside.
    pub is_gone: bool,
}

impl Group {
    /// A group that somebody removed while machines of it stood outside.
    pub fn gone(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            launch_template_name: String::new(),
            mixed_instances_policy: None,
            desired: 0,
            min: 0,
            max: 0,
            pin: None,
            pin_revision: None,
            target: None,
            failed: None,
            mark: None,
            is_unmarked: false,
            suspended: BTreeSet::new(),
            target_group_arns: BTreeSet::new(),
            failed_activity: None,
            abandoned_at: Vec::new(),
            is_gone: true,
            is_machines_fault: false,
            way_out: None,
        }
    }
}

/// Where a group should go: the tag [`crate::resource::TARGET_TAG`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The template version.
    pub version: u64,
    /// Its revision.
    pub revision: String,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its instance id.
    pub instance_id: String,
    /// The group it is in, or was in before it was detached.
    pub group: String,
    /// The mark of one that was, or is about to be, taken out of its group.
    pub detached: Option<DetachMark>,
    /// Whether the group counts it.
    pub is_member: bool,
    /// Its zone.
    pub zone: String,
    /// Its type.
    pub instance_type: String,
    /// Where it is in its life.
    pub stage: Stage,
    /// Why the cloud calls it unhealthy, if it does.
    pub unhealthy: Option<String>,
    /// The template version it was launched from; none for one that was attached by hand.
    pub version: Option<u64>,
    /// That version's revision; none where it is not known.
    pub revision: Option<String>,
    /// When it was launched; none where it was not read.
    pub launched_at: Option<Timestamp>,
    /// The name of its node.
    pub node: Option<String>,
    /// What load balancers do with it, by target group, those it is registered with; none where it
    /// was not asked.
    pub targets: Option<BTreeMap<String, TargetState>>,
}

/// Where a machine is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// It boots, or its launch hook waits.
    Booting,
    /// It is in service, or runs detached.
    Serving,
    /// It ends.
    Leaving,
}

/// A cluster before the first step of a roll: what was wrong then is not held against it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Pods that were not ready, counted by their owner (`namespace/Kind/name`).
    pub unready_pods: BTreeMap<String, u32>,
    /// Budgets whose pods were too few.
    pub short_budgets: BTreeSet<PodId>,
    /// Whether the API server said that it was not ready.
    pub api_unready: bool,
}

/// A cordon that this run has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnCordon {
    /// When the drain began.
    pub at: Timestamp,
    /// When it was answered, or seen. One without an answer may be there: its machine counts as away for as
    /// long as nobody knows, and the cordon is asked for again before anything is moved off.
    pub known_at: Option<Timestamp>,
}

/// What a run remembers between its turns, and can do without: lost, its limits begin anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Evictions that were asked for, by the pod's uid.
    pub evictions: BTreeMap<String, EvictionAttempt>,
    /// Nodes that this run has cordoned, by name: a watch may be late to show it.
    pub cordoned: BTreeMap<String, OwnCordon>,
    /// Nodes whose cordon this run has asked to be taken off, by name, until that shows: what a watch that
    /// is late says of them is not so.
    pub uncordoned: BTreeSet<String>,
    /// Since when a machine has been drained, by instance id.
    pub drained_since: BTreeMap<String, Timestamp>,
    /// Since when a group has waited for one more new machine, by group and how many there were.
    pub lacking_since: BTreeMap<String, Spell>,
    /// Since when a machine has been ending, by instance id.
    pub leaving_since: BTreeMap<String, Spell>,
    /// Since when the quorum guard has said no, and let no machine go.
    pub refused_since: Option<Spell>,
    /// Since when nothing has been under way.
    pub stuck_since: Option<Timestamp>,
    /// Since when an object has been worse than in the baseline.
    pub regressed_since: BTreeMap<String, Spell>,
    /// Since when a budget has looked as if it never allowed an eviction.
    pub closed_since: BTreeMap<PodId, Spell>,
    /// New machines that were given up, by group.
    pub given_up: BTreeMap<String, u32>,
    /// Machines that were begun with, by instance id.
    pub begun: BTreeSet<String>,
    /// Machines whose nodes have been ready, of those that are there: without its node such a one is not new.
    pub joined: BTreeSet<String>,
    /// Machines that are left for a later roll, by instance id, and why: a drain that took too long.
    pub skipped: BTreeMap<String, HaltReason>,
    /// Machines that were to end together with their place, and that end for another reason: AWS said that
    /// their group goes on wanting as many.
    pub places_kept: BTreeSet<String>,
    /// Groups that this run has seen and that somebody deleted since.
    pub deleted: BTreeSet<String>,
    /// What the notes on groups said last, by group: somebody may take one off.
    pub marks: BTreeMap<String, RollMark>,
    /// Why nothing new begins any more, each once.
    pub halts: Vec<HaltReason>,
}

/// A time in which something was so at every look, or nearly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spell {
    /// When it was seen first.
    pub since: Timestamp,
    /// When it was seen last.
    pub seen_at: Timestamp,
}

/// A pod's end that was asked for: its eviction, or its deletion once the time for that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvictionAttempt {
    /// When.
    pub at: Timestamp,
    /// How often so far.
    pub count: u32,
    /// When its deletion was asked for first; none while it is evicted.
    pub deleting_since: Option<Timestamp>,
    /// What the API server said.
    pub answer: EvictionAnswer,
}

/// What an API server says to an eviction, or to a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvictionAnswer {
    /// The pod is on its way out.
    Accepted,
    /// A budget does not allow it now (429); when to come back, if it says.
    NotNow { message: String, retry_after_secs: Option<u64> },
    /// It failed: 500 for a pod with two budgets, or anything else.
    Failed { message: String },
}

/// A wish to pause: an object of the state bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who asked.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub why: String,
}
