//! What AWS denied, told with the statements that are missing.

use std::collections::BTreeSet;

use super::policy;
use crate::cloud::{CloudError, Denial};
use crate::error::{ExitCode, Failure};
use crate::permission::{self, Level, Scope};
use crate::spec::Spec;

/// A read that failed outside of a run. What is no denial stays what it is.
pub(super) fn of_read(error: CloudError, spec: &Spec) -> anyhow::Error {
    let Some(denial) = Denial::of(&error) else { return error.into() };
    let failure = Failure::error(denial.to_string());
    explain(failure, &[denial], &policy::scope(spec), Level::Plan).into()
}

/// Names each denied call once, with the statements that would have allowed it, and what to do.
pub(super) fn explain(
    mut failure: Failure,
    denied: &[Denial],
    scope: &Scope,
    level: Level,
) -> Failure {
    if denied.is_empty() {
        return failure;
    }
    if failure.code == ExitCode::Error {
        failure.message = match denied {
            [one] => one.to_string(),
            many => format!("AWS denied {} calls", many.len()),
        };
    }
    let policy = permission::statements(scope, level);
    let mut shown = BTreeSet::new();
    for denial in denied {
        if denied.len() > 1 || failure.code != ExitCode::Error {
            failure.details.push(denial.to_string());
        }
        let missing = permission::missing(denial, &policy);
        for statement in missing.into_iter().filter(|one| shown.insert(one.sid)) {
            failure.details.push(format!("{}: {}", statement.sid, statement.to_json()));
        }
    }
    failure.hint(way_out(denied, scope, level))
}

/// Another permission helps only where nobody else says no.
fn way_out(denied: &[Denial], scope: &Scope, level: Level) -> String {
    let print = format!("`kprod policy {} --for {}`", scope.cluster, level.as_str());
    let (grantable, refused): (Vec<&Denial>, Vec<&Denial>) =
        denied.iter().partition(|denial| denial.can_be_granted());
    let grant = format!(
        "the statements above are missing; {print} prints all of them. Grant them and run the \
         same command again"
    );
    let ask = "where an explicit deny, or another policy than one's own, stands against a call, its \
               owner has to change it";
    match (grantable.is_empty(), refused.is_empty()) {
        (_, true) => grant,
        (true, false) => format!("{ask}; {print} prints what kprod needs"),
        (false, false) => format!("{grant}; {ask}"),
    }
}
