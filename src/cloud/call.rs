//! Every mutation that kprod makes: one variant is one AWS API call.
//!
//! References are resolved before a call is built, so a call never carries a promise (an id that is
//! not known yet is not expressible here).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::resource::{
    AutoScalingGroup, EpochMember, GroupTag, HealthCheck, LaunchTemplateData,
    LaunchTemplateInterface, LifecycleHook, Listener, LoadBalancer, MixedInstancesPolicy,
    NetworkInterface, RecordSet, Role, Rule, SubnetMapping, Tags, TargetGroup, Volume,
};

/// One mutating AWS API call. Variant and field names follow the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "operation")]
pub enum Call {
    // EC2: security groups.
    /// Makes a security group, tags included. AWS adds a rule that allows all IPv4 egress.
    CreateSecurityGroup { group_name: String, description: String, vpc_id: String, tags: Tags },
    /// Adds ingress rules, all of one group in one call; `description` marks the owner.
    AuthorizeSecurityGroupIngress { group_id: String, rules: BTreeSet<Rule>, description: String },
    /// Adds egress rules.
    AuthorizeSecurityGroupEgress { group_id: String, rules: BTreeSet<Rule>, description: String },
    /// Removes ingress rules.
    RevokeSecurityGroupIngress { group_id: String, rules: BTreeSet<Rule> },
    /// Removes egress rules.
    RevokeSecurityGroupEgress { group_id: String, rules: BTreeSet<Rule> },
    /// Removes a group that nothing uses.
    DeleteSecurityGroup { group_id: String },
    /// Sets the same tags on EC2 resources (groups, templates, volumes, interfaces, instances).
    CreateTags { resource_ids: BTreeSet<String>, tags: Tags },
    /// Removes tags of EC2 resources by key.
    DeleteTags { resource_ids: BTreeSet<String>, keys: BTreeSet<String> },

    // EC2: launch templates.
    /// Makes a template with its version 1; `version_description` carries the revision.
    CreateLaunchTemplate {
        launch_template_name: String,
        version_description: String,
        data: Box<LaunchTemplateData>,
        tags: Tags,
        client_token: String,
    },
    /// Adds a version.
    CreateLaunchTemplateVersion {
        launch_template_name: String,
        version_description: String,
        data: Box<LaunchTemplateData>,
        client_token: String,
    },
    /// Proves that a version can launch: RunInstances with DryRun. Changes nothing. The version's
    /// interfaces are named again, as far as they are known, since AWS takes a subnet only as part of
    /// one.
    ProveLaunchTemplateVersion {
        launch_template_name: String,
        version: u64,
        subnet_id: Option<String>,
        network_interfaces: Vec<LaunchTemplateInterface>,
    },
    /// Removes a template with all its versions.
    DeleteLaunchTemplate { launch_template_name: String },

    // EC2: volumes and interfaces.
    /// Makes a volume, tags included.
    CreateVolume { volume: Box<Volume>, client_token: String },
    /// Changes size, type, iops or throughput.
    ModifyVolume {
        volume_id: String,
        size: i32,
        volume_type: String,
        iops: Option<i32>,
        throughput: Option<i32>,
    },
    /// Removes a volume that is not attached.
    DeleteVolume { volume_id: String },
    /// Makes a network interface, tags included.
    CreateNetworkInterface { interface: Box<NetworkInterface>, client_token: String },
    /// Replaces an interface's security groups.
    ModifyNetworkInterfaceGroups { network_interface_id: String, groups: BTreeSet<String> },
    /// Changes an interface's description.
    ModifyNetworkInterfaceDescription { network_interface_id: String, description: String },
    /// Removes an interface that is not attached.
    DeleteNetworkInterface { network_interface_id: String },

    // EC2: instances.
    /// Ends instances; a group replaces those that it counts. All or none: an id that is not known
    /// fails the whole call, one that has ended lately does not.
    TerminateInstances { instance_ids: BTreeSet<String> },

