"""How a group keeps its machines: launches, hooks, ends, and the zones they are spread over.

Amazon EC2 Auto Scaling User Guide, "Amazon EC2 Auto Scaling instance lifecycle". moto makes
machines in service at once, in one zone, and forgets them at their end. Time passes between calls:
before each call every group of the account looks at its machines once (`reconcile`).
"""

import time
import uuid

from moto.autoscaling.models import ASG_NAME_TAG, InstanceState
from moto.core.exceptions import ServiceException

import settings
from mends import activities, launches, machines
from mends.tools import refused

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"

# States that count as capacity.
COUNTED = ("Pending", "Pending:Wait", "Pending:Proceed", "InService")
# Seconds until a group tries again after a launch was refused; doubles up to the limit.
RETRY_SECONDS, RETRY_SECONDS_MAX = 1, 60
# Steps that machines may take in one look: as many as a life has states.
ROUNDS_MAX = 10


class Member(InstanceState):
    """A machine of a group."""

    def __init__(self, instance, group, version, subnet_id):
        instance.autoscaling_group = group
        super().__init__(
            instance, "Pending", protected_from_scale_in=group.new_instances_protected_from_scale_in
        )
        self.version = version
        self.subnet_id = subnet_id
        self.launched_at = time.monotonic()
        self.waits = {}
        self.activity = activities.launching(group, instance.id)

    @property
    def launch_template(self):
        template = self.auto_scaling_group.ec2_launch_template
        return {
            "LaunchTemplateId": template.id,
            "LaunchTemplateName": template.name,
            "Version": str(self.version),
        }


class Wait:
    """A machine's wait in one lifecycle hook."""

    def __init__(self, hook, account):
        now = time.monotonic()
        self.hook = hook
        self.token = str(uuid.uuid4())
        self.result = None
        self.why = ""
        self.until = now + hook.heartbeat_timeout
        own = settings.of(account, "hooks_complete_seconds")
        self.completed_at = None if own is None else now + own

    def heartbeat(self):
        self.until = time.monotonic() + self.hook.heartbeat_timeout

    def end(self, result, why):
        if self.result is None:
            self.result, self.why = result, why

    def look(self):
        """Ends by the machine's own software, or by the hook's time."""
        now = time.monotonic()
        if self.completed_at is not None and now >= self.completed_at:
            self.end("CONTINUE", "Lifecycle Action Completed with CONTINUE Result")
        elif now >= self.until:
            self.end(self.hook.default_result, "Heartbeat Timeout")
        return self.result


def reconcile(group):
    """A group looks at its machines, and at what they become, until nothing moves."""
    for _ in range(ROUNDS_MAX):
        moved = [advance(group, member) for member in list(group.instance_states)]
        resized = resize(group)
        if not any(moved) and not resized:
            break
        sync_targets(group)
    if is_deleted(group) and not group.instance_states:
        group.autoscaling_backend.autoscaling_groups.pop(group.name, None)


def is_deleted(group):
    return getattr(group, "status", None) is not None


def runs(group, process):
    return process not in [item["ProcessName"] for item in group.suspended_processes]


def advance(group, member):
    """Takes a machine to the next state of its life, if it is time."""
    if member.lifecycle_state not in COUNTED + ("Terminating:Wait", "Terminating", "Standby"):
        return False
    state = member.instance.state
    if state == machines.TERMINATED[0]:
        group.instance_states.remove(member)
        member.activity.ended("Successful")
        return True
    if state == machines.SHUTTING_DOWN[0] and member.lifecycle_state != "Terminating":
        # Somebody else ended it: EC2 health checks find out, and no hook holds it.
        end(group, member, "an EC2 health check indicated it has been terminated", hooks=False)
        return True
    if member.lifecycle_state == "Pending":
        return state == machines.RUNNING[0] and enter(group, member, LAUNCHING)
    if member.lifecycle_state in ("Pending:Wait", "Terminating:Wait"):
        return leave_hooks(group, member)
    return False


def enter(group, member, transition):
    """Waits in the hooks of a transition; goes on at once if there are none."""
    hooks = group.autoscaling_backend.describe_lifecycle_hooks(group.name)
    hooks = [hook for hook in hooks if hook.lifecycle_transition == transition]
    member.waits = {hook.name: Wait(hook, group.account_id) for hook in hooks}
    member.lifecycle_state = "Pending:Wait" if transition == LAUNCHING else "Terminating:Wait"
    member.activity.goes_on("MidLifecycleAction" if hooks else "InProgress")
    leave_hooks(group, member)
    return True


