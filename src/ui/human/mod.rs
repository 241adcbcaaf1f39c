//! A plan as an engineer reads it: what changes, why, what it costs, what stands against it.

mod change;
mod main_fields;
mod roll;
mod rollout;
mod undo;
mod value;

use std::collections::BTreeMap;
use std::fmt::Write;

pub use roll::{roll, roll_summary};

use super::Style;
use super::finding::{plural, wrap};
use crate::finding::Finding;
use crate::plan::{
    Action, Change, ForeignResource, ForeignRules, Plan, Reason, Refusal, describe_foreign,
};
use crate::roll::Preview;

/// How a plan is written.
#[derive(Clone, Copy, Debug)]
pub struct PlanView {
    /// Columns.
    pub width: usize,
    /// Colours.
    pub style: Style,
    /// Whether every field of what is made, and every machine and foreign thing, is listed.
    pub verbose: bool,
}

/// Entries of a list that are shown unless everything is asked for.
const LISTED_MAX: usize = 10;

/// Renders a plan; ends with the summary line.
pub fn plan(plan: &Plan, view: PlanView) -> String {
    let mut text = String::new();
    changes(&mut text, plan, view);
    rollout::section(&mut text, plan, view);
    notes(&mut text, plan, view);
    let _ = writeln!(text, "{}", summary(plan));
    text
}

/// Renders a plan that is applied and rolled in one go: what has to wait for the roll, and what that
/// does. Without a roll there are no machines yet.
pub fn plan_and_roll(
    plan: &Plan,
    later: &[Change],
    preview: Option<&Preview>,
    view: PlanView,
) -> String {
    let mut text = String::new();
    changes(&mut text, plan, view);
    held_back(&mut text, later, view);
    if let Some(preview) = preview {
        roll::roll_body(&mut text, preview, view);
    }
    notes(&mut text, plan, view);
    let _ = writeln!(text, "{}", changes_summary(plan));
    if let Some(preview) = preview {
        let _ = writeln!(text, "{}", roll_summary(preview));
    }
    text
}

/// Changes that are made when the machines they drain are gone.
fn held_back(text: &mut String, later: &[Change], view: PlanView) {
    if later.is_empty() {
        return;
    }
    let title = format!("Of these, after the roll has retired their machines ({})", later.len());
    let _ = writeln!(text, "{}\n", view.style.heading(&title));
    for change in later {
        let _ = writeln!(text, "  {:>3} {}", change.action.symbol(), change.address);
    }
    text.push('\n');
}

fn changes(text: &mut String, plan: &Plan, view: PlanView) {
    header(text, plan, view);
    let of = |action| move |c: &&Change| c.action == action && c.reason != Reason::Drifted;
    let drifted = |c: &&Change| c.action == Action::Update && c.reason == Reason::Drifted;
    section(text, plan, "To create", of(Action::Create), view);
    section(text, plan, "To update", of(Action::Update), view);
    section(text, plan, "Drift: changed outside kprod, to be set back", drifted, view);
    section(
        text,
        plan,
        "To replace: removed, then made again under the same name",
        of(Action::Replace),
        view,
    );
    section(text, plan, "To delete", of(Action::Delete), view);
}

/// What is no change: others' things, remarks, refusals, that there is nothing.
fn notes(text: &mut String, plan: &Plan, view: PlanView) {
    foreign(text, &plan.foreign, view);
    foreign_rules(text, &plan.foreign_rules, view);
    remarks(text, &plan.findings, view);
    refusals(text, &plan.refusals, view);
    if !plan.has_changes() {
        let _ = writeln!(text, "No changes: {} as wanted.\n", plural_are(plan.unchanged_count));
    }
}

/// `Plan: 12 to create, 1 to update, 0 to delete; rollout pending: 0 machines`.
pub fn summary(plan: &Plan) -> String {
    let machines = plural(plan.rollout.machine_count(), "machine");
    format!("{}; rollout pending: {machines}", changes_summary(plan))
}

