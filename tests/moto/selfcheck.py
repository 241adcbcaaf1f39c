"""Sees every mend at work, through AWS's own client library.

    python selfcheck.py [NAME...]    runs the checks, or those whose names contain one of the words;
                                     prints their names as a JSON list

It needs an empty account of the launcher. Each check makes what it needs under names of its own.
"""

import base64
import json
import os
import sys
import time
import urllib.request
from email.utils import parsedate_to_datetime
from itertools import count

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

REGION = "eu-west-3"
ZONES = ["eu-west-3a", "eu-west-3b", "eu-west-3c"]
ONCE = Config(retries={"max_attempts": 0}, parameter_validation=False)


def client(service, **options):
    return boto3.client(service, REGION, config=ONCE, **options)


ec2, autoscaling = client("ec2"), client("autoscaling")
elb, iam, route53, s3 = client("elbv2"), client("iam"), client("route53"), client("s3")
ACCOUNT = client("sts").get_caller_identity()["Account"]
numbers = count(1)


def control(path, body):
    """Talks to the launcher about this account."""
    url = f"{os.environ['AWS_ENDPOINT_URL']}/kprod/{path}?account={ACCOUNT}"
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def refuses(code, call, **arguments):
    """A call is refused with this code; gives the message."""
    try:
        call(**arguments)
    except ClientError as error:
        got = error.response["Error"]
        assert got["Code"] == code, f"{code} expected, and not {got}"
        return got["Message"]
    raise AssertionError(f"{code} expected, and it was done")


def eventually(holds, what):
    """Waits until something holds; ten seconds at most."""
    for _ in range(100):
        if found := holds():
            return found
        time.sleep(0.1)
    raise AssertionError(f"never: {what}")


def fresh(word):
    return f"{word}-{next(numbers)}"


class World:
    """A VPC with a subnet in each zone, an image and a profile."""

    def __init__(self):
        self.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"10.0.{i}.0/24", AvailabilityZone=zone)[
                "Subnet"
            ]["SubnetId"]
            for i, zone in enumerate(ZONES)
        ]
        self.image = ec2.register_image(Name="node", RootDeviceName="/dev/xvda")["ImageId"]
        self.profile = self.make_profile()

    def make_profile(self):
        name = fresh("profile")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        return name

    def security_group(self):
        name = fresh("group")
        return ec2.create_security_group(GroupName=name, Description="d", VpcId=self.vpc)["GroupId"]

    def data(self, **more):
        return {
            "ImageId": self.image,
            "InstanceType": "m6i.large",
            "UserData": base64.b64encode(b"#cloud-config").decode(),
        } | more

    def template(self, **more):
        name = fresh("template")
        ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=self.data(**more))
        return name

    def group(self, template=None, size=(0, 9), **more):
        name = fresh("asg")
        if "MixedInstancesPolicy" not in more:
            named = {"LaunchTemplateName": template or self.template(), "Version": "1"}
            more = {"LaunchTemplate": named} | more
        zones = {} if "AvailabilityZones" in more else {"VPCZoneIdentifier": ",".join(self.subnets)}
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name, MinSize=size[0], MaxSize=size[1], **zones | more
        )
        return name

    def interface(self, **more):
        made = ec2.create_network_interface(SubnetId=self.subnets[0], **more)
        return made["NetworkInterface"]["NetworkInterfaceId"]


TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)


def described(name):
    groups = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    return next(iter(groups["AutoScalingGroups"]), None)


def members(name, state=None):
    found = described(name)
    instances = found["Instances"] if found else []
    return [item for item in instances if state in (None, item["LifecycleState"])]


def activities(name):
    return autoscaling.describe_scaling_activities(AutoScalingGroupName=name)["Activities"]


def instance(instance_id):
    found = ec2.describe_instances(InstanceIds=[instance_id])
    return found["Reservations"][0]["Instances"][0]


def check_versions_of_machines(world):
    """A machine keeps the version it was launched from, with that version's user data and groups."""
    group = world.security_group()
    name = world.template()
    asg = world.group(name, size=(1, 3))
    interfaces = [{"DeviceIndex": 0, "Groups": [group]}]
    data = world.data(
        InstanceType="m6i.xlarge",
        NetworkInterfaces=interfaces,
        IamInstanceProfile={"Name": world.profile},
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
    )
    ec2.create_launch_template_version(LaunchTemplateName=name, LaunchTemplateData=data)
    autoscaling.update_auto_scaling_group(
        AutoScalingGroupName=asg,
        LaunchTemplate={"LaunchTemplateName": name, "Version": "2"},
        DesiredCapacity=2,
    )
    versions = {item["LaunchTemplate"]["Version"]: item for item in members(asg)}
    assert set(versions) == {"1", "2"}, versions
    made = instance(versions["2"]["InstanceId"])
    tags = {tag["Key"]: tag["Value"] for tag in made["Tags"]}
    assert tags["aws:ec2launchtemplate:version"] == "2"
    assert tags["aws:autoscaling:groupName"] == asg
    assert made["InstanceType"] == "m6i.xlarge"
    assert [item["GroupId"] for item in made["SecurityGroups"]] == [group]
    assert made["IamInstanceProfile"]["Arn"].endswith("/" + world.profile)
    assert made["MetadataOptions"]["HttpTokens"] == "required"
    data = ec2.describe_instance_attribute(InstanceId=made["InstanceId"], Attribute="userData")
    assert base64.b64decode(data["UserData"]["Value"]) == b"#cloud-config"


