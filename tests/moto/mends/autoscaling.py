"""Auto Scaling: what its requests check and keep. `groups` says how a group keeps its machines."""

from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import EmptyResult

from mends import groups, launches
from mends.tools import check_first, refused

# Settings of a group that moto drops or changes: the request's name, the group's, the default.
SETTINGS = [
    ("HealthCheckGracePeriod", "health_check_grace_period", 0),
    ("MaxInstanceLifetime", "max_instance_lifetime", None),
    ("DefaultInstanceWarmup", "default_instance_warmup", None),
    ("DefaultCooldown", "default_cooldown", 300),
]

# Requests about one group that need not exist.
NEED_NO_GROUP = {"create_auto_scaling_group", "describe_scaling_activities"}


def keep_machines_as_groups_do():
    """A group launches, keeps and ends its machines as the User Guide's lifecycle says; moto's
    group only counts them."""

    def set_desired(self, capacity):
        self.desired_capacity = self.min_size if capacity is None else capacity
        if self.autoscaling_backend.autoscaling_groups.get(self.name) is self:
            groups.reconcile(self)

    def instances_ended(self, _instance_ids):
        for group in list(self.autoscaling_groups.values()):
            groups.reconcile(group)

    FakeAutoScalingGroup.set_desired_capacity = set_desired
    AutoScalingBackend.notify_terminate_instances = instances_ended
    AutoScalingBackend.update_attached_target_groups = lambda self, name: groups.join_targets(
        self.autoscaling_groups[name]
    )


def tell_what_machines_are_launched_from():
    """A group with a mixed instances policy tells its template there and nowhere else.

    Auto Scaling API reference, data type `AutoScalingGroup`: `LaunchTemplate` or
    `MixedInstancesPolicy`. moto tells both once the group was updated.
    """
    tell = FakeAutoScalingGroup.launch_template.fget
    FakeAutoScalingGroup.launch_template = property(
        lambda self: None if self.mixed_instances_policy else tell(self)
    )


def need_the_group():
    """A request about a group that is not there, or is being deleted, is refused.

    Auto Scaling API reference, "Common Errors", ValidationError, and DeleteAutoScalingGroup,
    ScalingActivityInProgress. moto answers most of them with a page of HTML and 500.
    """

    def check(self):
        names = [self._get_param("AutoScalingGroupName")]
        names += [tag.get("ResourceId") for tag in self._get_param("Tags", [])]
        for name in filter(None, names):
            group_of(self, name)

    for name, method in list(vars(AutoScalingResponse).items()):
        if callable(method) and not name.startswith("_") and name not in NEED_NO_GROUP:
            if name not in ("autoscaling_backend", "call_action", "describe_auto_scaling_groups"):
                check_first(AutoScalingResponse, name, check)


def group_of(response, name):
    group = response.autoscaling_backend.autoscaling_groups.get(name)
    if group is None:
        message = f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"
        raise refused("ValidationError", message)
    if groups.is_deleted(group):
        raise refused("ScalingActivityInProgress", f"AutoScalingGroup {name} is pending delete")
    return group


def create_groups_whole():
    """A new group keeps the settings and hooks it is made with, and launches what it wants.

    Auto Scaling API reference, CreateAutoScalingGroup, with its errors: AlreadyExists for a name
    that is taken, ValidationError for sizes that do not fit, for target groups that do not exist,
    and for a template that EC2 would not launch. moto replaces the group of the same name.
    """
    create = AutoScalingResponse.create_auto_scaling_group

    def create_whole(self):
        name = self._get_param("AutoScalingGroupName")
        check_new_group(self, name)
        create(self)
        group = self.autoscaling_backend.autoscaling_groups[name]
        keep_settings(self, group)
        for parameter, field, default in SETTINGS:
            if self._get_param(parameter) is None:
                setattr(group, field, default)
        for hook in self._get_param("LifecycleHookSpecificationList", []):
            self.autoscaling_backend.create_lifecycle_hook(
                hook["LifecycleHookName"],
                name,
                hook["LifecycleTransition"],
                hook.get("HeartbeatTimeout"),
                hook.get("DefaultResult"),
            )
        groups.reconcile(group)
        return EmptyResult()

    AutoScalingResponse.create_auto_scaling_group = create_whole


