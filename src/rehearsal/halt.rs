//! Why a run stopped before its end, and which halts are one and the same, whatever they hit.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::error::Failure;

/// Why a run stopped before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// What it would have exited with.
    pub code: u8,
    /// What it said.
    pub message: String,
    /// The details of that.
    pub details: Vec<String>,
    /// The way out that it named.
    pub hint: String,
}

/// What halts of one kind have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    code: u8,
    reasons: BTreeSet<String>,
}

/// Stands for what differs between halts of one kind.
const ANY: &str = "*";

impl Halt {
    /// Of what a run ended with.
    pub fn of(failure: &Failure) -> Self {
        Self {
            code: failure.code as u8,
            message: failure.message.clone(),
            details: failure.details.clone(),
            hint: failure.hint.clone().unwrap_or_default(),
        }
    }

    /// All that it said.
    pub fn told(&self) -> String {
        match self.details.is_empty() {
            true => self.message.clone(),
            false => format!("{}: {}", self.message, self.details.join("; ")),
        }
    }

    /// What is the same whichever machine or pod it hit, how many, and how late. Details say more than
    /// the message, which counts them.
    pub fn kind(&self) -> Kind {
        let said = match self.details.as_slice() {
            [] => std::slice::from_ref(&self.message),
            details => details,
        };
        let reasons = said.iter().map(|reason| common(reason)).collect();
        Kind { code: self.code, reasons }
    }
}

/// A text without ids and numbers.
fn common(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(common_word).collect();
    words.join(" ")
}

/// A word without them. In the name of a pod, which has its namespace before it, what a controller has put
/// behind its own name goes too.
fn common_word(word: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric();
    if word.trim_matches(|c| !is_part(c)).parse::<Timestamp>().is_ok() {
        return ANY.to_owned();
    }
    let is_pod = word.contains('/');
    let (mut text, mut before) = (String::new(), "");
    for part in word.split_inclusive(|c| !is_part(c)) {
        let core = part.trim_end_matches(|c| !is_part(c));
        let varies = match before.ends_with('-') {
            true if before == "i-" => is_hex(core),
            true => is_pod && (is_number(core) || is_suffix(core)),
            false => is_number(core),
        };
        text.push_str(if varies { ANY } else { core });
        text.push_str(&part[core.len()..]);
        before = part;
    }
    text
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// What AWS puts behind `i-`.
fn is_hex(part: &str) -> bool {
    part.len() >= 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What Kubernetes makes names unique by.
/// Source: Kubernetes, `apimachinery/pkg/util/rand`, `alphanums`.
fn is_suffix(part: &str) -> bool {
    part.len() >= 5 && part.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::{Halt, common};

    fn halt(message: &str, details: &[&str]) -> Halt {
        let details = details.iter().map(|detail| (*detail).to_owned()).collect();
        Halt { code: 6, message: message.to_owned(), details, hint: String::new() }
    }

    #[test]
    fn ids_and_numbers_are_out_of_it_and_names_are_not() {
        for (text, without) in [
            ("i-0a1b2c3d4e5f60718 does not end, 900 s after", "i-* does not end, * s after"),
            (
                "node i-0a1b2c3d4e5f60718.eu-west-3.compute.internal:",
                "node i-*.eu-west-3.compute.internal:",
            ),
            ("pod demo/web-7d9f8c6b5-x2k4z cannot", "pod demo/web-*-* cannot"),
            ("pod demo/store-0, demo/store-12: no", "pod demo/store-*, demo/store-*: no"),
            ("spot-16x-128gb.staging waits", "spot-16x-128gb.staging waits"),
            ("pool-2 in eu-west-3b is out of machines", "pool-2 in eu-west-3b is out of machines"),
            ("until 2026-11-21T07:46:47.446Z, or 6 h", "until * or * h"),
            ("budget/demo/web allows 0 of 3", "budget/demo/web allows * of *"),
        ] {
            assert_eq!(common(text), without);
        }
    }

    #[test]
    fn a_halt_is_of_the_same_kind_whatever_it_hit_and_how_often() {
        let one = |id: &str| format!("{id} does not end, 900 s after it was told to");
        let (a, b) = (one("i-0000000000000000a"), one("i-0000000000000000b"));
        let single = halt(&a, &[]);
        assert_eq!(single.kind(), halt(&b, &[]).kind());
        assert_eq!(single.kind(), halt("the roll halted for 2 reasons", &[&a, &b]).kind());
        let other = halt("the roll halted for 2 reasons", &[&a, "pool waits"]);
        assert_ne!(single.kind(), other.kind());
        assert_ne!(single.kind(), Halt { code: 1, ..single.clone() }.kind());
        assert_eq!(other.told(), format!("the roll halted for 2 reasons: {a}; pool waits"));
    }
}