def check_zones(world):
    asg = world.group(size=(4, 9))
    zones = sorted(item["AvailabilityZone"] for item in members(asg))
    assert zones == [ZONES[0], *ZONES], zones
    autoscaling.update_auto_scaling_group(AutoScalingGroupName=asg, MinSize=0, MaxSize=3)
    zones = sorted(item["AvailabilityZone"] for item in members(asg))
    assert zones == ZONES, zones


def check_group_requests(world):
    name = world.template()
    named = {"LaunchTemplateName": name, "Version": "1"}
    make = {"LaunchTemplate": named, "VPCZoneIdentifier": world.subnets[0]}
    create = autoscaling.create_auto_scaling_group
    asg = world.group(name, size=(1, 2))
    wanted = {"AutoScalingGroupName": asg, "MinSize": 1, "MaxSize": 2} | make
    refuses("AlreadyExists", create, **wanted)
    other = wanted | {"AutoScalingGroupName": "other"}
    refuses("ValidationError", create, **other | {"MinSize": 3})
    refuses("ValidationError", create, **other | {"DesiredCapacity": 3})
    refuses("ValidationError", create, **other | {"TargetGroupARNs": ["arn:aws:none"]})
    bad = {"LaunchTemplateName": world.template(IamInstanceProfile={"Name": "none"})}
    message = refuses("ValidationError", create, **other | {"LaunchTemplate": bad})
    assert "Invalid IAM Instance Profile name" in message
    update = autoscaling.update_auto_scaling_group
    refuses("ValidationError", update, AutoScalingGroupName=asg, MinSize=3)
    refuses("ValidationError", update, AutoScalingGroupName=asg, DesiredCapacity=3)
    refuses("ValidationError", update, AutoScalingGroupName="none", MinSize=3)
    set_desired = autoscaling.set_desired_capacity
    refuses("ValidationError", set_desired, AutoScalingGroupName=asg, DesiredCapacity=0)
    refuses("ValidationError", set_desired, AutoScalingGroupName="none", DesiredCapacity=0)
    terminate = autoscaling.terminate_instance_in_auto_scaling_group
    machine = members(asg)[0]["InstanceId"]
    refuses(
        "ValidationError", terminate, InstanceId=machine, ShouldDecrementDesiredCapacity=True
    )
    refuses("ValidationError", terminate, InstanceId="i-1", ShouldDecrementDesiredCapacity=True)
    tag = {"ResourceId": "none", "ResourceType": "auto-scaling-group", "Key": "a", "Value": "b"}
    refuses("ValidationError", autoscaling.create_or_update_tags, Tags=[tag])
    update(AutoScalingGroupName=asg, MinSize=2)
    assert (described(asg)["DesiredCapacity"], len(members(asg))) == (2, 2)
    delete = autoscaling.delete_auto_scaling_group
    refuses("ResourceInUse", delete, AutoScalingGroupName=asg)
    delete(AutoScalingGroupName=asg, ForceDelete=True)
    assert described(asg) is None
    refuses("ValidationError", delete, AutoScalingGroupName=asg)


def check_group_settings(world):
    name = world.template()
    asg = world.group(name, HealthCheckGracePeriod=0, MaxInstanceLifetime=86400)
    assert (described(asg)["HealthCheckGracePeriod"], described(asg)["MaxInstanceLifetime"]) == (
        0,
        86400,
    )
    changes = {
        "HealthCheckGracePeriod": 60,
        "MaxInstanceLifetime": 0,
        "CapacityRebalance": True,
        "DefaultInstanceWarmup": 30,
        "DefaultCooldown": 10,
        "TerminationPolicies": ["OldestInstance"],
        "NewInstancesProtectedFromScaleIn": True,
    }
    autoscaling.update_auto_scaling_group(AutoScalingGroupName=asg, **changes)
    told = described(asg)
    assert {key: told[key] for key in changes} == changes, told
    autoscaling.enable_metrics_collection(
        AutoScalingGroupName=asg, Metrics=["GroupMinSize"], Granularity="1Minute"
    )
    autoscaling.enable_metrics_collection(
        AutoScalingGroupName=asg, Metrics=["GroupMaxSize"], Granularity="1Minute"
    )
    autoscaling.disable_metrics_collection(AutoScalingGroupName=asg, Metrics=["GroupMinSize"])
    assert [item["Metric"] for item in described(asg)["EnabledMetrics"]] == ["GroupMaxSize"]


