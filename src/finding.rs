//! Findings: everything the pure stages have to say about input, gathered instead of thrown.
//!
//! A stage never stops at its first problem. It returns findings; the caller decides by the worst
//! severity whether to go on, and `ui` prints them.

use serde::Serialize;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nothing to do.
    Note,
    /// Works, but somebody should look.
    Warning,
    /// Nothing is planned or changed while it stands.
    Error,
}

/// What a place has to do with a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceRole {
    /// The line itself: in a template, a snippet, a vars file or a document given by `-f`.
    At,
    /// A line that included the one before it in the list.
    IncludedFrom,
    /// The vars line that the value came from.
    ValueFrom,
    /// Another line that matters, such as the first of two duplicates.
    SeeAlso,
}

/// One line of one file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// What the place has to do with the finding.
    pub role: PlaceRole,
    /// Path as the user would type it, relative to the fleet's root.
    pub file: String,
    /// Line, counted from 1; `None` when only the file is known.
    pub line: Option<u32>,
}

impl Place {
    /// The line itself.
    pub fn at(file: impl Into<String>, line: u32) -> Self {
        Self { role: PlaceRole::At, file: file.into(), line: Some(line) }
    }

    /// A whole file.
    pub fn file(file: impl Into<String>) -> Self {
        Self { role: PlaceRole::At, file: file.into(), line: None }
    }

    /// The same place in another role.
    #[must_use]
    pub fn with_role(mut self, role: PlaceRole) -> Self {
        self.role = role;
        self
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// One problem or remark, with where it is and the way out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// Where: the line itself first, then how it got there.
    pub places: Vec<Place>,
    /// The field as the user wrote it, such as `InstanceGroup/nodes spec.maxSize`.
    pub field: Option<String>,
    /// What is wrong: a lowercase fragment without a stop.
    pub message: String,
    /// The way out, when there is one to name.
    pub hint: Option<String>,
    /// The lint that says so, such as `L19`; none for what could not work at all.
    pub lint: Option<&'static str>,
}

impl Finding {
    /// A finding that stops planning.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message)
    }

    /// A finding that does not stop anything.
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message)
    }

    /// A finding of a given weight.
    pub fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self {
            severity,
            places: Vec::new(),
            field: None,
            message: message.into(),
            hint: None,
            lint: None,
        }
    }

    /// Whether it stops planning.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Adds a place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.places.push(place);
        self
    }

    /// Adds several places.
    #[must_use]
    pub fn places(mut self, places: impl IntoIterator<Item = Place>) -> Self {
        self.places.extend(places);
        self
    }

    /// Names the field.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Names the lint that says so.
    #[must_use]
    pub fn lint(mut self, lint: &'static str) -> Self {
        self.lint = Some(lint);
        self
    }

    /// Says the way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Whether any finding stops the work.
pub fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(Finding::is_error)
}

/// The candidate closest to `word`, if one is close enough to be a likely slip.
///
/// Close enough is a Damerau-Levenshtein distance of at most a third of the longer word, at least 1.
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = word.chars().count();
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = candidate.chars().count();
            let most = (length.max(other) / 3).max(1);
            // The distance is at least the difference in length; measuring it takes memory by the
            // product of both, which a key of a megabyte must not get.
            if length.abs_diff(other) > most {
                return None;
            }
            let distance =
                strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase());
            (distance <= most).then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}
