"""Proves that `check.py` can fail: one thing of a sound account is changed, told exactly, put back.

    python check_itself.py CLUSTER      on an account that holds exactly this cluster

Each change below says what the check must tell of it, line by line, and how it is undone. It prints
how many changes there were.
"""

import json
import sys

import boto3
from authorities import authority
from check import compare
from checking.account import Account, tags_of
from checking.fleet import CLUSTERS, REGION
from checking.wanted import group_name, name32, wanted

ec2 = boto3.client("ec2", REGION)
iam = boto3.client("iam", REGION)
elb = boto3.client("elbv2", REGION)
route53 = boto3.client("route53", REGION)
autoscaling = boto3.client("autoscaling", REGION)
s3 = boto3.client("s3", REGION)
ssm = boto3.client("ssm", REGION)


class Changes:
    """Each method makes one change, yields what must be told of it, and undoes it."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.name = cluster.name

    def security_group(self, prefix):
        groups = ec2.describe_security_groups()["SecurityGroups"]
        [group] = [each for each in groups if each["GroupName"] == f"{prefix}.{self.name}"]
        return group

    def tagged(self, described, name):
        [found] = [each for each in described if tags_of(each.get("Tags")).get("Name") == name]
        return found

    def zone(self, name):
        zones = route53.list_hosted_zones()["HostedZones"]
        return next(zone["Id"] for zone in zones if zone["Name"] == f"{name}.")

    def records(self, zone, action, record):
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)

    def control_plane(self):
        return next(group for group in self.cluster.groups if group.role == "control-plane")

    def masters(self):
        return group_name(self.cluster, self.control_plane())

    def workers(self):
        [spot] = [group for group in self.cluster.groups if group.market == "spot"]
        return group_name(self.cluster, spot)

    def a_rule_is_gone(self):
        group = self.security_group("masters")
        [rule] = [
            rule
            for rule in group["IpPermissions"]
            if rule.get("FromPort") == 2382 and rule["IpProtocol"] == "tcp"
        ]
        ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[rule])
        peer = f"nodes.{self.name}"
        yield [f"missing: rule masters.{self.name} ingress tcp 2382-4000 {peer}"]
        ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[rule])

    def a_rule_is_too_many(self):
        group = self.security_group("nodes")["GroupId"]
        rule = {
            "IpProtocol": "tcp",
            "FromPort": 4001,
            "ToPort": 4001,
            "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
        }
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
        yield [f"extra: rule nodes.{self.name} ingress tcp 4001 0.0.0.0/0"]
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])

    def a_port_is_wrong(self):
        balancer = name32("api-internal", self.name)
        arns = elb.describe_load_balancers(Names=[balancer])["LoadBalancers"]
        [listener] = elb.describe_listeners(LoadBalancerArn=arns[0]["LoadBalancerArn"])["Listeners"]
        arn = listener["ListenerArn"]
        elb.modify_listener(ListenerArn=arn, Port=6443)
        yield [f"extra: listener {balancer}:6443", f"missing: listener {balancer}:443"]
        elb.modify_listener(ListenerArn=arn, Port=443)

    def a_target_group_waits_too_long(self):
        target = name32("tcp-internal", self.name)
        [group] = elb.describe_target_groups(Names=[target])["TargetGroups"]
        arn, key = group["TargetGroupArn"], "deregistration_delay.timeout_seconds"
        change = elb.modify_target_group_attributes
        change(TargetGroupArn=arn, Attributes=[{"Key": key, "Value": "300"}])
        told = "deregistration seconds: expected '30', found '300'"
        yield [f"differs: target group {target}: {told}"]
        change(TargetGroupArn=arn, Attributes=[{"Key": key, "Value": "30"}])

    def a_tag_is_changed(self):
        group = self.security_group("nodes")["GroupId"]
        team = {"Key": "team", "Value": self.cluster.labels["team"]}
        ec2.create_tags(Resources=[group], Tags=[team | {"Value": "nobody"}])
        told = "tags.team: expected 'platform', found 'nobody'"
        yield [f"differs: security group nodes.{self.name}: {told}"]
        ec2.create_tags(Resources=[group], Tags=[team])

    def an_owner_tag_is_gone(self):
        role = f"masters.{self.name}"
        owner = {"Key": "kprod.dev/cluster", "Value": self.name}
        iam.untag_role(RoleName=role, TagKeys=[owner["Key"]])
        told = f"tags.kprod.dev/cluster: expected '{self.name}', found None"
        yield [f"differs: role {role}: {told}"]
        iam.tag_role(RoleName=role, Tags=[owner])

    def a_policy_is_gone(self):
        role = f"nodes.{self.name}"
        document = iam.get_role_policy(RoleName=role, PolicyName=role)["PolicyDocument"]
        iam.delete_role_policy(RoleName=role, PolicyName=role)
        yield [f"differs: role {role}: inline policies: expected ['{role}'], found []"]
        iam.put_role_policy(RoleName=role, PolicyName=role, PolicyDocument=json.dumps(document))

    def a_record_is_too_many(self):
        internal = f"internal.{self.name}"
        zone = self.zone(internal)
        record = {
            "Name": f"old.{internal}",
            "Type": "A",
            "TTL": 60,
            "ResourceRecords": [{"Value": "10.0.0.1"}],
        }
        self.records(zone, "CREATE", record)
        yield [f"extra: record {internal}: old.{internal} A"]
        self.records(zone, "DELETE", record)

    def a_record_points_elsewhere(self):
        internal = f"internal.{self.name}"
        zone = self.zone(internal)
        name = f"_etcd-server-ssl._tcp.{internal}"
        sets = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        [record] = [each for each in sets if each["Name"].rstrip(".") == name]
        self.records(zone, "UPSERT", record | {"TTL": 61})
        yield [f"differs: record {internal}: {name} SRV: ttl: expected 60, found 61"]
        self.records(zone, "UPSERT", record)

    def an_owner_record_is_gone(self):
        zone = self.zone("k8s.example.com")
        name = f"kprod-owner.api.{self.name}"
        sets = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        [record] = [each for each in sets if each["Name"].rstrip(".") == name]
        self.records(zone, "DELETE", record)
        yield [f"missing: record k8s.example.com: {name} TXT"]
        self.records(zone, "UPSERT", record)

    def a_volume_is_not_encrypted(self):
        member = min(self.cluster.main)
        name = f"{member}.etcd-main.{self.name}"
        volume = self.tagged(ec2.describe_volumes()["Volumes"], name)
        ec2.delete_volume(VolumeId=volume["VolumeId"])
        naked = self.volume_like(volume, False)
        yield [f"differs: volume {name}: encrypted: expected True, found False"]
        ec2.delete_volume(VolumeId=naked)
        self.volume_like(volume, True)

    def a_volume_is_there_twice(self):
        member = min(self.cluster.events)
        name = f"{member}.etcd-events.{self.name}"
        volume = self.tagged(ec2.describe_volumes()["Volumes"], name)
        twin = self.volume_like(volume, True)
        yield [f"extra: volume {name} (again, 2)"]
        ec2.delete_volume(VolumeId=twin)

    def volume_like(self, volume, encrypted):
        made = ec2.create_volume(
            AvailabilityZone=volume["AvailabilityZone"],
            Size=volume["Size"],
            VolumeType=volume["VolumeType"],
            Iops=volume["Iops"],
            Throughput=volume["Throughput"],
            Encrypted=encrypted,
            TagSpecifications=[{"ResourceType": "volume", "Tags": volume["Tags"]}],
        )
        return made["VolumeId"]

    def an_interface_is_in_another_group(self):
        group = next(group for group in self.cluster.groups if group.hosts_etcd)
        name = group_name(self.cluster, group)
        interface = self.tagged(self.interfaces(), name)
        identifier = interface["NetworkInterfaceId"]
        nodes = self.security_group("nodes")
        change = ec2.modify_network_interface_attribute
        change(NetworkInterfaceId=identifier, Groups=[nodes["GroupId"]])
        own = interface["Groups"][0]
        told = f"security groups: expected {[own['GroupName']]}, found {[nodes['GroupName']]}"
        yield [f"differs: network interface {name}: {told}"]
        change(NetworkInterfaceId=identifier, Groups=[own["GroupId"]])

    def interfaces(self):
        described = ec2.describe_network_interfaces()["NetworkInterfaces"]
        return [each | {"Tags": each.get("TagSet")} for each in described]

    def peers(self):
        """The two parameters of an authority: the key's, and what is public."""
        place = f"/kprod/{self.name}"
        return f"{place}/etcd/main/peers", f"{place}/public/etcd-peers-main"

    def take(self, name):
        """Removes a parameter, and tells what puts it back."""
        value = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
        tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"]
        ssm.delete_parameter(Name=name)
        return {"Name": name, "Value": value, "Tags": tags}

    def a_key_is_gone(self):
        secret, public = self.peers()
        taken = self.take(secret)
        alone = f"same key as: expected {[secret]}, found []"
        yield [f"missing: parameter {secret}", f"differs: parameter {public}: {alone}"]
        ssm.put_parameter(**taken, Type="SecureString")

    def a_key_is_no_secret(self):
        secret, _ = self.peers()
        ssm.put_parameter(**self.take(secret), Type="String")
        yield [f"differs: parameter {secret}: type: expected 'SecureString', found 'String'"]
        ssm.put_parameter(**self.take(secret), Type="SecureString")

    def a_certificate_is_of_another_key(self):
        secret, public = self.peers()
        value = ssm.get_parameter(Name=public)["Parameter"]["Value"]
        _, other = authority("etcd-peers-main", self.name)
        ssm.put_parameter(Name=public, Value=other, Overwrite=True)
        yield [
            f"differs: parameter {secret}: same key as: expected {[public]}, found []",
            f"differs: parameter {public}: same key as: expected {[secret]}, found []",
        ]
        ssm.put_parameter(Name=public, Value=value, Overwrite=True)

    def a_subnet_is_tagged(self):
        [subnet] = ec2.describe_subnets(
            Filters=[{"Name": "cidr-block", "Values": [self.cluster.private["a"]]}]
        )["Subnets"]
        tag = {"Key": "kprod.dev/cluster", "Value": self.name}
        ec2.create_tags(Resources=[subnet["SubnetId"]], Tags=[tag])
        yield [f"extra: tags of a subnet {subnet['CidrBlock']}"]
        ec2.delete_tags(Resources=[subnet["SubnetId"]], Tags=[tag])

    def a_lease_is_left(self):
        bucket = s3.list_buckets()["Buckets"][0]["Name"]
        key = f"{self.name}/lease/{self.name}"
        s3.put_object(Bucket=bucket, Key=key, Body=b"{}")
        yield [f"extra: object {key}"]
        s3.delete_object(Bucket=bucket, Key=key)

    def a_maximum_is_changed(self):
        name = self.masters()
        low, high = self.control_plane().sizes
        autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, MaxSize=high + 1)
        told = f"sizes: expected {(low, high)}, found {(low, high + 1)}"
        yield [f"differs: auto scaling group {name}: {told}"]
        autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, MaxSize=high)

    def a_group_follows_the_latest_template(self):
        name = self.masters()
        template = {"LaunchTemplateName": name, "Version": "$Latest"}
        change = autoscaling.update_auto_scaling_group
        change(AutoScalingGroupName=name, LaunchTemplate=template)
        told = f"template: expected '{name} 1', found '{name} $Latest'"
        yield [f"differs: auto scaling group {name}: {told}"]
        change(AutoScalingGroupName=name, LaunchTemplate=template | {"Version": "1"})

    def a_group_balances_its_zones(self):
        name = self.workers()
        processes = {"AutoScalingGroupName": name, "ScalingProcesses": ["AZRebalance"]}
        autoscaling.resume_processes(**processes)
        told = "suspended: expected ['AZRebalance'], found []"
        yield [f"differs: auto scaling group {name}: {told}"]
        autoscaling.suspend_processes(**processes)

    def a_machine_is_too_many(self):
        images = ec2.describe_images(Owners=["self"])["Images"]
        made = ec2.run_instances(ImageId=images[0]["ImageId"], MinCount=1, MaxCount=1)
        machine = made["Instances"][0]["InstanceId"]
        yield [f"extra: machine {machine}"]
        ec2.terminate_instances(InstanceIds=[machine])

    def a_template_has_another_version(self):
        name = self.workers()
        versions = ec2.describe_launch_template_versions(LaunchTemplateName=name, Versions=["1"])
        [first] = versions["LaunchTemplateVersions"]
        ec2.create_launch_template_version(
            LaunchTemplateName=name,
            LaunchTemplateData=first["LaunchTemplateData"],
            VersionDescription=first["VersionDescription"],
        )
        # The last one: a version stays.
        yield [f"differs: launch template {name}: versions: expected [1], found [1, 2]"]


def told(cluster):
    return compare(wanted(cluster), Account().read())


def main(name):
    cluster = CLUSTERS[name]
    problems = told(cluster)
    assert not problems, "the account is not sound: " + "\n".join(problems)
    changes = [made for made in vars(Changes) if made.startswith(("a_", "an_"))]
    for made in changes:
        change = getattr(Changes(cluster), made)()
        expected = next(change)
        found = told(cluster)
        assert sorted(found) == sorted(expected), f"{made}: expected {expected}, told {found}"
        # What is not put back spoils the next one.
        next(change, None)
    print(json.dumps({"changes": len(changes)}))


if __name__ == "__main__":
    main(sys.argv[1])
