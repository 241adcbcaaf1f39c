"""Scaling activities: what a group tells of its launches and ends.

Amazon EC2 Auto Scaling API reference, data type `Activity`.
"""

from moto.autoscaling.models import Activity
from moto.core.utils import utcnow


class Told(Activity):
    """An activity that lasts until it is known how it ended."""

    def __init__(self, group, description, cause):
        super().__init__(description, cause, group)
        self.end_time = None
        self.status_message = None
        self.details = "{}"

    def goes_on(self, status):
        self.status_code, self.progress = status, 50

    def ended(self, status, message=None):
        self.status_code, self.status_message = status, message
        self.end_time, self.progress = utcnow(), 100


def of_backend(backend):
    """The activities of one account and region, oldest first; those of deleted groups too."""
    return backend.__dict__.setdefault("kprod_activities", [])


def begin(group, description, cause):
    activity = Told(group, description, cause)
    of_backend(group.autoscaling_backend).append(activity)
    return activity


def launching(group, instance_id):
    cause = (
        f"At {utcnow():%Y-%m-%dT%H:%M:%SZ} an instance was started in response to a difference "
        f"between desired and actual capacity."
    )
    return begin(group, f"Launching a new EC2 instance: {instance_id}", cause)


def failed_launch(group, error):
    """A launch that EC2 refused: no instance id, and what EC2 said."""
    activity = begin(group, "Launching a new EC2 instance", "a launch was refused")
    activity.ended("Failed", f"{error.message} Launching EC2 instance failed.")


def terminating(group, instance_id, cause):
    return begin(group, f"Terminating EC2 instance: {instance_id}", cause)
