//! Launch templates and auto scaling groups.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Ref, Tags, digest};

/// A launch template: a name, tags, and the content of its newest version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaunchTemplate {
    /// Name, unique in account and region; at most 128 characters.
    pub launch_template_name: String,
    /// What a machine is launched from.
    pub launch_template_data: LaunchTemplateData,
    /// Tags of the template itself.
    pub tags: Tags,
}

/// The content of one version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaunchTemplateData {
    /// The machine image (`ami-…`).
    pub image_id: String,
    /// The instance type; a mixed instances policy may override it.
    pub instance_type: String,
    /// The instance profile's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iam_instance_profile_name: Option<String>,
    /// The instance profile's ARN, for a profile that the spec names by ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iam_instance_profile_arn: Option<String>,
    /// The SSH key pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    /// User data in plain text; AWS takes it in base64, at most 16 KB before that.
    pub user_data: String,
    /// Disks, by device.
    pub block_device_mappings: Vec<BlockDeviceMapping>,
    /// Interfaces; device 0 is the main one.
    pub network_interfaces: Vec<LaunchTemplateInterface>,
    /// The instance metadata service.
    pub metadata_options: MetadataOptions,
    /// Detailed monitoring.
    pub monitoring_enabled: bool,
    /// EBS optimisation, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ebs_optimized: Option<bool>,
    /// `default`, `dedicated` or `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenancy: Option<String>,
    /// `standard` or `unlimited`, for burstable types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_credits: Option<String>,
    /// Spot without a mixed instances policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_market_options: Option<InstanceMarketOptions>,
    /// `resource-name`, so that a node is named after its instance id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_dns_hostname_type: Option<String>,
    /// Tags that AWS puts on what it makes at launch, by resource type (`instance`, `volume`).
    pub tag_specifications: BTreeMap<String, Tags>,
}

impl LaunchTemplateData {
    /// Digest of what a machine is built from: everything but tags. Equal revisions never roll.
    pub fn revision(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(map) = value.as_object_mut() {
            map.remove("tag_specifications");
        }
        digest(&value)
    }

    /// Digest of the whole content.
    pub fn content_digest(&self) -> String {
        digest(&serde_json::to_value(self).unwrap_or_default())
    }
}

/// One disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockDeviceMapping {
    /// The device, such as `/dev/xvda`.
    pub device_name: String,
    /// Size in GiB.
    pub volume_size: i32,
    /// `gp3`, `gp2`, `io1`, `io2` or `standard`.
    pub volume_type: String,
    /// Operations a second, where the type takes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iops: Option<i32>,
    /// MiB a second, for `gp3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<i32>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The KMS key, if not the account's default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// Whether it goes with the machine.
    pub delete_on_termination: bool,
}

/// One interface of a launch template: an existing one by id, or a new one by its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaunchTemplateInterface {
    /// Position; 0 is the main interface.
    pub device_index: i32,
    /// An existing interface. The ASG then names zones in place of subnets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<Ref>,
    /// Whether the machine gets a public address; not with an existing interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub associate_public_ip_address: Option<bool>,
    /// Security groups; not with an existing interface.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<Ref>,
    /// Whether it goes with the machine; false for an existing interface.
    pub delete_on_termination: bool,
}

/// Settings of the instance metadata service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetadataOptions {
    /// `required` (IMDSv2 only) or `optional`.
    pub http_tokens: String,
    /// Network hops that an answer may travel, 1 to 64.
    pub http_put_response_hop_limit: i32,
}

/// A request for spot capacity without a mixed instances policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceMarketOptions {
    /// Highest price an hour in US dollars, as AWS writes it.
    pub max_price: String,
    /// `terminate`, `stop` or `hibernate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_interruption_behavior: Option<String>,
}

/// An auto scaling group.
///
/// Its desired capacity belongs to the autoscaler and its pin to the rolling update; neither is
/// here, so neither can be changed by a diff.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AutoScalingGroup {
    /// Name, unique in account and region; at most 255 characters.
    pub auto_scaling_group_name: String,
    /// The launch template's name; always pinned by a numeric version.
    pub launch_template_name: String,
    /// `<version>:<revision>` that the group should go to: the tag [`super::TARGET_TAG`].
    pub target: Ref,
    /// Several instance types, spot and on-demand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixed_instances_policy: Option<MixedInstancesPolicy>,
    /// Fewest machines.
    pub min_size: i32,
    /// Most machines.
    pub max_size: i32,
    /// Subnets; empty when `availability_zones` are given.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub vpc_zone_identifier: BTreeSet<String>,
    /// Zones, for a group whose template names an existing interface.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub availability_zones: BTreeSet<String>,
    /// Target groups that its machines register with.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub target_group_arns: BTreeSet<Ref>,
    /// `EC2` or `ELB`.
    pub health_check_type: String,
    /// Seconds before a new machine's health counts.
    pub health_check_grace_period: i32,
    /// Whether new machines are protected from scale-in.
    pub new_instances_protected_from_scale_in: bool,
    /// Seconds until a machine is replaced by AWS; 0 for never.
    pub max_instance_lifetime: i32,
    /// Whether AWS replaces spot machines at risk early.
    pub capacity_rebalance: bool,
    /// Processes that are suspended, such as `AZRebalance`.
    pub suspended_processes: BTreeSet<String>,
    /// Group metrics that AWS collects each minute.
    pub enabled_metrics: BTreeSet<String>,
    /// Hooks at launch and termination, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lifecycle_hooks: BTreeMap<String, LifecycleHook>,
    /// Tags by key, [`super::TARGET_TAG`] apart.
    pub tags: BTreeMap<String, GroupTag>,
}

/// A tag of an ASG.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupTag {
    /// The value.
    pub value: String,
    /// Whether new machines get it too.
    pub propagate_at_launch: bool,
}

/// Several instance types in one group, spot and on-demand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MixedInstancesPolicy {
    /// Instance types; for `prioritized` strategies the order counts.
    pub overrides: Vec<String>,
    /// Instance types by their attributes, in place of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_requirements: Option<InstanceRequirements>,
    /// How on-demand types are chosen.
    pub on_demand_allocation_strategy: String,
    /// So many on-demand machines before any spot.
    pub on_demand_base_capacity: i32,
    /// Share of on-demand above the base, in percent.
    pub on_demand_percentage_above_base_capacity: i32,
    /// How spot types are chosen.
    pub spot_allocation_strategy: String,
    /// Pools for the `lowest-price` strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot_instance_pools: Option<i32>,
    /// Highest spot price an hour; empty for the on-demand price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot_max_price: Option<String>,
}

/// Instance types by their attributes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceRequirements {
    /// Virtual CPUs.
    #[serde(rename = "v_cpu_count")]
    pub vcpu_count: RequirementRange,
    /// Memory in MiB.
    #[serde(rename = "memory_mib")]
    pub memory_mib: RequirementRange,
    /// Types or patterns that are left out.
    pub excluded_instance_types: BTreeSet<String>,
}

/// A range of an instance requirement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequirementRange {
    /// The least.
    pub min: i32,
    /// The most; none for no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i32>,
}

/// A lifecycle hook; belongs to its group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LifecycleHook {
    /// `autoscaling:EC2_INSTANCE_LAUNCHING` or `autoscaling:EC2_INSTANCE_TERMINATING`.
    pub lifecycle_transition: String,
    /// Seconds before the default result applies.
    pub heartbeat_timeout: i32,
    /// `CONTINUE` or `ABANDON`.
    pub default_result: String,
}
