//! Rehearsal: the same roll in a simulated copy of a cluster's world, in virtual time and under
//! faults, with its invariants checked after every step.