def leave_hooks(group, member):
    """Goes on when every hook was completed. One ABANDON is enough to end a launch."""
    results = [wait.look() for wait in member.waits.values()]
    abandoned = [wait for wait in member.waits.values() if wait.result == "ABANDON"]
    if member.lifecycle_state == "Terminating:Wait":
        if all(results) or abandoned:
            member.waits = {}
            shut_down(group, member)
            return True
        return False
    if abandoned:
        wait = abandoned[0]
        message = (
            "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token "
            f"{wait.token} was abandoned: {wait.why}"
        )
        member.activity.ended("Cancelled", message)
        refuse_for_a_while(group)
        end(group, member, "its launch was abandoned", hooks=False)
        return True
    if all(results):
        member.waits = {}
        member.lifecycle_state = "InService"
        member.activity.ended("Successful")
        group.refusals = 0
        return True
    return False


def end(group, member, cause, hooks=True):
    """Begins the end of a machine."""
    was_in_service = member.lifecycle_state == "InService"
    if not member.activity.end_time:
        member.activity.ended("Cancelled", cause)
    member.activity = activities.terminating(group, member.instance.id, cause)
    if hooks and was_in_service:
        enter(group, member, TERMINATING)
    else:
        shut_down(group, member)


def shut_down(group, member):
    """Ends a machine, which leaves its target groups first."""
    member.lifecycle_state = "Terminating"
    sync_targets(group)
    group.ec2_backend.terminate_instances([member.instance.id])


def resize(group):
    """Launches what lacks, ends what is too much; says whether it did."""
    counted = [member for member in group.instance_states if member.lifecycle_state in COUNTED]
    surplus = len(counted) - int(group.desired_capacity or 0)
    if surplus < 0 and runs(group, "Launch") and not is_deleted(group):
        return launch_lacking(group, -surplus)
    if surplus > 0 and runs(group, "Terminate"):
        victims = [choose_victim(group) for _ in range(surplus)]
        return any(victims)
    return False


def launch_lacking(group, count):
    if time.monotonic() < getattr(group, "retry_at", 0):
        return False
    for launched in range(count):
        try:
            launch_somewhere(group)
        except ServiceException as error:
            activities.failed_launch(group, error)
            refuse_for_a_while(group)
            return launched > 0
    return True


def refuse_for_a_while(group):
    """After a failure a group waits, longer each time."""
    group.refusals = getattr(group, "refusals", 0) + 1
    wait = RETRY_SECONDS * 2 ** (group.refusals - 1)
    group.retry_at = time.monotonic() + min(wait, RETRY_SECONDS_MAX)


def launch_somewhere(group):
    """Launches into the zone with the fewest machines that takes one.

    Auto Scaling User Guide, "Distribute instances across Availability Zones": when a launch fails
    in one zone, the others are tried.
    """
    error = refused("ValidationError", "the group has no zone")
    for zone in zones_by_count(group):
        try:
            return launch_in(group, zone)
        except ServiceException as refusal:
            error = refusal
    raise error


def zones_by_count(group):
    counts = {zone: 0 for zone in group.availability_zones}
    for member in group.instance_states:
        if member.lifecycle_state in COUNTED and member.availability_zone in counts:
            counts[member.availability_zone] += 1
    return sorted(counts, key=lambda zone: (counts[zone], zone))


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


def choose_victim(group):
    """Ends one machine: in the fullest zone, of the oldest version, the oldest.

    Auto Scaling User Guide, "Default termination policy".
    """
    free = [
        member
        for member in group.instance_states
        if member.lifecycle_state in COUNTED and not member.protected_from_scale_in
    ]
    if not free:
        return None
    zones = [member.availability_zone for member in free]
    fullest = max(sorted(set(zones)), key=lambda zone: (not_of(group, zone), zones.count(zone)))
    there = [member for member in free if member.availability_zone == fullest]
    victim = min(there, key=lambda member: (member.version, member.launched_at))
    end(group, victim, "an instance was taken out of service: the group has too many")
    return victim


def not_of(group, zone):
    return zone not in group.availability_zones


def sync_targets(group):
    """Target groups send traffic to what is in service, and to nothing else of the group."""
    balancers = group.autoscaling_backend.elbv2_backend
    for arn in group.target_group_arns:
        target_group = balancers.target_groups.get(arn)
        if target_group is None:
            continue
        for member in group.instance_states:
            known = member.instance.id in target_group.targets
            serves = member.lifecycle_state == "InService" and runs(group, "AddToLoadBalancer")
            if serves and not known:
                target = {"Id": member.instance.id, "Port": target_group.port}
                balancers.register_targets(arn, [target])
            elif known and member.lifecycle_state != "InService":
                balancers.deregister_targets(arn, [{"Id": member.instance.id}])
