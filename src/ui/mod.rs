//! The only room that prints. stdout is data, stderr is talk; quiet and colour are decided once.

pub mod doctor;
pub mod etcd;
pub mod finding;
pub mod human;
pub mod json;
pub mod markdown;
pub mod pki;
pub mod policy;
pub mod progress;
pub mod rehearsal;
mod roll;
pub mod snapshots;
pub mod source;
pub mod state;
pub mod status;
mod style;

use std::io::{IsTerminal, Write};

pub use style::Style;

use crate::error::Failure;
use crate::finding::Finding;

/// What stands before words about an account that is none.
pub fn simulated(is_simulated: bool) -> &'static str {
    if is_simulated { "SIMULATED " } else { "" }
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where output goes and how it looks.
#[derive(Clone, Debug)]
pub struct Ui {
    /// Columns that text is wrapped to.
    pub width: usize,
    /// How stdout is coloured.
    pub out: Style,
    /// How stderr is coloured.
    pub err: Style,
    /// Whether stderr is a terminal, so that progress may redraw lines.
    pub live: bool,
    /// Whether remarks and progress are left out.
    pub quiet: bool,
}

/// Narrowest and widest text; a plan is written for 80 columns and more.
const WIDTH_RANGE: std::ops::RangeInclusive<usize> = 40..=160;

/// Details of a failure that are shown.
const DETAILS_MAX: usize = 40;

impl Ui {
    /// Decides from the terminal and the user's wishes. `no_color` is whether `NO_COLOR` is set.
    pub fn new(color: ColorChoice, no_color: bool, quiet: bool) -> Self {
        let style = |is_terminal: bool| match color {
            ColorChoice::Always => Style::colored(),
            ColorChoice::Never => Style::plain(),
            ColorChoice::Auto if is_terminal && !no_color => Style::colored(),
            ColorChoice::Auto => Style::plain(),
        };
        let width = textwrap::termwidth().clamp(*WIDTH_RANGE.start(), *WIDTH_RANGE.end());
        Self {
            width,
            out: style(std::io::stdout().is_terminal()),
            err: style(std::io::stderr().is_terminal()),
            live: std::io::stderr().is_terminal() && !quiet,
            quiet,
        }
    }

    /// Writes data to stdout. A reader that went away (`| head`) is no error.
    ///
    /// # Errors
    /// When stdout cannot be written for another reason, such as a full disk.
    pub fn data(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        match written {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Failure::error(format!("cannot write to stdout: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Says something on stderr, unless quiet.
    pub fn status(&self, text: &str) {
        if !self.quiet {
            self.talk(text);
        }
    }

    /// Says a sentence on stderr, in lines that fit; unless quiet.
    pub fn say(&self, sentence: &str) {
        self.status(&finding::wrap(sentence, self.width, 0, 2));
    }

    /// A failure whose message and details are sentences, in lines that fit.
    pub fn fitted(&self, failure: Failure) -> Failure {
        let fit = |detail: &String| finding::wrap(detail, self.width, 2, 4);
        let message = finding::wrap(&failure.message, self.width, "error: ".len(), 2);
        let details = failure.details.iter().map(fit).collect();
        Failure { message, details, ..failure }
    }

    /// Prints findings on stderr: all of them, errors last so that they stay in sight.
    pub fn findings(&self, findings: &[Finding]) {
        let shown: Vec<&Finding> = findings
            .iter()
            .filter(|finding| !self.quiet || finding.severity == crate::finding::Severity::Error)
            .collect();
        if !shown.is_empty() {
            self.talk(&finding::render(&shown, self.width, self.err));
        }
    }

    /// Prints a failure on stderr: findings, what went wrong, details, the way out.
    pub fn failure(&self, failure: &Failure) {
        self.findings(&failure.findings);
        let mut text = format!("{} {}", self.err.error("error:"), failure.message);
        for detail in failure.details.iter().take(DETAILS_MAX) {
            text.push_str("\n  ");
            text.push_str(detail);
        }
        let untold = failure.details.len().saturating_sub(DETAILS_MAX);
        if untold > 0 {
            text.push_str(&format!("\n  ... and {untold} more"));
        }
        if let Some(hint) = &failure.hint {
            let hint = finding::wrap(hint, self.width, 6, 6);
            text.push_str(&format!("\n\n{} {hint}", self.err.hint("hint:")));
        }
        self.talk(&text);
    }

    fn talk(&self, text: &str) {
        // Nobody is left to tell when stderr is gone.
        let _ = writeln!(std::io::stderr().lock(), "{}", text.trim_end());
    }
}
