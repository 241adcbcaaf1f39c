//! `kprod node etcd`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::super::access::{AccessArgs, Home};
use super::super::args::CloudName;
use super::super::context::{Context, read_file};
use crate::boot::Settings;
use crate::boot::settings::SETTINGS_FILE;
use crate::cloud::any::AnyCloud;
use crate::cloud::sim::SimCloud;
use crate::error::{ExitCode, Failure};
use crate::etcd::start::Identity;
use crate::node::etcd::{self, Announce, Machine, NodeError};

/// Bring up the etcd members that this machine hosts, and look after them
///
/// Finds and attaches each member's volume, makes a file system on one that was never used, decides by
/// the volume, the cluster's epoch and the other members what to do, starts etcd, and completes the
/// machine's launch when every member votes and is well. Runs until it is stopped, as a service; etcd
/// is a service of its own and goes on then.
///
/// Exit code 5 when only people can decide what is to happen with a member.
#[derive(Debug, Args)]
pub(in crate::cli) struct EtcdArgs {
    /// What the machine's user data says of it
    #[arg(long, value_name = "FILE", default_value = SETTINGS_FILE)]
    settings: PathBuf,

    /// The cloud that the machine is in
    #[arg(long, value_enum, default_value_t = CloudName::Aws, help_heading = "Cloud")]
    cloud: CloudName,

    #[command(flatten)]
    access: AccessArgs,
}

pub(in crate::cli) fn run(context: &Context, args: &EtcdArgs) -> anyhow::Result<ExitCode> {
    let file = args.settings.display();
    let body = read_file(&args.settings)?;
    let settings =
        Settings::parse(&body).map_err(|error| Failure::error(format!("`{file}`: {error}")))?;
    context.block_on(async {
        let cloud = connect(context, &settings, args).await?;
        let ui = context.ui.clone();
        let announce: Announce = Arc::new(move |identity: &Identity, text: &str| {
            ui.status(&format!("etcd {} member {}: {text}", identity.etcd, identity.member));
        });
        let machine = Arc::new(Machine::this(cloud, settings, announce).await?);
        let mut stop = signal(SignalKind::terminate()).context("cannot wait for a signal")?;
        tokio::select! {
            ended = etcd::run(machine) => ended.map_err(|error| failure(&error))?,
            _ = stop.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        Ok(ExitCode::Done)
    })
}

async fn connect(
    context: &Context<'_>,
    settings: &Settings,
    args: &EtcdArgs,
) -> anyhow::Result<AnyCloud> {
    let home = Home {
        account: settings.account.as_deref(),
        region: Some(&settings.region),
        config_base: Some(&settings.config_base),
    };
    let cloud = match args.cloud {
        CloudName::Sim => {
            let account = home.account.unwrap_or(SimCloud::ACCOUNT);
            let sim = SimCloud::open(&context.state_dir(), account, &settings.region)?;
            AnyCloud::Sim(Box::new(sim))
        }
        CloudName::Aws => args.access.connect(home).await?,
    };
    cloud.reader().limit(args.access.retry());
    Ok(cloud)
}

fn failure(error: &NodeError) -> Failure {
    match error {
        NodeError::Refused { reason, .. } => {
            Failure::refused(error.to_string()).hint(reason.way_out())
        }
        NodeError::WaitedInVain { .. } => Failure::new(ExitCode::Halted, error.to_string()),
        NodeError::Denied(_) => Failure::error(error.to_string())
            .hint("`kprod apply` gives the machines' role the rights of this kprod"),
        _ => Failure::error(error.to_string()),
    }
}
