//! Marks that carry source lines through the text engine.
//!
//! Every source line gets a call of [`MARK_FUNCTION`] that is invisible in the result: before the
//! first thing it prints an expression that emits an unprintable mark, before a block tag another
//! block tag that only notes where the rendering is. Both leave the engine's whitespace control as
//! it was. Rendered text is then split into what a reader sees and which spot each line came from.

use std::fmt::Write as _;

use crate::document::LineSpots;

/// The function that notes file and line; templates cannot mean it by accident.
pub(super) const MARK_FUNCTION: &str = "__at";

/// What opens and closes a mark in rendered text. Unicode guarantees that these two never stand for
/// a character; input that holds one is refused.
pub(super) const MARK_OPEN: char = '\u{fdd0}';
pub(super) const MARK_CLOSE: char = '\u{fdd1}';

/// The template engine counts lines in 16 bits.
pub(super) const LINES_MAX: usize = 65_535;

/// Operators of one expression, and branches of one `if`. The engine reads and runs them by
/// recursion, some 2 KB of stack each; a main thread has 8 MB.
pub(super) const OPERATORS_MAX: usize = 500;

/// Repetitions (`*`) in one expression: each may make 100 MB of a letter.
const REPETITIONS_MAX: usize = 8;

/// A template's source with marks, and what can be known from its text alone.
#[derive(Debug, Default)]
pub(super) struct Marked {
    pub(super) text: String,
    /// What each line uses and binds; entry 0 is line 1.
    pub(super) lines: Vec<LineNames>,
    /// Whether output is captured as a value somewhere. Marks then get into values, and only a
    /// second rendering without marks can tell that they did no harm.
    pub(super) captures: bool,
    /// Names that get values by a call, or at the end of a block.
    pub(super) params: Vec<String>,
    /// The first line with more than [`OPERATORS_MAX`] operators or branches in one piece.
    pub(super) knotted: Option<u32>,
    /// Files named by `include` and `snippet`, with the line, as far as they are plain strings.
    pub(super) includes: Vec<(u32, String)>,
}

/// The variables on one source line.
#[derive(Clone, Debug, Default)]
pub(super) struct LineNames {
    pub(super) uses: Vec<String>,
    /// Set by `for` or `set` on this line.
    pub(super) binds: Vec<String>,
    /// The same without attributes: of `ns.a`, `ns`.
    pub(super) sets: Vec<String>,
    /// Says `ignore missing`.
    pub(super) may_include_nothing: bool,
}

/// Adds marks to a template. `file` goes into the marks and must be below 32,768.
pub(super) fn mark(source: &str, file: u32) -> Marked {
    let mut marker = Marker {
        source,
        file,
        at: 0,
        line: 1,
        needs_mark: true,
        marked_at: 0,
        branches: Vec::new(),
        out: Marked { text: String::with_capacity(source.len() * 2), ..Marked::default() },
    };
    marker.out.lines.resize(source.split('\n').count(), LineNames::default());
    marker.run();
    marker.out
}

/// Splits what a mark's number says: file and line.
pub(super) fn split_code(code: u32) -> (u32, u32) {
    (code >> 16, code & 0xffff)
}

struct Marker<'s> {
    source: &'s str,
    file: u32,
    /// Bytes read.
    at: usize,
    line: u32,
    /// Whether what comes next on this line would be printed without a mark before it.
    needs_mark: bool,
    /// Where the last mark stands, in bytes of the source.
    marked_at: usize,
    /// Of each open `if`, its branches.
    branches: Vec<usize>,
    out: Marked,
}

impl<'s> Marker<'s> {
    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn copy(&mut self, bytes: usize) {
        let taken = self.rest().get(..bytes).unwrap_or(self.rest());
        self.out.text.push_str(taken);
        self.at += taken.len();
        self.line += u32::try_from(taken.matches('\n').count()).unwrap_or(0);
    }

    /// What the next mark says: file and line, and the bytes since the mark before.
    fn code(&mut self) -> String {
        let bytes = self.at - std::mem::replace(&mut self.marked_at, self.at);
        format!("{},{bytes}", (self.file << 16) | (self.line & 0xffff))
    }

