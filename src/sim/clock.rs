//! The simulated clock: virtual time, and what falls due as it passes.

use serde::{Deserialize, Serialize};

use super::World;

/// A moment: milliseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// Where a world in memory starts: 2026-01-01T00:00:00Z.
    pub const START: Time = Time(1_767_225_600_000);

    /// So many milliseconds later.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Time(self.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
    }

    /// So many seconds later.
    #[must_use]
    pub fn plus_secs(self, secs: u64) -> Self {
        self.plus_ms(secs.saturating_mul(1000))
    }

    /// Milliseconds since an earlier moment; 0 when it is not earlier.
    pub fn since_ms(self, earlier: Time) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// The same moment as the port tells it; moments beyond the calendar are cut to its end.
    pub fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX)
    }
}

/// Something that happens at its time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A group checks the health of its machines.
    HealthCheck {
        /// Which.
        group: String,
    },
    /// An instance that was shut down has ended.
    Ended {
        /// Which.
        instance_id: String,
    },
    /// The notice of a spot instance is over.
    Reclaimed {
        /// Which.
        instance_id: String,
    },
    /// A registration goes on: a new target has passed its checks, an old one is let go.
    Target {
        /// The target group.
        target_group_arn: String,
        /// The machine.
        instance_id: String,
    },
}

impl World {
    /// Most events handled in one step of time; a world that lay for months is brought up to date
    /// without doing months of work.
    const EVENTS_MAX: usize = 100_000;

    /// Lets time pass until `to`: machines boot and end, hooks time out, groups reconcile, each in
    /// its own moment. Time never runs backwards.
    pub fn advance(&mut self, to: Time) {
        for _ in 0..Self::EVENTS_MAX {
            match self.next_machine_event() {
                Some(at) if at <= to => {
                    self.pass_to(at);
                    self.handle_events();
                }
                _ => break,
            }
        }
        self.pass_to(to);
        self.settle();
    }

    /// Lets so many seconds pass.
    pub fn advance_secs(&mut self, secs: u64) {
        self.advance(self.now.plus_secs(secs));
    }

    /// Sets the clock; what happens inside the clusters until then depends on no machine's next event.
    fn pass_to(&mut self, to: Time) {
        self.now = self.now.max(to);
        self.advance_clusters();
    }

    /// When something falls due next.
    pub fn next_event(&self) -> Option<Time> {
        let clusters = self.clusters.values().filter_map(|cluster| cluster.next_event());
        clusters.chain(self.next_machine_event()).min()
    }

    fn next_machine_event(&self) -> Option<Time> {
        let machines = self.machines.values().filter_map(|machine| machine.due);
        let groups = self.works.values().filter_map(|work| work.check_at);
        let agenda = self.agenda.first().map(|(at, _)| *at);
        machines.chain(groups).chain(agenda).chain(self.members_due).min()
    }

    /// Notes that something will happen.
    pub(super) fn schedule(&mut self, at: Time, event: Event) {
        self.agenda.insert((at, event));
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::HealthCheck { group } => self.wake(group),
            Event::Ended { instance_id } => self.instance_has_ended(instance_id),
            Event::Reclaimed { instance_id } => self.spot_is_reclaimed(instance_id),
            Event::Target { target_group_arn, instance_id } => {
                self.target_falls_due(target_group_arn, instance_id);
            }
        }
    }

    fn handle_events(&mut self) {
        let now = self.now;
        while let Some((at, _)) = self.agenda.first()
            && *at <= now
        {
            if let Some((_, event)) = self.agenda.pop_first() {
                self.happen(&event);
            }
        }
        let due: Vec<String> = self
            .machines
            .values()
            .filter(|machine| machine.due.is_some_and(|at| at <= now))
            .map(|machine| machine.instance_id.clone())
            .collect();
        for id in due {
            self.machine_falls_due(&id);
        }
        let due: Vec<String> = self
            .works
            .iter()
            .filter(|(_, work)| work.check_at.is_some_and(|at| at <= now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.reconcile(&name);
        }
        if self.members_due.is_some_and(|at| at <= now) {
            self.tend_members();
        }
    }
}
