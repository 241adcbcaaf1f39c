//! The shape of documents, taken from the JSON Schema of the types, and what does not fit it.
//!
//! Reading a document through its shape finds every problem at once, each with its line; serde
//! would stop at the first and knows no lines. The shape comes from the same types that serde
//! fills, so the two cannot disagree.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use super::field::Field;
use super::honour;
use super::parse::Strictness;
use super::text::{check_format, expected_of};
use crate::document::Document;
use crate::finding::{Finding, PlaceRole, Severity, did_you_mean};
use crate::yaml::{Node, Step, Value};

/// What a value may be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// Anything; read elsewhere.
    Any,
    /// `true` or `false`.
    Bool,
    /// A whole number between two bounds, both included.
    Int { min: i64, max: i64 },
    /// A text, perhaps of a format.
    Text { format: Option<String> },
    /// A whole number or a text of a format.
    IntOrText { min: i64, max: i64, format: String },
    /// One of some words.
    Choice(Vec<String>),
    /// A list.
    List(Box<Shape>),
    /// A map with free keys, or with keys from a list.
    Map { keys: Option<Vec<String>>, values: Box<Shape> },
    /// A map with known keys.
    Object { fields: BTreeMap<String, Shape>, required: BTreeSet<String> },
}

/// Deeper than any type of the spec; a schema that refers to itself would go on for ever.
const DEPTH_MAX: usize = 32;

impl Shape {
    /// Builds the shape of a schema, following references into its `$defs`.
    pub(super) fn of(schema: &Json, defs: &Json, depth: usize) -> Shape {
        if depth > DEPTH_MAX {
            return Shape::Any;
        }
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
            return Shape::of(&defs[name], defs, depth + 1);
        }
        if let Some(choices) = schema["anyOf"].as_array() {
            let value = choices.iter().find(|choice| choice["type"] != "null");
            return value.map_or(Shape::Any, |value| Shape::of(value, defs, depth + 1));
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            let words = choices.iter().filter_map(|choice| choice["const"].as_str());
            return Shape::Choice(words.map(str::to_owned).collect());
        }
        let types = type_names(schema);
        match types.first().copied() {
            Some("boolean") => Shape::Bool,
            Some("integer") if types.contains(&"string") => Shape::IntOrText {
                min: schema["minimum"].as_i64().unwrap_or(i64::MIN),
                max: schema["maximum"].as_i64().unwrap_or(i64::MAX),
                format: schema["format"].as_str().unwrap_or_default().to_owned(),
            },
            Some("integer") => Shape::Int {
                min: schema["minimum"].as_i64().unwrap_or(i64::MIN),
                max: schema["maximum"].as_i64().unwrap_or_else(|| integer_max(schema)),
            },
            Some("string") => match words(&schema["enum"]) {
                Some(words) => Shape::Choice(words),
                None => Shape::Text { format: schema["format"].as_str().map(str::to_owned) },
            },
            Some("array") => Shape::List(Box::new(Shape::of(&schema["items"], defs, depth + 1))),
            Some("object") => Shape::of_object(schema, defs, depth),
            _ => Shape::Any,
        }
    }

    fn of_object(schema: &Json, defs: &Json, depth: usize) -> Shape {
        if schema["additionalProperties"].is_object() {
            return Shape::Map {
                keys: words(&schema["propertyNames"]["enum"]),
                values: Box::new(Shape::of(&schema["additionalProperties"], defs, depth + 1)),
            };
        }
        let properties = schema["properties"].as_object().into_iter().flatten();
        Shape::Object {
            fields: properties
                .map(|(key, value)| (key.clone(), Shape::of(value, defs, depth + 1)))
                .collect(),
            required: words(&schema["required"]).unwrap_or_default().into_iter().collect(),
        }
    }

    /// What is expected, as messages say it.
    fn expected(&self) -> String {
        match self {
            Shape::Any => "a value".to_owned(),
            Shape::Bool => "`true` or `false`".to_owned(),
            Shape::Int { .. } => "a whole number".to_owned(),
            Shape::Text { .. } => "text".to_owned(),
            Shape::IntOrText { format, .. } => expected_of(format).to_owned(),
            Shape::Choice(words) => match words.as_slice() {
                [word] => format!("`{word}`"),
                words => format!("one of {}", quoted(words)),
            },
            Shape::List(_) => "a list".to_owned(),
            Shape::Map { .. } | Shape::Object { .. } => "a map".to_owned(),
        }
    }
}

