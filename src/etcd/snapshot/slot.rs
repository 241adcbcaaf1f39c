//! Time, cut into slots as long as the interval: one snapshot is due in each. When they begin follows from
//! the cluster's name, so that a fleet's clusters do not all write at once, and `main` and `events` of one
//! cluster do.

use jiff::Timestamp;

use super::Schedule;

/// The slots of a cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots {
    interval_secs: i64,
    offset_secs: i64,
}

impl Slots {
    pub(super) fn of(cluster: &str, schedule: &Schedule) -> Self {
        let interval = schedule.interval_secs.max(1);
        let offset_secs = i64::try_from(spread(cluster) % interval).unwrap_or(0);
        Self { interval_secs: i64::try_from(interval).unwrap_or(i64::MAX), offset_secs }
    }

    /// The number of the slot that a moment is in.
    pub(super) fn at(self, moment: Timestamp) -> i64 {
        moment.as_second().saturating_sub(self.offset_secs).div_euclid(self.interval_secs)
    }

    /// When a slot begins.
    pub(super) fn begin(self, slot: i64) -> Timestamp {
        let second = slot.saturating_mul(self.interval_secs).saturating_add(self.offset_secs);
        Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
    }
}

/// FNV-1a of a name: spreads clusters over the interval.
fn spread(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
