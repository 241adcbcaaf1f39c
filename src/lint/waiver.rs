//! Waivers: a finding that somebody answers for, until a day.

use jiff::civil::Date;

use super::LINTS;
use crate::finding::{Finding, Severity, did_you_mean};
use crate::spec::{Field, Kind, Spec};

/// The findings, those that are waived as notes, and what is wrong with the waivers themselves: of no
/// lint, at their end, needed by nothing.
pub(super) fn apply(spec: &Spec, today: Date, findings: Vec<Finding>) -> Vec<Finding> {
    let mut findings = findings;
    let mut odd = Vec::new();
    for (index, waiver) in spec.cluster.spec.waivers.iter().enumerate() {
        let field = Field::new(Kind::Cluster, spec.name(), "spec.waivers").index(index);
        let places = spec.positions.places(&field);
        let said = |finding: Finding| finding.field(field.to_string()).places(places);
        let id = waiver.lint.as_str();
        let mut meant = findings.iter_mut().filter(|finding| finding.lint == Some(id)).peekable();
        // A day that cannot be read is past: it was told of.
        let is_over = waiver.last_day().is_none_or(|last| last < today);
        if !LINTS.iter().any(|lint| lint.id == id) {
            let near = did_you_mean(id, LINTS.iter().map(|lint| lint.id));
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`kprod lints` lists them".to_owned(),
            };
            odd.push(said(Finding::error(format!("there is no lint `{id}`")).hint(hint)));
        } else if meant.peek().is_none() {
            let message = format!("nothing here needs a waiver of {id}");
            odd.push(said(Finding::warning(message).hint("take it out")));
        } else if is_over {
            let message = format!("the waiver of {id} ended on {}", waiver.expires);
            odd.push(said(Finding::warning(message).hint("mend what it names, or give a new day")));
        } else {
            meant.for_each(|finding| waive(finding, &waiver.expires, &waiver.reason));
        }
    }
    findings.extend(odd);
    findings
}

fn waive(finding: &mut Finding, expires: &str, reason: &str) {
    finding.severity = Severity::Note;
    finding.message = format!("{}; waived until {expires}: {reason}", finding.message);
    finding.hint = None;
}
