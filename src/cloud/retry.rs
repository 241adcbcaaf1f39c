//! When a failed call is tried again: limits by kind of error, full jitter between attempts, and a
//! pace that keeps a run below AWS's own limits.
//!
//! Full jitter (a wait drawn evenly between zero and a doubling bound) spreads callers best (AWS
//! Architecture Blog, "Exponential Backoff And Jitter"). Clock and randomness are arguments.
//!
//! This is the only retry layer; the SDK's is off (`RetryConfig::disabled()`). Its standard mode was
//! tried first, with 8 `DescribeVolumes` in flight against a server that throttles everything. With
//! its three attempts, all 8 calls fail within 2.4 s. With a hundred, a minute of throttling is
//! outlived (79 requests), two minutes are not: a retry costs 5 of the client's 500 tokens, so after
//! 100 retries by all calls together, at 82 s, the bucket is empty, and by 92 s all 8 have failed.
//! More tokens would not do either: before a second attempt at a change the lease, the wish to stop
//! and whether the first one took effect must be looked at, and the SDK, which sees requests and no
//! run, sends the same bytes again. Two layers would multiply their attempts.

pub mod bucket;
pub mod reader;

use std::time::Duration;

use super::CloudErrorKind;

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

/// What the user says about trying again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryPolicy {
    /// For how long at most a failed call is tried again (`--retry-timeout`); none for
    /// [`RetryPolicy::OUTAGE_TIMEOUT`] where the service is at fault, and a limit of its own for
    /// every other kind of error.
    pub timeout: Option<Duration>,
}

impl RetryPolicy {
    /// For how long a call is tried again when AWS throttles it or is down.
    pub const OUTAGE_TIMEOUT: Duration = Duration::from_secs(600);

    /// How long to go on after an error of this kind; `None` when trying again cannot help.
    pub fn limits(&self, kind: CloudErrorKind) -> Option<RetryLimits> {
        let limits = |base_ms, wait_max_secs, deadline| RetryLimits {
            base: Duration::from_millis(base_ms),
            wait_max: Duration::from_secs(wait_max_secs),
            attempts_max: 1_000,
            deadline,
        };
        let at_most = |secs| {
            let own = Duration::from_secs(secs);
            self.timeout.map_or(own, |timeout| timeout.min(own))
        };
        match kind {
            // Buckets refill within seconds to minutes, outages last longer.
            CloudErrorKind::Throttled | CloudErrorKind::Unavailable => {
                Some(limits(500, 20, self.timeout.unwrap_or(Self::OUTAGE_TIMEOUT)))
            }
            // A cable that is plugged in again, a name server that was busy.
            CloudErrorKind::Unreachable => Some(limits(500, 5, at_most(20))),
            // AWS advises to try a fresh id for up to five minutes (EC2, "Eventual consistency").
            CloudErrorKind::NotFound => Some(limits(1_000, 15, at_most(300))),
            // Machines and load balancers let go of their interfaces minutes after they end.
            CloudErrorKind::InUse => Some(limits(2_000, 30, at_most(900))),
            // Whether it took effect is seen by looking, not by calling again.
            CloudErrorKind::AnswerLost => None,
            CloudErrorKind::AlreadyExists
            | CloudErrorKind::QuotaReached
            | CloudErrorKind::Denied
            | CloudErrorKind::CredentialsEnded
            | CloudErrorKind::ClockSkewed
            | CloudErrorKind::WrongAccount
            | CloudErrorKind::Invalid => None,
        }
    }

    /// Limits of one's own, as long as the user does not shorten them.
    pub fn within(&self, limits: RetryLimits) -> RetryLimits {
        let deadline = self.timeout.map_or(limits.deadline, |most| most.min(limits.deadline));
        RetryLimits { deadline, ..limits }
    }

    /// The same for a read: nothing hangs on a lost answer, and what is not there is an answer.
    pub fn limits_of_read(&self, kind: CloudErrorKind) -> Option<RetryLimits> {
        match kind {
            CloudErrorKind::AnswerLost => self.limits(CloudErrorKind::Unavailable),
            CloudErrorKind::NotFound | CloudErrorKind::InUse => None,
            kind => self.limits(kind),
        }
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

    const DEFAULT: RetryPolicy = RetryPolicy { timeout: None };

    #[test]
    fn only_what_the_error_calls_retriable_is_tried_again() {
        for kind in CloudErrorKind::ALL {
            let tried = DEFAULT.limits(kind).is_some() || kind == CloudErrorKind::AnswerLost;
            assert_eq!(tried, kind.is_retriable(), "{kind:?}");
        }
    }

    #[test]
    fn a_read_goes_on_after_a_lost_answer_and_takes_not_found_for_an_answer() {
        assert!(DEFAULT.limits_of_read(CloudErrorKind::AnswerLost).is_some());
        assert!(DEFAULT.limits_of_read(CloudErrorKind::Throttled).is_some());
        assert_eq!(DEFAULT.limits_of_read(CloudErrorKind::NotFound), None);
        assert_eq!(DEFAULT.limits_of_read(CloudErrorKind::Denied), None);
    }

    #[test]
    fn the_users_limit_may_lengthen_outages_and_only_shortens_the_rest() {
        for secs in [0, 7, 100_000] {
            let timeout = Duration::from_secs(secs);
            let policy = RetryPolicy { timeout: Some(timeout) };
            for kind in CloudErrorKind::ALL {
                let Some(limits) = policy.limits(kind) else { continue };
                match kind {
                    CloudErrorKind::Throttled | CloudErrorKind::Unavailable => {
                        assert_eq!(limits.deadline, timeout);
                    }
                    _ => {
                        let own = DEFAULT.limits(kind).map(|own| own.deadline);
                        assert_eq!(Some(limits.deadline), own.map(|own| own.min(timeout)));
                    }
                }
            }
        }
    }

    fn all_limits() -> impl Strategy<Value = RetryLimits> {
        (0..CloudErrorKind::ALL.len()).prop_map(|index| {
            DEFAULT.limits(CloudErrorKind::ALL[index]).unwrap_or(RetryLimits::LOOK)
        })
    }

    proptest! {
        #[test]
        fn every_schedule_ends_within_its_limits(limits in all_limits(), fraction in 0.0..=1.0f64) {
            let (mut elapsed, mut attempts) = (Duration::ZERO, 1);
            while let Some(wait) = limits.wait(attempts, elapsed, fraction) {
                prop_assert!(wait <= limits.wait_max);
                elapsed += wait;
                attempts += 1;
            }
            prop_assert!(attempts <= limits.attempts_max);
            prop_assert!(elapsed <= limits.deadline);
        }

        /// The number of attempts is a limit against a clock that stands still, and does not end an
        /// outage's schedule before its time.
        #[test]
        fn an_outage_is_outlived_up_to_the_limit(seed in any::<u64>()) {
            let limits = DEFAULT.limits(CloudErrorKind::Throttled).unwrap_or(RetryLimits::LOOK);
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut elapsed, mut attempts) = (Duration::ZERO, 1);
            while elapsed < RetryPolicy::OUTAGE_TIMEOUT {
                let wait = limits.wait(attempts, elapsed, rng.f64());
                prop_assert!(wait.is_some(), "gave up after {elapsed:?}");
                elapsed += wait.unwrap_or_default();
                attempts += 1;
            }
        }
    }
}
