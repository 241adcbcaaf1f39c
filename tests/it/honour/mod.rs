//! Nothing in a spec is idle: each field changes a resource, or stands in the list of those that do
//! not. `honour/fields.txt` names what each field changes, in a table that the schema must agree with.

use std::collections::{BTreeMap, BTreeSet};

use kprod::boot::Program;
use kprod::desired::build;
use kprod::document::{Document, LineMap};
use kprod::facts::Facts;
use kprod::finding::has_errors;
use kprod::resource::ResourceSet;
use kprod::spec::{CARRIED, Kind, Spec, Strictness, carried, read, schema};
use kprod::yaml::{self, Step, path_steps};
use serde_json::{Value, json};

const BASE: &str = include_str!("cluster.yaml");
const FIELDS: &str = include_str!("fields.txt");
const KEPT: &str = include_str!("kept.txt");

/// A value for a field of a document; the cluster's is called `cluster`, others by their group.
#[derive(Clone, Debug)]
struct Setting {
    document: String,
    path: String,
    value: Value,
}

impl Setting {
    fn parse(text: &str) -> Setting {
        let (place, value) = text.trim().split_once(": ").expect(text);
        let (document, path) = place.split_once(' ').expect(text);
        let value = yaml::parse(value, &yaml::Limits::default()).unwrap().remove(0).to_json();
        Setting { document: document.to_owned(), path: path.to_owned(), value }
    }

    fn kind(&self) -> Kind {
        if self.document == "cluster" { Kind::Cluster } else { Kind::InstanceGroup }
    }

    /// The field without list indexes.
    fn field(&self) -> Leaf {
        let keys = path_steps(&self.path).unwrap().into_iter().filter_map(|step| match step {
            Step::Key(key) => Some(key),
            Step::Index(_) => None,
        });
        (self.kind(), keys.collect::<Vec<_>>().join("."))
    }

    fn apply(&self, documents: &mut BTreeMap<String, Value>) {
        let mut node = documents.get_mut(&self.document).expect(&self.document);
        for step in path_steps(&self.path).unwrap() {
            match step {
                Step::Key(key) => node = &mut node[key],
                Step::Index(index) => {
                    if node.is_null() {
                        *node = json!([]);
                    }
                    let items = node.as_array_mut().unwrap();
                    if items.len() == index {
                        items.push(Value::Null);
                    }
                    node = &mut items[index];
                }
            }
        }
        *node = self.value.clone();
    }
}

/// A row of the table.
struct Row {
    given: Vec<Setting>,
    set: Vec<Setting>,
    /// Start of an address, and of a path in that resource; no path for the whole resource.
    effects: Vec<(String, String)>,
}

fn rows() -> Vec<Row> {
    lines(FIELDS).map(row).collect()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn row(line: &str) -> Row {
    let (left, effects) = line.split_once(" -> ").expect(line);
    let effects =
        effects.split(" -> ").map(|effect| effect.split_once(' ').unwrap_or((effect, "")));
    let mut parts = left.split(" <- ");
    let set = parts.next().unwrap().split(" & ").map(Setting::parse).collect();
    Row {
        given: parts.map(Setting::parse).collect(),
        set,
        effects: effects.map(|(key, path)| (key.to_owned(), path.to_owned())).collect(),
    }
}

/// A kind of document and a dotted path in it.
type Leaf = (Kind, String);

fn base() -> BTreeMap<String, Value> {
    let roots = yaml::parse(BASE, &yaml::Limits::default()).unwrap();
    let named = roots.into_iter().map(|root| {
        let is_cluster = root.lookup("kind").and_then(|kind| kind.as_str()) == Some("Cluster");
        let name = root.lookup("metadata.name").and_then(|name| name.as_str()).unwrap();
        let name = if is_cluster { "cluster" } else { name };
        (name.to_owned(), root.to_json())
    });
    named.collect()
}

fn wanted<'s>(settings: impl IntoIterator<Item = &'s Setting>) -> Result<ResourceSet, String> {
    let mut documents = base();
    settings.into_iter().for_each(|setting| setting.apply(&mut documents));
    let parse = |value| yaml::parse(&yaml::to_text(value), &yaml::Limits::default()).unwrap();
    let roots = documents.values().flat_map(parse);
    let document = |root| Document { file: "c.yaml".to_owned(), root, lines: LineMap::Identity };
    let parsed = read(roots.map(document).collect::<Vec<_>>(), Strictness::Strict);
    if has_errors(&parsed.findings) {
        return Err(format!("{:#?}", parsed.findings));
    }
    let program = Some(Program::of(b"a program", None));
    let spec = Spec { node_program: program, ..parsed.spec.unwrap() };
    Ok(build(&spec, &Facts::default()).resources)
}

/// Every scalar of a value by its path.
fn flat(value: &Value, path: &str, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            let dot = if path.is_empty() { "" } else { "." };
            flat(value, &format!("{path}{dot}{key}"), into);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, value)| {
            flat(value, &format!("{path}[{index}]"), into);
        }),
        scalar => _ = into.insert(path.to_owned(), scalar.to_string()),
    }
}

/// `(address, path)` of everything that differs; the path is empty for a resource of one side.
fn changes(before: &ResourceSet, after: &ResourceSet) -> BTreeSet<(String, String)> {
    let mut changes = BTreeSet::new();
    for key in before.keys().chain(after.keys()) {
        let (Some(old), Some(new)) = (before.get(key), after.get(key)) else {
            changes.insert((key.to_string(), String::new()));
            continue;
        };
        let (mut olds, mut news) = (BTreeMap::new(), BTreeMap::new());
        flat(&old.to_value(), "", &mut olds);
        flat(&new.to_value(), "", &mut news);
        let paths = olds.keys().chain(news.keys());
        let differing = paths.filter(|path| olds.get(*path) != news.get(*path));
        changes.extend(differing.map(|path| (key.to_string(), path.clone())));
    }
    changes
}

