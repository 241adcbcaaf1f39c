//! How fast calls may follow each other: one token bucket for each of AWS's.
//!
//! A bucket holds `burst` tokens and gets `per_second` new ones; a call takes one. AWS answers a
//! call that finds its bucket empty with an error, and a run that never asks too fast leaves the
//! account's other users their share. The clock is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cloud::Service;

/// The size of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Calls that may be made at once.
    pub burst: u32,
    /// Calls a second after that.
    pub per_second: u32,
}

/// A bucket, kept as the moment at which it will be full again.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    rate: Rate,
    full_at: Duration,
}

impl TokenBucket {
    /// A full bucket. A rate of zero counts as one.
    pub fn new(rate: Rate) -> Self {
        let rate = Rate { burst: rate.burst.max(1), per_second: rate.per_second.max(1) };
        Self { rate, full_at: Duration::ZERO }
    }

    /// Takes a token and says how long to wait before it is there. `now` counts from any fixed
    /// moment. Whoever comes first is served first, so nobody starves.
    pub fn take(&mut self, now: Duration) -> Duration {
        let interval = Duration::from_secs(1) / self.rate.per_second;
        let full_at = self.full_at.max(now) + interval;
        self.full_at = full_at;
        full_at.saturating_sub(interval * self.rate.burst).saturating_sub(now)
    }
}

/// The buckets of an account and region.
#[derive(Debug, Default)]
pub struct Buckets(BTreeMap<(Service, Option<String>), TokenBucket>);

impl Buckets {
    /// Takes a token for one call of an operation and says how long to wait first.
    pub fn take(&mut self, service: Service, operation: &str, now: Duration) -> Duration {
        let Some((rate, scope)) = rate_of(service, operation) else { return Duration::ZERO };
        let operation = matches!(scope, Scope::Operation).then(|| operation.to_owned());
        let bucket = self.0.entry((service, operation)).or_insert_with(|| TokenBucket::new(rate));
        bucket.take(now)
    }
}

/// What shares a bucket.
enum Scope {
    /// All operations of the service.
    Service,
    /// Each operation has its own.
    Operation,
}

/// The bucket of an operation; none where AWS's is far beyond what one run can ask for.
fn rate_of(service: Service, operation: &str) -> Option<(Rate, Scope)> {
    let rate = |burst, per_second, scope| Some((Rate { burst, per_second }, scope));
    match service {
        // EC2 developer guide, "Request throttling for the Amazon EC2 API": a bucket for each API
        // action, account and region; those of describe actions are larger.
        Service::Ec2 if operation.starts_with("Describe") => rate(100, 20, Scope::Operation),
        Service::Ec2 => rate(50, 5, Scope::Operation),
        // Route 53 developer guide, "Quotas": five requests a second for the account.
        Service::Route53 => rate(5, 5, Scope::Service),
        // Their sizes are not published; these two have one bucket for all operations together, so
        // they are asked no faster than a describe action of EC2.
        Service::AutoScaling | Service::ElasticLoadBalancing => rate(50, 10, Scope::Service),
        // Not published either; IAM is one service for all regions and changes slowly.
        Service::Iam => rate(40, 10, Scope::Service),
        // Three changes of parameters a second (AWS General Reference, "AWS Systems Manager endpoints and
        // quotas").
        Service::Ssm => rate(10, 3, Scope::Service),
        // 600 a second for STS (IAM user guide, "IAM and AWS STS quotas"), thousands for a prefix
        // of a bucket (S3 user guide, "Performance guidelines").
        Service::Sts | Service::S3 => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// When calls begin that ask after these pauses, in milliseconds.
    fn begins(rate: Rate, pauses: &[u64]) -> Vec<(Duration, Duration)> {
        let mut bucket = TokenBucket::new(rate);
        let mut now = Duration::from_secs(1_000);
        let asked = pauses.iter().map(|pause| {
            now += Duration::from_millis(*pause);
            (now, now + bucket.take(now))
        });
        asked.collect()
    }

    fn rates() -> impl Strategy<Value = Rate> {
        (1..60u32, 1..40u32).prop_map(|(burst, per_second)| Rate { burst, per_second })
    }

    proptest! {
        /// Within any stretch of time no more calls begin than the bucket holds and gets.
        #[test]
        fn never_more_than_the_burst_and_what_refills(
            rate in rates(),
            pauses in prop::collection::vec(0..400u64, 1..150),
        ) {
            let begins = begins(rate, &pauses);
            for (first, (_, from)) in begins.iter().enumerate() {
                for (count, (_, to)) in begins[first..].iter().enumerate() {
                    let refilled = (*to - *from).as_secs_f64() * f64::from(rate.per_second);
                    let allowed = f64::from(rate.burst) + refilled + 1e-6;
                    prop_assert!((count + 1) as f64 <= allowed, "{} calls, {allowed}", count + 1);
                }
            }
        }

        /// A call waits no longer than it takes to refill a token for each call before it, and is
        /// not overtaken.
        #[test]
        fn nobody_starves(rate in rates(), pauses in prop::collection::vec(0..400u64, 1..150)) {
            let begins = begins(rate, &pauses);
            for (before, (asked, begins)) in begins.iter().enumerate() {
                let longest = before as f64 / f64::from(rate.per_second);
                prop_assert!((*begins - *asked).as_secs_f64() <= longest + 1e-6);
            }
            prop_assert!(begins.is_sorted_by_key(|(_, begins)| *begins));
        }

        /// After a rest as long as it takes to fill, a whole burst goes at once.
        #[test]
        fn a_rested_bucket_is_full(rate in rates(), calls in 0..100usize) {
            let mut bucket = TokenBucket::new(rate);
            let mut now = Duration::from_secs(1);
            for _ in 0..calls {
                bucket.take(now);
            }
            now += Duration::from_secs(1) * (rate.burst + 100);
            for _ in 0..rate.burst {
                prop_assert_eq!(bucket.take(now), Duration::ZERO);
            }
            prop_assert!(bucket.take(now) > Duration::ZERO);
        }
    }

    #[test]
    fn operations_share_a_bucket_where_the_services_do() {
        let mut buckets = Buckets::default();
        let now = Duration::from_secs(1);
        for _ in 0..5 {
            assert_eq!(buckets.take(Service::Route53, "ListHostedZones", now), Duration::ZERO);
        }
        assert!(buckets.take(Service::Route53, "GetHostedZone", now) > Duration::ZERO);
        for _ in 0..50 {
            assert_eq!(buckets.take(Service::Ec2, "CreateVolume", now), Duration::ZERO);
        }
        assert!(buckets.take(Service::Ec2, "CreateVolume", now) > Duration::ZERO);
        assert_eq!(buckets.take(Service::Ec2, "CreateTags", now), Duration::ZERO);
        assert_eq!(buckets.take(Service::Sts, "GetCallerIdentity", now), Duration::ZERO);
    }
}
