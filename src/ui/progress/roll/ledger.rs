//! What a roll's events have told so far: the state behind lines, live view and summary.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::put_back::PutBack;
use crate::event::RollEvent;
use crate::roll::{GroupProgress, HaltReason, Phase, Progress, Step, WaitReason, Waiting};
use crate::ui::roll::{between, is_pause, is_telling, is_watch, wait_word};

/// A roll so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    /// The cluster.
    pub(super) cluster: String,
    /// Whether nothing is replaced and all is put back.
    pub(super) aborts: bool,
    /// What was put back, and which machines were ended.
    pub(super) put_back: PutBack,
    /// When this run began.
    pub(super) started_at: Option<Timestamp>,
    /// The newest moment told of.
    pub(super) now: Option<Timestamp>,
    /// When it may be over, RFC 3339.
    pub(super) eta: Option<String>,
    /// Groups in rolling order.
    pub(super) groups: Vec<GroupLedger>,
    /// Pods that were asked to leave, by uid.
    pub(super) evicted: BTreeSet<String>,
    /// Pods that were deleted whatever their budgets say, by uid.
    pub(super) deleted: BTreeSet<String>,
    /// Waits by what they are about, those that are over included.
    pub(super) waits: BTreeMap<WaitKey, WaitLedger>,
    /// Why it stopped, if it did.
    pub(super) halted: Vec<HaltReason>,
    /// Machines replaced, once it is over.
    pub(super) replaced: Option<usize>,
}

/// A group so far.
#[derive(Clone, Debug)]
pub(super) struct GroupLedger {
    /// How it stands.
    pub(super) progress: GroupProgress,
    /// Machines that went.
    pub(super) gone: usize,
    /// When work on it began, or was first seen.
    pub(super) began_at: Option<Timestamp>,
    /// When the roll was done with it.
    pub(super) ended_at: Option<Timestamp>,
    /// Since when each machine is worked on, and how far it was told to be.
    since: BTreeMap<String, (Timestamp, Phase)>,
}

/// A wait is worth a line of its own when it lasts so long: what is over sooner is everyday business.
const LATE: Duration = Duration::from_secs(60);

/// What a wait is about; counts and deadlines may move while it goes on.
pub(super) type WaitKey = (String, Option<String>, &'static str, String);

/// A wait.
#[derive(Clone, Debug)]
pub(super) struct WaitLedger {
    /// As it was told last.
    pub(super) waiting: Waiting,
    /// When it began; none while it is over.
    since: Option<Timestamp>,
    /// How long it took, each time added.
    pub(super) lasted: Duration,
    /// Whether it was told.
    is_told: bool,
}

/// Something worth a line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    /// Work on a group begins.
    GroupBegins { group: String, machines: usize },
    /// A machine got further.
    Machine { group: String, machine: String, what: Turn },
    /// A wait begins.
    Waits(Waiting),
    /// A group is done, or as far as was asked for: so many machines are left.
    GroupEnds { group: String, gone: usize, left: usize, took: Duration },
    /// A group is put back, so long after the abort began.
    GroupIsBack { group: String, took: Duration },
}

/// What happened to a machine.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Turn {
    /// It is so far now; for what it waits there.
    Phase(Phase, Vec<Waiting>),
    /// An old one is gone.
    Gone(Duration),
    /// A new one counts.
    Validated(Duration),
    /// A new one was lost before it counted.
    Lost,
    /// An old one stays after all, since all is put back.
    Stays,
    /// It stays as it is.
    Skipped(String),
}

impl Ledger {
    /// Notes an event, and gives what of it is worth a line.
    pub(super) fn take(&mut self, now: Timestamp, event: &RollEvent) -> Vec<Told> {
        self.now = Some(now);
        let mut told = self.note(now, event);
        told.extend(self.late_waits(now));
        told
    }

    fn note(&mut self, now: Timestamp, event: &RollEvent) -> Vec<Told> {
        match event {
            RollEvent::Started { cluster, aborts, .. } => {
                self.cluster.clone_from(cluster);
                self.aborts = *aborts;
                self.started_at = Some(now);
                Vec::new()
            }
            RollEvent::Step { step } => self.note_step(now, step).into_iter().collect(),
            RollEvent::StepFailed { .. } => Vec::new(),
            RollEvent::Progress { progress, eta } => {
                self.eta.clone_from(eta);
                self.follow(now, progress)
            }
            RollEvent::Halted { reasons } => {
                self.halted.clone_from(reasons);
                Vec::new()
            }
            RollEvent::Finished { replaced, .. } => {
                self.replaced = Some(*replaced);
                Vec::new()
            }
        }
    }

