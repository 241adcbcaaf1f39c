//! Rights that the pod network needs.

use serde_json::{Value, json};

use super::{Scope, allow};
use crate::resource::OWNER_TAG;

/// Routes to nodes' pods, with `kubenet` only, in route tables that are tagged for the cluster.
pub(super) fn routes(scope: &Scope<'_>) -> Option<Value> {
    scope.spec.cluster.spec.networking.as_ref()?.kubenet?;
    let tagged = json!({ "Null": { scope.cluster_key("ResourceTag"): "false" } });
    let tables = scope.arn("ec2", "route-table/*");
    Some(allow("PodRoutes", &["ec2:CreateRoute", "ec2:DeleteRoute"], tables, tagged))
}

/// The AWS VPC plugin's handling of interfaces; kprod's own it may not detach or delete.
/// Source: amazon-vpc-cni-k8s, `docs/iam-policy.md`.
pub(super) fn pod_network(scope: &Scope<'_>) -> Vec<Value> {
    let network = scope.spec.cluster.spec.networking.as_ref();
    if network.is_none_or(|network| network.amazonvpc.is_none()) {
        return Vec::new();
    }
    let interface = scope.arn("ec2", "network-interface/*");
    let not_ours = json!({ "Null": { format!("aws:ResourceTag/{OWNER_TAG}"): "true" } });
    let ours = scope.made_by_kprod();
    vec![
        allow(
            "ReadInterfaces",
            &[
                "ec2:DescribeInstanceTypes",
                "ec2:DescribeInstances",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSubnets",
                "ec2:DescribeTags",
            ],
            "*",
            Value::Null,
        ),
        allow(
            "PodAddresses",
            &[
                "ec2:AssignPrivateIpAddresses",
                "ec2:ModifyNetworkInterfaceAttribute",
                "ec2:UnassignPrivateIpAddresses",
            ],
            interface.as_str(),
            Value::Null,
        ),
        allow(
            "CreateInterfaces",
            &["ec2:CreateNetworkInterface"],
            json!([interface, scope.arn("ec2", "subnet/*"), scope.arn("ec2", "security-group/*"),]),
            Value::Null,
        ),
        allow(
            "TagInterfaces",
            &["ec2:CreateTags"],
            interface.as_str(),
            json!({ "Null": {
                format!("aws:RequestTag/{OWNER_TAG}"): "true",
                format!("aws:ResourceTag/{OWNER_TAG}"): "true",
            } }),
        ),
        allow(
            "MoveInterfaces",
            &[
                "ec2:AttachNetworkInterface",
                "ec2:DeleteNetworkInterface",
                "ec2:DetachNetworkInterface",
            ],
            interface,
            not_ours,
        ),
        allow(
            "MoveInterfacesOfMachines",
            &["ec2:AttachNetworkInterface", "ec2:DetachNetworkInterface"],
            scope.arn("ec2", "instance/*"),
            ours,
        ),
    ]
}