    /// A mark in the text.
    fn emit(&mut self) {
        let code = self.code();
        let _ = write!(self.out.text, "{{{{{MARK_FUNCTION}({code})}}}}");
    }

    /// A note of the line, without a trace in the text; `sign` is the next tag's whitespace control.
    fn note(&mut self, sign: &str) {
        let code = self.code();
        let _ = write!(self.out.text, "{{%{sign} do {MARK_FUNCTION}({code}) %}}");
    }

    fn run(&mut self) {
        while let Some(next) = self.rest().chars().next() {
            let rest = self.rest();
            if rest.starts_with("{%") {
                self.block();
            } else if rest.starts_with("{#") {
                let end = rest.find("#}").map_or(rest.len(), |end| end + 2);
                // The engine strips what stands before a comment; a mark there would stop it.
                self.copy(end);
                self.needs_mark = true;
            } else if rest.starts_with("{{") {
                self.expression();
            } else if next == '\n' {
                self.copy(1);
                self.needs_mark = true;
            } else if next.is_whitespace() {
                self.copy(next.len_utf8());
            } else {
                if self.needs_mark {
                    self.emit();
                    self.needs_mark = false;
                }
                let end = rest.find(['{', '\n']).unwrap_or(rest.len());
                self.copy(end.max(1));
            }
        }
    }

    fn expression(&mut self) {
        match (self.needs_mark, self.rest().starts_with("{{-")) {
            (true, true) => self.note("-"),
            (true, false) => self.emit(),
            (false, _) => {}
        }
        self.needs_mark = false;
        let end = self.tag_end("}}");
        let inside = self.rest().get(2..end).unwrap_or_default();
        self.names(inside);
        self.count_operators(inside);
        self.copy(end);
    }

    fn block(&mut self) {
        let end = self.tag_end("%}");
        let rest = self.rest();
        let inside = rest.get(2..end).unwrap_or_default();
        let sign = inside.get(..1).filter(|sign| matches!(*sign, "-" | "+")).unwrap_or("");
        let inside = inside.get(sign.len()..).unwrap_or_default();
        let inside = inside.strip_suffix("%}").unwrap_or(inside);
        let inside = inside.trim_end_matches(['-', '+']).trim();
        let (keyword, body) =
            inside.split_at(inside.find(|c: char| !c.is_alphanumeric()).unwrap_or(inside.len()));
        self.note(sign);
        // What a tag binds is not what it uses.
        let value = match keyword {
            "for" => body.split_once(" in ").map_or(body, |(_, value)| value),
            "set" => body.split_once('=').map_or("", |(_, value)| value),
            _ => body,
        };
        self.names(value);
        self.count_operators(body);
        self.count_branches(keyword);
        self.binds(keyword, body);
        self.params(keyword, body);
        if body.ends_with("ignore missing")
            && let Some(names) = self.line_names()
        {
            names.may_include_nothing = true;
        }
        self.out.captures |= is_capture(keyword, body);
        self.copy(end);
        self.needs_mark = true;
        if keyword == "raw" {
            self.raw();
        }
    }

    /// Copies raw text, stepping out of it for a mark at the start of each line.
    fn raw(&mut self) {
        let mut is_line_start = false;
        while !self.rest().is_empty() {
            let rest = self.rest();
            let line_end = rest.find('\n').map_or(rest.len(), |end| end + 1);
            let text = rest.get(..line_end).unwrap_or(rest);
            if let Some(end) = end_raw(text) {
                self.copy(end);
                return;
            }
            if is_line_start && !text.trim().is_empty() {
                self.out.text.push_str("{% endraw %}");
                self.emit();
                self.out.text.push_str("{% raw %}");
            }
            self.copy(line_end);
            is_line_start = true;
        }
    }

    /// Where the tag that starts here ends: its length with both delimiters.
    fn tag_end(&self, close: &str) -> usize {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let mut balance = 0usize;
        let mut at = 2;
        while let Some(byte) = bytes.get(at) {
            let here = bytes.get(at..).unwrap_or_default();
            if balance == 0 && here.starts_with(close.as_bytes()) {
                return at + close.len();
            }
            match byte {
                b'"' | b'\'' => at += string_len(here) - 1,
                b'(' | b'[' | b'{' => balance += 1,
                b')' | b']' | b'}' => balance = balance.saturating_sub(1),
                _ => {}
            }
            at += 1;
        }
        rest.len()
    }

