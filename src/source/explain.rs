//! Where a value came from: the answer of `kprod explain`.

use std::collections::BTreeSet;

use super::render::{ClusterRun, Engine, TemplateRun};
use super::scope::CLUSTER_NAME;
use super::set::Set;
use super::vars::{Overridden, VarKind, Vars};
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
    /// Whether templates gave it; else the lines are those of ready documents.
    pub is_rendered: bool,
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
    Ok(Explanation { path, value, lines, vars: trace.into_iter().collect(), is_rendered: true })
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
    match path {
        CLUSTER_NAME => return finding.hint("templates see the cluster's name under this word"),
        "extends" => return finding.hint("`kprod clusters` lists the layers"),
        _ => {}
    }
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
                let place = place.map(|place| place.with_role(PlaceRole::SeeAlso));
                return finding.places(place.filter(|_| here > 0)).hint(way_on(vars, here, &step));
            }
        }
    }
    finding
}

/// What to write in place of a step that leads nowhere.
fn way_on(vars: &Vars, here: u32, step: &yaml::Step) -> String {
    let path = match vars.path(here) {
        path if path.is_empty() => "this".to_owned(),
        path => format!("`{path}`"),
    };
    let keys: Vec<&str> = vars.keys(here).collect();
    match (vars.node(here).map(|node| &node.kind), step) {
        (Some(VarKind::List(items)), _) => {
            format!("{path} is a list of {}; its first item is [0]", items.len())
        }
        (_, yaml::Step::Key(key)) if here == 0 => match did_you_mean(key, keys) {
            Some(name) => format!("did you mean `{name}`?"),
            None => {
                "a rendered field is written like `InstanceGroup/nodes spec.maxSize`".to_owned()
            }
        },
        (Some(VarKind::Map { .. }), yaml::Step::Key(key)) => {
            match did_you_mean(key, keys.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("{path} has {}", keys.join(", ")),
            }
        }
        (Some(VarKind::Map { .. }), _) => format!("{path} has {}", keys.join(", ")),
        _ => format!("{path} is a single value"),
    }
}

/// Explains a field of ready documents, such as `InstanceGroup/nodes spec.maxSize`.
///
/// # Errors
/// When there is no such document, or the path is none.
pub fn explain_document(documents: &[Document], path: &str) -> Result<Explanation, Finding> {
    let (name, field) = path.split_once(' ').unwrap_or((path, ""));
    let Some(document) = documents.iter().find(|document| document_name(document) == name) else {
        return Err(no_such_document(name, documents.iter(), "no document is"));
    };
    let place = |line: u32| document.places(line);
    let path = format!("{name} {}", field.trim()).trim_end().to_owned();
    let (line, value) = match descend(document, field.trim())? {
        Ok((line, node)) => (line, Some(node.to_json().to_string())),
        Err(line) => (line, None),
    };
    Ok(Explanation { path, value, lines: place(line), vars: Vec::new(), is_rendered: false })
}

fn no_such_document<'d>(
    name: &str,
    documents: impl Iterator<Item = &'d Document>,
    verb: &str,
) -> Finding {
    let names: Vec<String> = documents.map(document_name).collect();
    let finding = Finding::error(format!("{verb} `{name}`"));
    match did_you_mean(name, names.iter().map(String::as_str)) {
        Some(similar) => finding.hint(format!("did you mean `{similar}`?")),
        None => finding.hint(format!("there are {}", names.join(", "))),
    }
}

/// Walks to a field: its line and value, or the last line on the way when it is not written. Keys
/// that hold dots, as labels do, need no brackets.
fn descend<'d>(
    document: &'d Document,
    field: &str,
) -> Result<Result<(u32, &'d Node), u32>, Finding> {
    let Some(steps) = yaml::path_steps(field) else {
        let finding = Finding::error(format!("`{field}` is not a path"));
        return Err(finding.hint("write it like spec.subnets[0]"));
    };
    let (mut line, mut node) = (document.root.line, &document.root);
    let mut rest = steps.as_slice();
    while let Some((step, after)) = rest.split_first() {
        let found = match step {
            yaml::Step::Key(_) => key_of(node, rest),
            yaml::Step::Index(at) => node.items().get(*at).map(|item| (item.line, item, after)),
        };
        let Some(found) = found else { return Ok(Err(line)) };
        (line, node, rest) = found;
    }
    Ok(Ok((line, node)))
}

/// The entry that the fewest of the next steps name, joined by dots, with the steps after it.
fn key_of<'d, 's>(
    node: &'d Node,
    steps: &'s [yaml::Step],
) -> Option<(u32, &'d Node, &'s [yaml::Step])> {
    let mut key = String::new();
    for (at, step) in steps.iter().enumerate() {
        let yaml::Step::Key(part) = step else { return None };
        if at > 0 {
            key.push('.');
        }
        key.push_str(part);
        if let Some(entry) = node.entry(&key) {
            return Some((entry.line, &entry.node, steps.get(at + 1..)?));
        }
    }
    None
}

fn explain_field(run: &ClusterRun, name: &str, field: &str) -> Result<Explanation, Finding> {
    let documents = || {
        let templates = run.templates.iter();
        templates.flat_map(|(_, run)| run.documents.iter().map(move |document| (run, document)))
    };
    let Some((template, document)) = documents().find(|(_, doc)| document_name(doc) == name) else {
        let all = documents().map(|(_, document)| document);
        return Err(no_such_document(name, all, "no template renders"));
    };
    let path = format!("{name} {field}").trim_end().to_owned();
    let (line, node) = match descend(document, field)? {
        Ok(found) => found,
        Err(line) => return missing_field(path, document, line),
    };
    let ids = spots_of(template, line, node);
    let lines = document.places(line);
    let lines = lines.into_iter().filter(|place| place.role != PlaceRole::ValueFrom).collect();
    let vars = ids.into_iter().filter_map(|id| trace(&run.vars, id)).collect();
    Ok(Explanation {
        path,
        value: Some(node.to_json().to_string()),
        lines,
        vars,
        is_rendered: true,
    })
}

/// A field that no template writes: the nearest line that could hold it.
fn missing_field(path: String, document: &Document, line: u32) -> Result<Explanation, Finding> {
    let lines = document.places(line);
    let lines = lines.into_iter().filter(|place| place.role != PlaceRole::ValueFrom).collect();
    Ok(Explanation { path, value: None, lines, vars: Vec::new(), is_rendered: true })
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