def check_mixed_policies(world):
    spec = {"LaunchTemplateName": world.template(), "Version": "1"}
    kinds = ["m6i.large", "m5.large"]
    policy = {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": spec,
            "Overrides": [{"InstanceType": kind} for kind in kinds],
        },
        "InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": 50},
    }
    asg = world.group(size=(3, 9), MixedInstancesPolicy=policy)
    lifecycles = [instance(item["InstanceId"]).get("InstanceLifecycle") for item in members(asg)]
    assert lifecycles.count("spot") == 1 and len(lifecycles) == 3, lifecycles
    autoscaling.update_auto_scaling_group(AutoScalingGroupName=asg, MaxSize=8)
    told = described(asg)
    overrides = told["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]
    assert [item["InstanceType"] for item in overrides] == kinds
    assert "LaunchTemplate" not in told
    control("config", {"shortages": [{"zone": zone, "type": kinds[0]} for zone in ZONES]})
    autoscaling.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=4)
    control("config", {"shortages": []})
    types = [item["InstanceType"] for item in members(asg)]
    assert types.count(kinds[1]) == 1, types


def check_slow_machines(world):
    """Pending, Pending:Wait, InService; Terminating until it is gone."""
    control("config", {"launch_seconds": 0.3, "terminate_seconds": 0.3})
    hook = {
        "LifecycleHookName": "ready",
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
        "HeartbeatTimeout": 30,
        "DefaultResult": "ABANDON",
    }
    control("config", {"hooks_complete_seconds": None})
    asg = world.group(size=(1, 2), LifecycleHookSpecificationList=[hook])
    assert [item["LifecycleState"] for item in members(asg)] == ["Pending"]
    machine = members(asg)[0]["InstanceId"]
    assert instance(machine)["State"]["Name"] == "pending"
    eventually(lambda: members(asg, "Pending:Wait"), "Pending:Wait")
    assert instance(machine)["State"]["Name"] == "running"
    assert activities(asg)[0]["StatusCode"] == "MidLifecycleAction"
    named = {"AutoScalingGroupName": asg, "LifecycleHookName": "ready"}
    complete = autoscaling.complete_lifecycle_action
    refuses(
        "ValidationError", complete, **named, InstanceId="i-1", LifecycleActionResult="CONTINUE"
    )
    autoscaling.record_lifecycle_action_heartbeat(**named, InstanceId=machine)
    complete(**named, InstanceId=machine, LifecycleActionResult="CONTINUE")
    assert members(asg, "InService")
    assert activities(asg)[0]["StatusCode"] == "Successful"

    control("config", {"hooks_complete_seconds": 0.2})
    autoscaling.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=2)
    eventually(lambda: len(members(asg, "InService")) == 2, "the software completes the hook")

    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=asg, ForceDelete=True)
    assert described(asg)["Status"] == "Delete in progress"
    assert len(members(asg, "Terminating")) == 2
    assert instance(machine)["State"]["Name"] == "shutting-down"
    change = {"AutoScalingGroupName": asg, "MaxSize": 3}
    refuses("ScalingActivityInProgress", autoscaling.update_auto_scaling_group, **change)
    eventually(lambda: described(asg) is None, "the group is gone")
    assert instance(machine)["State"]["Name"] == "terminated"
    control("config", {"launch_seconds": 0, "terminate_seconds": 0, "hooks_complete_seconds": 0})


def check_abandoned_launches(world):
    control("config", {"hooks_complete_seconds": None})
    asg = world.group(size=(0, 2))
    put = autoscaling.put_lifecycle_hook
    hook = {
        "AutoScalingGroupName": asg,
        "LifecycleHookName": "ready",
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
    }
    refuses("ValidationError", put, **hook, HeartbeatTimeout=10)
    put(**hook, HeartbeatTimeout=30)
    told = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=asg)["LifecycleHooks"][0]
    assert "NotificationTargetARN" not in told and "RoleARN" not in told, told
    autoscaling.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=1)
    first = members(asg, "Pending:Wait")[0]["InstanceId"]
    autoscaling.complete_lifecycle_action(
        AutoScalingGroupName=asg,
        LifecycleHookName="ready",
        InstanceId=first,
        LifecycleActionResult="ABANDON",
    )
    abandoned = [item for item in activities(asg) if "was abandoned" in item.get("StatusMessage", "")]
    assert [item["StatusCode"] for item in abandoned] == ["Cancelled"], activities(asg)
    assert first not in [item["InstanceId"] for item in members(asg)]
    control("config", {"hooks_complete_seconds": 0})
    delete = {"AutoScalingGroupName": asg, "LifecycleHookName": "ready"}
    autoscaling.delete_lifecycle_hook(**delete)
    refuses("ValidationError", autoscaling.delete_lifecycle_hook, **delete)


def check_shortages(world):
    """Where there is no capacity, the other zones are tried, and an activity says so at the end."""
    control("config", {"shortages": [{"zone": ZONES[0]}]})
    asg = world.group(size=(2, 3))
    assert sorted(item["AvailabilityZone"] for item in members(asg)) == ZONES[1:]
    control("config", {"shortages": [{"zone": zone} for zone in ZONES]})
    autoscaling.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=3)
    failed = activities(asg)[0]
    assert failed["StatusCode"] == "Failed"
    assert "do not have sufficient m6i.large capacity" in failed["StatusMessage"]
    control("config", {"shortages": []})
    eventually(lambda: len(members(asg)) == 3, "the group tries again")
    control("config", {"instances_max": 0})
    other = world.group(size=(1, 1))
    assert "vCPU limit" in activities(other)[0]["StatusMessage"]
    control("config", {"instances_max": None})
    eventually(lambda: len(members(other)) == 1, "the group tries again")