    /// Notes the variables of an expression, and the files it names.
    fn names(&mut self, expression: &str) {
        let line = self.line;
        let mut before = ' ';
        let mut word_before = String::new();
        let mut at = 0;
        while let Some(rest) = expression.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(next) = rest.chars().next() else { return };
            if matches!(next, '"' | '\'') {
                let len = string_len(rest.as_bytes());
                let text = rest.get(1..len.saturating_sub(1)).unwrap_or_default();
                // `snippet("a" ~ b)` names a file only while it runs.
                let after = rest.get(len..).unwrap_or_default().trim_start();
                if word_before == "snippet" && before == '(' && after.starts_with([',', ')']) {
                    self.out.includes.push((line, text.to_owned()));
                }
                at += len;
                before = next;
            } else if next.is_alphabetic() || next == '_' {
                let len =
                    rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                let word = rest.get(..len).unwrap_or_default();
                if before != '.'
                    && let Some(names) = self.line_names()
                {
                    names.uses.push(word.to_owned());
                }
                word_before = word.to_owned();
                before = 'a';
                at += len;
            } else {
                if !next.is_whitespace() {
                    before = next;
                }
                at += next.len_utf8();
            }
        }
    }

    fn binds(&mut self, keyword: &str, body: &str) {
        let targets = match keyword {
            "for" => body.split_once(" in ").map(|(targets, _)| targets),
            "set" => body.split_once('=').map(|(targets, _)| targets),
            "include" => {
                if let Some(name) = literal(body.trim().trim_end_matches("ignore missing").trim()) {
                    self.out.includes.push((self.line, name.to_owned()));
                }
                None
            }
            _ => None,
        };
        for target in targets.unwrap_or_default().split(',') {
            let target = target.trim().trim_matches(['(', ')']);
            let name = target.split('.').next().unwrap_or_default().trim();
            if !name.is_empty()
                && let Some(names) = self.line_names()
            {
                names.sets.push(name.to_owned());
            }
            if !target.is_empty()
                && !target.contains('.')
                && let Some(names) = self.line_names()
            {
                names.binds.push(target.to_owned());
            }
        }
    }

    /// Notes names that get their values elsewhere than where the rendering comes from.
    fn params(&mut self, keyword: &str, body: &str) {
        let text = match keyword {
            "macro" | "call" | "with" => body,
            "set" if !body.contains('=') => body,
            "for" if body.contains("recursive") => body.split(" in ").next().unwrap_or_default(),
            _ => return,
        };
        let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        for word in words.filter(|word| !word.is_empty()) {
            if !self.out.params.iter().any(|known| known == word) {
                self.out.params.push(word.to_owned());
            }
        }
    }

    /// Counts what an expression is made of, outside of its strings.
    fn count_operators(&mut self, expression: &str) {
        let bytes = expression.as_bytes();
        let (mut operators, mut repetitions, mut at) = (0_usize, 0_usize, 0);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' | b'\'' => at += string_len(bytes.get(at..).unwrap_or_default()) - 1,
                b'*' => {
                    operators += 1;
                    repetitions += 1;
                }
                b'+' | b'-' | b'/' | b'%' | b'~' | b'|' | b'.' | b'[' | b'(' | b'<' | b'>'
                | b'=' => {
                    operators += 1;
                }
                // The words `not`, `and`, `or`, `if`, `is`, `in`; names count, too.
                byte if byte.is_ascii_whitespace() => {
                    operators += usize::from(bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase));
                }
                _ => {}
            }
            at += 1;
        }
        if operators > OPERATORS_MAX || repetitions > REPETITIONS_MAX {
            self.out.knotted.get_or_insert(self.line);
        }
    }

    /// Counts the branches of the `if`s that are open: each lies in the one before.
    fn count_branches(&mut self, keyword: &str) {
        match keyword {
            "if" => self.branches.push(0),
            "elif" => {
                if let Some(last) = self.branches.last_mut() {
                    *last += 1;
                }
            }
            "endif" => _ = self.branches.pop(),
            _ => {}
        }
        if self.branches.iter().sum::<usize>() > OPERATORS_MAX {
            self.out.knotted.get_or_insert(self.line);
        }
    }

    fn line_names(&mut self) -> Option<&mut LineNames> {
        self.out.lines.get_mut(usize::try_from(self.line).ok()?.checked_sub(1)?)
    }
}

