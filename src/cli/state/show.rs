//! `kprod state show`.

use clap::Args;

use super::super::args::{CloudArgs, SpecArgs};
use super::super::context::Context;
use super::super::pipeline;
use crate::apply::{self, journal, lease, store};
use crate::cloud::{Cloud, StateBucket, StoreError};
use crate::error::ExitCode;
use crate::state::{self, WantedBucket};
use crate::ui;
use crate::ui::state::StateView;

/// Show where a cluster's state is, what its bucket lacks, who holds the lease, and the last run
///
/// Reads only.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    cloud: CloudArgs,
}

pub(super) fn run(context: &Context, args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let loaded = context.load(&args.spec)?;
    let cluster = loaded.spec.name();
    context.block_on(async {
        let cloud = pipeline::connect(context, &loaded, &args.cloud).await?;
        let mut view = StateView { cluster, ..StateView::default() };
        let failed = |error: StoreError| apply::store_failure(&error, cluster);
        if let Some(address) = super::address(&cloud, &loaded)? {
            let read = store::persist(&cloud, store::BRIEF, || cloud.settings()).await;
            view.place = address.to_string();
            match read {
                Ok(Some(found)) => {
                    let region = super::region(&loaded.spec).unwrap_or_default().to_owned();
                    let wanted = WantedBucket { address, region, kms_key: None };
                    let steps = state::steps(&wanted, Some(&found));
                    view.missing = ui::state::differences(&steps, Some(&found));
                }
                Ok(None) => {
                    let bucket = address.bucket;
                    return Err(failed(StoreError::BucketMissing { bucket }).into());
                }
                // Who may only plan may still see lease and journal.
                Err(error @ StoreError::Denied { .. }) => {
                    view.missing = vec![format!("settings cannot be read: {error}")];
                }
                Err(error) => return Err(failed(error).into()),
            }
        }
        let found = lease::find(&cloud, cluster).await;
        let found = found.map_err(|error| apply::lease_failure(&error, cluster))?;
        view.lease = found.map(|found| found.record);
        view.journal = journal::read_last(&cloud, cluster).await.map_err(failed)?;
        context.ui.data(&ui::state::overview(&view, cloud.now()))?;
        Ok(ExitCode::Done)
    })
}
