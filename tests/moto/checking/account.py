"""What an account holds, read through AWS's API alone and told in the words of `wanted.py`.

Ids become names on the way, so that a reading compares with what a hand can write. The network that
a team has before kprod comes is left out: VPCs, subnets, their default groups, route tables, the
public zone with its NS and SOA, the image and the state bucket.
"""

import re
from urllib.parse import unquote

import boto3

from .fleet import CLUSTERS, PUBLIC_ZONE, REGION
from .machines import Machines, tags_of
from .parameters import Parameters

# Records that Route 53 makes with every zone.
OF_THE_ZONE = {"NS", "SOA"}

# What stays in the state bucket for good: what runs did, and how often a name was made anew.
CLUSTER_NAMES = "|".join(re.escape(name) for name in CLUSTERS)
KEPT_OBJECTS = [
    rf"(?P<cluster>{CLUSTER_NAMES})/journal/(?P=cluster)",
    rf"(?P<cluster>{CLUSTER_NAMES})/incarnation/(?P=cluster)",
]

# What else a tool may leave in an account, and how it is listed; kprod makes none of it.
OTHER_KINDS = {
    "key pair": ("ec2", "describe_key_pairs", "KeyPairs", "KeyName"),
    "address": ("ec2", "describe_addresses", "Addresses", "AllocationId"),
    "gateway": ("ec2", "describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    "NAT gateway": ("ec2", "describe_nat_gateways", "NatGateways", "NatGatewayId"),
    "endpoint": ("ec2", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    "launch configuration": (
        "autoscaling",
        "describe_launch_configurations",
        "LaunchConfigurations",
        "LaunchConfigurationName",
    ),
    "policy": ("iam", "list_policies", "Policies", "PolicyName", {"Scope": "Local"}),
}


def ports_of(permission):
    """`PROTOCOL PORTS`, an ICMP type and code as `TYPE:CODE`, and all protocols as `all`."""
    protocol = permission["IpProtocol"]
    if protocol == "-1":
        return "all"
    low, high = permission["FromPort"], permission["ToPort"]
    if protocol == "icmp":
        return f"icmp {low}:{high}"
    return f"{protocol} {low}" if low == high else f"{protocol} {low}-{high}"


class Account(Machines, Parameters):
    """One look at an account."""

    def __init__(self):
        names = ("ec2", "iam", "elbv2", "route53", "autoscaling", "s3", "ssm")
        self.clients = {name: boto3.client(name, REGION) for name in names}
        self.iam, self.elb = self.clients["iam"], self.clients["elbv2"]
        self.route53, self.autoscaling = self.clients["route53"], self.clients["autoscaling"]
        self.found = {}
        self.name_of = {}
        self.read_network()

    def pages(self, service, operation, field, **arguments):
        client = self.clients[service]
        if not client.can_paginate(operation):
            return getattr(client, operation)(**arguments)[field]
        pages = client.get_paginator(operation).paginate(**arguments)
        return [item for page in pages for item in page.get(field, [])]

    def name(self, identifier):
        """The name of what has an id; the id itself where it has none."""
        return self.name_of.get(identifier, identifier)

    def names(self, identifiers):
        return sorted(self.name(identifier) for identifier in identifiers)

    def put(self, kind, name, fields):
        """Two things of one name are two findings."""
        twin = 1
        while (kind, name if twin == 1 else f"{name} (again, {twin})") in self.found:
            twin += 1
        self.found[kind, name if twin == 1 else f"{name} (again, {twin})"] = fields

    def read(self):
        """Everything that is not the team's, as {(kind, name): {field: value}}."""
        self.read_security_groups()
        self.read_identities()
        self.read_groups_and_machines()
        self.read_disks_and_interfaces()
        self.read_balancers()
        self.read_zones()
        self.read_buckets()
        self.read_parameters()
        self.read_other_kinds()
        return self.found

    def read_network(self):
        networks = {cluster.vpc for cluster in CLUSTERS.values()}
        self.vpcs = {}
        for vpc in self.pages("ec2", "describe_vpcs", "Vpcs"):
            if vpc["CidrBlock"] in networks:
                self.vpcs[vpc["VpcId"]] = vpc["CidrBlock"]
        self.name_of |= self.vpcs
        self.zone_of_subnet = {}
        for subnet in self.pages("ec2", "describe_subnets", "Subnets"):
            self.zone_of_subnet[subnet["SubnetId"]] = subnet["AvailabilityZone"]
            if subnet["VpcId"] in self.vpcs:
                self.name_of[subnet["SubnetId"]] = subnet["CidrBlock"]
                if subnet.get("Tags"):
                    self.put("tags of a subnet", subnet["CidrBlock"], tags_of(subnet["Tags"]))
        self.root_device = {}
        for image in self.pages("ec2", "describe_images", "Images", Owners=["self"]):
            self.name_of[image["ImageId"]] = "the team's"
            self.root_device[image["ImageId"]] = image["RootDeviceName"]

    def read_security_groups(self):
        groups = self.pages("ec2", "describe_security_groups", "SecurityGroups")
        self.name_of |= {group["GroupId"]: group["GroupName"] for group in groups}
        for group in groups:
            if group["GroupName"] == "default":
                continue
            fields = {
                "description": group["Description"],
                "vpc": self.name(group["VpcId"]),
                "tags": tags_of(group.get("Tags")),
            }
            self.put("security group", group["GroupName"], fields)
            self.read_rules(group)

    def read_rules(self, group):
        for direction, field in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
            for permission in group[field]:
                peers = [
                    *[(peer["CidrIp"], peer) for peer in permission["IpRanges"]],
                    *[(peer["CidrIpv6"], peer) for peer in permission["Ipv6Ranges"]],
                    *[(peer["PrefixListId"], peer) for peer in permission["PrefixListIds"]],
                    *[(self.name(p["GroupId"]), p) for p in permission["UserIdGroupPairs"]],
                ]
                for name, peer in peers:
                    line = f"{group['GroupName']} {direction} {ports_of(permission)} {name}"
                    self.put("rule", line, {"description": peer.get("Description", "")})

    def read_identities(self):
        for role in self.pages("iam", "list_roles", "Roles"):
            if role["Path"].startswith("/aws-service-role/"):
                continue
            name = role["RoleName"]
            attached = self.pages(
                "iam", "list_attached_role_policies", "AttachedPolicies", RoleName=name
            )
            fields = {
                "trust": trust_of(role["AssumeRolePolicyDocument"]),
                "inline policies": self.pages(
                    "iam", "list_role_policies", "PolicyNames", RoleName=name
                ),
                "attached policies": [policy["PolicyArn"] for policy in attached],
                "tags": tags_of(self.iam.list_role_tags(RoleName=name)["Tags"]),
            }
            self.put("role", name, fields)
        for profile in self.pages("iam", "list_instance_profiles", "InstanceProfiles"):
            name = profile["InstanceProfileName"]
            self.name_of[profile["Arn"]] = name
            whole = self.iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
            fields = {
                "roles": [role["RoleName"] for role in profile["Roles"]],
                "tags": tags_of(whole.get("Tags")),
            }
            self.put("instance profile", name, fields)

    def read_balancers(self):
        balancers = self.pages("elbv2", "describe_load_balancers", "LoadBalancers")
        self.name_of |= {each["LoadBalancerArn"]: each["LoadBalancerName"] for each in balancers}
        targets = self.pages("elbv2", "describe_target_groups", "TargetGroups")
        self.name_of |= {each["TargetGroupArn"]: each["TargetGroupName"] for each in targets}
        self.balancer_of_host = {each["DNSName"].lower(): each for each in balancers}
        for each in balancers:
            arn, name = each["LoadBalancerArn"], each["LoadBalancerName"]
            attributes = tags_of(
                self.elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
            )
            fields = {
                "type": each["Type"],
                "scheme": each["Scheme"],
                "vpc": self.name(each["VpcId"]),
                "subnets": self.names(zone["SubnetId"] for zone in each["AvailabilityZones"]),
                "security groups": self.names(each.get("SecurityGroups", [])),
                "cross zone": attributes.get("load_balancing.cross_zone.enabled", "false"),
                "tags": self.tags_of_arn(arn),
            }
            self.put("load balancer", name, fields)
            for listener in self.pages(
                "elbv2", "describe_listeners", "Listeners", LoadBalancerArn=arn
            ):
                forwards = [action["TargetGroupArn"] for action in listener["DefaultActions"]]
                fields = {
                    "protocol": listener["Protocol"],
                    "target groups": self.names(forwards),
                }
                self.put("listener", f"{name}:{listener['Port']}", fields)
        for each in targets:
            self.put("target group", each["TargetGroupName"], self.target_group(each))

    def target_group(self, each):
        arn = each["TargetGroupArn"]
        attributes = tags_of(
            self.elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
        )
        health = self.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return {
            "protocol": each["Protocol"],
            "port": each["Port"],
            "target type": each["TargetType"],
            "vpc": self.name(each["VpcId"]),
            "load balancers": self.names(each["LoadBalancerArns"]),
            "health check": {
                "protocol": each["HealthCheckProtocol"],
                "path": each.get("HealthCheckPath"),
                "interval": each["HealthCheckIntervalSeconds"],
                "healthy": each["HealthyThresholdCount"],
                "unhealthy": each["UnhealthyThresholdCount"],
            },
            "deregistration seconds": attributes.get("deregistration_delay.timeout_seconds"),
            "ends connections": attributes.get(
                "deregistration_delay.connection_termination.enabled"
            ),
            "keeps client addresses": attributes.get("preserve_client_ip.enabled"),
            "targets": self.names(target["Target"]["Id"] for target in health),
            "tags": self.tags_of_arn(arn),
        }

    def tags_of_arn(self, arn):
        answer = self.elb.describe_tags(ResourceArns=[arn])
        return tags_of(answer["TagDescriptions"][0]["Tags"])

    def read_zones(self):
        for zone in self.pages("route53", "list_hosted_zones", "HostedZones"):
            identifier = zone["Id"].removeprefix("/hostedzone/")
            name = zone["Name"].rstrip(".")
            private = zone["Config"]["PrivateZone"]
            if private or name != PUBLIC_ZONE:
                told = self.route53.get_hosted_zone(Id=identifier)
                tags = self.route53.list_tags_for_resource(
                    ResourceType="hostedzone", ResourceId=identifier
                )
                fields = {
                    "private": private,
                    "vpcs": self.names(vpc["VPCId"] for vpc in told.get("VPCs", [])),
                    "tags": tags_of(tags["ResourceTagSet"]["Tags"]),
                }
                self.put("hosted zone", name, fields)
            for record in self.pages(
                "route53",
                "list_resource_record_sets",
                "ResourceRecordSets",
                HostedZoneId=identifier,
            ):
                self.read_record(name, record)

    def read_record(self, zone, record):
        name = unquote(record["Name"].replace("\\052", "*")).rstrip(".")
        if name == zone and record["Type"] in OF_THE_ZONE:
            return
        if alias := record.get("AliasTarget"):
            host = alias["DNSName"].rstrip(".").lower().removeprefix("dualstack.")
            balancer = self.balancer_of_host.get(host)
            fields = {
                "alias": balancer["LoadBalancerName"] if balancer else alias["DNSName"],
                "alias zone": (
                    "the balancer's"
                    if balancer and balancer["CanonicalHostedZoneId"] == alias["HostedZoneId"]
                    else alias["HostedZoneId"]
                ),
                "asks targets": alias["EvaluateTargetHealth"],
            }
        else:
            values = [self.record_value(each["Value"]) for each in record["ResourceRecords"]]
            fields = {"ttl": record["TTL"], "values": sorted(values)}
        self.put("record", f"{zone}: {name} {record['Type']}", fields)

    def record_value(self, value):
        owner = self.interface_of_address.get(value)
        return f"address of {owner}" if owner else value.rstrip(".")

    def read_buckets(self):
        """What is in the state bucket beside the journal and the counts that outlive a cluster: a
        lease that nobody gave back, above all."""
        for bucket in self.clients["s3"].list_buckets()["Buckets"]:
            for item in self.pages("s3", "list_objects_v2", "Contents", Bucket=bucket["Name"]):
                if not any(re.fullmatch(kept, item["Key"]) for kept in KEPT_OBJECTS):
                    # An asset is called by its digest.
                    key = re.sub(r"/[0-9a-f]{64}$", "/SHA256", item["Key"])
                    self.put("object", key, {})

    def read_other_kinds(self):
        for kind, (service, operation, field, key, *arguments) in OTHER_KINDS.items():
            for each in self.pages(
                service, operation, field, **(arguments[0] if arguments else {})
            ):
                self.put(kind, each[key], {})


def trust_of(document):
    """Who may do what, by service."""
    allowed = {}
    for statement in document["Statement"]:
        actions = statement["Action"]
        service = statement["Principal"].get("Service", str(statement["Principal"]))
        allowed[service] = [actions] if isinstance(actions, str) else actions
    return allowed