fn changes_summary(plan: &Plan) -> String {
    let replaced = plan.count(Action::Replace);
    let replace = if replaced > 0 { format!("{replaced} to replace, ") } else { String::new() };
    format!(
        "Plan: {} to create, {} to update, {replace}{} to delete",
        plan.count(Action::Create),
        plan.count(Action::Update),
        plan.count(Action::Delete),
    )
}

fn plural_are(count: usize) -> String {
    let verb = if count == 1 { "is" } else { "are" };
    format!("{} {verb}", plural(count, "resource"))
}

fn header(text: &mut String, plan: &Plan, view: PlanView) {
    let title = format!("Plan for {}", plan.cluster);
    let _ = writeln!(text, "{}", view.style.heading(&title));
    let cloud = if plan.cloud == "sim" {
        view.style.warning("SIMULATED")
    } else {
        plan.cloud.to_uppercase()
    };
    let _ = writeln!(text, "{cloud} account {} region {}", plan.account, plan.region);
    let _ = writeln!(text, "observed at {}", plan.observed_at);
    if !plan.only.is_empty() {
        let names: Vec<String> = plan.only.iter().map(ToString::to_string).collect();
        let line = format!("limited to {} and what has to come first", names.join(", "));
        let _ = writeln!(text, "{}", wrap(&line, view.width, 0, 2));
    }
    text.push('\n');
}

fn section(
    text: &mut String,
    plan: &Plan,
    title: &str,
    belongs: impl Fn(&&Change) -> bool,
    view: PlanView,
) {
    let changes: Vec<&Change> = plan.changes.iter().filter(belongs).collect();
    if changes.is_empty() {
        return;
    }
    let title = format!("{title} ({})", changes.len());
    let _ = writeln!(text, "{}\n", view.style.heading(&title));
    let mut ends_blank = false;
    for change in changes {
        // Changes with fields stand apart; a list of one-liners stays a list.
        let has_fields = !change.fields.is_empty() || view.verbose;
        change::write(text, change, view);
        if has_fields {
            text.push('\n');
        }
        ends_blank = has_fields;
    }
    if !ends_blank {
        text.push('\n');
    }
}

fn foreign(text: &mut String, foreign: &[ForeignResource], view: PlanView) {
    if foreign.is_empty() {
        return;
    }
    let title = format!("Not ours, never changed ({})", foreign.len());
    let _ = writeln!(text, "{}\n", view.style.heading(&title));
    let mut by_why: BTreeMap<String, Vec<&ForeignResource>> = BTreeMap::new();
    for resource in foreign {
        by_why.entry(describe_foreign(&resource.why)).or_default().push(resource);
    }
    for (why, mut resources) in by_why {
        let _ = writeln!(text, "  {why}:");
        // What stands in the way first: the others only matter as a hint.
        resources.sort_by_key(|resource| (!resource.in_the_way, resource.address.clone()));
        let shown = if view.verbose { resources.len() } else { LISTED_MAX };
        for resource in resources.iter().take(shown) {
            let id = resource.id.as_deref().map(|id| format!(" {id}")).unwrap_or_default();
            let way = if resource.in_the_way { ", in the way" } else { "" };
            let line = format!("{}{id}{way}", resource.address);
            let _ = writeln!(text, "    {}", wrap(&line, view.width, 4, 6));
        }
        more(text, resources.len(), shown, 4);
    }
    text.push('\n');
}

fn foreign_rules(text: &mut String, foreign: &[ForeignRules], view: PlanView) {
    if foreign.is_empty() {
        return;
    }
    let count = foreign.iter().map(|rules| rules.rules.len()).sum::<usize>();
    let title = format!("Rules of others in our security groups, left alone ({count})");
    let _ = writeln!(text, "{}\n", view.style.heading(&title));
    for rules in foreign {
        let _ = writeln!(text, "  {}", rules.address);
        let shown = if view.verbose { rules.rules.len() } else { LISTED_MAX };
        for rule in rules.rules.iter().take(shown) {
            let _ = writeln!(text, "    {}", value::rule(rule));
        }
        more(text, rules.rules.len(), shown, 4);
    }
    text.push('\n');
}

