//! What a turn has come to so far, and the verdict that follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::progress;
use super::repair;
use super::scene::{GroupScene, MachineScene, Scene, count, later};
use crate::roll::mark::{Raised, RollMark, tail};
use crate::roll::{Decision, HaltReason, Step, Verdict, WaitReason, Waiting};

/// One turn: steps, waits, halts.
pub(super) struct Turn {
    /// Steps, in the order in which they are to be made.
    pub(super) steps: Vec<Step>,
    /// What machines that were begun wait for: they end by themselves or by their deadline.
    pub(super) working: Vec<Waiting>,
    /// What machines that nothing was begun with wait for.
    pub(super) queued: Vec<Waiting>,
    /// Why nothing new begins.
    pub(super) halts: Vec<HaltReason>,
    /// Worker machines that were begun or are missing, counted while new ones are begun.
    pub(super) tally: Tally,
}

/// Worker machines that are away.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Over all groups.
    pub(super) missing: i32,
    /// By zone.
    pub(super) by_zone: BTreeMap<String, i32>,
    /// By group and zone.
    pub(super) by_group: BTreeMap<(String, String), i32>,
    /// Machines by zone.
    pub(super) zone_size: BTreeMap<String, i32>,
    /// Machines that there should be over all groups.
    pub(super) wanted: i32,
    /// Machines of whatever role that are being replaced ([`repair::in_hand`]), and those that this turn
    /// begins with; counted in a repair.
    pub(super) in_hand: i32,
}

impl Tally {
    fn of(scene: &Scene<'_>) -> Self {
        let in_hand = if scene.p.repair.is_some() { repair::in_hand(scene) } else { 0 };
        let mut tally = Self { in_hand, ..Self::default() };
        for group in scene.workers() {
            tally.missing += group.missing();
            tally.wanted += group.wanted();
            for m in &group.machines {
                *tally.zone_size.entry(m.machine.zone.clone()).or_default() += 1;
                if m.is_away() {
                    tally.goes(group.name(), &m.machine.zone);
                }
            }
        }
        tally
    }

    /// One more of a group and zone is away.
    pub(super) fn goes(&mut self, group: &str, zone: &str) {
        *self.by_zone.entry(zone.to_owned()).or_default() += 1;
        *self.by_group.entry((group.to_owned(), zone.to_owned())).or_default() += 1;
    }
}

impl Turn {
    pub(super) fn new(scene: &Scene<'_>) -> Self {
        Self {
            steps: Vec::new(),
            working: Vec::new(),
            queued: Vec::new(),
            halts: scene.o.memory.halts.clone(),
            tally: Tally::of(scene),
        }
    }

    /// Notes why nothing new begins; each object once.
    pub(super) fn halt(&mut self, reason: HaltReason) {
        add(&mut self.halts, reason);
    }

    /// Notes why a wait halts the roll whose time is up. The wait stays noted: while the halt is carried
    /// out its time is up still, and does not begin anew.
    pub(super) fn overrun(
        &mut self,
        group: &GroupScene<'_>,
        machine: Option<&MachineScene<'_>>,
        reason: WaitReason,
        deadline: Timestamp,
        halt: HaltReason,
    ) {
        self.queue(group, machine, reason, Some(deadline));
        self.halt(halt);
    }

    /// Notes what a machine that was begun waits for.
    pub(super) fn work(
        &mut self,
        group: &GroupScene<'_>,
        machine: Option<&MachineScene<'_>>,
        reason: WaitReason,
        deadline: Option<Timestamp>,
    ) {
        self.working.push(waiting(group, machine, reason, deadline));
    }

    /// Notes what a group waits for before it begins with another machine.
    pub(super) fn queue(
        &mut self,
        group: &GroupScene<'_>,
        machine: Option<&MachineScene<'_>>,
        reason: WaitReason,
        deadline: Option<Timestamp>,
    ) {
        self.queued.push(waiting(group, machine, reason, deadline));
    }

