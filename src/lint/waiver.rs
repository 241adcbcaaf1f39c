//! Waivers: a finding that somebody answers for, until a day.

use jiff::civil::Date;

use super::LINTS;
use crate::finding::{Finding, Severity, did_you_mean};
use crate::spec::{Field, Kind, Spec, WaiverSpec};

/// The findings, those that are waived as notes, and what is wrong with the waivers themselves: of no
/// lint, at their end, needed by nothing. Whether a running cluster needs one is not known here.
pub(super) fn apply(spec: &Spec, today: Date, findings: Vec<Finding>) -> Vec<Finding> {
    let mut findings = findings;
    let mut odd = Vec::new();
    for (index, waiver) in spec.cluster.spec.waivers.iter().enumerate() {
        let field = Field::new(Kind::Cluster, spec.name(), "spec.waivers").index(index);
        let places = spec.positions.places(&field);
        let said = |finding: Finding| finding.field(field.to_string()).places(places);
        let id = waiver.lint.as_str();
        let known = LINTS.iter().find(|lint| lint.id == id);
        let is_of_cluster = known.is_some_and(|lint| !lint.seen_by.is_empty());
        let is_needed = is_of_cluster || findings.iter().any(|finding| finding.lint == Some(id));
        if known.is_none() {
            let near = did_you_mean(id, LINTS.iter().map(|lint| lint.id));
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`kprod lints` lists them".to_owned(),
            };
            odd.push(said(Finding::error(format!("there is no lint `{id}`")).hint(hint)));
        } else if !is_needed {
            let message = format!("nothing here needs a waiver of {id}");
            odd.push(said(Finding::warning(message).hint("take it out")));
        } else if is_over(waiver, today) {
            let message = format!("the waiver of {id} ended on {}", waiver.expires);
            odd.push(said(Finding::warning(message).hint("mend what it names, or give a new day")));
        }
    }
    apply_to(spec, today, &mut findings);
    findings.extend(odd);
    findings
}

/// Makes notes of the findings that are waived.
pub(super) fn apply_to(spec: &Spec, today: Date, findings: &mut [Finding]) {
    for waiver in spec.cluster.spec.waivers.iter().filter(|waiver| !is_over(waiver, today)) {
        let meant =
            findings.iter_mut().filter(|finding| finding.lint == Some(waiver.lint.as_str()));
        meant.for_each(|finding| waive(finding, &waiver.expires, &waiver.reason));
    }
}

/// Whether it holds no more. A day that cannot be read is past: it was told of.
fn is_over(waiver: &WaiverSpec, today: Date) -> bool {
    waiver.last_day().is_none_or(|last| last < today)
}

fn waive(finding: &mut Finding, expires: &str, reason: &str) {
    finding.severity = Severity::Note;
    finding.message = format!("{}; waived until {expires}: {reason}", finding.message);
    finding.hint = None;
}