def check_suspended_processes(world):
    asg = world.group(size=(1, 3))
    suspend = {"AutoScalingGroupName": asg, "ScalingProcesses": ["Launch", "Terminate"]}
    autoscaling.suspend_processes(**suspend)
    autoscaling.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=2)
    assert len(members(asg)) == 1
    autoscaling.resume_processes(**suspend)
    assert len(members(asg)) == 2
    ec2.terminate_instances(InstanceIds=[members(asg)[0]["InstanceId"]])
    assert len(members(asg)) == 2, "a machine that somebody ended is replaced"


def check_fencing(world):
    """An interface as the main one: one machine at a time, and the activity says so."""
    address = "10.0.0.200"
    interface = world.interface(PrivateIpAddress=address)
    nics = [{"DeviceIndex": 0, "NetworkInterfaceId": interface}]
    name = world.template(NetworkInterfaces=nics)
    asg = world.group(name, size=(1, 2), AvailabilityZones=[ZONES[0]])
    machine = members(asg)[0]["InstanceId"]
    assert instance(machine)["PrivateIpAddress"] == address
    told = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]
    assert (told["Status"], told["Attachment"]["InstanceId"]) == ("in-use", machine)
    refuses(
        "InvalidNetworkInterface.InUse",
        ec2.delete_network_interface,
        NetworkInterfaceId=interface,
    )
    autoscaling.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=2)
    assert len(members(asg)) == 1
    assert f"Interface: [{interface}] in use" in activities(asg)[0]["StatusMessage"]
    autoscaling.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=1)
    control("config", {"terminate_seconds": 0.5})
    ec2.terminate_instances(InstanceIds=[machine])
    assert machine in [item["InstanceId"] for item in members(asg, "Terminating")]
    eventually(lambda: members(asg, "InService"), "the next machine takes the interface over")
    control("config", {"terminate_seconds": 0})
    told = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]
    assert told["Attachment"]["InstanceId"] == members(asg)[0]["InstanceId"]
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=asg, ForceDelete=True)
    told = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]
    assert told["Status"] == "available" and "Attachment" not in told, told
    ec2.delete_network_interface(NetworkInterfaceId=interface)


def check_interfaces(world):
    interface = world.interface(PrivateIpAddress="10.0.0.201")
    create = ec2.create_network_interface
    subnet = {"SubnetId": world.subnets[0]}
    refuses("InvalidIPAddress.InUse", create, **subnet, PrivateIpAddress="10.0.0.201")
    refuses("InvalidParameterValue", create, **subnet, PrivateIpAddress="10.9.0.1")
    refuses("InvalidGroup.NotFound", create, **subnet, Groups=["sg-0123456789abcdef0"])
    six = [world.security_group() for _ in range(6)]
    refuses("SecurityGroupsPerInterfaceLimitExceeded", create, **subnet, Groups=six)
    asg = world.group(size=(1, 1), VPCZoneIdentifier=world.subnets[0])
    machine = members(asg)[0]["InstanceId"]
    attach = {"NetworkInterfaceId": interface, "InstanceId": machine, "DeviceIndex": 1}
    ec2.attach_network_interface(**attach)
    refuses("InvalidNetworkInterface.InUse", ec2.attach_network_interface, **attach)
    own = instance(machine)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=asg, ForceDelete=True)
    find = ec2.describe_network_interfaces
    refuses("InvalidNetworkInterfaceID.NotFound", find, NetworkInterfaceIds=[own])
    assert find(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]["Status"] == "available"


def check_volumes(world):
    def make(zone):
        return ec2.create_volume(AvailabilityZone=zone, Size=1, VolumeType="gp3")["VolumeId"]

    asg = world.group(size=(1, 1), VPCZoneIdentifier=world.subnets[0])
    machine = members(asg)[0]["InstanceId"]
    volume, other, away = make(ZONES[0]), make(ZONES[0]), make(ZONES[1])
    attach = {"InstanceId": machine, "Device": "/dev/sdf"}
    ec2.attach_volume(VolumeId=volume, **attach)
    refuses("VolumeInUse", ec2.attach_volume, VolumeId=volume, **attach)
    refuses("InvalidParameterValue", ec2.attach_volume, VolumeId=other, **attach)
    refuses("InvalidVolume.ZoneMismatch", ec2.attach_volume, VolumeId=away, **attach)
    refuses("VolumeInUse", ec2.delete_volume, VolumeId=volume)
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=asg, ForceDelete=True)
    assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available"
    ec2.delete_volume(VolumeId=volume)


