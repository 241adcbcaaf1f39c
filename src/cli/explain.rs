//! `kprod explain`.

use clap::Args;
use serde_json::Value as Json;

use super::args::InputArgs;
use super::context::{Context, sets};
use crate::error::{ExitCode, Failure};
use crate::finding::{Finding, has_errors};
use crate::source::{self, Engine, Explanation, Limits};
use crate::spec;
use crate::ui;
use crate::yaml::{self, Step};

/// Say where a value came from: vars layer, template line, or default, and what it overrode
///
/// PATH is a vars path, such as spot_nodes.4x_32Gb.max, or a field of a document, such as
/// "InstanceGroup/nodes spec.maxSize".
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The cluster's name
    #[arg(value_name = "CLUSTER")]
    cluster: String,

    /// A vars path or a document's field
    #[arg(value_name = "PATH")]
    path: String,

    #[command(flatten)]
    input: InputArgs,
}

pub(super) fn run(context: &Context, args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let refused = |findings: Vec<Finding>| {
        Failure::error(format!("cannot explain `{}`", args.path)).findings(findings)
    };
    if args.path.trim().is_empty() {
        let message = "PATH is empty: write a vars path or a document's field";
        return Err(Failure::new(ExitCode::Usage, message).into());
    }
    let explained = explain(context, args)?.map_err(refused)?;
    let default = match explained.value {
        Some(_) => None,
        None => {
            let (document, field) = args.path.split_once(' ').unwrap_or((&args.path, ""));
            let kind = document.split('/').next().unwrap_or_default();
            spec::check_field(kind, field.trim()).map_err(|finding| refused(vec![finding]))?;
            default_of(context, args)?
        }
    };
    context.ui.data(&ui::source::explanation(&explained, default.as_deref()))?;
    Ok(ExitCode::Done)
}

/// Looks in ready documents, or in what the fleet renders.
fn explain(
    context: &Context,
    args: &ExplainArgs,
) -> anyhow::Result<Result<Explanation, Vec<Finding>>> {
    if !args.input.files.is_empty() {
        let rendered = context.documents(Some(&args.cluster), &args.input)?;
        if has_errors(&rendered.findings) {
            return Ok(Err(rendered.findings));
        }
        let explained = source::explain_document(&rendered.documents, &args.path);
        return Ok(explained.map_err(|finding| vec![finding]));
    }
    let tree = context.tree()?;
    let sets = sets(&args.input.sets)?;
    let engine = Engine::new(&tree, &Limits::default());
    Ok(engine.explain(&args.cluster, &sets, &args.path))
}

/// The value that a field gets when nobody writes it, as compact JSON.
fn default_of(context: &Context, args: &ExplainArgs) -> anyhow::Result<Option<String>> {
    let (loaded, _) = context.read(Some(&args.cluster), &args.input)?;
    let value = loaded.and_then(|loaded| field(&loaded.spec.to_documents(), &args.path));
    Ok(value.map(|value| value.to_string()))
}

/// A field of a document by `Kind/name path`.
fn field(documents: &[Json], path: &str) -> Option<Json> {
    let (document, path) = path.split_once(' ')?;
    let (kind, name) = document.split_once('/')?;
    let root = documents.iter().find(|d| d["kind"] == kind && d["metadata"]["name"] == name)?;
    let steps = yaml::path_steps(path.trim())?;
    let found = steps.iter().try_fold(root, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(index),
    })?;
    (!found.is_null()).then(|| found.clone())
}
