//! The command line: one verb, one file. A verb parses its arguments, calls the engines, and hands
//! what they say to `ui`.

mod access;
mod apply;
mod apply_roll;
mod args;
mod clusters;
mod confirm;
mod context;
mod denied;
mod destroy;
mod doctor;
mod etcd;
mod execute;
mod exit_codes;
mod explain;
mod kubernetes;
mod lints;
#[cfg(feature = "node")]
mod machine;
mod node;
mod observe;
mod pipeline;
mod pki;
mod plan;
mod policy;
mod rehearse;
mod render;
mod repair;
mod rolling;
mod rolling_update;
mod schema;
mod show;
mod simulate;
mod state;
mod status;
mod unlock;
mod validate;

use std::ffi::OsString;

use clap::Parser;
#[cfg(feature = "node")]
pub use machine::main as machine_main;

use crate::apply::failure::cloud_failure;
use crate::cloud::CloudError;
use crate::error::{ExitCode, Failure};
use crate::ui::Ui;

/// Brings self-managed Kubernetes clusters on AWS to what a Git repository says
///
/// kprod renders vars, snippets and templates into cluster documents, shows exactly what would
/// change and why, changes it, and can be killed and run again at any time.
#[derive(Debug, Parser)]
#[command(name = "kprod", version, max_term_width = 100, subcommand_required = true)]
struct Cli {
    #[command(flatten)]
    global: args::GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Plan(plan::PlanArgs),
    Apply(apply::ApplyArgs),
    RollingUpdate(rolling_update::RollingUpdateArgs),
    Status(status::StatusArgs),
    Repair(repair::RepairArgs),
    Destroy(destroy::DestroyArgs),
    Unlock(unlock::UnlockArgs),
    Doctor(doctor::DoctorArgs),
    Etcd(etcd::EtcdArgs),
    Pki(pki::PkiArgs),
    Node(node::NodeArgs),
    State(state::StateArgs),
    Policy(policy::PolicyArgs),
    Show(show::ShowArgs),
    Observe(observe::ObserveArgs),
    Clusters(clusters::ClustersArgs),
    Render(render::RenderArgs),
    Explain(explain::ExplainArgs),
    Validate(validate::ValidateArgs),
    Schema(schema::SchemaArgs),
    Rehearse(rehearse::RehearseArgs),
    Simulate(simulate::SimulateArgs),
    Lints(lints::LintsArgs),
    ExitCodes(exit_codes::ExitCodesArgs),
}

/// Runs the program and gives its exit code; everything it says goes through [`Ui`].
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let ui = cli.global.ui();
    let result = run(&ui, cli);
    end(&ui, result)
}

fn run(ui: &Ui, cli: Cli) -> anyhow::Result<ExitCode> {
    let context = context::Context::new(ui, &cli.global);
    match cli.command {
        Command::Plan(args) => plan::run(&context, &args),
        Command::Apply(args) => apply::run(&context, &args),
        Command::RollingUpdate(args) => rolling_update::run(&context, &args),
        Command::Status(args) => status::run(&context, &args),
        Command::Repair(args) => repair::run(&context, &args),
        Command::Destroy(args) => destroy::run(&context, &args),
        Command::Unlock(args) => unlock::run(&context, &args),
        Command::Doctor(args) => doctor::run(&context, &args),
        Command::Etcd(args) => etcd::run(&context, &args),
        Command::Pki(args) => pki::run(&context, &args),
        Command::Node(args) => node::run(&context, &args),
        Command::State(args) => state::run(&context, &args),
        Command::Policy(args) => policy::run(&context, &args),
        Command::Show(args) => show::run(&context, &args),
        Command::Observe(args) => observe::run(&context, &args),
        Command::Clusters(args) => clusters::run(&context, &args),
        Command::Render(args) => render::run(&context, &args),
        Command::Explain(args) => explain::run(&context, &args),
        Command::Validate(args) => validate::run(&context, &args),
        Command::Schema(args) => schema::run(&context, &args),
        Command::Rehearse(args) => rehearse::run(&context, &args),
        Command::Simulate(args) => simulate::run(&context, &args),
        Command::Lints(args) => lints::run(&context, &args),
        Command::ExitCodes(args) => exit_codes::run(&context, &args),
    }
}

/// Tells of a failure, and gives the exit code.
fn end(ui: &Ui, result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        let failure = as_failure(error);
        ui.failure(&failure);
        failure.code
    })
}

/// Help and version are answers (exit 0); anything else the parser refuses is a usage error.
fn usage(error: &clap::Error) -> ExitCode {
    // Nobody is left to tell when the terminal is gone.
    let _ = error.print();
    if error.use_stderr() { ExitCode::Usage } else { ExitCode::Done }
}

/// The library's errors know their exit code; anything else is an error with its causes. A call that
/// failed outside of a run has changed nothing.
fn as_failure(error: anyhow::Error) -> Failure {
    let error = match error.downcast::<Failure>() {
        Ok(failure) => return failure,
        Err(error) => error,
    };
    match error.downcast_ref::<CloudError>() {
        Some(error) => cloud_failure(error, false),
        None => {
            let causes = error.chain().skip(1).map(|cause| format!("caused by: {cause}"));
            Failure::error(error.to_string()).details(causes.collect())
        }
    }
}
