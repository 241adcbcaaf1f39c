//! The rolling update: replaces every machine that is not what the plan wants, and nothing else.
//!
//! A loop of four steps: observe, [`decide()`], act, announce. Nothing is kept between turns that
//! cannot be read again: what a run has begun stands in the tags of groups ([`mark::RollMark`]) and
//! machines ([`mark::DetachMark`]), in taints and annotations of nodes ([`mark`]), in one object of
//! the state bucket with the baseline, and, where every machine is to go, in one that says since when
//! ([`forced`]). So a run that was killed is finished by the next one with
//! the same code, on any machine.
//!
//! The life of a machine that is replaced:
//!
//! ```text
//!   outdated --taint--> marked --(surge: tag, detach)--> detached
//!                          |                                |
//!                          +------------ cordon ------------+
//!                                          |
//!                                       draining --evict, deregister--> drained
//!                                                                          |
//!        gone <--delete node-- leaving <--terminate (the group launches another)
//!
//!   newcomer: booting --joins--> joined --ready, gate, soak--> validated
//! ```
//!
//! `kprod rolling-update`, `apply --roll`, `repair`, `rehearse` and `simulate` all run this one loop.

pub mod decide;
pub mod decision;
pub mod driver;
pub mod estimate;
pub mod forced;
pub mod mark;
pub mod members;
mod memory;
mod note;
pub mod observation;
pub mod pause;
pub mod policy;
pub mod preview;
pub mod status;
pub mod undo;

pub use crate::cloud::TargetState;
pub use crate::etcd::MemberFact;
pub use decide::decide;
pub use decision::{
    Decision, GroupProgress, HaltReason, MachineReason, Phase, Progress, Step, Verdict, WaitReason,
    Waiting,
};
pub use forced::Forced;
pub use observation::{
    Baseline, EvictionAnswer, EvictionAttempt, Group, Machine, Memory, Observation, Pause, Spell,
    Stage, Target,
};
pub use policy::{
    ClusterPolicy, DrainOutcome, GroupPolicy, Policy, RepairPolicy, Retire, RolloutRole,
};
pub use preview::{Preview, PreviewGroup, PreviewMachine, Slots, anticipate};
pub use status::Status;
pub use undo::Undo;
