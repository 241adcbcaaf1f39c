//! From documents to a spec: every problem of every document at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::field::{Field, Kind, Positions};
use super::honour;
use super::schema;
use super::shape::{Reader, Shape, shown};
use super::{Cluster, InstanceGroup, Spec, check, fill};
use crate::document::Document;
use crate::finding::{Finding, PlaceRole, Severity, did_you_mean, has_errors};
use crate::yaml::Value;

/// What to do with fields that kprod does not know or does not honour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// They are errors.
    #[default]
    Strict,
    /// They are warnings, and go.
    Lenient,
}

impl Strictness {
    /// How much a field weighs that does nothing.
    pub(super) fn severity(self) -> Severity {
        match self {
            Strictness::Strict => Severity::Error,
            Strictness::Lenient => Severity::Warning,
        }
    }
}

/// Whether a finding is about something of kops that kprod does not honour: a
/// [`Strictness::Lenient`] reader lives with it.
pub fn is_lenient_matter(finding: &Finding) -> bool {
    finding.message.ends_with(honour::NOT_HONOURED_HERE)
}

/// What documents say.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The spec; `None` when there is an error among the findings.
    pub spec: Option<Spec>,
    /// Everything wrong or remarkable, in the order of the documents.
    pub findings: Vec<Finding>,
}

/// Versions of the documents: our own, and the one of kops that has the same fields.
pub(super) const API_VERSIONS: [&str; 2] = ["kprod.dev/v1alpha1", "kops.k8s.io/v1alpha2"];

/// The label that says which cluster a group belongs to, from kops.
const CLUSTER_LABEL: &str = "kops.k8s.io/cluster";

/// Reads a spec from the documents of one cluster, as written: without defaults or checks.
pub fn parse(documents: impl Into<Arc<[Document]>>, strictness: Strictness) -> Parsed {
    let assembly = Assembly::of(documents.into(), strictness);
    let spec = assembly.spec.filter(|_| !has_errors(&assembly.findings));
    Parsed { spec, findings: assembly.findings }
}

/// Reads a spec, fills its defaults and checks it: all problems of both kinds at once.
///
/// A check says nothing about a document that could not be read as it stands: what it would say
/// could be wrong.
pub fn read(documents: impl Into<Arc<[Document]>>, strictness: Strictness) -> Parsed {
    let mut assembly = Assembly::of(documents.into(), strictness);
    let mut spec = assembly.spec.take();
    if let Some(spec) = &mut spec {
        fill(spec);
        let sound = |finding: &Finding| {
            let document = finding.field.as_deref().and_then(|field| field.split(' ').next());
            document.is_none_or(|document| !assembly.broken.contains(document))
        };
        assembly.findings.extend(check(spec).into_iter().filter(sound));
    }
    let spec = spec.filter(|_| !has_errors(&assembly.findings));
    Parsed { spec, findings: assembly.findings }
}

/// What can be said about documents when others of the same cluster are missing, such as those
/// whose template did not render: each by itself.
pub fn check_documents(documents: &[Document], strictness: Strictness) -> Vec<Finding> {
    documents.iter().flat_map(|document| Reading::of(document, strictness).findings).collect()
}

/// Everything found in the documents, put together as far as it goes.
struct Assembly {
    /// The spec; `None` when something needed for checks across documents is missing or broken.
    spec: Option<Spec>,
    findings: Vec<Finding>,
    /// Documents with errors, as `InstanceGroup/nodes`.
    broken: BTreeSet<String>,
}

impl Assembly {
    fn of(documents: Arc<[Document]>, strictness: Strictness) -> Self {
        let mut findings = Vec::new();
        let mut broken = BTreeSet::new();
        let mut index = BTreeMap::new();
        // A document that says not what it is may be the very one that seems to be missing.
        let mut strangers = 0_usize;
        let mut clusters: Vec<(usize, Option<Cluster>)> = Vec::new();
        let mut groups: Vec<(usize, String, Option<InstanceGroup>)> = Vec::new();
        for (position, document) in documents.iter().enumerate() {
            let reading = Reading::of(document, strictness);
            if reading.identity.is_none() && kind_of_kops(document, strictness).is_none() {
                strangers += 1;
            }
            if let Some((kind, name)) = reading.identity {
                if has_errors(&reading.findings) {
                    broken.insert(Field::new(kind, &name, "").document());
                }
                index.entry((kind, name.clone())).or_insert(position);
                match kind {
                    Kind::Cluster => clusters.push((position, reading.content.and_then(cluster))),
                    Kind::InstanceGroup => {
                        groups.push((position, name, reading.content.and_then(group)));
                    }
                }
            }
            findings.extend(reading.findings);
        }
        let positions = Positions::new(Arc::clone(&documents), index);
        if strangers == 0 || !clusters.is_empty() {
            findings.extend(check_one_cluster(&documents, &clusters));
        }
        findings.extend(check_unique_groups(&documents, &groups));
        let spec = join(clusters, groups, positions, &broken).filter(|_| strangers == 0);
        if let Some(spec) = &spec {
            findings.extend(check_belonging(spec));
        }
        Self { spec, findings, broken }
    }
}

