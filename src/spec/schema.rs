//! The JSON Schema of documents: for editors, and for our own reading.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use super::field::Kind;
use super::parse::API_VERSIONS;
use super::shape::Shape;
use super::{Cluster, InstanceGroup};
use crate::finding::{Finding, did_you_mean};
use crate::yaml::{Step, path_steps};

/// One JSON Schema (draft 2020-12) for the documents of both kinds.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let kinds = Kind::ALL.map(|kind| document(kind, &mut generator));
    let mut defs = Value::Object(generator.take_definitions(true));
    drop_defaults(&mut defs);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "kprod",
        "description": "A Cluster or an InstanceGroup of kprod.",
        "oneOf": kinds,
        "$defs": defs,
    })
}

/// The shape of a kind's documents.
pub(super) fn shape(kind: Kind) -> Shape {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let document = document(kind, &mut generator);
    let defs = Value::Object(generator.take_definitions(true));
    match Shape::of(&document, &defs, 0) {
        Shape::Object { mut fields, required } => {
            // The header is read before the shape is known, with messages of its own.
            fields.insert("apiVersion".to_owned(), Shape::Any);
            fields.insert("kind".to_owned(), Shape::Any);
            let own = |key: &String| key != "apiVersion" && key != "kind";
            Shape::Object { fields, required: required.into_iter().filter(own).collect() }
        }
        other => other,
    }
}

/// Whether documents of a kind have a field at all, such as `spec.maxSize`.
///
/// # Errors
/// What is wrong with the first key that leads nowhere, and what was perhaps meant.
pub fn check_field(kind: &str, path: &str) -> Result<(), Finding> {
    let Some(kind) = Kind::ALL.into_iter().find(|known| known.name() == kind) else {
        return Ok(());
    };
    let mut shape = &shape(kind);
    for step in path_steps(path).unwrap_or_default() {
        shape = match (shape, step) {
            (Shape::Object { fields, .. }, Step::Key(key)) => match fields.get(&key) {
                Some(inside) => inside,
                None => {
                    let message = format!("{} has no field `{key}` in `{path}`", kind.name());
                    let finding = Finding::error(message);
                    return Err(match did_you_mean(&key, fields.keys().map(String::as_str)) {
                        Some(near) => finding.hint(format!("did you mean `{near}`?")),
                        None => finding.hint("`kprod schema` prints all of them"),
                    });
                }
            },
            (Shape::List(inside), Step::Index(_)) => inside,
            (Shape::List(_), Step::Key(key)) => {
                let message = format!("`{key}` in `{path}` is a field of the items of a list");
                return Err(Finding::error(message).hint("write the item's number before it: [0]"));
            }
            // Keys of maps are free and may hold dots.
            _ => return Ok(()),
        };
    }
    Ok(())
}

/// The schema of a kind's documents, header included.
fn document(kind: Kind, generator: &mut SchemaGenerator) -> Value {
    let schema = match kind {
        Kind::Cluster => generator.root_schema_for::<Cluster>(),
        Kind::InstanceGroup => generator.root_schema_for::<InstanceGroup>(),
    };
    let mut schema = schema.to_value();
    if let Some(root) = schema.as_object_mut() {
        root.remove("$schema");
        root.remove("$defs");
    }
    schema["properties"]["apiVersion"] = json!({
        "description": "Version of the fields.",
        "type": "string",
        "enum": API_VERSIONS,
    });
    schema["properties"]["kind"] = json!({ "description": "What this is.", "const": kind.name() });
    schema["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
    schema
}

/// Drops `default`, which only ever says that a field may be absent; `fill` knows the real
/// defaults.
fn drop_defaults(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // A property may itself be called `default`; its value is a schema, hence a map.
            map.retain(|key, value| key != "default" || is_schema(value));
            map.values_mut().for_each(drop_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_defaults),
        _ => {}
    }
}

/// Whether a value under the key `default` is the schema of a property of that name.
fn is_schema(value: &Value) -> bool {
    value.get("type").is_some() || value.get("$ref").is_some()
}
