//! What must hold in a filled spec, and between a spec and the facts.
//!
//! The rules are kops' (`pkg/apis/kops/validation`) without its listed defects, AWS's own limits,
//! and what etcd's safety asks for. Whether a setting is wise is for the lints to say; here stands
//! what could not work.

mod addresses;
mod api;
mod balancer;
mod cluster;
mod etcd;
mod facts;
mod group;
mod machine;
mod mix;
mod names;
mod node;
mod rollout;
mod volume;

use crate::finding::{Finding, PlaceRole, did_you_mean};

use super::field::{Field, Positions};
use super::text::is_dns_label;
use super::{InstanceGroup, Spec};

pub use facts::check_facts;

/// Everything wrong in a filled spec, the cluster's own first.
pub fn check(spec: &Spec) -> Vec<Finding> {
    let mut report = Report::new(&spec.positions);
    cluster::check(spec, &mut report);
    addresses::check(spec, &mut report);
    api::check(spec, &mut report);
    balancer::check(spec, &mut report);
    etcd::check(spec, &mut report);
    names::check(spec, &mut report);
    node::check_cluster(spec, &mut report);
    rollout::check_cluster(spec, &mut report);
    for group in spec.groups.values() {
        group::check(spec, group, &mut report);
        machine::check(spec, group, &mut report);
        node::check(spec, group, &mut report);
        rollout::check(spec, group, &mut report);
    }
    report.findings
}

/// Gathers findings with their places.
struct Report<'a> {
    positions: &'a Positions,
    findings: Vec<Finding>,
}

impl<'a> Report<'a> {
    fn new(positions: &'a Positions) -> Self {
        Self { positions, findings: Vec::new() }
    }

    fn error(&mut self, field: &Field, message: impl Into<String>) {
        self.findings.push(self.positions.error(field, message));
    }

    fn error_hint(&mut self, field: &Field, message: impl Into<String>, hint: impl Into<String>) {
        self.findings.push(self.positions.error(field, message).hint(hint));
    }

    /// A name that stands for nothing, with the one that was perhaps meant.
    fn unknown<'n>(
        &mut self,
        field: &Field,
        message: impl Into<String>,
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) {
        let mut finding = self.positions.error(field, message);
        finding.hint = did_you_mean(name, known).map(|near| format!("did you mean `{near}`?"));
        self.findings.push(finding);
    }

    /// Names another field that has a part in it.
    fn see(&mut self, field: &Field) {
        let other = self.positions.places(field).into_iter().next();
        if let (Some(finding), Some(other)) = (self.findings.last_mut(), other)
            && !finding
                .places
                .iter()
                .any(|place| place.file == other.file && place.line == other.line)
        {
            finding.places.push(other.with_role(PlaceRole::SeeAlso));
        }
    }

    fn warning(&mut self, field: &Field, message: impl Into<String>) {
        let places = self.positions.places(field);
        let finding = Finding::warning(message).field(field.to_string());
        self.findings.push(finding.places(places));
    }
}

impl Spec {
    /// A field of the cluster.
    pub(super) fn cluster_field(&self, path: &str) -> Field {
        Field::new(super::Kind::Cluster, self.name(), path)
    }
}

impl InstanceGroup {
    /// A field of the group.
    pub(super) fn field(&self, path: &str) -> Field {
        Field::new(super::Kind::InstanceGroup, self.name(), path)
    }
}

/// Says which items of a list stand there more than once.
fn unique<'v>(report: &mut Report, list: &Field, values: impl IntoIterator<Item = &'v str>) {
    let mut seen = std::collections::BTreeMap::new();
    for (index, value) in values.into_iter().enumerate() {
        match seen.get(value) {
            None => _ = seen.insert(value, index),
            Some(first) => {
                let message = format!("`{value}` stands here already, as item [{first}]");
                report.error(&list.clone().index(index), message);
            }
        }
    }
}

/// Ids such as `sg-…` in a list: of the right kind, none twice.
fn ids(report: &mut Report, list: &Field, prefix: &str, values: &[String]) {
    for (index, value) in values.iter().enumerate() {
        id(report, &list.clone().index(index), prefix, Some(value));
    }
    unique(report, list, values.iter().map(String::as_str));
}

/// An id such as `vpc-…`, if there is one.
fn id(report: &mut Report, field: &Field, prefix: &str, value: Option<&String>) {
    let fits = |value: &String| {
        let rest = value.strip_prefix(prefix).unwrap_or_default();
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if let Some(value) = value.filter(|value| !fits(value)) {
        report.error(field, format!("`{value}` is not an id; it would start with `{prefix}`"));
    }
}

/// An ARN of a service whose resource starts with a word such as `policy/`.
fn arn(report: &mut Report, field: &Field, service: &str, resource: &str, value: &str) {
    if !is_arn(service, resource, value) {
        let like = format!("arn:aws:{service}:…:{resource}…");
        report.error(field, format!("`{value}` is not an ARN of the form `{like}`"));
    }
}

/// Whether a text is an ARN of a service whose resource starts with a word.
fn is_arn(service: &str, resource: &str, value: &str) -> bool {
    let parts: Vec<&str> = value.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, found, _, _, rest] => {
            partition.starts_with("aws")
                && *found == service
                && rest.strip_prefix(resource).is_some_and(|name| !name.is_empty())
        }
        _ => false,
    }
}

/// An address in S3, if there is one.
fn s3_address(report: &mut Report, field: &Field, value: Option<&String>) {
    let fits = |value: &String| {
        let bucket = value.strip_prefix("s3://").and_then(|path| path.split('/').next());
        // Source: S3 user guide, "General purpose bucket naming rules".
        bucket
            .is_some_and(|name| (3..=63).contains(&name.len()) && name.split('.').all(is_dns_label))
    };
    if let Some(value) = value.filter(|value| !fits(value)) {
        report.error(field, format!("`{value}` is not an address such as `s3://bucket/path`"));
    }
}
