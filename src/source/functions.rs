//! The functions and filters that templates may use, besides the engine's own.
//!
//! They are listed, with examples, in the documentation of [`crate::source`]. None of them reads
//! anything but its arguments. A wrong argument ends the rendering, or, while problems are gathered,
//! becomes a finding and a placeholder.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use minijinja::functions::Function;
use minijinja::value::{FunctionArgs, FunctionResult, Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};
use sha2::{Digest, Sha256};

use super::cidr;
use super::mark::{is_blank, without_last_newline};
use super::record::Recorder;
use super::scope::{Fragment, Hole, is_missing};
use super::weight;
use crate::finding::Finding;
use crate::yaml;

/// Deepest indentation that `indent` gives, in columns; more is a slip that costs memory.
const INDENT_MAX: usize = 200;

/// Lists and maps inside each other that `tojson` and `toyaml` follow.
const JSON_DEPTH_MAX: usize = 100;

/// Adds everything to an environment.
pub(super) fn add(env: &mut Environment<'static>, recorder: &Arc<Recorder>) {
    add_missing(env, recorder);
    add_strict(env, recorder);
    add_text(env, recorder);
    add_cidr(env, recorder);
    weight::add(env, recorder);
    let shared = recorder.clone();
    env.add_function("fail", move |message: String| refuse(&shared, message, None));
    // They show the insides of the engine, not of the fleet.
    env.remove_global("debug");
    env.remove_filter("pprint");
}

