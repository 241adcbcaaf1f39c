"""Machines into, out of and with their group; what becomes of those that somebody ended."""

from seeing.world import (
    ZONES,
    activities,
    autoscaling,
    control,
    described,
    ec2,
    instance,
    let_pass,
    members,
    refuses,
)


def ids(name, state=None):
    return [item["InstanceId"] for item in members(name, state)]


def tags(instance_id):
    return {tag["Key"]: tag["Value"] for tag in instance(instance_id).get("Tags", [])}


def check_detaching(world):
    """A machine that serves leaves its group, which replaces it; it runs on."""
    control("config", {"detach_seconds": 100, "launch_seconds": 50})
    asg = world.group(size=(2, 4))
    detach = autoscaling.detach_instances
    keep = {"AutoScalingGroupName": asg, "ShouldDecrementDesiredCapacity": False}
    young = ids(asg)[0]
    message = refuses("ValidationError", detach, **keep, InstanceIds=[young])
    assert "not in InService or Standby" in message
    let_pass(50)
    one, other = ids(asg, "InService")
    message = refuses("ValidationError", detach, **keep, InstanceIds=[one, "i-1"])
    assert "is not part of Auto Scaling group" in message
    refuses("ValidationError", detach, **keep, InstanceIds=[])
    refuses("ValidationError", detach, **keep, InstanceIds=[f"i-{n}" for n in range(21)])
    shrink = keep | {"ShouldDecrementDesiredCapacity": True}
    message = refuses("ValidationError", detach, **shrink, InstanceIds=[one])
    assert "has min-size=2, max-size=4, and desired-size=2. To detach 1 instance," in message
    detach(**keep, InstanceIds=[one])
    assert (ids(asg, "Detaching"), len(ids(asg))) == ([one], 3)
    assert tags(one)["aws:autoscaling:groupName"] == asg
    let_pass(100)
    assert one not in ids(asg) and other in ids(asg) and len(ids(asg, "InService")) == 2
    assert "aws:autoscaling:groupName" not in tags(one)
    assert instance(one)["State"]["Name"] == "running"
    autoscaling.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=3)
    let_pass(50)
    detach(**shrink, InstanceIds=[other])
    let_pass(100)
    assert (described(asg)["DesiredCapacity"], len(ids(asg))) == (2, 2)
    control("config", {"detach_seconds": 0, "launch_seconds": 0})
    ec2.terminate_instances(InstanceIds=[one, other])
    assert len(ids(asg)) == 2, "they are none of the group's any more"


def check_attaching(world):
    """A machine that runs joins a group, which wants one more and does not know its version."""
    asg, other = (world.group(size=(1, 2), VPCZoneIdentifier=zone) for zone in world.subnets[:2])
    machine = ids(asg)[0]
    attach = autoscaling.attach_instances
    join = {"AutoScalingGroupName": asg, "InstanceIds": [machine]}
    message = refuses("ValidationError", attach, **join)
    assert "is already part of another AutoScalingGroup" in message
    refuses("ValidationError", attach, **join | {"InstanceIds": ["i-1"]})
    autoscaling.detach_instances(**join, ShouldDecrementDesiredCapacity=False)
    refuses("ValidationError", attach, **join | {"AutoScalingGroupName": other})
    attach(**join)
    assert described(asg)["DesiredCapacity"] == 2
    [told] = [item for item in members(asg) if item["InstanceId"] == machine]
    assert told["LifecycleState"] == "InService" and "LaunchTemplate" not in told, told
    assert tags(machine)["aws:autoscaling:groupName"] == asg
    autoscaling.detach_instances(**join, ShouldDecrementDesiredCapacity=True)
    autoscaling.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=2)
    message = refuses("ValidationError", attach, **join)
    assert "To attach 1 instance, please update" in message
    ec2.terminate_instances(InstanceIds=[machine])
    refuses("ValidationError", attach, **join)


def check_ends_of_several(world):
    """One call ends several machines of a group, and counts none of them twice."""
    control("config", {"terminate_seconds": 100})
    asg, other = world.group(size=(2, 6)), world.group(size=(1, 1))
    autoscaling.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=4)
    terminate = autoscaling.terminate_instance_in_auto_scaling_group
    four = ids(asg, "InService")
    end = {"AutoScalingGroupName": asg, "ShouldDecrementDesiredCapacity": True}
    strange = [four[0], ids(other)[0]]
    refuses("ValidationError", terminate, **end, InstanceIds=strange)
    refuses("ValidationError", terminate, **end, InstanceIds=[f"i-{n}" for n in range(101)])
    refuses("ValidationError", terminate, **end, InstanceIds=four[:3])
    assert ids(asg, "InService") == four, "all or none"
    assert len(terminate(**end, InstanceIds=four[:1])["Activities"]) == 1
    assert described(asg)["DesiredCapacity"] == 3
    terminate(**end, InstanceIds=four[:2])
    assert described(asg)["DesiredCapacity"] == 2, "the first one ended already"
    terminate(**end | {"ShouldDecrementDesiredCapacity": False}, InstanceIds=four[2:])
    let_pass(100)
    assert len(ids(asg, "InService")) == 2 and not set(four) & set(ids(asg))
    control("config", {"terminate_seconds": 0})


def check_lost_machines(world):
    """A machine that somebody ended is found by health checks and replaced, as far as they go on."""
    for process, health in (
        ("HealthCheck", "Healthy"),
        ("ReplaceUnhealthy", "Unhealthy"),
        ("Terminate", "Unhealthy"),
    ):
        asg = world.group(size=(1, 2))
        named = {"AutoScalingGroupName": asg, "ScalingProcesses": [process]}
        autoscaling.suspend_processes(**named)
        lost = ids(asg)[0]
        ec2.terminate_instances(InstanceIds=[lost])
        [told] = members(asg)
        assert (told["InstanceId"], told["HealthStatus"]) == (lost, health), process
        autoscaling.resume_processes(**named)
        assert ids(asg, "InService") not in ([], [lost]), process
        assert activities(asg)[0]["StatusCode"] == "Successful"


def check_status_checks(world):
    """Machines are found by what EC2's status checks say."""
    asg = world.group(size=(2, 2))
    one, _ = ids(asg)
    control("config", {"impaired": [one]})

    def failing(check):
        filters = [{"Name": f"{check}-status.status", "Values": ["impaired"]}]
        return ec2.describe_instance_status(Filters=filters)["InstanceStatuses"]

    [told] = failing("instance")
    assert (told["InstanceId"], told["InstanceStatus"]["Status"]) == (one, "impaired")
    assert failing("system") == []
    control("config", {"impaired": []})
    assert failing("instance") == []


def check_tags_of_machines(world):
    """Tags go on machines that exist, on several at once or on none."""
    asg = world.group(size=(2, 2), VPCZoneIdentifier=world.subnets[0])
    assert {item["AvailabilityZone"] for item in members(asg)} == {ZONES[0]}
    mark = {"Tags": [{"Key": "mark", "Value": "x"}]}
    missing = [ids(asg)[0], "i-0123456789abcdef0"]
    refuses("InvalidInstanceID.NotFound", ec2.create_tags, **mark, Resources=missing)
    assert not any("mark" in tags(machine) for machine in ids(asg))
    ec2.create_tags(**mark, Resources=ids(asg))
    assert all(tags(machine)["mark"] == "x" for machine in ids(asg))
    refuses("InvalidInstanceID.NotFound", ec2.terminate_instances, InstanceIds=missing)
    assert len(ids(asg, "InService")) == 2
