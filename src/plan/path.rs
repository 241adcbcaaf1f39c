//! Paths into a resource's fields: how a plan writes them, and the shape the class table knows.
//!
//! One walker serves differences, unknown values and the class table, so the three cannot disagree
//! about what a field is.

use serde_json::Value;

use crate::resource::{Key, Ref};

/// Objects whose keys are data and not fields, by shape.
const MAPS: &[&str] = &[
    "tags",
    "inline_policies",
    "record_sets",
    "lifecycle_hooks",
    "launch_template_data.tag_specifications",
    "launch_template_data.tag_specifications.*",
];

/// Lists whose order counts and whose items are told apart by position, by shape. All other lists
/// are compared as a whole.
const LISTS: &[&str] =
    &["launch_template_data.block_device_mappings", "launch_template_data.network_interfaces"];

/// Objects that are compared and shown as a whole, by shape: a policy means nothing in parts, and
/// an ASG's tag is one tag.
const LEAVES: &[&str] = &["assume_role_policy_document", "inline_policies.*", "tags.*"];

/// Where a field is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path {
    /// As a plan writes it: `launch_template_data.image_id`, `tags["env"]`.
    pub(super) text: String,
    /// With every key and position as `*`: `tags.*`. What the class table is written in.
    pub(super) shape: String,
}

impl Path {
    fn child(&self, key: &str) -> Self {
        let is_map = MAPS.contains(&self.shape.as_str());
        let dot = if self.shape.is_empty() { "" } else { "." };
        if is_map {
            let text = format!("{}[{}]", self.text, Value::String(key.to_owned()));
            Self { text, shape: format!("{}.*", self.shape) }
        } else {
            Self {
                text: format!("{}{dot}{key}", self.text),
                shape: format!("{}{dot}{key}", self.shape),
            }
        }
    }

    fn item(&self, index: usize) -> Self {
        Self { text: format!("{}[{index}]", self.text), shape: format!("{}.*", self.shape) }
    }

    /// The key of a tag of the resource itself.
    pub(super) fn tag_key(&self) -> Option<String> {
        let quoted = self.text.strip_prefix("tags[")?.strip_suffix(']')?;
        serde_json::from_str(quoted).ok()
    }
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    /// Which field.
    pub(super) path: Path,
    /// What is there, if anything.
    pub(super) before: Option<Value>,
    /// What is wanted, if anything.
    pub(super) after: Option<Value>,
}

/// Every field in which two serialised resources differ, in the order of their names.
pub(super) fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk_pair(&Path::default(), before, after, &mut found);
    found
}

fn walk_pair(path: &Path, before: &Value, after: &Value, found: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    let shape = path.shape.as_str();
    match (before, after) {
        (Value::Object(left), Value::Object(right)) if !LEAVES.contains(&shape) => {
            let keys: std::collections::BTreeSet<&String> =
                left.keys().chain(right.keys()).collect();
            for key in keys {
                let child = path.child(key);
                match (left.get(key), right.get(key)) {
                    (Some(l), Some(r)) => walk_pair(&child, l, r, found),
                    (l, r) => found.push(Difference {
                        path: child,
                        before: l.cloned(),
                        after: r.cloned(),
                    }),
                }
            }
        }
        (Value::Array(left), Value::Array(right))
            if LISTS.contains(&shape) && left.len() == right.len() =>
        {
            for (index, (l, r)) in left.iter().zip(right).enumerate() {
                walk_pair(&path.item(index), l, r, found);
            }
        }
        _ => found.push(Difference {
            path: path.clone(),
            before: Some(before.clone()),
            after: Some(after.clone()),
        }),
    }
}

/// Every field of a serialised resource that holds a value, with the value.
pub(super) fn leaves(value: &Value) -> Vec<(Path, &Value)> {
    let mut found = Vec::new();
    walk_one(Path::default(), value, &mut found);
    found
}

fn walk_one<'v>(path: Path, value: &'v Value, found: &mut Vec<(Path, &'v Value)>) {
    let shape = path.shape.as_str();
    match value {
        Value::Object(map) if !LEAVES.contains(&shape) => {
            for (key, child) in map {
                walk_one(path.child(key), child, found);
            }
        }
        Value::Array(items) if LISTS.contains(&shape) => {
            for (index, item) in items.iter().enumerate() {
                walk_one(path.item(index), item, found);
            }
        }
        _ => found.push((path, value)),
    }
}

/// The keys of the resources that a value still waits for: promises in it that nothing resolved.
pub(super) fn promises(value: &Value) -> Vec<Key> {
    strings(value)
        .into_iter()
        .filter_map(|text| match Ref::parse(text) {
            Ref::Of(key, _) => Some(key),
            Ref::Known(_) => None,
        })
        .collect()
}

/// Every string in a value, keys of objects apart.
pub(super) fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(map) => map.values().flat_map(strings).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}