/// One document by itself.
struct Reading {
    /// Kind and name, when the document says both.
    identity: Option<(Kind, String)>,
    /// What fits the shape.
    content: Option<Content>,
    findings: Vec<Finding>,
}

enum Content {
    Cluster(Box<Cluster>),
    Group(Box<InstanceGroup>),
}

fn cluster(content: Content) -> Option<Cluster> {
    match content {
        Content::Cluster(cluster) => Some(*cluster),
        Content::Group(_) => None,
    }
}

fn group(content: Content) -> Option<InstanceGroup> {
    match content {
        Content::Group(group) => Some(*group),
        Content::Cluster(_) => None,
    }
}

impl Reading {
    fn of(document: &Document, strictness: Strictness) -> Self {
        let (kind, mut findings) = read_header(document, strictness);
        let Some(kind) = kind else {
            return Self { identity: None, content: None, findings };
        };
        let name = document.root.lookup("metadata.name").and_then(|name| name.as_str());
        let name = name.unwrap_or_default().to_owned();
        let field = Field::new(kind, &name, "");
        let (value, problems) = Reader::new(document, strictness, field).read(shape_of(kind));
        findings.extend(problems);
        let content = value.and_then(|value| match kind {
            Kind::Cluster => content(value, Content::Cluster, document, &mut findings),
            Kind::InstanceGroup => content(value, Content::Group, document, &mut findings),
        });
        let identity = (!name.is_empty()).then_some((kind, name));
        Self { identity, content, findings }
    }
}

/// Makes the typed document of what fitted its shape. What a finding has already been said about
/// may be missing, so a refusal is worth a finding only when there is none.
fn content<T: DeserializeOwned>(
    mut value: Json,
    wrap: fn(Box<T>) -> Content,
    document: &Document,
    findings: &mut Vec<Finding>,
) -> Option<Content> {
    if let Some(root) = value.as_object_mut() {
        root.remove("apiVersion");
        root.remove("kind");
    }
    match serde_json::from_value(value) {
        Ok(content) => Some(wrap(Box::new(content))),
        Err(error) => {
            if !has_errors(findings) {
                let places = document.places(document.root.line);
                findings.push(Finding::error(format!("cannot be read: {error}")).places(places));
            }
            None
        }
    }
}

/// Reads `apiVersion` and `kind`; the kind is `None` when nothing more can be said of the document.
fn read_header(document: &Document, strictness: Strictness) -> (Option<Kind>, Vec<Finding>) {
    let root = &document.root;
    let mut findings = Vec::new();
    if let Some(finding) = kind_of_kops(document, strictness) {
        return (None, vec![finding]);
    }
    let mut error = |line: u32, message: String, hint: Option<String>| {
        let mut finding = Finding::error(message).places(document.places(line));
        finding.hint = hint;
        findings.push(finding);
    };
    if !matches!(root.value, Value::Mapping(_)) {
        error(
            root.line,
            format!("expected a Cluster or an InstanceGroup, got {}", root.kind()),
            None,
        );
        return (None, findings);
    }
    let known = API_VERSIONS.map(|version| format!("`{version}`")).join(" or ");
    match root.entry("apiVersion") {
        None => error(root.line, format!("`apiVersion` is missing; write {known}"), None),
        Some(entry) if entry.node.as_str().is_some_and(|text| API_VERSIONS.contains(&text)) => {}
        Some(entry) => {
            let got = shown(&entry.node);
            error(entry.line, format!("`apiVersion` is {got}, not {known}"), None);
        }
    }
    let kind = match root.entry("kind") {
        None => {
            error(root.line, "`kind` is missing; write `Cluster` or `InstanceGroup`".into(), None);
            None
        }
        Some(entry) => {
            let word = entry.node.as_str().unwrap_or_default();
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == word);
            if kind.is_none() {
                let near = did_you_mean(word, Kind::ALL.map(Kind::name));
                let hint = near.map(|near| format!("did you mean `{near}`?"));
                let got = shown(&entry.node);
                let message = format!("`kind` is {got}, not `Cluster` or `InstanceGroup`");
                error(entry.line, message, hint);
            }
            kind
        }
    };
    (kind, findings)
}

