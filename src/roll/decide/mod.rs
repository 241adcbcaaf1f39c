//! What to do next: total, deterministic, pure.
//!
//! A turn is a list of stages that each add steps, waits or halts to one [`Turn`]. What was begun is
//! finished first, whatever else is wrong; new machines are watched; only then something new may
//! begin, and only where every limit, the gate and the quorum guard agree. At the end marks go from
//! what is finished.

mod assess;
mod cordon;
mod finish;
mod gate;
mod newcomer;
mod progress;
mod quorum;
mod scene;
mod start;
mod tidy;
mod turn;
mod worker;

pub use gate::baseline;
pub(super) use newcomer::{is_lacking_key_of, lacking_key};
pub use scene::{Availability, GroupScene, MachineScene, Scene};

use super::decision::Decision;
use super::observation::Observation;
use super::policy::Policy;
use turn::Turn;

/// What to do next about a cluster's machines.
pub fn decide(observation: &Observation, policy: &Policy) -> Decision {
    let scene = Scene::of(observation, policy);
    let mut turn = Turn::new(&scene);
    tidy::restore_marks(&scene, &mut turn);
    finish::finish(&scene, &mut turn);
    newcomer::watch(&scene, &mut turn);
    start::start(&scene, &mut turn);
    tidy::tidy(&scene, &mut turn);
    turn.decide(&scene)
}

#[cfg(test)]
mod tests;
