//! How what went wrong reads to people: with its exit code and the way out.

use super::lease::LeaseError;
use crate::cloud::quota::quota_of;
use crate::cloud::{CloudError, CloudErrorKind, Denial, StoreError};
use crate::error::{ExitCode, Failure};
use crate::plan::{self, Change};
use crate::resource::Key;

/// The hint of everything that a re-run finishes.
pub const RERUN: &str = "run the same command again: it goes on from here";

/// The world moved: what the plan saw, and what is there.
pub(super) fn stale(change: &Change, moves: Vec<String>) -> Failure {
    let details = moves.into_iter().map(|line| format!("{}: {line}", change.address)).collect();
    Failure::new(ExitCode::Stale, format!("{} has changed since the plan was made", change.address))
        .details(details)
        .hint("plan again and look at the difference")
}

/// Somebody else's resource stands where ours should.
pub(super) fn foreign(address: &Key) -> Failure {
    Failure::refused(format!("{address} is there and is not ours"))
        .hint("remove it, or give the cluster's resource another name")
}

/// Several failures of one kind as one.
pub(super) fn joined(problems: Vec<Failure>) -> Failure {
    let count = problems.len();
    let mut problems = problems.into_iter();
    let Some(mut first) = problems.next() else { return Failure::error("nothing failed") };
    if count > 1 {
        first.message = match first.code {
            ExitCode::Stale => format!("{count} resources have changed since the plan was made"),
            _ => format!("{}, and {} more", first.message, count - 1),
        };
    }
    first.details.extend(problems.flat_map(|failure| failure.details));
    first
}

/// A lease that cannot be had, with the way out.
pub fn lease_failure(error: &LeaseError, cluster: &str) -> Failure {
    match error {
        LeaseError::Locked { record, .. } => Failure::new(ExitCode::Locked, error.to_string())
            .hint(format!(
                "wait for it with --lock-timeout; if that run is dead, its lease is taken over \
                 after {}, or at once after `kprod unlock {cluster}`",
                record.free_at()
            )),
        LeaseError::Lost { way_out, .. } => {
            let way_out =
                way_out.as_ref().map_or_else(String::new, |first| format!("{first}; then "));
            Failure::new(ExitCode::Halted, error.to_string()).hint(format!("{way_out}{RERUN}"))
        }
        LeaseError::Stopped(_) => Failure::new(ExitCode::Halted, error.to_string()).hint(RERUN),
        LeaseError::Damaged { .. } => Failure::error(error.to_string())
            .hint(format!("`kprod unlock {cluster} --yes` removes it")),
        LeaseError::Moved(_) => Failure::new(ExitCode::Locked, error.to_string())
            .hint("so its holder is alive; if it is to end, stop that run"),
        LeaseError::Store { error: store, .. } => {
            with_way_out(Failure::error(error.to_string()), store, cluster)
        }
    }
}

/// A state bucket that cannot be used by a run that has not begun.
pub fn store_failure(error: &StoreError, cluster: &str) -> Failure {
    with_way_out(Failure::error(error.to_string()), error, cluster)
}

fn with_way_out(failure: Failure, error: &StoreError, cluster: &str) -> Failure {
    if let Some(way_out) = error.way_out(cluster) {
        return failure.hint(way_out);
    }
    let StoreError::Failed { kind, why } = error else { return failure };
    if *kind == CloudErrorKind::Denied {
        return failure;
    }
    // What ails the credentials or the clock ails them for the bucket as for every other call.
    let call = CloudError::new(*kind, "", "", why);
    let Failure { code, hint, .. } = cloud_failure(&call, false);
    let code = if code == ExitCode::Refused { code } else { failure.code };
    Failure { code, hint, ..failure }
}

/// A permission is missing, or the credentials are not taken.
fn denied(error: &CloudError) -> Failure {
    match Denial::of(error) {
        Some(denial) => {
            Failure::error(denial.to_string()).hint("`kprod policy` prints what kprod needs")
        }
        None => Failure::error(error.to_string()),
    }
}

/// The user asked to stop.
pub fn stopped() -> Failure {
    Failure::new(ExitCode::Halted, "stopped on request").hint(RERUN)
}

/// A zone that cannot go: others have names in it.
pub(super) fn held_zone(address: &Key, names: Vec<String>) -> Failure {
    Failure::refused(format!("{address} holds names that are not the cluster's, and stays"))
        .details(names)
        .hint(format!("remove them, or have their owner do it, then {RERUN}"))
}

/// An epoch that an etcd cluster had, and lost since the plan was made.
pub(super) fn lost_epoch(address: &Key, remains: Vec<String>) -> Failure {
    Failure::refused(format!("{address} is not opened again: the etcd cluster was there"))
        .details(remains)
        .hint(plan::LOST_EPOCH_WAY_OUT)
}

/// A failed call as a failure: what the same command mends later is told from what it cannot.
/// Before anything has begun there is nothing to go on with, and it is an error like any other.
pub fn cloud_failure(error: &CloudError, has_begun: bool) -> Failure {
    let (resumable, again) = match has_begun {
        true => (ExitCode::Halted, RERUN),
        false => (ExitCode::Error, "run the same command again; nothing was changed"),
    };
    let message = error.to_string();
    match error.kind {
        CloudErrorKind::CredentialsEnded => Failure::new(resumable, message).hint(format!(
            "get new credentials (`aws sso login`, or what gave you these), then {again}"
        )),
        CloudErrorKind::ClockSkewed => Failure::new(resumable, message)
            .hint(format!("set this machine's clock (`timedatectl set-ntp true`), then {again}")),
        CloudErrorKind::WrongAccount => Failure::refused(message).hint(
            "use credentials of the cluster's account, such as those of another --profile, or mend \
             `spec.account`",
        ),
        CloudErrorKind::Unreachable => Failure::new(resumable, message).hint(format!(
            "see that the endpoint and the region are named right and that there is a way there \
             (network, HTTPS_PROXY), then {again}"
        )),
        kind if kind.is_retriable() => Failure::new(resumable, message).hint(again),
        CloudErrorKind::Denied => denied(error),
        CloudErrorKind::QuotaReached => {
            let quota = match quota_of(&error.operation) {
                Some(quota) => format!("have the quota `{quota}` raised"),
                None => "have the quota raised that the message names".to_owned(),
            };
            Failure::error(message).hint(format!("{quota} (Service Quotas), then {again}"))
        }
        _ => Failure::error(message),
    }
}
