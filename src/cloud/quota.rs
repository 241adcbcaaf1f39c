//! Which quota of the account a call runs into.

/// The quota that a call which makes something runs into, as Service Quotas and the services' pages on
/// quotas name it.
pub(crate) fn quota_of(operation: &str) -> Option<&'static str> {
    let quota = match operation {
        "CreateSecurityGroup" => "VPC security groups per Region",
        "AuthorizeSecurityGroupIngress" | "AuthorizeSecurityGroupEgress" => {
            "Inbound or outbound rules per security group"
        }
        "CreateLaunchTemplate" => "Launch templates per Region",
        "CreateLaunchTemplateVersion" => "Versions per launch template",
        "ProveLaunchTemplateVersion" => "Running instances, in vCPUs, of the machine's family",
        "CreateVolume" | "ModifyVolume" => "Storage for volumes of this type, in TiB",
        "CreateNetworkInterface" => "Network interfaces per Region",
        "CreateRole" => "Roles per account",
        "PutRolePolicy" => "Role policy size",
        "AttachRolePolicy" => "Managed policies attached to an IAM role",
        "CreateInstanceProfile" => "Instance profiles",
        "AddRoleToInstanceProfile" => "Roles in an instance profile",
        "CreateLoadBalancer" => "Network Load Balancers per Region",
        "CreateTargetGroup" => "Target Groups per Region",
        "CreateListener" => "Listeners per Network Load Balancer",
        "CreateHostedZone" => "Hosted zones",
        "ChangeResourceRecordSets" => "Records per hosted zone",
        "CreateAutoScalingGroup" => "Auto Scaling groups per region",
        "PutLifecycleHook" => "Lifecycle hooks per Auto Scaling group",
        _ => return None,
    };
    Some(quota)
}
