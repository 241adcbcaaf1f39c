"""Fills the emulator with what a test needs. Talks AWS's API only: what it makes AWS would have.

    python seed.py network  < {"cidr", "zone_name", "subnets": {name: {"zone", "cidr"}},
                               "state_bucket"}
    python seed.py kops     < {"cluster", "vpc", "subnet", "availability_zone", "zone", "image",
                               "balancer"}
    python seed.py image    < {"name"}
    python seed.py policy   < {"name"}
    python seed.py plan     < the output of `kprod plan -o json` for an empty account
    python seed.py machines < {"group", "count"}
    python seed.py groups   < {"count", "image", "zone"}
    python seed.py bucket   < {"name", "region"}
    python seed.py bucket_settings, loosen_bucket < {"name"}
    python seed.py object   < {"bucket", "key"}

`network` and `image` print the ids they made, `bucket_settings` what a bucket is like. `plan` makes every
resource of a plan exactly as an apply leaves it: tags, digests, rule owners, owner records, version 1
of each template, groups pinned to it.
"""

import base64
import hashlib
import json
import os
import re
import sys

import boto3

import authorities

REGION = os.environ.get("AWS_REGION", "eu-west-3")
ec2 = boto3.client("ec2", REGION)
iam = boto3.client("iam", REGION)
elb = boto3.client("elbv2", REGION)
route53 = boto3.client("route53", REGION)
autoscaling = boto3.client("autoscaling", REGION)
s3 = boto3.client("s3", REGION)
ssm = boto3.client("ssm", REGION)

OWNER = "kprod.dev/cluster"
DIGEST = "kprod.dev/digest"
VERSION = "kprod.dev/version"
TARGET = "kprod.dev/target"
DEFAULT_EGRESS = {
    "is_egress": True,
    "ip_protocol": "-1",
    "from_port": -1,
    "to_port": -1,
    "cidr_ipv4": "0.0.0.0/0",
}
REFERENCE = re.compile(r"\$\{([^:}]+(?::\d+)?):([a-z_]+)\}")


def digest(value):
    """The first 16 hex digits of the SHA-256 of a value as JSON with sorted keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def tag_list(tags):
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tagged(kind, tags):
    return [{"ResourceType": kind, "Tags": tag_list(tags)}]


def present(**fields):
    """The fields that are set; AWS's clients take no null."""
    return {key: value for key, value in fields.items() if value is not None}


def permission(rule, description):
    """A rule in the form of the EC2 API, with its description at the peer."""
    made = {"IpProtocol": rule["ip_protocol"]}
    if rule["ip_protocol"] != "-1":
        made |= {"FromPort": rule["from_port"], "ToPort": rule["to_port"]}
    peers = {
        "cidr_ipv4": ("IpRanges", "CidrIp"),
        "cidr_ipv6": ("Ipv6Ranges", "CidrIpv6"),
        "prefix_list_id": ("PrefixListIds", "PrefixListId"),
        "referenced_group_id": ("UserIdGroupPairs", "GroupId"),
    }
    for field, (key, name) in peers.items():
        if rule.get(field):
            made[key] = [{name: rule[field], "Description": description}]
    return made