/// What is said of a document of a kind that only kops has.
fn kind_of_kops(document: &Document, strictness: Strictness) -> Option<Finding> {
    let entry = document.root.entry("kind")?;
    let (kind, instead) =
        honour::KINDS.iter().find(|(kind, _)| entry.node.as_str() == Some(kind))?;
    let message = format!("kops has the kind `{kind}`, {}", honour::NOT_HONOURED_HERE);
    let finding = Finding::new(strictness.severity(), message).places(document.places(entry.line));
    Some(finding.hint(*instead))
}

/// The shape of a kind's documents, made once.
fn shape_of(kind: Kind) -> &'static Shape {
    static SHAPES: OnceLock<[Shape; 2]> = OnceLock::new();
    let [cluster, group] = SHAPES.get_or_init(|| Kind::ALL.map(schema::shape));
    match kind {
        Kind::Cluster => cluster,
        Kind::InstanceGroup => group,
    }
}

fn check_one_cluster(
    documents: &[Document],
    clusters: &[(usize, Option<Cluster>)],
) -> Vec<Finding> {
    let place = |position: usize| {
        documents.get(position).map(|document| document.places(document.root.line))
    };
    let Some((first, rest)) = clusters.split_first() else {
        let finding = Finding::error("no document of kind `Cluster`")
            .hint("give the cluster's own document beside those of its groups");
        return vec![finding.places(place(0).unwrap_or_default().into_iter().take(1))];
    };
    let findings = rest.iter().map(|(position, _)| {
        let first = place(first.0).unwrap_or_default().into_iter().take(1);
        Finding::error("a second document of kind `Cluster`; one at a time can be planned")
            .places(place(*position).unwrap_or_default())
            .places(first.map(|place| place.with_role(PlaceRole::SeeAlso)))
    });
    findings.collect()
}

fn check_unique_groups(
    documents: &[Document],
    groups: &[(usize, String, Option<InstanceGroup>)],
) -> Vec<Finding> {
    let mut firsts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut findings = Vec::new();
    for (position, name, _) in groups {
        let Some(first) = firsts.get(name.as_str()).copied() else {
            firsts.insert(name, *position);
            continue;
        };
        let line_of_name = |position: usize| {
            let document = documents.get(position)?;
            let line = document.root.get("metadata")?.entry("name")?.line;
            Some(document.places(line))
        };
        let see_also = line_of_name(first).unwrap_or_default().into_iter().take(1);
        findings.push(
            Finding::error(format!("there is another instance group `{name}`"))
                .field(Field::new(Kind::InstanceGroup, name, "metadata.name").to_string())
                .places(line_of_name(*position).unwrap_or_default())
                .places(see_also.map(|place| place.with_role(PlaceRole::SeeAlso))),
        );
    }
    findings
}

/// Puts the spec together, unless checks across documents would then say wrong things.
fn join(
    mut clusters: Vec<(usize, Option<Cluster>)>,
    groups: Vec<(usize, String, Option<InstanceGroup>)>,
    positions: Positions,
    broken: &BTreeSet<String>,
) -> Option<Spec> {
    if clusters.len() != 1 {
        return None;
    }
    let cluster = clusters.pop()?.1?;
    if broken.contains(&Field::new(Kind::Cluster, &cluster.metadata.name, "").document()) {
        return None;
    }
    let mut by_name = BTreeMap::new();
    for (_, name, group) in groups {
        if by_name.insert(name, group?).is_some() {
            return None;
        }
    }
    Some(Spec { cluster, groups: by_name, node_program: None, positions })
}

/// A group that says which cluster it belongs to must say this one.
fn check_belonging(spec: &Spec) -> Vec<Finding> {
    let strangers = spec.groups.values().filter_map(|group| {
        let label = group.metadata.labels.get(CLUSTER_LABEL)?;
        (label != spec.name()).then_some((group, label))
    });
    strangers
        .map(|(group, label)| {
            let field = Field::new(Kind::InstanceGroup, group.name(), "metadata.labels");
            let message = format!("belongs to `{label}`, not to `{}`", spec.name());
            spec.positions.error(&field.key(CLUSTER_LABEL), message)
        })
        .collect()
}