/// The types a schema allows, `null` left out.
fn type_names(schema: &Json) -> Vec<&str> {
    match &schema["type"] {
        Json::String(name) => vec![name.as_str()],
        Json::Array(names) => {
            names.iter().filter_map(Json::as_str).filter(|name| *name != "null").collect()
        }
        _ => Vec::new(),
    }
}

/// The largest number that fits the integer type behind a schema.
fn integer_max(schema: &Json) -> i64 {
    match schema["format"].as_str() {
        Some("uint16") => i64::from(u16::MAX),
        Some("uint32") => i64::from(u32::MAX),
        _ => i64::MAX,
    }
}

fn words(list: &Json) -> Option<Vec<String>> {
    let words = list.as_array()?.iter().filter_map(Json::as_str);
    Some(words.map(str::to_owned).collect())
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Reads one document through its shape.
pub(super) struct Reader<'a> {
    document: &'a Document,
    strictness: Strictness,
    field: Field,
    findings: Vec<Finding>,
}

impl<'a> Reader<'a> {
    /// A reader that calls the document by `field`.
    pub(super) fn new(document: &'a Document, strictness: Strictness, field: Field) -> Self {
        Self { document, strictness, field, findings: Vec::new() }
    }

    /// Reads the document: what fits its shape, and a finding for everything that does not.
    pub(super) fn read(mut self, shape: &Shape) -> (Option<Json>, Vec<Finding>) {
        let root = &self.document.root;
        let value = self.value(root, root.line, shape);
        (value, self.findings)
    }

    fn value(&mut self, node: &Node, line: u32, shape: &Shape) -> Option<Json> {
        match (shape, &node.value) {
            (Shape::Any, _) => Some(node.to_json()),
            (Shape::Bool, Value::Bool(value)) => Some(Json::from(*value)),
            (Shape::Int { min, max }, Value::Int(value)) => self.int(*value, *min, *max, line),
            (Shape::IntOrText { min, max, format }, Value::Int(value)) => {
                self.int(*value, *min, *max, line)?;
                self.text(format, &value.to_string(), line)
            }
            (Shape::Text { format: Some(format) }, Value::String(text))
            | (Shape::IntOrText { format, .. }, Value::String(text)) => {
                self.text(format, text, line)
            }
            (Shape::Text { format: None }, Value::String(text)) => Some(Json::from(text.as_str())),
            (Shape::Choice(words), Value::String(text)) => self.choice(words, text, line),
            (Shape::List(item), Value::Sequence(items)) => Some(self.list(items, item)),
            (Shape::Map { keys, values }, Value::Mapping(_)) => {
                Some(self.map(node, keys.as_deref(), values))
            }
            (Shape::Object { fields, required }, Value::Mapping(_)) => {
                Some(self.object(node, line, fields, required))
            }
            _ => {
                self.wrong_type(node, line, shape);
                None
            }
        }
    }

    fn int(&mut self, value: i64, min: i64, max: i64, line: u32) -> Option<Json> {
        if value < min {
            self.error(line, format!("{value} is too small; the least is {min}"));
        } else if value > max {
            self.error(line, format!("{value} is too large; the most is {max}"));
        } else {
            return Some(Json::from(value));
        }
        None
    }

    fn text(&mut self, format: &str, text: &str, line: u32) -> Option<Json> {
        match check_format(format, text) {
            Ok(()) => Some(Json::from(text)),
            Err(message) => {
                self.error(line, message);
                None
            }
        }
    }

    fn choice(&mut self, words: &[String], text: &str, line: u32) -> Option<Json> {
        if words.iter().any(|word| word == text) {
            return Some(Json::from(text));
        }
        let expected = Shape::Choice(words.to_vec()).expected();
        let message = if honour::is_kops_value(&self.field, text) {
            format!("kops has `{}`, kprod does not honour it; expected {expected}", short(text))
        } else {
            format!("`{}` is not known here; expected {expected}", short(text))
        };
        let near = did_you_mean(text, words.iter().map(String::as_str));
        self.error(line, message);
        self.hint(near.map(|near| format!("did you mean `{near}`?")));
        None
    }

    fn list(&mut self, items: &[Node], item: &Shape) -> Json {
        let mut list = Vec::new();
        for (index, node) in items.iter().enumerate() {
            self.field.path.push(Step::Index(index));
            list.extend(self.value(node, node.line, item));
            self.field.path.pop();
        }
        Json::Array(list)
    }