def check_security_groups(world):
    group, peer = world.security_group(), world.security_group()

    def rule(description, port=443, **more):
        pair = {"GroupId": peer, "Description": description}
        made = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [pair]}
        return made | more

    authorize = ec2.authorize_security_group_ingress
    authorize(GroupId=group, IpPermissions=[rule("one")])
    refuses(
        "InvalidPermission.Duplicate",
        authorize,
        GroupId=group,
        IpPermissions=[rule("x", 80), rule("other")],
    )
    told = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    assert len(told["IpPermissions"]) == 1, "all or none"
    ranges = [{"CidrIp": f"10.1.{i}.0/24"} for i in range(61)]
    many = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "IpRanges": ranges}
    code = "RulesPerSecurityGroupLimitExceeded"
    refuses(code, authorize, GroupId=group, IpPermissions=[many])
    ipip = {"IpProtocol": "4", "UserIdGroupPairs": [{"GroupId": peer}]}
    authorize(GroupId=group, IpPermissions=[ipip])
    refuses("DependencyViolation", ec2.delete_security_group, GroupId=peer)
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule("two"), ipip])
    interface = world.interface(Groups=[peer])
    refuses("DependencyViolation", ec2.delete_security_group, GroupId=peer)
    ec2.delete_network_interface(NetworkInterfaceId=interface)
    ec2.delete_security_group(GroupId=peer)


def check_client_tokens(world):
    name = fresh("template")
    make = {"LaunchTemplateName": name, "LaunchTemplateData": world.data(), "ClientToken": name}
    first = ec2.create_launch_template(**make)["LaunchTemplate"]["LaunchTemplateId"]
    assert ec2.create_launch_template(**make)["LaunchTemplate"]["LaunchTemplateId"] == first
    other = make | {"LaunchTemplateData": world.data(InstanceType="m5.large")}
    refuses("IdempotentParameterMismatch", ec2.create_launch_template, **other)
    refuses(
        "InvalidLaunchTemplateName.AlreadyExistsException",
        ec2.create_launch_template,
        **make | {"ClientToken": "another"},
    )
    for _ in range(2):
        version = ec2.create_launch_template_version(**make)["LaunchTemplateVersion"]
        assert version["VersionNumber"] == 2
    volume = {"AvailabilityZone": ZONES[0], "Size": 1, "ClientToken": name}
    assert ec2.create_volume(**volume)["VolumeId"] == ec2.create_volume(**volume)["VolumeId"]
    interface = {"SubnetId": world.subnets[0], "ClientToken": name}
    create = ec2.create_network_interface
    ids = [create(**interface)["NetworkInterface"]["NetworkInterfaceId"] for _ in range(2)]
    assert ids[0] == ids[1]
    run = {"ImageId": world.image, "MinCount": 1, "MaxCount": 1, "SubnetId": world.subnets[0]}
    ids = [
        ec2.run_instances(**run, ClientToken=name)["Instances"][0]["InstanceId"] for _ in range(2)
    ]
    assert ids[0] == ids[1]
    ec2.terminate_instances(InstanceIds=ids[:1])


def check_templates(world):
    """A template's own tags stay its own, its versions come in pages."""
    tags = [{"Key": "kind", "Value": "template"}]
    name = fresh("template")
    ec2.create_launch_template(
        LaunchTemplateName=name,
        LaunchTemplateData=world.data(),
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": tags}],
    )
    for _ in range(4):
        ec2.create_launch_template_version(
            LaunchTemplateName=name, LaunchTemplateData={"InstanceType": "m5.large"}, SourceVersion="1"
        )
    pages = ec2.get_paginator("describe_launch_template_versions")
    pages = list(pages.paginate(LaunchTemplateName=name, PaginationConfig={"PageSize": 2}))
    versions = [item for page in pages for item in page["LaunchTemplateVersions"]]
    assert (len(pages), len(versions)) == (3, 5)
    assert {item["LaunchTemplateData"]["ImageId"] for item in versions} == {world.image}
    assert not any(item["LaunchTemplateData"].get("TagSpecifications") for item in versions)
    for _ in range(20):
        world.template()
    assert len(ec2.describe_launch_templates()["LaunchTemplates"]) > 20
    pages = ec2.get_paginator("describe_launch_templates")
    pages = list(pages.paginate(PaginationConfig={"PageSize": 10}))
    names = [item["LaunchTemplateName"] for page in pages for item in page["LaunchTemplates"]]
    assert len(names) == len(set(names)) and name in names and len(pages) > 2
    filters = [{"Name": "tag-key", "Values": ["kind", "other"]}]
    found = ec2.describe_launch_templates(Filters=filters)["LaunchTemplates"]
    assert [item["LaunchTemplateName"] for item in found] == [name]


