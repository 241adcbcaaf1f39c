//! Auto scaling groups.

use serde_json::json;

use super::{Scope, Statement};

pub(super) fn statements(scope: &Scope) -> Vec<Statement> {
    // Every group's name ends with the cluster's.
    let own = format!("autoScalingGroup:*:autoScalingGroupName/*.{}", scope.cluster);
    let own = [scope.arn("autoscaling", &own)];
    vec![
        Statement::new(
            "CreateGroups",
            &["autoscaling:CreateAutoScalingGroup"],
            own.clone(),
            scope.becomes_owned(),
        ),
        Statement::new("ChangeGroups", &CHANGE, own, scope.is_owned()),
        first_use(scope),
    ]
}

const CHANGE: [&str; 16] = [
    "autoscaling:AttachInstances",
    "autoscaling:AttachLoadBalancerTargetGroups",
    "autoscaling:CreateOrUpdateTags",
    "autoscaling:DeleteAutoScalingGroup",
    "autoscaling:DeleteLifecycleHook",
    "autoscaling:DeleteTags",
    "autoscaling:DetachInstances",
    "autoscaling:DetachLoadBalancerTargetGroups",
    "autoscaling:DisableMetricsCollection",
    "autoscaling:EnableMetricsCollection",
    "autoscaling:PutLifecycleHook",
    "autoscaling:ResumeProcesses",
    "autoscaling:SetDesiredCapacity",
    "autoscaling:SuspendProcesses",
    "autoscaling:TerminateInstanceInAutoScalingGroup",
    "autoscaling:UpdateAutoScalingGroup",
];

/// The roles of the services themselves, which the first group, load balancer and spot machine of an
/// account bring along (IAM user guide, "Create a service-linked role").
fn first_use(scope: &Scope) -> Statement {
    let services = [
        ("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling"),
        ("elasticloadbalancing.amazonaws.com", "AWSServiceRoleForElasticLoadBalancing"),
        ("spot.amazonaws.com", "AWSServiceRoleForEC2Spot"),
    ];
    let roles = services
        .map(|(service, role)| scope.iam(&format!("role/aws-service-role/{service}/{role}")));
    let names: Vec<&str> = services.iter().map(|(service, _)| *service).collect();
    let condition = json!({ "StringEquals": { "iam:AWSServiceName": names } });
    Statement::new("FirstUseInAccount", &["iam:CreateServiceLinkedRole"], roles, condition)
}
