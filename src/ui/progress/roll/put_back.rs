//! What an abort puts back: counted from the steps that were made, told as it goes and at the end.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::ledger::Ledger;
use super::summary::{evictions, skipped, waits};
use crate::roll::Step;
use crate::ui::finding::{plural, wrap};
use crate::ui::roll::{duration, group_name};

/// Objects of a line that are named; the others are counted.
const NAMED_MAX: usize = 6;

/// What was put back so far.
#[derive(Clone, Debug, Default)]
pub(super) struct PutBack {
    /// Nodes that take work again.
    uncordoned: BTreeSet<String>,
    /// Nodes that have lost a roll's other marks.
    unmarked: BTreeSet<String>,
    /// Members that stay though they were about to be taken out of their group.
    kept: BTreeSet<String>,
    /// Groups whose new machines boot again what they booted before.
    pinned: BTreeSet<String>,
    /// Groups whose processes run again.
    resumed: BTreeSet<String>,
    /// Groups that no note of a roll is on any more.
    groups: BTreeSet<String>,
    /// Machines that this run ended.
    ended: BTreeSet<String>,
}

impl PutBack {
    /// Notes a step that was made.
    pub(super) fn note(&mut self, step: &Step) {
        match step {
            Step::Release { node, uncordon: true } => {
                self.uncordoned.insert(node.clone());
            }
            Step::Release { node, uncordon: false } => {
                self.unmarked.insert(node.clone());
            }
            Step::UnmarkDetached { machines } => self.kept.extend(machines.iter().cloned()),
            Step::Pin { group, .. } => {
                self.pinned.insert(group.clone());
            }
            Step::Resume { group, .. } => {
                self.resumed.insert(group.clone());
            }
            Step::Unmark { group } => {
                self.groups.insert(group.clone());
            }
            Step::Terminate { machines, .. }
            | Step::TerminateDetached { machines }
            | Step::GiveUp { machines, .. } => self.ended.extend(machines.iter().cloned()),
            _ => {}
        }
    }

    /// Whether this run has ended a machine.
    pub(super) fn has_ended(&self, machine: &str) -> bool {
        self.ended.contains(machine)
    }
}

/// A step of an abort as a line; none for one that a machine's progress, or its group's end, tells.
pub(super) fn line(step: &Step, cluster: &str) -> Option<String> {
    Some(match step {
        Step::Pin { group, version } => {
            format!("{}: new machines boot version {version} again", group_name(group, cluster))
        }
        Step::Resume { group, processes } => {
            let processes: Vec<&str> = processes.iter().map(String::as_str).collect();
            format!("{}: resumed {}", group_name(group, cluster), processes.join(", "))
        }
        Step::Release { node, uncordon: true } => format!("{node}: uncordoned, marks taken off"),
        Step::Release { node, uncordon: false } => format!("{node}: marks taken off"),
        Step::UnmarkDetached { machines } => {
            format!("stays in its group: {}", named(machines.iter().map(String::as_str)))
        }
        _ => return None,
    })
}

/// The last words of an abort.
pub(super) fn summary(ledger: &Ledger, width: usize, is_simulated: bool) -> String {
    let mut text = String::new();
    let simulated = crate::ui::simulated(is_simulated);
    let took = duration(ledger.elapsed());
    let _ = match ledger.replaced {
        Some(_) => writeln!(text, "{simulated}put {} back in {took}", ledger.cluster),
        None => writeln!(text, "{simulated}did not put all of {} back: {took}", ledger.cluster),
    };
    for line in lines(&ledger.put_back, &ledger.cluster) {
        let _ = writeln!(text, "  {}", wrap(&line, width, 2, 6));
    }
    evictions(&mut text, ledger);
    waits(&mut text, ledger, width);
    skipped(&mut text, ledger, width);
    text
}

fn lines(put_back: &PutBack, cluster: &str) -> Vec<String> {
    // Exhaustive: what is counted is told.
    let PutBack { uncordoned, unmarked, kept, pinned, resumed, groups, ended } = put_back;
    let of_groups = |names: &BTreeSet<String>| named(names.iter().map(|n| group_name(n, cluster)));
    let of_all = |names: &BTreeSet<String>| named(names.iter().map(String::as_str));
    let told = [
        (ended, plural(ended.len(), "machine"), "ended", of_all(ended)),
        (uncordoned, plural(uncordoned.len(), "node"), "uncordoned", of_all(uncordoned)),
        (unmarked, plural(unmarked.len(), "node"), "freed of marks", of_all(unmarked)),
        (kept, plural(kept.len(), "machine"), "kept in place", of_all(kept)),
        (pinned, plural(pinned.len(), "pin"), "put back", of_groups(pinned)),
        (resumed, plural(resumed.len(), "group"), "with processes resumed", of_groups(resumed)),
        (groups, plural(groups.len(), "group"), "released by the roll", of_groups(groups)),
    ];
    let told: Vec<String> = told
        .into_iter()
        .filter(|(all, ..)| !all.is_empty())
        .map(|(_, count, what, names)| format!("{count} {what}: {names}"))
        .collect();
    if told.is_empty() { vec!["nothing was left to put back".to_owned()] } else { told }
}

/// `a, b and 3 more`.
fn named<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    let rest = names.len().saturating_sub(NAMED_MAX);
    let named: Vec<&str> = names.take(NAMED_MAX).collect();
    let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{}{rest}", named.join(", "))
}
