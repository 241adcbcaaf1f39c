"""Machines into, out of and with their group, and what anybody sees of them.

Amazon EC2 Auto Scaling API reference: AttachInstances, DetachInstances,
TerminateInstanceInAutoScalingGroup. How many ids a call takes is said there; whether it may be done
by half is not, so here it is all or none.
"""

from moto.autoscaling.models import ASG_NAME_TAG
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models.instances import Instance
from moto.ec2.responses import EC2Response
from moto.ec2.responses.instances import InstanceResponse

import clock
import settings
from mends import activities, groups, machines, targets
from mends.autoscaling import group_of
from mends.members import COUNTED, Member
from mends.tools import check_first, refused

TERMINATED_MAX, MOVED_MAX = 100, 20

# Filters of DescribeInstanceStatus that moto does not know.
CHECKS = ("instance-status.status", "system-status.status")


def end_machines_through_their_group():
    """TerminateInstanceInAutoScalingGroup goes through load balancers and hooks, and not below the
    minimum; for one machine, or for several of one group. What ends already is not counted again.

    moto ends one machine at once and lowers the capacity below the minimum.
    """

    def terminate(self):
        several = self._get_param("InstanceIds", [])
        ids = several or [self._get_param("InstanceId")]
        check_count(ids, TERMINATED_MAX)
        found = [member_of(self, instance_id) for instance_id in ids]
        named = self._get_param("AutoScalingGroupName")
        if several and any(group.name != named for group, _ in found):
            raise unknown(ids[0])
        group = found[0][0]
        counted = [member for _, member in found if member.lifecycle_state in COUNTED]
        if self._get_bool_param("ShouldDecrementDesiredCapacity", False):
            check_minimum(group, len(counted))
            group.desired_capacity -= len(counted)
        for member in counted:
            cause = "instance was taken out of service in response to a user request"
            groups.end(group, member, cause)
        told = [member.activity for _, member in found]
        groups.reconcile(group)
        return ActionResult({"Activities": told} if several else {"Activity": told[0]})

    def check_minimum(group, count):
        if group.desired_capacity - count < group.min_size:
            message = (
                f"Currently, desiredSize equals minSize ({group.min_size}). Terminating instance "
                "without replacement will violate group's min size constraint. Either set "
                "shouldDecrementDesiredCapacity flag to false or lower group's min size."
            )
            raise refused("ValidationError", message)

    AutoScalingResponse.terminate_instance_in_auto_scaling_group = terminate


def member_of(response, instance_id):
    for group in response.autoscaling_backend.autoscaling_groups.values():
        for member in group.instance_states:
            if member.instance.id == instance_id:
                return group, member
    raise unknown(instance_id)


def unknown(instance_id):
    message = f"Instance Id not found - No managed instance found for instance ID: {instance_id}"
    return refused("ValidationError", message)


def check_count(ids, most):
    if not 1 <= len(ids) <= most:
        raise refused("ValidationError", f"Name 1 to {most} instances, not {len(ids)}")


def detach_with_care():
    """DetachInstances takes machines that serve, leaves load balancers with them, and does not go
    below the minimum; they are `Detaching` for a while, and lose the group's tag.

    Texts as users have reported them. moto ignores what it does not know, and lowers the capacity
    all the same.
    """

    def detach(self):
        group = group_of(self, self._get_param("AutoScalingGroupName"))
        ids = self._get_param("InstanceIds", [])
        check_count(ids, MOVED_MAX)
        known = {member.instance.id: member for member in group.instance_states}
        for instance_id in ids:
            if instance_id not in known:
                message = (
                    f"The instance {instance_id} is not part of Auto Scaling group {group.name}."
                )
                raise refused("ValidationError", message)
            if known[instance_id].lifecycle_state != "InService":
                message = f"The instance {instance_id} is not in InService or Standby."
                raise refused("ValidationError", message)
        if self._get_bool_param("ShouldDecrementDesiredCapacity", False):
            if group.desired_capacity - len(ids) < group.min_size:
                raise wrong_sizes(group, "detach", len(ids))
            group.desired_capacity -= len(ids)
        told = [leave(group, known[instance_id]) for instance_id in ids]
        groups.reconcile(group)
        return ActionResult({"Activities": told})

    AutoScalingResponse.detach_instances = detach


