//! What to do next: total, deterministic, pure.
//!
//! A turn is a list of stages that each add steps, waits or halts to one [`Turn`]. What was begun is
//! finished first, whatever else is wrong; new machines are watched; only then something new may
//! begin, and only where every limit, the gate and the quorum guard agree. At the end marks go from
//! what is finished.

mod assess;
mod candidate;
mod cordon;
mod finish;
mod gate;
mod newcomer;
mod progress;
mod quorum;
mod repair;
mod scene;
mod start;
mod tidy;
mod trouble;
mod turn;
mod worker;

pub use gate::baseline;
pub(super) use newcomer::{is_lacking_key_of, lacking_key};
pub(super) use scene::drain_since;
pub use scene::{Availability, GroupScene, MachineScene, Scene};

use super::decision::Decision;
use super::observation::Observation;
use super::policy::Policy;
use turn::Turn;

/// What to do next about a cluster's machines.
pub fn decide(observation: &Observation, policy: &Policy) -> Decision {
    Scene::of(observation, policy).decide()
}

impl Scene<'_> {
    /// What to do next about these machines.
    pub fn decide(&self) -> Decision {
        let mut turn = Turn::new(self);
        tidy::restore_marks(self, &mut turn);
        finish::finish(self, &mut turn);
        newcomer::watch(self, &mut turn);
        start::start(self, &mut turn);
        tidy::tidy(self, &mut turn);
        turn.decide(self)
    }
}

#[cfg(test)]
mod tests;