def check_dry_runs(world):
    """A dry run of a template says what a launch would say."""

    def prove(**more):
        named = {"LaunchTemplateName": world.template(**more), "Version": "1"}
        return {"LaunchTemplate": named, "MinCount": 1, "MaxCount": 1, "DryRun": True}

    run = ec2.run_instances
    group = world.security_group()
    nics = [{"DeviceIndex": 0, "Groups": [group]}]
    good = {"NetworkInterfaces": nics, "IamInstanceProfile": {"Name": world.profile}}
    here = [{"DeviceIndex": 0, "SubnetId": world.subnets[0], "Groups": [group]}]
    refuses("DryRunOperation", run, **prove(**good), NetworkInterfaces=here)
    wrong = {"IamInstanceProfile": {"Name": "none"}}
    refuses("InvalidParameterValue", run, **prove(**good | wrong))
    refuses("InvalidAMIID.NotFound", run, **prove(**good, ImageId="ami-0123456789abcdef0"))
    refuses("InvalidAMIID.Malformed", run, **prove(**good, ImageId="ubuntu"))
    refuses("InvalidParameterValue", run, **prove(**good, InstanceType="large"))
    wrong = [{"DeviceIndex": 0, "Groups": ["sg-0123456789abcdef0"]}]
    refuses("InvalidGroup.NotFound", run, **prove(NetworkInterfaces=wrong))
    wrong = [{"DeviceIndex": 0, "NetworkInterfaceId": "eni-0123456789abcdef0"}]
    refuses("InvalidNetworkInterfaceID.NotFound", run, **prove(NetworkInterfaces=wrong))
    wrong = {"SubnetId": world.subnets[0]}
    refuses("InvalidParameterCombination", run, **prove(**good), **wrong)
    wrong = [{"DeviceIndex": 0, "SubnetId": "subnet-0123456789abcdef0"}]
    refuses("InvalidSubnetID.NotFound", run, **prove(**good), NetworkInterfaces=wrong)
    named = {"LaunchTemplateName": "none", "Version": "1"}
    missing = prove(**good) | {"LaunchTemplate": named}
    refuses("InvalidLaunchTemplateName.NotFoundException", run, **missing)


def check_hosted_zones(world):
    make = {
        "Name": "one.example.com",
        "CallerReference": "one",
        "VPC": {"VPCRegion": REGION, "VPCId": world.vpc},
        "HostedZoneConfig": {"PrivateZone": True},
    }
    zone = route53.create_hosted_zone(**make)["HostedZone"]["Id"].removeprefix("/hostedzone/")
    assert zone.startswith("Z") and len(zone) == 21
    refuses("HostedZoneAlreadyExists", route53.create_hosted_zone, **make)
    other = make | {"CallerReference": "other"}
    refuses("ConflictingDomainExists", route53.create_hosted_zone, **other)
    wrong = other | {"VPC": {"VPCRegion": REGION, "VPCId": "vpc-0123456789abcdef0"}}
    refuses("InvalidVPCId", route53.create_hosted_zone, **wrong)


def check_records(world):
    made = route53.create_hosted_zone(Name="two.example.com", CallerReference="two")
    zone = made["HostedZone"]["Id"].removeprefix("/hostedzone/")

    def record(name, *values, kind="A", ttl=60):
        values = [{"Value": value} for value in values]
        return {"Name": name, "Type": kind, "TTL": ttl, "ResourceRecords": values}

    def batch(*changes):
        changes = [{"Action": do, "ResourceRecordSet": made} for do, made in changes]
        return {"HostedZoneId": zone, "ChangeBatch": {"Changes": changes}}

    def names():
        sets = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        return sorted((item["Name"], item["Type"]) for item in sets if item["Type"] not in ("SOA", "NS"))

    change = route53.change_resource_record_sets
    a = record("A.two.example.com", "10.0.0.1")
    change(**batch(("UPSERT", a), ("CREATE", record("t.two.example.com", '"x y"', kind="TXT"))))
    assert names() == [("a.two.example.com.", "A"), ("t.two.example.com.", "TXT")]

    def no(*changes):
        before = names()
        message = refuses("InvalidChangeBatch", change, **batch(*changes))
        assert names() == before, "all or none"
        return message

    good = record("b.two.example.com", "10.0.0.2")
    srv = record("s.two.example.com", "0 0 2380 a.two.example.com", kind="SRV")
    assert "already exists" in no(("UPSERT", good), ("CREATE", a))
    assert "not match" in no(("UPSERT", good), ("DELETE", a | {"TTL": 61}))
    assert "not found" in no(("UPSERT", good), ("DELETE", srv))
    assert "not permitted in zone" in no(("UPSERT", good), ("UPSERT", record("a.example.com", "10.0.0.1")))
    assert "conflicts" in no(("UPSERT", record("a.two.example.com", "b.example.com", kind="CNAME")))
    assert "apex" in no(("UPSERT", record("two.example.com", "b.example.com", kind="CNAME")))
    assert "10.0.0" in no(("UPSERT", record("b.two.example.com", "10.0.0.256")))
    assert "x" in no(("UPSERT", record("u.two.example.com", "x", kind="TXT")))
    no(("UPSERT", srv | {"ResourceRecords": [{"Value": "0 0 a.two.example.com"}]}))
    no(("UPSERT", good), ("UPSERT", good))
    no(("UPSERT", record("b.two.example.com", *[f"10.0.{i // 250}.{i % 250}" for i in range(501)])))
    alias = {"HostedZoneId": zone, "DNSName": "none.two.example.com", "EvaluateTargetHealth": False}
    no(("UPSERT", {"Name": "b.two.example.com", "Type": "A", "AliasTarget": alias}))
    alias = alias | {"HostedZoneId": "Z0000000000000"}
    no(("UPSERT", {"Name": "b.two.example.com", "Type": "A", "AliasTarget": alias}))
    alias = alias | {"HostedZoneId": zone, "DNSName": "a.two.example.com"}
    change(**batch(("UPSERT", {"Name": "b.two.example.com", "Type": "A", "AliasTarget": alias})))
    change(**batch(("DELETE", a), ("UPSERT", a | {"ResourceRecords": [{"Value": "10.0.0.9"}]})))
    refuses("HostedZoneNotEmpty", route53.delete_hosted_zone, Id=zone)


