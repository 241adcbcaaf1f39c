//! Rehearsal: the same roll in a simulated copy of a cluster's world, in virtual time and under
//! faults, with its invariants checked after every step.

pub mod act;
pub mod choice;
pub mod copy;
pub mod dice;
pub mod fault;
pub mod halt;
pub mod invariant;
pub mod ledger;
pub mod process;
pub mod rehearse;
pub mod run;
pub mod scene;
pub mod shape;
pub mod small;
pub mod stage;
pub mod swarm;
pub mod truth;
pub mod weather;
