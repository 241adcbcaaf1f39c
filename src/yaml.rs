//! YAML with positions: the marked tree that every reader of input works on.

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
