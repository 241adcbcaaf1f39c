//! What the rules say of the cluster as it runs.

use super::{Examination, Symptom, Trouble};
use crate::finding::Finding;
use crate::lint;

/// What breaks a rule.
pub(super) fn broken(examination: &Examination<'_>) -> Vec<Symptom> {
    examination.findings.iter().filter_map(symptom).collect()
}

fn symptom(finding: &Finding) -> Option<Symptom> {
    let trouble = match finding.lint {
        Some(id) if id == lint::BACKUPS.id => Trouble::Snapshot,
        Some(id) if id == lint::AUTHORITIES.id => Trouble::Certificate,
        _ => return None,
    };
    Some(Symptom {
        trouble,
        address: finding.field.clone(),
        message: finding.message.clone(),
        hint: finding.hint.clone().unwrap_or_default(),
        lint: finding.lint,
    })
}
