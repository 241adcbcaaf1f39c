//! What a decision says: steps, and for what it waits, or why it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::mark::{DetachMark, RollMark};
use crate::kube::PodId;

/// One turn's decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What to do now.
    pub verdict: Verdict,
    /// How each group stands, by ASG name; for people.
    pub progress: Progress,
    /// Why nothing new begins, if so; what was begun may still have its time.
    pub halts: Vec<HaltReason>,
    /// Whether nothing is under way that ends by itself or by its own deadline.
    pub is_stuck: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Make these steps, in this order; then look again.
    Act(Vec<Step>),
    /// Nothing can be done before something changes.
    Wait(Vec<Waiting>),
    /// Nothing more is done: somebody has to look. All that could be undone is.
    Halted(Vec<HaltReason>),
    /// Every machine is as wanted, and no mark is left; what this run has left for a later roll is not as
    /// wanted.
    Done,
}

/// How a roll stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// By ASG name, in the order in which they are rolled.
    pub groups: Vec<GroupProgress>,
}

/// How a group stands.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupProgress {
    /// Its name.
    pub group: String,
    /// Machines that are as wanted and count.
    pub done: usize,
    /// Machines to replace that nothing was begun with, and why.
    pub outdated: BTreeMap<String, Vec<MachineReason>>,
    /// Machines that are worked on, and how far that is.
    pub in_work: BTreeMap<String, Phase>,
    /// Machines that this run leaves as they are, and why: a drain that took too long.
    pub skipped: BTreeMap<String, String>,
    /// What the group waits for.
    pub waiting: Vec<Waiting>,
}

/// How far the work on a machine is. One that goes is in one of the first three, one that comes in
/// one of the last two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It was taken out of its group and serves on until its replacement does.
    Detached,
    /// Pods leave it, and load balancers let it go.
    Draining,
    /// It ends.
    Leaving,
    /// It is launched; its node is not ready yet.
    Booting,
    /// Its node is ready and has to stay so before it counts.
    Soaking,
}

impl Phase {
    /// Whether the machine goes; otherwise it comes.
    pub fn is_going(self) -> bool {
        matches!(self, Phase::Detached | Phase::Draining | Phase::Leaving)
    }
}

/// Why a machine is replaced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineReason {
    /// It was built from another revision than the group's target.
    Revision { runs: String, target: String },
    /// It was attached by hand: nobody knows what it was built from.
    Unknown,
    /// Its group goes, or gets smaller, or leaves its zone.
    Retired { why: String },
    /// It stands outside its group, left by a roll.
    Detached,
    /// The cloud or Kubernetes calls it broken.
    Unhealthy { why: String },
    /// It is older than its group allows.
    Age { hours: u64, hours_max: u64 },
    /// `--force`.
    Forced,
    /// Somebody asked for it by annotation.
    Annotated { annotation: String },
}

/// Something that is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The group it is about.
    pub group: String,
    /// The machine, if it is about one.
    pub machine: Option<String>,
    /// For what.
    pub reason: WaitReason,
    /// When it ends the wait by itself, and what happens then is declared in the policy; none for
    /// what waits for others' limits.
    pub deadline: Option<Timestamp>,
}

/// For what a roll waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// Pods to leave a node: how many, and the first that a budget holds with that budget.
    Pods { left: usize, held: Option<(PodId, String)> },
    /// Load balancers to let a machine go.
    Deregistration,
    /// The pause after a drain.
    PostDrain,
    /// A machine to end.
    Termination,
    /// New machines: how many of how many are there.
    Machines { have: usize, want: usize, failed_activity: Option<String> },
    /// A new machine to be ready: its node, or where it has none the machine itself.
    Node,
    /// A new machine to stay ready for long enough, or a canary to be watched.
    Soak,
    /// A regression against the baseline to pass.
    Regression { object: String, what: String },
    /// The quorum guard: who is not well.
    Quorum { why: String },
    /// A limit: so many are missing in the group, the zone or the cluster already.
    Limit { what: String },
    /// Groups that go first.
    Turn { of: String },
    /// A pause that somebody asked for.
    Paused { by: String, why: String },
}

/// Why a roll halts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltReason {
    /// The group it is about, if it is about one.
    pub group: Option<String>,
    /// The object: a pod, a budget, a machine, a member.
    pub object: String,
    /// What is wrong with it: a fragment without a stop.
    pub message: String,
    /// The way out.
    pub way_out: String,
}

