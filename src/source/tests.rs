#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;
use crate::finding::{Finding, PlaceRole};

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

#[test]
fn the_fleet_of_the_repository_renders_and_every_line_is_known() {
    let tree = repository();
    let engine = Engine::new(&tree, &Limits::default());
    let names: Vec<&str> = tree.cluster_names().collect();
    assert!(names.len() >= 2, "{names:?}");
    for name in names {
        let rendered = engine.render(name, &[]);
        assert_eq!(show(&rendered.findings), "", "{name}");
        assert!(rendered.documents.len() > 5);
        for document in &rendered.documents {
            let text = &rendered.texts[&document.file];
            for (at, line) in text.lines().enumerate() {
                let places = document.places(u32::try_from(at).unwrap() + 1);
                if !line.trim().is_empty() {
                    assert!(places[0].line.is_some(), "{} line {at}: {line}", document.file);
                }
            }
        }
    }
}
