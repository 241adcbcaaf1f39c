//! Lays the layers of a cluster over each other, and what the command line sets on top.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::set::Set;
use super::tree::Tree;
use super::vars::{Origin, Overridden, VarKind, VarNode, Vars, join, scalar_json, step_path};
use crate::finding::{Finding, Place, PlaceRole, Severity, did_you_mean};
use crate::yaml::{Node, Step, Value};

/// A value on its way through the layers.
struct Merged {
    value: MergedValue,
    origin: Origin,
    overrode: Vec<Overridden>,
}

enum MergedValue {
    Scalar(Value),
    List(Vec<Merged>),
    Map(Vec<(String, Merged)>),
}

/// The layers of a cluster, the lowest first and its own file last.
pub(super) fn layers(tree: &Tree, cluster: &str, findings: &mut Vec<Finding>) -> Vec<String> {
    walk(tree, cluster, findings).0
}

/// The layers, and whether one of them is missing or cannot be read, which is reported.
fn walk(tree: &Tree, cluster: &str, findings: &mut Vec<Finding>) -> (Vec<String>, bool) {
    let before = findings.len();
    let mut walk = LayerWalk { tree, findings, order: Vec::new(), trail: Vec::new() };
    walk.visit(format!("vars/{cluster}.yaml"));
    let is_unread = |path: &String| tree.vars.get(path).is_none_or(|file| file.root.is_none());
    let is_incomplete = walk.findings.len() > before || walk.order.iter().any(is_unread);
    (walk.order, is_incomplete)
}

struct LayerWalk<'a> {
    tree: &'a Tree,
    findings: &'a mut Vec<Finding>,
    order: Vec<String>,
    /// The files that lead here, each extending the next.
    trail: Vec<String>,
}

impl LayerWalk<'_> {
    /// Puts a file after everything that it extends. A layer named twice is applied once, where it
    /// came first.
    fn visit(&mut self, path: String) {
        if self.order.contains(&path) {
            return;
        }
        self.trail.push(path.clone());
        let root = self.tree.vars.get(&path).and_then(|file| file.root.as_ref());
        if let Some(extends) = root.and_then(|root| root.get("extends")) {
            let names: Vec<&Node> = match &extends.value {
                Value::Sequence(items) => items.iter().collect(),
                _ => vec![extends],
            };
            for name in names {
                self.visit_layer(&path, name);
            }
        }
        self.trail.pop();
        self.order.push(path);
    }

    fn visit_layer(&mut self, from: &str, name: &Node) {
        let here = Place::at(from, name.line);
        let Some(layer) = name.as_str() else {
            let message = format!("`extends` names layers, but this is {}", name.kind());
            self.findings.push(Finding::error(message).at(here).field("extends"));
            return;
        };
        let path = format!("vars/{layer}.yaml");
        if let Some(start) = self.trail.iter().position(|step| *step == path) {
            let circle: Vec<&str> =
                self.trail.iter().skip(start).map(String::as_str).chain([&*path]).collect();
            let message = format!("layers extend each other in a circle: {}", circle.join(" -> "));
            self.findings.push(Finding::error(message).at(here).field("extends"));
        } else if !layer.starts_with('_') {
            let message = format!("`{layer}` is no layer: the names of layers start with `_`");
            let hint = format!("put what both share into vars/_{layer}.yaml");
            self.findings.push(Finding::error(message).at(here).field("extends").hint(hint));
        } else if !self.tree.vars.contains_key(&path) {
            let layers = self.tree.vars.keys().filter_map(|path| {
                path.strip_prefix("vars/")?.strip_suffix(".yaml").filter(|n| n.starts_with('_'))
            });
            let message = format!("there is no layer `{layer}`");
            let finding = Finding::error(message).at(here).field("extends");
            self.findings.push(match did_you_mean(layer, layers) {
                Some(name) => finding.hint(format!("did you mean `{name}`?")),
                None => finding.hint(format!("a file {path} makes it")),
            });
        } else {
            self.visit(path);
        }
    }
}

/// Merges the layers of a cluster and then what the command line sets.
pub(super) fn merge(tree: &Tree, cluster: &str, sets: &[Set], findings: &mut Vec<Finding>) -> Vars {
    let mut merge = Merge { deleted: BTreeMap::new(), findings, file: "".into() };
    let mut root = Merged {
        value: MergedValue::Map(Vec::new()),
        origin: Origin { file: format!("vars/{cluster}.yaml").into(), line: None },
        overrode: Vec::new(),
    };
    let mut own_files = BTreeSet::from([root.origin.file.clone()]);
    let (layers, is_incomplete) = walk(tree, cluster, merge.findings);
    for path in layers {
        merge.file = path.as_str().into();
        if let Some(node) = tree.vars.get(&path).and_then(|file| file.root.as_ref()) {
            merge.overlay(&mut root, node, "");
        }
    }
    for set in sets {
        merge.file = set.label.as_str().into();
        own_files.insert(merge.file.clone());
        merge.set(&mut root, set);
    }
    let mut vars = Vars { nodes: Vec::new(), deleted: merge.deleted, own_files, is_incomplete };
    push(&mut vars, root, 0, Step::Key(String::new()));
    vars
}

