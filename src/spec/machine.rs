//! What one machine of a group is: disks, metadata service, and how it is bought.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quantity::{CpuCount, Memory};

/// Types of EBS volumes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum VolumeType {
    /// General purpose, with operations and throughput of its own.
    Gp3,
    /// General purpose, the older one.
    Gp2,
    /// Provisioned operations, durable.
    Io2,
    /// Provisioned operations.
    Io1,
    /// Magnetic.
    Standard,
}

impl VolumeType {
    /// The name AWS uses.
    pub fn name(self) -> &'static str {
        match self {
            VolumeType::Gp3 => "gp3",
            VolumeType::Gp2 => "gp2",
            VolumeType::Io2 => "io2",
            VolumeType::Io1 => "io1",
            VolumeType::Standard => "standard",
        }
    }
}

/// A disk beside the root volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeSpec {
    /// Device name, such as `/dev/xvdd`.
    pub device: String,
    /// Size, in GiB.
    pub size: u32,
    /// Type of the volume.
    #[serde(default, rename = "type")]
    pub volume_type: Option<VolumeType>,
    /// Operations per second.
    #[serde(default)]
    pub iops: Option<u32>,
    /// Throughput, in MiB a second.
    #[serde(default)]
    pub throughput: Option<u32>,
    /// Whether it is encrypted.
    #[serde(default)]
    pub encrypted: Option<bool>,
    /// Key that it is encrypted with; the account's own key when absent.
    #[serde(default)]
    pub key: Option<String>,
    /// Whether it goes with its machine.
    #[serde(default)]
    pub delete_on_termination: Option<bool>,
}

/// The instance metadata service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct InstanceMetadataSpec {
    /// Whether a session token is needed.
    pub http_tokens: Option<HttpTokens>,
    /// Network hops an answer may take: 1 keeps it from pods, 1 to 64.
    #[schemars(range(min = 1, max = 64))]
    pub http_put_response_hop_limit: Option<u32>,
}

/// Whether the metadata service needs a session token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HttpTokens {
    /// A token is needed.
    Required,
    /// A token is not needed.
    Optional,
}

impl HttpTokens {
    /// The name AWS uses.
    pub fn name(self) -> &'static str {
        match self {
            HttpTokens::Required => "required",
            HttpTokens::Optional => "optional",
        }
    }
}

/// Whether the hardware is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tenancy {
    /// Shared hardware.
    Default,
    /// Hardware of this account only.
    Dedicated,
    /// A dedicated host.
    Host,
}

impl Tenancy {
    /// The name AWS uses.
    pub fn name(self) -> &'static str {
        match self {
            Tenancy::Default => "default",
            Tenancy::Dedicated => "dedicated",
            Tenancy::Host => "host",
        }
    }
}

/// What a burstable machine does when its credits are spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CpuCredits {
    /// It slows down.
    Standard,
    /// It goes on, for money.
    Unlimited,
}

impl CpuCredits {
    /// The name AWS uses.
    pub fn name(self) -> &'static str {
        match self {
            CpuCredits::Standard => "standard",
            CpuCredits::Unlimited => "unlimited",
        }
    }
}

/// What happens to a spot machine that is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InterruptionBehavior {
    /// It is terminated.
    Terminate,
    /// It is stopped.
    Stop,
    /// It is put to sleep.
    Hibernate,
}

impl InterruptionBehavior {
    /// The name AWS uses.
    pub fn name(self) -> &'static str {
        match self {
            InterruptionBehavior::Terminate => "terminate",
            InterruptionBehavior::Stop => "stop",
            InterruptionBehavior::Hibernate => "hibernate",
        }
    }
}

/// Several machine types in one group, on demand and spot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct MixedInstancesPolicySpec {
    /// Machine types, the preferred ones first; they should have the same CPU and memory.
    pub instances: Vec<String>,
    /// What machine types must have, in place of a list of them.
    pub instance_requirements: Option<InstanceRequirementsSpec>,
    /// How on-demand types are chosen.
    pub on_demand_allocation_strategy: Option<OnDemandStrategy>,
    /// Machines that are always on demand.
    pub on_demand_base: Option<u32>,
    /// Percentage of the machines above the base that is on demand; 0 is all spot.
    #[schemars(range(max = 100))]
    pub on_demand_above_base: Option<u32>,
    /// How spot pools are chosen.
    pub spot_allocation_strategy: Option<SpotStrategy>,
    /// Spot pools to spread over, with `lowest-price` only.
    #[schemars(range(min = 1, max = 20))]
    pub spot_instance_pools: Option<u32>,
}

/// What machine types must have: AWS takes all that fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct InstanceRequirementsSpec {
    /// Virtual CPUs.
    pub cpu: Option<CpuRangeSpec>,
    /// Memory.
    pub memory: Option<MemoryRangeSpec>,
    /// Machine types that are left out; `*` stands for any characters, as in `c5*` or `m5a.*`.
    pub excluded_instance_types: Vec<String>,
}

/// A range of virtual CPUs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct CpuRangeSpec {
    /// The fewest; 0 when absent.
    pub min: Option<CpuCount>,
    /// The most; any number when absent.
    pub max: Option<CpuCount>,
}

/// A range of memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct MemoryRangeSpec {
    /// The least, such as `8Gi`; 0 when absent.
    pub min: Option<Memory>,
    /// The most, such as `32Gi`; any amount when absent.
    pub max: Option<Memory>,
}

/// How on-demand types are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnDemandStrategy {
    /// In the order given.
    Prioritized,
    /// The cheapest first.
    LowestPrice,
}

impl OnDemandStrategy {
    /// The name AWS uses.
    pub fn name(self) -> &'static str {
        match self {
            OnDemandStrategy::Prioritized => "prioritized",
            OnDemandStrategy::LowestPrice => "lowest-price",
        }
    }
}

/// How spot pools are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SpotStrategy {
    /// The cheapest of the pools that are least likely to be taken back.
    PriceCapacityOptimized,
    /// The pools that are least likely to be taken back.
    CapacityOptimized,
    /// The same, minding the order given.
    CapacityOptimizedPrioritized,
    /// The cheapest pools.
    LowestPrice,
    /// All pools alike.
    Diversified,
}

impl SpotStrategy {
    /// The name AWS uses.
    pub fn name(self) -> &'static str {
        match self {
            SpotStrategy::PriceCapacityOptimized => "price-capacity-optimized",
            SpotStrategy::CapacityOptimized => "capacity-optimized",
            SpotStrategy::CapacityOptimizedPrioritized => "capacity-optimized-prioritized",
            SpotStrategy::LowestPrice => "lowest-price",
            SpotStrategy::Diversified => "diversified",
        }
    }
}
