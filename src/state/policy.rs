//! The bucket policy: nobody talks to the bucket without TLS.
//!
//! Source: Amazon S3 User Guide, "Security best practices for Amazon S3", "Enforce encryption of
//! data in transit".

use serde_json::{Map, Value, json};

use crate::facts::partition;

/// The name of our statement in a bucket's policy.
const SID: &str = "KprodDenyInsecureTransport";

/// Whether a policy already denies everybody everything without TLS, whoever wrote it.
pub(super) fn demands_tls(policy: &Value, bucket: &str, region: &str) -> bool {
    let wanted = statement(bucket, region);
    let statements = match &policy["Statement"] {
        Value::Array(statements) => statements.iter().collect(),
        one => vec![one],
    };
    statements.into_iter().any(|found| {
        found["Effect"] == "Deny"
            && is_everybody(&found["Principal"])
            && found["Condition"] == wanted["Condition"]
            && names(&found["Action"]).iter().any(|action| ["s3:*", "*"].contains(action))
            && covers(&names(&found["Resource"]), &names(&wanted["Resource"]))
    })
}

/// The policy with our statement; what others wrote stays.
pub(super) fn with_tls(policy: Option<&Value>, bucket: &str, region: &str) -> Value {
    let mut policy = policy
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_else(|| Map::from_iter([("Version".to_owned(), Value::from("2012-10-17"))]));
    let mut statements = match policy.remove("Statement") {
        Some(Value::Array(statements)) => statements,
        Some(one) => vec![one],
        None => Vec::new(),
    };
    statements.retain(|statement| statement["Sid"] != SID);
    statements.push(statement(bucket, region));
    policy.insert("Statement".to_owned(), Value::Array(statements));
    Value::Object(policy)
}

fn statement(bucket: &str, region: &str) -> Value {
    let arn = format!("arn:{}:s3:::{bucket}", partition(region));
    json!({
        "Sid": SID,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, format!("{arn}/*")],
        "Condition": { "Bool": { "aws:SecureTransport": "false" } },
    })
}

fn is_everybody(principal: &Value) -> bool {
    principal == "*" || names(&principal["AWS"]).contains(&"*")
}

/// A list of names, which a policy may write as one name.
fn names(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

fn covers(found: &[&str], wanted: &[&str]) -> bool {
    found.contains(&"*") || wanted.iter().all(|wanted| found.contains(wanted))
}
