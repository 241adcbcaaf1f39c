"""Targets: checked before they are used, and let go with a delay."""

from seeing.moves import ids
from seeing.world import (
    autoscaling,
    control,
    ec2,
    elb,
    fresh,
    instance,
    let_pass,
    refuses,
)


def target_group(world):
    made = elb.create_target_group(
        Name=fresh("targets"), Protocol="TCP", Port=443, VpcId=world.vpc, TargetType="instance"
    )
    return made["TargetGroups"][0]["TargetGroupArn"]


def listen(world, arn):
    made = elb.create_load_balancer(Name=fresh("nlb"), Type="network", Subnets=world.subnets)
    forward = [{"Type": "forward", "TargetGroupArn": arn}]
    elb.create_listener(
        LoadBalancerArn=made["LoadBalancers"][0]["LoadBalancerArn"],
        Protocol="TCP",
        Port=443,
        DefaultActions=forward,
    )


def states(arn):
    told = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    return {item["Target"]["Id"]: item["TargetHealth"]["State"] for item in told}


def check_lives_of_targets(world):
    control("config", {"target_seconds": 40, "deregistration_seconds": 60})
    arn = target_group(world)
    asg = world.group(size=(2, 4), TargetGroupARNs=[arn])
    one, other = ids(asg)
    assert set(states(arn).values()) == {"unused"}, "nobody listens"
    listen(world, arn)
    assert states(arn) == {one: "initial", other: "initial"}
    let_pass(40)
    assert states(arn) == {one: "healthy", other: "healthy"}
    control("config", {"impaired": [one]})
    assert states(arn)[one] == "unhealthy"
    control("config", {"impaired": []})

    out = {"TargetGroupArn": arn, "Targets": [{"Id": one}]}
    elb.deregister_targets(**out)
    elb.deregister_targets(**out)
    assert states(arn) == {one: "draining", other: "healthy"}
    let_pass(60)
    assert states(arn) == {other: "healthy"}, "who was taken out by hand stays out"
    elb.register_targets(**out)
    assert states(arn)[one] == "initial"

    end = autoscaling.terminate_instance_in_auto_scaling_group
    end(InstanceId=other, ShouldDecrementDesiredCapacity=False)
    assert states(arn)[other] == "draining" and other in ids(asg, "Terminating")
    assert instance(other)["State"]["Name"] == "running"
    let_pass(60)
    assert other not in ids(asg) and other not in states(arn)

    autoscaling.detach_instances(
        AutoScalingGroupName=asg, InstanceIds=[one], ShouldDecrementDesiredCapacity=False
    )
    assert states(arn)[one] == "draining" and ids(asg, "Detaching") == [one]
    let_pass(60)
    assert one not in ids(asg) and len(states(arn)) == 2
    ec2.terminate_instances(InstanceIds=[one])
    refuses("InvalidTarget", elb.register_targets, **out)
    unknown = [{"Id": "i-0123456789abcdef0"}]
    refuses("InvalidTarget", elb.register_targets, TargetGroupArn=arn, Targets=unknown)
    control("config", {"target_seconds": 0, "deregistration_seconds": 0})


def check_targets_take_their_groups_word(world):
    """Without a setting of the emulator, delays are those of the target group."""
    control("config", {"target_seconds": None, "deregistration_seconds": None})
    arn = target_group(world)
    listen(world, arn)
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": "30"}
    elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=[delay])
    elb.modify_target_group(
        TargetGroupArn=arn, HealthCheckIntervalSeconds=10, HealthyThresholdCount=3
    )
    asg = world.group(size=(1, 1), TargetGroupARNs=[arn])
    [one] = ids(asg)
    let_pass(20)
    assert states(arn) == {one: "initial"}
    let_pass(10)
    assert states(arn) == {one: "healthy"}
    elb.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": one}])
    let_pass(20)
    assert states(arn) == {one: "draining"}
    let_pass(10)
    assert states(arn) == {}
    control("config", {"target_seconds": 0, "deregistration_seconds": 0})


def check_targets_of_suspended_groups(world):
    arn = target_group(world)
    asg = world.group(size=(1, 2))
    attach = {"AutoScalingGroupName": asg, "TargetGroupARNs": [arn]}
    autoscaling.attach_load_balancer_target_groups(**attach)
    assert list(states(arn)) == ids(asg)
    suspend = {"AutoScalingGroupName": asg, "ScalingProcesses": ["AddToLoadBalancer"]}
    autoscaling.suspend_processes(**suspend)
    autoscaling.set_desired_capacity(AutoScalingGroupName=asg, DesiredCapacity=2)
    autoscaling.resume_processes(**suspend)
    assert (len(states(arn)), len(ids(asg))) == (1, 2)
    autoscaling.detach_load_balancer_target_groups(**attach)
    assert states(arn) == {}
