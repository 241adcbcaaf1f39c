//! One change: a line that says what and why, then its fields.

use std::fmt::Write;

use serde_json::Value;

use super::{PlanView, main_fields, value};
use crate::plan::{Action, Change, FieldChange, FieldClass, Reason};
use crate::resource::{Kind, Resource};
use crate::ui::finding::{plural, wrap};

/// Columns between a field's name and its values.
const GAP: usize = 2;

/// Writes a change.
pub(super) fn write(text: &mut String, change: &Change, view: PlanView) {
    title(text, change, view);
    match (&change.action, &change.before, &change.after) {
        (Action::Create, _, Some(after)) if view.verbose => {
            all_fields(text, &after.to_value(), view);
        }
        (Action::Create, _, Some(_)) => {}
        (Action::Delete, Some(before), _) if view.verbose => {
            all_fields(text, &before.to_value(), view);
        }
        _ => fields(text, &change.fields, cost, view),
    }
    if let Some(version) = change.existing_version {
        let line = format!("version {version} holds this content already; no new one is made");
        let _ = writeln!(text, "      {}", wrap(&line, view.width, 6, 6));
    }
}

fn title(text: &mut String, change: &Change, view: PlanView) {
    let style = view.style;
    let symbol = format!("{:>3}", change.action.symbol());
    let symbol = match change.action {
        Action::Create => style.create(&symbol),
        Action::Update => style.update(&symbol),
        Action::Replace | Action::Delete => style.delete(&symbol),
        Action::NoOp => symbol,
    };
    let address = change.address.to_string();
    let remark = remark(change);
    let used = 4 + address.chars().count();
    if remark.is_empty() {
        let _ = writeln!(text, "{symbol} {address}");
    } else if used + GAP + remark.chars().count() <= view.width {
        let _ = writeln!(text, "{symbol} {address}{:GAP$}{}", "", style.dim(&remark));
    } else {
        let remark = wrap(&remark, view.width, 6, 6);
        let _ = writeln!(text, "{symbol} {address}\n      {}", style.dim(&remark));
    }
}

/// What stands beside an address: the main fields of what is made or destroyed, the reason of any
/// other change, and the machines that go with a group.
fn remark(change: &Change) -> String {
    let main = |resource: &Option<Resource>| resource.as_ref().map(main_fields::of);
    let said = match change.reason {
        Reason::NotThere => main(&change.after),
        Reason::SpecChanged => Some("the spec changed".to_owned()),
        Reason::Drifted => Some("the cloud was changed, the spec was not".to_owned()),
        Reason::Differs => Some("differs from the spec".to_owned()),
        Reason::Follows => Some("follows another change".to_owned()),
        Reason::CannotUpdate => Some("has a change that cannot be made in place".to_owned()),
        Reason::NotWanted => Some("ours, no longer in the spec".to_owned()),
        // Versions of a template that goes are not read, so there is nothing to tell.
        Reason::Destroy if change.address.kind == Kind::LaunchTemplate => None,
        Reason::Destroy => main(&change.before),
    };
    let said = said.unwrap_or_default();
    match change.machine_count {
        0 => said,
        count if change.action == Action::Delete => {
            format!("{said}; {} terminated", plural(count, "machine"))
        }
        _ => said,
    }
}

/// Fields that differ, before and after, names aligned where the values fit beside them.
pub(super) fn fields(
    text: &mut String,
    fields: &[FieldChange],
    cost: fn(FieldClass) -> &'static str,
    view: PlanView,
) {
    let names = fields.iter().map(|field| field.path.chars().count());
    let column = names.filter(|length| *length <= view.width / 3).max().unwrap_or_default();
    for field in fields {
        one_field(text, field, cost(field.class), column, view);
    }
}

/// What a changed field costs, in words; nothing to say when it costs nothing.
fn cost(class: FieldClass) -> &'static str {
    match class {
        FieldClass::InPlace => "",
        FieldClass::DrainsFirst => "drains machines first",
        FieldClass::RollsMachines => "rolls machines",
        FieldClass::ReplacesResource => "replaces it",
        FieldClass::Forbidden => "forbidden",
    }
}

fn one_field(text: &mut String, field: &FieldChange, cost: &str, column: usize, view: PlanView) {
    let note = if cost.is_empty() { String::new() } else { format!("  ({cost})") };
    let (before, after) = (field.before.as_ref(), field.after.as_ref());
    let name = &field.path;
    let short = value::one_line(before).zip(value::one_line(after));
    if let Some((before, after)) = short {
        let line = format!("{before} -> {after}{note}");
        let beside = 6 + column.max(name.chars().count()) + GAP;
        if beside + line.chars().count() <= view.width {
            let _ = writeln!(text, "      {name:column$}{:GAP$}{line}", "");
            return;
        }
        if 8 + line.chars().count() <= view.width {
            let _ = writeln!(text, "      {name}\n        {line}");
            return;
        }
    }
    let _ = writeln!(text, "      {name}{note}");
    value::difference(text, before, after, 8, view);
}

/// Every field of a resource that is made or goes.
fn all_fields(text: &mut String, resource: &Value, view: PlanView) {
    let Value::Object(fields) = resource else { return };
    for (name, field) in fields {
        match value::one_line(Some(field)) {
            Some(line) if 8 + name.chars().count() + line.chars().count() <= view.width => {
                let _ = writeln!(text, "      {name}: {line}");
            }
            _ => {
                let _ = writeln!(text, "      {name}:");
                for line in value::lines(field) {
                    let _ = writeln!(text, "        {line}");
                }
            }
        }
    }
}
