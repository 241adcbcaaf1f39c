"""What stands before moto: the pretended clock, and faults."""

import time
from email.utils import parsedate_to_datetime

from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

from seeing.world import (
    autoscaling,
    client,
    control,
    ec2,
    elb,
    fresh,
    iam,
    refuses,
    route53,
    s3,
)


def check_clock(world):
    """AWS's clock may be another one than this machine's."""
    control("config", {"clock_offset_seconds": 600})
    try:
        refuses("RequestExpired", ec2.describe_vpcs)
        refuses("SignatureDoesNotMatch", autoscaling.describe_auto_scaling_groups)
        date = s3.list_buckets()["ResponseMetadata"]["HTTPHeaders"]["date"]
        ahead = parsedate_to_datetime(date).timestamp() - time.time()
        assert 590 < ahead < 610, ahead
        control("config", {"clock_offset_seconds": 3600})
        refuses("RequestTimeTooSkewed", s3.list_buckets)
    finally:
        control("config", {"clock_offset_seconds": 0})


def check_faults(world):
    """Each service's clients read the errors that a test asks for."""
    calls = {
        "ec2": ec2.describe_vpcs,
        "autoscaling": autoscaling.describe_auto_scaling_groups,
        "iam": iam.list_roles,
        "elasticloadbalancing": elb.describe_load_balancers,
        "route53": route53.list_hosted_zones,
        "s3": s3.list_buckets,
        "sts": client("sts").get_caller_identity,
    }
    for service, call in calls.items():
        control("faults", [{"service": service, "skip": 1, "times": 1, "code": "Throttling"}])
        call()
        assert refuses("Throttling", call) == "Rate exceeded"
        call()
    refuses("InvalidAction", ec2.describe_stale_security_groups, VpcId=world.vpc)
    name = fresh("lost")
    make = {"GroupName": name, "Description": "d", "VpcId": world.vpc}
    for mode, code in (("reset", None), ("lost", "InvalidGroup.Duplicate")):
        control("faults", [{"action": "CreateSecurityGroup", "times": 1, "mode": mode}])
        try:
            ec2.create_security_group(**make)
            raise AssertionError("it was answered")
        except (ConnectionClosedError, EndpointConnectionError):
            pass
        if code is None:
            group = ec2.create_security_group(**make)["GroupId"]
            ec2.delete_security_group(GroupId=group)
        else:
            refuses(code, ec2.create_security_group, **make)
    for mode in ("delay", "late"):
        control("faults", [{"action": "DescribeVpcs", "times": 1, "mode": mode, "delay_ms": 200}])
        started = time.monotonic()
        ec2.describe_vpcs()
        assert time.monotonic() - started > 0.2
