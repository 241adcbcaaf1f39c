"""What names, texts and numbers may be, and what EC2 learns late."""

import base64

from seeing.world import (
    REGION,
    ZONES,
    autoscaling,
    control,
    ec2,
    elb,
    fresh,
    let_pass,
    refuses,
)

NOBODY = "subnet-0123456789abcdef0"


def check_numbers_of_volumes(world):
    make = {"AvailabilityZone": ZONES[0], "Size": 20, "VolumeType": "gp3"}
    create = ec2.create_volume
    refuses("InvalidZone.NotFound", create, **make | {"AvailabilityZone": f"{REGION}z"})
    refuses("InvalidParameterValue", create, **make | {"Iops": 1})
    refuses("UnknownVolumeType", create, **make | {"VolumeType": "gp9"})
    volume = create(**make)["VolumeId"]
    refuses("InvalidParameterValue", ec2.modify_volume, VolumeId=volume, Size=10)
    ec2.modify_volume(VolumeId=volume, Size=30, VolumeType="gp3", Iops=4000, Throughput=200)
    told = ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]
    assert (told["Size"], told["Iops"], told["Throughput"]) == (30, 4000, 200), told


def check_texts(world):
    make = {"GroupName": fresh("group"), "Description": "d", "VpcId": world.vpc}
    create = ec2.create_security_group
    refuses("InvalidParameterValue", create, **make | {"Description": "\u00e4"})
    refuses("InvalidParameterValue", create, **make | {"GroupName": "sg-1"})
    refuses("InvalidGroup.Reserved", create, **make | {"GroupName": "default"})
    refuses("InvalidVpcID.NotFound", create, **make | {"VpcId": "vpc-0123456789abcdef0"})
    group = create(**make)["GroupId"]

    def no(low, high, **peer):
        rule = {"IpProtocol": "tcp", "FromPort": low, "ToPort": high, "IpRanges": [peer]}
        allow = {"GroupId": group, "IpPermissions": [rule]}
        refuses("InvalidParameterValue", ec2.authorize_security_group_ingress, **allow)

    no(2, 1, CidrIp="10.0.0.0/8")
    no(1, 2, CidrIp="10.0.0.1/8")
    no(1, 2, CidrIp="10.0.0.0/8", Description="\u00e4")
    tag = {"Key": "aws:own", "Value": "x"}
    refuses("InvalidParameterValue", ec2.create_tags, Resources=[group], Tags=[tag])


def check_contents_of_templates(world):
    make = {"LaunchTemplateName": fresh("template"), "LaunchTemplateData": world.data()}
    create, code = ec2.create_launch_template, "InvalidLaunchTemplateName"
    refuses(f"{code}.MalformedException", create, **make | {"LaunchTemplateName": "a b"})
    refuses("InvalidParameterValue", create, **make | {"VersionDescription": "x" * 256})
    long = world.data(UserData=base64.b64encode(b"x" * 16385).decode())
    refuses("InvalidUserData.Malformed", create, **make | {"LaunchTemplateData": long})
    unknown = {"LaunchTemplateName": "unknown"}
    refuses(f"{code}.NotFoundException", ec2.delete_launch_template, **unknown)


def check_settings_of_groups(world):
    named = {"LaunchTemplateName": world.template(), "Version": "1"}
    make = {
        "AutoScalingGroupName": fresh("asg"),
        "MinSize": 0,
        "MaxSize": 1,
        "LaunchTemplate": named,
        "VPCZoneIdentifier": world.subnets[0],
    }
    create = autoscaling.create_auto_scaling_group
    for wrong in (
        {"AutoScalingGroupName": "a:b"},
        {"MaxInstanceLifetime": 5},
        {"HealthCheckType": "X"},
        {"VPCZoneIdentifier": NOBODY},
        {"LaunchTemplate": named | {"Version": "7"}},
    ):
        refuses("ValidationError", create, **make | wrong)
    create(**make)
    group = {"AutoScalingGroupName": make["AutoScalingGroupName"]}
    refuses("ValidationError", autoscaling.suspend_processes, **group, ScalingProcesses=["X"])
    metrics = {"Metrics": ["X"], "Granularity": "1Minute"}
    refuses("ValidationError", autoscaling.enable_metrics_collection, **group, **metrics)
    balance = {"Name": fresh("nlb"), "Type": "network"}
    create = elb.create_load_balancer
    refuses("SubnetNotFound", create, **balance, Subnets=[NOBODY])
    wrong = {"Subnets": world.subnets, "SecurityGroups": ["sg-0123456789abcdef0"]}
    refuses("InvalidSecurityGroup", create, **balance, **wrong)


def check_late_ids_and_tags(world):
    """EC2 may not know what was just made, and not find it by its tags."""
    control("config", {"fresh_id_seconds": 50, "tag_lag_seconds": 100})
    name = fresh("late")
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": "late", "Value": name}]}]
    make = {"GroupName": name, "Description": "d", "VpcId": world.vpc, "TagSpecifications": tags}
    group = ec2.create_security_group(**make)["GroupId"]
    refuses("InvalidGroup.NotFound", ec2.delete_security_group, GroupId=group)

    def found(key, value):
        filters = [{"Name": key, "Values": [value]}]
        return ec2.describe_security_groups(Filters=filters)["SecurityGroups"]

    assert not found("tag:late", name) and found("group-name", name)
    let_pass(100)
    assert found("tag:late", name)
    ec2.delete_security_group(GroupId=group)
    control("config", {"fresh_id_seconds": 0, "tag_lag_seconds": 0})
