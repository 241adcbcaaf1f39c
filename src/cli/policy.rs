//! `kprod policy`.

use clap::{Args, ValueEnum};

use super::args::SpecArgs;
use super::context::Context;
use crate::desired;
use crate::error::{ExitCode, Failure};
use crate::facts::Facts;
use crate::kube::rbac;
use crate::permission::{self, Level, Scope};
use crate::spec::Spec;
use crate::ui;

/// Print the IAM policies that an operator of the cluster needs, and the Kubernetes ClusterRole
///
/// Asks no cloud. Statements name the cluster's resources, or go by its tag where AWS makes up the
/// ids; each statement's id says what it is for. Where one managed policy cannot hold all of it,
/// there are several, and an operator needs each. To make them:
///
///   kprod policy CLUSTER --for apply -o json | jq -c '.[]' | while read -r policy; do
///     aws iam create-policy --cli-input-json "$policy"; done
///
/// What a rolling update does inside of the cluster is another matter:
///
///   kprod policy CLUSTER --for kubernetes | kubectl apply -f -
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
    /// Roll, inside of the cluster: a ClusterRole
    Kubernetes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PolicyFormat {
    /// For people; of a ClusterRole, YAML
    Text,
    /// For machines: a list of inputs to `aws iam create-policy --cli-input-json`, or the ClusterRole
    Json,
}

pub(super) fn run(context: &Context, args: &PolicyArgs) -> anyhow::Result<ExitCode> {
    let loaded = context.load(&args.spec)?;
    let level = match args.level {
        For::Plan => Level::Plan,
        For::Apply => Level::Apply,
        For::State => Level::State,
        For::Kubernetes => return print_cluster_role(context, args.output),
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

/// Prints the ClusterRole, which is the same for every cluster.
fn print_cluster_role(context: &Context, format: PolicyFormat) -> anyhow::Result<ExitCode> {
    const NAME: &str = "kprod";
    let text = match format {
        PolicyFormat::Text => ui::policy::cluster_role(NAME),
        PolicyFormat::Json => format!("{:#}\n", rbac::cluster_role(NAME)),
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
