//! What each operation needs: IAM actions, and the types of resources that AWS checks them on.
//!
//! Source, where nothing else is said: Service Authorization Reference, "Actions, resources, and
//! condition keys for" Amazon EC2, Amazon EC2 Auto Scaling, AWS Elastic Load Balancing V2, AWS
//! Identity and Access Management, Amazon Route 53, Amazon S3, AWS Systems Manager, AWS Key Management
//! Service. The words for the types are theirs; `*` stands for actions that take no resource.

use super::Level;

/// One action that a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The action, such as `ec2:CreateVolume`.
    pub action: &'static str,
    /// Types of the resources that it is checked on.
    pub on: &'static [&'static str],
}

/// One operation of the AWS API that kprod makes use of.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name, as errors and events tell it.
    pub name: &'static str,
    /// The first level that has it.
    pub level: Level,
    /// What it needs.
    pub needs: &'static [Need],
}

/// What an operation needs; none for one that kprod never makes.
pub fn needs(operation: &str) -> Option<&'static [Need]> {
    all().find(|known| known.name == operation).map(|known| known.needs)
}

/// Every operation that kprod makes.
pub fn all() -> impl Iterator<Item = &'static Operation> {
    [READ, EC2, AUTO_SCALING, IAM, BALANCERS, ROUTE53, PARAMETERS, STATE].into_iter().flatten()
}

