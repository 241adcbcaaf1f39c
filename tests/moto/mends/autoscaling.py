"""Auto Scaling."""

from moto.autoscaling import models as autoscaling
from moto.autoscaling.responses import AutoScalingResponse


def remember_launch_versions():
    """An instance of a group keeps the launch template version that it was launched from.

    Auto Scaling API reference, data type `Instance`, `LaunchTemplate`: "The launch template for the
    instance". moto tells the template's current default version for every instance.
    """
    launch = autoscaling.FakeAutoScalingGroup.replace_autoscaling_group_instances

    def launch_and_remember(self, count_needed, propagated_tags):
        before = len(self.instance_states)
        launch(self, count_needed, propagated_tags)
        if self.ec2_launch_template is None:
            return
        version = self.ec2_launch_template.get_version(self.launch_template_version)
        for state in self.instance_states[before:]:
            state.kprod_version = str(version.number)

    def launch_template(self):
        group = self.auto_scaling_group
        version = getattr(self, "kprod_version", None)
        if group is None or group.ec2_launch_template is None or version is None:
            return None
        template = group.ec2_launch_template
        return {
            "LaunchTemplateId": template.id,
            "LaunchTemplateName": template.name,
            "Version": version,
        }

    autoscaling.FakeAutoScalingGroup.replace_autoscaling_group_instances = launch_and_remember
    autoscaling.InstanceState.launch_template = property(launch_template)


def keep_group_settings():
    """A new group has the settings that it was made with.

    Auto Scaling API reference, CreateAutoScalingGroup: `HealthCheckGracePeriod` ("Default: 0
    seconds") and `MaxInstanceLifetime`. moto makes 300 of 0, and drops the second.
    """
    create = AutoScalingResponse.create_auto_scaling_group

    def create_and_keep(self):
        answer = create(self)
        groups = self.autoscaling_backend.autoscaling_groups
        group = groups[self._get_param("AutoScalingGroupName")]
        group.health_check_grace_period = self._get_int_param("HealthCheckGracePeriod") or 0
        group.max_instance_lifetime = self._get_int_param("MaxInstanceLifetime")
        return answer

    AutoScalingResponse.create_auto_scaling_group = create_and_keep


MENDS = [remember_launch_versions, keep_group_settings]
