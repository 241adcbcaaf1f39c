"""What calls to EC2 and Auto Scaling ask leave for, launches above all."""

import re

from access.facts import (
    ec2_tags,
    group_tags,
    groups,
    request_tags,
    resource_tags,
    roles_in,
    subnet_of_interface,
    template_of,
)
from access.policy import Ask

# The type of a resource by the first letters of its id.
TYPES = {
    "i": "instance",
    "sg": "security-group",
    "lt": "launch-template",
    "vol": "volume",
    "eni": "network-interface",
    "subnet": "subnet",
    "vpc": "vpc",
}

# Calls that make one resource, with its type.
MAKERS = {
    "CreateSecurityGroup": "security-group",
    "CreateLaunchTemplate": "launch-template",
    "CreateVolume": "volume",
    "CreateNetworkInterface": "network-interface",
}

# Calls about what is there, with the parameters that name it; the first one is what is changed.
CHANGES = {
    "AuthorizeSecurityGroupIngress": ["GroupId"],
    "AuthorizeSecurityGroupEgress": ["GroupId"],
    "RevokeSecurityGroupIngress": ["GroupId"],
    "RevokeSecurityGroupEgress": ["GroupId"],
    "DeleteSecurityGroup": ["GroupId"],
    "ModifyVolume": ["VolumeId"],
    "DeleteVolume": ["VolumeId"],
    "ModifyNetworkInterfaceAttribute": ["NetworkInterfaceId", "SecurityGroupId"],
    "DeleteNetworkInterface": ["NetworkInterfaceId"],
    "TerminateInstances": ["InstanceId"],
    "AttachVolume": ["VolumeId", "InstanceId"],
}


def arn(call, service, resource):
    return f"arn:aws:{service}:{call.region}:{call.account}:{resource}"


def numbered(params, prefix):
    """Values of `prefix.1`, `prefix.2`, ..."""
    pattern = re.compile(re.escape(prefix) + r"\.\d+")
    return [value for name, value in params.items() if pattern.fullmatch(name)]


def existing(call, action, resource_id, context=None):
    """Leave for a resource that is there, with its tags."""
    kind = TYPES[resource_id.split("-")[0]]
    tags = resource_tags(ec2_tags(call, resource_id))
    return Ask(action, arn(call, "ec2", f"{kind}/{resource_id}"), tags | (context or {}))


def ec2(call, params):
    action = f"ec2:{call.action}"
    if call.action.startswith("Describe"):
        yield Ask(action, "*")
    elif call.action in MAKERS:
        yield from new(call, params, MAKERS[call.action])
    elif call.action in ("CreateTags", "DeleteTags"):
        tags = request_tags(tags_of(params, "Tag"))
        for resource_id in numbered(params, "ResourceId"):
            yield existing(call, action, resource_id, tags)
    elif call.action in ("CreateLaunchTemplateVersion", "DeleteLaunchTemplate"):
        template = template_named(call, params, "")
        yield existing(call, action, template.id)
    elif call.action == "RunInstances":
        yield from launch(call, params, "LaunchTemplate.", numbered_subnets(params))
    elif call.action in CHANGES:
        for parameter in CHANGES[call.action]:
            named = [params[parameter]] if parameter in params else numbered(params, parameter)
            for resource_id in named:
                yield existing(call, action, resource_id)
    else:
        raise NotImplementedError(f"what {call.action} asks leave for")


def new(call, params, kind):
    """Leave to make a resource, to tag it at once, and for what it is put into."""
    action, resource = f"ec2:{call.action}", arn(call, "ec2", f"{kind}/*")
    tags = request_tags(specified_tags(params).get(kind, {}))
    yield Ask(action, resource, dict(tags))
    if tags:
        yield Ask("ec2:CreateTags", resource, tags | {"ec2:CreateAction": call.action})
    into = [params[name] for name in ("VpcId", "SubnetId") if name in params]
    for resource_id in into + numbered(params, "SecurityGroupId"):
        yield existing(call, action, resource_id)


def tags_of(params, prefix):
    tags = {}
    for name, value in params.items():
        match = re.fullmatch(re.escape(prefix) + r"\.(\d+)\.Key", name)
        if match:
            tags[value] = params.get(f"{prefix}.{match.group(1)}.Value", "")
    return tags


def specified_tags(params):
    """Tags by type, of `TagSpecification`."""
    found = {}
    for name, value in params.items():
        match = re.fullmatch(r"(TagSpecification\.\d+)\.ResourceType", name)
        if match:
            found[value] = tags_of(params, f"{match.group(1)}.Tag")
    return found


