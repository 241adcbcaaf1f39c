//! A YAML document with the way back to the lines it was rendered from.

use std::sync::Arc;

use crate::finding::{Place, PlaceRole};
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
        self.lines.places(&self.file, line)
    }
}

/// From a line of the parsed text to the places that made it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum LineMap {
    /// The text is the file itself.
    #[default]
    Identity,
    /// The text was rendered.
    Rendered(Arc<RenderedLines>),
}

impl LineMap {
    /// Where a line of the text came from; `file` stands in where that is not known. Never empty.
    pub fn places(&self, file: &str, line: u32) -> Vec<Place> {
        match self {
            LineMap::Identity => vec![Place::at(file, line)],
            LineMap::Rendered(lines) => {
                let places = lines.places(line);
                if places.is_empty() { vec![Place::file(file)] } else { places }
            }
        }
    }
}

/// The places behind each line of a rendered text, kept small: a fleet has many more lines than
/// findings, so places are put together only when somebody asks.
#[derive(Debug, Default, PartialEq)]
pub struct RenderedLines {
    /// The source lines that were rendered, each time they were.
    pub(crate) spots: Vec<Spot>,
    /// Per line of the text, the spots that it was made of; the first one began it.
    pub(crate) lines: LineSpots,
}

/// Lists of spots, one for each line, in one piece.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct LineSpots {
    ids: Vec<u32>,
    /// Where each line's list begins in `ids`.
    starts: Vec<usize>,
}

impl LineSpots {
    /// Begins the list of the next line.
    pub(crate) fn start_line(&mut self) {
        self.starts.push(self.ids.len());
    }

    /// Adds a spot to the last line.
    pub(crate) fn push(&mut self, id: u32) {
        self.ids.push(id);
    }

    /// Whether the last line has no spot yet.
    pub(crate) fn is_last_empty(&self) -> bool {
        self.starts.last().is_none_or(|start| *start == self.ids.len())
    }

    /// The spots of a line, counted from 1; none when there is no such line.
    pub(crate) fn of(&self, line: u32) -> &[u32] {
        let index = usize::try_from(line).ok().and_then(|line| line.checked_sub(1));
        let Some(start) = index.and_then(|index| self.starts.get(index)) else { return &[] };
        let end = index.and_then(|index| self.starts.get(index + 1)).unwrap_or(&usize::MAX);
        self.ids.get(*start..(*end).min(self.ids.len())).unwrap_or_default()
    }
}

/// One source line, rendered once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spot {
    pub(crate) file: Arc<str>,
    pub(crate) line: u32,
    /// The spot of the line that included this file.
    pub(crate) parent: Option<u32>,
    /// Where the values came from that were read for it: a vars file's line, or a `--set`.
    pub(crate) values: Vec<(Arc<str>, Option<u32>)>,
}

/// A line that prints a whole list or map has many sources; more than these help nobody.
const VALUE_PLACES_MAX: usize = 4;

impl RenderedLines {
    fn places(&self, line: u32) -> Vec<Place> {
        let ids = self.lines.of(line);
        let mut places = ids.first().map(|id| chain(&self.spots, *id)).unwrap_or_default();
        let mut values: Vec<Place> = Vec::new();
        for spot in ids.iter().filter_map(|id| self.spot(*id)) {
            for (file, line) in &spot.values {
                let place =
                    Place { role: PlaceRole::ValueFrom, file: file.to_string(), line: *line };
                if values.len() < VALUE_PLACES_MAX && !values.contains(&place) {
                    values.push(place);
                }
            }
        }
        places.append(&mut values);
        places
    }

    /// A spot and the lines that included it, the innermost first.
    pub(crate) fn chain(&self, id: u32) -> Vec<Place> {
        chain(&self.spots, id)
    }

    fn spot(&self, id: u32) -> Option<&Spot> {
        self.spots.get(usize::try_from(id).ok()?)
    }
}

/// A spot and the lines that included it, the innermost first.
pub(crate) fn chain(spots: &[Spot], id: u32) -> Vec<Place> {
    let mut places = Vec::new();
    let mut next = Some(id);
    while let Some(spot) = next.and_then(|id| spots.get(usize::try_from(id).ok()?)) {
        let role = if places.is_empty() { PlaceRole::At } else { PlaceRole::IncludedFrom };
        places.push(Place::at(&*spot.file, spot.line).with_role(role));
        // A parent was there before its children, so this ends.
        next = spot.parent.filter(|parent| Some(*parent) < next);
    }
    places
}