def check_new_group(response, name):
    known = response.autoscaling_backend.autoscaling_groups.get(name)
    if known is not None:
        what = "is pending delete" if groups.is_deleted(known) else "already exists"
        message = (
            f"AutoScalingGroup by this name already exists - A group with the name {name} {what}"
        )
        raise refused("AlreadyExists", message)
    low, high = response._get_int_param("MinSize"), response._get_int_param("MaxSize")
    check_sizes(low, high, response._get_int_param("DesiredCapacity"))
    if ":" in name or len(name) > 255:
        raise refused("ValidationError", f"Group names take 255 characters, no colon: {name}")
    check_values(response)
    check_target_groups(response)
    check_template(response)


def check_sizes(low, high, desired):
    if low > high:
        message = f"Max bound, {high}, must be greater than or equal to min bound, {low}"
        raise refused("ValidationError", message)
    if desired is not None and not low <= desired <= high:
        message = (
            f"Desired capacity:{desired} must be between the specified min size:{low} "
            f"and max size:{high}"
        )
        raise refused("ValidationError", message)


def check_values(response):
    """What a setting may be, as the reference of CreateAutoScalingGroup says at each parameter."""
    lifetime = response._get_int_param("MaxInstanceLifetime", 0)
    if lifetime and not 86_400 <= lifetime <= 31_536_000:
        raise refused("ValidationError", f"Maximum instance lifetime {lifetime} is not valid")
    kind = response._get_param("HealthCheckType", "EC2")
    if kind not in ("EC2", "ELB", "EBS", "VPC_LATTICE"):
        raise refused("ValidationError", f"Invalid health check type {kind}")
    ec2 = response.autoscaling_backend.ec2_backend
    known = {subnet for subnets in ec2.subnets.values() for subnet in subnets}
    zones = set(ec2.subnets)
    for subnet in filter(None, (response._get_param("VPCZoneIdentifier") or "").split(",")):
        if subnet not in known:
            raise refused("ValidationError", f"The subnet ID '{subnet}' does not exist")
    for zone in response._get_param("AvailabilityZones", []):
        if zone not in zones:
            raise refused("ValidationError", f"Invalid availability zone {zone}")


def check_target_groups(response):
    known = response.autoscaling_backend.elbv2_backend.target_groups
    if any(arn not in known for arn in response._get_param("TargetGroupARNs", [])):
        message = "Provided Target Groups may not be valid. Please ensure they exist and try again."
        raise refused("ValidationError", message)


def check_template(response):
    """A template that is named has to launch: AWS tries it without doing it."""
    wanted = response._get_param("LaunchTemplate")
    policy = response._get_param("MixedInstancesPolicy")
    if policy:
        wanted = policy.get("LaunchTemplate", {}).get("LaunchTemplateSpecification")
    if not wanted:
        return
    ec2 = response.autoscaling_backend.ec2_backend
    try:
        template = find_template(ec2, wanted)
        data = template.get_version(wanted.get("Version") or "$Default").data
        subnets = [item for item in (response._get_param("VPCZoneIdentifier") or "").split(",")]
        subnet = ec2.get_subnet(subnets[0]) if subnets[0] else None
        launches.check(ec2, data, subnet)
    except ServiceException as error:
        message = f"You must use a valid fully-formed launch template. {error.message}"
        raise refused("ValidationError", message) from error


def find_template(ec2, wanted):
    if wanted.get("LaunchTemplateId"):
        return ec2.get_launch_template(wanted["LaunchTemplateId"])
    return ec2.get_launch_template_by_name(wanted.get("LaunchTemplateName"))


