//! The JSON Schema of documents: for editors, and for our own reading.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use super::field::Kind;
use super::parse::API_VERSIONS;
use super::shape::Shape;
use super::{Cluster, InstanceGroup};

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
