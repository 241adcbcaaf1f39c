//! Real time: a machine has no other.

#![expect(clippy::disallowed_methods, reason = "a machine's own waits are real")]

use std::time::Duration;

/// Milliseconds since the machine was booted, sleep included.
pub(super) fn boot_ms() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let ms = time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000);
    u64::try_from(ms).unwrap_or(0)
}

/// Waits.
pub(super) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}