    fn note_step(&mut self, now: Timestamp, step: &Step) -> Option<Told> {
        self.put_back.note(step);
        match step {
            Step::Unmark { group } if self.aborts => {
                return Some(Told::GroupIsBack { group: group.clone(), took: self.elapsed() });
            }
            // The mark goes when the roll is done with a group.
            Step::Unmark { group } => {
                let mut groups = self.groups.iter_mut();
                return groups.find(|known| known.progress.group == *group)?.end(now);
            }
            Step::Evict { pods, .. } => self.evicted.extend(pods.iter().map(|pod| pod.uid.clone())),
            Step::DeletePods { pods, .. } => {
                self.deleted.extend(pods.iter().map(|pod| pod.uid.clone()));
            }
            _ => {}
        }
        None
    }

    fn follow(&mut self, now: Timestamp, progress: &Progress) -> Vec<Told> {
        self.follow_waits(now, progress);
        let mut told = Vec::new();
        for group in &progress.groups {
            let index = self.index(group);
            told.extend(self.groups[index].follow(now, group, self.aborts, &self.put_back));
        }
        // What a machine's own line has told is not told again.
        for event in &told {
            let Told::Machine { what: Turn::Phase(_, waits), .. } = event else { continue };
            for waiting in waits {
                if let Some(wait) = self.waits.get_mut(&wait_key(waiting)) {
                    wait.is_told = true;
                }
            }
        }
        told
    }

    /// Waits that have become worth a line: those that last, and at once a pause, and canaries that are
    /// watched for long.
    fn late_waits(&mut self, now: Timestamp) -> Vec<Told> {
        let mut told = Vec::new();
        let goes_on = |wait: &WaitLedger| wait.is_told && wait.since.is_some();
        // One pause is for all groups.
        let mut knows_pause =
            self.waits.values().any(|wait| goes_on(wait) && is_pause(&wait.waiting));
        for wait in self.waits.values_mut().filter(|wait| !wait.is_told) {
            let Some(since) = wait.since else { continue };
            let is_pause = is_pause(&wait.waiting);
            let until = wait.waiting.deadline.filter(|_| is_watch(&wait.waiting));
            let will_last = until.is_some_and(|until| between(now, until) >= LATE);
            let is_late = is_pause || will_last || between(since, now) >= LATE;
            if is_telling(&wait.waiting) && is_late {
                wait.is_told = true;
                if is_pause && std::mem::replace(&mut knows_pause, true) {
                    continue;
                }
                told.push(Told::Waits(wait.waiting.clone()));
            }
        }
        told
    }

    /// Where a group is; one that is new is added.
    fn index(&mut self, progress: &GroupProgress) -> usize {
        let known = self.groups.iter().position(|group| group.progress.group == progress.group);
        known.unwrap_or_else(|| {
            self.groups.push(GroupLedger::new(progress));
            self.groups.len() - 1
        })
    }

    /// Notes which waits begin, go on, and are over.
    fn follow_waits(&mut self, now: Timestamp, progress: &Progress) {
        let current: BTreeMap<WaitKey, &Waiting> = progress
            .groups
            .iter()
            .flat_map(|group| &group.waiting)
            .map(|waiting| (wait_key(waiting), waiting))
            .collect();
        for (key, wait) in &mut self.waits {
            if let Some(since) = wait.since.filter(|_| !current.contains_key(key)) {
                wait.lasted += between(since, now);
                wait.since = None;
            }
        }
        for (key, waiting) in current {
            let known = self.waits.entry(key).or_insert_with(|| WaitLedger {
                waiting: waiting.clone(),
                since: None,
                lasted: Duration::ZERO,
                is_told: false,
            });
            known.waiting = waiting.clone();
            known.since.get_or_insert(now);
        }
    }

    /// How long each wait took until now, the longest first.
    pub(super) fn longest_waits(&self) -> Vec<(&Waiting, Duration)> {
        let now = self.now.unwrap_or_default();
        let lasted = |wait: &WaitLedger| {
            wait.lasted + wait.since.map_or(Duration::ZERO, |since| between(since, now))
        };
        let mut waits: Vec<(&Waiting, Duration)> =
            self.waits.values().map(|wait| (&wait.waiting, lasted(wait))).collect();
        waits.sort_by_key(|(_, lasted)| std::cmp::Reverse(*lasted));
        waits
    }

    /// How long this run has been going on.
    pub(super) fn elapsed(&self) -> Duration {
        self.started_at.zip(self.now).map_or(Duration::ZERO, |(from, to)| between(from, to))
    }
}

impl GroupLedger {
    fn new(progress: &GroupProgress) -> Self {
        let (group, done) = (progress.group.clone(), progress.done);
        let progress = GroupProgress {
            group,
            done,
            outdated: progress.outdated.clone(),
            in_work: BTreeMap::new(),
            skipped: BTreeMap::new(),
            waiting: Vec::new(),
        };
        Self { progress, gone: 0, began_at: None, ended_at: None, since: BTreeMap::new() }
    }

