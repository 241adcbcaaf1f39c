"""The part of an account that has to do with machines: templates, groups, disks and interfaces."""

import base64
import re
from collections import Counter


def tags_of(listed):
    return {tag["Key"]: tag["Value"] for tag in listed or []}


class Machines:
    """Reads them; the rest of the account brings clients, pages and names."""

    def read_disks_and_interfaces(self):
        """Those that do not come and go with a machine."""
        machines = {machine["InstanceId"]: machine for machine in self.instances}
        for volume in self.pages("ec2", "describe_volumes", "Volumes"):
            holders = [machines.get(each["InstanceId"]) for each in volume["Attachments"]]
            if any(holder and lives(holder) for holder in holders):
                continue
            tags = tags_of(volume.get("Tags"))
            fields = {
                "zone": volume["AvailabilityZone"],
                "size": volume["Size"],
                "type": volume["VolumeType"],
                "iops": volume.get("Iops"),
                "throughput": volume.get("Throughput"),
                "encrypted": volume["Encrypted"],
                "attached": bool(volume["Attachments"]),
                "tags": tags,
            }
            self.put("volume", tags.get("Name", volume["VolumeId"]), fields)
        for interface in self.interfaces:
            fields = {
                "subnet": self.name(interface["SubnetId"]),
                "security groups": self.names(group["GroupId"] for group in interface["Groups"]),
                "description": interface["Description"],
                "tags": tags_of(interface.get("TagSet")),
            }
            self.put("network interface", self.name(interface["NetworkInterfaceId"]), fields)

    def read_groups_and_machines(self):
        reservations = self.pages("ec2", "describe_instances", "Reservations")
        self.instances = [machine for each in reservations for machine in each["Instances"]]
        self.read_own_interfaces()
        for template in self.pages("ec2", "describe_launch_templates", "LaunchTemplates"):
            self.read_template(template)
        for group in self.pages("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups"):
            self.read_group(group)
        for machine in self.instances:
            # A member was named after its group.
            if lives(machine) and machine["InstanceId"] not in self.name_of:
                tags = tags_of(machine.get("Tags"))
                self.put("machine", tags.get("Name", machine["InstanceId"]), {"tags": tags})

    def read_own_interfaces(self):
        """Interfaces that somebody made: not those that came with a machine or a load balancer."""
        self.interfaces = []
        self.interface_of_address = {}
        for interface in self.pages("ec2", "describe_network_interfaces", "NetworkInterfaces"):
            came_with = interface.get("InterfaceType") == "network_load_balancer"
            if came_with or (interface.get("Attachment") and not interface.get("TagSet")):
                continue
            self.interfaces.append(interface)
            identifier = interface["NetworkInterfaceId"]
            name = tags_of(interface.get("TagSet")).get("Name", identifier)
            self.name_of[identifier] = name
            self.interface_of_address[interface["PrivateIpAddress"]] = name

    def read_template(self, template):
        versions = self.pages(
            "ec2",
            "describe_launch_template_versions",
            "LaunchTemplateVersions",
            LaunchTemplateId=template["LaunchTemplateId"],
        )
        latest = max(versions, key=lambda version: version["VersionNumber"])
        data = latest["LaunchTemplateData"]
        tags = {
            each["ResourceType"]: tags_of(each["Tags"])
            for each in data.get("TagSpecifications", [])
        }
        profile = data.get("IamInstanceProfile", {})
        fields = {
            "versions": sorted(version["VersionNumber"] for version in versions),
            "image": self.name(data.get("ImageId")),
            "type": data.get("InstanceType"),
            "profile": profile.get("Name") or self.name(profile.get("Arn")),
            "key": data.get("KeyName"),
            "disks": [self.disk(data, mapping) for mapping in data.get("BlockDeviceMappings", [])],
            "interfaces": [self.interface(each) for each in data.get("NetworkInterfaces", [])],
            "metadata": data.get("MetadataOptions"),
            "monitoring": data.get("Monitoring", {}).get("Enabled", False),
            "host name": data.get("PrivateDnsNameOptions", {}).get("HostnameType"),
            "written files": written_files(data.get("UserData", "")),
            **{f"tags of {kind}": of_kind for kind, of_kind in tags.items()},
            "description": latest.get("VersionDescription"),
            "tags": tags_of(template.get("Tags")),
        }
        self.put("launch template", template["LaunchTemplateName"], fields)

    def interface(self, each):
        told = {
            "device": each["DeviceIndex"],
            "ends with machine": each["DeleteOnTermination"],
        }
        if "NetworkInterfaceId" in each:
            told["interface"] = self.name(each["NetworkInterfaceId"])
        if "AssociatePublicIpAddress" in each:
            told["public address"] = each["AssociatePublicIpAddress"]
        if each.get("Groups"):
            told["security groups"] = self.names(each["Groups"])
        return told

    def disk(self, data, mapping):
        ebs, device = mapping["Ebs"], mapping["DeviceName"]
        is_root = device == self.root_device.get(data["ImageId"])
        return {
            "device": "the image's" if is_root else device,
            "size": ebs.get("VolumeSize"),
            "type": ebs.get("VolumeType"),
            "iops": ebs.get("Iops"),
            "throughput": ebs.get("Throughput"),
            "encrypted": ebs.get("Encrypted"),
            "ends with machine": ebs.get("DeleteOnTermination"),
        }

    def read_group(self, group):
        name = group["AutoScalingGroupName"]
        mixed = group.get("MixedInstancesPolicy")
        if mixed:
            template = mixed["LaunchTemplate"]["LaunchTemplateSpecification"]
        else:
            template = group.get("LaunchTemplate", {"LaunchTemplateName": "none", "Version": ""})
        hooks = self.autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=name)
        subnets = [each for each in group.get("VPCZoneIdentifier", "").split(",") if each]
        fields = {
            "sizes": (group["MinSize"], group["MaxSize"]),
            "desired": group["DesiredCapacity"],
            "subnets": self.names(subnets),
            "zones": sorted(group["AvailabilityZones"]),
            "template": f"{template['LaunchTemplateName']} {template['Version']}",
            "mix": mix(mixed),
            "target groups": sorted(
                arn.split(":targetgroup/")[1].split("/")[0] for arn in group["TargetGroupARNs"]
            ),
            "health check": (group["HealthCheckType"], group["HealthCheckGracePeriod"]),
            "protects new machines": group["NewInstancesProtectedFromScaleIn"],
            "rebalances": group.get("CapacityRebalance", False),
            "longest life": group.get("MaxInstanceLifetime"),
            "suspended": sorted(each["ProcessName"] for each in group["SuspendedProcesses"]),
            "metrics": sorted(each["Metric"] for each in group["EnabledMetrics"]),
            "hooks": sorted(hook["LifecycleHookName"] for hook in hooks["LifecycleHooks"]),
            "propagated tags": tags_of(tag for tag in group["Tags"] if tag["PropagateAtLaunch"]),
            "own tags": tags_of(tag for tag in group["Tags"] if not tag["PropagateAtLaunch"]),
        }
        self.put("auto scaling group", name, fields)
        self.put("machines", name, self.machines(group))

    def machines(self, group):
        """The machines of a group, told together."""
        members = group["Instances"]
        by_id = {machine["InstanceId"]: machine for machine in self.instances}
        tags = []
        for member in members:
            self.name_of[member["InstanceId"]] = group["AutoScalingGroupName"]
            machine = by_id.get(member["InstanceId"], {})
            own = tags_of(machine.get("Tags"))
            tags.append({key: value for key, value in own.items() if not key.startswith("aws:")})
        return {
            "states": dict(Counter(member["LifecycleState"] for member in members)),
            "by zone": sorted(Counter(member["AvailabilityZone"] for member in members).values()),
            "template versions": sorted({m["LaunchTemplate"]["Version"] for m in members}),
            "tags": [each for index, each in enumerate(tags) if each not in tags[:index]],
        }


def lives(machine):
    return machine["State"]["Name"] not in ("terminated", "shutting-down")


def written_files(user_data):
    """The files that cloud-init and kprod's script write; all else of the user data is the fleet's text."""
    text = base64.b64decode(user_data).decode()
    if not re.search(r"^#cloud-config$", text, re.MULTILINE):
        return ["no cloud-config"]
    by_config = re.findall(r"^- path: (\S+)$", text, re.MULTILINE)
    return by_config + re.findall(r"^cat >(\S+) <<", text, re.MULTILINE)


def mix(policy):
    if not policy:
        return None
    distribution = policy["InstancesDistribution"]
    return {
        "types": [each["InstanceType"] for each in policy["LaunchTemplate"]["Overrides"]],
        "base": distribution.get("OnDemandBaseCapacity"),
        "above base": distribution.get("OnDemandPercentageAboveBaseCapacity"),
        "spot strategy": distribution.get("SpotAllocationStrategy"),
        "on-demand strategy": distribution.get("OnDemandAllocationStrategy"),
    }
