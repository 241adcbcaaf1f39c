//! What every verb starts from: how to talk, where the fleet is, and how input becomes a spec.

#![expect(clippy::disallowed_methods, reason = "reads and writes the files that the user names")]

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::args::{CloudName, GlobalArgs, InputArgs, SetArgs, SpecArgs};
use crate::boot::{Program, lock};
use crate::error::{ExitCode, Failure};
use crate::finding::{Finding, Severity, has_errors};
use crate::lint::{self, Seen};
use crate::source::{self, Limits, LoadLimits, Rendered, Set, Tree};
use crate::spec::{self, Field, Kind, Spec, Strictness};
use crate::ui::Ui;

/// How to talk and where the fleet is.
pub(super) struct Context<'a> {
    /// Where output goes.
    pub(super) ui: &'a Ui,
    /// The fleet's root.
    pub(super) root: PathBuf,
}

/// A checked spec with what only the vars say.
pub(super) struct Loaded {
    /// The spec, defaults filled in.
    pub(super) spec: Spec,
    /// `cloud:` in the vars.
    pub(super) cloud: Option<CloudName>,
}

impl<'a> Context<'a> {
    pub(super) fn new(ui: &'a Ui, global: &GlobalArgs) -> Self {
        Self { ui, root: global.root.clone() }
    }

    /// The simulator's folder.
    pub(super) fn state_dir(&self) -> PathBuf {
        self.root.join(".kprod")
    }

    /// Runs an async verb; start-up pays for the runtime only here.
    ///
    /// # Errors
    /// The verb's own, or that no thread could be started.
    pub(super) fn block_on<T>(
        &self,
        future: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        let result = runtime.block_on(future);
        // A credential program that hangs does not keep anybody.
        runtime.shutdown_background();
        result
    }

    /// Reads the fleet's files.
    ///
    /// # Errors
    /// When the folder holds no fleet.
    pub(super) fn tree(&self) -> anyhow::Result<Tree> {
        if !self.root.join("vars").is_dir() {
            return Err(Failure::error(format!(
                "no fleet in `{}`: there is no folder vars",
                self.root.display()
            ))
            .hint("give the fleet's folder with --root, or ready documents with -f")
            .into());
        }
        Ok(source::load(&self.root, &LoadLimits::default()))
    }

    /// Renders a cluster of the fleet.
    ///
    /// # Errors
    /// When a `--set` makes no sense; what is wrong with the fleet is among the findings.
    pub(super) fn render(&self, cluster: &str, args: &SetArgs) -> anyhow::Result<Rendered> {
        let sets = sets(args)?;
        let tree = self.tree()?;
        Ok(source::render(&tree, cluster, &sets, &Limits::default()))
    }

    /// Input to spec: every finding of every stage is shown at once.
    ///
    /// # Errors
    /// When there is an error among the findings.
    pub(super) fn load(&self, args: &SpecArgs) -> anyhow::Result<Loaded> {
        let (loaded, findings) = self.read(args.cluster.as_deref(), &args.input)?;
        self.settle(loaded, findings)
    }

    /// Input to a spec that the lints do not refuse, for what changes a cluster by its spec.
    ///
    /// # Errors
    /// When there is an error among the findings, of the input or of a lint.
    pub(super) fn load_linted(&self, args: &SpecArgs) -> anyhow::Result<Loaded> {
        let (loaded, mut findings) = self.read(args.cluster.as_deref(), &args.input)?;
        findings.extend(loaded.iter().flat_map(|loaded| unwaived(lints(&loaded.spec))));
        self.settle(loaded, findings)
    }

    /// Input to spec and findings, shown by nobody yet.
    ///
    /// # Errors
    /// When the input cannot be named at all.
    pub(super) fn read(
        &self,
        cluster: Option<&str>,
        input: &InputArgs,
    ) -> anyhow::Result<(Option<Loaded>, Vec<Finding>)> {
        let documents = self.documents(cluster, input)?;
        let (mut loaded, findings) = read_documents(documents, cluster, input.lenient);
        if let Some(loaded) = &mut loaded {
            loaded.spec.node_program = self.pinned()?;
        }
        Ok((loaded, findings))
    }

    /// The fleet's lock file.
    pub(super) fn lock_file(&self) -> PathBuf {
        self.root.join(lock::FILE)
    }

