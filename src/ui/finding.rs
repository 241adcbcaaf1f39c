//! Findings as text: what, which field, where, how it got there, the way out.

use std::fmt::Write;

use super::Style;
use crate::finding::{Finding, Place, PlaceRole, Severity};

/// Renders findings, lightest first, with a count of errors and warnings at the end.
pub fn render(findings: &[&Finding], width: usize, style: Style) -> String {
    let mut sorted = findings.to_vec();
    sorted.sort();
    sorted.dedup();
    let mut text = String::new();
    for finding in &sorted {
        render_one(&mut text, finding, width, style);
    }
    let count = |severity| sorted.iter().filter(|f| f.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if errors + warnings > 1 {
        let _ = writeln!(text, "{}, {}", plural(errors, "error"), plural(warnings, "warning"));
    }
    text
}

/// `1 error`, `2 errors`.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn render_one(text: &mut String, finding: &Finding, width: usize, style: Style) {
    let word = match finding.severity {
        Severity::Error => style.error("error:"),
        Severity::Warning => style.warning("warning:"),
        Severity::Note => style.dim("note:"),
    };
    let label = match finding.severity {
        Severity::Error => "error: ",
        Severity::Warning => "warning: ",
        Severity::Note => "note: ",
    };
    let message = match &finding.field {
        Some(field) => format!("{field}: {}", finding.message),
        None => finding.message.clone(),
    };
    let wrapped = wrap(&message, width, label.len(), 2);
    let _ = writeln!(text, "{word} {wrapped}");
    for place in &finding.places {
        let _ = writeln!(text, "{}", style.dim(&place_line(place)));
    }
    if let Some(hint) = &finding.hint {
        let _ = writeln!(text, "  {} {}", style.hint("hint:"), wrap(hint, width, 8, 8));
    }
}

fn place_line(place: &Place) -> String {
    match place.role {
        PlaceRole::At => format!("  --> {place}"),
        PlaceRole::IncludedFrom => format!("      included from {place}"),
        PlaceRole::ValueFrom => format!("      value from {place}"),
        PlaceRole::SeeAlso => format!("      see {place}"),
    }
}

/// Wraps text whose first line starts after `used` columns; further lines are indented.
pub(super) fn wrap(text: &str, width: usize, used: usize, indent: usize) -> String {
    let first = " ".repeat(used);
    let rest = " ".repeat(indent);
    let options = textwrap::Options::new(width)
        .initial_indent(&first)
        .subsequent_indent(&rest)
        // Addresses and paths stay whole: no break after a slash or a hyphen.
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .break_words(false);
    textwrap::fill(text, options).trim_start().to_owned()
}
