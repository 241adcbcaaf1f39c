//! `kprod state create`.

use std::time::Duration;

use clap::Args;

use super::super::args::{CloudArgs, SpecArgs};
use super::super::context::Context;
use super::super::{confirm, pipeline};
use crate::apply::{self, store};
use crate::cloud::any::AnyCloud;
use crate::cloud::{StateBucket, StoreError};
use crate::error::{ExitCode, Failure};
use crate::state::{self, BucketStep, WantedBucket};
use crate::ui;

/// Make the state bucket, or bring one of this account to what it should be
///
/// Makes the bucket that `spec.configBase` names in the cluster's region, if it is not there: with
/// versions, encryption, no way to the public, one owner of all objects, no access without TLS, and
/// an end to old versions of leases and journals. A setting that is stricter, and what others set up
/// besides, stays. Says first what it will do.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    cloud: CloudArgs,

    /// Encrypt with this KMS key, by id or ARN, in place of S3's own keys
    #[arg(long, value_name = "KEY")]
    kms_key: Option<String>,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn run(context: &Context, args: &CreateArgs) -> anyhow::Result<ExitCode> {
    let loaded = context.load(&args.spec)?;
    let cluster = loaded.spec.name();
    context.block_on(async {
        let cloud = pipeline::connect(context, &loaded, &args.cloud).await?;
        let Some(address) = super::address(&cloud, &loaded)? else {
            context.ui.status(&ui::state::no_bucket(cluster));
            return Ok(ExitCode::Done);
        };
        let Some(region) = super::region(&loaded.spec) else {
            let failure = Failure::error("the spec names no region to make the bucket in");
            return Err(failure.hint("set `spec.region`").into());
        };
        let wanted =
            WantedBucket { address, region: region.to_owned(), kms_key: args.kms_key.clone() };
        let failed = |error: StoreError| apply::store_failure(&error, cluster);
        let read = store::persist(&cloud, store::BRIEF, || cloud.settings());
        let found = read.await.map_err(failed)?;
        let steps = state::steps(&wanted, found.as_ref());
        context.ui.data(&ui::state::steps(&wanted, &steps, found.as_ref(), context.ui.out))?;
        if steps.is_empty() {
            return Ok(ExitCode::Done);
        }
        if !args.yes {
            confirm::ask("Set the bucket up like this", "yes", "--yes")?;
        }
        for step in &steps {
            make(&cloud, step).await.map_err(failed)?;
            context.ui.status(&ui::state::made(step));
        }
        if steps.contains(&BucketStep::Version) {
            context.ui.status(ui::state::FRESH_VERSIONS);
        }
        Ok(ExitCode::Done)
    })
}

/// A bucket that was just made may be unknown to the next request.
async fn make(cloud: &AnyCloud, step: &BucketStep) -> Result<(), StoreError> {
    /// S3 is consistent about objects, not about buckets; a minute is far more than it takes.
    const LOOKS: u32 = 12;
    const WAIT: Duration = Duration::from_secs(5);
    let mut looks = 1;
    loop {
        match store::persist(cloud, store::PATIENT, || cloud.make(step)).await {
            Err(StoreError::BucketMissing { .. }) if looks < LOOKS => {
                crate::cloud::Cloud::sleep(cloud, WAIT).await;
            }
            result => return result,
        }
        looks += 1;
    }
}