class Account:
    """Makes a plan's resources one by one, in the plan's order, references resolved as they go."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.attributes = {}

    def make(self, entry):
        symbolic = entry["after"]
        value = self.resolve(symbolic)
        maker = getattr(self, "make_" + entry["kind"])
        made = maker(entry["name"], value, digest(symbolic))
        self.attributes[entry["address"]] = made or {}

    def resolve(self, value):
        if isinstance(value, dict):
            return {key: self.resolve(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if isinstance(value, str) and (match := REFERENCE.fullmatch(value)):
            address, attribute = match.groups()
            return self.attributes[address][attribute]
        return value

    def make_security_group(self, name, value, own_digest):
        made = ec2.create_security_group(
            GroupName=name,
            Description=value["description"],
            VpcId=value["vpc_id"],
            TagSpecifications=tagged("security-group", value["tags"] | {DIGEST: own_digest}),
        )
        return {"id": made["GroupId"]}

    def make_security_group_rules(self, _name, value, _digest):
        # The rule that AWS puts into a new group stays as it is, without an owner.
        rules = [rule for rule in value["rules"] if rule != DEFAULT_EGRESS]
        group, owner = value["group_id"], f"{OWNER}={self.cluster}"
        inbound = [permission(rule, owner) for rule in rules if not rule["is_egress"]]
        outbound = [permission(rule, owner) for rule in rules if rule["is_egress"]]
        if inbound:
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=inbound)
        if outbound:
            ec2.authorize_security_group_egress(GroupId=group, IpPermissions=outbound)

    def make_role(self, name, value, own_digest):
        made = iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=json.dumps(value["assume_role_policy_document"]),
            Tags=tag_list(value["tags"] | {DIGEST: own_digest}),
            **present(PermissionsBoundary=value.get("permissions_boundary")),
        )
        for policy, document in value["inline_policies"].items():
            iam.put_role_policy(
                RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document)
            )
        for arn in value["attached_policy_arns"]:
            iam.attach_role_policy(RoleName=name, PolicyArn=arn)
        return {"arn": made["Role"]["Arn"]}

    def make_instance_profile(self, name, value, own_digest):
        tags = tag_list(value["tags"] | {DIGEST: own_digest})
        made = iam.create_instance_profile(InstanceProfileName=name, Tags=tags)
        for role in value["roles"]:
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
        return {"arn": made["InstanceProfile"]["Arn"]}

    def make_load_balancer(self, name, value, own_digest):
        mappings = [
            present(
                SubnetId=mapping["subnet_id"],
                PrivateIPv4Address=mapping.get("private_ipv4_address"),
                AllocationId=mapping.get("allocation_id"),
            )
            for mapping in value["subnet_mappings"]
        ]
        made = elb.create_load_balancer(
            Name=name,
            Type="network",
            Scheme=value["scheme"],
            IpAddressType=value["ip_address_type"],
            SubnetMappings=mappings,
            SecurityGroups=value["security_groups"],
            Tags=tag_list(value["tags"] | {DIGEST: own_digest}),
        )["LoadBalancers"][0]
        switches = {
            "load_balancing.cross_zone.enabled": value["cross_zone_enabled"],
            "deletion_protection.enabled": value["deletion_protection_enabled"],
        }
        elb.modify_load_balancer_attributes(
            LoadBalancerArn=made["LoadBalancerArn"], Attributes=attributes(switches)
        )
        return {
            "arn": made["LoadBalancerArn"],
            "dns_name": made["DNSName"],
            "canonical_hosted_zone_id": made["CanonicalHostedZoneId"],
        }

    def make_target_group(self, name, value, own_digest):
        check = value["health_check"]
        made = elb.create_target_group(
            Name=name,
            Protocol=value["protocol"],
            Port=value["port"],
            VpcId=value["vpc_id"],
            TargetType="instance",
            HealthCheckProtocol=check["protocol"],
            HealthCheckPort=check["port"],
            HealthCheckIntervalSeconds=check["interval_seconds"],
            HealthyThresholdCount=check["healthy_threshold_count"],
            UnhealthyThresholdCount=check["unhealthy_threshold_count"],
            Tags=tag_list(value["tags"] | {DIGEST: own_digest}),
            **present(HealthCheckPath=check.get("path")),
        )["TargetGroups"][0]
        switches = {
            "deregistration_delay.timeout_seconds": value["deregistration_delay_seconds"],
            "deregistration_delay.connection_termination.enabled": value[
                "connection_termination_enabled"
            ],
            "preserve_client_ip.enabled": value["preserve_client_ip_enabled"],
        }
        elb.modify_target_group_attributes(
            TargetGroupArn=made["TargetGroupArn"], Attributes=attributes(switches)
        )
        return {"arn": made["TargetGroupArn"]}

    def make_listener(self, _name, value, _digest):
        certificate = value.get("certificate_arn")
        made = elb.create_listener(
            LoadBalancerArn=value["load_balancer_arn"],
            Port=value["port"],
            Protocol=value["protocol"],
            DefaultActions=[{"Type": "forward", "TargetGroupArn": value["target_group_arn"]}],
            **present(
                Certificates=[{"CertificateArn": certificate}] if certificate else None,
                SslPolicy=value.get("ssl_policy"),
            ),
        )["Listeners"][0]
        return {"arn": made["ListenerArn"]}

    def make_hosted_zone(self, name, value, own_digest):
        made = route53.create_hosted_zone(
            Name=name,
            CallerReference=f"{OWNER}={self.cluster}/{own_digest}",
            VPC={"VPCRegion": REGION, "VPCId": value["vpc_id"]},
            HostedZoneConfig={"Comment": value["comment"], "PrivateZone": True},
        )
        zone = made["HostedZone"]["Id"].removeprefix("/hostedzone/")
        route53.change_tags_for_resource(
            ResourceType="hostedzone",
            ResourceId=zone,
            AddTags=tag_list(value["tags"] | {DIGEST: own_digest}),
        )
        return {"id": zone}

    def make_dns_name(self, name, value, _digest):
        sets = []
        for kind, record in value["record_sets"].items():
            made = {"Name": name, "Type": kind}
            if alias := record.get("alias_target"):
                made["AliasTarget"] = {
                    "DNSName": alias["dns_name"],
                    "HostedZoneId": alias["hosted_zone_id"],
                    "EvaluateTargetHealth": alias["evaluate_target_health"],
                }
            else:
                values = [{"Value": value} for value in record["resource_records"]]
                made |= {"TTL": record["ttl"], "ResourceRecords": values}
            sets.append(made)
        owner = {"Value": f'"{OWNER}={self.cluster}"'}
        name = f"kprod-owner.{name}"
        sets.append({"Name": name, "Type": "TXT", "TTL": 300, "ResourceRecords": [owner]})
        upsert(value["hosted_zone_id"], sets)

    def make_volume(self, _name, value, own_digest):
        made = ec2.create_volume(
            AvailabilityZone=value["availability_zone"],
            Size=value["size"],
            VolumeType=value["volume_type"],
            Encrypted=value["encrypted"],
            TagSpecifications=tagged("volume", value["tags"] | {DIGEST: own_digest}),
            **present(
                Iops=value.get("iops"),
                Throughput=value.get("throughput"),
                KmsKeyId=value.get("kms_key_id"),
            ),
        )
        return {"id": made["VolumeId"]}

    def make_network_interface(self, _name, value, own_digest):
        made = ec2.create_network_interface(
            SubnetId=value["subnet_id"],
            Description=value["description"],
            Groups=value["groups"],
            TagSpecifications=tagged("network-interface", value["tags"] | {DIGEST: own_digest}),
        )["NetworkInterface"]
        return {
            "id": made["NetworkInterfaceId"],
            "private_ip_address": made["PrivateIpAddress"],
        }

    def make_authority(self, _name, value, _digest):
        secret, public = authorities.authority(value["authority"], value["cluster"])
        tags = tag_list({OWNER: self.cluster, "KubernetesCluster": self.cluster})
        for parameter, kind, text in (
            (value["secret_parameter"], "SecureString", secret),
            (value["public_parameter"], "String", public),
        ):
            ssm.put_parameter(Name=parameter, Type=kind, Value=text, Tags=tags)
        return {"certificate": public}

    def make_epoch(self, _name, value, _digest):
        # The state bucket is the only one, and each cluster's state lies below its name.
        [bucket] = [each["Name"] for each in s3.list_buckets()["Buckets"]]
        token = f"{value['etcd']}.{value['cluster']}.1.{7:016x}"
        epoch = {
            "format_version": 1,
            "number": 1,
            "token": token,
            "members": value["members"],
            "phase": {"state": "open"},
        }
        key = f"{self.cluster}/{value['key']}"
        s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(epoch).encode())
        return {"id": token}

    def make_asset(self, _name, value, _digest):
        [bucket] = [each["Name"] for each in s3.list_buckets()["Buckets"]]
        key = f"{self.cluster}/{value['key']}"
        s3.put_object(Bucket=bucket, Key=key, Body=bytes(value["size"]))
        return {"id": value["key"]}

    def make_launch_template(self, name, value, own_digest):
        data = value["launch_template_data"]
        built_from = {key: item for key, item in data.items() if key != "tag_specifications"}
        revision = digest(built_from)
        notes = {DIGEST: own_digest, VERSION: f"1:{revision}:{digest(data)}"}
        made = ec2.create_launch_template(
            LaunchTemplateName=name,
            VersionDescription=revision,
            LaunchTemplateData=template_data(data),
            TagSpecifications=tagged("launch-template", value["tags"] | notes),
        )["LaunchTemplate"]
        return {"id": made["LaunchTemplateId"], "target": f"1:{revision}"}

    def make_auto_scaling_group(self, name, value, own_digest):
        version = value["target"].split(":")[0]
        template = {"LaunchTemplateName": value["launch_template_name"], "Version": version}
        tags = value["tags"] | {
            DIGEST: {"value": own_digest, "propagate_at_launch": False},
            TARGET: {"value": value["target"], "propagate_at_launch": False},
        }
        policy = value.get("mixed_instances_policy")
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=value["min_size"],
            MaxSize=value["max_size"],
            HealthCheckType=value["health_check_type"],
            HealthCheckGracePeriod=value["health_check_grace_period"],
            NewInstancesProtectedFromScaleIn=value["new_instances_protected_from_scale_in"],
            CapacityRebalance=value["capacity_rebalance"],
            Tags=group_tags(name, tags),
            **present(
                LaunchTemplate=None if policy else template,
                MixedInstancesPolicy=mixed(policy, template) if policy else None,
                VPCZoneIdentifier=",".join(value.get("vpc_zone_identifier", [])) or None,
                AvailabilityZones=value.get("availability_zones"),
                TargetGroupARNs=value.get("target_group_arns"),
                MaxInstanceLifetime=value["max_instance_lifetime"] or None,
            ),
        )
        for hook, settings in value.get("lifecycle_hooks", {}).items():
            autoscaling.put_lifecycle_hook(
                AutoScalingGroupName=name,
                LifecycleHookName=hook,
                LifecycleTransition=settings["lifecycle_transition"],
                HeartbeatTimeout=settings["heartbeat_timeout"],
                DefaultResult=settings["default_result"],
            )
        if value["suspended_processes"]:
            autoscaling.suspend_processes(
                AutoScalingGroupName=name, ScalingProcesses=value["suspended_processes"]
            )
        autoscaling.enable_metrics_collection(
            AutoScalingGroupName=name, Metrics=value["enabled_metrics"], Granularity="1Minute"
        )


def attributes(values):
    """Attributes of load balancers and target groups, which are all text."""
    return [{"Key": key, "Value": str(value).lower()} for key, value in values.items()]


def upsert(zone, sets):
    changes = [{"Action": "UPSERT", "ResourceRecordSet": made} for made in sets]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})


def group_tags(name, tags):
    return [
        {
            "ResourceId": name,
            "ResourceType": "auto-scaling-group",
            "Key": key,
            "Value": tag["value"],
            "PropagateAtLaunch": tag["propagate_at_launch"],
        }
        for key, tag in tags.items()
    ]


def mixed(policy, template):
    return {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": template,
            "Overrides": [{"InstanceType": kind} for kind in policy["overrides"]],
        },
        "InstancesDistribution": present(
            OnDemandAllocationStrategy=policy["on_demand_allocation_strategy"],
            OnDemandBaseCapacity=policy["on_demand_base_capacity"],
            OnDemandPercentageAboveBaseCapacity=policy["on_demand_percentage_above_base_capacity"],
            SpotAllocationStrategy=policy["spot_allocation_strategy"],
            SpotInstancePools=policy.get("spot_instance_pools"),
            SpotMaxPrice=policy.get("spot_max_price"),
        ),
    }


def template_data(data):
    """A launch template's content in the form of the EC2 API."""
    profile = present(
        Name=data.get("iam_instance_profile_name"), Arn=data.get("iam_instance_profile_arn")
    )
    market = data.get("instance_market_options")
    tenancy, credits = data.get("tenancy"), data.get("cpu_credits")
    hostname = data.get("private_dns_hostname_type")
    return present(
        ImageId=data["image_id"],
        InstanceType=data["instance_type"],
        IamInstanceProfile=profile or None,
        KeyName=data.get("key_name"),
        UserData=base64.b64encode(data["user_data"].encode()).decode(),
        BlockDeviceMappings=[disk(mapping) for mapping in data["block_device_mappings"]],
        NetworkInterfaces=[interface(item) for item in data["network_interfaces"]],
        MetadataOptions={
            "HttpTokens": data["metadata_options"]["http_tokens"],
            "HttpPutResponseHopLimit": data["metadata_options"]["http_put_response_hop_limit"],
        },
        Monitoring={"Enabled": data["monitoring_enabled"]},
        EbsOptimized=data.get("ebs_optimized"),
        Placement={"Tenancy": tenancy} if tenancy else None,
        CreditSpecification={"CpuCredits": credits} if credits else None,
        InstanceMarketOptions=spot(market) if market else None,
        PrivateDnsNameOptions={"HostnameType": hostname} if hostname else None,
        TagSpecifications=[
            {"ResourceType": kind, "Tags": tag_list(tags)}
            for kind, tags in data["tag_specifications"].items()
        ],
    )


