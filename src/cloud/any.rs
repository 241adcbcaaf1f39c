//! The cloud a run works on, chosen once: every call goes to the one inside.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::archive::{Address, Archive, Stored};
#[cfg(feature = "aws")]
use super::aws::AwsCloud;
use super::machine::{Hook, Launch, MachineCloud, MemberVolume};
use super::retry::RetryPolicy;
use super::retry::reader::Reader;
use super::sim::SimCloud;
use super::{
    Call, Cloud, CloudError, Condition, Entry, Observation, Observed, Parameters, Query, Reply,
    StateBucket, StoreError, TaggedInstance, TargetsByGroup, VersionFacts,
};
use crate::boot::Program;
use crate::etcd::snapshot::Content;
use crate::pki::Secret;
use crate::resource::Key;
use crate::state::{BucketSettings, BucketStep, StateAddress};

/// Either cloud.
pub enum AnyCloud {
    /// The embedded simulator.
    Sim(Box<SimCloud>),
    /// AWS.
    #[cfg(feature = "aws")]
    Aws(Box<AwsCloud>),
}

/// Hands a call to the cloud inside.
macro_rules! inside {
    ($any:expr, $cloud:ident => $call:expr) => {
        match $any {
            AnyCloud::Sim($cloud) => $call,
            #[cfg(feature = "aws")]
            AnyCloud::Aws($cloud) => $call,
        }
    };
}

impl AnyCloud {
    /// How reads that fail are tried again.
    pub fn reader(&self) -> &Reader {
        inside!(self, cloud => cloud.reader())
    }

    /// Names files one of which may be the program that machines are to fetch. The simulator needs no
    /// content.
    pub fn offer_programs(&mut self, files: Vec<PathBuf>) {
        match self {
            AnyCloud::Sim(_) => drop(files),
            #[cfg(feature = "aws")]
            AnyCloud::Aws(cloud) => cloud.offer_programs(files),
        }
    }

    /// Whether a program could be written for machines to fetch.
    pub async fn has_program(&self, program: &Program) -> bool {
        match self {
            AnyCloud::Sim(_) => program.size > 0,
            #[cfg(feature = "aws")]
            AnyCloud::Aws(cloud) => cloud.program(program).await.is_some(),
        }
    }
}

impl Cloud for AnyCloud {
    fn name(&self) -> &'static str {
        inside!(self, cloud => cloud.name())
    }

    async fn observe(&self, query: &Query) -> Result<Observation, CloudError> {
        inside!(self, cloud => cloud.observe(query).await)
    }

    async fn groups(&self, query: &Query) -> Result<BTreeMap<Key, Observed>, CloudError> {
        inside!(self, cloud => cloud.groups(query).await)
    }

    async fn versions(
        &self,
        wanted: &BTreeMap<String, BTreeSet<u64>>,
    ) -> Result<BTreeMap<String, BTreeMap<u64, VersionFacts>>, CloudError> {
        inside!(self, cloud => cloud.versions(wanted).await)
    }

    async fn instances(&self, cluster: &str) -> Result<Vec<TaggedInstance>, CloudError> {
        inside!(self, cloud => cloud.instances(cluster).await)
    }

    async fn targets(&self, arns: &BTreeSet<String>) -> Result<TargetsByGroup, CloudError> {
        inside!(self, cloud => cloud.targets(arns).await)
    }

    async fn statuses(
        &self,
        instance_ids: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, String>, CloudError> {
        inside!(self, cloud => cloud.statuses(instance_ids).await)
    }

    async fn places_kept(&self, group: &str) -> Result<BTreeSet<String>, CloudError> {
        inside!(self, cloud => cloud.places_kept(group).await)
    }

    async fn call(&self, call: &Call) -> Result<Reply, CloudError> {
        inside!(self, cloud => cloud.call(call).await)
    }

    fn retry(&self) -> RetryPolicy {
        inside!(self, cloud => cloud.retry())
    }

    fn now(&self) -> jiff::Timestamp {
        inside!(self, cloud => cloud.now())
    }

    async fn sleep(&self, duration: Duration) {
        inside!(self, cloud => cloud.sleep(duration).await);
    }

    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        inside!(self, cloud => cloud.get(key).await)
    }

    async fn put(
        &self,
        key: &str,
        body: Vec<u8>,
        condition: Condition,
    ) -> Result<String, StoreError> {
        inside!(self, cloud => cloud.put(key, body, condition).await)
    }

    async fn remove(&self, key: &str, condition: Condition) -> Result<(), StoreError> {
        inside!(self, cloud => cloud.remove(key, condition).await)
    }
}

impl MachineCloud for AnyCloud {
    async fn this_instance(&self, group: &str) -> Result<String, CloudError> {
        inside!(self, cloud => cloud.this_instance(group).await)
    }

    async fn member_volumes(
        &self,
        cluster: &str,
        etcd: &str,
        member: &str,
    ) -> Result<Vec<MemberVolume>, CloudError> {
        inside!(self, cloud => cloud.member_volumes(cluster, etcd, member).await)
    }

    async fn attach_volume(
        &self,
        volume_id: &str,
        instance_id: &str,
        device: &str,
    ) -> Result<(), CloudError> {
        inside!(self, cloud => cloud.attach_volume(volume_id, instance_id, device).await)
    }

    async fn mark_formatted(&self, volume_id: &str, value: &str) -> Result<(), CloudError> {
        inside!(self, cloud => cloud.mark_formatted(volume_id, value).await)
    }

    async fn extend_launch(&self, launch: &Launch) -> Result<Hook, CloudError> {
        inside!(self, cloud => cloud.extend_launch(launch).await)
    }

    async fn complete_launch(&self, launch: &Launch) -> Result<Hook, CloudError> {
        inside!(self, cloud => cloud.complete_launch(launch).await)
    }
}

impl StateBucket for AnyCloud {
    fn bucket(&self) -> Result<Option<&StateAddress>, StoreError> {
        inside!(self, cloud => cloud.bucket())
    }

    async fn settings(&self) -> Result<Option<BucketSettings>, StoreError> {
        inside!(self, cloud => cloud.settings().await)
    }

    async fn make(&self, step: &BucketStep) -> Result<(), StoreError> {
        inside!(self, cloud => cloud.make(step).await)
    }
}

impl Parameters for AnyCloud {
    async fn public(&self, cluster: &str) -> Result<BTreeMap<String, String>, CloudError> {
        inside!(self, cloud => cloud.public(cluster).await)
    }

    async fn there(&self, names: &BTreeSet<String>) -> Result<BTreeSet<String>, CloudError> {
        inside!(self, cloud => cloud.there(names).await)
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, CloudError> {
        inside!(self, cloud => cloud.secret(name).await)
    }
}

impl Archive for AnyCloud {
    async fn store(
        &self,
        object: &Address,
        file: &Path,
        content: &Content,
    ) -> Result<(), StoreError> {
        inside!(self, cloud => cloud.store(object, file, content).await)
    }

    async fn fetch(
        &self,
        object: &Address,
        into: &Path,
        bytes_max: u64,
    ) -> Result<bool, StoreError> {
        inside!(self, cloud => cloud.fetch(object, into, bytes_max).await)
    }

    async fn stored(&self, prefix: &Address) -> Result<Vec<Stored>, StoreError> {
        inside!(self, cloud => cloud.stored(prefix).await)
    }

    async fn discard(&self, object: &Address) -> Result<(), StoreError> {
        inside!(self, cloud => cloud.discard(object).await)
    }
}
