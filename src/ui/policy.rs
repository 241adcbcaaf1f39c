//! IAM policies, for people and for `aws iam create-policy`.

use std::fmt::Write;

use serde_json::{Value, json};

use super::finding::{plural, wrap};
use crate::kube::rbac::{PATHS, RULES};
use crate::permission::{DOCUMENT_CHARS_MAX, Document, Statement};

/// Policies for people: what each statement allows, on what, and when.
pub fn text(documents: &[Document], width: usize) -> String {
    let mut text = String::new();
    for (index, document) in documents.iter().enumerate() {
        let (name, chars) = (&document.name, document.chars());
        let count = plural(document.statements.len(), "statement");
        let gap = if index > 0 { "\n" } else { "" };
        let _ = writeln!(text, "{gap}{name}: {count}, {chars} of {DOCUMENT_CHARS_MAX} characters");
        for one in &document.statements {
            text.push_str(&statement(one, width));
        }
    }
    text
}

fn statement(statement: &Statement, width: usize) -> String {
    let mut text = format!("\n  {}\n", statement.sid);
    let _ = writeln!(text, "      {}", wrap(&statement.actions.join(", "), width, 6, 6));
    for (index, resource) in statement.resources.iter().enumerate() {
        let word = if index == 0 { "on" } else { "  " };
        let _ = writeln!(text, "   {word} {resource}");
    }
    for (operator, keys) in statement.condition.as_object().into_iter().flatten() {
        for (key, values) in keys.as_object().into_iter().flatten() {
            let values = match values {
                Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
                one => vec![one.as_str().unwrap_or_default()],
            };
            let line = format!("{operator} {key}: {}", values.join(", "));
            let _ = writeln!(text, "   if {}", wrap(&line, width, 6, 6));
        }
    }
    text
}

/// Policies as a list of inputs to `aws iam create-policy --cli-input-json`.
pub fn json(documents: &[Document]) -> Value {
    let inputs = documents.iter().map(|document| {
        json!({ "PolicyName": document.name, "PolicyDocument": document.to_json().to_string() })
    });
    inputs.collect()
}

/// The ClusterRole that a roll needs, as YAML for `kubectl apply -f -`: each rule says what for.
pub fn cluster_role(name: &str) -> String {
    let mut text = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: {name}\nrules:\n"
    );
    for rule in RULES {
        let (group, resource, verbs) = (rule.group, rule.resource, rule.verbs.join(", "));
        let _ = writeln!(text, "# {}", rule.why);
        let _ = writeln!(text, "- apiGroups: [\"{group}\"]");
        let _ = writeln!(text, "  resources: [{resource}]\n  verbs: [{verbs}]");
    }
    let _ = writeln!(text, "# every user may, unless somebody has taken it away");
    let _ = writeln!(text, "- nonResourceURLs: [{}]\n  verbs: [get]", PATHS.join(", "));
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::kube::rbac;

    #[test]
    fn the_role_as_yaml_is_the_role() {
        let text = cluster_role("kprod");
        let read: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(read, rbac::cluster_role("kprod"));
        assert!(text.contains("# drain, as disruption budgets allow\n"), "{text}");
    }
}
