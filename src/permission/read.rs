//! What a plan reads. AWS takes no resource for nearly all of it.

use super::{Scope, Statement, state};
use crate::pki::PUBLIC_PLACE;

pub(super) fn statements(scope: &Scope) -> Vec<Statement> {
    let zones = [scope.zones()];
    let anywhere = serde_json::Value::Null;
    let mut statements = vec![
        Statement::new("ReadNetworkAndMachines", &EC2, ["*"], scope.in_region()),
        Statement::new("ReadGroups", &AUTO_SCALING, ["*"], scope.in_region()),
        Statement::new("ReadBalancers", &BALANCERS, ["*"], scope.in_region()),
        // IAM and Route53 have one endpoint for all regions.
        Statement::new(
            "ReadRoles",
            &["iam:GetAccountAuthorizationDetails"],
            ["*"],
            anywhere.clone(),
        ),
        Statement::new(
            "ReadProfiles",
            &["iam:GetInstanceProfile"],
            scope.profile_arns(),
            anywhere.clone(),
        ),
        Statement::new("ListZones", &["route53:ListHostedZones"], ["*"], anywhere.clone()),
        Statement::new(
            "ReadRecords",
            &[
                "route53:GetHostedZone",
                "route53:ListResourceRecordSets",
                "route53:ListTagsForResource",
            ],
            zones,
            anywhere.clone(),
        ),
        // Whoever may read a path may read all below it (Systems Manager user guide, "Restricting
        // access to parameters"): certificates and public keys, and no secret.
        Statement::new(
            "ReadCertificates",
            &["ssm:GetParametersByPath"],
            [scope.parameter(PUBLIC_PLACE), scope.parameter(&format!("{PUBLIC_PLACE}/*"))],
            anywhere,
        ),
        // Names, and nothing of what is in them.
        Statement::new("ListParameters", &["ssm:DescribeParameters"], ["*"], scope.in_region()),
    ];
    statements.extend(state::read(scope));
    statements
}

const EC2: [&str; 10] = [
    "ec2:DescribeImages",
    "ec2:DescribeInstanceStatus",
    "ec2:DescribeInstances",
    "ec2:DescribeLaunchTemplateVersions",
    "ec2:DescribeLaunchTemplates",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVolumes",
    "ec2:DescribeVpcs",
];

const AUTO_SCALING: [&str; 3] = [
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeLifecycleHooks",
    "autoscaling:DescribeScalingActivities",
];

const BALANCERS: [&str; 7] = [
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancerAttributes",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeTags",
    "elasticloadbalancing:DescribeTargetGroupAttributes",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
];