def check_balancers(world):
    control("config", {"balancer_seconds": 0.3, "balancer_linger_seconds": 0.3})
    group, name = world.security_group(), fresh("nlb")
    make = {
        "Name": name,
        "Type": "network",
        "Scheme": "internal",
        "SubnetMappings": [{"SubnetId": world.subnets[0]}],
        "SecurityGroups": [group],
    }
    made = elb.create_load_balancer(**make)["LoadBalancers"][0]
    arn = made["LoadBalancerArn"]
    assert f":loadbalancer/net/{name}/" in arn and made["DNSName"].startswith(f"{name}-")
    assert elb.create_load_balancer(**make)["LoadBalancers"][0]["LoadBalancerArn"] == arn
    other = make | {"Scheme": "internet-facing"}
    refuses("DuplicateLoadBalancerName", elb.create_load_balancer, **other)

    def state():
        return elb.describe_load_balancers(Names=[name])["LoadBalancers"][0]["State"]["Code"]

    assert state() == "provisioning"
    eventually(lambda: state() == "active", "active")
    subnets = [{"SubnetId": subnet} for subnet in world.subnets]
    elb.set_subnets(LoadBalancerArn=arn, SubnetMappings=subnets)
    change = {"LoadBalancerArn": arn, "SubnetMappings": subnets[:2]}
    refuses("InvalidConfigurationRequest", elb.set_subnets, **change)
    refuses("InvalidConfigurationRequest", elb.set_security_groups, LoadBalancerArn=arn, SecurityGroups=[])
    protection = {"Key": "deletion_protection.enabled", "Value": "true"}
    elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[protection])
    refuses("OperationNotPermitted", elb.delete_load_balancer, LoadBalancerArn=arn)
    protection["Value"] = "false"
    elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[protection])
    refuses("DependencyViolation", ec2.delete_security_group, GroupId=group)
    elb.delete_load_balancer(LoadBalancerArn=arn)
    refuses("DependencyViolation", ec2.delete_security_group, GroupId=group)
    elb.delete_load_balancer(LoadBalancerArn=arn)
    time.sleep(0.4)
    ec2.delete_security_group(GroupId=group)
    control("config", {"balancer_seconds": 0, "balancer_linger_seconds": 0})


def check_listeners(world):
    def balancer():
        made = elb.create_load_balancer(Name=fresh("nlb"), Type="network", Subnets=world.subnets)
        return made["LoadBalancers"][0]["LoadBalancerArn"]

    make = {
        "Name": "api--of-a-cluster",
        "Protocol": "TCP",
        "Port": 443,
        "VpcId": world.vpc,
        "TargetType": "instance",
    }
    target = elb.create_target_group(**make)["TargetGroups"][0]["TargetGroupArn"]
    assert elb.create_target_group(**make)["TargetGroups"][0]["TargetGroupArn"] == target
    refuses("DuplicateTargetGroupName", elb.create_target_group, **make | {"Port": 444})
    one, other = balancer(), balancer()
    forward = [{"Type": "forward", "TargetGroupArn": target}]
    listen = {"Protocol": "TCP", "Port": 443, "DefaultActions": forward}
    elb.create_listener(LoadBalancerArn=one, **listen)
    refuses("DuplicateListener", elb.create_listener, LoadBalancerArn=one, **listen)
    refuses("TargetGroupAssociationLimit", elb.create_listener, LoadBalancerArn=other, **listen)
    refuses("ResourceInUse", elb.delete_target_group, TargetGroupArn=target)

    asg = world.group(size=(2, 2), TargetGroupARNs=[target])
    health = elb.describe_target_health(TargetGroupArn=target)["TargetHealthDescriptions"]
    assert len(health) == 2
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=asg, ForceDelete=True)
    assert not elb.describe_target_health(TargetGroupArn=target)["TargetHealthDescriptions"]

    elb.delete_load_balancer(LoadBalancerArn=one)
    elb.create_listener(LoadBalancerArn=other, **listen)
    elb.delete_load_balancer(LoadBalancerArn=other)
    for _ in range(2):
        elb.delete_target_group(TargetGroupArn=target)


