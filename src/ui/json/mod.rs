//! Machine-readable output: own structs with their own version, never the engine's types.

mod doctor;
mod etcd;
mod pki;
mod plan;
mod roll;
mod snapshots;
mod status;

pub use doctor::doctor;
pub use etcd::etcd;
pub use pki::pki;
pub use plan::{FORMAT_VERSION, plan};
pub use roll::roll;
pub use snapshots::snapshots;
pub use status::status;
