//! Values of fields as text, and what differs between two of them.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::PlanView;
use crate::resource::{Attribute, Ref, Rule};

/// Lines of one difference that are shown unless everything is asked for.
const DIFFERENCE_LINES_MAX: usize = 30;

/// Unchanged lines around a changed one.
const CONTEXT_LINES: usize = 2;

/// A value on one line; `None` when it takes several.
pub(super) fn one_line(value: Option<&Value>) -> Option<String> {
    match value {
        None => Some("(none)".to_owned()),
        Some(Value::String(text)) if text.is_empty() => Some("\"\"".to_owned()),
        Some(Value::String(text)) if text.contains('\n') => None,
        Some(Value::String(text)) => Some(promise_or(text)),
        Some(Value::Array(items)) if items.is_empty() => Some("[]".to_owned()),
        Some(Value::Array(items)) => {
            let scalars: Option<Vec<String>> = items
                .iter()
                .map(|item| match item {
                    Value::Array(_) | Value::Object(_) => None,
                    scalar => one_line(Some(scalar)),
                })
                .collect();
            scalars.map(|items| format!("[{}]", items.join(", ")))
        }
        Some(Value::Object(map)) => group_tag(map).or_else(|| {
            let fields: Option<Vec<String>> = map
                .iter()
                .map(|(key, value)| match value {
                    Value::Array(_) | Value::Object(_) => None,
                    scalar => one_line(Some(scalar)).map(|value| format!("{key}: {value}")),
                })
                .collect();
            fields.map(|fields| format!("{{{}}}", fields.join(", ")))
        }),
        Some(scalar) => Some(scalar.to_string()),
    }
}

/// An ASG's tag: its value, and whether machines get it.
fn group_tag(map: &serde_json::Map<String, Value>) -> Option<String> {
    let value = map.get("value")?.as_str()?;
    let to_machines = map.get("propagate_at_launch")?.as_bool()?;
    let reach = if to_machines { " (machines too)" } else { "" };
    (map.len() == 2).then(|| format!("\"{value}\"{reach}"))
}

/// A promise in words, or the text itself.
fn promise_or(text: &str) -> String {
    match Ref::parse(text) {
        Ref::Known(text) => text,
        Ref::Of(_, Attribute::Target) => "(next version)".to_owned(),
        Ref::Of(key, attribute) => format!("({} of {key})", attribute.as_str()),
    }
}

/// A value as lines.
pub(super) fn lines(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => text.lines().map(promise_or).collect(),
        Value::Array(items) => items.iter().flat_map(item_lines).collect(),
        other => pretty(other),
    }
}

fn pretty(value: &Value) -> Vec<String> {
    serde_json::to_string_pretty(value).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// One item of a list: a rule in words, else on one line if it fits there, else as JSON.
fn item_lines(item: &Value) -> Vec<String> {
    if let Ok(known) = serde_json::from_value::<Rule>(item.clone()) {
        return vec![rule(&known)];
    }
    one_line(Some(item)).map_or_else(|| pretty(item), |line| vec![line])
}

/// A security group rule in words.
pub(super) fn rule(rule: &Rule) -> String {
    let Rule {
        is_egress,
        ip_protocol,
        from_port,
        to_port,
        cidr_ipv4,
        cidr_ipv6,
        prefix_list_id,
        referenced_group_id,
    } = rule;
    let (direction, word) = if *is_egress { ("egress", "to") } else { ("ingress", "from") };
    let protocol = if ip_protocol == "-1" { "all" } else { ip_protocol };
    let ports = match (*from_port, *to_port) {
        (-1, _) | (0, 65535) => String::new(),
        (from, to) if from == to => format!(" {from}"),
        (from, to) => format!(" {from}-{to}"),
    };
    let group = referenced_group_id.as_ref().map(|group| match group {
        Ref::Known(id) => id.clone(),
        Ref::Of(key, _) => key.to_string(),
    });
    let peers: Vec<String> =
        [cidr_ipv4, cidr_ipv6, prefix_list_id, &group].into_iter().flatten().cloned().collect();
    format!("{direction} {protocol}{ports} {word} {}", peers.join(", "))
}

/// What differs between two values that do not fit on one line: items of lists, lines of texts.
pub(super) fn difference(
    text: &mut String,
    before: Option<&Value>,
    after: Option<&Value>,
    indent: usize,
    view: PlanView,
) {
    let signed = match (before, after) {
        (Some(Value::Array(before)), Some(Value::Array(after))) => list_difference(before, after),
        _ => line_difference(before, after),
    };
    let shown = if view.verbose { signed.len() } else { DIFFERENCE_LINES_MAX };
    for (sign, line) in signed.iter().take(shown) {
        let line = format!("{sign} {line}");
        let line = match sign {
            '+' => view.style.create(&line),
            '-' => view.style.delete(&line),
            _ => view.style.dim(line.trim_end()),
        };
        let _ = writeln!(text, "{:indent$}{line}", "");
    }
    super::more(text, signed.len(), shown, indent);
}

/// Items that go and come. A list whose items only changed places is shown whole, twice.
fn list_difference(before: &[Value], after: &[Value]) -> Vec<(char, String)> {
    let texts = |items: &[Value]| -> BTreeSet<String> {
        items.iter().map(|item| item_lines(item).join(" ")).collect()
    };
    let (old, new) = (texts(before), texts(after));
    if old == new {
        let whole = |items: &[Value]| {
            let items: Vec<String> = items.iter().map(|item| item_lines(item).join(" ")).collect();
            format!("[{}]", items.join(", "))
        };
        return vec![('-', whole(before)), ('+', whole(after))];
    }
    let gone = old.difference(&new).map(|item| ('-', item.clone()));
    let come = new.difference(&old).map(|item| ('+', item.clone()));
    gone.chain(come).collect()
}

fn line_difference(before: Option<&Value>, after: Option<&Value>) -> Vec<(char, String)> {
    let text = |value: Option<&Value>| {
        let mut lines = value.map(lines).unwrap_or_default().join("\n");
        if !lines.is_empty() {
            lines.push('\n');
        }
        lines
    };
    let (before, after) = (text(before), text(after));
    let diff = TextDiff::from_lines(&before, &after);
    let mut signed = Vec::new();
    for (index, group) in diff.grouped_ops(CONTEXT_LINES).iter().enumerate() {
        if index > 0 {
            signed.push((' ', "...".to_owned()));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            signed.push((sign, change.value().trim_end_matches('\n').to_owned()));
        }
    }
    signed
}
