"""Auto Scaling: the parts of a group, which are its hooks, activities, processes and metrics."""

from moto.autoscaling import models
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult

from mends import activities, groups
from mends.autoscaling import group_of, need_the_group
from mends.tools import check_first, refused


def complete_hooks():
    """CompleteLifecycleAction and RecordLifecycleActionHeartbeat, which moto lacks.

    Auto Scaling API reference, both operations: by instance id or by token.
    """

    def wait_of(response):
        group = group_of(response, response._get_param("AutoScalingGroupName"))
        name = response._get_param("LifecycleHookName")
        instance_id = response._get_param("InstanceId")
        token = response._get_param("LifecycleActionToken")
        for member in group.instance_states:
            wait = member.waits.get(name)
            if wait and (instance_id == member.instance.id or token == wait.token):
                return group, wait
        asked = f"instance ID {instance_id}" if instance_id else f"token {token}"
        raise refused("ValidationError", f"No active Lifecycle Action found with {asked}")

    def complete(self):
        group, wait = wait_of(self)
        result = self._get_param("LifecycleActionResult")
        wait.end(result, f"Lifecycle Action Completed with {result} Result")
        groups.reconcile(group)
        return EmptyResult()

    def heartbeat(self):
        wait_of(self)[1].heartbeat()
        return EmptyResult()

    AutoScalingResponse.complete_lifecycle_action = complete
    AutoScalingResponse.record_lifecycle_action_heartbeat = heartbeat


def tell_hooks_as_they_are():
    """A hook has the targets that it was made with, and none otherwise.

    Auto Scaling API reference, data type `LifecycleHook`. moto makes up a role and a queue.
    """
    make = models.LifecycleHook.__init__

    def make_plain(self, *args, **kwargs):
        make(self, *args, **kwargs)
        self.role_arn = self.notification_target_arn = None
        self.global_timeout = min(172800, 100 * self.heartbeat_timeout)

    models.LifecycleHook.__init__ = make_plain


def check_hooks():
    """PutLifecycleHook takes 30 to 7200 seconds; DeleteLifecycleHook needs the hook.

    Auto Scaling API reference, PutLifecycleHook, HeartbeatTimeout. moto takes anything.
    """

    def check_new(self):
        seconds = self._get_int_param("HeartbeatTimeout")
        if seconds is not None and not 30 <= seconds <= 7200:
            message = f"Timeout must be between 30 and 7200 seconds, and is {seconds}"
            raise refused("ValidationError", message)

    def check_known(self):
        group, name = self._get_param("AutoScalingGroupName"), self._get_param("LifecycleHookName")
        if not self.autoscaling_backend.describe_lifecycle_hooks(group, [name]):
            raise refused("ValidationError", f"No Lifecycle Hook found with name: {name}")

    check_first(AutoScalingResponse, "put_lifecycle_hook", check_new)
    check_first(AutoScalingResponse, "delete_lifecycle_hook", check_known)


def tell_activities():
    """DescribeScalingActivities, newest first, which moto answers with nothing.

    Auto Scaling API reference, DescribeScalingActivities: at most 100 a page; those of deleted
    groups under IncludeDeletedGroups.
    """

    def describe(self):
        name = self._get_param("AutoScalingGroupName")
        deleted = self._get_bool_param("IncludeDeletedGroups", False)
        alive = self.autoscaling_backend.autoscaling_groups
        if name and name not in alive and not deleted:
            group_of(self, name)
        found = [
            activity
            for activity in reversed(activities.of_backend(self.autoscaling_backend))
            if name in (None, activity.auto_scaling_group_name)
            and (
                deleted
                or alive.get(activity.auto_scaling_group_name) is activity.auto_scaling_group
            )
        ]
        wanted = self._get_param("ActivityIds", [])
        if wanted:
            found = [activity for activity in found if activity.activity_id in wanted]
        start = int(self._get_param("NextToken") or 0)
        count = self._get_int_param("MaxRecords") or 100
        token = str(start + count) if len(found) > start + count else None
        return ActionResult({"Activities": found[start : start + count], "NextToken": token})

    AutoScalingResponse.describe_scaling_activities = describe


def check_names():
    """Processes and metrics have names of their own.

    Auto Scaling API reference, SuspendProcesses and EnableMetricsCollection. moto takes any.
    """

    def check_processes(self):
        check(self._get_param("ScalingProcesses", []), PROCESSES)

    def check_metrics(self):
        check(self._get_param("Metrics", []), METRICS)

    def check(names, known):
        for name in names:
            if name not in known:
                raise refused("ValidationError", f"{name} is not valid")

    for method in ("suspend_processes", "resume_processes"):
        check_first(AutoScalingResponse, method, check_processes)
    for method in ("enable_metrics_collection", "disable_metrics_collection"):
        check_first(AutoScalingResponse, method, check_metrics)


PROCESSES = {
    "Launch",
    "Terminate",
    "AddToLoadBalancer",
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "ReplaceUnhealthy",
    "ScheduledActions",
}


def collect_metrics():
    """EnableMetricsCollection adds metrics, DisableMetricsCollection takes them away; all of them
    when none is named.

    Auto Scaling API reference, both operations. moto replaces, and lacks the second.
    """

    def enable(self):
        group = group_of(self, self._get_param("AutoScalingGroupName"))
        named = self._get_param("Metrics", []) or ALL_METRICS
        group.metrics = sorted({*group.metrics, *named})
        return EmptyResult()

    def disable(self):
        group = group_of(self, self._get_param("AutoScalingGroupName"))
        named = self._get_param("Metrics", []) or ALL_METRICS
        group.metrics = sorted({*group.metrics} - {*named})
        return EmptyResult()

    AutoScalingResponse.enable_metrics_collection = enable
    AutoScalingResponse.disable_metrics_collection = disable


ALL_METRICS = [
    f"Group{what}{unit}"
    for what in ("InService", "Pending", "Standby", "Terminating", "Total")
    for unit in ("Instances", "Capacity")
] + ["GroupMinSize", "GroupMaxSize", "GroupDesiredCapacity"]


METRICS = {
    *ALL_METRICS,
    "GroupTerminatingRetainedInstances",
    "GroupTerminatingRetainedCapacity",
    "GroupAndWarmPoolDesiredCapacity",
    "GroupAndWarmPoolTotalCapacity",
} | {
    f"WarmPool{what}Capacity"
    for what in ("Desired", "Warmed", "Pending", "Terminating", "Total", "PendingRetained")
}


MENDS = [
    complete_hooks,
    tell_hooks_as_they_are,
    check_hooks,
    tell_activities,
    collect_metrics,
    check_names,
    # The last one, so that it stands before all requests about groups.
    need_the_group,
]
