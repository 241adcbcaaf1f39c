//! How patient a client is.

use std::time::Duration;

#[cfg(doc)]
use crate::kube::KubeView;

/// The limits of a client's waits; the defaults are for everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeLimits {
    /// How long one request may take: an API server gives up at 60 s itself, and what it does for
    /// kprod takes milliseconds.
    pub request: Duration,
    /// How long one page of a list may take: 500 pods are some 10 MB.
    pub page: Duration,
    /// How long a credential program may take: somebody may have to answer it.
    pub program: Duration,
    /// How long the first look waits for a server that does not answer.
    pub first_look: Duration,
    /// How long one watch lasts, at the server's side; well below [`KubeView::STALE_AFTER`].
    pub watch: Duration,
    /// The first pause after a failure of a watch; it doubles from one failure to the next.
    pub pause_min: Duration,
    /// The longest pause: several within the time after which a picture is too old.
    pub pause_max: Duration,
}

impl Default for KubeLimits {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(30),
            page: Duration::from_secs(45),
            program: Duration::from_secs(120),
            first_look: Duration::from_secs(30),
            watch: Duration::from_secs(40),
            pause_min: Duration::from_millis(500),
            pause_max: Duration::from_secs(15),
        }
    }
}

impl KubeLimits {
    /// How much later than it should have ended a watch is given up that says nothing at all.
    pub(super) const WATCH_SLACK: Duration = Duration::from_secs(5);

    /// How long to wait after so many failures in a row; `share` of 0 to 1 keeps clients apart. A
    /// server's own wish counts, as far as it may.
    pub(super) fn pause(&self, failures: u32, share: f64, asked: Option<Duration>) -> Duration {
        let full = self.pause_min.saturating_mul(2_u32.saturating_pow(failures));
        let pause = full.min(self.pause_max).mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0);
        asked.map_or(pause, |asked| asked.clamp(pause, self.pause_max.max(pause)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::KubeView;

    #[test]
    fn pauses_grow_to_a_limit_and_keep_clients_apart() {
        let limits = KubeLimits::default();
        let pause = |failures, share| limits.pause(failures, share, None);
        assert_eq!(pause(0, 1.0), limits.pause_min);
        assert_eq!(pause(1, 1.0), 2 * limits.pause_min);
        for failures in [5, 32, u32::MAX] {
            assert_eq!(pause(failures, 1.0), limits.pause_max);
            assert_eq!(pause(failures, 0.0), limits.pause_max / 2);
        }
    }

    #[test]
    fn a_server_may_ask_for_more_up_to_the_limit() {
        let limits = KubeLimits::default();
        let asked = |secs| limits.pause(0, 1.0, Some(Duration::from_secs(secs)));
        assert_eq!(asked(0), limits.pause_min);
        assert_eq!(asked(3), Duration::from_secs(3));
        assert_eq!(asked(3_600), limits.pause_max);
    }

    #[test]
    fn a_watch_is_heard_of_before_its_picture_is_too_old() {
        let limits = KubeLimits::default();
        assert!(limits.watch + KubeLimits::WATCH_SLACK + limits.pause_min < KubeView::STALE_AFTER);
        assert!(limits.first_look < KubeView::STALE_AFTER);
    }
}
