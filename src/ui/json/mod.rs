//! Machine-readable output: own structs with their own version, never the engine's types.

mod plan;

pub use plan::{FORMAT_VERSION, plan};
