//! How a cluster stands at this moment, for people.

use std::fmt::Write;

use jiff::Timestamp;

use super::finding::{plural, wrap};
use super::human::PlanView;
use super::roll::{at_most, group_name, halt_reason, phase, wait_reason};
use crate::apply::lease::LeaseRecord;
use crate::roll::{GroupProgress, Status};

/// What there is to say about a cluster.
#[derive(Clone, Debug)]
pub struct StatusView {
    /// Whether nothing of it is real.
    pub is_simulated: bool,
    /// Who works on it, or why what stands in the lease's place is none.
    pub lease: Option<Result<LeaseRecord, String>>,
    /// Its machines.
    pub status: Status,
    /// Why Kubernetes was left out of the look.
    pub without_kube: Option<String>,
}

impl StatusView {
    /// Whether all is as wanted and nobody works on it.
    pub fn is_quiet(&self) -> bool {
        self.status.is_quiet() && self.lease.is_none() && self.without_kube.is_none()
    }
}

/// Machines of a line that are named; the others are counted.
const NAMED_MAX: usize = 20;

/// Renders the status of a cluster.
pub fn text(view: &StatusView, now: Timestamp, style: PlanView) -> String {
    let mut text = String::new();
    let status = &view.status;
    let simulated = if view.is_simulated {
        format!("{} ", style.style.warning("SIMULATED"))
    } else {
        String::new()
    };
    let title = style.style.heading(&status.cluster);
    let _ = writeln!(text, "{simulated}{title} at {}", status.observed_at);
    let mut line = |label: &str, what: &str| {
        let _ = writeln!(text, "{label:<10}{}", wrap(what, style.width, 10, 10));
    };
    line("lease", &lease(view, now));
    line("roll", &roll(status));
    if let Some(pause) = &status.paused {
        let why = if pause.why.is_empty() { String::new() } else { format!(": {}", pause.why) };
        line("paused", &format!("by {} since {}{why}", pause.by, pause.at));
    }
    if let Some(why) = &view.without_kube {
        line("nodes", &format!("not looked at: {why}"));
    }
    text.push('\n');
    groups(&mut text, status);
    details(&mut text, status, now, style);
    text
}

fn lease(view: &StatusView, now: Timestamp) -> String {
    match &view.lease {
        None => "nobody holds it".to_owned(),
        Some(Ok(record)) => record.describe(now),
        Some(Err(why)) => format!("cannot be used: {why}"),
    }
}

fn roll(status: &Status) -> String {
    match &status.roll {
        None => "none".to_owned(),
        Some(roll) => format!(
            "{} since {}, works on {}",
            roll.id,
            roll.began_at,
            plural(roll.groups.len(), "group")
        ),
    }
}

/// A table of groups and their machines.
fn groups(text: &mut String, status: &Status) {
    let name = |group: &GroupProgress| group_name(&group.group, &status.cluster).to_owned();
    let widest = status.groups.iter().map(|group| name(group).chars().count()).max();
    let column = widest.unwrap_or_default().max("GROUP".len());
    let _ = writeln!(text, "{:column$}  AS WANTED  IN WORK  TO REPLACE", "GROUP");
    for group in &status.groups {
        let to_replace = group.outdated.len() + group.skipped.len();
        let _ = writeln!(
            text,
            "{:column$}  {:>9}  {:>7}  {to_replace:>10}",
            name(group),
            group.done,
            group.in_work.len(),
        );
    }
    text.push('\n');
}

/// What goes on, what is waited for, what failed, what is broken.
fn details(text: &mut String, status: &Status, now: Timestamp, style: PlanView) {
    let short = |group: &str| group_name(group, &status.cluster).to_owned();
    let machines = status.groups.iter().flat_map(|group| {
        let named = group.in_work.iter();
        named.map(|(machine, at)| format!("{} {machine} {}", short(&group.group), phase(*at)))
    });
    list(text, "In work", machines.collect(), style);
    let waits = status.groups.iter().flat_map(|group| &group.waiting).map(|waiting| {
        let machine = waiting.machine.as_deref().map(|machine| format!(" {machine}"));
        let whose = format!("{}{}", short(&waiting.group), machine.unwrap_or_default());
        format!("{whose}: {}{}", wait_reason(waiting, &status.cluster), at_most(waiting, now))
    });
    list(text, "Waits for", waits.collect(), style);
    let skipped = status.groups.iter().flat_map(|group| {
        let named = group.skipped.iter();
        named.map(|(machine, why)| format!("{} {machine}: {why}", short(&group.group)))
    });
    list(text, "Left for a later roll", skipped.collect(), style);
    let failed = status.failed.iter().map(|(group, revision)| {
        format!("{}: revision {revision} was rolled back here", short(group))
    });
    list(text, "Failed", failed.collect(), style);
    let broken = status.broken.iter().map(|machine| {
        format!("{} {}: {}", short(&machine.group), machine.instance_id, machine.why)
    });
    list(text, "Broken", broken.collect(), style);
    let halts = status.halts.iter().map(|halt| {
        format!("{}; the way out: {}", halt_reason(halt, &status.cluster), halt.way_out)
    });
    list(text, "A roll would halt", halts.collect(), style);
}

fn list(text: &mut String, title: &str, lines: Vec<String>, view: PlanView) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "{}", view.style.heading(&format!("{title} ({})", lines.len())));
    let shown = if view.verbose { lines.len() } else { NAMED_MAX };
    for line in lines.iter().take(shown) {
        let _ = writeln!(text, "  {}", wrap(line, view.width, 2, 4));
    }
    if lines.len() > shown {
        let _ = writeln!(text, "  ... and {} more (--verbose)", lines.len() - shown);
    }
    text.push('\n');
}

#[cfg(test)]
mod tests;
