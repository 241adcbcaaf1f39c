//! How large a template's values may grow.
//!
//! The engine counts steps, not bytes: a text that doubles itself in a loop of forty steps would
//! fill any memory. So values are weighed where they could grow from one step to the next: when a
//! line has bound one to a name, when one is handed to a snippet or to a filter that makes more of
//! it. What grows within a single expression is bounded by the number of its operators.

use std::sync::Arc;

use minijinja::functions::Function;
use minijinja::value::{FunctionArgs, FunctionResult, Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, filters};

use super::record::Recorder;
use super::scope::{Fragment, Hole, VarsObject};

/// What a value costs besides its text: about its own size.
const VALUE_BYTES: usize = 24;

/// Lists and maps inside each other; the engine frees them by recursion.
const DEPTH_MAX: usize = 100;

/// Whether all values together are at most so many bytes. `None` stands for too deep.
pub(super) fn weigh<'v>(
    values: impl IntoIterator<Item = &'v Value>,
    bytes_max: usize,
) -> Option<usize> {
    let mut left = bytes_max;
    values.into_iter().all(|value| take(value, &mut left, 0)).then(|| bytes_max - left)
}

fn take(value: &Value, left: &mut usize, depth: usize) -> bool {
    let text = match value.kind() {
        ValueKind::String | ValueKind::Bytes => value.len().unwrap_or_default(),
        _ => value.downcast_object_ref::<Fragment>().map_or(0, |fragment| fragment.0.len()),
    };
    let Some(rest) = left.checked_sub(text.saturating_add(VALUE_BYTES)) else { return false };
    *left = rest;
    // The vars are as large as their files.
    let is_bounded = value.downcast_object_ref::<VarsObject>().is_some()
        || value.downcast_object_ref::<Hole>().is_some();
    let is_list = matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map);
    if is_bounded || !is_list {
        return true;
    }
    let items = value.len().unwrap_or_default();
    if depth >= DEPTH_MAX || items.saturating_mul(VALUE_BYTES) > *left {
        return false;
    }
    let Ok(mut keys) = value.try_iter() else { return true };
    let is_map = value.kind() == ValueKind::Map;
    keys.all(|key| {
        let inside = is_map.then(|| value.get_item(&key).ok()).flatten();
        take(&key, left, depth + 1) && inside.is_none_or(|value| take(&value, left, depth + 1))
    })
}

/// Refuses values that are too large.
pub(super) fn check<'v>(
    recorder: &Arc<Recorder>,
    values: impl IntoIterator<Item = &'v Value>,
) -> Result<(), Error> {
    let bytes_max = recorder.lock().value_bytes_max;
    match weigh(values, bytes_max) {
        Some(bytes) => recorder.lock().weighed(bytes),
        None => Err(too_large(recorder)),
    }
}

/// The error that ends a rendering, noted with the line that runs.
pub(super) fn too_large(recorder: &Arc<Recorder>) -> Error {
    let mut record = recorder.lock();
    let message = format!("a value here is larger than {} bytes", record.value_bytes_max);
    record.halt(&message);
    Error::new(ErrorKind::InvalidOperation, message)
}

/// Puts a scale before the filters of the engine that make a list or a text of what may be many
/// times smaller.
pub(super) fn add(env: &mut Environment<'static>, recorder: &Arc<Recorder>) {
    guard(env, recorder, "batch", filters::batch);
    guard(env, recorder, "format", filters::format);
    guard(env, recorder, "list", filters::list);
    guard(env, recorder, "map", filters::map);
    guard(env, recorder, "max", filters::max);
    guard(env, recorder, "min", filters::min);
    guard(env, recorder, "reject", filters::reject);
    guard(env, recorder, "rejectattr", filters::rejectattr);
    guard(env, recorder, "replace", filters::replace);
    guard(env, recorder, "reverse", filters::reverse);
    guard(env, recorder, "select", filters::select);
    guard(env, recorder, "selectattr", filters::selectattr);
    guard(env, recorder, "slice", filters::slice);
    guard(env, recorder, "sort", filters::sort);
    guard(env, recorder, "string", filters::string);
    guard(env, recorder, "sum", filters::sum);
    guard(env, recorder, "unique", filters::unique);
}

fn guard<F, Rv, Args>(
    env: &mut Environment<'static>,
    recorder: &Arc<Recorder>,
    name: &'static str,
    filter: F,
) where
    F: Function<Rv, Args>,
    Rv: FunctionResult,
    Args: for<'a> FunctionArgs<'a>,
{
    let (shared, filter) = (recorder.clone(), Value::from_function(filter));
    env.add_filter(name, move |state: &mut State, args: Rest<Value>| {
        check(&shared, args.iter())?;
        if expected_bytes(name, &args) > shared.lock().value_bytes_max {
            return Err(too_large(&shared));
        }
        filter.call(state, &args)
    });
}

/// What a filter would make of its arguments, where that is more than in proportion.
pub(super) fn expected_bytes(name: &str, args: &[Value]) -> usize {
    let text = |at: usize| args.get(at).and_then(Value::as_str).unwrap_or_default();
    let number = |at: usize| args.get(at).and_then(Value::as_usize).unwrap_or_default();
    match name {
        "replace" if text(1).is_empty() => text(0).len().saturating_mul(text(2).len() + 1),
        "replace" => text(0).matches(text(1)).count().saturating_mul(text(2).len()),
        "join" => {
            args.first().and_then(Value::len).unwrap_or_default().saturating_mul(text(1).len())
        }
        "batch" | "slice" => number(1).saturating_mul(VALUE_BYTES),
        // A width has no more than four digits where anybody reads what it pads.
        "format" => match text(0).split(|c: char| !c.is_ascii_digit()).all(|run| run.len() <= 4) {
            true => 0,
            false => usize::MAX,
        },
        _ => 0,
    }
}
