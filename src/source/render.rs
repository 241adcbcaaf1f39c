//! Renders the templates of a cluster and finds out what went wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use minijinja::Environment;
use minijinja::value::Value;

use super::engine::{self, Kind};
use super::mark::{unmark, without_marks};
use super::merge;
use super::record::Recorder;
use super::scope::{CLUSTER_NAME, Scope, VarsObject};
use super::set::Set;
use super::sources::Sources;
use super::tree::{ClusterEntry, Tree};
use super::vars::Vars;
use crate::document::{Document, LineMap, RenderedLines};
use crate::finding::{Finding, Place, PlaceRole, Severity, has_errors};
use crate::yaml;

/// What rendering may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps of the template engine for one template, snippets included.
    pub fuel: u64,
    /// Bytes that one template may print.
    pub output_bytes_max: usize,
    /// Bytes of one value, texts inside of it included.
    pub value_bytes_max: usize,
    /// Snippets that call snippets.
    pub snippet_depth_max: usize,
    /// Limits on the YAML that comes out.
    pub yaml: yaml::Limits,
}

impl Default for Limits {
    /// A template of 100 groups takes about 100,000 steps and prints 500 KB.
    fn default() -> Self {
        Self {
            fuel: 5_000_000,
            output_bytes_max: 8 << 20,
            value_bytes_max: 2 << 20,
            snippet_depth_max: 16,
            yaml: yaml::Limits::default(),
        }
    }
}

/// A cluster as rendered.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    /// The documents of the templates without errors, in order of the templates' names.
    pub documents: Vec<Document>,
    /// The documents of the templates with errors, with null for what is missing. They are good for
    /// one thing: to find more mistakes, such as unknown fields, in the same run.
    pub partial: Vec<Document>,
    /// The text of each template without errors, by the template's path.
    pub texts: BTreeMap<String, String>,
    /// What is wrong, or worth a look, in the order of places.
    pub findings: Vec<Finding>,
    /// The cloud that the vars name.
    pub cloud: Option<String>,
    /// Where they name it.
    pub cloud_place: Option<Place>,
    /// The wave that the vars name.
    pub channel: Option<String>,
}

impl Rendered {
    /// Whether a finding of a later stage only repeats that a value is missing: it is about a line
    /// that has an error already.
    pub fn is_consequence(&self, finding: &Finding) -> bool {
        let Some(place) = finding.places.first() else { return false };
        self.findings
            .iter()
            .any(|known| known.severity == Severity::Error && known.places.first() == Some(place))
    }
}

/// Renders one cluster. To render several, keep an [`Engine`].
pub fn render(tree: &Tree, cluster: &str, sets: &[Set], limits: &Limits) -> Rendered {
    Engine::new(tree, limits).render(cluster, sets)
}

/// The clusters of a fleet in the order of their names.
pub fn clusters(tree: &Tree) -> Vec<ClusterEntry> {
    tree.cluster_names()
        .map(|name| {
            // What is wrong with the layers is told when the cluster is rendered.
            let vars = merge::merge(tree, name, &[], &mut Vec::new());
            let mut layers = merge::layers(tree, name, &mut Vec::new());
            let file = layers.pop().unwrap_or_default();
            ClusterEntry {
                name: name.to_owned(),
                file,
                layers,
                channel: root_text(&vars, "channel"),
                cloud: root_text(&vars, "cloud"),
            }
        })
        .collect()
}

fn root_text(vars: &Vars, key: &str) -> Option<String> {
    let id = vars.key(0, key)?;
    vars.json(id).as_str().map(str::to_owned)
}

/// The templates of a fleet, parsed once. Renders one cluster at a time: threads need one each.
#[derive(Debug)]
pub struct Engine<'t> {
    pub(super) tree: &'t Tree,
    limits: Limits,
    recorder: Arc<Recorder>,
    sources: Sources,
    marked: Environment<'static>,
    plain: OnceLock<Environment<'static>>,
    collecting: OnceLock<Environment<'static>>,
    /// What is wrong with the fleet, whatever the cluster.
    findings: Vec<Finding>,
}

