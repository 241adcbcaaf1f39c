//! A YAML document with the way back to the lines it was rendered from.

use crate::finding::Place;
use crate::yaml::Node;

/// One document: rendered from a template, or given ready by `-f`.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The file it came from, as the user would type it.
    pub file: String,
    /// The parsed content; its lines count in the text that was parsed.
    pub root: Node,
    /// Where each line of that text came from.
    pub lines: LineMap,
}

impl Document {
    /// Where a line of the parsed text came from: the template line first, then the include chain,
    /// then the vars lines its values came from. Never empty.
    pub fn places(&self, line: u32) -> Vec<Place> {
        match self.lines.get(line) {
            Some(places) if !places.is_empty() => places.to_vec(),
            _ => match self.lines {
                LineMap::Identity => vec![Place::at(&*self.file, line)],
                LineMap::Rendered(_) => vec![Place::file(&*self.file)],
            },
        }
    }
}

/// From a line of the parsed text to the places that made it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum LineMap {
    /// The text is the file itself.
    #[default]
    Identity,
    /// The text was rendered; entry 0 belongs to line 1.
    Rendered(Vec<Vec<Place>>),
}

impl LineMap {
    fn get(&self, line: u32) -> Option<&[Place]> {
        match self {
            LineMap::Identity => None,
            LineMap::Rendered(lines) => {
                let index = usize::try_from(line).ok()?.checked_sub(1)?;
                lines.get(index).map(Vec::as_slice)
            }
        }
    }
}
