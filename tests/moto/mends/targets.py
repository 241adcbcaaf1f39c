"""Targets: registered, checked, used, and let go with a delay.

Elastic Load Balancing API reference, data type `TargetHealth`. moto's targets are healthy as soon as
they are registered, and gone as soon as they are not.
"""

from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeTargetGroup
from moto.elbv2.responses import ELBV2Response

import clock
import settings
from mends import machines
from mends.tools import check_first, refused


def need_running_targets():
    """RegisterTargets takes instances that exist and run.

    Elastic Load Balancing API reference, RegisterTargets, InvalidTarget. moto takes any id.
    """

    def check(self):
        for target in self._get_param("Targets", []):
            if self.elbv2_backend.ec2_backend.get_instance_by_id(target["Id"]) is None:
                raise refused("InvalidTarget", f"Instance ID '{target['Id']}' is not valid")

    check_first(ELBV2Response, "register_targets", check)


def take_time():
    """A target is `initial` until it has passed its first checks, and `draining` for the
    deregistration delay. To deregister what is not registered succeeds.

    Elastic Load Balancing user guide, "Target health status" and "Deregistration delay"; API
    reference, DeregisterTargets ("If the specified target does not exist, the action returns
    successfully").
    """
    register = FakeTargetGroup.register

    def register_and_note(self, targets):
        known = {target["Id"]: self.targets.get(target["Id"]) for target in targets}
        register(self, targets)
        for target in targets:
            before = known[target["Id"]]
            since = before["since"] if before else clock.now(self.account_id)
            self.targets[target["Id"]]["since"] = since

    def deregister(self, targets):
        for target in targets:
            known = self.targets.pop(target["Id"], None)
            if known:
                until = clock.now(self.account_id) + delay_of(self)
                self.deregistered_targets[target["Id"]] = {**known, "until": until}

    def describe(self, target_group_arn, targets):
        group = self.target_groups.get(target_group_arn)
        if group is None:
            message = "One or more target groups not found"
            raise refused("TargetGroupNotFound", message)
        forget(self, group)
        asked = {target["Id"] for target in targets or []}
        registered = {**group.deregistered_targets, **group.targets}
        return [
            state_of(self, group, target)
            for target in registered.values()
            if not asked or target["Id"] in asked
        ]

    FakeTargetGroup.register = register_and_note
    FakeTargetGroup.deregister = deregister
    FakeTargetGroup.deregister_terminated_instances = lambda self, instance_ids: None
    ELBv2Backend.describe_target_health = describe


def forget(backend, group):
    """Lets go of targets whose delay is over, and of instances that are gone."""
    now = clock.now(group.account_id)
    for shelf in (group.targets, group.deregistered_targets):
        for target in list(shelf.values()):
            instance = backend.ec2_backend.get_instance_by_id(target["Id"])
            is_gone = instance is None or instance.state == machines.TERMINATED[0]
            if is_gone or now >= target.get("until", now + 1):
                shelf.pop(target["Id"])


def state_of(backend, group, target):
    instance = backend.ec2_backend.get_instance_by_id(target["Id"])
    if instance.state != machines.RUNNING[0]:
        told = ("unused", "Target.InvalidState", "Target is in the stopped state")
    elif not group.load_balancer_arns:
        told = ("unused", "Target.NotInUse", "Target group is not configured to receive traffic")
    elif "until" in target:
        why = "Target deregistration is in progress"
        told = ("draining", "Target.DeregistrationInProgress", why)
    elif target["Id"] in settings.of(group.account_id, "impaired"):
        told = ("unhealthy", "Target.FailedHealthChecks", "Health checks failed")
    elif clock.now(group.account_id) < target["since"] + checks_of(group):
        told = ("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
    else:
        told = ("healthy", None, None)
    return FakeHealthStatus(target["Id"], target["Port"], group.health_check_port, *told)


def checks_of(group):
    seconds = settings.of(group.account_id, "target_seconds")
    if seconds is not None:
        return seconds
    return int(group.health_check_interval_seconds) * int(group.healthy_threshold_count)


def delay_of(group):
    seconds = settings.of(group.account_id, "deregistration_seconds")
    if seconds is not None:
        return seconds
    return int(group.attributes["deregistration_delay.timeout_seconds"])


def add_member(group, member):
    """A machine that serves gets into its group's target groups."""
    for target_group in target_groups_of(group):
        register_member(group, member, target_group)


def register_member(group, member, target_group):
    target = {"Id": member.instance.id, "Port": target_group.port}
    group.autoscaling_backend.elbv2_backend.register_targets(target_group.arn, [target])


def release_member(group, member):
    """Takes a machine out of all target groups; says when the last one lets it go."""
    known = group.autoscaling_backend.elbv2_backend.target_groups.values()
    found = [one for one in known if member.instance.id in one.targets]
    for target_group in found:
        target_group.deregister([{"Id": member.instance.id}])
    now = clock.now(group.account_id)
    return max([now, *(now + delay_of(target_group) for target_group in found)])


def target_groups_of(group):
    known = group.autoscaling_backend.elbv2_backend.target_groups
    return [known[arn] for arn in group.target_group_arns if arn in known]


MENDS = [need_running_targets, take_time]
