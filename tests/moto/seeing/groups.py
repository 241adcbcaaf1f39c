"""Groups: what their requests check and keep, and where their machines come from."""

import base64

from seeing.world import (
    ZONES,
    autoscaling,
    control,
    described,
    ec2,
    instance,
    members,
    refuses,
)


def check_versions_of_machines(world):
    """A machine keeps the version it was launched from, with its user data and groups."""
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
    refuses("ValidationError", terminate, InstanceId=machine, ShouldDecrementDesiredCapacity=True)
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
    plain = world.group()
    autoscaling.update_auto_scaling_group(AutoScalingGroupName=plain, MixedInstancesPolicy=policy)
    assert "LaunchTemplate" not in told | described(plain)
    control("config", {"shortages": [{"zone": zone, "type": kinds[0]} for zone in ZONES]})
    autoscaling.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=4)
    control("config", {"shortages": []})
    types = [item["InstanceType"] for item in members(asg)]
    assert types.count(kinds[1]) == 1, types


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