    /// Machines that are there to be replaced, or were.
    pub(super) fn total(&self) -> usize {
        let going = self.progress.in_work.values().filter(|phase| phase.is_going()).count();
        self.gone + going + self.progress.outdated.len()
    }

    /// The roll is done with the group.
    fn end(&mut self, now: Timestamp) -> Option<Told> {
        let began_at = self.began_at?;
        self.ended_at = Some(now);
        let group = self.progress.group.clone();
        let left = self.progress.outdated.len();
        Some(Told::GroupEnds { group, gone: self.gone, left, took: between(began_at, now) })
    }

    /// Notes how the group stands, and gives what is worth a line.
    fn follow(
        &mut self,
        now: Timestamp,
        next: &GroupProgress,
        aborts: bool,
        put_back: &PutBack,
    ) -> Vec<Told> {
        let mut told = Vec::new();
        let group = &next.group;
        let going = next.in_work.values().filter(|phase| phase.is_going()).count();
        let machines = next.outdated.len() + going;
        // Machines that come without others that go are not this roll's doing.
        if self.began_at.is_none() && !next.in_work.is_empty() && machines > 0 {
            self.began_at = Some(now);
            if !aborts {
                told.push(Told::GroupBegins { group: group.clone(), machines });
            }
        }
        let mut tell = |machine: &str, what: Turn| {
            let (group, machine) = (group.clone(), machine.to_owned());
            told.push(Told::Machine { group, machine, what });
        };
        // Without an abort, none stays that was begun with.
        let stays = |machine: &str| aborts && !put_back.has_ended(machine);
        for (machine, what) in self.departed(now, next, stays) {
            if matches!(what, Turn::Gone(_)) {
                self.gone += 1;
            }
            tell(&machine, what);
        }
        for (machine, phase) in &next.in_work {
            let known = self.since.get(machine).copied();
            // One that falls back, such as a node that flaps, is told when it gets further again.
            if known.is_none_or(|(_, told)| told < *phase) {
                let since = known.map_or(now, |(since, _)| since);
                self.since.insert(machine.clone(), (since, *phase));
                let own = |w: &&Waiting| w.machine.as_ref() == Some(machine) && is_telling(w);
                let waits: Vec<Waiting> = next.waiting.iter().filter(own).cloned().collect();
                // One whose drain is taken back waits for nothing.
                if aborts && *phase == Phase::Draining && waits.is_empty() {
                    continue;
                }
                tell(machine, Turn::Phase(*phase, waits));
            }
        }
        for (machine, why) in &next.skipped {
            if !self.progress.skipped.contains_key(machine) {
                tell(machine, Turn::Skipped(why.clone()));
            }
        }
        self.progress = next.clone();
        told
    }

    /// What became of machines that are no longer worked on; of those that were to go, which may stay.
    fn departed(
        &mut self,
        now: Timestamp,
        next: &GroupProgress,
        may_stay: impl Fn(&str) -> bool,
    ) -> Vec<(String, Turn)> {
        let stays = |machine: &String| {
            next.in_work.contains_key(machine)
                || next.outdated.contains_key(machine)
                || next.skipped.contains_key(machine)
        };
        let left: Vec<(String, Phase)> = self.progress.in_work.iter().map(pair).collect();
        let left: Vec<(String, Phase)> = left.into_iter().filter(|(m, _)| !stays(m)).collect();
        let came = left.iter().filter(|(_, phase)| !phase.is_going()).count();
        // Who came and does not count was lost.
        let counts = next.done >= self.progress.done + came;
        let mut turns = Vec::new();
        for (machine, phase) in left {
            let since = self.since.remove(&machine);
            let took = since.map_or(Duration::ZERO, |(at, _)| between(at, now));
            let is_back = phase != Phase::Leaving && may_stay(&machine);
            let turn = match (phase.is_going(), counts) {
                (true, _) if is_back => Turn::Stays,
                (true, _) => Turn::Gone(took),
                (false, true) => Turn::Validated(took),
                (false, false) => Turn::Lost,
            };
            turns.push((machine, turn));
        }
        turns
    }
}

fn pair((machine, phase): (&String, &Phase)) -> (String, Phase) {
    (machine.clone(), *phase)
}

fn wait_key(waiting: &Waiting) -> WaitKey {
    let about = match &waiting.reason {
        WaitReason::Pods { held: Some((pod, _)), .. } => pod.to_string(),
        WaitReason::Machines { failed_activity: Some(why), .. } => why.clone(),
        WaitReason::Regression { object, .. } => object.clone(),
        WaitReason::Paused { by, .. } => by.clone(),
        _ => String::new(),
    };
    (waiting.group.clone(), waiting.machine.clone(), wait_word(&waiting.reason), about)
}