/// Ends the rendering with a message, or notes it and goes on with a placeholder.
pub(super) fn refuse(
    recorder: &Arc<Recorder>,
    message: String,
    value: Option<&str>,
) -> Result<Value, Error> {
    let mut record = recorder.lock();
    if !record.is_collecting {
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    record.problem(Finding::error(message), value);
    drop(record);
    Ok(placeholder(recorder))
}

/// A placeholder for a value that a layer may hold which cannot be read, as is reported already.
fn hole_of_lost_layer(recorder: &Arc<Recorder>, value: &Value) -> Option<Value> {
    let is_lost = value.downcast_object_ref::<Hole>().is_some();
    (is_lost && recorder.lock().vars.is_incomplete).then(|| hole(recorder, &[value]))?
}

fn placeholder(recorder: &Arc<Recorder>) -> Value {
    Value::from_object(Hole { id: None, recorder: recorder.clone() })
}

/// A placeholder among the arguments: it is reported, and the function gives another one.
pub(super) fn hole(recorder: &Arc<Recorder>, args: &[&Value]) -> Option<Value> {
    let mut found = false;
    for hole in args.iter().filter_map(|arg| arg.downcast_object_ref::<Hole>()) {
        found = true;
        if let Some(id) = hole.id {
            recorder.lock().use_hole(id);
        }
    }
    found.then(|| placeholder(recorder))
}

/// What deals with values that may be missing: `default`, `required`, `defined`.
fn add_missing(env: &mut Environment<'static>, recorder: &Arc<Recorder>) {
    let default = |value: &Value, args: Rest<Value>| {
        let other = args.first().cloned().unwrap_or_else(|| Value::from(""));
        let is_lax = args.get(1).is_some_and(Value::is_true);
        if is_missing(value) || (is_lax && !value.is_true()) { other } else { value.clone() }
    };
    env.add_filter("default", default);
    env.add_filter("d", default);
    env.add_test("defined", |value: &Value| !is_missing(value));
    env.add_test("undefined", |value: &Value| is_missing(value));
    let shared = recorder.clone();
    env.add_filter("required", move |value: &Value, message: String| {
        let is_empty = value.is_none() || value.as_str() == Some("");
        if let Some(hole) = hole_of_lost_layer(&shared, value) {
            Ok(hole)
        } else if is_missing(value) || is_empty {
            refuse(&shared, message, None)
        } else {
            Ok(value.clone())
        }
    });
}

/// Filters and tests of the engine that take a value that is not set for an empty one, strict as the
/// engine is otherwise.
const LENIENT_FILTERS: [&str; 6] = ["join", "groupby", "chain", "zip", "escape", "e"];
const LENIENT_TESTS: [&str; 39] = [
    "none",
    "boolean",
    "odd",
    "even",
    "divisibleby",
    "number",
    "integer",
    "int",
    "float",
    "string",
    "sequence",
    "iterable",
    "mapping",
    "startingwith",
    "endingwith",
    "lower",
    "upper",
    "sameas",
    "eq",
    "equalto",
    "==",
    "ne",
    "!=",
    "lt",
    "lessthan",
    "<",
    "le",
    "<=",
    "gt",
    "greaterthan",
    ">",
    "ge",
    ">=",
    "in",
    "true",
    "false",
    "safe",
    "escaped",
    "filter",
];

/// Makes the lenient ones refuse what is not set.
fn add_strict(env: &mut Environment<'static>, recorder: &Arc<Recorder>) {
    let builtin = Arc::new(Environment::new());
    for name in LENIENT_FILTERS {
        let (builtin, shared) = (builtin.clone(), recorder.clone());
        env.add_filter(name, move |value: Value, args: Rest<Value>| {
            if let Some(hole) = hole(&shared, &[&value]) {
                return Ok(hole);
            }
            if value.is_undefined() {
                return Err(Error::from(ErrorKind::UndefinedError));
            }
            let args: Vec<Value> = std::iter::once(value).chain(args.0).collect();
            weight::check(&shared, &args)?;
            if weight::expected_bytes(name, &args) > shared.lock().value_bytes_max {
                return Err(weight::too_large(&shared));
            }
            builtin.empty_state().apply_filter(name, &args)
        });
    }
    for name in LENIENT_TESTS {
        let (builtin, shared) = (builtin.clone(), recorder.clone());
        env.add_test(name, move |value: Value, args: Rest<Value>| {
            if hole(&shared, &[&value]).is_some() {
                return Ok(false);
            }
            if value.is_undefined() {
                return Err(Error::from(ErrorKind::UndefinedError));
            }
            let args: Vec<Value> = std::iter::once(value).chain(args.0).collect();
            builtin.empty_state().perform_test(name, &args)
        });
    }
}

/// What makes text of values.
fn add_text(env: &mut Environment<'static>, recorder: &Arc<Recorder>) {
    let shared = recorder.clone();
    env.add_filter("tojson", move |value: &Value, args: Rest<Value>| {
        if let Some(hole) = hole(&shared, &[value]) {
            return Ok(hole);
        }
        weight::check(&shared, [value])?;
        let json = to_json(value, 0)?;
        let is_pretty = args.first().is_some_and(Value::is_true);
        let text =
            if is_pretty { serde_json::to_string_pretty(&json) } else { Ok(json.to_string()) };
        Ok(Value::from(text.unwrap_or_default()))
    });
    let shared = recorder.clone();
    env.add_filter("toyaml", move |value: &Value| {
        if let Some(hole) = hole(&shared, &[value]) {
            return Ok(hole);
        }
        weight::check(&shared, [value])?;
        let text = yaml::to_text(&to_json(value, 0)?);
        Ok::<Value, Error>(Value::from(text.trim_end_matches('\n')))
    });
    add_text_filter(env, recorder, "b64encode", |_, text| Ok(BASE64_STANDARD.encode(text).into()));
    add_text_filter(env, recorder, "b64decode", |recorder, text| {
        match BASE64_STANDARD.decode(text.trim()).map(String::from_utf8) {
            Ok(Ok(decoded)) => Ok(Value::from(decoded)),
            Ok(Err(_)) => refuse(recorder, "b64decode gives no UTF-8 text".to_owned(), Some(text)),
            Err(error) => refuse(recorder, format!("not base64: {error}"), Some(text)),
        }
    });
    add_text_filter(env, recorder, "sha256", |_, text| {
        let digest = Sha256::digest(text.as_bytes());
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
    });
    let shared = recorder.clone();
    env.add_filter("indent", move |value: &Value, args: Rest<Value>| {
        weight::check(&shared, [value])?;
        indent(value, args)
    });
}

/// Adds a filter of text. What is not set has none.
fn add_text_filter(
    env: &mut Environment<'static>,
    recorder: &Arc<Recorder>,
    name: &'static str,
    filter: fn(&Arc<Recorder>, &str) -> Result<Value, Error>,
) {
    let shared = recorder.clone();
    env.add_filter(name, move |value: &Value| {
        if let Some(hole) = hole(&shared, &[value]) {
            return Ok(hole);
        }
        if value.is_undefined() {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        weight::check(&shared, [value])?;
        filter(&shared, &value.to_string())
    });
}

/// Indents every line but the first, `width` columns, blank lines only when asked to.
fn indent(value: &Value, args: Rest<Value>) -> Result<Value, Error> {
    let mut args: Vec<Value> = args.0;
    let kwargs = match args.last() {
        Some(last) if last.is_kwargs() => {
            let kwargs = Kwargs::try_from(last.clone())?;
            args.pop();
            Some(kwargs)
        }
        _ => None,
    };
    let option = |at: usize, name: &str| -> Result<Option<Value>, Error> {
        match (args.get(at), &kwargs) {
            (Some(value), _) => Ok(Some(value.clone())),
            (None, Some(kwargs)) => kwargs.get::<Option<Value>>(name),
            (None, None) => Ok(None),
        }
    };
    let width = option(0, "width")?.map_or(Some(4), |width| width.as_usize());
    let with_first = option(1, "first")?.is_some_and(|value| value.is_true());
    let with_blank = option(2, "blank")?.is_some_and(|value| value.is_true());
    if let Some(kwargs) = &kwargs {
        kwargs.assert_all_used()?;
    }
    let Some(width) = width.filter(|width| *width <= INDENT_MAX) else {
        let message = format!("indent wants a width from 0 to {INDENT_MAX}");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    };
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    Ok(match value.downcast_object_ref::<Fragment>() {
        Some(fragment) => {
            let text = indent_text(&fragment.0, width, with_first, with_blank);
            Value::from_object(Fragment(text))
        }
        None => Value::from(indent_text(&value.to_string(), width, with_first, with_blank)),
    })
}

fn indent_text(text: &str, width: usize, with_first: bool, with_blank: bool) -> String {
    let text = without_last_newline(text);
    let margin = " ".repeat(width);
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            out.push('\n');
        }
        if (at > 0 || with_first) && (with_blank || !is_blank(line)) {
            out.push_str(&margin);
        }
        out.push_str(line);
    }
    out
}

