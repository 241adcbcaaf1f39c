"""What each call asks leave for. Service Authorization Reference, a page a service."""

import re

from access import machines
from access.facts import (
    boundary,
    elb_tags,
    has_balancers,
    has_object,
    request_tags,
    resource_tags,
)
from access.machines import arn, numbered, pass_role, roles_of_service, tags_of
from access.policy import Ask

# Actions of S3 that are not called like their operations. Amazon S3 API Reference, "Permissions" of
# each operation.
S3_ACTIONS = {
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "HeadObject": "s3:GetObject",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
}

TAGS = "Tags.member"


def asks_of(call):
    """All that AWS checks before it makes a call."""
    services = {
        "ec2": machines.ec2,
        "autoscaling": machines.autoscaling,
        "elasticloadbalancing": balancing,
        "iam": access_management,
        "sts": identity,
        "route53": dns,
        "s3": storage,
        "ssm": parameters,
    }
    asks = list(services[call.service](call, call.params))
    for ask in asks:
        ask.context.setdefault("aws:RequestedRegion", call.region)
    return asks


def identity(call, params):
    # STS API Reference, GetCallerIdentity: "No permissions are required".
    if call.action != "GetCallerIdentity":
        raise NotImplementedError(f"what {call.action} asks leave for")
    return []


def balancing(call, params):
    action = f"elasticloadbalancing:{call.action}"
    if call.action.startswith("Describe"):
        yield Ask(action, "*")
    elif call.action in ("CreateLoadBalancer", "CreateTargetGroup"):
        yield from new_balancer(call, params, action)
    elif call.action in ("AddTags", "RemoveTags"):
        for name in numbered(params, "ResourceArns.member"):
            context = resource_tags(elb_tags(call, name)) | request_tags(tags_of(params, TAGS))
            yield Ask(action, name, context)
    else:
        # The narrowest that the call names: a listener, a target group, a load balancer.
        fields = ("ListenerArn", "LoadBalancerArn", "TargetGroupArn")
        named = [params[field] for field in fields if field in params]
        yield Ask(action, named[0], resource_tags(elb_tags(call, named[0])))
        if call.action == "SetSubnets":
            yield Ask("ec2:DescribeSubnets", "*")


def new_balancer(call, params, action):
    """Elastic Load Balancing User Guide, "Elastic Load Balancing API permissions"."""
    is_balancer = call.action == "CreateLoadBalancer"
    kind = "loadbalancer/net" if is_balancer else "targetgroup"
    name = arn(call, "elasticloadbalancing", f"{kind}/{params['Name']}/*")
    tags = request_tags(tags_of(params, TAGS))
    yield Ask(action, name, dict(tags))
    if tags:
        at_creation = {"elasticloadbalancing:CreateAction": call.action}
        yield Ask("elasticloadbalancing:AddTags", name, tags | at_creation)
    looks = ["InternetGateways", "Vpcs"]
    if is_balancer:
        looks += ["AccountAttributes", "Addresses", "SecurityGroups", "Subnets"]
    for look in looks:
        yield Ask(f"ec2:Describe{look}", "*")
    if not has_balancers(call):
        yield roles_of_service(call, "elasticloadbalancing", "ElasticLoadBalancing")


def access_management(call, params):
    action, operation = f"iam:{call.action}", call.action
    role, profile = params.get("RoleName"), params.get("InstanceProfileName")
    tags = request_tags(tags_of(params, TAGS))
    if operation == "GetAccountAuthorizationDetails":
        yield Ask(action, "*")
    elif profile:
        name = f"arn:aws:iam::{call.account}:instance-profile/{profile}"
        yield Ask(action, name, dict(tags))
        if operation == "CreateInstanceProfile" and tags:
            yield Ask("iam:TagInstanceProfile", name, tags)
        if operation == "AddRoleToInstanceProfile":
            yield pass_role(call, role)
    elif role:
        name = f"arn:aws:iam::{call.account}:role/{role}"
        bound = boundary(call, role)
        if "PermissionsBoundary" in params:
            bound = {"iam:PermissionsBoundary": params["PermissionsBoundary"]}
        policy = {"iam:PolicyARN": params["PolicyArn"]} if "PolicyArn" in params else {}
        yield Ask(action, name, tags | bound | policy)
        if operation == "CreateRole" and tags:
            yield Ask("iam:TagRole", name, tags)
    else:
        raise NotImplementedError(f"what {operation} asks leave for")


def parameters(call, params):
    """GetParametersByPath's path is a resource like a parameter; DescribeParameters takes none."""
    if call.action == "DescribeParameters":
        yield Ask("ssm:DescribeParameters", "*")
        return
    named = [*numbered(params, "Names.member"), *(params[n] for n in ("Name", "Path") if n in params)]
    tags = request_tags(tags_of(params, TAGS))
    for name in named:
        resource = arn(call, "ssm", f"parameter{name}")
        yield Ask(f"ssm:{call.action}", resource, dict(tags))
        if call.action == "PutParameter" and tags:
            yield Ask("ssm:AddTagsToResource", resource, dict(tags))


def dns(call, params):
    action = f"route53:{call.action}"
    if call.action.startswith("ListHostedZones"):
        yield Ask(action, "*")
    elif call.action == "CreateHostedZone":
        vpcs = zip(found(call, "VPCId"), found(call, "VPCRegion"))
        vpcs = [f"VPCId={vpc},VPCRegion={region}" for vpc, region in vpcs]
        yield Ask(action, "*", {"route53:VPCs": vpcs})
        if vpcs:
            yield Ask("ec2:DescribeVpcs", "*")
    else:
        # Route 53 Developer Guide, "Using IAM policy conditions": names in small letters and
        # without the last dot.
        names = [name.lower().rstrip(".") for name in found(call, "Name")]
        is_batch = call.action == "ChangeResourceRecordSets"
        key = "route53:ChangeResourceRecordSetsNormalizedRecordNames"
        zone = f"arn:aws:route53:::hostedzone/{params['Id']}"
        yield Ask(action, zone, {key: names} if is_batch else {})


def found(call, element):
    """The texts of an element of the request's body."""
    body = call.environ["wsgi.input"].getvalue().decode("utf8", "replace")
    return re.findall(f"<{element}>([^<]*)</{element}>", body)


def storage(call, params):
    action = S3_ACTIONS.get(call.action, f"s3:{call.action}")
    bucket = f"arn:aws:s3:::{params['Bucket']}"
    if "Key" not in params:
        # Amazon S3 User Guide, "Bucket policy examples using condition keys": what a list is cut to.
        prefix = {"s3:prefix": params["prefix"]} if "prefix" in params else {}
        yield Ask(action, bucket, prefix)
        return
    name = f"{bucket}/{params['Key']}"
    yield Ask(action, name)
    # S3 User Guide, "Conditional requests": a write under a condition on what is there reads it.
    if action != "s3:GetObject" and "IfMatch" in params:
        yield Ask("s3:GetObject", name)
    # Amazon S3 API Reference, GetObject: without s3:ListBucket a missing object is forbidden.
    if action == "s3:GetObject" and not has_object(call, params["Bucket"], params["Key"]):
        yield Ask("s3:ListBucket", bucket)
