//! When a failed call is tried again: limits by kind of error, and full jitter between attempts.
//!
//! Full jitter (a wait drawn evenly between zero and a doubling bound) spreads callers best (AWS
//! Architecture Blog, "Exponential Backoff And Jitter"). Randomness is an argument.

use std::time::Duration;

use crate::cloud::CloudErrorKind;

/// Bounds of the attempts of one call for one kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryLimits {
    /// Bound of the first wait; doubles with each attempt.
    pub base: Duration,
    /// No wait is longer.
    pub wait_max: Duration,
    /// So many attempts at most, the first one counted.
    pub attempts_max: u32,
    /// No attempt begins later than this after the first.
    pub deadline: Duration,
}

/// How long to go on after an error of this kind; `None` when trying again cannot help.
pub fn limits(kind: CloudErrorKind) -> Option<RetryLimits> {
    let limits = |base_ms, wait_max_secs, deadline_secs| RetryLimits {
        base: Duration::from_millis(base_ms),
        wait_max: Duration::from_secs(wait_max_secs),
        attempts_max: 100,
        deadline: Duration::from_secs(deadline_secs),
    };
    match kind {
        // Buckets refill within seconds to minutes, outages last longer.
        CloudErrorKind::Throttled | CloudErrorKind::Unavailable => Some(limits(500, 20, 600)),
        // AWS advises to try a fresh id for up to five minutes (EC2, "Eventual consistency").
        CloudErrorKind::NotFound => Some(limits(1_000, 15, 300)),
        // Machines and load balancers let go of their interfaces minutes after they end.
        CloudErrorKind::InUse => Some(limits(2_000, 30, 900)),
        // Whether it took effect is seen by looking, not by calling again.
        CloudErrorKind::AnswerLost => None,
        CloudErrorKind::AlreadyExists
        | CloudErrorKind::QuotaReached
        | CloudErrorKind::Denied
        | CloudErrorKind::Invalid
        | CloudErrorKind::Unsupported => None,
    }
}

impl RetryLimits {
    /// For looking again until something is visible.
    pub const LOOK: RetryLimits = RetryLimits {
        base: Duration::from_millis(1_000),
        wait_max: Duration::from_secs(10),
        attempts_max: 200,
        deadline: Duration::from_secs(300),
    };

    /// The wait after so many failed attempts (counted from 1), `elapsed` after the first one; none
    /// when a limit is reached. `fraction` is drawn evenly from 0 to 1.
    pub fn wait(&self, attempts: u32, elapsed: Duration, fraction: f64) -> Option<Duration> {
        if attempts >= self.attempts_max || elapsed >= self.deadline {
            return None;
        }
        let doublings = attempts.saturating_sub(1).min(20);
        let bound = self.base.saturating_mul(1 << doublings).min(self.wait_max);
        let wait = bound.mul_f64(fraction.clamp(0.0, 1.0));
        Some(wait.min(self.deadline.saturating_sub(elapsed)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [CloudErrorKind; 10] = [
        CloudErrorKind::Throttled,
        CloudErrorKind::AnswerLost,
        CloudErrorKind::Unavailable,
        CloudErrorKind::AlreadyExists,
        CloudErrorKind::NotFound,
        CloudErrorKind::InUse,
        CloudErrorKind::QuotaReached,
        CloudErrorKind::Denied,
        CloudErrorKind::Invalid,
        CloudErrorKind::Unsupported,
    ];

    #[test]
    fn only_what_the_error_calls_retriable_is_tried_again() {
        for kind in KINDS {
            let tried = limits(kind).is_some() || kind == CloudErrorKind::AnswerLost;
            assert_eq!(tried, kind.is_retriable(), "{kind:?}");
        }
    }

    proptest! {
        #[test]
        fn every_schedule_ends_within_its_limits(index in 0..10usize, fraction in 0.0..=1.0f64) {
            let limits = limits(KINDS[index]).unwrap_or(RetryLimits::LOOK);
            let (mut elapsed, mut attempts) = (Duration::ZERO, 1);
            while let Some(wait) = limits.wait(attempts, elapsed, fraction) {
                prop_assert!(wait <= limits.wait_max);
                elapsed += wait;
                attempts += 1;
            }
            prop_assert!(attempts <= limits.attempts_max);
            prop_assert!(elapsed <= limits.deadline);
        }

        #[test]
        fn a_minute_of_throttling_is_outlived(seed in any::<u64>()) {
            let limits = limits(CloudErrorKind::Throttled).unwrap_or(RetryLimits::LOOK);
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut elapsed, mut attempts) = (Duration::ZERO, 1);
            while elapsed < Duration::from_secs(60) {
                let wait = limits.wait(attempts, elapsed, rng.f64());
                prop_assert!(wait.is_some(), "gave up after {elapsed:?}");
                elapsed += wait.unwrap_or_default();
                attempts += 1;
            }
        }
    }
}