/// One template of one cluster.
pub(super) struct TemplateRun {
    pub(super) text: String,
    pub(super) lines: Arc<RenderedLines>,
    /// Per spot, the values read for it.
    pub(super) reads: Vec<Vec<u32>>,
    pub(super) documents: Vec<Document>,
    findings: Vec<Finding>,
    has_failed: bool,
}

/// A cluster's rendering with what `explain` needs besides.
pub(super) struct ClusterRun {
    pub(super) rendered: Rendered,
    pub(super) vars: Arc<Vars>,
    /// Per value of the vars, whether a template read it.
    pub(super) read: Vec<bool>,
    /// Each template with its path, in the order of their names.
    pub(super) templates: Vec<(String, TemplateRun)>,
}

impl<'t> Engine<'t> {
    /// Parses every template and snippet.
    pub fn new(tree: &'t Tree, limits: &Limits) -> Self {
        let recorder = Arc::new(Recorder::default());
        let mut sources = Sources::new(tree);
        let mut findings = tree.findings.clone();
        findings.extend(tree.check());
        findings.extend(sources.circles());
        let (marked, broken) = engine::environment(Kind::Marked, &sources, &recorder, limits);
        sources.broken.extend(broken.iter().map(|(name, _)| name.clone()));
        findings.extend(broken.into_iter().map(|(_, finding)| finding));
        {
            let mut record = recorder.lock();
            record.files = sources.infos.clone();
            record.broken = Arc::new(sources.broken.clone());
            record.globals = Arc::new(engine::globals(&marked));
            record.value_bytes_max = limits.value_bytes_max;
            // What is captured is printed twice, with its marks.
            record.printed_bytes_max = limits.output_bytes_max.saturating_mul(4);
        }
        Self {
            tree,
            limits: *limits,
            recorder,
            sources,
            marked,
            plain: OnceLock::new(),
            collecting: OnceLock::new(),
            findings,
        }
    }

    /// Renders a cluster with what the command line sets.
    pub fn render(&self, cluster: &str, sets: &[Set]) -> Rendered {
        self.run(cluster, sets).rendered
    }

    pub(super) fn run(&self, cluster: &str, sets: &[Set]) -> ClusterRun {
        let mut rendered = Rendered { findings: self.findings.clone(), ..Rendered::default() };
        if let Some(finding) = self.tree.unknown_cluster(cluster) {
            rendered.findings.push(finding);
            let (vars, read) = (Arc::default(), Vec::new());
            return ClusterRun { rendered, vars, read, templates: Vec::new() };
        }
        let vars = Arc::new(merge::merge(self.tree, cluster, sets, &mut rendered.findings));
        self.start_cluster(&vars);
        let root = self.root(cluster, &vars, &mut rendered.findings);

        let paths = self.tree.templates_of(cluster);
        let has_templates = !paths.is_empty();
        if !has_templates && self.findings.is_empty() {
            let finding = Finding::error("there are no templates")
                .at(Place::file("templates"))
                .hint("templates are files templates/*.yaml.j2");
            rendered.findings.push(finding);
        }
        let mut templates: Vec<(String, TemplateRun)> = Vec::new();
        for path in paths {
            if !self.sources.broken.contains(path) {
                templates.push((path.to_owned(), self.template(path, &root)));
            }
        }
        let has_failed =
            !self.sources.broken.is_empty() || templates.iter().any(|(_, run)| run.has_failed);
        for (path, run) in &templates {
            collect(&mut rendered, path, run);
        }
        let read = std::mem::take(&mut self.recorder.lock().read);
        if vars.is_incomplete {
            // Their mistakes may be those of the layer.
            rendered.partial.clear();
        }
        if !has_failed && has_templates {
            rendered.findings.extend(vars.unread(&read));
        }
        rendered.cloud = root_text(&vars, "cloud");
        let cloud = vars.key(0, "cloud").and_then(|id| vars.node(id));
        rendered.cloud_place = cloud.map(|node| node.origin.place().with_role(PlaceRole::At));
        rendered.channel = root_text(&vars, "channel");
        sort_and_dedup(&mut rendered.findings);
        ClusterRun { rendered, vars, read, templates }
    }

