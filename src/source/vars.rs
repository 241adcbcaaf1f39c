//! The values of one cluster, flat, each with where it came from and what it replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::finding::{Finding, Place, PlaceRole};
use crate::yaml::{Node, Step, Value};

/// Root keys that kprod itself reads, so that no template has to.
const KEYS_OF_KPROD: [&str; 3] = ["extends", "channel", "cloud"];

/// Whether kprod itself reads a value, by its path.
pub(super) fn is_key_of_kprod(path: &str) -> bool {
    KEYS_OF_KPROD.contains(&path)
}

/// Where a value was written: a line of a vars file, or a `--set`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    pub(super) file: Arc<str>,
    pub(super) line: Option<u32>,
}

impl Origin {
    /// The place, as the one a value came from.
    pub fn place(&self) -> Place {
        Place { role: PlaceRole::ValueFrom, file: self.file.to_string(), line: self.line }
    }
}

/// A value that a later layer replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overridden {
    /// Where the lower layer wrote it.
    pub origin: Origin,
    /// What it was, as short JSON.
    pub value: String,
}

/// The merged vars of a cluster, flat; the root is node 0.
#[derive(Debug, Default)]
pub(super) struct Vars {
    pub(super) nodes: Vec<VarNode>,
    /// Keys that a null took away, by path.
    pub(super) deleted: BTreeMap<String, Origin>,
    /// Files whose unread values are worth a word: the cluster's own and the command line.
    pub(super) own_files: BTreeSet<Arc<str>>,
    /// Whether a layer is missing or cannot be read. Any value may be in it, so that none that is
    /// not set is a mistake of its own.
    pub(super) is_incomplete: bool,
}

#[derive(Debug)]
pub(super) struct VarNode {
    pub(super) parent: u32,
    pub(super) step: Step,
    pub(super) kind: VarKind,
    pub(super) origin: Origin,
    pub(super) overrode: Vec<Overridden>,
}

#[derive(Debug)]
pub(super) enum VarKind {
    Scalar(Value),
    List(Vec<u32>),
    Map { order: Vec<(String, u32)>, by_key: BTreeMap<String, u32> },
}

impl Vars {
    pub(super) fn node(&self, id: u32) -> Option<&VarNode> {
        self.nodes.get(usize::try_from(id).ok()?)
    }

    /// The list or map that a value is in; the root is in none.
    pub(super) fn parent(&self, id: u32) -> Option<u32> {
        self.node(id).filter(|_| id > 0).map(|node| node.parent)
    }

    pub(super) fn child(&self, id: u32, step: &Step) -> Option<u32> {
        match step {
            Step::Key(key) => self.key(id, key),
            Step::Index(index) => self.item(id, *index),
        }
    }

    /// What a map has under a key.
    pub(super) fn key(&self, id: u32, key: &str) -> Option<u32> {
        match &self.node(id)?.kind {
            VarKind::Map { by_key, .. } => by_key.get(key).copied(),
            _ => None,
        }
    }

    /// What a list has at a place.
    pub(super) fn item(&self, id: u32, index: usize) -> Option<u32> {
        match &self.node(id)?.kind {
            VarKind::List(items) => items.get(index).copied(),
            _ => None,
        }
    }

    /// The names inside a map.
    pub(super) fn keys(&self, id: u32) -> impl Iterator<Item = &str> {
        let order = match self.node(id).map(|node| &node.kind) {
            Some(VarKind::Map { order, .. }) => order.as_slice(),
            _ => &[],
        };
        order.iter().map(|(key, _)| key.as_str())
    }

    /// The path of a value as a user would write it.
    pub(super) fn path(&self, id: u32) -> String {
        let mut steps = Vec::new();
        let mut here = id;
        // Parents have lower numbers, so this ends at the root.
        while here > 0
            && let Some(node) = self.node(here)
        {
            steps.push(&node.step);
            here = node.parent;
        }
        steps.iter().rev().fold(String::new(), |path, step| step_path(&path, step))
    }

    /// The path of a key that is not there.
    pub(super) fn path_of_missing(&self, parent: u32, key: &str) -> String {
        join(&self.path(parent), key)
    }

    pub(super) fn deleted(&self, path: &str) -> Option<&Origin> {
        self.deleted.get(path)
    }

    pub(super) fn json(&self, id: u32) -> serde_json::Value {
        match self.node(id).map(|node| &node.kind) {
            None => serde_json::Value::Null,
            Some(VarKind::Scalar(value)) => scalar_json(value),
            Some(VarKind::List(items)) => items.iter().map(|item| self.json(*item)).collect(),
            Some(VarKind::Map { order, .. }) => serde_json::Value::Object(
                order.iter().map(|(key, id)| (key.clone(), self.json(*id))).collect(),
            ),
        }
    }

    /// The value as a template prints it.
    pub(super) fn text(&self, id: u32) -> String {
        match self.json(id) {
            serde_json::Value::String(text) => text,
            json => json.to_string(),
        }
    }

    /// Values of the cluster's own file and of the command line that no template read, the largest
    /// whole parts of them.
    pub(super) fn unread(&self, read: &[bool]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (key, id) in match self.node(0).map(|node| &node.kind) {
            Some(VarKind::Map { order, .. }) => order.as_slice(),
            _ => &[],
        } {
            if !is_key_of_kprod(key) {
                self.unread_below(*id, read, &mut findings);
            }
        }
        findings
    }

    fn unread_below(&self, id: u32, read: &[bool], findings: &mut Vec<Finding>) {
        let Some(node) = self.node(id) else { return };
        if self.is_untouched(id, read) {
            let path = self.path(id);
            let place = Place { role: PlaceRole::At, ..node.origin.place() };
            let finding = Finding::warning(format!("no template reads `{path}`")).at(place);
            findings.push(finding.field(path).hint("remove it, or mend its name"));
            return;
        }
        for child in self.children(id) {
            self.unread_below(child, read, findings);
        }
    }

    /// Whether a value comes from the cluster's own file as a whole and nothing in it was read.
    fn is_untouched(&self, id: u32, read: &[bool]) -> bool {
        let Some(node) = self.node(id) else { return false };
        let is_read = usize::try_from(id).ok().and_then(|id| read.get(id)).is_none_or(|read| *read);
        !is_read
            && self.own_files.contains(&node.origin.file)
            && self.children(id).all(|child| self.is_untouched(child, read))
    }

    fn children(&self, id: u32) -> impl Iterator<Item = u32> {
        let (items, order): (&[u32], &[(String, u32)]) = match self.node(id).map(|node| &node.kind)
        {
            Some(VarKind::List(items)) => (items, &[]),
            Some(VarKind::Map { order, .. }) => (&[], order),
            _ => (&[], &[]),
        };
        items.iter().copied().chain(order.iter().map(|(_, id)| *id))
    }
}

pub(super) fn scalar_json(value: &Value) -> serde_json::Value {
    Node { line: 0, column: 0, value: value.clone() }.to_json()
}

pub(super) fn join(path: &str, key: &str) -> String {
    step_path(path, &Step::Key(key.to_owned()))
}

/// A path with one more step; keys that hold dots or brackets are quoted.
pub(super) fn step_path(path: &str, step: &Step) -> String {
    match step {
        Step::Key(key) if key.contains(['.', '[', ']']) => format!("{path}[\"{key}\"]"),
        Step::Key(key) if path.is_empty() => key.clone(),
        Step::Key(key) => format!("{path}.{key}"),
        Step::Index(index) => format!("{path}[{index}]"),
    }
}
