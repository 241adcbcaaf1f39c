"""What a launch needs, by RunInstances and by a group: checked in one place, as EC2 does."""

import re

from moto.iam.models import iam_backends

import settings
from mends import profiles
from mends.tools import refused

# Instance types that RunInstances takes: a family, a dot and a size.
INSTANCE_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")


def check(backend, data, subnet=None):
    """Refuses a launch as RunInstances does, dry run or not.

    EC2 API reference, "Error codes": InvalidAMIID.NotFound and .Malformed, InvalidInstanceType,
    InvalidSubnetID.NotFound, InvalidGroup.NotFound, InvalidNetworkInterfaceID.NotFound; for a
    profile EC2 answers InvalidParameterValue.
    """
    check_image(backend, data.get("ImageId"))
    check_type(data.get("InstanceType"))
    check_profile(backend, data.get("IamInstanceProfile") or {})
    for group in data.get("SecurityGroupIds") or []:
        check_group(backend, group, subnet)
    for interface in data.get("NetworkInterfaces") or []:
        check_interface(backend, interface, subnet)


def check_image(backend, image):
    if not image:
        raise refused("MissingParameter", "The request must contain the parameter ImageId")
    if not re.fullmatch(r"ami-([0-9a-f]{8}|[0-9a-f]{17})", image):
        raise refused("InvalidAMIID.Malformed", f'Invalid id: "{image}"')
    if image not in backend.amis:
        raise refused("InvalidAMIID.NotFound", f"The image id '[{image}]' does not exist")


def check_type(instance_type):
    if not INSTANCE_TYPE.fullmatch(instance_type or ""):
        message = f"Invalid value '{instance_type}' for InstanceType."
        raise refused("InvalidParameterValue", message)


def check_profile(backend, profile):
    name, arn = profile.get("Name"), profile.get("Arn")
    if name and arn:
        message = "A profile is named by name or by ARN, and not by both"
        raise refused("InvalidParameterCombination", message)
    if not name and not arn:
        return
    known = iam_backends[backend.account_id]["aws"].instance_profiles.values()
    found = [item for item in known if item.name == name or item.arn == arn]
    if not found or not found[0].roles or profiles.is_fresh(backend.account_id, found[0].name):
        field, value, what = ("name", name, "name") if name else ("arn", arn, "ARN")
        message = (
            f"Value ({value}) for parameter iamInstanceProfile.{field} is invalid. "
            f"Invalid IAM Instance Profile {what}"
        )
        raise refused("InvalidParameterValue", message)


def check_group(backend, group_id, subnet):
    group = backend.get_security_group_from_id(group_id)
    if group is None:
        message = f"The security group '{group_id}' does not exist"
        raise refused("InvalidGroup.NotFound", message)
    if subnet is not None and group.vpc_id != subnet.vpc_id:
        message = f"Security group {group_id} and subnet {subnet.id} belong to different networks."
        raise refused("InvalidParameter", message)


def check_interface(backend, interface, subnet):
    for group in interface.get("Groups") or []:
        check_group(backend, group, subnet)
    existing = interface.get("NetworkInterfaceId")
    if not existing:
        return
    if existing not in backend.enis:
        message = f"The networkInterface ID '{existing}' does not exist"
        raise refused("InvalidNetworkInterfaceID.NotFound", message)
    settled = ("Groups", "AssociatePublicIpAddress", "SubnetId", "PrivateIpAddress")
    if any(interface.get(field) for field in settled) or interface.get("DeleteOnTermination"):
        message = (
            "A network interface may not specify both a network interface ID and what it is made of"
        )
        raise refused("InvalidParameterCombination", message)


def check_free(backend, interface_id):
    """An interface is at one instance at a time: this is what fences etcd's machines."""
    interface = backend.enis[interface_id]
    if interface.attachment_id is not None:
        message = f"Interface: [{interface_id}] in use."
        raise refused("InvalidNetworkInterface.InUse", message)


def check_quota(backend):
    """EC2 API reference, "Error codes", VcpuLimitExceeded; here counted in instances."""
    limit = settings.of(backend.account_id, "instances_max")
    alive = [i for i in backend.all_instances() if i.state not in ("shutting-down", "terminated")]
    if limit is not None and len(alive) >= limit:
        message = (
            f"You have requested more vCPU capacity than your current vCPU limit of {limit} allows "
            "for the instance bucket that the specified instance type belongs to. Please visit "
            "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit."
        )
        raise refused("VcpuLimitExceeded", message)


def check_capacity(account, zone, instance_type):
    """EC2 API reference, "Error codes", InsufficientInstanceCapacity."""
    for shortage in settings.of(account, "shortages"):
        if shortage["zone"] == zone and shortage.get("type") in (None, instance_type):
            message = (
                f"We currently do not have sufficient {instance_type} capacity in the Availability "
                f"Zone you requested ({zone}). Our system will be working on provisioning "
                "additional capacity."
            )
            raise refused("InsufficientInstanceCapacity", message)
