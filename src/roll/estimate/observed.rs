//! How long the parts of replacements took in this very run: better than what was assumed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::Times;
use crate::roll::{Phase, Progress};

/// Samples of one part that are remembered.
const SAMPLES_MAX: usize = 20;

/// What a run has seen. It follows the phases of machines from one look to the next.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// In which phase each machine is, and since when.
    phases: BTreeMap<String, (Phase, Timestamp)>,
    /// How long each phase took lately.
    samples: BTreeMap<Phase, VecDeque<Duration>>,
}

impl Observed {
    /// Takes note of how the groups stand now.
    pub fn watch(&mut self, progress: &Progress, now: Timestamp) {
        let in_work = progress.groups.iter().flat_map(|group| &group.in_work);
        let current: BTreeMap<&String, Phase> = in_work.map(|(m, phase)| (m, *phase)).collect();
        let mut ended = Vec::new();
        self.phases.retain(|machine, (phase, since)| {
            let goes_on = current.get(machine) == Some(phase);
            if !goes_on {
                ended.push((*phase, *since));
            }
            goes_on
        });
        for (phase, since) in ended {
            let took = Duration::try_from(now.duration_since(since)).unwrap_or_default();
            let samples = self.samples.entry(phase).or_default();
            samples.push_back(took);
            if samples.len() > SAMPLES_MAX {
                samples.pop_front();
            }
        }
        for (machine, phase) in current {
            self.phases.entry(machine.clone()).or_insert((phase, now));
        }
    }

    /// What parts take, by what was seen, else by what is assumed.
    pub fn times(&self, assumed: &Times) -> Times {
        let seen = |phase, otherwise| self.average(phase).unwrap_or(otherwise);
        Times {
            drain: seen(Phase::Draining, assumed.drain),
            terminate: seen(Phase::Leaving, assumed.terminate),
            boot: seen(Phase::Booting, assumed.boot),
            validate: seen(Phase::Soaking, assumed.validate),
            join: assumed.join,
        }
    }

    fn average(&self, phase: Phase) -> Option<Duration> {
        let samples = self.samples.get(&phase)?;
        let sum = samples.iter().fold(Duration::ZERO, |sum, each| sum.saturating_add(*each));
        sum.checked_div(u32::try_from(samples.len()).ok()?)
    }
}
