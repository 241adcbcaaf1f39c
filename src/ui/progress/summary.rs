//! The last words of a run: what was done, what was not and why, and what comes next.

use std::fmt::Write;

use crate::apply::ApplyReport;
use crate::plan::{Plan, Reason};
use crate::ui::finding::plural;
use crate::ui::roll::duration;

/// Changes that are listed one by one.
const LISTED_MAX: usize = 20;

/// The summary of a run, several lines; its failure is told apart, as an error.
pub fn summary(report: &ApplyReport, plan: &Plan) -> String {
    let mut text = crate::ui::simulated(report.is_simulated).to_owned();
    let done = report.done.len() + report.already_done.len();
    let is_destroy = plan.changes.iter().all(|change| change.reason == Reason::Destroy);
    let verb = match (&report.failure, is_destroy) {
        (Some(_), _) => "not all of",
        (None, true) => "destroyed",
        (None, false) => "applied",
    };
    let _ = write!(text, "{verb} {}: {}", report.cluster, plural(done, "change"));
    let _ = write!(text, " of {} done", report.change_count);
    let counts = [
        (report.already_done.len(), "as wanted already"),
        (report.failed.len(), "failed"),
        (report.skipped.len(), "not begun"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        let _ = write!(text, ", {count} {what}");
    }
    let _ = writeln!(text, ", {}", duration(report.elapsed));
    list(&mut text, "failed", &report.failed);
    // What stopped the run stopped all that was left; it is told once, as the error.
    let why_all = report.failure.as_ref().map(|failure| failure.message.as_str());
    let others = report.skipped.iter().filter(|(_, why)| Some(why.as_str()) != why_all);
    list(&mut text, "not begun", &others.cloned().collect::<Vec<_>>());
    text.push_str(&pending(plan));
    text
}

/// What is said of a plan without changes.
pub fn nothing_to_do(plan: &Plan) -> String {
    let simulated = crate::ui::simulated(plan.cloud == "sim");
    let state = match plan.unchanged_count {
        0 => "nothing of it is there".to_owned(),
        count => format!("{} as wanted", plural(count, "resource")),
    };
    let mut text = format!("{simulated}{}: nothing to do, {state}\n", plan.cluster);
    text.push_str(&pending(plan));
    text
}

/// What is left for a rolling update.
fn pending(plan: &Plan) -> String {
    let machines = plan.rollout.machine_count();
    if machines == 0 {
        return String::new();
    }
    format!(
        "rollout pending: {} in {}; to replace them: kprod rolling-update {} --yes\n",
        plural(machines, "machine"),
        plural(plan.rollout.groups.len(), "group"),
        plan.cluster
    )
}

fn list(text: &mut String, what: &str, changes: &[(crate::resource::Key, String)]) {
    for (address, why) in changes.iter().take(LISTED_MAX) {
        // The reason often begins with the address; once is enough.
        let own = format!("{address}: ");
        let why = why.strip_prefix(own.as_str()).unwrap_or(why);
        let _ = writeln!(text, "  {what}  {address}: {why}");
    }
    if changes.len() > LISTED_MAX {
        let _ = writeln!(text, "  {what}  and {} more", changes.len() - LISTED_MAX);
    }
}
