//! YAML with positions: the marked tree that every reader of input works on.
//!
//! The YAML 1.2 core schema decides what a plain scalar is; so `yes`, `on`, `1_000` and `0777` are
//! text, as is any number with a leading zero (an AWS account id keeps its zeros). Where YAML 1.1
//! says otherwise, 1.2 wins, with one exception that everybody uses: merge keys (`<<`).
//!
//! Keys are text: a key such as `8080` or `true` is taken as it is written, as JSON would want it.
//! A key that is null, a list or a map is an error, and so is a key given twice.

mod parse;
mod scalar;

use serde_json::json;

pub use parse::{Limits, YamlError, parse};

/// A value and where it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Line in the parsed text, counted from 1.
    pub line: u32,
    /// Column, counted from 1.
    pub column: u32,
    /// What stands there.
    pub value: Value,
}

/// The YAML 1.2 core schema's values; mappings keep the order of the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// A map with string keys.
    Mapping(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Line of the key, counted from 1.
    pub line: u32,
    /// The value.
    pub node: Node,
}

impl Node {
    /// The value under a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The key with its value, if this is a map that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a map; of anything else, none.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; of anything else, none.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Walks down a path such as `spec.subnets[0].name`. Keys that hold dots can be written in
    /// brackets: `labels["a.b/c"]`.
    pub fn lookup(&self, path: &str) -> Option<&Node> {
        let mut node = self;
        for step in path_steps(path)? {
            node = match step {
                Step::Key(key) => node.get(&key)?,
                Step::Index(index) => node.items().get(index)?,
            };
        }
        Some(node)
    }

    /// The same value without positions. Infinite numbers, which JSON lacks, become their YAML text.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => json!(value),
            Value::Int(value) => json!(value),
            Value::Float(value) if value.is_finite() => json!(value),
            Value::Float(value) => json!(scalar::infinite_text(*value)),
            Value::String(value) => json!(value),
            Value::Sequence(items) => items.iter().map(Node::to_json).collect(),
            Value::Mapping(entries) => serde_json::Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect(),
            ),
        }
    }

    /// What kind of value this is, as messages call it.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::String(_) => "text",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a map",
        }
    }
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Into a map.
    Key(String),
    /// Into a list, counted from 0.
    Index(usize),
}

/// Splits a path such as `a.b[0]["c.d"]` into steps; `None` when it is not one.
pub fn path_steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (step, after) = bracket_step(inside)?;
            steps.push(step);
            rest = after;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (key, after) = rest.split_at(end);
            if key.is_empty() {
                return None;
            }
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        }
        if let Some(after) = rest.strip_prefix('.') {
            if after.is_empty() {
                return None;
            }
            rest = after;
        }
    }
    Some(steps)
}

/// Reads what follows an opening bracket: `0]` or `"a.b"]`.
fn bracket_step(inside: &str) -> Option<(Step, &str)> {
    for quote in ['"', '\''] {
        if let Some(text) = inside.strip_prefix(quote) {
            let (key, after) = text.split_once(quote)?;
            return Some((Step::Key(key.to_owned()), after.strip_prefix(']')?));
        }
    }
    let (index, after) = inside.split_once(']')?;
    Some((Step::Index(index.parse().ok()?), after))
}

/// What a plain scalar means in the core schema.
///
/// # Errors
/// Whole numbers that do not fit 64 bits.
pub fn plain_scalar(text: &str) -> Result<Value, String> {
    scalar::resolve(text)
}

/// Line breaks of YAML 1.1 that are ordinary characters in 1.2 ("Line Break Characters" of both): next
/// line, line separator, paragraph separator.
const OLD_LINE_BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// Writes a value as block YAML, keys in the order the value has them. The same value always gives
/// the same text.
///
/// A value that holds a line break which only YAML 1.1 knows is written as JSON, that break escaped:
/// block text around it would mean another value to readers of 1.2.
pub fn to_text(value: &serde_json::Value) -> String {
    // Writing a JSON value to memory cannot fail: it has string keys only and no custom serializer.
    let text = serde_yaml::to_string(value).unwrap_or_default();
    if !text.contains(OLD_LINE_BREAKS) {
        return text;
    }
    let json = format!("{value:#}\n");
    let escape = |json: String, c: char| json.replace(c, &format!("\\u{:04x}", u32::from(c)));
    OLD_LINE_BREAKS.into_iter().fold(json, escape)
}

#[cfg(test)]
mod tests;