    fn map(&mut self, node: &Node, keys: Option<&[String]>, values: &Shape) -> Json {
        let mut map = Map::new();
        for entry in node.entries() {
            self.field.path.push(Step::Key(entry.key.clone()));
            match keys {
                Some(keys) if !keys.contains(&entry.key) => {
                    self.unknown(entry.line, &entry.key, keys.iter().map(String::as_str));
                }
                _ => {
                    let value = self.value(&entry.node, entry.line, values);
                    map.extend(value.map(|value| (entry.key.clone(), value)));
                }
            }
            self.field.path.pop();
        }
        Json::Object(map)
    }

    fn object(
        &mut self,
        node: &Node,
        line: u32,
        fields: &BTreeMap<String, Shape>,
        required: &BTreeSet<String>,
    ) -> Json {
        let mut object = Map::new();
        for entry in node.entries() {
            self.field.path.push(Step::Key(entry.key.clone()));
            match fields.get(&entry.key) {
                Some(shape) => {
                    let value = self.entry(&entry.node, entry.line, shape);
                    object.extend(value.map(|value| (entry.key.clone(), value)));
                }
                None => self.unknown(entry.line, &entry.key, fields.keys().map(String::as_str)),
            }
            self.field.path.pop();
        }
        for key in required {
            match node.entry(key) {
                Some(entry) if entry.node.value != Value::Null => {}
                Some(entry) => self.error(entry.line, format!("`{key}` is missing")),
                None => self.error(line, format!("`{key}` is missing")),
            }
        }
        Json::Object(object)
    }

    /// A value of a known key: null is as good as absent, except where `{}` would choose something.
    fn entry(&mut self, node: &Node, line: u32, shape: &Shape) -> Option<Json> {
        if node.value != Value::Null {
            return self.value(node, line, shape);
        }
        if matches!(shape, Shape::Object { fields, .. } if fields.is_empty()) {
            self.error(line, "nothing stands here, so nothing is chosen".to_owned());
            self.hint(Some("write `{}`, or leave the line out".to_owned()));
        }
        None
    }

    fn unknown<'k>(&mut self, line: u32, key: &str, known: impl Iterator<Item = &'k str>) {
        let (message, hint) = match honour::lookup(&self.field) {
            Some(entry) => (
                format!("kops has the field `{}`, {}", short(key), honour::NOT_HONOURED_HERE),
                entry.instead.map(str::to_owned),
            ),
            None => (
                format!("unknown field `{}`", short(key)),
                did_you_mean(key, known).map(|near| format!("did you mean `{near}`?")),
            ),
        };
        self.add(self.strictness.severity(), line, message);
        // The name is wrong, wherever the value came from.
        if let Some(finding) = self.findings.last_mut() {
            finding.places.retain(|place| place.role != PlaceRole::ValueFrom);
        }
        self.hint(hint);
    }

    fn wrong_type(&mut self, node: &Node, line: u32, shape: &Shape) {
        self.error(line, format!("expected {}, got {}", shape.expected(), shown(node)));
        let scalar = matches!(node.value, Value::Bool(_) | Value::Int(_) | Value::Float(_));
        if scalar && matches!(shape, Shape::Text { .. }) {
            self.hint(Some("write it in quotes".to_owned()));
        }
    }

    fn error(&mut self, line: u32, message: String) {
        self.add(Severity::Error, line, message);
    }

    fn add(&mut self, severity: Severity, line: u32, message: String) {
        let places = self.document.places(line);
        let finding = Finding::new(severity, message).field(self.field.to_string());
        self.findings.push(finding.places(places));
    }

    /// Adds the way out to the latest finding.
    fn hint(&mut self, hint: Option<String>) {
        if let (Some(finding), Some(hint)) = (self.findings.last_mut(), hint) {
            finding.hint = Some(hint);
        }
    }
}

/// A value as messages show it.
pub(super) fn shown(node: &Node) -> String {
    match &node.value {
        Value::String(text) => format!("text `{}`", short(text)),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            format!("{} `{}`", node.kind(), node.to_json())
        }
        Value::Null => "nothing".to_owned(),
        Value::Sequence(_) | Value::Mapping(_) => node.kind().to_owned(),
    }
}

/// A text on one line, and not endless.
fn short(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut short: String = text.chars().take(CHARS_MAX).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    short.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\"")
}