def template_named(call, params, prefix):
    name = params.get(f"{prefix}LaunchTemplateName")
    return template_of(call, name, params.get(f"{prefix}LaunchTemplateId"))


def numbered_subnets(params):
    return [params["SubnetId"]] if "SubnetId" in params else []


def launch(call, params, prefix, subnets):
    """What a launch from a template asks leave for. EC2 User Guide, "Example policies to control
    access the Amazon EC2 API", on RunInstances; resources that the template names count."""
    template = template_named(call, params, prefix)
    if template is None:
        return
    version = params.get(f"{prefix}Version", "$Default")
    data = template.get_version(version).data
    through = {
        "ec2:LaunchTemplate": arn(call, "ec2", f"launch-template/{template.id}"),
        "ec2:IsLaunchTemplateResource": "true",
    }
    run = "ec2:RunInstances"
    yield existing(call, run, template.id, through)
    image = f"arn:aws:ec2:{call.region}::image/{data['ImageId']}"
    made = [arn(call, "ec2", f"{kind}/*") for kind in ("instance", "volume")]
    if data.get("KeyName"):
        made.append(arn(call, "ec2", f"key-pair/{data['KeyName']}"))
    for resource in [image, *made]:
        yield Ask(run, resource, dict(through))
    interfaces = data.get("NetworkInterfaces", [])
    for interface in interfaces:
        yield from plug(call, interface, subnets, through)
    for specification in data.get("TagSpecifications", []):
        tags = {tag["Key"]: tag["Value"] for tag in specification.get("Tags", [])}
        kind = arn(call, "ec2", f"{specification['ResourceType']}/*")
        yield Ask("ec2:CreateTags", kind, request_tags(tags) | {"ec2:CreateAction": "RunInstances"})
    profile = data.get("IamInstanceProfile", {})
    profile = profile.get("Arn") or profile.get("Name")
    for role in roles_in(call, profile) if profile else []:
        yield pass_role(call, role)


def plug(call, interface, subnets, through):
    """Leave for an interface: a new one in subnets, or one that is there."""
    run, kept = "ec2:RunInstances", interface.get("NetworkInterfaceId")
    if kept:
        yield existing(call, run, kept, through)
        subnets = [subnet_of_interface(call, kept)]
    else:
        yield Ask(run, arn(call, "ec2", "network-interface/*"), dict(through))
    named = interface.get("SubnetId")
    inside = [named] if named else subnets
    for resource_id in [*inside, *interface.get("Groups", [])]:
        yield existing(call, run, resource_id, through)


def pass_role(call, role):
    to_ec2 = {"iam:PassedToService": "ec2.amazonaws.com"}
    return Ask("iam:PassRole", f"arn:aws:iam::{call.account}:role/{role}", to_ec2)


def roles_of_service(call, service, word):
    """Leave for the role of a service, which the first use of it in an account makes. IAM User
    Guide, "Create a service-linked role"."""
    principal = f"{service}.amazonaws.com"
    role = f"aws-service-role/{principal}/AWSServiceRoleFor{word}"
    resource = f"arn:aws:iam::{call.account}:role/{role}"
    return Ask("iam:CreateServiceLinkedRole", resource, {"iam:AWSServiceName": principal})


def autoscaling(call, params):
    action = f"autoscaling:{call.action}"
    if call.action.startswith("Describe"):
        yield Ask(action, "*")
        return
    tags = request_tags(tags_of(params, "Tags.member"))
    name = params.get("AutoScalingGroupName")
    tagged = {v for n, v in params.items() if re.fullmatch(r"Tags\.member\.\d+\.ResourceId", n)}
    is_new = call.action == "CreateAutoScalingGroup"
    for group in [name] if name else sorted(tagged):
        own = {} if is_new else resource_tags(group_tags(call, group))
        resource = f"autoScalingGroup:*:autoScalingGroupName/{group}"
        yield Ask(action, arn(call, "autoscaling", resource), tags | own)
    if is_new and not groups(call):
        yield roles_of_service(call, "autoscaling", "AutoScaling")
    if is_new or call.action == "UpdateAutoScalingGroup":
        # Amazon EC2 Auto Scaling User Guide, "Amazon EC2 Auto Scaling API permissions".
        subnets = [one for one in params.get("VPCZoneIdentifier", "").split(",") if one]
        for prefix in ("LaunchTemplate.", f"{MIXED}.LaunchTemplateSpecification."):
            yield from launch(call, params, prefix, subnets)


MIXED = "MixedInstancesPolicy.LaunchTemplate"
