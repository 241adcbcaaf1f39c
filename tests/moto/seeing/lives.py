"""Machines of groups: how they start, wait in hooks, fail to start, and end."""

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


def check_slow_machines(world):
    """Pending, Pending:Wait, InService; Terminating until it is gone."""
    control("config", {"launch_seconds": 100, "terminate_seconds": 100})
    hook = {
        "LifecycleHookName": "ready",
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
        "HeartbeatTimeout": 30,
        "DefaultResult": "ABANDON",
    }
    control("config", {"hooks_complete_seconds": None})
    asg = world.group(size=(1, 2), LifecycleHookSpecificationList=[hook])
    assert [item["LifecycleState"] for item in members(asg)] == ["Pending"]
    machine = members(asg)[0]["InstanceId"]
    assert instance(machine)["State"]["Name"] == "pending"
    let_pass(100)
    assert members(asg, "Pending:Wait")
    assert instance(machine)["State"]["Name"] == "running"
    assert activities(asg)[0]["StatusCode"] == "MidLifecycleAction"
    named = {"AutoScalingGroupName": asg, "LifecycleHookName": "ready"}
    complete = autoscaling.complete_lifecycle_action
    refuses(
        "ValidationError", complete, **named, InstanceId="i-1", LifecycleActionResult="CONTINUE"
    )
    autoscaling.record_lifecycle_action_heartbeat(**named, InstanceId=machine)
    complete(**named, InstanceId=machine, LifecycleActionResult="CONTINUE")
    assert members(asg, "InService")
    assert activities(asg)[0]["StatusCode"] == "Successful"

    control("config", {"hooks_complete_seconds": 20})
    autoscaling.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=2)
    let_pass(100)
    assert len(members(asg, "InService")) == 1
    let_pass(20)
    assert len(members(asg, "InService")) == 2, "the software completes the hook"

    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=asg, ForceDelete=True)
    assert described(asg)["Status"] == "Delete in progress"
    assert len(members(asg, "Terminating")) == 2
    assert instance(machine)["State"]["Name"] == "shutting-down"
    change = {"AutoScalingGroupName": asg, "MaxSize": 3}
    refuses("ScalingActivityInProgress", autoscaling.update_auto_scaling_group, **change)
    let_pass(100)
    assert described(asg) is None
    assert instance(machine)["State"]["Name"] == "terminated"
    control("config", {"launch_seconds": 0, "terminate_seconds": 0, "hooks_complete_seconds": 0})


def check_abandoned_launches(world):
    control("config", {"hooks_complete_seconds": None})
    asg = world.group(size=(0, 2))
    put = autoscaling.put_lifecycle_hook
    hook = {
        "AutoScalingGroupName": asg,
        "LifecycleHookName": "ready",
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
    }
    refuses("ValidationError", put, **hook, HeartbeatTimeout=10)
    put(**hook, HeartbeatTimeout=30)
    told = autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=asg)["LifecycleHooks"][0]
    assert "NotificationTargetARN" not in told and "RoleARN" not in told, told
    autoscaling.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=1)
    first = members(asg, "Pending:Wait")[0]["InstanceId"]
    let_pass(20)
    autoscaling.record_lifecycle_action_heartbeat(
        AutoScalingGroupName=asg, LifecycleHookName="ready", InstanceId=first
    )
    let_pass(20)
    assert members(asg, "Pending:Wait"), "a heartbeat extends the wait"
    autoscaling.complete_lifecycle_action(
        AutoScalingGroupName=asg,
        LifecycleHookName="ready",
        InstanceId=first,
        LifecycleActionResult="ABANDON",
    )
    abandoned = [
        item for item in activities(asg) if "was abandoned" in item.get("StatusMessage", "")
    ]
    assert [item["StatusCode"] for item in abandoned] == ["Cancelled"], activities(asg)
    assert first not in [item["InstanceId"] for item in members(asg)]
    let_pass(60)
    second = members(asg, "Pending:Wait")[0]["InstanceId"]
    let_pass(30)
    timed_out = [item for item in activities(asg) if "Timeout" in item.get("StatusMessage", "")]
    assert second in timed_out[0]["Description"], activities(asg)
    control("config", {"hooks_complete_seconds": 0})
    delete = {"AutoScalingGroupName": asg, "LifecycleHookName": "ready"}
    autoscaling.delete_lifecycle_hook(**delete)
    refuses("ValidationError", autoscaling.delete_lifecycle_hook, **delete)


