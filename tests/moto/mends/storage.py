"""EC2: volumes and network interfaces."""

from ipaddress import ip_address, ip_network

from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.ec2.responses.elastic_block_store import ElasticBlockStore
from moto.ec2.responses.elastic_network_interfaces import ElasticNetworkInterfaces

from mends.tools import check_first, refused

# Security groups of one interface: Amazon VPC quotas.
INTERFACE_GROUPS_MAX = 5


# GiB, operations a second and MiB a second of each type of volume: Amazon EBS User Guide, "Amazon
# EBS volume types".
VOLUMES = {
    "gp3": (range(1, 65_537), range(3_000, 80_001), range(125, 2_001)),
    "gp2": (range(1, 16_385), None, None),
    "io1": (range(4, 16_385), range(100, 64_001), None),
    "io2": (range(4, 65_537), range(100, 256_001), None),
    "standard": (range(1, 1_025), None, None),
}


def check_volumes():
    """A volume lies in a zone of the region, its size and speed fit its type, and it never shrinks.

    EC2 API reference, CreateVolume and ModifyVolume, and "Error codes": InvalidZone.NotFound,
    UnknownVolumeType, InvalidParameterValue. moto takes anything.
    """

    def check_new(self):
        zone = self._get_param("AvailabilityZone")
        known = [item.name for item in RegionsAndZonesBackend.zones.get(self.region, [])]
        if zone not in known:
            raise refused("InvalidZone.NotFound", f"The zone '{zone}' does not exist.")
        check_numbers(self, self._get_param("VolumeType") or "gp2")

    def check_change(self):
        volume = self.ec2_backend.get_volume(self._get_param("VolumeId"))
        size = self._get_int_param("Size")
        if size is not None and size < int(volume.size):
            message = f"New size cannot be smaller than existing size {volume.size}"
            raise refused("InvalidParameterValue", message)
        check_numbers(self, self._get_param("VolumeType") or volume.volume_type)

    check_first(ElasticBlockStore, "create_volume", check_new)
    check_first(ElasticBlockStore, "modify_volume", check_change)


def check_numbers(response, volume_type):
    if volume_type not in VOLUMES:
        raise refused("UnknownVolumeType", f"Unknown volume type '{volume_type}'.")
    for field, allowed in zip(("Size", "Iops", "Throughput"), VOLUMES[volume_type], strict=True):
        value = response._get_int_param(field)
        if value is not None and value not in (allowed or ()):
            message = f"Volume {field} of {value} is not valid for {volume_type}."
            raise refused("InvalidParameterValue", message)


def attach_volumes_once():
    """A volume is at one instance at a time, in its own zone, at a device of its own.

    EC2 API reference, AttachVolume, and "Error codes": VolumeInUse, InvalidVolume.ZoneMismatch,
    IncorrectState; InvalidParameterValue for a device in use. moto attaches anything anywhere.
    """

    def check(self):
        volume = self.ec2_backend.get_volume(self._get_param("VolumeId"))
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        if volume.attachment:
            message = f"{volume.id} is already attached to an instance"
            raise refused("VolumeInUse", message)
        if volume.zone.name != instance.placement.zone:
            message = f"The volume '{volume.id}' is not in the zone of instance '{instance.id}'"
            raise refused("InvalidVolume.ZoneMismatch", message)
        if instance.state != "running":
            message = f"Instance '{instance.id}' is not 'running'."
            raise refused("IncorrectState", message)
        device = self._get_param("Device")
        if device in instance.block_device_mapping:
            message = f"Attachment point {device} is already in use"
            raise refused("InvalidParameterValue", message)

    check_first(ElasticBlockStore, "attach_volume", check)


def give_interfaces_their_own_address():
    """An address belongs to one interface, and lies in its subnet; groups have to exist.

    EC2 API reference, CreateNetworkInterface, and "Error codes": InvalidIPAddress.InUse,
    InvalidParameterValue, InvalidGroup.NotFound, SecurityGroupsPerInterfaceLimitExceeded. moto
    takes any address, and makes up the groups.
    """

    def check(self):
        subnet = self.ec2_backend.get_subnet(self._get_param("SubnetId"))
        check_groups(self)
        address = self._get_param("PrivateIpAddress")
        if not address:
            return
        if ip_address(address) not in ip_network(subnet.cidr_block):
            message = f"Address {address} does not fall within the subnet's address range"
            raise refused("InvalidParameterValue", message)
        taken = [nic.private_ip_address for nic in of_subnet(self.ec2_backend, subnet)]
        if address in taken:
            raise refused("InvalidIPAddress.InUse", f"Address {address} is in use.")

    check_first(ElasticNetworkInterfaces, "create_network_interface", check)
    check_first(ElasticNetworkInterfaces, "modify_network_interface_attribute", check_groups)


def of_subnet(backend, subnet):
    return [nic for nic in backend.enis.values() if nic.subnet.id == subnet.id]


def check_groups(response):
    groups = response._get_param("Groups", [])
    if len(groups) > INTERFACE_GROUPS_MAX:
        message = "You have exceeded the number of security groups allowed per network interface."
        raise refused("SecurityGroupsPerInterfaceLimitExceeded", message)
    for group in groups:
        if response.ec2_backend.get_security_group_from_id(group) is None:
            message = f"The security group '{group}' does not exist"
            raise refused("InvalidGroup.NotFound", message)


def attach_interfaces_once():
    """An interface is at one instance at a time, and is not deleted while it is at one.

    EC2 API reference, AttachNetworkInterface and DeleteNetworkInterface ("You must detach the
    network interface before you can delete it"), and "Error codes", InvalidNetworkInterface.InUse.
    moto moves it, and deletes it.
    """

    def check(self):
        interface = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
        if interface.attachment_id:
            message = f"Network interface '{interface.id}' is currently in use."
            raise refused("InvalidNetworkInterface.InUse", message)

    check_first(ElasticNetworkInterfaces, "attach_network_interface", check)
    check_first(ElasticNetworkInterfaces, "delete_network_interface", check)


MENDS = [
    check_volumes,
    attach_volumes_once,
    give_interfaces_their_own_address,
    attach_interfaces_once,
]