    // IAM.
    /// Makes a role with its trust policy, boundary and tags; policies come after.
    CreateRole { role: Box<Role> },
    /// Replaces the trust policy.
    UpdateAssumeRolePolicy { role_name: String, policy_document: Value },
    /// Sets the permissions boundary.
    PutRolePermissionsBoundary { role_name: String, permissions_boundary: String },
    /// Removes the permissions boundary.
    DeleteRolePermissionsBoundary { role_name: String },
    /// Writes one inline policy.
    PutRolePolicy { role_name: String, policy_name: String, policy_document: Value },
    /// Removes one inline policy.
    DeleteRolePolicy { role_name: String, policy_name: String },
    /// Attaches a managed policy.
    AttachRolePolicy { role_name: String, policy_arn: String },
    /// Detaches a managed policy.
    DetachRolePolicy { role_name: String, policy_arn: String },
    /// Sets tags of a role.
    TagRole { role_name: String, tags: Tags },
    /// Removes tags of a role.
    UntagRole { role_name: String, keys: BTreeSet<String> },
    /// Removes a role that has no policies and is in no profile.
    DeleteRole { role_name: String },
    /// Makes an empty instance profile.
    CreateInstanceProfile { instance_profile_name: String, tags: Tags },
    /// Puts the role into a profile; a profile holds one.
    AddRoleToInstanceProfile { instance_profile_name: String, role_name: String },
    /// Takes the role out of a profile.
    RemoveRoleFromInstanceProfile { instance_profile_name: String, role_name: String },
    /// Sets tags of a profile.
    TagInstanceProfile { instance_profile_name: String, tags: Tags },
    /// Removes tags of a profile.
    UntagInstanceProfile { instance_profile_name: String, keys: BTreeSet<String> },
    /// Removes an empty profile.
    DeleteInstanceProfile { instance_profile_name: String },

    // Systems Manager's parameters: authorities.
    /// Makes an authority's key, and a certificate of it, in a SecureString that must not exist yet
    /// (PutParameter). The key is made on the way; the reply tells the certificate.
    CreateAuthority { cluster: String, authority: String, parameter: String, tags: Tags },
    /// Reads an authority's SecureString to tell its certificate (GetParameter); changes nothing.
    ReadAuthority { cluster: String, authority: String, parameter: String },
    /// Writes what an authority is trusted by into a String that must not exist yet (PutParameter).
    PublishAuthority { parameter: String, certificate: String, tags: Tags },
    /// Removes parameters, at most ten (DeleteParameters); those that do not exist are no error.
    DeleteAuthority { parameters: BTreeSet<String> },

    // The state bucket: epochs of etcd, and what machines fetch.
    /// Opens the first epoch of an etcd cluster, in an object that must not exist yet (PutObject). The
    /// nonce that tells it from every other is drawn on the way; the reply tells the token as its id.
    CreateEpoch { cluster: String, etcd: String, members: BTreeMap<String, EpochMember> },
    /// Writes an asset of this digest and length into an object that must not exist yet (PutObject). The
    /// bytes are found on the way, in a file of whoever makes the call.
    CreateAsset { cluster: String, sha256: String, size: u64 },
    /// Removes an object; one that does not exist is no error.
    DeleteObject { key: String },

