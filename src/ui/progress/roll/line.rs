//! What of a roll is worth a line, as text.

use jiff::Timestamp;

use super::ledger::{Told, Turn};
use crate::event::RollEvent;
use crate::roll::{Step, Waiting};
use crate::ui::Style;
use crate::ui::finding::{plural, wrap};
use crate::ui::roll::{at_most, duration, group_name, halt_reason, is_telling, phase, wait_reason};

/// How lines are written.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a> {
    /// The cluster, whose name groups are told without.
    pub(super) cluster: &'a str,
    /// Columns.
    pub(super) width: usize,
    /// Colours.
    pub(super) style: Style,
    /// Whether nothing of it is real.
    pub(super) is_simulated: bool,
}

impl Lines<'_> {
    /// The line of an event itself.
    pub(super) fn event(self, event: &RollEvent) -> Option<String> {
        match event {
            RollEvent::Started { cluster, resumed, machines, .. } => {
                let verb = if *resumed { "going on rolling" } else { "rolling" };
                let what = format!("{verb} {cluster}: {}", plural(*machines, "machine"));
                Some(match self.is_simulated {
                    true => format!("{} {what}", self.style.warning("SIMULATED")),
                    false => what,
                })
            }
            RollEvent::Step { step } => self.step(step),
            RollEvent::StepFailed { step, why } => {
                let line = format!("{} failed, to be looked at again: {why}", step_name(step));
                Some(self.indented(&line))
            }
            RollEvent::Halted { reasons } => {
                let told = |reason| {
                    let line = format!("halted: {}", halt_reason(reason, self.cluster));
                    wrap(&line, self.width, 0, 2)
                };
                Some(reasons.iter().map(told).collect::<Vec<_>>().join("\n"))
            }
            RollEvent::Progress { .. } | RollEvent::Finished { .. } => None,
        }
    }

    /// The line of something that follows from events.
    pub(super) fn told(self, now: Timestamp, told: &Told) -> Option<String> {
        let line = match told {
            Told::GroupBegins { group, machines } => {
                let machines = plural(*machines, "machine");
                return Some(format!("{}: {machines} to replace", self.group(group)));
            }
            Told::GroupEnds { group, gone, took } => {
                let (gone, took) = (plural(*gone, "machine"), duration(*took));
                return Some(format!("{}: done, {gone} replaced in {took}", self.group(group)));
            }
            Told::Machine { group, machine, what } => {
                format!("{} {machine} {}", self.group(group), turn(now, what))
            }
            Told::Waits(waiting) if !is_telling(&waiting.reason) => return None,
            Told::Waits(waiting) => {
                let machine = waiting.machine.as_ref().map(|machine| format!(" {machine}"));
                let whose =
                    format!("{}{}", self.group(&waiting.group), machine.unwrap_or_default());
                format!("{whose} waits for {}", wait(now, waiting))
            }
        };
        Some(self.indented(&line))
    }

    /// Steps that no machine's progress tells.
    fn step(self, step: &Step) -> Option<String> {
        let line = match step {
            Step::Pin { group, version } => {
                format!("{}: new machines boot version {version}", self.group(group))
            }
            Step::MarkFailed { group, revision } => {
                format!("{}: revision {revision} failed here and is put back", self.group(group))
            }
            Step::SetDesired { group, from, to } => {
                format!("{}: desired capacity {from} -> {to}", self.group(group))
            }
            Step::LowerMinimum { group, to } => format!("{}: minimum {to}", self.group(group)),
            Step::DeletePods { node, pods } => {
                let names: Vec<String> = pods.iter().map(|pod| pod.pod.to_string()).collect();
                format!("{node}: deleted past their budgets: {}", names.join(", "))
            }
            Step::Release { node, uncordon: true } => format!("{node}: uncordoned"),
            _ => return None,
        };
        Some(self.style.dim(&self.indented(&line)))
    }

    fn group(self, group: &str) -> &str {
        group_name(group, self.cluster)
    }

    fn indented(self, line: &str) -> String {
        format!("  {}", wrap(line, self.width, 2, 6))
    }
}

fn turn(now: Timestamp, turn: &Turn) -> String {
    match turn {
        Turn::Phase(at, waits) => {
            let waits: Vec<String> = waits.iter().map(|waiting| wait(now, waiting)).collect();
            match waits.as_slice() {
                [] => phase(*at).to_owned(),
                _ => format!("{}, waits for {}", phase(*at), waits.join(" and ")),
            }
        }
        Turn::Gone(took) => format!("is gone after {}", duration(*took)),
        Turn::Validated(took) => format!("validated after {}", duration(*took)),
        Turn::Lost => "was lost before it counted".to_owned(),
        Turn::Skipped(why) => format!("skipped: {why}"),
    }
}

fn wait(now: Timestamp, waiting: &Waiting) -> String {
    format!("{}{}", wait_reason(&waiting.reason), at_most(waiting, now))
}

/// What a step does, in as few words as it takes, with what it is about.
pub(super) fn step_name(step: &Step) -> String {
    let machines = |machines: &std::collections::BTreeSet<String>| match machines.first() {
        Some(first) if machines.len() == 1 => first.clone(),
        _ => plural(machines.len(), "machine"),
    };
    match step {
        Step::Mark { group, .. } => format!("marking {group}"),
        Step::Unmark { group } => format!("taking the mark off {group}"),
        Step::Suspend { group, .. } => format!("suspending processes of {group}"),
        Step::Resume { group, .. } => format!("resuming processes of {group}"),
        Step::Pin { group, version } => format!("pinning {group} to version {version}"),
        Step::MarkFailed { group, .. } => format!("noting the failed revision on {group}"),
        Step::SetDesired { group, to, .. } => format!("setting {group} to {to} machines"),
        Step::LowerMinimum { group, to } => format!("lowering the minimum of {group} to {to}"),
        Step::MarkDetached { machines: m, .. } => format!("marking {} as detached", machines(m)),
        Step::Detach { group, machines: m } => format!("detaching {} from {group}", machines(m)),
        Step::Deregister { machine, .. } => format!("deregistering {machine}"),
        Step::Register { machine, .. } => format!("registering {machine}"),
        Step::Terminate { machines: m, .. } | Step::TerminateDetached { machines: m } => {
            format!("terminating {}", machines(m))
        }
        Step::Taint { nodes } => format!("tainting {}", machines(nodes)),
        Step::Cordon { node, .. } => format!("cordoning {node}"),
        Step::Release { node, .. } => format!("releasing {node}"),
        Step::Protect { node } => format!("protecting {node}"),
        Step::Evict { node, pods } => format!("evicting {} of {node}", plural(pods.len(), "pod")),
        Step::DeletePods { node, pods } => {
            format!("deleting {} of {node}", plural(pods.len(), "pod"))
        }
        Step::DeleteNode { node, .. } => format!("removing node {node}"),
    }
}
