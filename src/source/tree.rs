//! A fleet as it was read: the files of templates, snippets and vars, as values.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Finding, Place, did_you_mean};
use crate::yaml::{self, Node};

/// Everything that rendering reads. Paths are relative to the fleet's root, with `/`.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// `templates/**/*.yaml.j2`, by path.
    pub templates: BTreeMap<String, String>,
    /// `snippets/**`, by path.
    pub snippets: BTreeMap<String, String>,
    /// `vars/*.yaml`, by path.
    pub vars: BTreeMap<String, VarsFile>,
    /// Files that are there and cannot be read.
    pub unread: BTreeSet<String>,
    /// What was wrong with the files themselves.
    pub findings: Vec<Finding>,
}

/// A file of vars, parsed.
#[derive(Clone, Debug)]
pub struct VarsFile {
    /// The map it holds; `None` when the file could not be read as one, which is among the findings.
    pub root: Option<Node>,
}

/// A cluster of the fleet, as `kprod clusters` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterEntry {
    /// Its name: the vars file's, without the extension.
    pub name: String,
    /// The vars file that makes it.
    pub file: String,
    /// The layers below it, the lowest first.
    pub layers: Vec<String>,
    /// The wave it is promoted with, when its vars name a `channel`.
    pub channel: Option<String>,
    /// The cloud its vars name.
    pub cloud: Option<String>,
}

impl Tree {
    /// Adds a file by its path, as `load` does and tests may. Files that belong to no part of a
    /// fleet are left alone.
    pub fn add(&mut self, path: &str, text: String, limits: &yaml::Limits) {
        if let Some(finding) = stray_character(path, &text) {
            self.add_unread(path, finding);
            return;
        }
        if path.starts_with("snippets/") {
            self.snippets.insert(path.to_owned(), text);
        } else if path.starts_with("templates/") {
            self.add_template(path, text);
        } else if let Some(name) = path.strip_prefix("vars/") {
            self.add_vars(path, name, &text, limits);
        }
    }

    /// Adds a file that cannot be read, with what is wrong with it: it is broken, but not missing.
    pub fn add_unread(&mut self, path: &str, finding: Finding) {
        self.findings.push(finding);
        self.unread.insert(path.to_owned());
        if path.starts_with("vars/") && path.ends_with(".yaml") {
            self.vars.insert(path.to_owned(), VarsFile { root: None });
        }
    }

    fn add_template(&mut self, path: &str, text: String) {
        if !path.ends_with(".yaml.j2") {
            let finding = Finding::warning("this file is not rendered")
                .at(Place::file(path))
                .hint("templates end in .yaml.j2; what they include lives in snippets/");
            self.findings.push(finding);
            return;
        }
        if path.split('/').count() > 3 {
            let finding = Finding::error("templates lie in templates/ or templates/<cluster>/")
                .at(Place::file(path))
                .hint("move it up");
            self.findings.push(finding);
            return;
        }
        self.templates.insert(path.to_owned(), text);
    }

    fn add_vars(&mut self, path: &str, name: &str, text: &str, limits: &yaml::Limits) {
        if !name.ends_with(".yaml") || name.contains('/') {
            let finding = Finding::warning("this file is not read")
                .at(Place::file(path))
                .hint("vars are files vars/<cluster>.yaml and vars/_<layer>.yaml");
            self.findings.push(finding);
            return;
        }
        let root = match yaml::parse(text, limits) {
            Ok(documents) => self.vars_root(path, documents),
            Err(errors) => {
                self.findings.extend(errors.iter().map(|error| yaml_finding(path, error)));
                None
            }
        };
        self.vars.insert(path.to_owned(), VarsFile { root });
    }

    /// The one map of a vars file; an empty file is an empty map.
    fn vars_root(&mut self, path: &str, mut documents: Vec<Node>) -> Option<Node> {
        let empty = Node { line: 1, column: 1, value: yaml::Value::Mapping(Vec::new()) };
        let Some(root) = documents.pop() else { return Some(empty) };
        if !documents.is_empty() {
            let message = "a vars file holds one document, this one begins another";
            self.findings.push(Finding::error(message).at(Place::at(path, root.line)));
            return None;
        }
        match root.value {
            yaml::Value::Mapping(_) => {
                self.findings.extend(stray_value(path, &root));
                Some(root)
            }
            yaml::Value::Null => Some(empty),
            _ => {
                let message = format!("a vars file holds a map, not {}", root.kind());
                self.findings.push(Finding::error(message).at(Place::at(path, root.line)));
                None
            }
        }
    }

    /// The names of the clusters, in order.
    pub fn cluster_names(&self) -> impl Iterator<Item = &str> {
        self.vars.keys().filter_map(|path| {
            let name = path.strip_prefix("vars/")?.strip_suffix(".yaml")?;
            (!name.starts_with('_')).then_some(name)
        })
    }