    /// The program that the fleet's lock file pins; none without such a file.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(super) fn pinned(&self) -> anyhow::Result<Option<Program>> {
        let file = self.lock_file();
        if !file.exists() {
            return Ok(None);
        }
        let body = read_file(&file)?;
        let program = lock::parse(&String::from_utf8_lossy(&body)).map_err(|error| {
            let message = format!("`{}`: {error}", file.display());
            Failure::error(message)
                .hint("take the file as Git has it, or use the kprod that wrote it")
        })?;
        Ok(Some(program))
    }

    /// Ready documents, or those of the fleet.
    ///
    /// # Errors
    /// When the input cannot be named at all.
    pub(super) fn documents(
        &self,
        cluster: Option<&str>,
        input: &InputArgs,
    ) -> anyhow::Result<Rendered> {
        if !input.files.is_empty() {
            let files: Vec<String> =
                input.files.iter().map(|file| file.to_string_lossy().into_owned()).collect();
            let (documents, findings) = source::load_documents(&files, &LoadLimits::default());
            return Ok(Rendered { documents, findings, ..Rendered::default() });
        }
        match cluster {
            Some(cluster) => self.render(cluster, &input.sets),
            None => {
                Err(Failure::error("no cluster named").hint("`kprod clusters` lists them").into())
            }
        }
    }

    /// Shows findings and gives the result, or the failure that says how many stand against it.
    ///
    /// # Errors
    /// When there is an error among the findings: 5 where only lints say so.
    pub(super) fn settle<T>(&self, value: Option<T>, findings: Vec<Finding>) -> anyhow::Result<T> {
        match value {
            Some(value) if !has_errors(&findings) => {
                self.ui.findings(&findings);
                Ok(value)
            }
            Some(_) if findings.iter().all(|f| !f.is_error() || f.lint.is_some()) => {
                let hint = "nothing was planned or changed; mend these, or waive them in the spec: \
                            `waivers: [{lint, reason, expires}]`";
                Err(Failure::refused("refused by lints").findings(findings).hint(hint).into())
            }
            _ => {
                let is_optional = |f: &Finding| f.is_error() && spec::is_lenient_matter(f);
                let lenient = match findings.iter().any(is_optional) {
                    true => "; --lenient takes what kprod does not honour as warnings",
                    false => "",
                };
                let hint =
                    format!("nothing was planned or changed; mend these and run again{lenient}");
                Err(Failure::error("the input has errors").findings(findings).hint(hint).into())
            }
        }
    }
}

/// What the lints say of a spec today.
pub(super) fn lints(spec: &Spec) -> Vec<Finding> {
    lint::lint(spec, today())
}

/// What the lints say today of a cluster that was looked at, without what is waived.
pub(super) fn lints_of_running(spec: &Spec, seen: &Seen) -> Vec<Finding> {
    unwaived(lint::lint_running(spec, seen, today())).collect()
}

/// What is waived was decided; only `validate` tells of it again.
fn unwaived(findings: Vec<Finding>) -> impl Iterator<Item = Finding> {
    findings.into_iter().filter(|finding| finding.severity != Severity::Note)
}

/// The day in UTC.
fn today() -> jiff::civil::Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// What rendered, or was ready, as a spec with every finding of every stage.
pub(super) fn read_documents(
    mut rendered: Rendered,
    cluster: Option<&str>,
    is_lenient: bool,
) -> (Option<Loaded>, Vec<Finding>) {
    let strictness = if is_lenient { Strictness::Lenient } else { Strictness::Strict };
    let cloud = chosen_cloud(&mut rendered);
    let mut findings = std::mem::take(&mut rendered.findings);
    if has_errors(&findings) {
        // What did render is still worth a look: all problems in one report.
        rendered.findings.clone_from(&findings);
        let documents = [rendered.documents.as_slice(), &rendered.partial].concat();
        let more = spec::check_documents(&documents, strictness);
        findings.extend(more.into_iter().filter(|f| !rendered.is_consequence(f)));
        return (None, findings);
    }
    let parsed = spec::read(rendered.documents, strictness);
    findings.extend(parsed.findings);
    if let (Some(spec), Some(cluster)) = (&parsed.spec, cluster)
        && spec.name() != cluster
    {
        let field = Field::new(Kind::Cluster, spec.name(), "metadata.name");
        let message = format!("the documents describe `{}`, not `{cluster}`", spec.name());
        let finding = Finding::error(message).field(field.to_string());
        findings.push(finding.places(spec.positions.places(&field)));
        return (None, findings);
    }
    (parsed.spec.map(|spec| Loaded { spec, cloud }), findings)
}

/// `cloud:` in the vars; a word that names no cloud becomes a finding.
fn chosen_cloud(rendered: &mut Rendered) -> Option<CloudName> {
    match rendered.cloud.as_deref() {
        None => None,
        Some("sim") => Some(CloudName::Sim),
        Some("aws") => Some(CloudName::Aws),
        Some(other) => {
            let message = format!("`{other}` is no cloud: write sim or aws");
            let finding = Finding::error(message).field("cloud");
            rendered.findings.push(finding.places(rendered.cloud_place.clone()));
            None
        }
    }
}

/// Reads the `--set` flags.
///
/// # Errors
/// A usage error.
pub(super) fn sets(args: &SetArgs) -> anyhow::Result<Vec<Set>> {
    let typed = args.set.iter().map(|text| Set::parse(text));
    let texts = args.set_string.iter().map(|text| Set::parse_string(text));
    let usage = |message: String| Failure::new(ExitCode::Usage, message).into();
    typed.chain(texts).collect::<Result<_, _>>().map_err(usage)
}

/// Writes a file whole or not at all.
///
/// # Errors
/// When the folder cannot be written.
pub(super) fn write_file(path: &Path, body: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(body)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}

/// Reads a file of ours: a saved plan or a recorded observation.
///
/// # Errors
/// When it is not there, or larger than anything kprod writes.
pub(super) fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    /// A plan of 100 groups takes about 2 MB.
    const BYTES_MAX: u64 = 256 << 20;
    let reading = || format!("cannot read `{}`", path.display());
    let length = std::fs::metadata(path).with_context(reading)?.len();
    if length > BYTES_MAX {
        let message = format!("{}: it has {length} bytes, more than {BYTES_MAX}", reading());
        return Err(Failure::error(message).into());
    }
    std::fs::read(path).with_context(reading)
}
