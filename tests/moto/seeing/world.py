"""What the checks stand on: clients, a network, and words for what they ask again and again."""

import base64
import json
import os
import urllib.request
from itertools import count

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

REGION = "eu-west-3"
ZONES = ["eu-west-3a", "eu-west-3b", "eu-west-3c"]
ONCE = Config(retries={"max_attempts": 0}, parameter_validation=False)


def client(service, **options):
    return boto3.client(service, REGION, config=ONCE, **options)


ec2, autoscaling = client("ec2"), client("autoscaling")
elb, iam, route53, s3 = client("elbv2"), client("iam"), client("route53"), client("s3")
ACCOUNT = client("sts").get_caller_identity()["Account"]
numbers = count(1)


def control(path, body):
    """Talks to the launcher about this account."""
    url = f"{os.environ['AWS_ENDPOINT_URL']}/kprod/{path}?account={ACCOUNT}"
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def let_pass(seconds):
    """Lets time pass in this account."""
    control("pass", {"seconds": seconds})


def refuses(code, call, **arguments):
    """A call is refused with this code; gives the message."""
    try:
        call(**arguments)
    except ClientError as error:
        got = error.response["Error"]
        assert got["Code"] == code, f"{code} expected, and not {got}"
        return got["Message"]
    raise AssertionError(f"{code} expected, and it was done")


def fresh(word):
    return f"{word}-{next(numbers)}"


class World:
    """A VPC with a subnet in each zone, an image and a profile."""

    def __init__(self):
        self.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"10.0.{i}.0/24", AvailabilityZone=zone)[
                "Subnet"
            ]["SubnetId"]
            for i, zone in enumerate(ZONES)
        ]
        self.image = ec2.register_image(Name="node", RootDeviceName="/dev/xvda")["ImageId"]
        self.profile = self.make_profile()

    def make_profile(self):
        name = fresh("profile")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        return name

    def security_group(self):
        name = fresh("group")
        return ec2.create_security_group(GroupName=name, Description="d", VpcId=self.vpc)["GroupId"]

    def data(self, **more):
        return {
            "ImageId": self.image,
            "InstanceType": "m6i.large",
            "UserData": base64.b64encode(b"#cloud-config").decode(),
        } | more

    def template(self, **more):
        name = fresh("template")
        ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=self.data(**more))
        return name

    def group(self, template=None, size=(0, 9), **more):
        name = fresh("asg")
        if "MixedInstancesPolicy" not in more:
            named = {"LaunchTemplateName": template or self.template(), "Version": "1"}
            more = {"LaunchTemplate": named} | more
        zones = {} if "AvailabilityZones" in more else {"VPCZoneIdentifier": ",".join(self.subnets)}
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name, MinSize=size[0], MaxSize=size[1], **zones | more
        )
        return name

    def interface(self, **more):
        made = ec2.create_network_interface(SubnetId=self.subnets[0], **more)
        return made["NetworkInterface"]["NetworkInterfaceId"]


TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)


def described(name):
    groups = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    return next(iter(groups["AutoScalingGroups"]), None)


def members(name, state=None):
    found = described(name)
    instances = found["Instances"] if found else []
    return [item for item in instances if state in (None, item["LifecycleState"])]


def activities(name):
    return autoscaling.describe_scaling_activities(AutoScalingGroupName=name)["Activities"]


def instance(instance_id):
    found = ec2.describe_instances(InstanceIds=[instance_id])
    return found["Reservations"][0]["Instances"][0]