    // Elastic Load Balancing v2.
    /// Makes a network load balancer; attributes come after.
    CreateLoadBalancer { load_balancer: Box<LoadBalancer> },
    /// Sets the cross-zone and deletion-protection attributes.
    ModifyLoadBalancerAttributes {
        load_balancer_arn: String,
        cross_zone_enabled: bool,
        deletion_protection_enabled: bool,
    },
    /// Replaces the security groups.
    SetSecurityGroups { load_balancer_arn: String, security_groups: BTreeSet<String> },
    /// Adds subnets (a network load balancer cannot lose one).
    SetSubnets { load_balancer_arn: String, subnet_mappings: BTreeSet<SubnetMapping> },
    /// Removes a load balancer with its listeners.
    DeleteLoadBalancer { load_balancer_arn: String },
    /// Makes a target group; attributes come after.
    CreateTargetGroup { target_group: Box<TargetGroup> },
    /// Changes the health check.
    ModifyTargetGroup { target_group_arn: String, health_check: HealthCheck },
    /// Sets deregistration delay, connection termination and client address preservation.
    ModifyTargetGroupAttributes {
        target_group_arn: String,
        deregistration_delay_seconds: u32,
        connection_termination_enabled: bool,
        preserve_client_ip_enabled: bool,
    },
    /// Removes a target group that no listener uses.
    DeleteTargetGroup { target_group_arn: String },
    /// Makes a listener.
    CreateListener { listener: Box<Listener> },
    /// Changes a listener.
    ModifyListener { listener_arn: String, listener: Box<Listener> },
    /// Removes a listener.
    DeleteListener { listener_arn: String },
    /// Registers instances with a target group; those that are there already stay.
    RegisterTargets { target_group_arn: String, instance_ids: BTreeSet<String> },
    /// Takes instances out of a target group: connections go on for the deregistration delay.
    DeregisterTargets { target_group_arn: String, instance_ids: BTreeSet<String> },
    /// Sets tags of load balancers and target groups.
    AddTags { resource_arn: String, tags: Tags },
    /// Removes tags of load balancers and target groups.
    RemoveTags { resource_arn: String, keys: BTreeSet<String> },

    // Route53.
    /// Makes a private zone.
    CreateHostedZone { name: String, vpc_id: String, comment: String, caller_reference: String },
    /// Sets and removes tags of a zone.
    ChangeTagsForResource { hosted_zone_id: String, add: Tags, remove: BTreeSet<String> },
    /// Changes a zone's comment.
    UpdateHostedZoneComment { hosted_zone_id: String, comment: String },
    /// Removes an empty zone.
    DeleteHostedZone { hosted_zone_id: String },
    /// Changes one name in one atomic batch: deletes, then upserts. Record sets are keyed by name
    /// (without the last dot) and type.
    ChangeResourceRecordSets {
        hosted_zone_id: String,
        #[serde(with = "record_list")]
        delete: BTreeMap<(String, String), RecordSet>,
        #[serde(with = "record_list")]
        upsert: BTreeMap<(String, String), RecordSet>,
    },

    // Auto Scaling.
    /// Makes a group with tags, hooks and target groups, pinned to `version`.
    CreateAutoScalingGroup { group: Box<AutoScalingGroup>, version: u64 },
    /// Changes a group's own settings; pin and desired capacity stay as they are. The pin is named
    /// where the mixed instances policy changes, since AWS takes a policy only with its template;
    /// without a version the policy stays, too.
    UpdateAutoScalingGroup { group: Box<AutoScalingGroup>, version: Option<u64> },
    /// Sets tags of a group.
    CreateOrUpdateTags { auto_scaling_group_name: String, tags: BTreeMap<String, GroupTag> },
    /// Removes tags of a group.
    DeleteGroupTags { auto_scaling_group_name: String, keys: BTreeSet<String> },
    /// Suspends processes.
    SuspendProcesses { auto_scaling_group_name: String, processes: BTreeSet<String> },
    /// Resumes processes.
    ResumeProcesses { auto_scaling_group_name: String, processes: BTreeSet<String> },
    /// Switches group metrics on.
    EnableMetricsCollection { auto_scaling_group_name: String, metrics: BTreeSet<String> },
    /// Switches group metrics off.
    DisableMetricsCollection { auto_scaling_group_name: String, metrics: BTreeSet<String> },
    /// Attaches target groups.
    AttachLoadBalancerTargetGroups { auto_scaling_group_name: String, arns: BTreeSet<String> },
    /// Detaches target groups.
    DetachLoadBalancerTargetGroups { auto_scaling_group_name: String, arns: BTreeSet<String> },
    /// Writes a hook.
    PutLifecycleHook { auto_scaling_group_name: String, name: String, hook: LifecycleHook },
    /// Removes a hook.
    DeleteLifecycleHook { auto_scaling_group_name: String, name: String },
    /// Removes a group; `force` terminates its machines with it (only `destroy` does).
    DeleteAutoScalingGroup { auto_scaling_group_name: String, force: bool },
    /// Sets how many machines a group should have, within its limits.
    SetDesiredCapacity { auto_scaling_group_name: String, desired_capacity: i32 },
    /// Changes a group's minimum alone (UpdateAutoScalingGroup); the desired capacity rises with it.
    SetGroupMinimum { auto_scaling_group_name: String, min_size: i32 },
    /// Moves the version that new machines get (UpdateAutoScalingGroup). The policy is the one that
    /// is there, since AWS takes a version only together with it; without one AWS drops it.
    PinLaunchTemplateVersion {
        auto_scaling_group_name: String,
        launch_template_name: String,
        version: u64,
        mixed_instances_policy: Option<MixedInstancesPolicy>,
    },
    /// Ends machines of a group, at most [`Call::TERMINATED_MAX`]: out of load balancers first, then
    /// the termination hook. The group replaces them, or wants so many fewer.
    TerminateInstanceInAutoScalingGroup {
        auto_scaling_group_name: String,
        instance_ids: BTreeSet<String>,
        should_decrement_desired_capacity: bool,
    },
    /// Takes machines that serve out of a group and its target groups, at most
    /// [`Call::DETACHED_MAX`]; they go on running. The group replaces them, or wants so many fewer.
    DetachInstances {
        auto_scaling_group_name: String,
        instance_ids: BTreeSet<String>,
        should_decrement_desired_capacity: bool,
    },
    /// Puts running machines into a group, at most [`Call::DETACHED_MAX`]; it wants so many more.
    AttachInstances { auto_scaling_group_name: String, instance_ids: BTreeSet<String> },
}

