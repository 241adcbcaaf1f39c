//! Findings as text: what, which field, where, how it got there, the way out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::Style;
use crate::finding::{Finding, Place, PlaceRole, Severity};

/// Renders findings, lightest first, with a count of errors and warnings at the end. What is wrong
/// in the same way in several places is told once, with all the places.
pub fn render(findings: &[&Finding], width: usize, style: Style) -> String {
    let mut sorted = findings.to_vec();
    sorted.sort();
    sorted.dedup();
    let problems = group(&sorted);
    let mut text = String::new();
    for problem in &problems {
        render_one(&mut text, problem, width, style);
    }
    let severities = problems.iter().filter_map(|problem| Some(problem.first()?.severity));
    let count = |severity| severities.clone().filter(|s| *s == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if errors + warnings > 1 {
        let _ = writeln!(text, "{}, {}", plural(errors, "error"), plural(warnings, "warning"));
    }
    text
}

/// Findings that say the same, in the order of their first ones.
fn group<'f>(sorted: &[&'f Finding]) -> Vec<Vec<&'f Finding>> {
    let mut problems: Vec<Vec<&Finding>> = Vec::new();
    let mut known: BTreeMap<_, usize> = BTreeMap::new();
    for finding in sorted {
        let (_, path) = document_and_path(finding);
        let key = (finding.severity, path, &finding.message, &finding.hint, origins(finding));
        match known.get(&key).and_then(|at| problems.get_mut(*at)) {
            Some(problem) => problem.push(finding),
            None => {
                known.insert(key, problems.len());
                problems.push(vec![finding]);
            }
        }
    }
    problems
}

/// `InstanceGroup/nodes` and `spec.maxSize`.
fn document_and_path(finding: &Finding) -> (Option<&str>, Option<&str>) {
    match finding.field.as_deref().map(|field| field.split_once(' ').unwrap_or(("", field))) {
        Some((document, path)) => ((!document.is_empty()).then_some(document), Some(path)),
        None => (None, None),
    }
}

/// The places that are not lines of the text itself.
fn origins(finding: &Finding) -> Vec<&Place> {
    let is_origin = |place: &&Place| !is_line(place);
    finding.places.iter().filter(is_origin).collect()
}

fn is_line(place: &Place) -> bool {
    matches!(place.role, PlaceRole::At | PlaceRole::IncludedFrom)
}

/// `1 error`, `2 errors`.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Documents that are named, of those that share a problem.
const DOCUMENTS_MAX: usize = 3;

fn render_one(text: &mut String, problem: &[&Finding], width: usize, style: Style) {
    let Some(finding) = problem.first() else { return };
    let lint = finding.lint.map(|lint| format!("[{lint}]")).unwrap_or_default();
    let (word, label) = match finding.severity {
        Severity::Error => (style.error(&format!("error{lint}:")), format!("error{lint}: ")),
        Severity::Warning => {
            (style.warning(&format!("warning{lint}:")), format!("warning{lint}: "))
        }
        Severity::Note => (style.dim(&format!("note{lint}:")), format!("note{lint}: ")),
    };
    let message = match &finding.field {
        Some(field) => format!("{field}: {}", finding.message),
        None => finding.message.clone(),
    };
    let wrapped = wrap(&message, width, label.len(), 2);
    let _ = writeln!(text, "{word} {wrapped}");
    let mut shown = BTreeSet::new();
    for finding in problem {
        // The same line in several documents: one way to it is enough.
        if !shown.insert(finding.places.iter().find(|place| is_line(place))) {
            continue;
        }
        for place in finding.places.iter().filter(|place| is_line(place)) {
            let _ = writeln!(text, "{}", style.dim(&place_line(place)));
        }
    }
    for place in origins(finding) {
        let _ = writeln!(text, "{}", style.dim(&place_line(place)));
    }
    if let Some(others) = others(problem) {
        let _ = writeln!(text, "      {}", wrap(&others, width, 6, 8));
    }
    if let Some(hint) = &finding.hint {
        let _ = writeln!(text, "  {} {}", style.hint("hint:"), wrap(hint, width, 8, 8));
    }
}

/// The documents that share a problem with the first one.
fn others(problem: &[&Finding]) -> Option<String> {
    let mut documents: Vec<&str> =
        problem.iter().filter_map(|finding| document_and_path(finding).0).collect();
    documents.dedup();
    let (_, others) = documents.split_first()?;
    let named: Vec<&str> = others.iter().take(DOCUMENTS_MAX).copied().collect();
    match others.len() - named.len() {
        _ if others.is_empty() => None,
        0 => Some(format!("also {}", named.join(", "))),
        more => Some(format!("also {} and {more} more", named.join(", "))),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mistake_in_many_places_is_one_error() {
        let wrong = |group: &str, line: u32| {
            Finding::error("unknown field `maxSise`")
                .field(format!("InstanceGroup/{group} spec.maxSise"))
                .at(Place::at("a.yaml", line))
                .hint("did you mean `maxSize`?")
        };
        let unset = |line: u32| {
            Finding::error("`x` is not set").at(Place::at("b.yaml", line)).at(Place::at(
                "vars/c.yaml",
                1,
            )
            .with_role(PlaceRole::SeeAlso))
        };
        let all = [wrong("a", 4), wrong("b", 4), wrong("c", 9), unset(1), unset(2)];
        let told = render(&all.iter().collect::<Vec<_>>(), 80, Style::plain());
        let expected = "\
error: InstanceGroup/a spec.maxSise: unknown field `maxSise`
  --> a.yaml:4
  --> a.yaml:9
      also InstanceGroup/b, InstanceGroup/c
  hint: did you mean `maxSize`?
error: `x` is not set
  --> b.yaml:1
  --> b.yaml:2
      see vars/c.yaml:1
2 errors, 0 warnings
";
        assert_eq!(told, expected);
    }
}
