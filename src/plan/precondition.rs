//! What a change assumes of the world, as a digest that is checked again right before the change.

use serde_json::{Value, json};

use super::compare::BOOKKEEPING_TAGS;
use super::{Action, Change};
use crate::cloud::{Observed, Ownership};
use crate::resource::{Attribute, digest};

/// The precondition of a resource that is not there.
const ABSENT: &str = "absent";

/// Digest of what a change assumes of a resource: its identity, owner and fields, or its absence.
///
/// Left out is what moves by itself and decides nothing: kprod's bookkeeping tags, desired capacity,
/// pin and machines of a group, others' rules, and fields that were not read. A template counts by the
/// version its tag names, so that it does not matter whether versions were read.
pub fn precondition(observed: Option<&Observed>) -> String {
    let Some(observed) = observed else { return ABSENT.to_owned() };
    let mut fields = observed.resource.to_value();
    if let Some(tags) = fields.get_mut("tags").and_then(Value::as_object_mut) {
        for tag in BOOKKEEPING_TAGS {
            tags.remove(tag);
        }
    }
    let content = observed.template.as_ref().map(|template| &template.wanted);
    if let Some(object) = fields.as_object_mut() {
        if content.is_some() {
            object.remove("launch_template_data");
        }
        for field in &observed.unread {
            object.remove(field);
        }
    }
    digest(&json!({
        "id": observed.attributes.get(&Attribute::Id),
        "arn": observed.attributes.get(&Attribute::Arn),
        "is_owned": observed.ownership == Ownership::Owned,
        "content": content,
        "fields": fields,
    }))
}

/// Whether a change may still be made. What is to go may have gone already: with its parent, or by
/// the run before this one.
pub fn precondition_holds(change: &Change, observed: Option<&Observed>) -> bool {
    let may_be_absent = matches!(change.action, Action::Delete | Action::Replace);
    // Whoever looks deeper than the plan did has to leave out what the plan did not see.
    let as_planned = observed.map(|observed| {
        let mut observed = observed.clone();
        observed.unread.extend(change.unread.iter().cloned());
        observed
    });
    (may_be_absent && observed.is_none())
        || precondition(as_planned.as_ref()) == change.precondition
}
