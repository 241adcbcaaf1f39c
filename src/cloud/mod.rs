//! The cloud port: what kprod needs from AWS, in kprod's words.
//!
//! [`Cloud::observe`] reads a cluster's world in one go; [`Cloud::call`] makes one AWS API call.
//! No SDK type crosses this line. `sim` is the embedded simulator, `aws` the real thing; both pass
//! one contract suite.

pub mod any;
pub mod archive;
pub mod asset;
pub mod authority;
#[cfg(feature = "aws")]
pub mod aws;
pub mod call;
pub mod denial;
pub mod epoch;
pub mod error;
pub mod machine;
pub mod observation;
pub mod parameter;
pub(crate) mod quota;
pub mod retry;
pub mod service;
pub(crate) mod shortfall;
pub mod sim;
pub mod store;

pub use archive::Archive;
pub use call::{Call, Reply};
pub use denial::{Denial, DenialReason};
pub use error::{CloudError, CloudErrorKind};
pub use machine::MachineCloud;
pub use observation::{
    Foreignness, GroupFacts, Instance, Observation, Observed, Ownership, Query, TaggedInstance,
    TargetState, TemplateFacts, VersionFacts,
};
pub use parameter::Parameters;
pub use retry::RetryPolicy;
pub use service::Service;
pub use store::{Condition, Entry, StateBucket, StoreError};

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use crate::resource::Key;

/// States of registered machines, by target group and instance id.
pub type TargetsByGroup = BTreeMap<String, BTreeMap<String, TargetState>>;

/// One AWS account and region, real or simulated, with its clock and its state bucket.
///
/// The clock belongs here because the simulator's time is virtual: engines never ask the machine.
pub trait Cloud: Send + Sync {
    /// `sim` or `aws`.
    fn name(&self) -> &'static str;

    /// Reads a cluster's world, following every page.
    ///
    /// # Errors
    /// When a read fails beyond the retry layer's limits.
    fn observe(
        &self,
        query: &Query,
    ) -> impl Future<Output = Result<Observation, CloudError>> + Send;

    /// Reads no more than the groups with their machines, as [`Cloud::observe`] without
    /// [`Query::deep`] would: what a run asks again and again that waits for machines.
    ///
    /// # Errors
    /// As [`Cloud::observe`].
    fn groups(
        &self,
        query: &Query,
    ) -> impl Future<Output = Result<BTreeMap<Key, Observed>, CloudError>> + Send;

    /// Reads launch template versions that an observation left out: for each template by name, the
    /// version numbers wanted and the newest one.
    ///
    /// # Errors
    /// As [`Cloud::observe`].
    fn versions(
        &self,
        wanted: &BTreeMap<String, BTreeSet<u64>>,
    ) -> impl Future<Output = Result<BTreeMap<String, BTreeMap<u64, VersionFacts>>, CloudError>> + Send;

    /// Reads the instances that carry a cluster's owner tag, in a group or not.
    ///
    /// # Errors
    /// As [`Cloud::observe`].
    fn instances(
        &self,
        cluster: &str,
    ) -> impl Future<Output = Result<Vec<TaggedInstance>, CloudError>> + Send;

    /// Reads what target groups do with the machines that are registered with them: by the target
    /// group's ARN and the instance id. A target group that does not exist has none.
    ///
    /// # Errors
    /// As [`Cloud::observe`].
    fn targets(
        &self,
        target_group_arns: &BTreeSet<String>,
    ) -> impl Future<Output = Result<TargetsByGroup, CloudError>> + Send;

    /// Reads which of these instances fail EC2's status checks, and how. Two listings, whatever
    /// their number; ids that are not known fail nothing.
    ///
    /// # Errors
    /// As [`Cloud::observe`].
    fn statuses(
        &self,
        instance_ids: &BTreeSet<String>,
    ) -> impl Future<Output = Result<BTreeMap<String, String>, CloudError>> + Send;

    /// Reads which machines of a group end, or have ended, although no call asked for it, as far as the
    /// group's newest activities tell: it goes on wanting as many. A group that does not exist has none.
    ///
    /// # Errors
    /// As [`Cloud::observe`].
    fn places_kept(
        &self,
        auto_scaling_group_name: &str,
    ) -> impl Future<Output = Result<BTreeSet<String>, CloudError>> + Send;

    /// Makes one call.
    ///
    /// # Errors
    /// Whatever AWS answers; the kind says whether to try again.
    fn call(&self, call: &Call) -> impl Future<Output = Result<Reply, CloudError>> + Send;

    /// Now.
    fn now(&self) -> jiff::Timestamp;

    /// How failed calls are tried again; reads the cloud itself tries again by it.
    fn retry(&self) -> RetryPolicy {
        RetryPolicy::default()
    }

    /// Waits; in the simulator time passes at once.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;

    /// Reads an object of the state bucket.
    ///
    /// # Errors
    /// When the store fails; a missing object is `None`.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Entry>, StoreError>> + Send;

    /// Writes an object under a condition and gives its new entity tag.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the condition does not hold.
    fn put(
        &self,
        key: &str,
        body: Vec<u8>,
        condition: Condition,
    ) -> impl Future<Output = Result<String, StoreError>> + Send;

    /// Removes an object under a condition.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the condition does not hold.
    fn remove(
        &self,
        key: &str,
        condition: Condition,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