def check_waiting_ends(world):
    """A machine waits in a termination hook before it ends."""
    control("config", {"hooks_complete_seconds": None})
    hook = {
        "LifecycleHookName": "leave",
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "HeartbeatTimeout": 30,
    }
    asg = world.group(size=(1, 1), LifecycleHookSpecificationList=[hook])
    machine = members(asg, "InService")[0]["InstanceId"]
    autoscaling.terminate_instance_in_auto_scaling_group(
        InstanceId=machine, ShouldDecrementDesiredCapacity=False
    )
    states = {item["InstanceId"]: item["LifecycleState"] for item in members(asg)}
    assert states.pop(machine) == "Terminating:Wait", states
    assert list(states.values()) == ["InService"], states
    assert instance(machine)["State"]["Name"] == "running"
    autoscaling.complete_lifecycle_action(
        AutoScalingGroupName=asg,
        LifecycleHookName="leave",
        InstanceId=machine,
        LifecycleActionResult="CONTINUE",
    )
    assert [item["InstanceId"] for item in members(asg)] == list(states)
    assert instance(machine)["State"]["Name"] == "terminated"
    control("config", {"hooks_complete_seconds": 0})


def check_shortages(world):
    """Where there is no capacity, the other zones are tried, and an activity says so at the end."""
    control("config", {"shortages": [{"zone": ZONES[0]}]})
    asg = world.group(size=(2, 3))
    assert sorted(item["AvailabilityZone"] for item in members(asg)) == ZONES[1:]
    control("config", {"shortages": [{"zone": zone} for zone in ZONES]})
    autoscaling.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=3)
    failed = activities(asg)[0]
    assert failed["StatusCode"] == "Failed"
    assert "do not have sufficient m6i.large capacity" in failed["StatusMessage"]
    control("config", {"shortages": []})
    let_pass(60)
    assert len(members(asg)) == 3, "the group tries again"
    control("config", {"instances_max": 0})
    other = world.group(size=(1, 1))
    assert "vCPU limit" in activities(other)[0]["StatusMessage"]
    control("config", {"instances_max": None})
    let_pass(60)
    assert len(members(other)) == 1, "the group tries again"


def check_balance(world):
    """When a zone has capacity again, machines move there, unless the group may not."""
    control("config", {"shortages": [{"zone": ZONES[0]}]})
    moves, stays = world.group(size=(4, 9)), world.group(size=(4, 9))
    keep = {"AutoScalingGroupName": stays, "ScalingProcesses": ["AZRebalance"]}
    autoscaling.suspend_processes(**keep)

    def zones(name):
        return sorted(item["AvailabilityZone"] for item in members(name))

    apart = [ZONES[1], ZONES[1], ZONES[2], ZONES[2]]
    assert (zones(moves), zones(stays)) == (apart, apart)
    control("config", {"shortages": []})
    let_pass(60)
    assert (len(set(zones(moves))), len(zones(moves)), zones(stays)) == (3, 4, apart)


def check_fencing(world):
    """An interface as the main one: one machine at a time, and the activity says so."""
    address = "10.0.0.200"
    interface = world.interface(PrivateIpAddress=address)
    nics = [{"DeviceIndex": 0, "NetworkInterfaceId": interface}]
    name = world.template(NetworkInterfaces=nics)
    asg = world.group(name, size=(1, 2), AvailabilityZones=[ZONES[0]])
    machine = members(asg)[0]["InstanceId"]
    assert instance(machine)["PrivateIpAddress"] == address
    told = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]
    assert (told["Status"], told["Attachment"]["InstanceId"]) == ("in-use", machine)
    refuses(
        "InvalidNetworkInterface.InUse",
        ec2.delete_network_interface,
        NetworkInterfaceId=interface,
    )
    autoscaling.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=2)
    assert len(members(asg)) == 1
    assert f"Interface: [{interface}] in use" in activities(asg)[0]["StatusMessage"]
    autoscaling.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=1)
    control("config", {"terminate_seconds": 100})
    ec2.terminate_instances(InstanceIds=[machine])
    assert machine in [item["InstanceId"] for item in members(asg, "Terminating")]
    assert not members(asg, "InService")
    let_pass(200)
    assert members(asg, "InService"), "the next machine takes the interface over"
    control("config", {"terminate_seconds": 0})
    told = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]
    assert told["Attachment"]["InstanceId"] == members(asg)[0]["InstanceId"]
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=asg, ForceDelete=True)
    told = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]
    assert told["Status"] == "available" and "Attachment" not in told, told
    ec2.delete_network_interface(NetworkInterfaceId=interface)
