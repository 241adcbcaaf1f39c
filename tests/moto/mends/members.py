"""A group's machines, and how they wait in lifecycle hooks."""

import uuid

from moto.autoscaling.models import InstanceState

import clock
import settings
from mends import activities

# States that count as capacity.
COUNTED = ("Pending", "Pending:Wait", "Pending:Proceed", "InService")


class Member(InstanceState):
    """A machine of a group. One that was attached has no version that its group knows."""

    def __init__(self, instance, group, version, subnet_id):
        instance.autoscaling_group = group
        super().__init__(
            instance, "Pending", protected_from_scale_in=group.new_instances_protected_from_scale_in
        )
        self.version = version
        self.balances = False
        self.subnet_id = subnet_id
        self.launched_at = clock.now(group.account_id)
        self.waits = {}
        # When load balancers have let go of a machine that ends, and when one that is detached leaves.
        self.let_go_at = self.leaves_at = None
        self.activity = activities.launching(group, instance.id)

    @property
    def launch_template(self):
        if self.version is None:
            return None
        template = self.auto_scaling_group.ec2_launch_template
        return {
            "LaunchTemplateId": template.id,
            "LaunchTemplateName": template.name,
            "Version": str(self.version),
        }


class Wait:
    """A machine's wait in one lifecycle hook."""

    def __init__(self, hook, account):
        now = clock.now(account)
        self.account, self.hook = account, hook
        self.token = str(uuid.uuid4())
        self.result = None
        self.why = ""
        self.until = now + hook.heartbeat_timeout
        own = settings.of(account, "hooks_complete_seconds")
        self.completed_at = None if own is None else now + own

    def heartbeat(self):
        self.until = clock.now(self.account) + self.hook.heartbeat_timeout

    def end(self, result, why):
        if self.result is None:
            self.result, self.why = result, why

    def look(self):
        """Ends by the machine's own software, or by the hook's time."""
        now = clock.now(self.account)
        if self.completed_at is not None and now >= self.completed_at:
            self.end("CONTINUE", "Lifecycle Action Completed with CONTINUE Result")
        elif now >= self.until:
            self.end(self.hook.default_result, "Heartbeat Timeout")
        return self.result
