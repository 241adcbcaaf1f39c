//! The fields of an instance group.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kubelet::KubeletSpec;
use super::machine::{
    CpuCredits, InstanceMetadataSpec, InterruptionBehavior, MixedInstancesPolicySpec, Tenancy,
    VolumeSpec, VolumeType,
};
use super::rollout::RollingUpdateSpec;
use super::text::{Span, Taint};
use super::user_data::UserDataPart;

/// What is wanted of an instance group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InstanceGroupSpec {
    /// What its machines do.
    pub role: Role,
    /// Who runs the machines; only `CloudGroup`, an auto scaling group.
    #[serde(default)]
    pub manager: Option<GroupManager>,
    /// The fewest machines.
    #[serde(default)]
    pub min_size: Option<u32>,
    /// The most machines.
    #[serde(default)]
    pub max_size: Option<u32>,
    /// Whether the cluster autoscaler may change the number of machines.
    #[serde(default)]
    pub autoscale: Option<bool>,
    /// Rank of the group for the cluster autoscaler's priority expander; the highest goes first.
    #[serde(default)]
    pub autoscale_priority: Option<u32>,
    /// Names of the cluster's subnets that machines are put in.
    #[serde(default)]
    pub subnets: Vec<String>,
    /// Zones that machines are put in; stands for the cluster's subnets there.
    #[serde(default)]
    pub zones: Vec<String>,
    /// Machine image, `ami-…`.
    #[serde(default)]
    pub image: Option<String>,
    /// Machine type, such as `m6i.large`.
    #[serde(default)]
    pub machine_type: Option<String>,
    /// Whether the hardware is shared.
    #[serde(default)]
    pub tenancy: Option<Tenancy>,
    /// What burstable machines do when their credits are spent.
    #[serde(default)]
    pub cpu_credits: Option<CpuCredits>,
    /// Whether machines have public addresses.
    #[serde(default)]
    pub associate_public_ip: Option<bool>,
    /// Whether metrics come every minute instead of every five.
    #[serde(default)]
    pub detailed_instance_monitoring: Option<bool>,
    /// The instance metadata service.
    #[serde(default)]
    pub instance_metadata: Option<InstanceMetadataSpec>,
    /// Size of the root volume, in GiB.
    #[serde(default)]
    pub root_volume_size: Option<u32>,
    /// Type of the root volume.
    #[serde(default)]
    pub root_volume_type: Option<VolumeType>,
    /// Operations per second of the root volume.
    #[serde(default)]
    pub root_volume_iops: Option<u32>,
    /// Throughput of the root volume, in MiB a second.
    #[serde(default)]
    pub root_volume_throughput: Option<u32>,
    /// Whether machines have network capacity reserved for their volumes.
    #[serde(default)]
    pub root_volume_optimization: Option<bool>,
    /// Whether the root volume is encrypted.
    #[serde(default)]
    pub root_volume_encryption: Option<bool>,
    /// Key that the root volume is encrypted with; the account's own key when absent.
    #[serde(default)]
    pub root_volume_encryption_key: Option<String>,
    /// Disks beside the root volume.
    #[serde(default)]
    pub volumes: Vec<VolumeSpec>,
    /// Highest hourly price of a spot machine, in dollars; asks for spot machines.
    #[serde(default)]
    pub max_price: Option<String>,
    /// What happens to a spot machine that is taken back.
    #[serde(default)]
    pub instance_interruption_behavior: Option<InterruptionBehavior>,
    /// Whether a spot machine at risk is replaced before it is taken back.
    #[serde(default)]
    pub capacity_rebalance: Option<bool>,
    /// Several machine types in one group, on demand and spot.
    #[serde(default)]
    pub mixed_instances_policy: Option<MixedInstancesPolicySpec>,
    /// Processes of the auto scaling group that are off.
    #[serde(default)]
    pub suspend_processes: Vec<String>,
    /// Whether the auto scaling group may not choose a machine to end.
    #[serde(default)]
    pub instance_protection: Option<bool>,
    /// Age at which the auto scaling group replaces a machine, such as `168h`; 0 is never.
    #[serde(default)]
    pub max_instance_lifetime: Option<Span>,
    /// Target groups of others that machines are registered with.
    #[serde(default)]
    pub external_load_balancers: Vec<TargetGroupSpec>,
    /// Identity of the machines.
    #[serde(default)]
    pub iam: Option<GroupIamSpec>,
    /// Use this security group (`sg-…`) in place of the role's.
    #[serde(default)]
    pub security_group_override: Option<String>,
    /// Further security groups (`sg-…`).
    #[serde(default)]
    pub additional_security_groups: Vec<String>,
    /// Tags for the group's resources and machines.
    #[serde(default)]
    pub cloud_labels: BTreeMap<String, String>,
    /// Labels that nodes join with.
    #[serde(default)]
    pub node_labels: BTreeMap<String, String>,
    /// Taints that nodes join with, such as `dedicated=db:NoSchedule`.
    #[serde(default)]
    pub taints: Vec<Taint>,
    /// Kubelet settings of the group.
    #[serde(default)]
    pub kubelet: Option<KubeletSpec>,
    /// The group's user data: one part is taken as it stands, several become one MIME document.
    #[serde(default)]
    pub additional_user_data: Vec<UserDataPart>,
    /// How machines are replaced.
    #[serde(default)]
    pub rolling_update: Option<RollingUpdateSpec>,
}

