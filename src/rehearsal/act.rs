//! What a process of kprod does to the world, as the checkers see it: one changing request.

use crate::cloud::Call;
use crate::kube::KubeCall;

/// One changing request.
#[derive(Clone, Copy, Debug)]
pub enum Act<'a> {
    /// To AWS.
    Cloud(&'a Call),
    /// To the API server.
    Kube(&'a KubeCall),
    /// A write to the state bucket.
    Put(&'a str),
    /// A removal from the state bucket.
    Remove(&'a str),
}

impl<'a> Act<'a> {
    /// Its name, as AWS or Kubernetes has it.
    pub fn operation(&self) -> String {
        match self {
            Act::Cloud(call) => call.operation(),
            Act::Kube(call) => call.operation().to_owned(),
            Act::Put(_) => "PutObject".to_owned(),
            Act::Remove(_) => "DeleteObject".to_owned(),
        }
    }

    /// What it is about, short enough for one line.
    pub fn subject(&self) -> String {
        let ids = |ids: &std::collections::BTreeSet<String>| {
            ids.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
        };
        match self {
            Act::Kube(KubeCall::PatchNode { node, patch }) => {
                let cordon = match patch.unschedulable {
                    Some(true) => " cordon",
                    Some(false) => " uncordon",
                    None => "",
                };
                let (added, removed) = (patch.add_taints.len(), patch.remove_taints.len());
                let notes: Vec<&str> = patch.annotations.keys().map(String::as_str).collect();
                format!("{node}{cordon} +{added}/-{removed} taints {}", notes.join(" "))
            }
            Act::Kube(call) => call.subject(),
            Act::Put(key) | Act::Remove(key) => (*key).to_owned(),
            Act::Cloud(call) => match call {
                Call::SetDesiredCapacity { auto_scaling_group_name, desired_capacity } => {
                    format!("{auto_scaling_group_name} to {desired_capacity}")
                }
                Call::PinLaunchTemplateVersion { auto_scaling_group_name, version, .. } => {
                    format!("{auto_scaling_group_name} to version {version}")
                }
                Call::TerminateInstanceInAutoScalingGroup {
                    auto_scaling_group_name: group,
                    instance_ids,
                    should_decrement_desired_capacity: shrink,
                } => format!(
                    "{group} {}{}",
                    ids(instance_ids),
                    if *shrink { " shrinking" } else { "" }
                ),
                Call::DetachInstances { auto_scaling_group_name: group, instance_ids, .. }
                | Call::AttachInstances { auto_scaling_group_name: group, instance_ids } => {
                    format!("{group} {}", ids(instance_ids))
                }
                Call::TerminateInstances { instance_ids } => ids(instance_ids),
                Call::RegisterTargets { target_group_arn, instance_ids }
                | Call::DeregisterTargets { target_group_arn, instance_ids } => {
                    format!("{target_group_arn} {}", ids(instance_ids))
                }
                Call::CreateTags { resource_ids, tags } => {
                    let keys: Vec<&str> = tags.keys().map(String::as_str).collect();
                    format!("{} {}", ids(resource_ids), keys.join(" "))
                }
                Call::DeleteTags { resource_ids, keys } => {
                    format!("{} {}", ids(resource_ids), ids(keys))
                }
                Call::CreateOrUpdateTags { auto_scaling_group_name, tags } => {
                    let words: Vec<String> =
                        tags.iter().map(|(key, tag)| format!("{key}={}", tag.value)).collect();
                    format!("{auto_scaling_group_name} {}", words.join(" "))
                }
                Call::DeleteGroupTags { auto_scaling_group_name, keys } => {
                    format!("{auto_scaling_group_name} {}", ids(keys))
                }
                Call::SuspendProcesses { auto_scaling_group_name, processes }
                | Call::ResumeProcesses { auto_scaling_group_name, processes } => {
                    format!("{auto_scaling_group_name} {}", ids(processes))
                }
                Call::SetGroupMinimum { auto_scaling_group_name, min_size } => {
                    format!("{auto_scaling_group_name} to {min_size}")
                }
                _ => String::new(),
            },
        }
    }

    /// The group whose desired capacity it may change.
    pub fn resizes(&self) -> Option<&'a str> {
        match self {
            Act::Cloud(
                Call::SetDesiredCapacity { auto_scaling_group_name, .. }
                | Call::SetGroupMinimum { auto_scaling_group_name, .. }
                | Call::TerminateInstanceInAutoScalingGroup { auto_scaling_group_name, .. }
                | Call::DetachInstances { auto_scaling_group_name, .. }
                | Call::AttachInstances { auto_scaling_group_name, .. },
            ) => Some(auto_scaling_group_name),
            _ => None,
        }
    }

    /// The desired capacity that it asks for.
    pub fn asks_for(&self) -> Option<i32> {
        match self {
            Act::Cloud(Call::SetDesiredCapacity { desired_capacity, .. }) => {
                Some(*desired_capacity)
            }
            _ => None,
        }
    }

    /// Machines that it ends.
    pub fn ends(&self) -> Vec<&'a str> {
        match self {
            Act::Cloud(
                Call::TerminateInstanceInAutoScalingGroup { instance_ids, .. }
                | Call::TerminateInstances { instance_ids },
            ) => instance_ids.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Machines that it takes away from their group: ends, or detaches.
    pub fn takes(&self) -> Vec<&'a str> {
        match self {
            Act::Cloud(Call::DetachInstances { instance_ids, .. }) => {
                instance_ids.iter().map(String::as_str).collect()
            }
            _ => self.ends(),
        }
    }
}