    /// Whether something of a group is under way.
    pub(super) fn works_on(&self, group: &str) -> bool {
        self.working.iter().any(|wait| wait.group == group)
    }

    /// Whether a group has steps in this turn.
    pub(super) fn touches(&self, group: &str) -> bool {
        self.steps.iter().any(|step| step.group() == Some(group))
    }

    /// Whether this turn begins with a machine: what says that it is worked on has to stay.
    pub(super) fn begins(&self, m: &MachineScene<'_>) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step, Step::Cordon { machine, .. } if machine == m.id()))
    }

    /// Members of a group that this turn ends, and how many of them take their place with them.
    pub(super) fn ended(&self, group: &str) -> (usize, usize) {
        let ended = self.steps.iter().filter_map(|step| match step {
            Step::Terminate { group: of, machines, shrink } if of == group => {
                Some((machines.len(), if *shrink { machines.len() } else { 0 }))
            }
            _ => None,
        });
        ended.fold((0, 0), |(all, shrinking), (more, less)| (all + more, shrinking + less))
    }

    /// What a group's surge still adds once this turn's steps are made.
    pub(super) fn raised(&self, group: &GroupScene<'_>) -> i32 {
        let given_back = i32::try_from(self.ended(group.name()).1).unwrap_or(i32::MAX);
        group.raised().saturating_sub(given_back).max(0)
    }

    /// A surge as a group's note is to say it, with the machines that take it with them: the words that
    /// are there stay as long as they come to the same.
    pub(super) fn surge_note(&self, group: &GroupScene<'_>) -> (Option<Raised>, BTreeSet<String>) {
        let raised = self.still_raised(group);
        let Some(mark) = self.mark_of(group) else { return (raised, BTreeSet::new()) };
        let given = count(mark.giving.iter());
        let comes_to = mark.raised.map(|noted| noted.less(given)).filter(|left| left.by > 0);
        // What this turn has noted it also does, or it ends there.
        let is_so = self.noted(group).is_some() || group.given_back == given;
        if is_so && comes_to == raised {
            (mark.raised, mark.giving.clone())
        } else {
            (raised, BTreeSet::new())
        }
    }

    /// What is left of a surge over what the group has without it: what was given back is noted no more,
    /// so that nobody takes what an autoscaler adds for it.
    pub(super) fn still_raised(&self, group: &GroupScene<'_>) -> Option<Raised> {
        let by = self.raised(group);
        (by > 0).then_some(Raised { base: group.wanted(), by, made: by })
    }

    /// Whether a group's note names a machine as one that takes its place of the surge with it.
    pub(super) fn gives(&self, group: &GroupScene<'_>, m: &MachineScene<'_>) -> bool {
        self.mark_of(group).is_some_and(|mark| mark.giving.contains(tail(m.id())))
    }

    /// The note on a group once this turn's steps are made.
    pub(super) fn mark_of<'t>(&'t self, group: &GroupScene<'t>) -> Option<&'t RollMark> {
        self.noted(group).or(group.group.mark.as_ref())
    }

    /// The note that this turn writes on a group last.
    fn noted(&self, group: &GroupScene<'_>) -> Option<&RollMark> {
        self.steps.iter().rev().find_map(|step| match step {
            Step::Mark { group: of, mark } if of == group.name() => Some(mark),
            _ => None,
        })
    }

    /// The verdict. Steps first; then what was begun has its time; then halts count; at the end what was
    /// left for a later roll.
    pub(super) fn decide(self, scene: &Scene<'_>) -> Decision {
        let progress = progress::progress(scene, &self);
        let halts = self.halts.clone();
        let is_stuck = self.steps.is_empty() && self.working.is_empty();
        let verdict = if !self.steps.is_empty() {
            Verdict::Act(merge(self.steps))
        } else if !self.working.is_empty() {
            Verdict::Wait(self.working.into_iter().chain(self.queued).collect())
        } else if self.halts.is_empty() && !self.queued.is_empty() {
            match stuck(scene, &self.queued) {
                Some(halts) => Verdict::Halted(halts),
                None => Verdict::Wait(self.queued),
            }
        } else {
            let mut halts = self.halts;
            left(scene).for_each(|why| add(&mut halts, why.clone()));
            if halts.is_empty() { Verdict::Done } else { Verdict::Halted(halts) }
        };
        Decision { verdict, progress, halts, is_stuck }
    }
}

