//! Everything the engines may announce. `ui` is the only one that prints it.

use crate::plan::Action;
use crate::resource::Key;
use crate::roll::{HaltReason, Progress, Step};

/// One announcement. Its JSON form (`--events jsonl`) is `ui::progress`'s.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The lease is ours until its end.
    LeaseTaken { holder: String, expires_at: String },
    /// The run before this one was killed; what it began is looked at again.
    PreviousRunUnfinished { run: String, holder: String, started_at: String, unfinished: Vec<Key> },
    /// The run starts on a plan.
    ApplyStarted { cluster: String, changes: usize, waves: usize },
    /// A wave of changes that do not depend on each other starts.
    WaveStarted { wave: usize, waves: usize, changes: usize },
    /// A change starts.
    ChangeStarted { address: Key, action: Action },
    /// One API call of a change was made.
    CallMade { address: Key, operation: String },
    /// A call failed and is tried again; a read of the world is for no address.
    Retrying { address: Option<Key>, operation: String, attempt: u32, wait_ms: u64, why: String },
    /// A change is done: AWS answered. The run ends only when it is seen, too.
    ChangeDone { address: Key, action: Action, elapsed_ms: u64 },
    /// A change found the world as wanted already.
    ChangeAlreadyDone { address: Key },
    /// A change failed.
    ChangeFailed { address: Key, action: Action, why: String },
    /// A change was not begun because one it depends on failed, or the run stops.
    ChangeSkipped { address: Key, why: String },
    /// Something is waited for, at most until the deadline.
    Waiting { address: Option<Key>, what: String, deadline: String },
    /// The user asked to stop: calls in flight finish, nothing new begins.
    Stopping,
    /// What a rolling update does.
    Roll(RollEvent),
    /// The run is over.
    ApplyFinished { done: usize, failed: usize, skipped: usize, elapsed_ms: u64 },
}

/// One announcement of a rolling update.
#[derive(Clone, Debug, PartialEq)]
pub enum RollEvent {
    /// It begins, or goes on with what an earlier run began; or that is all put back (`aborts`).
    Started { cluster: String, roll: String, resumed: bool, aborts: bool, machines: usize },
    /// A step was made.
    Step { step: Box<Step> },
    /// A step failed; what comes next is decided anew.
    StepFailed { step: Box<Step>, why: String },
    /// How the groups stand, whenever that changes and at least once a minute; when it may be over,
    /// RFC 3339.
    Progress { progress: Box<Progress>, eta: Option<String> },
    /// It stops; somebody has to look.
    Halted { reasons: Vec<HaltReason> },
    /// It is over.
    Finished { replaced: usize, elapsed_ms: u64 },
}
