//! From text to marked trees, with a limit on everything that input could make large.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::{Entry, Node, Value, scalar};

/// What input may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of the text in bytes.
    pub bytes_max: usize,
    /// Lists and maps inside each other, aliases followed.
    pub depth_max: usize,
    /// Values of all documents together, aliases and merge keys expanded.
    pub nodes_max: usize,
}

impl Default for Limits {
    /// Far above any real fleet (a document of 5,000 nodes is below 1 MiB), far below what hurts.
    fn default() -> Self {
        Self { bytes_max: 8 << 20, depth_max: 64, nodes_max: 1_000_000 }
    }
}

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}{}", first(*.other_line))]
pub struct YamlError {
    /// Line, counted from 1.
    pub line: u32,
    /// Column, counted from 1.
    pub column: u32,
    /// What is wrong: a lowercase fragment without a stop.
    pub message: String,
    /// Another line that matters, such as the first of two equal keys.
    pub other_line: Option<u32>,
}

/// Names the other line of an error.
fn first(other_line: Option<u32>) -> String {
    other_line.map(|line| format!(" (first on line {line})")).unwrap_or_default()
}

/// After this many problems the rest is not worth reading.
const ERRORS_MAX: usize = 100;

/// Reads every document of a text.
///
/// # Errors
/// All problems that can be told apart: duplicate keys, unknown tags and the like are gathered; a
/// text that is not YAML any more, or that goes over a limit, ends the reading.
pub fn parse(text: &str, limits: &Limits) -> Result<Vec<Node>, Vec<YamlError>> {
    if text.len() > limits.bytes_max {
        let message =
            format!("{} bytes are more than the limit of {}", text.len(), limits.bytes_max);
        return Err(vec![YamlError { line: 1, column: 1, message, other_line: None }]);
    }
    if let Some(error) = control_character(text) {
        return Err(vec![error]);
    }
    let mut builder = Builder::new(limits);
    if let Err(mut fatal) = builder.read(Parser::new_from_str(text)) {
        // What ends too early is told on the last line that there is.
        fatal.line = fatal.line.min(count(text.lines().count().max(1)));
        builder.errors.push(fatal);
    }
    if builder.errors.is_empty() { Ok(builder.documents) } else { Err(builder.errors) }
}

/// The first character that YAML forbids. The scanner would take a NUL for the end of the text and
/// silently drop the rest.
fn control_character(text: &str) -> Option<YamlError> {
    let is_forbidden = |b: u8| (b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) || b == 0x7f;
    let index = text.bytes().position(is_forbidden)?;
    let before = text.get(..index)?;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Some(YamlError {
        line: count(before.matches('\n').count() + 1),
        column: count(before.get(start..)?.chars().count() + 1),
        message: format!(
            "control character {:#04x} is not allowed",
            text.as_bytes().get(index).copied().unwrap_or_default()
        ),
        other_line: None,
    })
}

/// A finished value with what it costs to repeat it.
#[derive(Clone)]
struct Built {
    node: Node,
    /// Values in it, itself included.
    nodes: usize,
    /// Lists and maps inside each other, itself included.
    depth: usize,
    /// Whether it is a plain `<<`, which as a key means merge.
    is_merge: bool,
    /// A scalar other than text as it is written, which as a key is the key.
    text: Option<String>,
}

/// A list or map whose end has not come yet.
struct Open {
    node: Node,
    anchor: usize,
    nodes: usize,
    depth: usize,
    /// The key that waits for its value.
    key: Option<Key>,
    /// Where each key was first seen.
    seen: Seen,
    /// Entries from `<<`, used for the keys that are not given.
    merged: Vec<Entry>,
}

/// The keys of a map by name. Most maps are small: asking their entries is faster than an index.
#[derive(Default)]
struct Seen {
    index: BTreeMap<String, u32>,
    indexed: usize,
    merge: Option<u32>,
}

/// Maps with more keys get an index, so that reading them stays linear.
const UNINDEXED_MAX: usize = 16;

impl Seen {
    /// The line on which a key was given, if it was.
    fn line(&mut self, entries: &[Entry], key: &str) -> Option<u32> {
        if entries.len() <= UNINDEXED_MAX {
            return entries.iter().find(|entry| entry.key == key).map(|entry| entry.line);
        }
        for entry in entries.get(self.indexed..).unwrap_or_default() {
            self.index.insert(entry.key.clone(), entry.line);
        }
        self.indexed = entries.len();
        self.index.get(key).copied()
    }
}

