//! What a human wants: a cluster and its instance groups, in kops' v1alpha2 words.
//!
//! [`Spec`] is read from documents, has its defaults filled in, and is checked against itself and
//! against facts about the cloud. Everything here is pure.

mod carried;
mod check;
mod cluster;
mod etcd;
mod field;
mod fill;
mod honour;
mod instance_group;
mod kubelet;
mod machine;
mod machine_type;
mod network;
mod parse;
mod quantity;
mod query;
mod rollout;
mod schema;
mod shape;
mod text;
mod user_data;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::boot::Program;

pub use carried::{CARRIED, CARRIED_NOT, Carried, CarriedReason, carried};
pub use check::{check, check_facts};
pub use cluster::{
    ApiBalancerSpec, ApiSpec, ApiSubnetSpec, AuthorizationSpec, BalancerClass, BalancerType,
    CloudProvider, ClusterIamSpec, ClusterSpec, KubeApiServerSpec, PolicyRole, Profile, WaiverSpec,
};
pub use etcd::{EtcdBackupSpec, EtcdClusterSpec, EtcdMemberSpec, USUAL_BACKUPS};
pub use field::{Field, Kind, Positions};
pub use fill::fill;
pub use instance_group::{GroupIamSpec, GroupManager, InstanceGroupSpec, Role, TargetGroupSpec};
pub use kubelet::KubeletSpec;
pub use machine::{
    CpuCredits, CpuRangeSpec, HttpTokens, InstanceMetadataSpec, InstanceRequirementsSpec,
    InterruptionBehavior, MemoryRangeSpec, MixedInstancesPolicySpec, OnDemandStrategy,
    SpotStrategy, Tenancy, VolumeSpec, VolumeType,
};
pub use machine_type::{is_burstable, memory_mib};
pub use network::{
    DnsType, NetworkingSpec, NoOptions, SubnetSpec, SubnetType, TopologyDnsSpec, TopologySpec,
};
pub use parse::{Parsed, Strictness, check_documents, is_lenient_matter, parse, read};
pub use quantity::{CpuCount, Memory};
pub use rollout::{
    ClusterRollingUpdateSpec, DrainTimeoutAction, IntOrPercent, OverallRolloutSpec, RepairSpec,
    RollingUpdateSpec,
};
pub use schema::{check_field, schema};
pub use text::{AccessSource, PortRange, Span, Taint, TaintEffect};
pub use user_data::{UserDataPart, UserDataType};

/// One cluster with all its instance groups.
///
/// After `fill`, every field that has a default holds a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The cluster.
    pub cluster: Cluster,
    /// Its instance groups by name.
    pub groups: BTreeMap<String, InstanceGroup>,
    /// The program that machines run which kprod starts something on: no document says it, the fleet's
    /// lock file does. None if nothing is pinned.
    pub node_program: Option<Program>,
    /// Where all this was written.
    pub positions: Positions,
}

/// A cluster: its name and what is wanted of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Name and labels.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: ClusterSpec,
}

/// An instance group: machines of one kind, run by one auto scaling group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceGroup {
    /// Name and labels.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: InstanceGroupSpec,
}

/// Name and labels of a document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// Name: for a cluster its DNS name, for a group a DNS-1123 name unique in the cluster.
    pub name: String,
    /// Time of creation, as kops exports it; without meaning here.
    #[serde(default, rename = "creationTimestamp")]
    pub creation_timestamp: Option<String>,
    /// Count of changes, as kops exports it; without meaning here.
    #[serde(default)]
    pub generation: Option<u32>,
    /// Annotations, as kops exports them; without meaning here.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Labels. On a group, `kops.k8s.io/cluster` names the cluster it belongs to.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests;
