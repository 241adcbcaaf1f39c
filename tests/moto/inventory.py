"""What is in an account, told without a call of AWS's API: for tests that play the machines, and for
those that look at what a run has left behind.

Of machines that have ended the ids are told: nothing that was ever launched is forgotten.
"""

from moto.autoscaling.models import ASG_NAME_TAG, autoscaling_backends
from moto.ec2.models import ec2_backends
from moto.s3.models import s3_backends

from mends.machines import TERMINATED


def inventory(account):
    """The account's machines and groups."""
    instances = [
        instance
        for backend in backends(ec2_backends, account)
        for reservation in backend.reservations.values()
        for instance in reservation.instances
    ]
    gone = TERMINATED[0]
    return {
        "machines": [machine(instance) for instance in instances if instance.state != gone],
        "ended": [instance.id for instance in instances if instance.state == gone],
        "groups": list(groups(account)),
    }


def machine(instance):
    tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
    return {
        "instance_id": instance.id,
        "state": instance.state,
        "zone": instance.placement.zone,
        "type": instance.instance_type,
        "image": instance.image_id,
        "group": tags.get(ASG_NAME_TAG),
        "tags": tags,
    }


def groups(account):
    for backend in backends(autoscaling_backends, account):
        for group in backend.autoscaling_groups.values():
            yield {
                "name": group.name,
                "desired": int(group.desired_capacity or 0),
                "min": int(group.min_size),
                "max": int(group.max_size),
                "version": str(group.launch_template_version),
                "suspended": sorted(item["ProcessName"] for item in group.suspended_processes),
                "tags": {tag["Key"]: tag.get("Value") for tag in group.tags},
                "targets": list(group.target_group_arns),
                "members": {
                    member.instance.id: member.lifecycle_state for member in group.instance_states
                },
            }


def backends(of, account):
    return list(of[account].values()) if account in of else []


def write(account, sent):
    """Writes objects into a bucket, as the machines of a cluster do."""
    backend = s3_backends[account]["aws"]
    for key, text in sent["objects"].items():
        backend.put_object(sent["bucket"], key, text.encode())
    return len(sent["objects"])
