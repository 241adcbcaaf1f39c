//! Steps that fail: each is decided anew, and only so often in a row.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::error::{ExitCode, Failure};
use crate::roll::Step;

/// A step may fail so often in a row before somebody has to look: longer than a picture of the cluster is
/// trusted after its server has gone, so that the roll waits for the server and not for a step.
const FAILURES_MAX: u32 = 12;

/// How long to wait after a step that has failed so often in a row.
pub(super) fn wait_after(count: u32) -> Duration {
    Duration::from_secs(2) * count
}

/// How often steps have failed since they were made last.
#[derive(Debug, Default)]
pub(super) struct Failing(BTreeMap<String, u32>);

impl Failing {
    /// Notes that a step failed. Gives how often in a row.
    ///
    /// # Errors
    /// When that is too often: then waiting does not help.
    pub(super) fn failed(&mut self, step: &Step, why: &str) -> Result<u32, Failure> {
        let count = self.0.entry(key(step)).or_default();
        *count += 1;
        if *count < FAILURES_MAX {
            return Ok(*count);
        }
        let what = format!("{}: a step failed again and again: {why}", subject(step));
        Err(Failure::new(ExitCode::Halted, what)
            .hint("look at what the message names, then run the same command again"))
    }

    /// Notes that a step was made.
    pub(super) fn made(&mut self, step: &Step) {
        self.0.remove(&key(step));
    }
}

/// What a step is counted by: each turn that decides it anew notes another moment, and that is no part
/// of what it does.
fn key(step: &Step) -> String {
    let mut step = step.clone();
    match &mut step {
        Step::Cordon { at, .. } => *at = Timestamp::MIN,
        Step::Mark { mark, .. } => mark.began_at = Timestamp::MIN,
        _ => {}
    }
    format!("{step:?}")
}

/// What a step is about.
fn subject(step: &Step) -> &str {
    match step {
        Step::Cordon { node, .. }
        | Step::Release { node, .. }
        | Step::Skip { node, .. }
        | Step::Protect { node }
        | Step::DeleteNode { node, .. } => node,
        step => step.group().unwrap_or("the cluster"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::{Duration, FAILURES_MAX, Failing, Step, Timestamp, wait_after};
    use crate::kube::KubeView;
    use crate::roll::mark::RollMark;

    fn moments() -> impl Iterator<Item = Timestamp> {
        (0..).map(|secs| Timestamp::from_second(secs).unwrap())
    }

    fn cordon(at: Timestamp) -> Step {
        let (machine, node) = ("i-1".to_owned(), "node-1".to_owned());
        Step::Cordon { machine, node, at, was_cordoned: false, if_away: false }
    }

    fn mark(began_at: Timestamp) -> Step {
        let (id, suspended, giving) = ("roll".to_owned(), Default::default(), Default::default());
        let mark = RollMark { id, began_at, from: None, suspended, raised: None, giving };
        Step::Mark { group: "pool".to_owned(), mark }
    }

    #[test]
    fn a_step_that_notes_the_moment_is_worn_out_like_any_other() {
        for (step, named) in [(cordon as fn(Timestamp) -> Step, "node-1"), (mark, "pool")] {
            let mut failing = Failing::default();
            let failures = moments().map(|at| failing.failed(&step(at), "no").err());
            let failures: Vec<_> = failures.take(FAILURES_MAX as usize).collect();
            assert!(failures[..failures.len() - 1].iter().all(Option::is_none));
            let told = failures.last().unwrap().as_ref().unwrap().to_string();
            assert!(told.contains(named), "{told}");
        }
    }

    #[test]
    fn the_tries_outlast_a_picture_whose_server_has_gone() {
        let tried: Duration = (1..FAILURES_MAX).map(wait_after).sum();
        assert!(tried >= 2 * KubeView::STALE_AFTER, "{tried:?}");
    }

    #[test]
    fn a_step_that_is_made_between_has_all_its_tries_again() {
        let mut failing = Failing::default();
        for at in moments().take(3 * FAILURES_MAX as usize) {
            if failing.failed(&cordon(at), "no").unwrap() == FAILURES_MAX - 1 {
                failing.made(&cordon(at));
            }
        }
    }
}