def disk(mapping):
    ebs = present(
        VolumeSize=mapping["volume_size"],
        VolumeType=mapping["volume_type"],
        Iops=mapping.get("iops"),
        Throughput=mapping.get("throughput"),
        Encrypted=mapping["encrypted"],
        KmsKeyId=mapping.get("kms_key_id"),
        DeleteOnTermination=mapping["delete_on_termination"],
    )
    return {"DeviceName": mapping["device_name"], "Ebs": ebs}


def interface(item):
    return present(
        DeviceIndex=item["device_index"],
        NetworkInterfaceId=item.get("network_interface_id"),
        AssociatePublicIpAddress=item.get("associate_public_ip_address"),
        Groups=item.get("groups"),
        DeleteOnTermination=item["delete_on_termination"],
    )


def spot(market):
    behaviour = market.get("instance_interruption_behavior")
    options = present(MaxPrice=market["max_price"], InstanceInterruptionBehavior=behaviour)
    return {"MarketType": "spot", "SpotOptions": options}


def seed_network(asked):
    """A VPC, its subnets, a public zone, an image and a bucket, as a team has them before kprod
    comes."""
    vpc = ec2.create_vpc(CidrBlock=asked["cidr"])["Vpc"]["VpcId"]
    subnets = {}
    for name, subnet in asked["subnets"].items():
        made = ec2.create_subnet(
            VpcId=vpc, CidrBlock=subnet["cidr"], AvailabilityZone=subnet["zone"]
        )
        subnets[name] = made["Subnet"]["SubnetId"]
    zone = route53.create_hosted_zone(Name=asked["zone_name"], CallerReference="team")
    image = ec2.register_image(Name="node", RootDeviceName="/dev/xvda", Architecture="x86_64")
    s3.create_bucket(
        Bucket=asked["state_bucket"], CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    s3.put_bucket_versioning(
        Bucket=asked["state_bucket"], VersioningConfiguration={"Status": "Enabled"}
    )
    zone_id = zone["HostedZone"]["Id"].removeprefix("/hostedzone/")
    return {"vpc": vpc, "subnets": subnets, "zone": zone_id, "image": image["ImageId"]}


def seed_image(asked):
    """Another image, as a team builds one every week."""
    image = ec2.register_image(
        Name=asked["name"], RootDeviceName="/dev/xvda", Architecture="x86_64"
    )
    return image["ImageId"]


def seed_kops(asked):
    """Some of what kops makes for a cluster, with kops' names and tags."""
    cluster = asked["cluster"]
    tags = {"KubernetesCluster": cluster, f"kubernetes.io/cluster/{cluster}": "owned"}
    name = f"masters.{cluster}"
    security_group = ec2.create_security_group(
        GroupName=name,
        Description="Security group for masters",
        VpcId=asked["vpc"],
        TagSpecifications=tagged("security-group", tags | {"Name": name}),
    )["GroupId"]
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), Tags=tag_list(tags))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    ec2.create_volume(
        AvailabilityZone=asked["availability_zone"],
        Size=20,
        VolumeType="gp3",
        TagSpecifications=tagged(
            "volume", tags | {"Name": f"a.etcd-main.{cluster}", "k8s.io/etcd/main": "a/a"}
        ),
    )
    elb.create_load_balancer(
        Name=asked["balancer"], Type="network", Subnets=[asked["subnet"]], Tags=tag_list(tags)
    )
    group = f"nodes.{cluster}"
    ec2.create_launch_template(
        LaunchTemplateName=group,
        LaunchTemplateData={
            "ImageId": asked["image"],
            "InstanceType": "m6i.large",
            "SecurityGroupIds": [security_group],
        },
        TagSpecifications=tagged("launch-template", tags | {"Name": group}),
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=group,
        MinSize=2,
        MaxSize=2,
        LaunchTemplate={"LaunchTemplateName": group, "Version": "$Latest"},
        VPCZoneIdentifier=asked["subnet"],
        Tags=group_tags(
            group, {key: {"value": tags[key], "propagate_at_launch": True} for key in tags}
        ),
    )
    address = {"Value": "203.0.113.123"}
    record = {"Name": f"api.{cluster}", "Type": "A", "TTL": 10, "ResourceRecords": [address]}
    upsert(asked["zone"], [record])


