"""How a group launches one machine, from the template version that it is pinned to."""

from moto.autoscaling.models import ASG_NAME_TAG
from moto.core.exceptions import ServiceException

from mends import launches, machines
from mends.members import COUNTED, Member
from mends.tools import refused


def launch_in(group, zone):
    """Launches one machine from the version that the group is pinned to."""
    ec2 = group.ec2_backend
    version = pinned_version(group)
    data = dict(version.data)
    interface = existing_interface(data)
    subnet = subnet_in(group, zone, interface)
    data["InstanceType"] = choose_type(group, data, zone)
    launches.check(ec2, data, subnet)
    launches.check_quota(ec2)
    if interface:
        launches.check_free(ec2, interface)
    instance = run(group, version, data, subnet, interface)
    group.instance_states.append(Member(instance, group, version.number, subnet.id))
    return instance


def pinned_version(group):
    template = group.ec2_launch_template
    if template.id not in group.ec2_backend.launch_templates:
        message = f"The specified launch template, with template ID {template.id}, does not exist."
        raise refused("InvalidLaunchTemplateId.NotFound", message)
    return template.get_version(group.launch_template_version)


def existing_interface(data):
    """The interface that a template names as the main one of its machines."""
    for interface in data.get("NetworkInterfaces") or []:
        if int(interface.get("DeviceIndex", 0)) == 0:
            return interface.get("NetworkInterfaceId")
    return None


def subnet_in(group, zone, interface):
    """The group's least used subnet in a zone, or the one of the template's interface."""
    ec2 = group.ec2_backend
    if interface and interface in ec2.enis:
        subnet = ec2.enis[interface].subnet
        if subnet.availability_zone != zone:
            message = f"Interface: [{interface}] is not in zone {zone}."
            raise refused("InvalidParameterCombination", message)
        return subnet
    ids = (group.vpc_zone_identifier or "").split(",")
    found = [ec2.get_subnet(subnet_id) for subnet_id in ids if subnet_id]
    found = [subnet for subnet in found if subnet.availability_zone == zone]
    if not found:
        raise refused("VPCIdNotSpecified", "No default VPC for this user.")
    used = [member.subnet_id for member in group.instance_states]
    return min(found, key=lambda subnet: (used.count(subnet.id), subnet.id))


def choose_type(group, data, zone):
    """The first type of the policy, or the template's own, that the zone has."""
    types = [item["InstanceType"] for item in overrides(group) if item.get("InstanceType")]
    error = None
    for instance_type in types or [data.get("InstanceType")]:
        try:
            launches.check_capacity(group.account_id, zone, instance_type)
            return instance_type
        except ServiceException as refusal:
            error = refusal
    raise error


def overrides(group):
    policy = group.mixed_instances_policy or {}
    return policy.get("LaunchTemplate", {}).get("Overrides") or []


def run(group, version, data, subnet, interface):
    """Has EC2 make the machine, with all that the version says of it.

    EC2 User Guide, "Launch template parameters": interfaces with their groups, profile, metadata
    options and tags hold for what Auto Scaling launches; moto leaves them out.
    """
    main = [{"DeviceIndex": 0, "NetworkInterfaceId": interface}] if interface else []
    groups = list(data.get("SecurityGroupIds") or [])
    for item in data.get("NetworkInterfaces") or []:
        groups += item.get("Groups") or []
    tags = {**group.get_propagated_tags(), ASG_NAME_TAG: group.name}
    reservation = group.ec2_backend.run_instances(
        data["ImageId"],
        1,
        version.user_data,
        [],
        instance_type=data["InstanceType"],
        is_instance_type_default=False,
        tags={"instance": tags, "volume": tags_of(data, "volume")},
        launch_template={"LaunchTemplateId": version.template.id, "Version": version.number},
        security_group_ids=groups,
        block_device_mappings=data.get("BlockDeviceMappings") or [],
        metadata_options=data.get("MetadataOptions") or {},
        nics=main,
        placement=subnet.availability_zone,
        subnet_id=None if interface else subnet.id,
        associate_public_ip=False,
    )
    instance = reservation.instances[0]
    instance.region_name = group.region
    instance.lifecycle = "spot" if is_spot(group, data) else None
    profile = data.get("IamInstanceProfile")
    if profile:
        group.ec2_backend.associate_iam_instance_profile(
            instance.id, profile.get("Name"), profile.get("Arn")
        )
    machines.start(instance)
    return instance


def tags_of(data, kind):
    for item in data.get("TagSpecifications") or []:
        if item["ResourceType"] == kind:
            return {tag["Key"]: tag["Value"] for tag in item["Tags"]}
    return {}


def is_spot(group, data):
    """Whether the next machine is a spot instance, so that the policy's shares hold. Auto Scaling
    API reference, InstancesDistribution: the on-demand part is rounded up."""
    policy = group.mixed_instances_policy
    if not policy:
        return bool(data.get("InstanceMarketOptions"))
    shares = policy.get("InstancesDistribution") or {}
    base = int(shares.get("OnDemandBaseCapacity") or 0)
    share = int(shares.get("OnDemandPercentageAboveBaseCapacity", 100))
    alive = [member for member in group.instance_states if member.lifecycle_state in COUNTED]
    on_demand = sum(1 for member in alive if member.instance.lifecycle != "spot")
    total = len(alive) + 1
    wanted = min(base, total) + -(-max(total - base, 0) * share // 100)
    return on_demand >= wanted