    /// The text of a template with its marks taken out, and the text without marks from the start.
    #[cfg(test)]
    pub(super) fn both_texts(
        &self,
        cluster: &str,
        path: &str,
    ) -> (Result<String, String>, Result<String, String>) {
        let vars = Arc::new(merge::merge(self.tree, cluster, &[], &mut Vec::new()));
        self.start_cluster(&vars);
        let root = self.root(cluster, &vars, &mut Vec::new());
        let (plain, _) =
            engine::environment(Kind::Plain, &self.sources, &self.recorder, &self.limits);
        let text = |env: &Environment<'static>| {
            self.recorder.lock().start_template(false);
            engine::run(env, path, &root, &self.recorder, &self.limits)
                .map_err(|error| error.to_string())
        };
        (text(&self.marked).map(|text| unmark(&text).text), text(&plain))
    }

    fn start_cluster(&self, vars: &Arc<Vars>) {
        let mut record = self.recorder.lock();
        record.vars = vars.clone();
        record.read.clear();
        record.read.resize(vars.nodes.len(), false);
    }

    /// What templates see; a vars key with the name of something else would be hidden or hide it.
    fn root(&self, cluster: &str, vars: &Arc<Vars>, findings: &mut Vec<Finding>) -> Value {
        let globals = self.recorder.lock().globals.clone();
        for key in vars.keys(0) {
            let message = if key == CLUSTER_NAME {
                "`cluster` is always the cluster's name and cannot be set".to_owned()
            } else if globals.contains(key) {
                format!("`{key}` is the name of a function, which this value hides")
            } else {
                continue;
            };
            let id = vars.key(0, key);
            let place = id.and_then(|id| vars.node(id)).map(|node| node.origin.place());
            let place = place.map(|place| Place { role: PlaceRole::At, ..place });
            findings.push(Finding::error(message).places(place).field(key).hint("rename it"));
        }
        let object = VarsObject::new(vars.clone(), 0, self.recorder.clone());
        Value::from_object(Scope {
            vars: Arc::new(object),
            at: engine::at_function(&self.recorder),
            params: BTreeMap::from([(CLUSTER_NAME.to_owned(), Value::from(cluster))]),
        })
    }

    fn template(&self, path: &str, root: &Value) -> TemplateRun {
        self.recorder.lock().start_template(false);
        match engine::run(&self.marked, path, root, &self.recorder, &self.limits) {
            Ok(marked) => self.finish(path, root, &marked),
            Err(error) if engine::is_endless(&error) => self.give_up(path, &error),
            Err(error) => self.gather(path, root, &error),
        }
    }

    /// What never ends is not run twice.
    fn give_up(&self, path: &str, error: &minijinja::Error) -> TemplateRun {
        let record = self.recorder.lock();
        TemplateRun {
            text: String::new(),
            lines: Arc::default(),
            reads: Vec::new(),
            documents: Vec::new(),
            findings: vec![engine::error_finding(error, path, &record, &self.limits)],
            has_failed: true,
        }
    }

    /// Takes the marks out and reads the YAML.
    fn finish(&self, path: &str, root: &Value, marked: &str) -> TemplateRun {
        let unmarked = unmark(marked);
        let mut record = self.recorder.lock();
        let has_captures = record.has_captures;
        let has_missed_broken = record.has_missed_broken;
        let mut findings: Vec<Finding> = std::mem::take(&mut record.findings).into_iter().collect();
        let (mut lines, reads) = record.take_lines(unmarked.lines);
        drop(record);
        let mut text = unmarked.text;
        if has_captures && let Some(plain) = self.plain_text(path, root, &text) {
            findings.push(
                Finding::warning("lines of this template cannot be told: only the file is named")
                    .at(Place::file(path))
                    .hint("print what is captured (macro, block, filter) instead of computing with it"),
            );
            text = plain;
            lines = RenderedLines::default();
        }
        let lines = Arc::new(lines);
        let line_map = LineMap::Rendered(lines.clone());
        let mut has_failed = has_missed_broken || has_errors(&findings);
        let documents = match yaml::parse(&text, &self.limits.yaml) {
            Ok(roots) => documents(path, roots, &line_map),
            Err(errors) => {
                has_failed = true;
                findings.extend(errors.iter().map(|error| yaml_problem(path, error, &line_map)));
                Vec::new()
            }
        };
        TemplateRun { text, lines, reads, documents, findings, has_failed }
    }

    /// The text rendered without marks, if it differs: then marks got into a computed value.
    fn plain_text(&self, path: &str, root: &Value, text: &str) -> Option<String> {
        let plain = self.plain.get_or_init(|| {
            engine::environment(Kind::Plain, &self.sources, &self.recorder, &self.limits).0
        });
        self.recorder.lock().start_template(false);
        let rendered = engine::run(plain, path, root, &self.recorder, &self.limits).ok()?;
        // Snippets print marks of their own; they are not computed with.
        let rendered = without_marks(&rendered);
        (rendered != text).then_some(rendered)
    }

    /// Runs a template again with placeholders and gathers every problem.
    fn gather(&self, path: &str, root: &Value, error: &minijinja::Error) -> TemplateRun {
        let collecting = self.collecting.get_or_init(|| {
            engine::environment(Kind::Collecting, &self.sources, &self.recorder, &self.limits).0
        });
        self.recorder.lock().start_template(true);
        let outcome = engine::run(collecting, path, root, &self.recorder, &self.limits);
        let mut record = self.recorder.lock();
        if let Err(abort) = &outcome
            && !record.is_halted
        {
            let (file, line) = engine::error_place(abort, path);
            // What a placeholder could not stand for is the missing value's fault.
            if record.use_holes(line.map(|line| (file.as_str(), line))) == 0 {
                let finding = engine::error_finding(abort, path, &record, &self.limits);
                record.report(finding);
            }
        }
        let is_error = |finding: &Finding| finding.severity == Severity::Error;
        if !record.findings.iter().any(is_error) && !record.has_missed_broken {
            let (file, line) = engine::error_place(error, path);
            if record.use_holes(line.map(|line| (file.as_str(), line))) == 0 {
                let finding = engine::error_finding(error, path, &record, &self.limits);
                record.report(finding);
            }
        }
        let findings: Vec<Finding> = std::mem::take(&mut record.findings).into_iter().collect();
        let unmarked = unmark(outcome.as_deref().unwrap_or_default());
        let (lines, reads) = record.take_lines(unmarked.lines);
        drop(record);
        let lines = Arc::new(lines);
        let roots = yaml::parse(&unmarked.text, &self.limits.yaml).unwrap_or_default();
        let documents = documents(path, roots, &LineMap::Rendered(lines.clone()));
        TemplateRun { text: unmarked.text, lines, reads, documents, findings, has_failed: true }
    }
}

