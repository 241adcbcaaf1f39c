"""Load balancers, profiles and buckets."""

import json
import os

import boto3
from botocore.exceptions import ClientError

from seeing.world import (
    ACCOUNT,
    ONCE,
    REGION,
    TRUST,
    autoscaling,
    control,
    ec2,
    elb,
    fresh,
    iam,
    let_pass,
    refuses,
    s3,
)


def check_balancers(world):
    control("config", {"balancer_seconds": 100, "balancer_linger_seconds": 100})
    group, name = world.security_group(), fresh("nlb")
    make = {
        "Name": name,
        "Type": "network",
        "Scheme": "internal",
        "SubnetMappings": [{"SubnetId": world.subnets[0]}],
        "SecurityGroups": [group],
    }
    made = elb.create_load_balancer(**make)["LoadBalancers"][0]
    arn = made["LoadBalancerArn"]
    assert f":loadbalancer/net/{name}/" in arn and made["DNSName"].startswith(f"{name}-")
    assert elb.create_load_balancer(**make)["LoadBalancers"][0]["LoadBalancerArn"] == arn
    other = make | {"Scheme": "internet-facing"}
    refuses("DuplicateLoadBalancerName", elb.create_load_balancer, **other)

    def state():
        return elb.describe_load_balancers(Names=[name])["LoadBalancers"][0]["State"]["Code"]

    assert state() == "provisioning"
    let_pass(100)
    assert state() == "active"
    subnets = [{"SubnetId": subnet} for subnet in world.subnets]
    elb.set_subnets(LoadBalancerArn=arn, SubnetMappings=subnets)
    change = {"LoadBalancerArn": arn, "SubnetMappings": subnets[:2]}
    refuses("InvalidConfigurationRequest", elb.set_subnets, **change)
    refuses(
        "InvalidConfigurationRequest",
        elb.set_security_groups,
        LoadBalancerArn=arn,
        SecurityGroups=[],
    )
    protection = {"Key": "deletion_protection.enabled", "Value": "true"}
    elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[protection])
    refuses("OperationNotPermitted", elb.delete_load_balancer, LoadBalancerArn=arn)
    protection["Value"] = "false"
    elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[protection])
    refuses("DependencyViolation", ec2.delete_security_group, GroupId=group)
    elb.delete_load_balancer(LoadBalancerArn=arn)
    refuses("DependencyViolation", ec2.delete_security_group, GroupId=group)
    elb.delete_load_balancer(LoadBalancerArn=arn)
    let_pass(100)
    ec2.delete_security_group(GroupId=group)
    control("config", {"balancer_seconds": 0, "balancer_linger_seconds": 0})


def check_listeners(world):
    def balancer():
        made = elb.create_load_balancer(Name=fresh("nlb"), Type="network", Subnets=world.subnets)
        return made["LoadBalancers"][0]["LoadBalancerArn"]

    make = {
        "Name": "api--of-a-cluster",
        "Protocol": "TCP",
        "Port": 443,
        "VpcId": world.vpc,
        "TargetType": "instance",
    }
    target = elb.create_target_group(**make)["TargetGroups"][0]["TargetGroupArn"]
    assert elb.create_target_group(**make)["TargetGroups"][0]["TargetGroupArn"] == target
    refuses("DuplicateTargetGroupName", elb.create_target_group, **make | {"Port": 444})
    one, other = balancer(), balancer()
    forward = [{"Type": "forward", "TargetGroupArn": target}]
    listen = {"Protocol": "TCP", "Port": 443, "DefaultActions": forward}
    elb.create_listener(LoadBalancerArn=one, **listen)
    refuses("DuplicateListener", elb.create_listener, LoadBalancerArn=one, **listen)
    refuses("TargetGroupAssociationLimit", elb.create_listener, LoadBalancerArn=other, **listen)
    refuses("ResourceInUse", elb.delete_target_group, TargetGroupArn=target)

    asg = world.group(size=(2, 2))
    attach = autoscaling.attach_load_balancer_target_groups
    refuses("ValidationError", attach, AutoScalingGroupName=asg, TargetGroupARNs=[one])
    attach(AutoScalingGroupName=asg, TargetGroupARNs=[target])
    health = elb.describe_target_health(TargetGroupArn=target)["TargetHealthDescriptions"]
    assert len(health) == 2
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=asg, ForceDelete=True)
    assert not elb.describe_target_health(TargetGroupArn=target)["TargetHealthDescriptions"]

    elb.delete_load_balancer(LoadBalancerArn=one)
    elb.create_listener(LoadBalancerArn=other, **listen)
    elb.delete_load_balancer(LoadBalancerArn=other)
    for _ in range(2):
        elb.delete_target_group(TargetGroupArn=target)