enum Key {
    Name {
        key: String,
        line: u32,
    },
    Merge,
    /// A key already reported as wrong; its value is dropped.
    Wrong,
}

struct Builder<'a> {
    limits: &'a Limits,
    documents: Vec<Node>,
    errors: Vec<YamlError>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Built>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            documents: Vec::new(),
            errors: Vec::new(),
            open: Vec::new(),
            anchors: BTreeMap::new(),
            nodes: 0,
        }
    }

    /// Reads all events; an error here is one after which nothing more makes sense.
    fn read(&mut self, mut parser: Parser<'_, StrInput<'_>>) -> Result<(), YamlError> {
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| self.scan_error(&error))?;
            if self.errors.len() >= ERRORS_MAX {
                return Err(error_at(span.start, "too many problems: stopped here".to_owned()));
            }
            match event {
                Event::StreamEnd => return Ok(()),
                Event::DocumentEnd => self.anchors.clear(),
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => {}
                Event::Scalar(text, style, anchor, tag) => {
                    let built = self.scalar(&text, style, tag.as_deref(), span);
                    self.add(built, anchor, span)?;
                }
                Event::SequenceStart(anchor, tag) => {
                    self.check_tag(tag.as_deref(), "seq", span);
                    self.start(Value::Sequence(Vec::new()), anchor, span)?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.check_tag(tag.as_deref(), "map", span);
                    self.start(Value::Mapping(Vec::new()), anchor, span)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.end(span)?,
                Event::Alias(anchor) => {
                    let Some(built) = self.anchors.get(&anchor) else {
                        let message = "alias inside the value that it repeats".to_owned();
                        return Err(error_at(span.start, message));
                    };
                    self.check_size(built.nodes, built.depth, span)?;
                    let built = built.clone();
                    self.add(built, 0, span)?;
                }
            }
        }
        Ok(())
    }

    /// What the scanner says, in our words where it speaks of its own limits: it looks ahead and
    /// may meet them before ours.
    fn scan_error(&self, error: &ScanError) -> YamlError {
        let message = match error.info() {
            info if info.contains("recursion limit") => {
                format!("nested deeper than {} levels", self.limits.depth_max)
            }
            info => info.to_lowercase(),
        };
        error_at(*error.marker(), message)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Built {
        let resolved = match tag {
            Some(tag) if tag.is_yaml_core_schema() => scalar::resolve_tagged(&tag.suffix, text),
            Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => {
                Ok(Value::String(text.to_owned()))
            }
            Some(tag) => Err(format!("tag `{tag}` is not supported")),
            None if style == ScalarStyle::Plain => scalar::resolve(text),
            None => Ok(Value::String(text.to_owned())),
        };
        let value = resolved.unwrap_or_else(|message| {
            self.errors.push(error_at(span.start, message));
            Value::Null
        });
        Built {
            is_merge: style == ScalarStyle::Plain && text == "<<",
            text: (self.wants_key() && !matches!(value, Value::String(_))).then(|| text.to_owned()),
            node: node_at(span.start, value),
            nodes: 1,
            depth: 0,
        }
    }

    /// Whether the next value is a key.
    fn wants_key(&self) -> bool {
        self.open
            .last()
            .is_some_and(|open| open.key.is_none() && matches!(open.node.value, Value::Mapping(_)))
    }

    fn check_tag(&mut self, tag: Option<&Tag>, expected: &str, span: Span) {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && tag.suffix == expected)
        {
            self.errors.push(error_at(span.start, format!("tag `{tag}` is not supported")));
        }
    }

    /// Refuses to grow over the limits before anything is copied.
    fn check_size(&self, nodes: usize, depth: usize, span: Span) -> Result<(), YamlError> {
        let Limits { bytes_max: _, depth_max, nodes_max } = *self.limits;
        if self.nodes.saturating_add(nodes) > nodes_max {
            let message = format!("more than {nodes_max} values, aliases expanded");
            return Err(error_at(span.start, message));
        }
        if self.open.len().saturating_add(depth) > depth_max {
            let message = format!("nested deeper than {depth_max} levels");
            return Err(error_at(span.start, message));
        }
        Ok(())
    }

    fn start(&mut self, value: Value, anchor: usize, span: Span) -> Result<(), YamlError> {
        self.check_size(1, 1, span)?;
        self.open.push(Open {
            node: node_at(span.start, value),
            anchor,
            nodes: 1,
            depth: 1,
            key: None,
            seen: Seen::default(),
            merged: Vec::new(),
        });
        Ok(())
    }

    fn end(&mut self, span: Span) -> Result<(), YamlError> {
        let Some(mut open) = self.open.pop() else { return Ok(()) };
        if let Value::Mapping(entries) = &mut open.node.value {
            for entry in open.merged {
                if open.seen.line(entries, &entry.key).is_none() {
                    entries.push(entry);
                }
            }
        }
        let Open { node, anchor, nodes, depth, .. } = open;
        // Its parts are counted already: as a child it adds only itself.
        self.nodes = self.nodes.saturating_sub(nodes - 1);
        self.add(Built { node, nodes, depth, is_merge: false, text: None }, anchor, span)
    }

    /// Puts a finished value where it belongs: into the open list or map, or as a document.
    fn add(&mut self, built: Built, anchor: usize, span: Span) -> Result<(), YamlError> {
        self.check_size(built.nodes, built.depth, span)?;
        self.nodes += built.nodes;
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(built.node);
            return Ok(());
        };
        open.nodes += built.nodes;
        open.depth = open.depth.max(built.depth + 1);
        match &mut open.node.value {
            Value::Sequence(items) => items.push(built.node),
            Value::Mapping(entries) => match open.key.take() {
                None => {
                    let key = read_key(built, entries, &mut open.seen, span, &mut self.errors);
                    open.key = Some(key);
                }
                Some(Key::Name { key, line }) => {
                    entries.push(Entry { key, line, node: built.node });
                }
                Some(Key::Wrong) => {}
                Some(Key::Merge) => match merge_sources(built.node) {
                    Ok(sources) => open.merged.extend(sources),
                    Err(message) => self.errors.push(error_at(span.start, message)),
                },
            },
            _ => {}
        }
        Ok(())
    }
}