/// The text of an expression that is one plain string.
fn literal(expression: &str) -> Option<&str> {
    let len = string_len(expression.as_bytes());
    if expression.starts_with(['"', '\'']) && len == expression.len() {
        return expression.get(1..len - 1);
    }
    None
}

/// The length of the string literal that starts here, with its quotes.
fn string_len(bytes: &[u8]) -> usize {
    let Some(quote) = bytes.first() else { return 0 };
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            byte if byte == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// Where `{% endraw %}` ends on this line of text.
fn end_raw(text: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(start) = text.get(from..)?.find("{%") {
        let inside_at = from + start + 2;
        let inside = text.get(inside_at..)?;
        let trimmed = inside.trim_start_matches(['-', '+']).trim_start();
        if let Some(after) = trimmed.strip_prefix("endraw") {
            let close = after.find("%}")?;
            return Some(text.len() - after.len() + close + 2);
        }
        from = inside_at;
    }
    None
}

/// Whether a tag turns output into a value, or may run it elsewhere than where it stands.
fn is_capture(keyword: &str, body: &str) -> bool {
    match keyword {
        "macro" | "call" | "filter" | "block" | "extends" | "import" | "from" => true,
        "set" => !body.contains('='),
        "for" => body.contains("recursive"),
        _ => false,
    }
}

/// Text without its marks, and the marks of each line.
pub(super) struct Unmarked {
    pub(super) text: String,
    pub(super) lines: LineSpots,
}

/// Takes the marks out of rendered text. A line without a mark, such as the second one of a value
/// that spans lines, belongs to the last mark before it.
pub(super) fn unmark(marked: &str) -> Unmarked {
    let mut text = String::with_capacity(marked.len());
    let mut lines = LineSpots::default();
    lines.start_line();
    let mut last = None;
    let mut pieces = marked.split(MARK_OPEN);
    let mut plain = pieces.next().unwrap_or_default();
    loop {
        text.push_str(plain);
        for (index, piece) in plain.split('\n').enumerate() {
            if index > 0 {
                lines.start_line();
            }
            if let Some(last) = last
                && lines.is_last_empty()
                && !piece.trim_start().is_empty()
            {
                lines.push(last);
            }
        }
        let Some(piece) = pieces.next() else { break };
        let (number, after) = piece.split_once(MARK_CLOSE).unwrap_or(("", piece));
        if let Ok(id) = number.parse::<u32>() {
            last = Some(id);
            lines.push(id);
        }
        plain = after;
    }
    Unmarked { text, lines }
}

/// Only the text, for a value that is computed with.
pub(super) fn without_marks(marked: &str) -> String {
    let mut pieces = marked.split(MARK_OPEN);
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        text.push_str(piece.split_once(MARK_CLOSE).map_or(piece, |(_, after)| after));
    }
    text
}

/// Drops the newline at the end of marked text, and marks after it, which belong to nothing.
pub(super) fn without_last_newline(marked: &str) -> &str {
    let mut end = marked;
    while end.ends_with(MARK_CLOSE)
        && let Some(open) = end.rfind(MARK_OPEN)
    {
        end = end.get(..open).unwrap_or_default();
    }
    end.strip_suffix('\n').unwrap_or(marked)
}

/// Whether a line of marked text shows nothing.
pub(super) fn is_blank(line: &str) -> bool {
    let mut rest = line;
    while let Some(marked) = rest.strip_prefix(MARK_OPEN) {
        rest = marked.split_once(MARK_CLOSE).map_or("", |(_, after)| after);
    }
    rest.is_empty() || rest == "\r"
}
