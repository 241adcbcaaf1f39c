//! The text engine: its settings, its limits, and what its errors mean.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::io;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior};

use super::functions::{self, refuse};
use super::mark::{self, MARK_CLOSE, MARK_FUNCTION, MARK_OPEN};
use super::record::{Record, Recorder};
use super::render::Limits;
use super::scope::{Fragment, Hole, Scope, VarsObject};
use super::sources::{SourceFile, Sources, snippet_path};
use super::weight;
use crate::finding::{Finding, Place, PlaceRole, did_you_mean};

/// What an environment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text with marks.
    Marked,
    /// Text alone.
    Plain,
    /// Text with marks, and problems become findings.
    Collecting,
}

/// An always empty file that stands in for one that is missing while problems are gathered. No file
/// of a fleet has this name.
const NOTHING: &str = "";

/// An environment with every file that can be parsed, and the findings of those that cannot.
pub(super) fn environment(
    kind: Kind,
    sources: &Sources,
    recorder: &Arc<Recorder>,
    limits: &Limits,
) -> (Environment<'static>, Vec<(String, Finding)>) {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_debug(kind == Kind::Collecting);
    env.set_fuel(Some(limits.fuel));
    // The defaults have no delimiters that could be invalid.
    if let Ok(syntax) = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
    {
        env.set_syntax(syntax);
    }
    let shared = recorder.clone();
    env.set_formatter(move |out, _, value| print(out, value, &shared));
    functions::add(&mut env, recorder);
    env.add_global(MARK_FUNCTION, at_function(recorder));
    add_snippet(&mut env, recorder, sources, *limits);
    add_include(&mut env, kind, recorder, sources);

    let mut findings = Vec::new();
    for file in &sources.files {
        if sources.broken.contains(&file.name) {
            continue;
        }
        if let Some(line) = file.knotted {
            let message =
                format!("more than {} operators or branches in one piece", mark::OPERATORS_MAX);
            let finding = Finding::error(message).at(Place::at(&*file.name, line));
            findings.push((file.name.clone(), finding.hint("give parts of it a name by `set`")));
            continue;
        }
        let text = if kind == Kind::Plain { &file.plain } else { &file.marked };
        if let Err(finding) = add_file(&mut env, file, text) {
            findings.push((file.name.clone(), finding));
        }
    }
    // An empty text is a valid template.
    let _ = env.add_template_owned(NOTHING, "");
    (env, findings)
}

fn add_file(env: &mut Environment<'static>, file: &SourceFile, text: &str) -> Result<(), Finding> {
    if file.plain.split('\n').count() > mark::LINES_MAX {
        let message = format!("the file has more than {} lines", mark::LINES_MAX);
        return Err(Finding::error(message).at(Place::file(&file.name)));
    }
    env.add_template_owned(file.name.clone(), text.to_owned()).map_err(|error| {
        let (name, line) = error_place(&error, &file.name);
        let place = line.map_or_else(|| Place::file(&*name), |line| Place::at(&*name, line));
        let detail = error.detail().unwrap_or("syntax error");
        Finding::error(format!("the template cannot be parsed: {detail}")).at(place)
    })
}

/// The names that an environment gives to every template.
pub(super) fn globals(env: &Environment<'static>) -> BTreeSet<String> {
    let names = env.globals().map(|(name, _)| name.to_owned());
    names
        .chain(["self", "super", "caller", "loop", "varargs", "kwargs"].map(str::to_owned))
        .collect()
}

/// Prints a value as YAML would want it.
fn print(
    out: &mut minijinja::Output<'_>,
    value: &Value,
    recorder: &Arc<Recorder>,
) -> Result<(), Error> {
    if let Some(fragment) = value.downcast_object_ref::<Fragment>() {
        recorder.lock().printed(fragment.0.len())?;
        return Ok(out.write_str(&fragment.0)?);
    }
    if value.downcast_object_ref::<Hole>().is_some() {
        return Ok(write!(out, "{value}")?);
    }
    match value.kind() {
        ValueKind::None => Ok(out.write_str("null")?),
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "true" } else { "false" })?),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => {
            weight::check(recorder, [value])?;
            let text = functions::to_json(value, 0)?.to_string();
            recorder.lock().printed(text.len())?;
            Ok(out.write_str(&text)?)
        }
        _ => {
            recorder.lock().printed(value.len().unwrap_or_default())?;
            Ok(write!(out, "{value}")?)
        }
    }
}

