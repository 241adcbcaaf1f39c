//! `kprod pki status`.

use std::collections::BTreeSet;

use clap::Args;

use super::super::args::{CloudArgs, SpecArgs, TextOrJson};
use super::super::context::Context;
use super::super::{denied, pipeline};
use crate::apply;
use crate::apply::store::{PATIENT, persist};
use crate::cloud::any::AnyCloud;
use crate::cloud::{Cloud, Parameters, StoreError};
use crate::error::ExitCode;
use crate::pki::{Authority, LeafReport, Status, leaves_key};
use crate::spec::Spec;
use crate::ui;

/// Show a cluster's keys and certificates: for whom they are, until when, what to do
///
/// Authorities by what is public of them, and of each etcd member the certificates that its machine says
/// it shows. Of keys it asks whether they are there, and reads none. Reads only, and needs no lease.
///
/// Exit code 0 when every authority is there with its key and nothing ends too soon, 2 when something is to be seen to.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    cloud: CloudArgs,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
}

pub(super) fn run(context: &Context, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let loaded = context.load(&args.spec)?;
    context.block_on(async {
        let cloud = pipeline::connect(context, &loaded, &args.cloud).await?;
        let status = read(&cloud, &loaded.spec).await?;
        let is_simulated = cloud.name() == "sim";
        context.ui.data(&match args.output {
            TextOrJson::Text => {
                ui::pki::text(&status, is_simulated, context.ui.width, context.ui.out)
            }
            TextOrJson::Json => format!("{:#}\n", ui::json::pki(&status, is_simulated)),
        })?;
        Ok(if status.is_well() { ExitCode::Done } else { ExitCode::Changes })
    })
}

async fn read(cloud: &AnyCloud, spec: &Spec) -> anyhow::Result<Status> {
    let cluster = spec.name();
    let etcds = &spec.cluster.spec.etcd_clusters;
    let names: Vec<&str> = etcds.iter().map(|etcd| etcd.name.as_str()).collect();
    let authorities = Authority::of_cluster(names.iter().copied());
    let secrets: BTreeSet<String> =
        authorities.iter().map(|authority| authority.secret_parameter(cluster)).collect();
    let denied = |error| denied::of_read(error, spec);
    let public = cloud.public(cluster).await.map_err(denied)?;
    let secrets = cloud.there(&secrets).await.map_err(denied)?;
    let mut members = Vec::new();
    for etcd in etcds {
        for member in &etcd.etcd_members {
            let report = report(cloud, cluster, &etcd.name, &member.name).await;
            let report = report.map_err(|error| apply::store_failure(&error, cluster))?;
            members.push((etcd.name.clone(), member.name.clone(), report));
        }
    }
    Ok(Status::of(cluster, &public, &secrets, members, &names, cloud.now()))
}

/// What a member's machine says, if it is in a form that we know.
async fn report(
    cloud: &AnyCloud,
    cluster: &str,
    etcd: &str,
    member: &str,
) -> Result<Option<LeafReport>, StoreError> {
    let key = leaves_key(cluster, etcd, member);
    let entry = persist(cloud, PATIENT, || cloud.get(&key)).await?;
    let read = entry.and_then(|entry| serde_json::from_slice::<LeafReport>(&entry.body).ok());
    let is_ours = |report: &LeafReport| {
        report.format_version == LeafReport::FORMAT_VERSION && report.member == member
    };
    Ok(read.filter(is_ours))
}
