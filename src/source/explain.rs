//! Where a value came from: the answer of `kprod explain`.

use std::collections::BTreeSet;

use super::render::{ClusterRun, Engine, TemplateRun};
use super::set::Set;
use super::vars::{Overridden, Vars};
use crate::document::Document;
use crate::finding::{Finding, Place, PlaceRole, did_you_mean, has_errors};
use crate::yaml::{self, Node};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// What was asked for, as kprod understood it.
    pub path: String,
    /// The value as compact JSON; `None` when no template writes the field, so that its default
    /// applies.
    pub value: Option<String>,
    /// The template line that wrote it, then the lines that included it. For a value of the vars,
    /// the template lines that read it.
    pub lines: Vec<Place>,
    /// The vars that it was made of, or the value of the vars itself.
    pub vars: Vec<Trace>,
}

/// One value of the vars on its way through the layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Its path in the vars.
    pub path: String,
    /// The value as compact JSON.
    pub value: String,
    /// Where the layer that won wrote it.
    pub place: Place,
    /// What that replaced, the lowest layer first.
    pub overrode: Vec<Overridden>,
}

/// A value that many lines read is explained by the first of them.
const LINES_MAX: usize = 20;

impl Engine<'_> {
    /// Explains a path of the vars (`spot_nodes.4x_32Gb.max`) or a rendered field
    /// (`InstanceGroup/nodes spec.maxSize`) of a cluster.
    ///
    /// # Errors
    /// The findings that keep the cluster from being rendered, or one that says what is not there.
    pub fn explain(
        &self,
        cluster: &str,
        sets: &[Set],
        path: &str,
    ) -> Result<Explanation, Vec<Finding>> {
        let run = self.run(cluster, sets);
        if run.templates.is_empty() && has_errors(&run.rendered.findings) {
            return Err(run.rendered.findings);
        }
        match path.split_once(' ') {
            Some((document, field)) => explain_field(&run, document, field.trim()),
            None if path.contains('/') && vars_id(&run.vars, path).is_none() => {
                explain_field(&run, path, "")
            }
            None => explain_var(&run, path),
        }
        .map_err(|finding| match has_errors(&run.rendered.findings) {
            // The cause may be among them.
            true => run.rendered.findings.iter().cloned().chain([finding]).collect(),
            false => vec![finding],
        })
    }
}

fn explain_var(run: &ClusterRun, path: &str) -> Result<Explanation, Finding> {
    let Some(id) = vars_id(&run.vars, path) else { return Err(no_such_var(&run.vars, path)) };
    let mut inside = BTreeSet::from([id]);
    for (child, _) in run.vars.nodes.iter().enumerate() {
        let child = u32::try_from(child).unwrap_or(u32::MAX);
        if run.vars.parent(child).is_some_and(|parent| inside.contains(&parent)) {
            inside.insert(child);
        }
    }
    let mut lines = Vec::new();
    for (_, template) in &run.templates {
        for (spot, reads) in template.reads.iter().enumerate() {
            if reads.iter().any(|read| inside.contains(read)) {
                let spot = u32::try_from(spot).unwrap_or(u32::MAX);
                let place = template.lines.chain(spot).into_iter().next();
                lines.extend(place.filter(|place| !lines.contains(place)));
            }
        }
    }
    lines.truncate(LINES_MAX);
    let trace = trace(&run.vars, id);
    let value = trace.as_ref().map(|trace| trace.value.clone());
    let path = run.vars.path(id);
    Ok(Explanation { path, value, lines, vars: trace.into_iter().collect() })
}

fn vars_id(vars: &Vars, path: &str) -> Option<u32> {
    // Keys of vars may hold slashes and dots; a path that is a key as a whole wins.
    if let Some(id) = vars.key(0, path) {
        return Some(id);
    }
    let steps = yaml::path_steps(path)?;
    steps.iter().try_fold(0, |id, step| vars.child(id, step))
}