impl Call {
    /// Most machines of one `TerminateInstanceInAutoScalingGroup`.
    /// Source: Amazon EC2 Auto Scaling API reference, TerminateInstanceInAutoScalingGroup.
    pub const TERMINATED_MAX: usize = 100;
    /// Most machines of one `DetachInstances` or `AttachInstances`.
    /// Source: Amazon EC2 Auto Scaling API reference, DetachInstances and AttachInstances.
    pub const DETACHED_MAX: usize = 20;
    /// Most resources of one `CreateTags` or `DeleteTags`.
    /// Source: EC2 API reference, CreateTags and DeleteTags.
    pub const TAGGED_MAX: usize = 1000;

    /// The AWS operation's name.
    pub fn operation(&self) -> String {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => {
                map.get("operation").and_then(Value::as_str).unwrap_or("Call").to_owned()
            }
            _ => "Call".to_owned(),
        }
    }
}

/// What a call answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// What AWS decided about a new resource.
    pub attributes: BTreeMap<crate::resource::Attribute, String>,
    /// The number of a new launch template version.
    pub version: Option<u64>,
    /// Machines that were to end together with their place in their group, and were ending before for
    /// another reason: the group goes on wanting as many.
    #[serde(default)]
    pub places_kept: BTreeSet<String>,
}

/// Reads and writes record sets as a list: a JSON object's key cannot be a pair.
mod record_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::resource::RecordSet;

    #[derive(Serialize, Deserialize)]
    struct Item<T> {
        name: String,
        #[serde(rename = "type")]
        record_type: String,
        record_set: T,
    }

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<(String, String), RecordSet>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map.iter().map(|((name, record_type), record_set)| Item {
            name: name.clone(),
            record_type: record_type.clone(),
            record_set,
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<(String, String), RecordSet>, D::Error> {
        let items = Vec::<Item<RecordSet>>::deserialize(deserializer)?;
        Ok(items.into_iter().map(|i| ((i.name, i.record_type), i.record_set)).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;

    #[test]
    fn a_batch_of_records_survives_json() {
        let set =
            RecordSet { ttl: Some(60), resource_records: BTreeSet::new(), alias_target: None };
        let call = Call::ChangeResourceRecordSets {
            hosted_zone_id: "Z1".to_owned(),
            delete: BTreeMap::new(),
            upsert: BTreeMap::from([(("a.example.com".to_owned(), "A".to_owned()), set)]),
        };
        assert_eq!(call.operation(), "ChangeResourceRecordSets");
        let text = serde_json::to_string(&call).unwrap();
        assert_eq!(serde_json::from_str::<Call>(&text).unwrap(), call);
    }
}
