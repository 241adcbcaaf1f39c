//! The clock of a run on AWS: the state bucket's own.
//!
//! A lease is about time, and its holders may run on machines whose clocks are hours apart. They all
//! talk to one bucket, whose answers carry its time (the `Date` header). Between two answers it is
//! carried on by a clock of this machine that runs through sleep, so that a holder who wakes up knows
//! how long it was away.

use std::sync::{Mutex, PoisonError};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The bucket's time less this machine's time since boot, in milliseconds.
    ahead_ms: Mutex<Option<i64>>,
}

impl Clock {
    /// Now, as the bucket sees it; as this machine sees it before the bucket has answered.
    pub(super) fn now(&self) -> Timestamp {
        let ahead = *self.ahead_ms.lock().unwrap_or_else(PoisonError::into_inner);
        ahead
            .and_then(|ahead| Timestamp::from_millisecond(ahead.saturating_add(boot_ms())).ok())
            .unwrap_or_else(|| {
                let now = Timestamp::now();
                // Nothing here is finer, and people read these times.
                Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
            })
    }

    /// Takes over the time of an answer that came when this machine's boot was `boot_ms` ago.
    ///
    /// An answer tells a time that is over: by its way here, and by what its whole seconds cut off.
    /// So of several answers the one that is furthest ahead is nearest to the truth, and the clock
    /// never goes back.
    fn hear(&self, date: &str, boot_ms: i64) {
        let Ok(date) = rfc2822::DateTimeParser::new().parse_timestamp(date) else { return };
        let heard = date.as_millisecond().saturating_sub(boot_ms);
        let mut ahead = self.ahead_ms.lock().unwrap_or_else(PoisonError::into_inner);
        *ahead = Some(ahead.map_or(heard, |known| known.max(heard)));
    }
}

/// Milliseconds since this machine was booted, sleep included.
pub(crate) fn boot_ms() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000)
}

/// Listens to a client's answers, refusals included.
#[derive(Debug)]
pub(super) struct Listener(pub(super) std::sync::Arc<Clock>);

impl Intercept for Listener {
    fn name(&self) -> &'static str {
        "StateClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _settings: &mut ConfigBag,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if let Some(date) = context.response().headers().get("date") {
            self.0.hear(date, boot_ms());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    const SIX: &str = "Sat, 21 Nov 2026 18:00:00 GMT";
    const SIX_AND_TWO: &str = "Sat, 21 Nov 2026 18:00:02 GMT";

    fn ahead(clock: &Clock) -> i64 {
        clock.ahead_ms.lock().unwrap().unwrap()
    }

    #[test]
    fn the_bucket_is_believed_and_the_clock_never_goes_back() {
        let clock = Clock::default();
        clock.hear(SIX, 10_000);
        let first = ahead(&clock);
        // A slow answer: two seconds on by the bucket's clock, five by ours.
        clock.hear(SIX_AND_TWO, 15_000);
        assert_eq!(ahead(&clock), first);
        // A fast one: nearer to the truth.
        clock.hear(SIX_AND_TWO, 11_500);
        assert_eq!(ahead(&clock), first + 500);
        clock.hear("yesterday", 0);
        assert_eq!(ahead(&clock), first + 500);
    }

    #[test]
    fn between_answers_time_goes_on() {
        let clock = Clock::default();
        clock.hear(SIX, boot_ms());
        let six: Timestamp = "2026-11-21T18:00:00Z".parse().unwrap();
        assert!(clock.now() >= six);
        let now = clock.now();
        while clock.now() == now {
            std::thread::yield_now();
        }
        assert!(clock.now() > now);
    }
}