def check_new_profiles(world):
    """EC2 knows nothing of a profile for a while."""
    control("config", {"iam_lag_seconds": 0.5})
    profile = world.make_profile()
    template = world.template(IamInstanceProfile={"Name": profile})
    named = {"LaunchTemplateName": template, "Version": "1"}
    prove = {"LaunchTemplate": named, "MinCount": 1, "MaxCount": 1, "DryRun": True}
    message = refuses("InvalidParameterValue", ec2.run_instances, **prove)
    assert "Invalid IAM Instance Profile name" in message

    def known():
        try:
            ec2.run_instances(**prove)
        except ClientError as error:
            return error.response["Error"]["Code"] == "DryRunOperation"

    eventually(known, "the profile is known")
    control("config", {"iam_lag_seconds": 0})
    make = iam.create_role
    refuses("EntityAlreadyExists", make, RoleName=profile.upper(), AssumeRolePolicyDocument=TRUST)
    refuses("EntityAlreadyExists", iam.create_instance_profile, InstanceProfileName=profile.upper())
    wrong = TRUST.replace("Principal", "Resource")
    refuses("MalformedPolicyDocument", make, RoleName="wrong", AssumeRolePolicyDocument=wrong)
    refuses("DeleteConflict", iam.delete_role, RoleName=profile)
    refuses("DeleteConflict", iam.delete_instance_profile, InstanceProfileName=profile)


def check_buckets(world):
    name = f"{fresh('bucket')}-{ACCOUNT}"
    here = {"LocationConstraint": REGION}
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=here)
    s3.put_object(Bucket=name, Key="a", Body=b"1", ExpectedBucketOwner=ACCOUNT)
    get = {"Bucket": name, "Key": "a"}
    refuses("AccessDenied", s3.get_object, **get, ExpectedBucketOwner="999999999999")
    control("faults", [{"service": "s3", "action": "PutObject", "times": 1, "status": 409,
                        "code": "ConditionalRequestConflict", "message": "again"}])  # fmt: skip
    refuses("ConditionalRequestConflict", s3.put_object, **get, Body=b"2", IfNoneMatch="*")
    refuses("PreconditionFailed", s3.put_object, **get, Body=b"2", IfNoneMatch="*")
    url = f"{os.environ['AWS_ENDPOINT_URL']}/{name}/a"
    elsewhere = boto3.client("s3", "eu-central-1", config=ONCE)
    seen = []
    elsewhere.meta.events.register("needs-retry.s3", lambda response, **_: seen.append(response))
    try:
        elsewhere.get_object(**get)
    except ClientError:
        pass
    status, headers = seen[0][0].status_code, seen[0][0].headers
    assert (status, headers["x-amz-bucket-region"]) == (301, REGION), (url, status, headers)


def check_clock(world):
    """AWS's clock may be another one than this machine's."""
    control("config", {"clock_offset_seconds": 600})
    try:
        refuses("RequestExpired", ec2.describe_vpcs)
        refuses("SignatureDoesNotMatch", autoscaling.describe_auto_scaling_groups)
        date = s3.list_buckets()["ResponseMetadata"]["HTTPHeaders"]["date"]
        ahead = parsedate_to_datetime(date).timestamp() - time.time()
        assert 590 < ahead < 610, ahead
        control("config", {"clock_offset_seconds": 3600})
        refuses("RequestTimeTooSkewed", s3.list_buckets)
    finally:
        control("config", {"clock_offset_seconds": 0})


def check_faults(world):
    """Each service's clients read the errors that a test asks for."""
    calls = {
        "ec2": ec2.describe_vpcs,
        "autoscaling": autoscaling.describe_auto_scaling_groups,
        "iam": iam.list_roles,
        "elasticloadbalancing": elb.describe_load_balancers,
        "route53": route53.list_hosted_zones,
        "s3": s3.list_buckets,
        "sts": client("sts").get_caller_identity,
    }
    for service, call in calls.items():
        control("faults", [{"service": service, "skip": 1, "times": 1, "code": "Throttling"}])
        call()
        assert refuses("Throttling", call) == "Rate exceeded"
        call()
    refuses("InvalidAction", ec2.describe_stale_security_groups, VpcId=world.vpc)
    name = fresh("lost")
    make = {"GroupName": name, "Description": "d", "VpcId": world.vpc}
    for mode, code in (("reset", None), ("lost", "InvalidGroup.Duplicate")):
        control("faults", [{"action": "CreateSecurityGroup", "times": 1, "mode": mode}])
        try:
            ec2.create_security_group(**make)
            raise AssertionError("it was answered")
        except (ConnectionClosedError, EndpointConnectionError):
            pass
        if code is None:
            group = ec2.create_security_group(**make)["GroupId"]
            ec2.delete_security_group(GroupId=group)
        else:
            refuses(code, ec2.create_security_group, **make)
    for mode in ("delay", "late"):
        control("faults", [{"action": "DescribeVpcs", "times": 1, "mode": mode, "delay_ms": 200}])
        started = time.monotonic()
        ec2.describe_vpcs()
        assert time.monotonic() - started > 0.2


def main():
    checks = {name: run for name, run in globals().items() if name.startswith("check_")}
    if sys.argv[1:]:
        checks = {n: run for n, run in checks.items() if any(word in n for word in sys.argv[1:])}
    world = World()
    for name, run in checks.items():
        try:
            run(world)
        except Exception:
            print(f"{name} failed", file=sys.stderr)
            raise
    print(json.dumps(list(checks)))


if __name__ == "__main__":
    main()