/// One thing to do. Each is safe to do twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Notes on a group that a roll works on it.
    Mark { group: String, mark: RollMark },
    /// Takes the note away.
    Unmark { group: String },
    /// Suspends processes that would get in the way.
    Suspend { group: String, processes: BTreeSet<String> },
    /// Resumes what this roll suspended.
    Resume { group: String, processes: BTreeSet<String> },
    /// Moves the version that new machines get.
    Pin { group: String, version: u64 },
    /// Notes the revision that failed on a group whose pin goes back.
    MarkFailed { group: String, revision: String },
    /// Sets the desired capacity, which has to be `from` still.
    SetDesired { group: String, from: i32, to: i32 },
    /// Lowers the minimum of a group that gets smaller.
    LowerMinimum { group: String, to: i32 },
    /// Notes on machines that they leave their group.
    MarkDetached { mark: DetachMark, machines: BTreeSet<String> },
    /// Takes machines out of their group, which launches others.
    Detach { group: String, machines: BTreeSet<String> },
    /// Takes a machine out of load balancers.
    Deregister { machine: String, target_group_arns: BTreeSet<String> },
    /// Puts a machine back into load balancers.
    Register { machine: String, target_group_arns: BTreeSet<String> },
    /// Ends machines of a group, which launches others, or shrinks by them.
    Terminate { group: String, machines: BTreeSet<String>, shrink: bool },
    /// Ends new machines that did not come up; their group launches others.
    GiveUp { group: String, machines: BTreeSet<String> },
    /// Takes the note of a detached machine off members that stay.
    UnmarkDetached { machines: BTreeSet<String> },
    /// Takes the note of a failed revision away, since somebody asked to try it again.
    ClearFailed { group: String },
    /// Ends machines that no group has.
    TerminateDetached { machines: BTreeSet<String> },
    /// Taints nodes that will be replaced.
    Taint { nodes: BTreeSet<String> },
    /// Begins with a machine: cordons its node and notes when, and whether somebody had cordoned it
    /// before. The same anew where somebody took that off. Of one that took no work nobody asked whether
    /// it may be missed: it is let be when it is back by then.
    Cordon { machine: String, node: String, at: Timestamp, was_cordoned: bool, if_away: bool },
    /// Takes every mark of a roll off a node; uncordons it if a roll cordoned it.
    Release { node: String, uncordon: bool },
    /// The same for a machine that is left for a later roll, and why: its drain took too long.
    Skip { machine: String, node: String, uncordon: bool, why: HaltReason },
    /// Keeps the autoscaler from a newcomer.
    Protect { node: String },
    /// Asks for evictions.
    Evict { node: String, pods: Vec<PodStep> },
    /// Deletes pods whatever budgets say: bare ones that the policy gives up, or after a deadline.
    DeletePods { node: String, pods: Vec<PodStep> },
    /// Removes the object of a node whose machine is gone.
    DeleteNode { node: String, uid: String },
}

/// One pod of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodStep {
    /// Which.
    pub pod: PodId,
    /// The very one.
    pub uid: String,
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitReason::Pods { left, held: None } => write!(f, "{left} pods to leave"),
            WaitReason::Pods { left, held: Some((pod, why)) } => {
                write!(f, "{left} pods to leave; {pod} is held: {why}")
            }
            WaitReason::Deregistration => write!(f, "load balancers to let it go"),
            WaitReason::PostDrain => write!(f, "the pause after its drain"),
            WaitReason::Termination => write!(f, "it to end"),
            WaitReason::Machines { have, want, failed_activity } => {
                write!(f, "machines: {have} of {want} are there")?;
                failed_activity.iter().try_for_each(|why| write!(f, "; {why}"))
            }
            WaitReason::Node => write!(f, "it to be ready"),
            WaitReason::Soak => write!(f, "it to stay ready for long enough"),
            WaitReason::Regression { object, what } => write!(f, "{object}, which {what}"),
            WaitReason::Quorum { why } => write!(f, "the quorum guard: {why}"),
            WaitReason::Limit { what } => write!(f, "its turn: {what}"),
            WaitReason::Turn { of } => write!(f, "{of}, which goes first"),
            WaitReason::Paused { by, why } => write!(f, "the pause that {by} asked for: {why}"),
        }
    }
}

impl Step {
    /// The group it is about, if it names one.
    pub fn group(&self) -> Option<&str> {
        match self {
            Step::Mark { group, .. }
            | Step::Unmark { group }
            | Step::Suspend { group, .. }
            | Step::Resume { group, .. }
            | Step::Pin { group, .. }
            | Step::MarkFailed { group, .. }
            | Step::ClearFailed { group }
            | Step::SetDesired { group, .. }
            | Step::LowerMinimum { group, .. }
            | Step::Detach { group, .. }
            | Step::Terminate { group, .. }
            | Step::GiveUp { group, .. } => Some(group),
            Step::MarkDetached { mark, .. } => Some(&mark.group),
            _ => None,
        }
    }

    /// Whether it changes something in AWS, and not in Kubernetes.
    pub fn is_cloud(&self) -> bool {
        match self {
            Step::Mark { .. }
            | Step::Unmark { .. }
            | Step::Suspend { .. }
            | Step::Resume { .. }
            | Step::Pin { .. }
            | Step::MarkFailed { .. }
            | Step::SetDesired { .. }
            | Step::LowerMinimum { .. }
            | Step::MarkDetached { .. }
            | Step::Detach { .. }
            | Step::Deregister { .. }
            | Step::Register { .. }
            | Step::Terminate { .. }
            | Step::GiveUp { .. }
            | Step::UnmarkDetached { .. }
            | Step::ClearFailed { .. }
            | Step::TerminateDetached { .. } => true,
            Step::Taint { .. }
            | Step::Cordon { .. }
            | Step::Release { .. }
            | Step::Skip { .. }
            | Step::Protect { .. }
            | Step::Evict { .. }
            | Step::DeletePods { .. }
            | Step::DeleteNode { .. } => false,
        }
    }
}