/// The function behind the marks: notes the line and gives the mark. `bytes` is the length of the
/// source since the mark before, all that can be printed without passing one.
pub(super) fn at_function(recorder: &Arc<Recorder>) -> Value {
    let recorder = recorder.clone();
    Value::from_function(move |state: &State, code: u32, bytes: usize| {
        let names = recorder.lock().names_to_weigh(code);
        if !names.is_empty() {
            recorder.lock().is_probing = true;
            let values: Vec<Value> = names.iter().filter_map(|name| state.lookup(name)).collect();
            recorder.lock().is_probing = false;
            weight::check(&recorder, &values)?;
        }
        let mut record = recorder.lock();
        record.printed(bytes)?;
        let id = record.at(code);
        Ok(format!("{MARK_OPEN}{id}{MARK_CLOSE}"))
    })
}

/// `snippet(name, key=value…)`.
fn add_snippet(
    env: &mut Environment<'static>,
    recorder: &Arc<Recorder>,
    sources: &Sources,
    limits: Limits,
) {
    let recorder = recorder.clone();
    let snippets = sources.snippets.clone();
    env.add_function("snippet", move |state: &State, name: &Value, params: Kwargs| {
        if let Some(hole) = functions::hole(&recorder, &[name]) {
            return Ok(hole);
        }
        let Some(name) = name.as_str() else {
            return Err(Error::new(ErrorKind::InvalidOperation, "snippet wants a file name"));
        };
        let path = snippet_path(name);
        if !snippets.contains(&path) {
            return refuse(&recorder, no_snippet(name, &snippets), Some(name));
        }
        if misses_broken(&recorder, &path) {
            return Ok(Value::from_object(Fragment(String::new())));
        }
        let mut values = BTreeMap::new();
        for key in params.args() {
            values.insert(key.to_owned(), params.get::<Value>(key)?);
        }
        weight::check(&recorder, values.values())?;
        call_snippet(state, &path, values, &recorder, &limits)
    });
}

/// Whether a file cannot run; what is rendered without it is not whole.
fn misses_broken(recorder: &Recorder, path: &str) -> bool {
    let mut record = recorder.lock();
    let is_broken = record.broken.contains(path);
    record.has_missed_broken |= is_broken;
    is_broken
}

fn no_snippet(name: &str, snippets: &BTreeSet<String>) -> String {
    let names = snippets.iter().filter_map(|path| path.strip_prefix("snippets/"));
    match did_you_mean(name, names) {
        Some(similar) => format!("there is no snippet `{name}`: did you mean `{similar}`?"),
        None => format!("there is no snippet `{name}`: it would be the file snippets/{name}"),
    }
}

fn call_snippet(
    state: &State,
    path: &str,
    mut params: BTreeMap<String, Value>,
    recorder: &Arc<Recorder>,
    limits: &Limits,
) -> Result<Value, Error> {
    let mut record = recorder.lock();
    if record.snippet_depth >= limits.snippet_depth_max {
        let message = format!(
            "snippets are nested deeper than {}: does `{path}` include itself?",
            limits.snippet_depth_max
        );
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    if record.fuel_used > limits.fuel {
        return Err(Error::from(ErrorKind::OutOfFuel));
    }
    warn_of_shadows(&mut record, path, &params);
    record.snippet_depth += 1;
    let stack = record.stack();
    let vars = record.vars.clone();
    drop(record);

    if let Some(cluster) = state.lookup(super::scope::CLUSTER_NAME) {
        params.entry(super::scope::CLUSTER_NAME.to_owned()).or_insert(cluster);
    }
    let vars = Arc::new(VarsObject::new(vars, 0, recorder.clone()));
    let at = at_function(recorder);
    let scope = Value::from_object(Scope { vars, at, params });
    let mut out = LimitedOutput::new(limits.output_bytes_max);
    let template = state.env().get_template(path)?;
    let outcome = template
        .render_captured_to(scope, &mut out)
        .map(|captured| captured.state().fuel_levels().map_or(0, |(used, _)| used));

    let mut record = recorder.lock();
    record.snippet_depth -= 1;
    record.is_over_size |= out.is_full;
    // Where it failed is wanted for the finding's chain.
    record.fuel_used = record.fuel_used.saturating_add(outcome?);
    record.restore_stack(stack);
    let text = out.text();
    Ok(Value::from_object(Fragment(mark::without_last_newline(&text).to_owned())))
}

/// A parameter that hides a vars key is legal and most often a slip.
fn warn_of_shadows(record: &mut Record, path: &str, params: &BTreeMap<String, Value>) {
    let vars = record.vars.clone();
    for key in params.keys() {
        let Some(id) = vars.key(0, key) else { continue };
        let message = format!("parameter `{key}` hides the value of that name from `{path}`");
        let place =
            vars.node(id).map(|node| Place { role: PlaceRole::SeeAlso, ..node.origin.place() });
        let finding = Finding::warning(message).places(place).hint("name one of them otherwise");
        // The values read on this line are not what is wrong.
        let mut finding = record.placed(finding, None);
        finding.places.retain(|place| place.role != PlaceRole::ValueFrom);
        record.report(finding);
    }
}

/// `{% include %}` names snippets.
fn add_include(
    env: &mut Environment<'static>,
    kind: Kind,
    recorder: &Arc<Recorder>,
    sources: &Sources,
) {
    let recorder = recorder.clone();
    let snippets = sources.snippets.clone();
    env.set_path_join_callback(move |name, _| {
        let path = snippet_path(name);
        if misses_broken(&recorder, &path) {
            return NOTHING.into();
        }
        if kind == Kind::Collecting && !snippets.contains(&path) {
            let mut record = recorder.lock();
            if !record.may_include_nothing() {
                record.problem(Finding::error(no_snippet(name, &snippets)), Some(name));
            }
            return NOTHING.into();
        }
        path.into()
    });
}

/// Renders one template within the limits.
pub(super) fn run(
    env: &Environment<'static>,
    path: &str,
    root: &Value,
    recorder: &Arc<Recorder>,
    limits: &Limits,
) -> Result<String, Error> {
    let mut out = LimitedOutput::new(limits.output_bytes_max);
    let outcome = env.get_template(path)?.render_captured_to(root.clone(), &mut out).map(|_| ());
    recorder.lock().is_over_size |= out.is_full;
    outcome.map(|()| out.text())
}

/// Collects printed text and refuses more than fits.
struct LimitedOutput {
    bytes: Vec<u8>,
    bytes_max: usize,
    is_full: bool,
}

impl LimitedOutput {
    /// Marks come on top of what the reader sees; they are shorter than 16 bytes a line.
    fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max: bytes_max.saturating_mul(2), is_full: false }
    }

    fn text(self) -> String {
        // The engine writes strings only.
        String::from_utf8(self.bytes).unwrap_or_default()
    }
}

