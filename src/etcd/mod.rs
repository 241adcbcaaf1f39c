//! etcd: what members say of themselves, and whether one of them may go.
//!
//! A member reports to its own key in the state bucket; nothing here talks to etcd. The guard decides
//! by those facts alone, and no flag turns it off. What a member does when it starts is decided here,
//! too, by its volume, the epoch and the other members.

pub mod domains;
pub mod epoch;
pub mod guard;
pub mod names;
pub mod report;
pub mod snapshot;
pub mod standing;
pub mod start;
pub mod version;

pub use epoch::{ClusterId, Epoch, EpochError, Phase, Place};
pub use guard::{Limits, Refusal, RefusalReason, Why, may_go};
pub use report::{
    EarlierReport, Facts, MemberFact, MemberReport, MemberRole, Topology, TopologyCluster,
    TopologyMember,
};
pub use standing::{EtcdStanding, MemberStanding, MemberState, Standing};
pub use version::{DataVersion, Minor, Version};
