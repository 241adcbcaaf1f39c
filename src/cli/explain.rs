//! `kprod explain`.

use clap::Args;
use serde_json::Value as Json;

use super::args::InputArgs;
use super::context::{Context, sets};
use crate::error::{ExitCode, Failure};
use crate::source::{Engine, Limits};
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
    let tree = context.tree()?;
    let sets = sets(&args.input)?;
    let engine = Engine::new(&tree, &Limits::default());
    let explained = engine.explain(&args.cluster, &sets, &args.path).map_err(|findings| {
        Failure::error(format!("cannot explain `{}`", args.path)).findings(findings)
    })?;
    let default = match explained.value {
        Some(_) => None,
        None => default_of(context, args)?,
    };
    context.ui.data(&ui::source::explanation(&explained, default.as_deref()))?;
    Ok(ExitCode::Done)
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