/// A template's value as JSON.
pub(super) fn to_json(value: &Value, depth: usize) -> Result<serde_json::Value, Error> {
    let refused = |message: &'static str| Error::new(ErrorKind::BadSerialization, message);
    if depth > JSON_DEPTH_MAX {
        return Err(refused("the value is nested too deeply"));
    }
    if value.downcast_object_ref::<Fragment>().is_some() {
        return Ok(value.to_string().into());
    }
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => Ok(serde_json::Value::Null),
        ValueKind::Bool => Ok(value.is_true().into()),
        ValueKind::Number => Ok(match (value.as_i64(), f64::try_from(value.clone())) {
            (Some(number), _) if value.is_integer() => number.into(),
            (_, Ok(number)) => number.into(),
            _ => return Err(refused("this number does not fit JSON")),
        }),
        ValueKind::String => Ok(value.as_str().unwrap_or_default().into()),
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter()?.map(|item| to_json(&item, depth + 1)).collect()
        }
        ValueKind::Map => {
            let mut map = serde_json::Map::new();
            for key in value.try_iter()? {
                let item = value.get_item(&key)?;
                map.insert(key.to_string(), to_json(&item, depth + 1)?);
            }
            Ok(map.into())
        }
        _ => Err(refused("this value has no JSON")),
    }
}

/// Arithmetic on address blocks, each as a function and as a filter.
fn add_cidr(env: &mut Environment<'static>, recorder: &Arc<Recorder>) {
    let shared = recorder.clone();
    add_both(env, "cidrsubnet", move |block: &Value, bits: &Value, number: &Value| {
        cidr_call(&shared, &[block, bits, number], |text| {
            cidr::subnet(text, whole(bits)?, whole(number)?)
        })
    });
    let shared = recorder.clone();
    add_both(env, "cidrhost", move |block: &Value, number: &Value| {
        cidr_call(&shared, &[block, number], |text| cidr::host(text, whole(number)?))
    });
    let shared = recorder.clone();
    add_both(env, "cidrnetmask", move |block: &Value| cidr_call(&shared, &[block], cidr::netmask));
    let shared = recorder.clone();
    add_both(env, "cidr_prefix_len", move |block: &Value| {
        cidr_call(&shared, &[block], cidr::prefix_len)
    });
    let shared = recorder.clone();
    add_both(env, "cidr_contains", move |block: &Value, other: &Value| {
        cidr_call(&shared, &[block, other], |text| cidr::contains(text, &other.to_string()))
    });
    let shared = recorder.clone();
    add_both(env, "cidr_overlaps", move |block: &Value, other: &Value| {
        cidr_call(&shared, &[block, other], |text| cidr::overlaps(text, &other.to_string()))
    });
}

fn add_both<F, Rv, Args>(env: &mut Environment<'static>, name: &'static str, function: F)
where
    F: Function<Rv, Args> + Clone,
    Rv: FunctionResult,
    Args: for<'a> FunctionArgs<'a>,
{
    env.add_filter(name, function.clone());
    env.add_function(name, function);
}

fn whole(value: &Value) -> Result<i64, cidr::CidrError> {
    value.as_i64().ok_or_else(|| cidr::CidrError::new(&value.to_string(), "is not a whole number"))
}

/// Calls a helper with the text of its first argument; what is wrong names the wrong argument.
fn cidr_call<T: Into<Value>>(
    recorder: &Arc<Recorder>,
    args: &[&Value],
    call: impl Fn(&str) -> Result<T, cidr::CidrError>,
) -> Result<Value, Error> {
    if let Some(hole) = hole(recorder, args) {
        return Ok(hole);
    }
    if args.iter().any(|arg| arg.is_undefined()) {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let text = args.first().map(ToString::to_string).unwrap_or_default();
    match call(&text) {
        Ok(value) => Ok(value.into()),
        Err(error) => refuse(recorder, error.to_string(), Some(&error.value)),
    }
}
