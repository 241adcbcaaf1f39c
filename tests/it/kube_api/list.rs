//! Lists, whole or page by page, and single objects.

use serde_json::{Value, json};

use super::http::{Answer, Request};
use super::objects::Kind;
use super::{State, status};

/// What is left of a list, with the version it was read at.
pub(super) struct Rest {
    version: u64,
    items: Vec<Value>,
}

/// Lists that are remembered; older ones are answered with 410.
const PAGES_MAX: usize = 8;

pub(super) fn get(state: &mut State, request: &Request, parts: &[&str]) -> Answer {
    if let Some((kind, namespace)) = Kind::of(parts) {
        return list(state, request, kind, namespace);
    }
    if let ["api", "v1", "namespaces", name] = parts {
        let namespace =
            json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}});
        return Answer::json(200, &namespace);
    }
    let Some((name, collection)) = parts.split_last() else { return missing(request) };
    let Some((kind, namespace)) = Kind::of(collection) else { return missing(request) };
    let all = kind.all(&state.cluster, namespace);
    match all.into_iter().find(|object| object["metadata"]["name"] == **name) {
        Some(object) => Answer::json(200, &object),
        None => missing(request),
    }
}

fn missing(request: &Request) -> Answer {
    status(404, "NotFound", &format!("{} not found", request.path))
}

fn list(state: &mut State, request: &Request, kind: Kind, namespace: Option<&str>) -> Answer {
    let mut rest = match request.query("continue").filter(|token| !token.is_empty()) {
        None => {
            let items = kind.all(&state.cluster, namespace);
            Rest { version: state.cluster.generation(), items }
        }
        Some(token) => match state.pages.remove(&token) {
            Some(rest) if rest.version >= state.faults.forgotten_before => rest,
            _ => return expired(),
        },
    };
    let limit = request.query("limit").and_then(|limit| limit.parse().ok()).filter(|l| *l > 0);
    let after = rest.items.split_off(limit.unwrap_or(usize::MAX).min(rest.items.len()));
    let mut metadata = json!({"resourceVersion": rest.version.to_string()});
    if !after.is_empty() {
        metadata["remainingItemCount"] = after.len().into();
        metadata["continue"] = remember(state, Rest { version: rest.version, items: after }).into();
    }
    let (name, version) = kind.names();
    let body = json!({
        "kind": format!("{name}List"),
        "apiVersion": version,
        "metadata": metadata,
        "items": rest.items,
    });
    Answer::json(200, &body)
}

fn remember(state: &mut State, rest: Rest) -> String {
    state.tokens += 1;
    let token = format!("page-{:09}", state.tokens);
    state.pages.insert(token.clone(), rest);
    if state.pages.len() > PAGES_MAX {
        state.pages.pop_first();
    }
    token
}

fn expired() -> Answer {
    let message = "The provided continue parameter is too old to display a consistent list result.";
    status(410, "Expired", message)
}