def update_groups_whole():
    """An update changes what it names and keeps the rest; sizes have to fit together.

    Auto Scaling API reference, UpdateAutoScalingGroup: "If a new value for MinSize is specified
    without setting DesiredCapacity and the new MinSize is larger than the current size of the
    group, this sets the group's DesiredCapacity to the new MinSize value", and the same for
    MaxSize. moto drops several settings, and the mixed instances policy of a group whose update
    does not repeat it.
    """
    update = AutoScalingResponse.update_auto_scaling_group
    change = FakeAutoScalingGroup.update

    def update_whole(self):
        group = group_of(self, self._get_param("AutoScalingGroupName"))
        low = self._get_int_param("MinSize", group.min_size)
        high = self._get_int_param("MaxSize", group.max_size)
        check_sizes(low, high, self._get_int_param("DesiredCapacity"))
        check_values(self)
        check_template(self)
        keep_settings(self, group)
        update(self)
        return EmptyResult()

    def change_and_keep(self, *args, mixed_instances_policy=None, **kwargs):
        policy = mixed_instances_policy
        if not policy and not kwargs.get("launch_template"):
            policy = self.mixed_instances_policy
        if policy:
            policy = {**(self.mixed_instances_policy or {}), **policy}
            spec = policy["LaunchTemplate"]["LaunchTemplateSpecification"]
            if spec.get("LaunchTemplateId") and spec.get("LaunchTemplateName"):
                spec = {key: spec[key] for key in ("LaunchTemplateId", "Version")}
            template = {**policy["LaunchTemplate"], "LaunchTemplateSpecification": spec}
            policy["LaunchTemplate"] = template
        if kwargs.get("desired_capacity") is None:
            low = kwargs.get("min_size") if kwargs.get("min_size") is not None else self.min_size
            high = kwargs.get("max_size") if kwargs.get("max_size") is not None else self.max_size
            kwargs["desired_capacity"] = max(low, min(high, self.desired_capacity))
        change(self, *args, mixed_instances_policy=policy, **kwargs)

    AutoScalingResponse.update_auto_scaling_group = update_whole
    FakeAutoScalingGroup.update = change_and_keep


def keep_settings(response, group):
    """Keeps what moto drops of a request. A setting that the request does not name stays."""
    for parameter, field, _ in SETTINGS:
        value = response._get_int_param(parameter)
        if value is not None:
            setattr(group, field, value)
    if response._get_param("CapacityRebalance") is not None:
        group.capacity_rebalance = response._get_bool_param("CapacityRebalance")
    if response._get_param("TerminationPolicies"):
        group.termination_policies = response._get_param("TerminationPolicies")


def check_desired_capacity():
    """SetDesiredCapacity stays within the group's sizes.

    Auto Scaling User Guide, "Manually scale your Auto Scaling group". moto takes any number.
    """

    def check(self):
        group = group_of(self, self._get_param("AutoScalingGroupName"))
        desired = self._get_int_param("DesiredCapacity")
        if not group.min_size <= desired <= group.max_size:
            bound = "above max" if desired > group.max_size else "below min"
            limit = group.max_size if desired > group.max_size else group.min_size
            message = (
                f"New SetDesiredCapacity value {desired} is {bound} value {limit} "
                "for the AutoScalingGroup."
            )
            raise refused("ValidationError", message)

    check_first(AutoScalingResponse, "set_desired_capacity", check)


def delete_groups_with_care():
    """A group with machines is deleted only by force; then it stays until they are gone.

    Auto Scaling API reference, DeleteAutoScalingGroup: ResourceInUse; ForceDelete, which also
    deletes outstanding lifecycle actions; data type `AutoScalingGroup`, `Status`: "The current
    state of the group when the DeleteAutoScalingGroup operation is in progress". moto always
    deletes.
    """

    def delete(self):
        group = group_of(self, self._get_param("AutoScalingGroupName"))
        if group.instance_states and not self._get_bool_param("ForceDelete", False):
            message = (
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot "
                "instance request(s) still in the group."
            )
            raise refused("ResourceInUse", message)
        group.status = "Delete in progress"
        group.min_size = group.desired_capacity = 0
        for member in list(group.instance_states):
            if member.lifecycle_state != "Terminating":
                groups.end(group, member, "the group is deleted", hooks=False)
        backend = self.autoscaling_backend
        for hook in backend.describe_lifecycle_hooks(group.name):
            backend.delete_lifecycle_hook(group.name, hook.name)
        groups.reconcile(group)
        return EmptyResult()

    AutoScalingResponse.delete_auto_scaling_group = delete


def attach_target_groups_that_exist():
    """Target groups that are attached exist, and get the machines in service.

    Auto Scaling API reference, AttachLoadBalancerTargetGroups; "Common Errors", ValidationError.
    moto answers in the words of another service.
    """
    check_first(AutoScalingResponse, "attach_load_balancer_target_groups", check_target_groups)


MENDS = [
    keep_machines_as_groups_do,
    tell_what_machines_are_launched_from,
    create_groups_whole,
    update_groups_whole,
    check_desired_capacity,
    delete_groups_with_care,
    attach_target_groups_that_exist,
]
