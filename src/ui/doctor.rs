//! What the doctor found, for people.

use std::fmt::Write;

use super::finding::{plural, wrap};
use super::human::PlanView;
use crate::doctor::{Symptom, Trouble};
use crate::plan::Plan;

/// Renders symptoms; ends with a line that says how many there are.
pub fn symptoms(plan: &Plan, symptoms: &[Symptom], view: PlanView) -> String {
    let mut text = String::new();
    for symptom in symptoms {
        write_one(&mut text, symptom, view);
    }
    let simulated = super::simulated(plan.cloud == "sim");
    let verdict = match symptoms.len() {
        0 => format!("nothing odd about {}", plural(plan.unchanged_count, "resource")),
        1 => "1 thing needs care".to_owned(),
        count => format!("{count} things need care"),
    };
    let _ = writeln!(text, "{simulated}{}: {verdict}", plan.cluster);
    text
}

fn write_one(text: &mut String, symptom: &Symptom, view: PlanView) {
    let word = word(symptom.trouble);
    let lint = symptom.lint.map(|lint| format!(" [{lint}]")).unwrap_or_default();
    let label = match &symptom.address {
        Some(address) => format!("{word}{lint}: {address}"),
        None => format!("{word}{lint}"),
    };
    let _ = writeln!(text, "{}", view.style.heading(&label));
    let _ = writeln!(text, "  {}", wrap(&symptom.message, view.width, 2, 2));
    let hint = wrap(&symptom.hint, view.width, 8, 8);
    let _ = writeln!(text, "  {} {hint}\n", view.style.hint("hint:"));
}

fn word(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::State => "State bucket",
        Trouble::Lease => "Lease",
        Trouble::Journal => "Unfinished run",
        Trouble::Snapshot => "Snapshots of etcd",
        Trouble::InTheWay => "In the way",
        Trouble::HalfMade => "Half made",
        Trouble::Machines => "Short of machines",
        Trouble::Certificate => "Certificate",
        Trouble::Orphan => "Orphan",
    }
}