/// Takes a value as the key of a map; a wrong key or one that was there before is reported.
fn read_key(
    built: Built,
    entries: &[Entry],
    seen: &mut Seen,
    span: Span,
    errors: &mut Vec<YamlError>,
) -> Key {
    let key = match (built.node.value, built.text) {
        (Value::Null, _) => {
            errors.push(error_at(span.start, "a key must not be empty or null".to_owned()));
            return Key::Wrong;
        }
        (Value::String(key), _) => key,
        (_, Some(text)) => text,
        // An alias to a value that was not a key where it was written.
        (Value::Bool(value), None) => value.to_string(),
        (Value::Int(value), None) => value.to_string(),
        (Value::Float(value), None) => value.to_string(),
        _ => {
            errors.push(error_at(span.start, "a key must not be a list or a map".to_owned()));
            return Key::Wrong;
        }
    };
    let line = count(span.start.line());
    let first = if built.is_merge { seen.merge } else { seen.line(entries, &key) };
    if let Some(first) = first {
        let message = format!("key `{key}` is given twice");
        let other_line = Some(first);
        errors.push(YamlError { other_line, ..error_at(span.start, message) });
        return Key::Wrong;
    }
    if built.is_merge {
        seen.merge = Some(line);
        Key::Merge
    } else {
        Key::Name { key, line }
    }
}

/// The entries that `<<` brings in: of a map, or of a list of maps where the first one wins.
fn merge_sources(node: Node) -> Result<Vec<Entry>, String> {
    let wrong = "`<<` wants a map or a list of maps";
    match node.value {
        Value::Mapping(entries) => Ok(entries),
        Value::Sequence(items) => {
            let mut all = Vec::new();
            for item in items {
                match item.value {
                    Value::Mapping(entries) => all.extend(entries),
                    _ => return Err(wrong.to_owned()),
                }
            }
            Ok(all)
        }
        _ => Err(wrong.to_owned()),
    }
}

fn node_at(marker: Marker, value: Value) -> Node {
    Node { line: count(marker.line()), column: count(marker.col() + 1), value }
}

fn error_at(marker: Marker, message: String) -> YamlError {
    let (line, column) = (count(marker.line()), count(marker.col() + 1));
    YamlError { line, column, message, other_line: None }
}

/// Lines and columns are below the byte limit, which is far below what 32 bits hold.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