impl io::Write for LimitedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len().saturating_add(bytes.len()) > self.bytes_max {
            self.is_full = true;
            return Err(io::Error::other("the output limit is reached"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The innermost file and line that an error names; `path` when it names none.
pub(super) fn error_place(error: &Error, path: &str) -> (String, Option<u32>) {
    let innermost = innermost(error);
    let named = |error: &Error| {
        let line = error.line().and_then(|line| u32::try_from(line).ok())?;
        Some((error.name()?.to_owned(), Some(line)))
    };
    named(innermost).or_else(|| named(error)).unwrap_or_else(|| (path.to_owned(), None))
}

fn innermost(error: &Error) -> &Error {
    let mut innermost = error;
    while let Some(source) = innermost.source().and_then(|source| source.downcast_ref::<Error>()) {
        innermost = source;
    }
    innermost
}

/// Whether the engine ran out of steps.
pub(super) fn is_endless(error: &Error) -> bool {
    innermost(error).kind() == ErrorKind::OutOfFuel
}

/// An error of the engine as a finding, with the chain of includes it happened in.
pub(super) fn error_finding(
    error: &Error,
    path: &str,
    record: &Record,
    limits: &Limits,
) -> Finding {
    let innermost = innermost(error);
    let detail = innermost.detail().map(str::to_owned);
    let message = if record.is_over_size {
        format!("the template prints more than {} bytes", limits.output_bytes_max)
    } else {
        match (innermost.kind(), detail) {
            (ErrorKind::OutOfFuel, _) => {
                format!("the template does not end within {} steps", limits.fuel)
            }
            (ErrorKind::UndefinedError, Some(name)) => format!("a value is not set: {name}"),
            (ErrorKind::UndefinedError, None) => "a value used here is not set".to_owned(),
            (kind, None) => kind.to_string(),
            (_, Some(detail)) if detail.contains("recursion limit") => {
                "files, macros or loops call each other without end".to_owned()
            }
            (_, Some(detail)) => detail,
        }
    };
    let mut finding = record.placed(Finding::error(message), None);
    if record.is_over_size || is_endless(error) {
        // The values that the line happened to read are not what is wrong.
        finding.places.retain(|place| place.role != PlaceRole::ValueFrom);
        finding = finding.hint("look at the loops around this line");
    }
    let (file, line) = error_place(error, path);
    let place = line.map_or_else(|| Place::file(&*file), |line| Place::at(&*file, line));
    first_place(finding, place)
}

/// Puts the engine's own place first, keeping the chain noted so far as far as it fits.
fn first_place(mut finding: Finding, place: Place) -> Finding {
    let knows_file = finding.places.iter().position(|known| {
        known.file == place.file && matches!(known.role, PlaceRole::At | PlaceRole::IncludedFrom)
    });
    match knows_file {
        Some(at) => {
            finding.places.drain(..at);
            if let Some(first) = finding.places.first_mut() {
                *first = place;
            }
        }
        None => finding.places.insert(0, place),
    }
    let mut at_seen = false;
    for place in &mut finding.places {
        if place.role == PlaceRole::At && std::mem::replace(&mut at_seen, true) {
            place.role = PlaceRole::IncludedFrom;
        }
    }
    finding
}