    /// The finding for a cluster that is not there; `None` when it is.
    pub fn unknown_cluster(&self, cluster: &str) -> Option<Finding> {
        if self.cluster_names().any(|name| name == cluster) {
            return None;
        }
        let finding = Finding::error(format!("there is no cluster `{cluster}`"))
            .at(Place::file(format!("vars/{cluster}.yaml")));
        Some(match did_you_mean(cluster, self.cluster_names()) {
            Some(name) => finding.hint(format!("did you mean `{name}`?")),
            None => {
                let names: Vec<&str> = self.cluster_names().collect();
                match names.is_empty() {
                    true => finding.hint("a file vars/<cluster>.yaml makes a cluster"),
                    false => finding.hint(format!("this fleet has {}", names.join(", "))),
                }
            }
        })
    }

    /// The templates of a cluster in order of their file names, its own ones in place of those of
    /// the same name.
    pub fn templates_of(&self, cluster: &str) -> Vec<&str> {
        let own_folder = format!("templates/{cluster}/");
        let mut by_name: BTreeMap<&str, &str> = BTreeMap::new();
        for path in self.templates.keys() {
            let Some(name) = path.strip_prefix("templates/") else { continue };
            if !name.contains('/') {
                by_name.entry(name).or_insert(path);
            }
        }
        for path in self.templates.keys() {
            if let Some(name) = path.strip_prefix(&own_folder) {
                by_name.insert(name, path);
            }
        }
        by_name.into_values().collect()
    }

    /// What is wrong with the fleet as a whole: folders of clusters that are not there, and names
    /// that mean two things.
    pub fn check(&self) -> Vec<Finding> {
        let clusters: BTreeSet<&str> = self.cluster_names().collect();
        let mut findings = Vec::new();
        let mut seen = BTreeSet::new();
        for path in self.templates.keys() {
            let parts: Vec<&str> = path.split('/').collect();
            if let ["templates", folder, _] = parts.as_slice()
                && !clusters.contains(folder)
                && seen.insert(*folder)
            {
                let finding = Finding::warning(format!(
                    "templates/{folder}/ belongs to no cluster, so nothing in it is rendered"
                ))
                .at(Place::file(path));
                findings.push(match did_you_mean(folder, clusters.iter().copied()) {
                    Some(name) => finding.hint(format!("did you mean templates/{name}/?")),
                    None => finding.hint(format!("a file vars/{folder}.yaml makes a cluster")),
                });
            }
        }
        for path in self.snippets.keys() {
            let name = path.strip_prefix("snippets/").unwrap_or(path);
            let template = format!("templates/{name}");
            if self.templates.contains_key(&template) {
                let finding = Finding::error(format!("`{name}` is both a snippet and a template"))
                    .at(Place::file(path))
                    .at(Place { role: crate::finding::PlaceRole::SeeAlso, ..Place::file(template) })
                    .hint("rename one of them: an include names the snippet only");
                findings.push(finding);
            }
        }
        findings
    }
}

/// A problem that the YAML reader found in a file, as a finding.
pub(crate) fn yaml_finding(file: &str, error: &yaml::YamlError) -> Finding {
    let finding = Finding::error(error.message.clone()).at(Place::at(file, error.line));
    match error.other_line {
        Some(line) => {
            finding.at(Place::at(file, line).with_role(crate::finding::PlaceRole::SeeAlso))
        }
        None => finding,
    }
}

/// The same for values: an escape can write what the text does not show.
fn stray_value(path: &str, node: &Node) -> Option<Finding> {
    use super::mark::{MARK_CLOSE, MARK_OPEN};
    let is_stray = |text: &str| text.contains([MARK_OPEN, MARK_CLOSE]);
    let keys = node.entries().iter().find(|entry| is_stray(&entry.key)).map(|entry| entry.line);
    let here = node.as_str().filter(|text| is_stray(text)).map(|_| node.line);
    if let Some(line) = keys.or(here) {
        let message = "U+FDD0 and U+FDD1 are no characters and not allowed";
        return Some(Finding::error(message).at(Place::at(path, line)));
    }
    let children = node.items().iter().chain(node.entries().iter().map(|entry| &entry.node));
    children.into_iter().find_map(|child| stray_value(path, child))
}

/// Refuses the two noncharacters that rendering uses as marks; nothing else could mean them.
fn stray_character(path: &str, text: &str) -> Option<Finding> {
    use super::mark::{MARK_CLOSE, MARK_OPEN};
    let at = text.find([MARK_OPEN, MARK_CLOSE])?;
    let line = text.get(..at)?.matches('\n').count() + 1;
    let finding = Finding::error("U+FDD0 and U+FDD1 are no characters and not allowed")
        .at(Place::at(path, u32::try_from(line).unwrap_or(u32::MAX)));
    Some(finding)
}