/// The documents of a rendered text; empty ones are left out.
fn documents(path: &str, roots: Vec<yaml::Node>, lines: &LineMap) -> Vec<Document> {
    roots
        .into_iter()
        .filter(|root| root.value != yaml::Value::Null)
        .map(|root| Document { file: path.to_owned(), root, lines: lines.clone() })
        .collect()
}

/// A problem of rendered YAML at the lines it was rendered from.
fn yaml_problem(path: &str, error: &yaml::YamlError, lines: &LineMap) -> Finding {
    let other = error.other_line.map(|line| {
        let places = lines.places(path, line);
        places.into_iter().take(1).map(|place| place.with_role(PlaceRole::SeeAlso))
    });
    Finding::error(format!("the rendered text is not YAML: {}", error.message))
        .places(lines.places(path, error.line))
        .places(other.into_iter().flatten())
}

fn collect(rendered: &mut Rendered, path: &str, run: &TemplateRun) {
    rendered.findings.extend(run.findings.iter().cloned());
    if run.has_failed {
        rendered.partial.extend(run.documents.iter().cloned());
    } else {
        rendered.documents.extend(run.documents.iter().cloned());
        rendered.texts.insert(path.to_owned(), run.text.clone());
    }
}

/// Errors first, then by place; the same problem once.
fn sort_and_dedup(findings: &mut Vec<Finding>) {
    findings.sort_by(|a, b| {
        b.severity.cmp(&a.severity).then_with(|| a.places.cmp(&b.places)).then_with(|| a.cmp(b))
    });
    let mut seen = BTreeSet::new();
    findings.retain(|finding| seen.insert(finding.clone()));
}
