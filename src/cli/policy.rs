//! `kprod policy`.

use clap::{Args, ValueEnum};

use super::args::SpecArgs;
use super::context::Context;
use crate::desired;
use crate::error::{ExitCode, Failure};
use crate::facts::Facts;
use crate::permission::{self, Level, Scope};
use crate::spec::Spec;
use crate::ui;

/// Print the IAM policies that an operator of the cluster needs
///
/// Asks no cloud. Statements name the cluster's resources, or go by its tag where AWS makes up the
/// ids; each statement's id says what it is for. Where one managed policy cannot hold all of it,
/// there are several, and an operator needs each. To make them:
///
///   kprod policy CLUSTER --for apply -o json | jq -c '.[]' | while read -r policy; do
///     aws iam create-policy --cli-input-json "$policy"; done
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct PolicyArgs {
    #[command(flatten)]
    spec: SpecArgs,

    /// What the operator is to do
    #[arg(long = "for", value_enum, value_name = "WHAT", default_value_t = For::Apply)]
    level: For,

    /// How to print them
    #[arg(short, long, value_enum, default_value_t = PolicyFormat::Text)]
    output: PolicyFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum For {
    /// Read: plan, observe
    Plan,
    /// Read and change: apply, destroy and unlock as well
    Apply,
    /// Make the state bucket, and nothing else
    State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PolicyFormat {
    /// For people
    Text,
    /// For machines: a list of inputs to `aws iam create-policy --cli-input-json`
    Json,
}

pub(super) fn run(context: &Context, args: &PolicyArgs) -> anyhow::Result<ExitCode> {
    let loaded = context.load(&args.spec)?;
    let level = match args.level {
        For::Plan => Level::Plan,
        For::Apply => Level::Apply,
        For::State => Level::State,
    };
    let scope = scope(&loaded.spec);
    let documents = permission::documents(&scope, level);
    if documents.iter().all(|document| document.statements.is_empty()) {
        let message = format!("{} has no state bucket", loaded.spec.name());
        let hint = "set `spec.configBase` to s3://bucket/path";
        return Err(Failure::error(message).hint(hint).into());
    }
    let text = match args.output {
        PolicyFormat::Text => ui::policy::text(&documents, context.ui.width),
        PolicyFormat::Json => format!("{:#}\n", ui::policy::json(&documents)),
    };
    context.ui.data(&text)?;
    Ok(ExitCode::Done)
}

/// What permissions for a spec are about; no cloud is asked.
pub(super) fn scope(spec: &Spec) -> Scope {
    let wanted = desired::build(spec, &Facts::default()).resources;
    let account = spec.cluster.spec.account.as_deref();
    Scope::new(account, &desired::query(spec), wanted.values())
}