/// Remarks of the plan itself, such as tags that others put.
fn remarks(text: &mut String, findings: &[Finding], view: PlanView) {
    if findings.is_empty() {
        return;
    }
    let title = format!("Remarks ({})", findings.len());
    let _ = writeln!(text, "{}\n", view.style.heading(&title));
    let mut by_message: BTreeMap<String, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        let lint = finding.lint.map(|lint| format!(" [{lint}]")).unwrap_or_default();
        by_message.entry(format!("{}{lint}", finding.message)).or_default().push(finding);
    }
    for (message, findings) in by_message {
        if let [finding] = findings.as_slice() {
            let line = match finding.field.as_deref() {
                Some(field) => format!("{field}: {message}"),
                None => message,
            };
            let _ = writeln!(text, "  {}", wrap(&line, view.width, 2, 4));
        } else {
            // The same is said once, of all that it is true of.
            let _ = writeln!(text, "  {}:", wrap(&message, view.width, 2, 4));
            let shown = if view.verbose { findings.len() } else { LISTED_MAX };
            for field in findings.iter().take(shown).filter_map(|f| f.field.as_deref()) {
                let _ = writeln!(text, "    {}", wrap(field, view.width, 4, 6));
            }
            more(text, findings.len(), shown, 4);
        }
        if let Some(hint) = findings.first().and_then(|finding| finding.hint.as_deref()) {
            let hint = wrap(hint, view.width, 10, 10);
            let _ = writeln!(text, "    {} {hint}", view.style.hint("hint:"));
        }
    }
    text.push('\n');
}

fn refusals(text: &mut String, refusals: &[Refusal], view: PlanView) {
    if refusals.is_empty() {
        return;
    }
    let title = format!("Refused: this plan cannot be applied ({})", refusals.len());
    let _ = writeln!(text, "{}\n", view.style.error(&title));
    // The same way out is said once, after all that it is the way out of.
    let mut by_hint: BTreeMap<(&str, &str), Vec<&Refusal>> = BTreeMap::new();
    for refusal in refusals {
        by_hint.entry((&refusal.guard, &refusal.hint)).or_default().push(refusal);
    }
    for ((guard, hint), refusals) in by_hint {
        let shown = if view.verbose { refusals.len() } else { LISTED_MAX };
        for refusal in refusals.iter().take(shown) {
            let address = refusal.address.as_ref().map(ToString::to_string).unwrap_or_default();
            let line = format!("{address}: {} [{guard}]", refusal.message);
            let _ = writeln!(text, "  {}", wrap(&line, view.width, 2, 4));
        }
        more(text, refusals.len(), shown, 2);
        let _ =
            writeln!(text, "    {} {}", view.style.hint("hint:"), wrap(hint, view.width, 10, 10));
    }
    text.push('\n');
}

/// What stands against a plan as lines of an error: reasons with the same way out together.
pub fn reasons(refusals: &[Refusal]) -> Vec<String> {
    let mut by_hint: BTreeMap<&str, Vec<&Refusal>> = BTreeMap::new();
    for refusal in refusals {
        by_hint.entry(&refusal.hint).or_default().push(refusal);
    }
    let mut lines = Vec::new();
    for (hint, refusals) in by_hint {
        for refusal in refusals.iter().take(LISTED_MAX) {
            let address = refusal.address.as_ref().map(|key| format!("{key}: "));
            lines.push(format!("{}{}", address.unwrap_or_default(), refusal.message));
        }
        if refusals.len() > LISTED_MAX {
            lines.push(format!("... and {} more", refusals.len() - LISTED_MAX));
        }
        lines.push(format!("  hint: {hint}"));
    }
    lines
}

/// Says how many entries of a list are not shown.
fn more(text: &mut String, all: usize, shown: usize, indent: usize) {
    if all > shown {
        let _ = writeln!(text, "{:indent$}... and {} more (--verbose)", "", all - shown);
    }
}

#[cfg(test)]
mod tests;