impl InstanceGroupSpec {
    /// A group of a role with nothing else said.
    pub fn new(role: Role) -> Self {
        Self {
            role,
            manager: None,
            min_size: None,
            max_size: None,
            autoscale: None,
            autoscale_priority: None,
            subnets: Vec::new(),
            zones: Vec::new(),
            image: None,
            machine_type: None,
            tenancy: None,
            cpu_credits: None,
            associate_public_ip: None,
            detailed_instance_monitoring: None,
            instance_metadata: None,
            root_volume_size: None,
            root_volume_type: None,
            root_volume_iops: None,
            root_volume_throughput: None,
            root_volume_optimization: None,
            root_volume_encryption: None,
            root_volume_encryption_key: None,
            volumes: Vec::new(),
            max_price: None,
            instance_interruption_behavior: None,
            capacity_rebalance: None,
            mixed_instances_policy: None,
            suspend_processes: Vec::new(),
            instance_protection: None,
            max_instance_lifetime: None,
            external_load_balancers: Vec::new(),
            iam: None,
            security_group_override: None,
            additional_security_groups: Vec::new(),
            cloud_labels: BTreeMap::new(),
            node_labels: BTreeMap::new(),
            taints: Vec::new(),
            kubelet: None,
            additional_user_data: Vec::new(),
            rolling_update: None,
        }
    }
}

/// What a group's machines do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[schemars(transform = accept_master)]
pub enum Role {
    /// The control plane; kops also says Master.
    #[serde(alias = "Master")]
    ControlPlane,
    /// Workers.
    Node,
    /// Etcd members on machines of their own.
    Etcd,
    /// A way in by SSH.
    Bastion,
}

/// Adds kops' other word for the control plane, which serde takes as an alias.
fn accept_master(schema: &mut Schema) {
    if let Some(Value::Array(choices)) = schema.get_mut("oneOf") {
        choices.insert(
            1,
            json!({ "const": "Master", "description": "The same, in kops' older word." }),
        );
    }
}

/// Who runs a group's machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GroupManager {
    /// An auto scaling group.
    CloudGroup,
}

/// Identity of a group's machines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupIamSpec {
    /// ARN of an instance profile that exists, in place of the role's.
    pub profile: Option<String>,
}

/// A target group that machines are registered with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetGroupSpec {
    /// ARN of the target group.
    pub target_group_arn: String,
}