def seed_policy(asked):
    """A managed policy, which kprod attaches and never makes."""
    statement = {"Effect": "Allow", "Action": "ec2:DescribeTags", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    made = iam.create_policy(PolicyName=asked["name"], PolicyDocument=json.dumps(document))
    return {"arn": made["Policy"]["Arn"]}


def seed_plan(plan):
    account = Account(plan["cluster"])
    for entry in plan["resources"]:
        if entry["action"] == "create":
            account.make(entry)


def seed_machines(asked):
    autoscaling.set_desired_capacity(
        AutoScalingGroupName=asked["group"], DesiredCapacity=asked["count"]
    )


def seed_groups(asked):
    """Groups of somebody else, to make the list longer than a page."""
    ec2.create_launch_template(
        LaunchTemplateName="other",
        LaunchTemplateData={"ImageId": asked["image"], "InstanceType": "m6i.large"},
    )
    for number in range(asked["count"]):
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=f"another-{number:03}",
            MinSize=0,
            MaxSize=0,
            LaunchTemplate={"LaunchTemplateName": "other", "Version": "1"},
            AvailabilityZones=[asked["zone"]],
        )


def seed_bucket(asked):
    there = boto3.client("s3", asked["region"])
    place = {"LocationConstraint": asked["region"]}
    there.create_bucket(Bucket=asked["name"], CreateBucketConfiguration=place)


