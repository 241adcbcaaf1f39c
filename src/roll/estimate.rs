//! How long a roll takes: what no schedule can beat, what a greedy one needs, and what kops' would.
//!
//! A machine's replacement holds one slot of its group from the moment it leaves the safe state until
//! its substitute is validated: drain, end, boot, validation, one after the other. From this follow
//! bounds: of each group by its slots; of the workers together by the zones, the cluster and the
//! disruption budgets; of the control plane and etcd by going one at a time. Groups of workers go side
//! by side, so the largest bound counts; control plane and workers follow each other, so they add up.
//!
//! [`bound`] is the largest of these. [`estimate`] adds what a schedule that begins whatever it may
//! loses at most against it at the limits that groups share: less than one replacement, and never
//! more than the bound again (R. L. Graham, "Bounds on Multiprocessing Timing Anomalies", 1969).

mod observed;
mod work;

use std::collections::BTreeMap;
use std::time::Duration;

pub use observed::Observed;

/// How long the parts of one machine's replacement take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// From the cordon until no pod is left, pauses included.
    pub drain: Duration,
    /// From the call that ends it until it is gone.
    pub terminate: Duration,
    /// From the launch of its substitute until that one's node is ready.
    pub boot: Duration,
    /// Until the substitute counts.
    pub validate: Duration,
    /// What an etcd member takes on top until it votes and has said so twice.
    pub join: Duration,
}

impl Times {
    /// What is assumed before anything was seen: a minute for pods to end, EC2's and kubelet's usual
    /// times, kops' validation.
    pub const ASSUMED: Times = Times {
        drain: Duration::from_secs(60),
        terminate: Duration::from_secs(20),
        boot: Duration::from_secs(90),
        validate: Duration::from_secs(10),
        join: Duration::from_secs(30),
    };

    /// How long a slot is held by one machine.
    pub fn slot(&self) -> Duration {
        let Times { drain, terminate, boot, validate, join: _ } = self;
        drain.saturating_add(*terminate).saturating_add(*boot).saturating_add(*validate)
    }
}

/// A group's share of the work.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupWork {
    /// Machines to replace that nothing was begun with, by zone.
    pub machines: BTreeMap<String, u32>,
    /// Machines that it may work on at once; none counts as one.
    pub slots: u32,
    /// Whether new machines come before old ones go: then none is missing meanwhile.
    pub surges: bool,
    /// How long each takes.
    pub times: Times,
    /// Machines that have to be validated before it goes on at full speed.
    pub canary: u32,
    /// How long those are watched.
    pub canary_soak: Duration,
    /// Replacements that are under way.
    pub in_flight: u32,
    /// How long the last of those takes yet.
    pub in_flight_rest: Duration,
}

impl GroupWork {
    /// So many machines of one zone, so many at once.
    pub fn new(machines: u32, slots: u32, times: Times) -> Self {
        Self {
            machines: [(String::new(), machines)].into(),
            slots,
            surges: true,
            times,
            canary: 0,
            canary_soak: Duration::ZERO,
            in_flight: 0,
            in_flight_rest: Duration::ZERO,
        }
    }

    /// Machines to begin with.
    pub fn count(&self) -> u32 {
        self.machines.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Rounds by slots, after those of the canaries.
    fn time(&self) -> Duration {
        let slots = self.slots.max(1);
        let canaries = self.canary.min(self.count());
        let rest = self.count() - canaries;
        let slot = self.times.slot();
        let alone = match canaries {
            0 => Duration::ZERO,
            some => rounds(some, slots.min(some), slot).saturating_add(self.canary_soak),
        };
        let begun = match self.in_flight {
            0 => Duration::ZERO,
            // Those that are under way free their slots before a whole replacement has gone by.
            some => rounds(rest.saturating_add(some), slots, slot)
                .saturating_sub(slot.saturating_sub(self.in_flight_rest)),
        };
        alone.saturating_add(rounds(rest, slots, slot).max(begun))
    }

    /// How long one of its machines is missing.
    fn away(&self) -> Duration {
        if self.surges {
            self.times.drain.saturating_add(self.times.terminate)
        } else {
            self.times.slot()
        }
    }
}

fn rounds(machines: u32, slots: u32, slot: Duration) -> Duration {
    slot.saturating_mul(machines.div_ceil(slots.max(1)))
}

/// Evictions that one disruption budget paces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetWork {
    /// Pods to evict.
    pub evictions: u32,
    /// Evictions that it allows at once; 0 for never.
    pub allowed: u32,
    /// How long a pod takes to be ready elsewhere.
    pub recovery: Duration,
}

/// All there is to do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Work {
    /// Jump hosts, side by side, before everything else.
    pub bastions: Vec<GroupWork>,
    /// Control plane and etcd: one machine at a time over all of them.
    pub quorum: Vec<GroupWork>,
    /// Workers, side by side.
    pub workers: Vec<GroupWork>,
    /// Workers of a zone that may be away at once, where there is such a limit.
    pub zone_slots: BTreeMap<String, u32>,
    /// Workers that may be missing at once, if there is such a limit.
    pub cluster_slots: Option<u32>,
    /// Budgets over pods of the workers to replace.
    pub budgets: Vec<BudgetWork>,
}

