//! Lints: whether a spec is wise, where `spec::check` says what could not work at all.
//!
//! A rule has a number that stays, so that a waiver in the spec can name it. Errors refuse a plan and an
//! apply; what mends or looks, such as `rolling-update`, `repair`, `status` and `destroy`, never asks:
//! a waiver that ended last night must not stand in the way of a broken machine. Pure: the day is an
//! argument, and so is what was seen of a cluster that runs, to which some rules hold it as well.

mod etcd;
mod running;
mod waiver;

use jiff::civil::Date;

use crate::finding::{Finding, Severity};
use crate::spec::{Field, Profile, Spec};

pub use etcd::BACKUPS;
pub use running::{AUTHORITIES, Seen, Snapshots};

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lint {
    /// Its number, such as `L19`.
    pub id: &'static str,
    /// What it asks for, on one line.
    pub asks: &'static str,
    /// The verbs that hold a running cluster to it, by what they read in any case; none for a rule that
    /// is about the spec alone.
    pub seen_by: &'static [&'static str],
}

/// Every rule, in the order of their numbers.
pub const LINTS: &[Lint] = &[
    etcd::SIZE,
    etcd::DOMAINS,
    etcd::MACHINES,
    etcd::ENCRYPTION,
    etcd::BACKUPS,
    running::AUTHORITIES,
    etcd::DRILL,
];

/// What the lints say of a filled spec that `spec::check` found sound, on a given day. A waived finding
/// is a note.
pub fn lint(spec: &Spec, today: Date) -> Vec<Finding> {
    let mut notes = Notes { spec, today, findings: Vec::new() };
    etcd::lint(spec, &mut notes);
    waiver::apply(spec, today, notes.findings)
}

/// What the lints say of a cluster that was looked at, on a given day. A waived finding is a note; of the
/// waivers themselves [`lint()`] tells.
pub fn lint_running(spec: &Spec, seen: &Seen, today: Date) -> Vec<Finding> {
    let mut findings = running::lint(spec, seen);
    waiver::apply_to(spec, today, &mut findings);
    findings
}

/// Gathers findings with their places.
struct Notes<'a> {
    spec: &'a Spec,
    today: Date,
    findings: Vec<Finding>,
}

impl Notes<'_> {
    fn add(&mut self, lint: Lint, severity: Severity, field: &Field, said: Said) {
        let Said { message, hint } = said;
        let places = self.spec.positions.places(field);
        let finding = Finding::new(severity, message).lint(lint.id).hint(hint);
        self.findings.push(finding.field(field.to_string()).places(places));
    }

    /// Whether people depend on the cluster.
    fn is_production(&self) -> bool {
        self.spec.cluster.spec.profile == Some(Profile::Production)
    }

    /// What is an error where people depend on the cluster, and a warning elsewhere.
    fn error_in_production(&self) -> Severity {
        if self.is_production() { Severity::Error } else { Severity::Warning }
    }
}

/// What a finding says, and the way out.
struct Said {
    message: String,
    hint: &'static str,
}

#[cfg(test)]
mod tests;