def seed_bucket_settings(asked):
    """What a bucket is like."""
    bucket = {"Bucket": asked["name"]}
    rules = s3.get_bucket_encryption(**bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    owners = s3.get_bucket_ownership_controls(**bucket)["OwnershipControls"]["Rules"]
    block = s3.get_public_access_block(**bucket)["PublicAccessBlockConfiguration"]
    lifecycle = s3.get_bucket_lifecycle_configuration(**bucket)["Rules"]
    return {
        "location": s3.get_bucket_location(**bucket)["LocationConstraint"],
        "versioning": s3.get_bucket_versioning(**bucket).get("Status"),
        "encryption": rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"],
        "ownership": owners[0]["ObjectOwnership"],
        "access_block": list(block.values()),
        "policy": json.loads(s3.get_bucket_policy(**bucket)["Policy"]),
        "rules": [rule["ID"] for rule in lifecycle],
    }


def seed_object(asked):
    """What an object says, or nothing if there is none."""
    try:
        return json.load(s3.get_object(Bucket=asked["bucket"], Key=asked["key"])["Body"])
    except s3.exceptions.NoSuchKey:
        return None


def seed_loosen_bucket(asked):
    """Somebody stops the versions, and has a lifecycle rule of their own in place of all others."""
    bucket = {"Bucket": asked["name"]}
    s3.put_bucket_versioning(**bucket, VersioningConfiguration={"Status": "Suspended"})
    rule = {"ID": "audit", "Status": "Enabled", "Filter": {"Prefix": "audit/"}}
    rule["Expiration"] = {"Days": 30}
    s3.put_bucket_lifecycle_configuration(**bucket, LifecycleConfiguration={"Rules": [rule]})


if __name__ == "__main__":
    answer = globals()["seed_" + sys.argv[1]](json.load(sys.stdin))
    print(json.dumps(answer))
