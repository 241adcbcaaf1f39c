//! `kprod validate`.

use clap::Args;

use super::args::InputArgs;
use super::context::Context;
use crate::error::ExitCode;
use crate::ui::finding::plural;

/// Check clusters without asking any cloud
///
/// Renders, reads, fills defaults and checks; every problem of every cluster in one report.
#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    /// The clusters; all of the fleet if none is named
    #[arg(value_name = "CLUSTER")]
    clusters: Vec<String>,
    #[command(flatten)]
    input: InputArgs,
}

pub(super) fn run(context: &Context, args: &ValidateArgs) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    let mut checked = Vec::new();
    let names = names(context, args)?;
    for cluster in &names {
        let (loaded, found) = context.read(cluster.as_deref(), &args.input)?;
        if let Some(loaded) = loaded {
            checked.push(loaded.spec.name().to_owned());
        }
        findings.extend(found);
    }
    // A cluster that could not be read and an error to say why come together.
    let sound = (checked.len() == names.len()).then_some(());
    context.settle(sound, findings)?;
    context.ui.status(&format!(
        "{} checked: {}",
        plural(checked.len(), "cluster"),
        checked.join(", ")
    ));
    Ok(ExitCode::Done)
}

/// Clusters to check; with `-f` and none named, whichever the documents describe.
fn names(context: &Context, args: &ValidateArgs) -> anyhow::Result<Vec<Option<String>>> {
    if !args.clusters.is_empty() {
        return Ok(args.clusters.iter().cloned().map(Some).collect());
    }
    if !args.input.files.is_empty() {
        return Ok(vec![None]);
    }
    let tree = context.tree()?;
    Ok(tree.cluster_names().map(|name| Some(name.to_owned())).collect())
}
