"""EC2 catches up late with what was made just now, where a test asks for it.

EC2 Developer Guide, "Eventual consistency in the Amazon EC2 API": a call that follows may not know
a resource yet, and a description may leave it out. moto knows everything at once.
"""

import re

from moto.ec2.models import EC2Backend

import clock
import settings
from mends.tools import Refused

# How a call tells an id that it does not know: EC2 API reference, "Error codes".
UNKNOWN = {
    "sg": ("InvalidGroup.NotFound", "The security group '{}' does not exist"),
    "vol": ("InvalidVolume.NotFound", "The volume '{}' does not exist."),
    "eni": ("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '{}' does not exist"),
    "lt": ("InvalidLaunchTemplateId.NotFound", "The launch template ID '{}' does not exist"),
}
ID = re.compile(r"\b(?:sg|vol|eni|lt)-[0-9a-f]{17}\b")

# When each id was made.
_made = {}


def hide_fresh_tags():
    """A search by tag finds a new resource `tag_lag_seconds` after it was made."""
    for method in (
        "describe_security_groups",
        "describe_launch_templates",
        "describe_volumes",
        "get_all_network_interfaces",
    ):
        find_late(method)


def find_late(method):
    find = getattr(EC2Backend, method)

    def find_settled(self, *args, **kwargs):
        found = find(self, *args, **kwargs)
        filters = kwargs.get("filters") or next((a for a in args if isinstance(a, dict)), {})
        if not any(name.startswith("tag") for name in filters):
            return found
        return [item for item in found if not is_fresh(self.account_id, item.id, "tag_lag_seconds")]

    setattr(EC2Backend, method, find_settled)


def is_fresh(account, resource_id, setting):
    age = clock.now(account) - _made.get(resource_id, float("-inf"))
    return age < settings.of(account, setting)


def note(call):
    """Remembers what a call made. A call that is made again under its token makes nothing new."""
    if call.service == "ec2" and call.action.startswith("Create") and call.status.startswith("2"):
        asked = " ".join(call.params.values())
        for resource_id in set(ID.findall(call.body.decode("utf8", "replace"))):
            if resource_id not in asked:
                _made.setdefault(resource_id, clock.now(call.account))


def refusal(call):
    """Why a call is refused that names something made less than `fresh_id_seconds` ago."""
    if call.service != "ec2" or settings.of(call.account, "fresh_id_seconds") <= 0:
        return None
    for resource_id in ID.findall(" ".join(call.params.values())):
        if is_fresh(call.account, resource_id, "fresh_id_seconds"):
            code, message = UNKNOWN[resource_id.split("-")[0]]
            return Refused(code, message.format(resource_id))
    return None


MENDS = [hide_fresh_tags]