/// One reason more, unless there is one for the same object.
fn add(halts: &mut Vec<HaltReason>, reason: HaltReason) {
    let is_known =
        |known: &HaltReason| (&known.group, &known.object) == (&reason.group, &reason.object);
    if !halts.iter().any(is_known) {
        halts.push(reason);
    }
}

/// Why machines are left for a later roll that are still to be replaced: this one has not come to its
/// end then.
fn left<'s>(scene: &'s Scene<'_>) -> impl Iterator<Item = &'s HaltReason> {
    let groups = scene.groups.iter().filter(|group| group.in_scope);
    groups.flat_map(GroupScene::outdated).filter_map(|m| scene.o.memory.skipped.get(m.id()))
}

/// So long a roll waits while somebody has paused it; README and help name this hour.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// Nothing is under way, and what is waited for does not come: no wait is without an end.
fn stuck(scene: &Scene<'_>, queued: &[Waiting]) -> Option<Vec<HaltReason>> {
    let since = scene.o.memory.stuck_since?;
    let limits = scene.groups.iter().map(|group| group.policy.validate_timeout);
    let is_paused = |wait: &Waiting| matches!(wait.reason, WaitReason::Paused { .. });
    let limit = match queued.iter().any(is_paused) {
        true => PAUSE_MAX,
        false => limits.max().unwrap_or_default(),
    };
    let own = queued.iter().filter_map(|wait| wait.deadline).max();
    if scene.o.now < later(since, limit) || own.is_some_and(|own| scene.o.now < own) {
        return None;
    }
    // All groups wait for the same then.
    if let Some(WaitReason::Paused { by, why }) =
        queued.iter().find(|wait| is_paused(wait)).map(|wait| &wait.reason)
    {
        return Some(vec![paused_for_long(&scene.o.cluster, by, why)]);
    }
    let halt = |wait: &Waiting| HaltReason {
        group: Some(wait.group.clone()),
        object: wait.machine.clone().unwrap_or_else(|| wait.group.clone()),
        message: format!("has waited for {} s: {}", limit.as_secs(), wait.reason),
        way_out: "mend what it waits for, then run the same command again".to_owned(),
    };
    Some(queued.iter().map(halt).collect())
}

fn paused_for_long(cluster: &str, by: &str, why: &str) -> HaltReason {
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    HaltReason {
        group: None,
        object: cluster.to_owned(),
        message: format!("was paused for {} s by {by}{why}", PAUSE_MAX.as_secs()),
        way_out: format!(
            "`kprod rolling-update {cluster} --resume` takes the pause back; then run the same \
             command again"
        ),
    }
}

fn waiting(
    group: &GroupScene<'_>,
    machine: Option<&MachineScene<'_>>,
    reason: WaitReason,
    deadline: Option<Timestamp>,
) -> Waiting {
    let machine = machine.map(|m| m.id().to_owned());
    Waiting { group: group.name().to_owned(), machine, reason, deadline }
}

/// Taints of several groups are one step.
fn merge(steps: Vec<Step>) -> Vec<Step> {
    let mut merged: Vec<Step> = Vec::with_capacity(steps.len());
    let mut tainted: BTreeSet<String> = BTreeSet::new();
    let mut place = None;
    for step in steps {
        match step {
            Step::Taint { nodes } => {
                place.get_or_insert(merged.len());
                tainted.extend(nodes);
            }
            step => merged.push(step),
        }
    }
    if let Some(place) = place {
        merged.insert(place, Step::Taint { nodes: tainted });
    }
    merged
}
