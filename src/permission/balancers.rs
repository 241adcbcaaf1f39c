//! The API's load balancers, and DNS.

use serde_json::{Value, json};

use super::{Scope, Statement};
use crate::resource::DnsName;

pub(super) fn statements(scope: &Scope) -> Vec<Statement> {
    balancers(scope).into_iter().chain(zones(scope)).collect()
}

fn balancers(scope: &Scope) -> Vec<Statement> {
    let arn = |resource: String| scope.arn("elasticloadbalancing", &resource);
    let balancers = scope.balancers.iter().map(|name| arn(format!("loadbalancer/net/{name}/*")));
    let targets = scope.target_groups.iter().map(|name| arn(format!("targetgroup/{name}/*")));
    let both: Vec<String> = balancers.chain(targets).collect();
    // Listeners carry no tags.
    let listeners = scope.balancers.iter().map(|name| arn(format!("listener/net/{name}/*/*")));
    let at_creation = json!({ "StringEquals": {
        "elasticloadbalancing:CreateAction": ["CreateLoadBalancer", "CreateTargetGroup"],
    } });
    vec![
        Statement::new("LookAroundForBalancers", &LOOK_AROUND, ["*"], scope.in_region()),
        Statement::new("CreateBalancers", &CREATE, both.clone(), scope.becomes_owned()),
        Statement::new(
            "TagNewBalancers",
            &["elasticloadbalancing:AddTags"],
            both.clone(),
            at_creation,
        ),
        Statement::new("ChangeBalancers", &CHANGE, both, scope.is_owned()),
        Statement::new("ChangeListeners", &LISTENERS, listeners, Value::Null),
    ]
}

const LOOK_AROUND: [&str; 3] =
    ["ec2:DescribeAccountAttributes", "ec2:DescribeAddresses", "ec2:DescribeInternetGateways"];

const CREATE: [&str; 2] =
    ["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"];

const CHANGE: [&str; 12] = [
    "elasticloadbalancing:AddTags",
    "elasticloadbalancing:CreateListener",
    "elasticloadbalancing:DeleteLoadBalancer",
    "elasticloadbalancing:DeleteTargetGroup",
    "elasticloadbalancing:DeregisterTargets",
    "elasticloadbalancing:ModifyLoadBalancerAttributes",
    "elasticloadbalancing:ModifyTargetGroup",
    "elasticloadbalancing:ModifyTargetGroupAttributes",
    "elasticloadbalancing:RegisterTargets",
    "elasticloadbalancing:RemoveTags",
    "elasticloadbalancing:SetSecurityGroups",
    "elasticloadbalancing:SetSubnets",
];

const LISTENERS: [&str; 2] =
    ["elasticloadbalancing:DeleteListener", "elasticloadbalancing:ModifyListener"];

/// Zones by their VPC, records by their names: ids of zones are AWS's, and zones take no condition
/// on tags. "For all values" holds of none as well, hence there must be some.
fn zones(scope: &Scope) -> Vec<Statement> {
    let in_vpc = format!("VPCId={},VPCRegion={}", scope.vpc_id, scope.region);
    let vpcs = "route53:VPCs";
    let in_vpc =
        json!({ "ForAllValues:StringEquals": { vpcs: [in_vpc] }, "Null": { vpcs: "false" } });
    vec![
        Statement::new("CreateZone", &["route53:CreateHostedZone"], ["*"], in_vpc),
        Statement::new("ChangeZone", &ZONES, [scope.zones()], Value::Null),
        Statement::new(
            "ChangeRecords",
            &["route53:ChangeResourceRecordSets"],
            [scope.zones()],
            own_records(scope),
        ),
    ]
}

const ZONES: [&str; 3] = [
    "route53:ChangeTagsForResource",
    "route53:DeleteHostedZone",
    "route53:UpdateHostedZoneComment",
];

/// Records below the cluster's name, and others of its names with their owner's record.
/// Source: Route 53 developer guide, "Using IAM policy conditions for fine-grained access control".
fn own_records(scope: &Scope) -> Value {
    let key = "route53:ChangeResourceRecordSetsNormalizedRecordNames";
    let others =
        scope.record_names.iter().flat_map(|name| [name.clone(), DnsName::owner_record(name)]);
    let names: Vec<String> =
        std::iter::once(format!("*.{}", scope.cluster)).chain(others).collect();
    json!({ "ForAllValues:StringLike": { key: names }, "Null": { key: "false" } })
}
