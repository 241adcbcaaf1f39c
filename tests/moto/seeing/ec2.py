"""EC2: interfaces, volumes, security groups, client tokens, launch templates, dry runs."""

from seeing.world import (
    ZONES,
    autoscaling,
    ec2,
    fresh,
    instance,
    members,
    refuses,
)


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
    tags = [{"Key": "kind", "Value": "template"}, {"Key": "more", "Value": "x"}]
    name = fresh("template")
    ec2.create_launch_template(
        LaunchTemplateName=name,
        LaunchTemplateData=world.data(),
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": tags}],
    )
    for _ in range(4):
        ec2.create_launch_template_version(
            LaunchTemplateName=name,
            LaunchTemplateData={"InstanceType": "m5.large"},
            SourceVersion="1",
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
    [found] = ec2.describe_launch_templates(Filters=filters)["LaunchTemplates"]
    assert found["LaunchTemplateName"] == name
    new = {"Key": "new", "Value": "y"}
    ec2.create_tags(Resources=[found["LaunchTemplateId"]], Tags=[new])
    ec2.delete_tags(Resources=[found["LaunchTemplateId"]], Tags=[{"Key": "more"}])
    [found] = ec2.describe_launch_templates(LaunchTemplateNames=[name])["LaunchTemplates"]
    assert sorted(tag["Key"] for tag in found["Tags"]) == ["kind", "new"], found["Tags"]


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