/// What no schedule within the limits can beat; none if a budget never lets it end.
pub fn bound(work: &Work) -> Option<Duration> {
    makespan(work, |_| Duration::ZERO)
}

/// How long it takes if whatever may begin begins; none if a budget never lets it end.
pub fn estimate(work: &Work) -> Option<Duration> {
    makespan(work, |shared| shared.lost())
}

fn makespan(work: &Work, lost: impl Fn(&Shared) -> Duration) -> Option<Duration> {
    let Work { bastions, quorum, workers, zone_slots: _, cluster_slots: _, budgets } = work;
    let longest = |groups: &[GroupWork]| groups.iter().map(GroupWork::time).max();
    let mut together = longest(workers).unwrap_or_default();
    for shared in work.shared() {
        together = together.max(shared.least().saturating_add(lost(&shared)));
    }
    for budget in budgets {
        if budget.allowed == 0 && budget.evictions > 0 {
            return None;
        }
        together = together.max(rounds(budget.evictions, budget.allowed, budget.recovery));
    }
    let one_by_one =
        quorum.iter().map(one_at_a_time).fold(Duration::ZERO, Duration::saturating_add);
    let first = longest(bastions).unwrap_or_default();
    Some(first.saturating_add(one_by_one).saturating_add(together))
}

/// The machines of a group whose guard lets one go when the one before is back.
fn one_at_a_time(group: &GroupWork) -> Duration {
    let each = group.times.slot().saturating_add(group.times.join);
    each.saturating_mul(group.count()).saturating_add(group.in_flight_rest)
}

/// A limit that groups share.
struct Shared {
    slots: u32,
    /// How many machines hold it, and for how long.
    holds: Vec<(u32, Duration)>,
}

impl Shared {
    /// All that is held, over all slots.
    fn least(&self) -> Duration {
        let held = |(count, each): &(u32, Duration)| each.as_millis() * u128::from(*count);
        let total: u128 = self.holds.iter().map(held).sum();
        millis(total / u128::from(self.slots.max(1)))
    }

    /// What a greedy schedule loses at most: all slots but one idle during the last hold.
    fn lost(&self) -> Duration {
        let held = self.holds.iter().filter(|(count, _)| *count > 0);
        let longest = held.map(|(_, each)| each.as_millis()).max().unwrap_or(0);
        let slots = u128::from(self.slots.max(1));
        millis(longest * (slots - 1) / slots)
    }
}

fn millis(ms: u128) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
}

impl Work {
    /// Limits over all groups of workers: of the cluster, and of each zone.
    fn shared(&self) -> Vec<Shared> {
        let of_zone = |(zone, slots): (&String, &u32)| Shared {
            slots: *slots,
            holds: self
                .workers
                .iter()
                .map(|group| (group.machines.get(zone).copied().unwrap_or(0), group.away()))
                .collect(),
        };
        // Where new ones come first none is missing.
        let missing = self.workers.iter().filter(|group| !group.surges);
        let of_cluster = self.cluster_slots.map(|slots| Shared {
            slots,
            holds: missing.map(|group| (group.count(), group.away())).collect(),
        });
        self.zone_slots.iter().map(of_zone).chain(of_cluster).collect()
    }
}

/// kops' pauses, in seconds: between machines, after a drain, between two looks at the cluster, and
/// between the two looks in a row that count.
/// Source: kops `cmd/kops/rolling-update_cluster.go`, `pkg/instancegroups/instancegroups.go`.
const KOPS_INTERVAL: u64 = 15;
const KOPS_POST_DRAIN: u64 = 5;
const KOPS_TICK: u64 = 30;
const KOPS_VALIDATION: u64 = 10;

/// What kops' schedule takes for groups of workers with its defaults: one group after the other, one
/// machine at a time, a surge of one for each group.
pub fn kops(workers: &[GroupWork]) -> Duration {
    let secs = Duration::from_secs;
    let of_group = |group: &GroupWork| {
        let Times { drain, terminate: _, boot, validate: _, join: _ } = group.times;
        let ticks = u32::try_from(boot.as_secs().div_ceil(KOPS_TICK)).unwrap_or(u32::MAX);
        let look = secs(KOPS_TICK).saturating_mul(ticks);
        let each = drain
            .saturating_add(secs(KOPS_POST_DRAIN + KOPS_INTERVAL + KOPS_VALIDATION))
            .saturating_add(look);
        let begin = boot.saturating_add(secs(KOPS_VALIDATION + KOPS_INTERVAL + KOPS_VALIDATION));
        match group.count() {
            0 => Duration::ZERO,
            machines => each.saturating_mul(machines).saturating_add(begin),
        }
    };
    workers.iter().map(of_group).fold(Duration::ZERO, Duration::saturating_add)
}

#[cfg(test)]
mod tests;
