//! etcd members on their machine: from a volume that is somewhere to a healthy voter, and from then on.
//!
//! Each member that the machine hosts has a life of its own (`life`): its volume (`volume`), one
//! decision after another until it starts (`look`, `begin`), then watching over it (`watch`): a learner
//! gets its vote, the first healthy quorum closes the epoch, reports go out; beside it snapshots are taken
//! (`snapshot`). In an epoch that begins with one the data is made of that (`restore`). The machine as a whole
//! (`machine`) completes its launch when every member votes and is well.

mod begin;
pub mod client;
mod config;
mod layout;
pub mod leaves;
mod life;
mod look;
mod machine;
mod restore;
mod snapshot;
mod volume;
mod watch;

pub use life::run;
pub use machine::{Announce, Machine, NodeCloud, NodeError};
pub use snapshot::SnapshotError;
