//! What starts kprod on a machine: which program, and which files its user data puts there.
//!
//! Pure, and known to whoever plans a machine as well as to whoever runs on it.

pub mod lock;
mod program;
pub mod settings;
pub mod user_data;

pub use program::Program;
pub use settings::{Fetched, Hosted, Settings, SettingsError};
