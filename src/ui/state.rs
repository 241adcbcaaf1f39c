//! The state bucket, for people.

use std::fmt::Write;

use jiff::Timestamp;

use super::Style;
use super::finding::plural;
use crate::apply::journal::JournalRecord;
use crate::apply::lease::LeaseRecord;
use crate::state::{BucketSettings, BucketStep, WantedBucket};

/// Said when versions are kept for the first time. Source: Amazon S3 User Guide, "Using versioning
/// in S3 buckets".
pub const FRESH_VERSIONS: &str =
    "AWS takes a while to keep versions everywhere: wait 15 minutes before the first apply";

/// What the simulator says about its bucket.
pub fn no_bucket(cluster: &str) -> String {
    format!("SIMULATED {cluster}: its state is in .kprod/ and needs no bucket")
}

/// What will be done to a bucket.
pub fn steps(
    wanted: &WantedBucket,
    steps: &[BucketStep],
    found: Option<&BucketSettings>,
    style: Style,
) -> String {
    let mut text = format!("State at {} in {}\n", wanted.address, wanted.region);
    if steps.is_empty() {
        text.push_str("\nThe bucket is as it should be.\n");
        return text;
    }
    let heading = style.heading(&format!("To set up ({})", steps.len()));
    let _ = writeln!(text, "\n{heading}\n");
    for line in differences(steps, found) {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// Each step as a line: what it is about, how that is, how it should be.
pub fn differences(steps: &[BucketStep], found: Option<&BucketSettings>) -> Vec<String> {
    let line = |step: &BucketStep| {
        format!("{:<18}  {} -> {}", step.subject(), step.before(found), step.after())
    };
    steps.iter().map(line).collect()
}

/// A step that was made.
pub fn made(step: &BucketStep) -> String {
    format!("  + {}: {}", step.subject(), step.after())
}

/// What there is to say about a cluster's state.
#[derive(Clone, Debug, Default)]
pub struct StateView<'a> {
    /// The cluster.
    pub cluster: &'a str,
    /// The address; empty in the simulator.
    pub place: String,
    /// What the bucket lacks, a line each.
    pub missing: Vec<String>,
    /// The lease, or why what stands in its place is none.
    pub lease: Option<Result<LeaseRecord, String>>,
    /// The newest run.
    pub journal: Option<JournalRecord>,
}

/// The overview of a cluster's state.
pub fn overview(view: &StateView, now: Timestamp) -> String {
    let mut text = String::new();
    if view.place.is_empty() {
        let _ = writeln!(text, "{}", no_bucket(view.cluster));
    } else {
        let _ = writeln!(text, "state     {}", view.place);
        let _ = match view.missing.len() {
            0 => writeln!(text, "settings  as they should be"),
            count => writeln!(text, "settings  {}", plural(count, "difference")),
        };
        for line in &view.missing {
            let _ = writeln!(text, "  {line}");
        }
    }
    let lease = match &view.lease {
        None => "nobody holds it".to_owned(),
        Some(Ok(record)) => record.describe(now),
        Some(Err(why)) => format!("cannot be used: {why}"),
    };
    let _ = writeln!(text, "lease     {lease}");
    let run = view.journal.as_ref().map_or_else(|| "none".to_owned(), last_run);
    let _ = writeln!(text, "last run  {run}");
    text
}

fn last_run(run: &JournalRecord) -> String {
    let begun = format!("{} by {}, begun {}", run.run, run.holder, run.started_at);
    match (run.finished_at, &run.outcome) {
        (Some(at), Some(outcome)) => format!("{begun}, ended {at}: {outcome}"),
        _ => format!("{begun}, not ended: {} open", plural(run.unfinished().len(), "change")),
    }
}
