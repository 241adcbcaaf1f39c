//! The last words of a roll: what was replaced, how long it took where, what it waited for, what
//! was left out.

use std::fmt::Write;

use super::ledger::{GroupLedger, Ledger};
use crate::ui::finding::{plural, wrap};
use crate::ui::roll::{duration, group_name, is_telling, wait_reason};

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
    let simulated = if is_simulated { "SIMULATED " } else { "" };
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
    if !ledger.evicted.is_empty() || !ledger.deleted.is_empty() {
        let deleted = match ledger.deleted.len() {
            0 => String::new(),
            count => format!(", {count} deleted past their budgets"),
        };
        let _ = writeln!(text, "  {} evicted{deleted}", plural(ledger.evicted.len(), "pod"));
    }
    waits(&mut text, ledger, width);
    skipped(&mut text, ledger, width);
    text
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

fn waits(text: &mut String, ledger: &Ledger, width: usize) {
    let waits = ledger.longest_waits().into_iter();
    let waits = waits.filter(|(waiting, lasted)| {
        is_telling(&waiting.reason) && lasted.as_secs() >= WAIT_MIN_SECS
    });
    for (index, (waiting, lasted)) in waits.take(WAITS_MAX).enumerate() {
        if index == 0 {
            text.push_str("  longest waits\n");
        }
        let machine = waiting.machine.as_deref().map(|machine| format!(" {machine}"));
        let group = group_name(&waiting.group, &ledger.cluster);
        let whose = format!("{group}{}", machine.unwrap_or_default());
        let reason = wait_reason(&waiting.reason, &ledger.cluster);
        let line = format!("{}  {whose}: {reason}", duration(lasted));
        let _ = writeln!(text, "    {}", wrap(&line, width, 4, 12));
    }
}

fn skipped(text: &mut String, ledger: &Ledger, width: usize) {
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
