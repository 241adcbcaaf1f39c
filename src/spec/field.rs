//! Fields by name, and the way from a field back to the line that set it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::document::Document;
use crate::finding::{Finding, Place};
use crate::yaml::{Step, path_steps};

/// The kinds of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A cluster.
    Cluster,
    /// An instance group.
    InstanceGroup,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 2] = [Kind::Cluster, Kind::InstanceGroup];

    /// The kind as documents write it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Cluster => "Cluster",
            Kind::InstanceGroup => "InstanceGroup",
        }
    }
}

/// A field of a document, printed as the user would say it: `InstanceGroup/nodes spec.maxSize`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field {
    /// Kind of the document.
    pub kind: Kind,
    /// `metadata.name` of the document.
    pub name: String,
    /// The way down from the document's root.
    pub path: Vec<Step>,
}

impl Field {
    /// A field by a path such as `spec.subnets[0].cidr`; a text that is no path names the document.
    pub fn new(kind: Kind, name: &str, path: &str) -> Self {
        Self { kind, name: name.to_owned(), path: path_steps(path).unwrap_or_default() }
    }

    /// A key below this field; it may hold dots.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.path.push(Step::Key(key.to_owned()));
        self
    }

    /// An item below this field, counted from 0.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.path.push(Step::Index(index));
        self
    }

    /// The document, as `InstanceGroup/nodes`.
    pub fn document(&self) -> String {
        if self.name.is_empty() {
            self.kind.name().to_owned()
        } else {
            format!("{}/{}", self.kind.name(), self.name)
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.document())?;
        for (depth, step) in self.path.iter().enumerate() {
            match (depth, step) {
                (0, Step::Key(key)) => write!(f, " {key}")?,
                (_, Step::Key(key)) if is_plain(key) => write!(f, ".{key}")?,
                (_, Step::Key(key)) => write!(f, "[\"{key}\"]")?,
                (_, Step::Index(index)) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Whether a key needs no brackets in a path.
fn is_plain(key: &str) -> bool {
    !key.is_empty() && !key.contains(['.', '[', ']', '"', '\'', ' '])
}

/// The documents a spec was read from. They say where things are, not what they are: two specs that
/// differ here alone are equal.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    documents: Arc<[Document]>,
    index: BTreeMap<(Kind, String), usize>,
}

impl PartialEq for Positions {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Positions {
    pub(super) fn new(documents: Arc<[Document]>, index: BTreeMap<(Kind, String), usize>) -> Self {
        Self { documents, index }
    }

    /// The document of a kind and name.
    pub fn document(&self, kind: Kind, name: &str) -> Option<&Document> {
        self.documents.get(*self.index.get(&(kind, name.to_owned()))?)
    }

    /// Line of a field in the text its document was read from; `None` when the user did not write
    /// it.
    pub fn line(&self, field: &Field) -> Option<u32> {
        let (line, depth) = self.reach(field)?;
        (depth == field.path.len()).then_some(line)
    }

    /// Whether the user wrote the field.
    pub fn wrote(&self, field: &Field) -> bool {
        self.line(field).is_some()
    }

    /// Where a field was written, or the nearest map around it that was. Empty when the spec was
    /// not read from documents.
    pub fn places(&self, field: &Field) -> Vec<Place> {
        match (self.document(field.kind, &field.name), self.reach(field)) {
            (Some(document), Some((line, _))) => document.places(line),
            _ => Vec::new(),
        }
    }

    /// Follows a field as far as its document goes: the last line reached, and how many steps down.
    fn reach(&self, field: &Field) -> Option<(u32, usize)> {
        let document = self.document(field.kind, &field.name)?;
        let mut node = &document.root;
        let mut line = node.line;
        for (depth, step) in field.path.iter().enumerate() {
            let next = match step {
                Step::Key(key) => node.entry(key).map(|entry| (entry.line, &entry.node)),
                Step::Index(index) => node.items().get(*index).map(|item| (item.line, item)),
            };
            match next {
                Some((below, child)) => (line, node) = (below, child),
                None => return Some((line, depth)),
            }
        }
        Some((line, field.path.len()))
    }

    /// An error about a field, with its places.
    pub(super) fn error(&self, field: &Field, message: impl Into<String>) -> Finding {
        Finding::error(message).field(field.to_string()).places(self.places(field))
    }
}
