//! `--set PATH=VALUE`: the last layer of vars.

use crate::yaml::{self, Node, Step, Value};

/// One value given on the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// Where it goes.
    pub(super) path: Vec<Step>,
    /// What goes there; null deletes.
    pub(super) value: Node,
    /// As it was typed, for messages.
    pub(super) label: String,
}

/// Lists made by `--set a[n]=…` grow one by one, so this is never in the way.
const INDEX_MAX: usize = 10_000;

impl Set {
    /// Reads `a.b[0]=value`. The value is a YAML scalar (`3`, `true`, `null`, text) or a list
    /// `{a,b,c}`; keys that hold dots are written `a["b.c"]` or `a.b\.c`. Everything after the first
    /// `=` belongs to the value, commas too; give the flag once for each value.
    ///
    /// # Errors
    /// A message that says what is missing.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text, "--set", |value| {
            let list = value.strip_prefix('{').and_then(|inside| inside.strip_suffix('}'));
            match list {
                Some("") => Ok(Value::Sequence(Vec::new())),
                Some(list) => {
                    let items = list.split(',').map(|item| Ok(node(scalar(item.trim())?)));
                    items.collect::<Result<_, String>>().map(Value::Sequence)
                }
                None => scalar(value),
            }
        })
    }

    /// Reads `a.b=value` and keeps the value as text.
    ///
    /// # Errors
    /// A message that says what is missing.
    pub fn parse_string(text: &str) -> Result<Self, String> {
        Self::read(text, "--set-string", |value| Ok(Value::String(value.to_owned())))
    }

    fn read(
        text: &str,
        flag: &str,
        read_value: impl Fn(&str) -> Result<Value, String>,
    ) -> Result<Self, String> {
        let (path, value) = text
            .split_once('=')
            .ok_or_else(|| format!("`{flag} {text}` has no `=`: write {flag} key=value"))?;
        let bracketed = quote_escaped_dots(path);
        let steps = yaml::path_steps(&bracketed).filter(|steps| {
            matches!(steps.first(), Some(Step::Key(_)))
                && !steps.iter().any(|step| matches!(step, Step::Index(n) if *n > INDEX_MAX))
        });
        let path = steps
            .ok_or_else(|| format!("`{path}` is not a path: write it like spot_nodes.a[0].max"))?;
        if value.contains([super::mark::MARK_OPEN, super::mark::MARK_CLOSE]) {
            return Err(format!("`{flag}`: U+FDD0 and U+FDD1 are no characters and not allowed"));
        }
        let value = node(read_value(value)?);
        Ok(Self { path, value, label: format!("{flag} {text}") })
    }
}

/// A value from the command line has no position.
fn node(value: Value) -> Node {
    Node { line: 0, column: 0, value }
}

fn scalar(text: &str) -> Result<Value, String> {
    yaml::plain_scalar(text)
}

/// Turns `a.b\.c` into `a["b.c"]`, which paths know.
fn quote_escaped_dots(path: &str) -> String {
    if !path.contains("\\.") {
        return path.to_owned();
    }
    let escaped = path.replace("\\.", "\u{0}");
    let steps = escaped.split('.').map(|step| match step.contains('\u{0}') {
        true => format!("[\"{}\"]", step.replace('\u{0}', ".")),
        false => step.to_owned(),
    });
    steps.collect::<Vec<_>>().join(".").replace(".[", "[")
}