struct Merge<'a> {
    deleted: BTreeMap<String, Origin>,
    findings: &'a mut Vec<Finding>,
    /// The layer being laid over.
    file: Arc<str>,
}

impl Merge<'_> {
    fn origin(&self, line: u32) -> Origin {
        Origin { file: self.file.clone(), line: (line > 0).then_some(line) }
    }

    /// Lays a map over a map.
    fn overlay(&mut self, base: &mut Merged, node: &Node, path: &str) {
        let MergedValue::Map(keys) = &mut base.value else { return };
        let mut places: BTreeMap<String, usize> =
            keys.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)).collect();
        let mut gone = BTreeSet::new();
        for entry in node.entries() {
            if path.is_empty() && entry.key == "extends" {
                continue;
            }
            let key_path = join(path, &entry.key);
            let here = places.get(&entry.key).copied();
            if entry.node.value == Value::Null {
                self.deleted.insert(key_path, self.origin(entry.line));
                gone.extend(here);
                continue;
            }
            self.deleted.remove(&key_path);
            match here.and_then(|at| keys.get_mut(at)) {
                Some((_, old)) => self.lay(old, &entry.node, entry.line, &key_path),
                None => {
                    places.insert(entry.key.clone(), keys.len());
                    keys.push((entry.key.clone(), self.fresh(&entry.node, entry.line)));
                }
            }
        }
        let mut at = 0;
        keys.retain(|_| {
            at += 1;
            !gone.contains(&(at - 1))
        });
    }

    /// Lays a value over a value: maps merge, everything else is replaced whole.
    fn lay(&mut self, old: &mut Merged, node: &Node, line: u32, path: &str) {
        let both_maps =
            matches!((&old.value, &node.value), (MergedValue::Map(_), Value::Mapping(_)));
        if both_maps {
            self.overlay(old, node, path);
            return;
        }
        let mut new = self.fresh(node, line);
        self.check_override(old, &new, path);
        new.overrode = std::mem::take(&mut old.overrode);
        new.overrode.push(Overridden { origin: old.origin.clone(), value: short(old) });
        *old = new;
    }

    /// Reports an override without effect, and one that swaps a map for something else.
    fn check_override(&mut self, old: &Merged, new: &Merged, path: &str) {
        let here = || Place { role: PlaceRole::At, ..new.origin.place() };
        let below = || Place { role: PlaceRole::SeeAlso, ..old.origin.place() };
        if same(old, new) {
            let message = format!("`{path}` is set to what a lower layer says already");
            let finding = Finding::warning(message).at(here()).at(below());
            self.findings.push(finding.field(path).hint("remove it here"));
        }
        let is_map = |value: &Merged| matches!(value.value, MergedValue::Map(_));
        if is_map(old) != is_map(new) {
            let (from, to) = (kind(old), kind(new));
            let message = format!("`{path}` was {from} in a lower layer and is {to} here");
            self.findings.push(Finding::warning(message).at(here()).at(below()).field(path));
        }
    }

    /// A value that nothing was below. A null inside it, which has nothing to delete, is dropped
    /// from maps and kept in lists.
    fn fresh(&self, node: &Node, line: u32) -> Merged {
        let value = match &node.value {
            Value::Sequence(items) => {
                MergedValue::List(items.iter().map(|item| self.fresh(item, item.line)).collect())
            }
            Value::Mapping(entries) => MergedValue::Map(
                entries
                    .iter()
                    .filter(|entry| entry.node.value != Value::Null)
                    .map(|entry| (entry.key.clone(), self.fresh(&entry.node, entry.line)))
                    .collect(),
            ),
            scalar => MergedValue::Scalar(scalar.clone()),
        };
        Merged { value, origin: self.origin(line), overrode: Vec::new() }
    }

    /// Puts a value where its path says, making maps on the way.
    fn set(&mut self, root: &mut Merged, set: &Set) {
        let mut path = String::new();
        let mut here = root;
        let Some((last, way)) = set.path.split_last() else { return };
        for step in way {
            path = step_path(&path, step);
            let wrapper =
                self.fresh(&Node { line: 0, column: 0, value: Value::Mapping(vec![]) }, 0);
            match self.enter(here, step, wrapper) {
                Ok(inside) => here = inside,
                Err(message) => return self.refuse(set, &path, message),
            }
            if matches!(here.value, MergedValue::Scalar(_)) {
                let message = format!("`{path}` is {}, so nothing can be set in it", kind(here));
                return self.refuse(set, &path, message);
            }
        }
        path = step_path(&path, last);
        if set.value.value == Value::Null {
            self.delete(here, last, &path);
            return;
        }
        let new = self.fresh(&set.value, 0);
        let before = self.findings.len();
        match self.enter(here, last, new) {
            // `enter` made it just now.
            Ok(made) if made.origin.file == self.file => {}
            Ok(old) => self.lay(old, &set.value, 0, &path),
            Err(message) => self.refuse(set, &path, message),
        }
        // Saying on the command line what the files say is nobody's mistake.
        let kept = self.findings.split_off(before);
        self.findings.extend(kept.into_iter().filter(|f| f.severity > Severity::Warning));
        self.deleted.remove(&path);
    }

    fn refuse(&mut self, set: &Set, path: &str, message: String) {
        let place = Place::file(&*set.label);
        self.findings.push(Finding::error(message).at(place).field(path));
    }

    /// What a step leads to, `wrapper` when nothing is there yet.
    fn enter<'m>(
        &self,
        here: &'m mut Merged,
        step: &Step,
        wrapper: Merged,
    ) -> Result<&'m mut Merged, String> {
        let found = kind(here);
        let is_empty = matches!(&here.value, MergedValue::Map(keys) if keys.is_empty());
        if is_empty && *step == Step::Index(0) {
            here.value = MergedValue::List(Vec::new());
        }
        match (&mut here.value, step) {
            (MergedValue::Map(keys), Step::Key(key)) => {
                let at = keys.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
                    keys.push((key.clone(), wrapper));
                    keys.len() - 1
                });
                keys.get_mut(at).map(|(_, value)| value).ok_or_else(String::new)
            }
            (MergedValue::List(items), Step::Index(index)) => {
                let len = items.len();
                if *index == len {
                    items.push(wrapper);
                }
                items
                    .get_mut(*index)
                    .ok_or_else(|| format!("the list has {len} items: the next one is [{len}]"))
            }
            (_, Step::Key(key)) => Err(format!("{found} has no key `{key}`")),
            (_, Step::Index(index)) => Err(format!("{found} has no item [{index}]")),
        }
    }

    fn delete(&mut self, here: &mut Merged, step: &Step, path: &str) {
        match (&mut here.value, step) {
            (MergedValue::Map(keys), Step::Key(key)) => keys.retain(|(name, _)| name != key),
            (MergedValue::List(items), Step::Index(index)) if *index < items.len() => {
                items.remove(*index);
            }
            _ => {}
        }
        self.deleted.insert(path.to_owned(), self.origin(0));
    }
}

