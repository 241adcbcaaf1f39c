//! Apply: walks a plan.
pub mod steps;
