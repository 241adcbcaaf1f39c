//! `kprod validate`.

use clap::Args;

use super::args::InputArgs;
use super::context::{Context, Loaded, lints, read_documents, sets};
use crate::error::{ExitCode, Failure};
use crate::finding::Finding;
use crate::source::{Engine, Limits};
use crate::ui::finding::plural;

/// Clusters that the summary names; more are counted.
const NAMES_MAX: usize = 8;

/// Check clusters without asking any cloud
///
/// Renders, reads, fills defaults, checks and lints; every problem of every cluster in one report.
#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// The clusters; all of the fleet if none is named
    #[arg(value_name = "CLUSTER")]
    clusters: Vec<String>,
    #[command(flatten)]
    input: InputArgs,
}

pub(super) fn run(context: &Context, args: &ValidateArgs) -> anyhow::Result<ExitCode> {
    let results = match args.input.files.is_empty() {
        true => check_fleet(context, args)?,
        false if args.clusters.len() > 1 => {
            let message = "with -f, name at most the one cluster that the documents describe";
            return Err(Failure::new(ExitCode::Usage, message).into());
        }
        false => vec![context.read(args.clusters.first().map(String::as_str), &args.input)?],
    };
    let (loaded, findings): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    let names: Vec<&str> = loaded.iter().flatten().map(|loaded| loaded.spec.name()).collect();
    let linted = loaded.iter().flatten().flat_map(|loaded| lints(&loaded.spec));
    let findings = findings.into_iter().flatten().chain(linted).collect();
    // A cluster that could not be read and an error to say why come together.
    let sound = (names.len() == loaded.len()).then_some(());
    context.settle(sound, findings)?;
    let count = plural(names.len(), "cluster");
    context.ui.status(&match names.len() {
        1..=NAMES_MAX => format!("{count} checked: {}", names.join(", ")),
        _ => format!("{count} checked"),
    });
    Ok(ExitCode::Done)
}

/// Checks clusters of the fleet, whose files are read once.
fn check_fleet(
    context: &Context,
    args: &ValidateArgs,
) -> anyhow::Result<Vec<(Option<Loaded>, Vec<Finding>)>> {
    let tree = context.tree()?;
    let sets = sets(&args.input.sets)?;
    let engine = Engine::new(&tree, &Limits::default());
    let names: Vec<&str> = match args.clusters.is_empty() {
        true => tree.cluster_names().collect(),
        false => args.clusters.iter().map(String::as_str).collect(),
    };
    if names.is_empty() {
        return Ok(vec![(None, tree.findings.clone())]);
    }
    let check =
        |name: &str| read_documents(engine.render(name, &sets), Some(name), args.input.lenient);
    Ok(names.into_iter().map(check).collect())
}
