//! What of a roll is worth a line, as text.

use jiff::Timestamp;

use super::ledger::{Told, Turn};
use super::put_back;
use crate::event::RollEvent;
use crate::roll::{Step, Waiting};
use crate::ui::Style;
use crate::ui::finding::{plural, wrap};
use crate::ui::roll::step::facts;
use crate::ui::roll::{at_most, duration, group_name, halt_reason, is_pause, phase, wait_reason};

/// How lines are written.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a> {
    /// The cluster, whose name groups are told without.
    pub(super) cluster: &'a str,
    /// Whether all is put back.
    pub(super) aborts: bool,
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
            RollEvent::Started { cluster, resumed, aborts, machines, .. } => {
                let verb = if *resumed { "going on rolling" } else { "rolling" };
                let what = match aborts {
                    true => format!("putting back what a roll of {cluster} has begun"),
                    false => format!("{verb} {cluster}: {}", plural(*machines, "machine")),
                };
                Some(match self.is_simulated {
                    true => format!("{} {what}", self.style.warning("SIMULATED")),
                    false => what,
                })
            }
            RollEvent::Step { step } => self.step(step).map(|line| self.style.dim(&line)),
            RollEvent::StepFailed { step, why } => {
                let step = facts(step).brief(|group| self.group(group).to_owned());
                let line = format!("{step} failed, looking again: {why}");
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
    pub(super) fn told(self, now: Timestamp, told: &Told) -> String {
        let line = match told {
            Told::GroupBegins { group, machines } => {
                let machines = plural(*machines, "machine");
                return format!("{}: {machines} to replace", self.group(group));
            }
            Told::GroupEnds { group, gone, left, took } => {
                let (gone, took) = (plural(*gone, "machine"), duration(*took));
                let (done, left) = match left {
                    0 => ("done, ", String::new()),
                    left => ("", format!(", {left} left")),
                };
                return format!("{}: {done}{gone} replaced in {took}{left}", self.group(group));
            }
            Told::GroupIsBack { group, took } => {
                return format!("{}: put back after {}", self.group(group), duration(*took));
            }
            Told::Machine { group, machine, what } => {
                format!("{} {machine} {}", self.group(group), turn(now, what, self.cluster))
            }
            Told::Waits(waiting) if is_pause(waiting) => {
                let whom = wait_reason(waiting, self.cluster);
                format!("waits for {whom}; `--resume` takes that back, after an hour it halts")
            }
            Told::Waits(waiting) => {
                let machine = waiting.machine.as_ref().map(|machine| format!(" {machine}"));
                let whose =
                    format!("{}{}", self.group(&waiting.group), machine.unwrap_or_default());
                format!("{whose} waits for {}", wait(now, waiting, self.cluster))
            }
        };
        self.indented(&line)
    }

    /// Steps that no machine's progress tells.
    fn step(self, step: &Step) -> Option<String> {
        let of_abort = self.aborts.then(|| put_back::line(step, self.cluster)).flatten();
        let line = of_abort.or_else(|| self.step_of_a_roll(step))?;
        Some(self.indented(&line))
    }

    fn step_of_a_roll(self, step: &Step) -> Option<String> {
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
            Step::GiveUp { group, machines } => {
                let machines: Vec<&str> = machines.iter().map(String::as_str).collect();
                format!("{}: {} did not come up, ended", self.group(group), machines.join(", "))
            }
            _ => return None,
        };
        Some(line)
    }

    fn group(self, group: &str) -> &str {
        group_name(group, self.cluster)
    }

    fn indented(self, line: &str) -> String {
        format!("  {}", wrap(line, self.width, 2, 6))
    }
}

fn turn(now: Timestamp, turn: &Turn, cluster: &str) -> String {
    match turn {
        Turn::Phase(at, waits) => {
            let waits: Vec<String> =
                waits.iter().map(|waiting| wait(now, waiting, cluster)).collect();
            match waits.as_slice() {
                [] => phase(*at).to_owned(),
                _ => format!("{}, waits for {}", phase(*at), waits.join(" and ")),
            }
        }
        Turn::Gone(took) => format!("is gone after {}", duration(*took)),
        Turn::Validated(took) => format!("validated after {}", duration(*took)),
        Turn::Lost => "was lost before it counted".to_owned(),
        Turn::Stays => "stays".to_owned(),
        Turn::Skipped(why) => format!("skipped: {why}"),
    }
}

fn wait(now: Timestamp, waiting: &Waiting, cluster: &str) -> String {
    format!("{}{}", wait_reason(waiting, cluster), at_most(waiting, now))
}
