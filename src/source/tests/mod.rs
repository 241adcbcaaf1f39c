//! Tests of the room, by what they are about.

#![allow(clippy::unwrap_used)]

mod files;
mod laws;
mod render;
mod vars;

use std::path::Path;

use super::*;
use crate::finding::{Finding, Place, PlaceRole, has_errors};

fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::default();
    for (path, text) in files {
        tree.add(path, (*text).to_owned(), &crate::yaml::Limits::default());
    }
    tree
}

/// Renders cluster `c` of a fleet with one template `a` and given vars.
fn one(template: &str, vars: &str) -> Rendered {
    let files = [("templates/a.yaml.j2", template), ("vars/c.yaml", vars)];
    render(&tree(&files), "c", &[], &Limits::default())
}

fn text_of(rendered: &Rendered) -> &str {
    assert!(!has_errors(&rendered.findings), "{}", show(&rendered.findings));
    rendered.texts.values().next().unwrap()
}

fn show(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let places: Vec<String> = finding
            .places
            .iter()
            .map(|place| match place.role {
                PlaceRole::At => format!("{place}"),
                PlaceRole::IncludedFrom => format!("from {place}"),
                PlaceRole::ValueFrom => format!("value {place}"),
                PlaceRole::SeeAlso => format!("see {place}"),
            })
            .collect();
        let hint = finding.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{:?} [{}] {}{hint}", finding.severity, places.join(", "), finding.message)
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn repository() -> Tree {
    load(Path::new(env!("CARGO_MANIFEST_DIR")), &LoadLimits::default())
}