def check_new_profiles(world):
    """EC2 knows nothing of a profile for a while."""
    control("config", {"iam_lag_seconds": 100})
    profile = world.make_profile()
    template = world.template(IamInstanceProfile={"Name": profile})
    named = {"LaunchTemplateName": template, "Version": "1"}
    prove = {"LaunchTemplate": named, "MinCount": 1, "MaxCount": 1, "DryRun": True}
    message = refuses("InvalidParameterValue", ec2.run_instances, **prove)
    assert "Invalid IAM Instance Profile name" in message

    let_pass(100)
    refuses("DryRunOperation", ec2.run_instances, **prove)
    control("config", {"iam_lag_seconds": 0})
    make = iam.create_role
    refuses("EntityAlreadyExists", make, RoleName=profile.upper(), AssumeRolePolicyDocument=TRUST)
    refuses("EntityAlreadyExists", iam.create_instance_profile, InstanceProfileName=profile.upper())
    wrong = TRUST.replace("Principal", "Resource")
    refuses("MalformedPolicyDocument", make, RoleName="wrong", AssumeRolePolicyDocument=wrong)
    outside = {"InstanceProfileName": profile, "RoleName": world.profile}
    refuses("NoSuchEntity", iam.remove_role_from_instance_profile, **outside)
    refuses("DeleteConflict", iam.delete_role, RoleName=profile)
    refuses("DeleteConflict", iam.delete_instance_profile, InstanceProfileName=profile)


def check_buckets(world):
    name = f"{fresh('bucket')}-{ACCOUNT}"
    here = {"LocationConstraint": REGION}
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=here)
    s3.put_object(Bucket=name, Key="a", Body=b"1", ExpectedBucketOwner=ACCOUNT)
    get = {"Bucket": name, "Key": "a"}
    refuses("AccessDenied", s3.get_object, **get, ExpectedBucketOwner="999999999999")
    control("faults", [{"service": "s3", "action": "PutObject", "times": 1, "status": 409,
                        "code": "ConditionalRequestConflict", "message": "again"}])  # fmt: skip
    refuses("ConditionalRequestConflict", s3.put_object, **get, Body=b"2", IfNoneMatch="*")
    refuses("PreconditionFailed", s3.put_object, **get, Body=b"2", IfNoneMatch="*")
    url = f"{os.environ['AWS_ENDPOINT_URL']}/{name}/a"
    elsewhere = boto3.client("s3", "eu-central-1", config=ONCE)
    seen = []
    elsewhere.meta.events.register("needs-retry.s3", lambda response, **_: seen.append(response))
    try:
        elsewhere.get_object(**get)
    except ClientError:
        pass
    status, headers = seen[0][0].status_code, seen[0][0].headers
    assert (status, headers["x-amz-bucket-region"]) == (301, REGION), (url, status, headers)


def check_bucket_settings(world):
    """A policy about TLS denies nobody who has it, and versioning is told by its own name."""
    name = f"{fresh('bucket')}-{ACCOUNT}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=name, Key="a", Body=b"1")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}
    tls = {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    policy = {"Version": "2012-10-17", "Statement": [deny | tls]}
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    s3.get_object(Bucket=name, Key="a")
    policy["Statement"] = [deny]
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    refuses("403", s3.get_object, Bucket=name, Key="a")
    seen = []
    event = "before-parse.s3.GetBucketVersioning"
    s3.meta.events.register(event, lambda response_dict, **_: seen.append(response_dict))
    s3.get_bucket_versioning(Bucket=name)
    assert b"<VersioningConfiguration" in seen[0]["body"], seen