const fn need(action: &'static str, on: &'static [&'static str]) -> Need {
    Need { action, on }
}

const fn read(name: &'static str, needs: &'static [Need]) -> Operation {
    Operation { name, level: Level::Plan, needs }
}

const fn change(name: &'static str, needs: &'static [Need]) -> Operation {
    Operation { name, level: Level::Apply, needs }
}

const fn prepare(name: &'static str, needs: &'static [Need]) -> Operation {
    Operation { name, level: Level::State, needs }
}

const NONE: &[&str] = &["*"];
const GROUP: &[&str] = &["security-group"];
const TEMPLATE: &[&str] = &["launch-template"];
const INSTANCE: &[&str] = &["instance"];
const VOLUME: &[&str] = &["volume"];
const INTERFACE: &[&str] = &["network-interface"];
const ROLE: &[&str] = &["role"];
const PROFILE: &[&str] = &["instance-profile"];
const ASG: &[&str] = &["autoScalingGroup"];
const BALANCER: &[&str] = &["loadbalancer"];
const TARGETS: &[&str] = &["targetgroup"];
const BOTH: &[&str] = &["loadbalancer", "targetgroup"];
const LISTENER: &[&str] = &["listener"];
const ZONE: &[&str] = &["hostedzone"];
const KEY: &[&str] = &["key"];
const PARAMETER: &[&str] = &["parameter"];
const BUCKET: &[&str] = &["bucket"];
const OBJECT: &[&str] = &["object"];

/// What a plan reads.
const READ: &[Operation] = &[
    // AWS answers this one to everybody (STS API reference, GetCallerIdentity).
    read("GetCallerIdentity", &[]),
    read("GetAccountAuthorizationDetails", &[need("iam:GetAccountAuthorizationDetails", NONE)]),
    read("GetInstanceProfile", &[need("iam:GetInstanceProfile", PROFILE)]),
    read("DescribeSubnets", &[need("ec2:DescribeSubnets", NONE)]),
    read("DescribeVpcs", &[need("ec2:DescribeVpcs", NONE)]),
    read("DescribeSecurityGroups", &[need("ec2:DescribeSecurityGroups", NONE)]),
    read("DescribeVolumes", &[need("ec2:DescribeVolumes", NONE)]),
    read("DescribeNetworkInterfaces", &[need("ec2:DescribeNetworkInterfaces", NONE)]),
    read("DescribeInstances", &[need("ec2:DescribeInstances", NONE)]),
    read("DescribeInstanceStatus", &[need("ec2:DescribeInstanceStatus", NONE)]),
    read("DescribeImages", &[need("ec2:DescribeImages", NONE)]),
    read("DescribeLaunchTemplates", &[need("ec2:DescribeLaunchTemplates", NONE)]),
    read("DescribeLaunchTemplateVersions", &[need("ec2:DescribeLaunchTemplateVersions", NONE)]),
    read("DescribeAutoScalingGroups", &[need("autoscaling:DescribeAutoScalingGroups", NONE)]),
    read("DescribeLifecycleHooks", &[need("autoscaling:DescribeLifecycleHooks", NONE)]),
    read("DescribeScalingActivities", &[need("autoscaling:DescribeScalingActivities", NONE)]),
    read("DescribeLoadBalancers", &[need("elasticloadbalancing:DescribeLoadBalancers", NONE)]),
    read("DescribeTargetGroups", &[need("elasticloadbalancing:DescribeTargetGroups", NONE)]),
    read("DescribeTargetHealth", &[need("elasticloadbalancing:DescribeTargetHealth", NONE)]),
    read("DescribeListeners", &[need("elasticloadbalancing:DescribeListeners", NONE)]),
    read("DescribeTags", &[need("elasticloadbalancing:DescribeTags", NONE)]),
    read(
        "DescribeLoadBalancerAttributes",
        &[need("elasticloadbalancing:DescribeLoadBalancerAttributes", NONE)],
    ),
    read(
        "DescribeTargetGroupAttributes",
        &[need("elasticloadbalancing:DescribeTargetGroupAttributes", NONE)],
    ),
    read("ListHostedZones", &[need("route53:ListHostedZones", NONE)]),
    read("ListResourceRecordSets", &[need("route53:ListResourceRecordSets", ZONE)]),
    read("ListTagsForResource", &[need("route53:ListTagsForResource", ZONE)]),
    read("GetHostedZone", &[need("route53:GetHostedZone", ZONE)]),
    read("GetParametersByPath", &[need("ssm:GetParametersByPath", PARAMETER)]),
    read("DescribeParameters", &[need("ssm:DescribeParameters", NONE)]),
];

const TAG_GROUP: Need = need("ec2:CreateTags", GROUP);

/// The rights to a launch: what RunInstances asks for when a template says how, dry run or not.
/// Auto Scaling asks for the same of who makes or changes a group (Amazon EC2 Auto Scaling user
/// guide, "Amazon EC2 Auto Scaling API permissions").
const LAUNCH: [Need; 10] = [
    need(
        "ec2:RunInstances",
        &[
            "image",
            "instance",
            "key-pair",
            "launch-template",
            "network-interface",
            "security-group",
            "subnet",
            "volume",
        ],
    ),
    need("ec2:CreateTags", VOLUME),
    need("iam:PassRole", ROLE),
    // The first spot machine of an account brings a role of the service with it (EC2 user guide,
    // "Service-linked role for Spot Instance requests").
    FIRST_USE,
    USE_KEY[0],
    USE_KEY[1],
    USE_KEY[2],
    USE_KEY[3],
    USE_KEY[4],
    USE_KEY[5],
];

/// A disk that is encrypted by a key of one's own: EBS acts for the caller (Amazon EBS user guide,
/// "Requirements for Amazon EBS encryption").
const USE_KEY: [Need; 6] = [
    need("kms:CreateGrant", KEY),
    need("kms:Decrypt", KEY),
    need("kms:DescribeKey", KEY),
    need("kms:GenerateDataKeyWithoutPlaintext", KEY),
    need("kms:ReEncryptFrom", KEY),
    need("kms:ReEncryptTo", KEY),
];

const FIRST_USE: Need = need("iam:CreateServiceLinkedRole", ROLE);

const EC2: &[Operation] = &[
    change(
        "CreateSecurityGroup",
        &[need("ec2:CreateSecurityGroup", &["security-group", "vpc"]), TAG_GROUP],
    ),
    change("AuthorizeSecurityGroupIngress", &[need("ec2:AuthorizeSecurityGroupIngress", GROUP)]),
    change("AuthorizeSecurityGroupEgress", &[need("ec2:AuthorizeSecurityGroupEgress", GROUP)]),
    change("RevokeSecurityGroupIngress", &[need("ec2:RevokeSecurityGroupIngress", GROUP)]),
    change("RevokeSecurityGroupEgress", &[need("ec2:RevokeSecurityGroupEgress", GROUP)]),
    change("DeleteSecurityGroup", &[need("ec2:DeleteSecurityGroup", GROUP)]),
    change("CreateTags", &[need("ec2:CreateTags", TAGGED)]),
    change("DeleteTags", &[need("ec2:DeleteTags", TAGGED)]),
    change(
        "CreateLaunchTemplate",
        &[need("ec2:CreateLaunchTemplate", TEMPLATE), need("ec2:CreateTags", TEMPLATE)],
    ),
    change("CreateLaunchTemplateVersion", &[need("ec2:CreateLaunchTemplateVersion", TEMPLATE)]),
    change("ProveLaunchTemplateVersion", &LAUNCH),
    change("RunInstances", &LAUNCH),
    change("DeleteLaunchTemplate", &[need("ec2:DeleteLaunchTemplate", TEMPLATE)]),
    change(
        "CreateVolume",
        &[
            need("ec2:CreateVolume", VOLUME),
            need("ec2:CreateTags", VOLUME),
            USE_KEY[0],
            USE_KEY[1],
            USE_KEY[2],
            USE_KEY[3],
            USE_KEY[4],
            USE_KEY[5],
        ],
    ),
    change("ModifyVolume", &[need("ec2:ModifyVolume", VOLUME)]),
    change("DeleteVolume", &[need("ec2:DeleteVolume", VOLUME)]),
    change(
        "CreateNetworkInterface",
        &[
            need("ec2:CreateNetworkInterface", &["network-interface", "security-group", "subnet"]),
            need("ec2:CreateTags", INTERFACE),
        ],
    ),
    change(
        "ModifyNetworkInterfaceGroups",
        &[need("ec2:ModifyNetworkInterfaceAttribute", &["network-interface", "security-group"])],
    ),
    change(
        "ModifyNetworkInterfaceDescription",
        &[need("ec2:ModifyNetworkInterfaceAttribute", INTERFACE)],
    ),
    change(
        "ModifyNetworkInterfaceAttribute",
        &[need("ec2:ModifyNetworkInterfaceAttribute", &["network-interface", "security-group"])],
    ),
    change("DeleteNetworkInterface", &[need("ec2:DeleteNetworkInterface", INTERFACE)]),
    change("TerminateInstances", &[need("ec2:TerminateInstances", INSTANCE)]),
];

/// What of EC2 is tagged after it was made.
const TAGGED: &[&str] =
    &["instance", "launch-template", "network-interface", "security-group", "volume"];

const AUTO_SCALING: &[Operation] = &[
    change(
        "CreateAutoScalingGroup",
        &[
            need("autoscaling:CreateAutoScalingGroup", ASG),
            LAUNCH[0],
            LAUNCH[1],
            LAUNCH[2],
            FIRST_USE,
        ],
    ),
    change(
        "UpdateAutoScalingGroup",
        &[need("autoscaling:UpdateAutoScalingGroup", ASG), LAUNCH[0], LAUNCH[1], LAUNCH[2]],
    ),
    change("CreateOrUpdateTags", &[need("autoscaling:CreateOrUpdateTags", ASG)]),
    change("DeleteGroupTags", &[need("autoscaling:DeleteTags", ASG)]),
    change("SuspendProcesses", &[need("autoscaling:SuspendProcesses", ASG)]),
    change("ResumeProcesses", &[need("autoscaling:ResumeProcesses", ASG)]),
    change("EnableMetricsCollection", &[need("autoscaling:EnableMetricsCollection", ASG)]),
    change("DisableMetricsCollection", &[need("autoscaling:DisableMetricsCollection", ASG)]),
    change(
        "AttachLoadBalancerTargetGroups",
        &[need("autoscaling:AttachLoadBalancerTargetGroups", ASG)],
    ),
    change(
        "DetachLoadBalancerTargetGroups",
        &[need("autoscaling:DetachLoadBalancerTargetGroups", ASG)],
    ),
    change("PutLifecycleHook", &[need("autoscaling:PutLifecycleHook", ASG)]),
    change("DeleteLifecycleHook", &[need("autoscaling:DeleteLifecycleHook", ASG)]),
    change("DeleteAutoScalingGroup", &[need("autoscaling:DeleteAutoScalingGroup", ASG)]),
    change("SetDesiredCapacity", &[need("autoscaling:SetDesiredCapacity", ASG)]),
    change("SetGroupMinimum", &[need("autoscaling:UpdateAutoScalingGroup", ASG)]),
    change(
        "PinLaunchTemplateVersion",
        &[need("autoscaling:UpdateAutoScalingGroup", ASG), LAUNCH[0], LAUNCH[1], LAUNCH[2]],
    ),
    change(
        "TerminateInstanceInAutoScalingGroup",
        &[need("autoscaling:TerminateInstanceInAutoScalingGroup", ASG)],
    ),
    change("DetachInstances", &[need("autoscaling:DetachInstances", ASG)]),
    change("AttachInstances", &[need("autoscaling:AttachInstances", ASG)]),
];

const IAM: &[Operation] = &[
    // A role or profile that is made with tags is tagged in the eyes of IAM, too (IAM user guide,
    // "Tag IAM roles").
    change("CreateRole", &[need("iam:CreateRole", ROLE), need("iam:TagRole", ROLE)]),
    change("UpdateAssumeRolePolicy", &[need("iam:UpdateAssumeRolePolicy", ROLE)]),
    change("PutRolePermissionsBoundary", &[need("iam:PutRolePermissionsBoundary", ROLE)]),
    change("DeleteRolePermissionsBoundary", &[need("iam:DeleteRolePermissionsBoundary", ROLE)]),
    change("PutRolePolicy", &[need("iam:PutRolePolicy", ROLE)]),
    change("DeleteRolePolicy", &[need("iam:DeleteRolePolicy", ROLE)]),
    change("AttachRolePolicy", &[need("iam:AttachRolePolicy", ROLE)]),
    change("DetachRolePolicy", &[need("iam:DetachRolePolicy", ROLE)]),
    change("TagRole", &[need("iam:TagRole", ROLE)]),
    change("UntagRole", &[need("iam:UntagRole", ROLE)]),
    change("DeleteRole", &[need("iam:DeleteRole", ROLE)]),
    change(
        "CreateInstanceProfile",
        &[need("iam:CreateInstanceProfile", PROFILE), need("iam:TagInstanceProfile", PROFILE)],
    ),
    change(
        "AddRoleToInstanceProfile",
        &[need("iam:AddRoleToInstanceProfile", PROFILE), need("iam:PassRole", ROLE)],
    ),
    change("RemoveRoleFromInstanceProfile", &[need("iam:RemoveRoleFromInstanceProfile", PROFILE)]),
    change("TagInstanceProfile", &[need("iam:TagInstanceProfile", PROFILE)]),
    change("UntagInstanceProfile", &[need("iam:UntagInstanceProfile", PROFILE)]),
    change("DeleteInstanceProfile", &[need("iam:DeleteInstanceProfile", PROFILE)]),
];

/// What load balancers look at in EC2 is checked against the caller's permissions (Elastic Load
/// Balancing user guide, "Elastic Load Balancing API permissions").
const BALANCERS: &[Operation] = &[
    change(
        "CreateLoadBalancer",
        &[
            need("elasticloadbalancing:CreateLoadBalancer", BALANCER),
            need("elasticloadbalancing:AddTags", BALANCER),
            need("ec2:DescribeAccountAttributes", NONE),
            need("ec2:DescribeAddresses", NONE),
            need("ec2:DescribeInternetGateways", NONE),
            need("ec2:DescribeSecurityGroups", NONE),
            need("ec2:DescribeSubnets", NONE),
            need("ec2:DescribeVpcs", NONE),
            FIRST_USE,
        ],
    ),
    change(
        "ModifyLoadBalancerAttributes",
        &[need("elasticloadbalancing:ModifyLoadBalancerAttributes", BALANCER)],
    ),
    change("SetSecurityGroups", &[need("elasticloadbalancing:SetSecurityGroups", BALANCER)]),
    change(
        "SetSubnets",
        &[need("elasticloadbalancing:SetSubnets", BALANCER), need("ec2:DescribeSubnets", NONE)],
    ),
    change("DeleteLoadBalancer", &[need("elasticloadbalancing:DeleteLoadBalancer", BALANCER)]),
    change(
        "CreateTargetGroup",
        &[
            need("elasticloadbalancing:CreateTargetGroup", TARGETS),
            need("elasticloadbalancing:AddTags", TARGETS),
            need("ec2:DescribeInternetGateways", NONE),
            need("ec2:DescribeVpcs", NONE),
            FIRST_USE,
        ],
    ),
    change("ModifyTargetGroup", &[need("elasticloadbalancing:ModifyTargetGroup", TARGETS)]),
    change(
        "ModifyTargetGroupAttributes",
        &[need("elasticloadbalancing:ModifyTargetGroupAttributes", TARGETS)],
    ),
    change("DeleteTargetGroup", &[need("elasticloadbalancing:DeleteTargetGroup", TARGETS)]),
    change("CreateListener", &[need("elasticloadbalancing:CreateListener", BALANCER)]),
    change("ModifyListener", &[need("elasticloadbalancing:ModifyListener", LISTENER)]),
    change("DeleteListener", &[need("elasticloadbalancing:DeleteListener", LISTENER)]),
    change("RegisterTargets", &[need("elasticloadbalancing:RegisterTargets", TARGETS)]),
    change("DeregisterTargets", &[need("elasticloadbalancing:DeregisterTargets", TARGETS)]),
    change("AddTags", &[need("elasticloadbalancing:AddTags", BOTH)]),
    change("RemoveTags", &[need("elasticloadbalancing:RemoveTags", BOTH)]),
];

const ROUTE53: &[Operation] = &[
    change(
        "CreateHostedZone",
        &[need("route53:CreateHostedZone", NONE), need("ec2:DescribeVpcs", NONE)],
    ),
    change("ChangeTagsForResource", &[need("route53:ChangeTagsForResource", ZONE)]),
    change("UpdateHostedZoneComment", &[need("route53:UpdateHostedZoneComment", ZONE)]),
    change("DeleteHostedZone", &[need("route53:DeleteHostedZone", ZONE)]),
    change("ChangeResourceRecordSets", &[need("route53:ChangeResourceRecordSets", ZONE)]),
];

/// Authorities. The account's own key for parameters encrypts them, which asks for no permission of
/// KMS (Systems Manager user guide, "How AWS Systems Manager Parameter Store uses AWS KMS").
const PARAMETERS: &[Operation] = &[
    change("GetParameter", &[need("ssm:GetParameter", PARAMETER)]),
    change("ReadAuthority", &[need("ssm:GetParameter", PARAMETER)]),
    change(
        "CreateAuthority",
        &[need("ssm:PutParameter", PARAMETER), need("ssm:AddTagsToResource", PARAMETER)],
    ),
    change(
        "PublishAuthority",
        &[need("ssm:PutParameter", PARAMETER), need("ssm:AddTagsToResource", PARAMETER)],
    ),
    change("DeleteAuthority", &[need("ssm:DeleteParameters", PARAMETER)]),
    // What AWS calls the changes above.
    change(
        "PutParameter",
        &[need("ssm:PutParameter", PARAMETER), need("ssm:AddTagsToResource", PARAMETER)],
    ),
    change("DeleteParameters", &[need("ssm:DeleteParameters", PARAMETER)]),
];

/// The state bucket. Without leave to list it a missing object looks forbidden (S3 API reference,
/// GetObject), and a write under a condition on what is there reads it (S3 user guide, "Conditional
/// requests").
const STATE: &[Operation] = &[
    read("GetObject", &[need("s3:GetObject", OBJECT), need("s3:ListBucket", BUCKET)]),
    read("ListObjectsV2", &[need("s3:ListBucket", BUCKET)]),
    change("CreateEpoch", &[need("s3:PutObject", OBJECT), need("s3:GetObject", OBJECT)]),
    change("CreateAsset", &[need("s3:PutObject", OBJECT)]),
    change("PutObject", &[need("s3:PutObject", OBJECT), need("s3:GetObject", OBJECT)]),
    change("DeleteObject", &[need("s3:DeleteObject", OBJECT), need("s3:GetObject", OBJECT)]),
    // Asked on the way to a message only, which does without the answer.
    change("ListBuckets", &[]),
    prepare("HeadBucket", &[need("s3:ListBucket", BUCKET)]),
    prepare(
        "CreateBucket",
        // The second is for the header that says who owns the objects (CreateBucket, "Permissions").
        &[need("s3:CreateBucket", BUCKET), need("s3:PutBucketOwnershipControls", BUCKET)],
    ),
    prepare("GetBucketVersioning", &[need("s3:GetBucketVersioning", BUCKET)]),
    prepare("GetBucketEncryption", &[need("s3:GetEncryptionConfiguration", BUCKET)]),
    prepare("GetPublicAccessBlock", &[need("s3:GetBucketPublicAccessBlock", BUCKET)]),
    prepare("GetBucketOwnershipControls", &[need("s3:GetBucketOwnershipControls", BUCKET)]),
    prepare("GetBucketPolicy", &[need("s3:GetBucketPolicy", BUCKET)]),
    prepare("GetBucketLifecycleConfiguration", &[need("s3:GetLifecycleConfiguration", BUCKET)]),
    prepare("PutBucketVersioning", &[need("s3:PutBucketVersioning", BUCKET)]),
    prepare("PutBucketEncryption", &[need("s3:PutEncryptionConfiguration", BUCKET)]),
    prepare("PutPublicAccessBlock", &[need("s3:PutBucketPublicAccessBlock", BUCKET)]),
    prepare("PutBucketOwnershipControls", &[need("s3:PutBucketOwnershipControls", BUCKET)]),
    prepare("PutBucketPolicy", &[need("s3:PutBucketPolicy", BUCKET)]),
    prepare("PutBucketLifecycleConfiguration", &[need("s3:PutLifecycleConfiguration", BUCKET)]),
];
