"""How a group keeps its machines: launches, hooks, ends, and the zones they are spread over.

Amazon EC2 Auto Scaling User Guide, "Amazon EC2 Auto Scaling instance lifecycle". moto makes
machines in service at once, in one zone, and forgets them at their end. Time passes between calls:
before each call every group of the account looks at its machines once (`reconcile`).
"""

from moto.autoscaling.models import ASG_NAME_TAG
from moto.core.exceptions import ServiceException

import clock
from mends import activities, machines, targets
from mends.launching import launch_in
from mends.members import COUNTED, Wait
from mends.tools import refused

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"

# Seconds until a group tries again after a launch was refused; doubles up to the limit.
RETRY_SECONDS, RETRY_SECONDS_MAX = 1, 60
# Steps that machines may take in one look: as many as a life has states.
ROUNDS_MAX = 10


def reconcile(group):
    """A group looks at its machines, and at what they become, until nothing moves."""
    for _ in range(ROUNDS_MAX):
        moved = [advance(group, member) for member in list(group.instance_states)]
        resized = resize(group)
        if not any(moved) and not resized:
            break
    if is_deleted(group) and not group.instance_states:
        group.autoscaling_backend.autoscaling_groups.pop(group.name, None)


def is_deleted(group):
    return getattr(group, "status", None) is not None


def runs(group, process):
    return process not in [item["ProcessName"] for item in group.suspended_processes]


def advance(group, member):
    """Takes a machine to the next state of its life, if it is time."""
    state = member.instance.state
    is_running = state not in (machines.SHUTTING_DOWN[0], machines.TERMINATED[0])
    if member.lifecycle_state == "Detaching":
        return leave_when_let_go(group, member, is_running)
    if not is_running:
        return lost(group, member, state)
    if member.let_go_at is not None:
        return end_when_let_go(group, member)
    if member.lifecycle_state == "Pending":
        return state == machines.RUNNING[0] and enter(group, member, LAUNCHING)
    if member.lifecycle_state in ("Pending:Wait", "Terminating:Wait"):
        return leave_hooks(group, member)
    return False


def lost(group, member, state):
    """What a group makes of a machine that does not run any more. One that somebody else ended is
    found by health checks, as far as these go on, and no hook holds it.

    Auto Scaling User Guide, "Types of processes" and "How suspended processes affect other
    processes".
    """
    if member.lifecycle_state == "Terminating" and member.let_go_at is None:
        if state != machines.TERMINATED[0]:
            return False
        group.instance_states.remove(member)
        member.activity.ended("Successful")
        return True
    if member.lifecycle_state in COUNTED and not is_deleted(group):
        if not runs(group, "HealthCheck"):
            return False
        member.health_status = "Unhealthy"
        served = member.lifecycle_state == "InService"
        if not runs(group, "ReplaceUnhealthy") or (served and not runs(group, "Terminate")):
            return False
    end(group, member, "an EC2 health check indicated it has been terminated", hooks=False)
    return True


def leave_when_let_go(group, member, is_running):
    """A machine that is detached is out once load balancers have let it go."""
    if is_running and clock.now(group.account_id) < member.leaves_at:
        return False
    group.instance_states.remove(member)
    group.ec2_backend.delete_tags([member.instance.id], {ASG_NAME_TAG: group.name})
    member.instance.autoscaling_group = None
    member.activity.ended("Successful")
    return True


def end_when_let_go(group, member):
    """A machine that ends goes through its hooks once load balancers have let it go."""
    if clock.now(group.account_id) < member.let_go_at:
        return False
    member.let_go_at = None
    return enter(group, member, TERMINATING)


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
        if runs(group, "AddToLoadBalancer"):
            targets.add_member(group, member)
        return True
    return False


def end(group, member, cause, hooks=True):
    """Begins the end of a machine."""
    was_in_service = member.lifecycle_state == "InService"
    if not member.activity.end_time:
        member.activity.ended("Cancelled", cause)
    member.activity = activities.terminating(group, member.instance.id, cause)
    let_go_at = targets.release_member(group, member)
    if hooks and was_in_service:
        member.lifecycle_state, member.let_go_at = "Terminating", let_go_at
        end_when_let_go(group, member)
    else:
        shut_down(group, member)


def shut_down(group, member):
    member.lifecycle_state, member.let_go_at = "Terminating", None
    group.ec2_backend.terminate_instances([member.instance.id])


def resize(group):
    """Launches what lacks, ends what is too much; says whether it did."""
    counted = [member for member in group.instance_states if member.lifecycle_state in COUNTED]
    surplus = len(counted) - int(group.desired_capacity or 0)
    if surplus < 0 and runs(group, "Launch") and not is_deleted(group):
        return launch_lacking(group, -surplus)
    if surplus > 0 and runs(group, "Terminate"):
        if any(member.balances and member.lifecycle_state != "InService" for member in counted):
            return False
        victims = [choose_victim(group) for _ in range(surplus)]
        return any(victims)
    return surplus == 0 and balance(group, counted)


def balance(group, counted):
    """With as many machines as wanted, moves one from the fullest zone to the emptiest: a new one
    first, the old one goes once the new one serves.

    Auto Scaling User Guide, "Availability Zone rebalancing". moto knows nothing of it.
    """
    zones = zones_by_count(group)
    counts = [[member.availability_zone for member in counted].count(zone) for zone in zones]
    is_even = not zones or counts[-1] - counts[0] < 2
    allowed = all(runs(group, process) for process in ("AZRebalance", "Launch", "Terminate"))
    settled = all(member.lifecycle_state == "InService" for member in counted)
    waits = clock.now(group.account_id) < getattr(group, "retry_at", 0)
    if is_even or is_deleted(group) or not (allowed and settled) or waits:
        return False
    try:
        launch_in(group, zones[0])
    except ServiceException as error:
        activities.failed_launch(group, error)
        refuse_for_a_while(group)
        return False
    group.instance_states[-1].balances = True
    return True


def launch_lacking(group, count):
    if clock.now(group.account_id) < getattr(group, "retry_at", 0):
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
    group.retry_at = clock.now(group.account_id) + min(wait, RETRY_SECONDS_MAX)


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
    victim = min(there, key=lambda member: (member.version or 0, member.launched_at))
    end(group, victim, "an instance was taken out of service: the group has too many")
    return victim


def not_of(group, zone):
    return zone not in group.availability_zones


def join_targets(group):
    """Machines in service get into target groups that are attached to their group.

    Auto Scaling API reference, AttachLoadBalancerTargetGroups. One that somebody took out by hand
    stays out.
    """
    # moto asks when it makes a group, too: what a group is made with its machines join by themselves.
    joined = group.__dict__.setdefault("joined_target_groups", set(group.target_group_arns))
    new = [item for item in targets.target_groups_of(group) if item.arn not in joined]
    joined.update(item.arn for item in new)
    joined.intersection_update(group.target_group_arns)
    if not runs(group, "AddToLoadBalancer"):
        return
    for member in group.instance_states:
        for target_group in new:
            if member.lifecycle_state == "InService":
                targets.register_member(group, member, target_group)
