//! Rights of the control plane's controllers: load balancers of services, and nothing of kprod's.

use serde_json::{Value, json};

use super::{Scope, allow};
use crate::desired::name::Names;
use crate::desired::vpc_id;
use crate::resource::OWNER_TAG;
use crate::spec::Role;

/// The cloud controller manager: nodes, and load balancers of services.
/// Source: cloud-provider-aws, `docs/prerequisites.md`, without what is done by other means
/// (volumes, which belong to the EBS driver) and narrowed by tag.
pub(super) fn controllers(scope: &Scope<'_>) -> Vec<Value> {
    let owned = json!({
        "StringEquals": { scope.cluster_key("RequestTag"): "owned" },
        "Null": { format!("aws:RequestTag/{OWNER_TAG}"): "true" },
    });
    let group = scope.arn("ec2", "security-group/*");
    let nodes_group = Names::of(scope.spec.name()).security_group(Role::Node);
    let nodes_only = json!({ "StringEquals": {
        format!("aws:ResourceTag/{OWNER_TAG}"): scope.spec.name(),
        "aws:ResourceTag/Name": nodes_group,
    } });
    let ingress = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"];
    let at_creation = |key: &str, actions: &[&str]| json!({ "StringEquals": { key: actions } });
    vec![
        allow("Read", &READ, "*", Value::Null),
        allow(
            "CreateBalancers",
            &["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"],
            "*",
            owned.clone(),
        ),
        allow(
            "TagNewBalancers",
            &["elasticloadbalancing:AddTags"],
            "*",
            at_creation(
                "elasticloadbalancing:CreateAction",
                &["CreateLoadBalancer", "CreateTargetGroup"],
            ),
        ),
        allow("ChangeBalancers", &CHANGE_BALANCERS, "*", scope.made_by_controllers()),
        allow("CreateGroups", &["ec2:CreateSecurityGroup"], group.as_str(), owned),
        allow(
            "CreateGroupsInVpc",
            &["ec2:CreateSecurityGroup"],
            scope.arn("ec2", &format!("vpc/{}", vpc_id(scope.spec))),
            Value::Null,
        ),
        allow(
            "TagNewGroups",
            &["ec2:CreateTags"],
            group.as_str(),
            at_creation("ec2:CreateAction", &["CreateSecurityGroup"]),
        ),
        allow(
            "ChangeGroups",
            &[ingress[0], ingress[1], "ec2:DeleteSecurityGroup"],
            group.as_str(),
            scope.made_by_controllers(),
        ),
        allow("OpenNodesToBalancers", &ingress, group, nodes_only),
        allow(
            "FirstBalancerOfAccount",
            &["iam:CreateServiceLinkedRole"],
            format!(
                "arn:{}:iam::{}:role/aws-service-role/elasticloadbalancing.amazonaws.com/*",
                scope.partition, scope.account
            ),
            json!({ "StringEquals": {
                "iam:AWSServiceName": "elasticloadbalancing.amazonaws.com",
            } }),
        ),
    ]
}

/// What the controllers look at; AWS does not take resources for these.
const READ: [&str; 18] = [
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeTags",
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeInstanceTopology",
    "ec2:DescribeInstances",
    "ec2:DescribeRegions",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancerAttributes",
    "elasticloadbalancing:DescribeLoadBalancerPolicies",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeTags",
    "elasticloadbalancing:DescribeTargetGroupAttributes",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
];

/// What the controllers do to load balancers that they made, classic ones included.
const CHANGE_BALANCERS: [&str; 25] = [
    "elasticloadbalancing:AddTags",
    "elasticloadbalancing:ApplySecurityGroupsToLoadBalancer",
    "elasticloadbalancing:AttachLoadBalancerToSubnets",
    "elasticloadbalancing:ConfigureHealthCheck",
    "elasticloadbalancing:CreateListener",
    "elasticloadbalancing:CreateLoadBalancerListeners",
    "elasticloadbalancing:CreateLoadBalancerPolicy",
    "elasticloadbalancing:DeleteListener",
    "elasticloadbalancing:DeleteLoadBalancer",
    "elasticloadbalancing:DeleteLoadBalancerListeners",
    "elasticloadbalancing:DeleteTargetGroup",
    "elasticloadbalancing:DeregisterInstancesFromLoadBalancer",
    "elasticloadbalancing:DeregisterTargets",
    "elasticloadbalancing:DetachLoadBalancerFromSubnets",
    "elasticloadbalancing:ModifyListener",
    "elasticloadbalancing:ModifyLoadBalancerAttributes",
    "elasticloadbalancing:ModifyTargetGroup",
    "elasticloadbalancing:ModifyTargetGroupAttributes",
    "elasticloadbalancing:RegisterInstancesWithLoadBalancer",
    "elasticloadbalancing:RegisterTargets",
    "elasticloadbalancing:RemoveTags",
    "elasticloadbalancing:SetLoadBalancerPoliciesForBackendServer",
    "elasticloadbalancing:SetLoadBalancerPoliciesOfListener",
    "elasticloadbalancing:SetSecurityGroups",
    "elasticloadbalancing:SetSubnets",
];