def wrong_sizes(group, verb, count):
    what = f"{count} instance" if count == 1 else f"{count} instances"
    message = (
        f"AutoScalingGroup {group.name} has min-size={group.min_size}, max-size={group.max_size}, "
        f"and desired-size={group.desired_capacity}. To {verb} {what}, please update the "
        "AutoScalingGroup sizes appropriately."
    )
    return refused("ValidationError", message)


def leave(group, member):
    member.lifecycle_state = "Detaching"
    moved = clock.now(group.account_id) + settings.of(group.account_id, "detach_seconds")
    member.leaves_at = max(moved, targets.release_member(group, member))
    what = f"Detaching EC2 instance: {member.instance.id}"
    member.activity = activities.begin(group, what, "instance was detached by a user request")
    return member.activity


def attach_with_care():
    """AttachInstances takes running machines that no group has, in the group's zones, and wants so
    many more, within the maximum; they go through the launch hooks, and their group does not know
    what they were launched from.

    moto answers a full group with another code, and takes any machine.
    """

    def attach(self):
        group = group_of(self, self._get_param("AutoScalingGroupName"))
        ids = self._get_param("InstanceIds", [])
        check_count(ids, MOVED_MAX)
        for instance_id in ids:
            check_attachable(self, group, instance_id)
        if group.desired_capacity + len(ids) > group.max_size:
            raise wrong_sizes(group, "attach", len(ids))
        group.desired_capacity += len(ids)
        for instance_id in ids:
            instance = group.ec2_backend.get_instance(instance_id)
            group.ec2_backend.create_tags([instance_id], {ASG_NAME_TAG: group.name})
            group.instance_states.append(Member(instance, group, None, instance.subnet_id))
        groups.reconcile(group)
        return EmptyResult()

    AutoScalingResponse.attach_instances = attach


def check_attachable(response, group, instance_id):
    instance = group.ec2_backend.get_instance_by_id(instance_id)
    if instance is None:
        raise refused("ValidationError", f"Invalid Instance ID(s): [{instance_id}] specified.")
    for other in response.autoscaling_backend.autoscaling_groups.values():
        if any(member.instance.id == instance_id for member in other.instance_states):
            message = (
                f"The instance {instance_id} is already part of another AutoScalingGroup: "
                f"{other.name}."
            )
            raise refused("ValidationError", message)
    if instance.state != machines.RUNNING[0]:
        message = f"The instance {instance_id} is not in correct state: running."
        raise refused("ValidationError", message)
    if instance.placement.zone not in group.availability_zones:
        message = (
            f"The availability zone of instance {instance_id} is not one of Auto Scaling group "
            f"{group.name}."
        )
        raise refused("ValidationError", message)


def find_by_status_checks():
    """DescribeInstanceStatus finds by what the checks say.

    EC2 API reference, DescribeInstanceStatus, Filters `instance-status.status` and
    `system-status.status`. moto ignores these filters, and knows no machine that fails.
    """
    describe = InstanceResponse.describe_instance_status
    tell = Instance.instance_status.fget

    def describe_found(self):
        asked = self._filters_from_querystring()
        wanted = {name: asked[name] for name in CHECKS if name in asked}
        answer = describe(self)
        impaired = settings.of(self.current_account, "impaired")

        def fits(instance):
            told = "impaired" if instance.id in impaired else "ok"
            status = {"instance-status.status": told, "system-status.status": "ok"}
            return all(status[name] in values for name, values in wanted.items())

        found = [one for one in answer.result["InstanceStatuses"] if fits(one)]
        return ActionResult({"InstanceStatuses": found})

    def tell_impaired(self):
        if self.id in settings.of(self.owner_id, "impaired"):
            return {**tell(self), "Status": "impaired"}
        return tell(self)

    InstanceResponse.describe_instance_status = describe_found
    Instance.instance_status = property(tell_impaired)


def tag_machines_that_exist():
    """CreateTags on an instance that is not there is refused.

    EC2 API reference, "Error codes", InvalidInstanceID.NotFound. moto tags any id.
    """

    def check(self):
        for resource_id in self._get_param("Resources", []):
            is_known = self.ec2_backend.get_instance_by_id(resource_id) is not None
            if resource_id.startswith("i-") and not is_known:
                message = f"The instance ID '{resource_id}' does not exist"
                raise refused("InvalidInstanceID.NotFound", message)

    check_first(EC2Response, "create_tags", check)
    check_first(EC2Response, "delete_tags", check)


MENDS = [
    end_machines_through_their_group,
    detach_with_care,
    attach_with_care,
    find_by_status_checks,
    tag_machines_that_exist,
]