/// Names the first step that leads nowhere, and a similar one.
fn no_such_var(vars: &Vars, path: &str) -> Finding {
    let finding = Finding::error(format!("the vars have no `{path}`"));
    if let Some(origin) = vars.deleted(path) {
        let place = Place { role: PlaceRole::At, ..origin.place() };
        return finding.at(place).hint("a null deletes it here");
    }
    let mut here = 0;
    for step in yaml::path_steps(path).unwrap_or_default() {
        match vars.child(here, &step) {
            Some(child) => here = child,
            None => {
                let place = vars.node(here).map(|node| node.origin.place());
                let finding = finding.places(place.filter(|_| here > 0));
                let yaml::Step::Key(key) = step else { return finding };
                return match did_you_mean(&key, vars.keys(here)) {
                    Some(name) => finding.hint(format!("did you mean `{name}`?")),
                    None => finding.hint(
                        "a rendered field is written like `InstanceGroup/nodes spec.maxSize`",
                    ),
                };
            }
        }
    }
    finding
}

fn explain_field(run: &ClusterRun, name: &str, field: &str) -> Result<Explanation, Finding> {
    let documents = || {
        let templates = run.templates.iter();
        templates.flat_map(|(_, run)| run.documents.iter().map(move |document| (run, document)))
    };
    let Some((template, document)) = documents().find(|(_, doc)| document_name(doc) == name) else {
        let names: Vec<String> = documents().map(|(_, doc)| document_name(doc)).collect();
        let finding = Finding::error(format!("no template renders `{name}`"));
        return Err(match did_you_mean(name, names.iter().map(String::as_str)) {
            Some(similar) => finding.hint(format!("did you mean `{similar}`?")),
            None => finding.hint(format!("there are {}", names.join(", "))),
        });
    };
    let path = format!("{name} {field}").trim_end().to_owned();
    let Some(steps) = yaml::path_steps(field) else {
        let finding = Finding::error(format!("`{field}` is not a path"));
        return Err(finding.hint("write it like spec.subnets[0]"));
    };
    let mut node = &document.root;
    let mut line = node.line;
    for step in &steps {
        let next = match step {
            yaml::Step::Key(key) => node.entry(key).map(|entry| (entry.line, &entry.node)),
            yaml::Step::Index(at) => node.items().get(*at).map(|item| (item.line, item)),
        };
        let Some((key_line, next)) = next else {
            return missing_field(path, document, line);
        };
        (line, node) = (key_line, next);
    }
    let ids = spots_of(template, line, node);
    let lines = document.places(line);
    let lines = lines.into_iter().filter(|place| place.role != PlaceRole::ValueFrom).collect();
    let vars = ids.into_iter().filter_map(|id| trace(&run.vars, id)).collect();
    Ok(Explanation { path, value: Some(node.to_json().to_string()), lines, vars })
}

/// A field that no template writes: the nearest line that could hold it.
fn missing_field(path: String, document: &Document, line: u32) -> Result<Explanation, Finding> {
    let lines = document.places(line);
    let lines = lines.into_iter().filter(|place| place.role != PlaceRole::ValueFrom).collect();
    Ok(Explanation { path, value: None, lines, vars: Vec::new() })
}

/// The values read on the lines of a field, from its key to the end of what it holds.
fn spots_of(template: &TemplateRun, line: u32, node: &Node) -> BTreeSet<u32> {
    let last = last_line(node).max(line);
    let mut ids = BTreeSet::new();
    for at in line..=last {
        for spot in template.lines.lines.of(at) {
            let reads = usize::try_from(*spot).ok().and_then(|spot| template.reads.get(spot));
            ids.extend(reads.into_iter().flatten().copied());
        }
    }
    ids
}

/// The last line on which a value inside starts.
fn last_line(node: &Node) -> u32 {
    let children = node.items().iter().chain(node.entries().iter().map(|entry| &entry.node));
    children.map(last_line).max().unwrap_or(0).max(node.line)
}

/// A document as commands name it, such as `InstanceGroup/nodes`.
fn document_name(document: &Document) -> String {
    let text = |path: &str| document.root.lookup(path).and_then(Node::as_str).unwrap_or_default();
    format!("{}/{}", text("kind"), text("metadata.name"))
}

fn trace(vars: &Vars, id: u32) -> Option<Trace> {
    let node = vars.node(id)?;
    Some(Trace {
        path: vars.path(id),
        value: vars.json(id).to_string(),
        place: node.origin.place(),
        overrode: node.overrode.clone(),
    })
}
