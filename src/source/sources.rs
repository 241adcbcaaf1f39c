//! Templates and snippets as texts: marked, and checked for circles before anything runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::mark;
use super::record::{FileInfo, LineInfo};
use super::tree::Tree;
use crate::finding::{Finding, Place, PlaceRole};

/// Every template and snippet with what is known of it from its text.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) files: Vec<SourceFile>,
    pub(super) infos: Arc<Vec<FileInfo>>,
    /// Files that cannot run, which is reported already.
    pub(super) broken: BTreeSet<String>,
    pub(super) snippets: Arc<BTreeSet<String>>,
}

#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) name: String,
    pub(super) plain: String,
    pub(super) marked: String,
    /// The first line with more operators than the engine can take in.
    pub(super) knotted: Option<u32>,
    includes: Vec<(u32, String)>,
}

impl Sources {
    pub(super) fn new(tree: &Tree) -> Self {
        let mut names: BTreeMap<String, u32> = BTreeMap::new();
        let mut files = Vec::new();
        let mut marks = Vec::new();
        for (at, (path, text)) in tree.templates.iter().chain(&tree.snippets).enumerate() {
            let marked = mark::mark(text, u32::try_from(at).unwrap_or(u32::MAX));
            for name in marked.lines.iter().flat_map(|line| &line.binds) {
                let next = u32::try_from(names.len()).unwrap_or(u32::MAX);
                names.entry(name.clone()).or_insert(next);
            }
            files.push(SourceFile {
                name: path.clone(),
                plain: text.clone(),
                marked: marked.text,
                knotted: marked.knotted,
                includes: marked.includes,
            });
            marks.push((path, marked.captures, marked.params, marked.lines));
        }
        let number = |list: &[String]| -> Vec<u32> {
            list.iter().filter_map(|name| names.get(name)).copied().collect()
        };
        let infos = marks.into_iter().map(|(path, captures, params, lines)| FileInfo {
            name: path.as_str().into(),
            captures,
            params: params.iter().map(|name| name.as_str().into()).collect(),
            lines: lines
                .iter()
                .map(|line| LineInfo {
                    uses: number(&line.uses),
                    binds: number(&line.binds),
                    names: line.uses.clone(),
                    sets: line.sets.iter().map(|name| name.as_str().into()).collect(),
                    may_include_nothing: line.may_include_nothing,
                })
                .collect(),
        });
        Self {
            infos: Arc::new(infos.collect()),
            files,
            broken: tree.unread.clone(),
            snippets: Arc::new(tree.snippets.keys().chain(&tree.unread).cloned().collect()),
        }
    }

    /// Snippets that include themselves, directly or through others. They are taken out, so that
    /// nothing runs in circles.
    pub(super) fn circles(&mut self) -> Vec<Finding> {
        let mut targets: BTreeMap<&str, BTreeMap<String, u32>> = BTreeMap::new();
        for file in &self.files {
            let entry = targets.entry(&file.name).or_default();
            for (line, name) in &file.includes {
                entry.entry(snippet_path(name)).or_insert(*line);
            }
        }
        let mut findings = Vec::new();
        let mut broken = BTreeSet::new();
        for start in targets.keys() {
            let Some(circle) = circle_from(start, &targets) else { continue };
            broken.insert((*start).to_owned());
            // Each circle is told once, by its first file.
            if circle.iter().any(|(name, _)| name.as_str() < *start) {
                continue;
            }
            let names: Vec<&str> = circle
                .iter()
                .map(|(name, _)| name.strip_prefix("snippets/").unwrap_or(name))
                .collect();
            let first = names.first().copied().unwrap_or_default();
            let message = match names.len() {
                1 => format!("snippet `{first}` includes itself"),
                _ => format!("snippets include each other: {} -> {first}", names.join(" -> ")),
            };
            let places = circle.iter().enumerate().map(|(at, (name, line))| {
                let role = if at == 0 { PlaceRole::At } else { PlaceRole::IncludedFrom };
                Place::at(name, *line).with_role(role)
            });
            findings.push(Finding::error(message).places(places));
        }
        self.broken.extend(broken);
        findings
    }
}

/// The shortest way from a file back to itself, with the line of each step.
fn circle_from(
    start: &str,
    targets: &BTreeMap<&str, BTreeMap<String, u32>>,
) -> Option<Vec<(String, u32)>> {
    let mut came_from: BTreeMap<String, (String, u32)> = BTreeMap::new();
    let mut todo = std::collections::VecDeque::from([start.to_owned()]);
    while let Some(name) = todo.pop_front() {
        for (target, line) in targets.get(name.as_str()).into_iter().flatten() {
            if target == start {
                let mut way = vec![(name.clone(), *line)];
                let mut here = name;
                while here != start
                    && let Some((from, line)) = came_from.get(&here)
                {
                    way.push((from.clone(), *line));
                    here = from.clone();
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(target) && targets.contains_key(target.as_str()) {
                came_from.insert(target.clone(), (name.clone(), *line));
                todo.push_back(target.clone());
            }
        }
    }
    None
}

/// The path of a snippet by the name that templates use.
pub(super) fn snippet_path(name: &str) -> String {
    format!("snippets/{name}")
}