/// Whether two values are equal, wherever they were written.
fn same(a: &Merged, b: &Merged) -> bool {
    match (&a.value, &b.value) {
        (MergedValue::Scalar(a), MergedValue::Scalar(b)) => a == b,
        (MergedValue::List(a), MergedValue::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (MergedValue::Map(a), MergedValue::Map(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, a)| b.iter().any(|(name, b)| name == key && same(a, b)))
        }
        _ => false,
    }
}

fn kind(value: &Merged) -> &'static str {
    match &value.value {
        MergedValue::Scalar(Value::String(_)) => "text",
        MergedValue::Scalar(Value::Bool(_)) => "a boolean",
        MergedValue::Scalar(Value::Null) => "null",
        MergedValue::Scalar(_) => "a number",
        MergedValue::List(_) => "a list",
        MergedValue::Map(_) => "a map",
    }
}

/// The value as JSON that fits on a line.
fn short(value: &Merged) -> String {
    cut(&merged_json(value).to_string())
}

fn merged_json(value: &Merged) -> serde_json::Value {
    match &value.value {
        MergedValue::Scalar(value) => scalar_json(value),
        MergedValue::List(items) => items.iter().map(merged_json).collect(),
        MergedValue::Map(keys) => serde_json::Value::Object(
            keys.iter().map(|(key, value)| (key.clone(), merged_json(value))).collect(),
        ),
    }
}

/// Longest value that a message shows, in characters.
const SHOWN_CHARS_MAX: usize = 80;

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Flattens a merged value; gives its number.
fn push(vars: &mut Vars, merged: Merged, parent: u32, step: Step) -> u32 {
    let id = u32::try_from(vars.nodes.len()).unwrap_or(u32::MAX);
    let Merged { value, origin, overrode } = merged;
    let kind = VarKind::List(Vec::new());
    vars.nodes.push(VarNode { parent, step, kind, origin, overrode });
    let kind = match value {
        MergedValue::Scalar(value) => VarKind::Scalar(value),
        MergedValue::List(items) => VarKind::List(
            items
                .into_iter()
                .enumerate()
                .map(|(index, item)| push(vars, item, id, Step::Index(index)))
                .collect(),
        ),
        MergedValue::Map(keys) => {
            let order: Vec<(String, u32)> = keys
                .into_iter()
                .map(|(key, value)| (key.clone(), push(vars, value, id, Step::Key(key))))
                .collect();
            let by_key = order.iter().cloned().collect();
            VarKind::Map { order, by_key }
        }
    };
    if let Some(node) = usize::try_from(id).ok().and_then(|id| vars.nodes.get_mut(id)) {
        node.kind = kind;
    }
    id
}
