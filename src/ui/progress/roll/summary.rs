//! The last words of a roll: what was replaced, how long it took where, what it waited for, what
//! was left out.

use std::fmt::Write;

use super::ledger::{GroupLedger, Ledger};
use crate::roll::Progress;
use crate::ui::finding::{plural, wrap};
use crate::ui::roll::{duration, group_name, is_pause, is_telling, wait_reason};

/// Waits that are told.
const WAITS_MAX: usize = 5;
/// Shorter waits are everyday business.
const WAIT_MIN_SECS: u64 = 60;
/// Machines that are named.
const SKIPPED_MAX: usize = 20;

/// Writes what a ledger holds at the end of a run.
pub(super) fn of(ledger: &Ledger, width: usize, is_simulated: bool) -> String {
    let mut text = String::new();
    let gone: usize = ledger.groups.iter().map(|group| group.gone).sum();
    let replaced = plural(ledger.replaced.unwrap_or(gone), "machine");
    let simulated = crate::ui::simulated(is_simulated);
    let took = duration(ledger.elapsed());
    let _ = match ledger.replaced {
        Some(_) => {
            writeln!(text, "{simulated}rolled {}: {replaced} replaced in {took}", ledger.cluster)
        }
        None => {
            let total: usize = ledger.groups.iter().map(GroupLedger::total).sum();
            let of = format!("{gone} of {} replaced in {took}", plural(total, "machine"));
            writeln!(text, "{simulated}not all of {}: {of}", ledger.cluster)
        }
    };
    groups(&mut text, ledger);
    evictions(&mut text, ledger);
    waits(&mut text, ledger, width);
    skipped(&mut text, ledger, width);
    text
}

/// How many machines a roll that has come to its end has left to replace, why, and how to go on; none
/// where all are as wanted. It was limited to so many machines, or to a part of the groups.
pub fn left_over(
    progress: &Progress,
    machines_max: Option<usize>,
    is_part: bool,
) -> Option<String> {
    let left: usize = progress.groups.iter().map(|group| group.outdated.len()).sum();
    if left == 0 {
        return None;
    }
    let how = match (machines_max, is_part) {
        (Some(most), false) => {
            format!(", beyond --max-machines {most}: the same command goes on with the next")
        }
        (Some(_), true) => ", beyond --max-machines and outside of --only".to_owned(),
        (None, true) => ": leave --only out, or name their groups there".to_owned(),
        // A group that neither drains nor ends its old machines.
        (None, false) => String::new(),
    };
    let (count, verb) = (plural(left, "machine"), if left == 1 { "is" } else { "are" });
    Some(format!("{count} {verb} left to replace{how}"))
}

fn groups(text: &mut String, ledger: &Ledger) {
    let began = || ledger.groups.iter().filter(|group| group.began_at.is_some());
    let name = |group: &GroupLedger| group_name(&group.progress.group, &ledger.cluster).to_owned();
    let column = began().map(|group| name(group).chars().count()).max().unwrap_or_default();
    for group in began() {
        let until = group.ended_at.or(ledger.now);
        let took = group.began_at.zip(until).map(|(from, to)| crate::ui::roll::between(from, to));
        let left = match group.total() - group.gone {
            0 => String::new(),
            count => format!(", {count} left"),
        };
        let machines = plural(group.gone, "machine");
        let took = duration(took.unwrap_or_default());
        let _ = writeln!(text, "  {:column$}  {machines} in {took}{left}", name(group));
    }
}

pub(super) fn evictions(text: &mut String, ledger: &Ledger) {
    if !ledger.evicted.is_empty() || !ledger.deleted.is_empty() {
        let deleted = match ledger.deleted.len() {
            0 => String::new(),
            count => format!(", {count} deleted past their budgets"),
        };
        let _ = writeln!(text, "  {} evicted{deleted}", plural(ledger.evicted.len(), "pod"));
    }
}

pub(super) fn waits(text: &mut String, ledger: &Ledger, width: usize) {
    let mut waits = ledger.longest_waits();
    waits.retain(|(waiting, lasted)| is_telling(waiting) && lasted.as_secs() >= WAIT_MIN_SECS);
    // One pause is for all groups.
    let mut knows_pause = false;
    waits.retain(|(waiting, _)| !(is_pause(waiting) && std::mem::replace(&mut knows_pause, true)));
    for (index, (waiting, lasted)) in waits.into_iter().take(WAITS_MAX).enumerate() {
        if index == 0 {
            text.push_str("  longest waits\n");
        }
        let machine = waiting.machine.as_deref().map(|machine| format!(" {machine}"));
        let group = group_name(&waiting.group, &ledger.cluster);
        let whose = match is_pause(waiting) {
            true => "all groups".to_owned(),
            false => format!("{group}{}", machine.unwrap_or_default()),
        };
        let reason = wait_reason(waiting, &ledger.cluster);
        let line = format!("{}  {whose}: {reason}", duration(lasted));
        let _ = writeln!(text, "    {}", wrap(&line, width, 4, 12));
    }
}

pub(super) fn skipped(text: &mut String, ledger: &Ledger, width: usize) {
    let groups = ledger.groups.iter();
    let skipped: Vec<(&GroupLedger, (&String, &String))> = groups
        .flat_map(|group| group.progress.skipped.iter().map(move |machine| (group, machine)))
        .collect();
    for (group, (machine, why)) in skipped.iter().take(SKIPPED_MAX) {
        let group = group_name(&group.progress.group, &ledger.cluster);
        let line = format!("skipped  {group} {machine}: {why}");
        let _ = writeln!(text, "  {}", wrap(&line, width, 2, 11));
    }
    if skipped.len() > SKIPPED_MAX {
        let _ = writeln!(text, "  skipped  and {} more", skipped.len() - SKIPPED_MAX);
    }
}
