//! Colours by meaning; plain text says the same.

/// Colours on or off, decided once by [`super::Ui::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    colored: bool,
}

impl Style {
    /// With ANSI colours.
    pub const fn colored() -> Self {
        Self { colored: true }
    }

    /// Text only.
    pub const fn plain() -> Self {
        Self { colored: false }
    }

    /// Something that is made.
    pub fn create(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Something that changes.
    pub fn update(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Something that goes.
    pub fn delete(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// A heading.
    pub fn heading(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Less important.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// The word before an error.
    pub fn error(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// The word before a warning, and the mark of a simulated run.
    pub fn warning(self, text: &str) -> String {
        self.paint("1;33", text)
    }

    /// The word before a hint.
    pub fn hint(self, text: &str) -> String {
        self.paint("1;36", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colored { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
