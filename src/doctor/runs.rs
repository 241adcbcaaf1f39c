//! What earlier runs left in the state bucket.

use super::{Examination, Symptom, Trouble};

/// Resources that a killed run had begun, named in a message.
const NAMED_MAX: usize = 3;

/// A lease that is held, or that a dead run left.
pub(super) fn lease(examination: &Examination<'_>) -> Option<Symptom> {
    let lease = examination.lease?;
    let cluster = &examination.plan.cluster;
    let symptom = if lease.free_at() <= examination.now {
        Symptom::new(
            Trouble::Lease,
            format!("{} left its lease behind; it ended at {}", lease.holder, lease.expires_at),
            "nothing: the next run takes it over",
        )
    } else {
        Symptom::new(
            Trouble::Lease,
            format!(
                "{} holds the lease since {}, until {} unless renewed",
                lease.holder, lease.taken_at, lease.expires_at
            ),
            format!(
                "wait for it; if that run is dead, the next one may begin at {}, or at once after \
                 `kprod unlock {cluster} --yes`",
                lease.free_at()
            ),
        )
    };
    Some(symptom)
}

/// A newest run that was killed, or stopped early.
pub(super) fn journal(examination: &Examination<'_>) -> Option<Symptom> {
    let run = examination.journal.filter(|run| !run.is_done())?;
    if examination.lease.is_some_and(|lease| lease.token == run.run) {
        // It may still be at work, which is told of the lease.
        return None;
    }
    let begun = run.unfinished();
    let mut named: Vec<String> = begun.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    if begun.len() > NAMED_MAX {
        named.push(format!("{} more", begun.len() - NAMED_MAX));
    }
    let mut message = match &run.outcome {
        Some(outcome) => {
            format!("the last run, {} by {}, ended early: {outcome}", run.run, run.holder)
        }
        None => format!("the last run, {} by {}, was killed", run.run, run.holder),
    };
    if !named.is_empty() {
        message.push_str(&format!("; begun and not finished: {}", named.join(", ")));
    }
    let hint = format!("`kprod apply {}` goes on from there", examination.plan.cluster);
    Some(Symptom::new(Trouble::Journal, message, hint))
}

/// A restore that was killed, or waits for members that do not form.
pub(super) fn restore(examination: &Examination<'_>) -> Option<Symptom> {
    let since = examination.restore_since?;
    let message = format!("a restore of etcd that began at {since} is not finished");
    let hint = format!("`kprod etcd restore {}` goes on with it", examination.plan.cluster);
    Some(Symptom::new(Trouble::Journal, message, hint))
}