#[test]
fn each_field_changes_what_the_table_says() {
    let mut wrong = Vec::new();
    for row in rows() {
        let Setting { document, path, .. } = &row.set[0];
        let before = wanted(&row.given);
        let after = wanted(row.given.iter().chain(&row.set));
        let (before, after) = match (before, after) {
            (Ok(before), Ok(after)) => (before, after),
            (Err(findings), _) | (_, Err(findings)) => {
                wrong.push(format!("{document} {path} is refused: {findings}"));
                continue;
            }
        };
        let changes = changes(&before, &after);
        for (resource, field) in &row.effects {
            let told = |(address, path): &(String, String)| {
                let whole = field.is_empty() == path.is_empty();
                whole && address.starts_with(resource) && path.starts_with(field)
            };
            if !changes.iter().any(told) {
                wrong.push(format!("{document} {path}: no {resource} {field} in {changes:#?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_field_of_the_schema_changes_something_or_is_listed() {
    let told: BTreeSet<Leaf> = rows().iter().map(|row| row.set[0].field()).collect();
    let leaves = leaves();
    let known: BTreeSet<&Leaf> = leaves.keys().collect();
    let idle = |(kind, path): &&Leaf| carried(*kind, path).is_some();
    let missing: Vec<_> =
        known.iter().filter(|leaf| !told.contains(**leaf) && !idle(leaf)).collect();
    assert!(missing.is_empty(), "in no list: {missing:#?}");
    let both: Vec<_> = told.iter().filter(idle).collect();
    assert!(both.is_empty(), "changes something, but is listed as idle: {both:#?}");
    let stale: Vec<_> = told.iter().filter(|leaf| !known.contains(leaf)).collect();
    assert!(stale.is_empty(), "not in the schema: {stale:#?}");
    for entry in CARRIED {
        let named = |leaf: &&&Leaf| carried(leaf.0, &leaf.1) == Some(entry);
        assert!(known.iter().any(|leaf| named(&leaf)), "{} is no field", entry.path);
    }
}

#[test]
fn what_is_listed_changes_nothing() {
    let samples: BTreeMap<Leaf, Setting> =
        lines(KEPT).map(Setting::parse).map(|setting| (setting.field(), setting)).collect();
    let before = wanted([]).unwrap();
    for ((kind, path), schema) in leaves() {
        if carried(kind, &path).is_none() {
            continue;
        }
        let setting = samples.get(&(kind, path.clone())).cloned().unwrap_or_else(|| Setting {
            document: if kind == Kind::Cluster { "cluster" } else { "nodes" }.to_owned(),
            path: path.clone(),
            value: sample(&schema),
        });
        let after = wanted([&setting]).unwrap_or_else(|error| panic!("{setting:?}: {error}"));
        let changes = changes(&before, &after);
        assert!(changes.is_empty(), "{setting:?} changes {changes:#?}");
    }
}

/// Some value of a type.
fn sample(schema: &Value) -> Value {
    if let Some(word) = schema["oneOf"][0]["const"].as_str().or(schema["enum"][0].as_str()) {
        return word.into();
    }
    let types = schema["type"].as_array().map_or(&schema["type"], |types| &types[0]);
    match (types.as_str(), schema["format"].as_str()) {
        (Some("boolean"), _) => json!(true),
        (Some("integer"), _) => json!(7),
        (Some("object"), _) if schema["properties"].is_object() => json!({}),
        (Some("object"), _) if schema["additionalProperties"].is_object() => json!({"a": "b"}),
        (Some("object"), _) => json!({}),
        (Some("string"), Some("duration")) => json!("30s"),
        (Some("string"), None) => json!("text"),
        other => panic!("no sample for {other:?}: {schema}"),
    }
}

/// The fields of both kinds that hold no further fields, with their schemas.
fn leaves() -> BTreeMap<Leaf, Value> {
    let schema = schema();
    let mut leaves = BTreeMap::new();
    for (kind, document) in Kind::ALL.into_iter().zip(schema["oneOf"].as_array().unwrap()) {
        for part in ["metadata", "spec"] {
            let part_schema = &document["properties"][part];
            collect(part_schema, &schema["$defs"], (kind, part.to_owned()), &mut leaves);
        }
    }
    leaves
}

fn collect(schema: &Value, defs: &Value, leaf: Leaf, leaves: &mut BTreeMap<Leaf, Value>) {
    let schema = resolved(schema, defs);
    let item = resolved(&schema["items"], defs);
    let fields =
        |schema: &Value| schema["properties"].as_object().filter(|map| !map.is_empty()).cloned();
    let Some(fields) = fields(&schema).or_else(|| fields(&item)) else {
        leaves.insert(leaf, schema);
        return;
    };
    for (key, field) in fields {
        collect(&field, defs, (leaf.0, format!("{}.{key}", leaf.1)), leaves);
    }
}

/// A schema without references and without the word that it may be null.
fn resolved(schema: &Value, defs: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        return resolved(&defs[name], defs);
    }
    match schema["anyOf"].as_array() {
        Some(choices) => {
            resolved(choices.iter().find(|choice| choice["type"] != "null").unwrap(), defs)
        }
        None => schema.clone(),
    }
}
