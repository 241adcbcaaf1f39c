//! What can go wrong, by what it means for the caller: one kind, one exit code.

use crate::finding::Finding;

/// The program's exit codes: a public contract, listed by `kprod help exit-codes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Nothing to do, or all done that was asked for.
    Done = 0,
    /// An error: bad input, a failed call, a missing file.
    Error = 1,
    /// `--detailed-exitcode`: there are changes, or machines to replace; `doctor`, `status`, `repair`:
    /// there is something to see to.
    Changes = 2,
    /// A plan no longer fits the world.
    Stale = 3,
    /// Another run holds the lease.
    Locked = 4,
    /// Refused by a guard, a lint or a policy.
    Refused = 5,
    /// Stopped on the way; a re-run goes on from there.
    Halted = 6,
    /// The command line makes no sense.
    Usage = 64,
}

/// An error as `main` shows it: what, why, and the way out.
///
/// Every library error converts into this at the edge; its kind decides the exit code.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Which exit code it ends with.
    pub code: ExitCode,
    /// What went wrong: a lowercase fragment without a stop.
    pub message: String,
    /// Findings behind it, all at once.
    pub findings: Vec<Finding>,
    /// Lines that say more, such as the difference between plan and world.
    pub details: Vec<String>,
    /// The way out.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with a given exit code.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            findings: Vec::new(),
            details: Vec::new(),
            hint: None,
        }
    }

    /// Bad input or a failed call (exit 1).
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Error, message)
    }

    /// A guard said no (exit 5).
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Refused, message)
    }

    /// Adds the way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the findings behind it.
    #[must_use]
    pub fn findings(mut self, findings: Vec<Finding>) -> Self {
        self.findings = findings;
        self
    }

    /// Adds lines that say more.
    #[must_use]
    pub fn details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }
}
