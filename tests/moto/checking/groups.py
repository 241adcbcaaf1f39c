"""What an instance group must be: its launch template, its auto scaling group and its machines."""

import re

from .fleet import REGION
from .names import DIGEST, GROUP_OF, digested, fixed_tags, group_name, name32

METRICS = [
    "GroupDesiredCapacity",
    "GroupInServiceInstances",
    "GroupMaxSize",
    "GroupMinSize",
    "GroupPendingInstances",
    "GroupStandbyInstances",
    "GroupTerminatingInstances",
    "GroupTotalInstances",
]

# Files that cloud-init writes, by role.
FILES_ETCD = ["/etc/systemd/journald.conf.d/90-limits.conf"]
FILES_CONTROL_PLANE = [
    *FILES_ETCD,
    "/etc/modules-load.d/kubernetes.conf",
    "/etc/sysctl.d/90-kubernetes.conf",
]
# What a machine that hosts etcd is told, and what starts its members.
FILES_HOST = [
    "/etc/kprod/node.json",
    "/etc/kprod/fetch.py",
    "/etc/systemd/system/kprod-node-etcd.service",
]
FILES = {
    "etcd": FILES_ETCD,
    "control-plane": FILES_CONTROL_PLANE,
    "node": [*FILES_CONTROL_PLANE, "/etc/systemd/system/drain-on-shutdown.service"],
}


def node_labels(group):
    """The labels of a group's nodes, which the cluster autoscaler reads from tags."""
    if group.role == "control-plane":
        return {
            "node-role.kubernetes.io/control-plane": "",
            "node.kubernetes.io/exclude-from-external-load-balancers": "",
        }
    if group.role == "etcd":
        return {}
    market = "spot" if group.market == "spot" else "on-demand"
    return {
        "node-role.kubernetes.io/node": "",
        "example.com/pool": group.pool,
        "example.com/market": market,
    }


def disk_tags(cluster, group):
    tags = fixed_tags(cluster, group)
    del tags["kprod.dev/cluster"]
    return tags


def group_tags(cluster, group):
    """Tags of a group and of its machines: the fixed ones, and what the autoscaler reads."""
    template = "k8s.io/cluster-autoscaler/node-template"
    tags = fixed_tags(cluster, group)
    for key, value in node_labels(group).items():
        tags[f"{template}/label/{key}"] = value
    if group.taint:
        tags[f"{template}/taint/{group.taint[0]}"] = group.taint[1]
    if group.role == "node":
        tags["k8s.io/cluster-autoscaler/enabled"] = "true"
        tags[f"k8s.io/cluster-autoscaler/{cluster.name}"] = "true"
    return tags


def group_parts(cluster, group):
    name = group_name(cluster, group)
    return {
        ("launch template", name): launch_template(cluster, group),
        ("auto scaling group", name): auto_scaling_group(cluster, group),
        ("machines", name): machines(cluster, group),
    }


def launch_template(cluster, group):
    prefix = GROUP_OF[group.role]
    name = group_name(cluster, group)
    if group.hosts_etcd:
        # The first interface is the group's own; it outlives the machine, with its address.
        interface = {"device": 0, "interface": name, "ends with machine": False}
    else:
        interface = {
            "device": 0,
            "public address": False,
            "security groups": [f"{prefix}.{cluster.name}"],
            "ends with machine": True,
        }
    disk = {
        "device": "the image's",
        "size": group.disk,
        "type": "gp3",
        "iops": 3000,
        "throughput": 125,
        "encrypted": True,
        "ends with machine": True,
    }
    return {
        "versions": [1],
        "image": "the team's",
        "type": group.types[0],
        "profile": f"{prefix}.{cluster.name}",
        "key": None,
        "disks": [disk],
        "interfaces": [interface],
        "metadata": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "monitoring": False,
        "host name": "resource-name",
        "written files": FILES[group.role] + (FILES_HOST if group.hosts_etcd else []),
        "tags of volume": disk_tags(cluster, group),
        "description": DIGEST,
        "tags": digested(fixed_tags(cluster, group))
        | {
            "kprod.dev/version": re.compile("1:[0-9a-f]{16}:[0-9a-f]{16}"),
            "kprod.dev/image": re.compile("ami-[0-9a-f]+:/dev/[a-z0-9]+"),
        },
    }


def auto_scaling_group(cluster, group):
    name = group_name(cluster, group)
    balanced = group.role == "control-plane"
    targets = [
        name32("tcp" if kind == "public" else "tcp-internal", cluster.name)
        for kind in cluster.balancers
    ]
    zones = [f"{REGION}{zone}" for zone in group.zones]
    return {
        "sizes": group.sizes,
        "desired": group.sizes[0],
        # A group whose template names its interface has zones and no subnets.
        "subnets": [] if group.hosts_etcd else [cluster.private[zone] for zone in group.zones],
        "zones": zones,
        "template": f"{name} 1",
        "mix": mix(group),
        "target groups": sorted(targets) if balanced else [],
        "health check": ("EC2", 0),
        "protects new machines": False,
        "rebalances": group.market == "spot",
        "longest life": 2592000 if group.role == "node" else None,
        "suspended": group.suspended,
        "metrics": METRICS,
        # Its machines complete it when their etcd members are well.
        "hooks": ["kprod-etcd"] if group.hosts_etcd else [],
        "propagated tags": group_tags(cluster, group),
        "own tags": {
            "kprod.dev/digest": DIGEST,
            "kprod.dev/target": re.compile("1:[0-9a-f]{16}"),
        },
    }


def mix(group):
    if group.market == "single":
        return None
    spot = group.market == "spot"
    return {
        "types": group.types,
        "base": 0,
        "above base": 0 if spot else 100,
        # Without a word of ours AWS fills in its own: `lowest-price`, `prioritized`.
        "spot strategy": "price-capacity-optimized" if spot else "lowest-price",
        "on-demand strategy": "prioritized",
    }


def machines(cluster, group):
    """As many as the least, spread evenly over the zones."""
    count = group.sizes[0]
    zones = sorted(f"{REGION}{zone}" for zone in group.zones)
    whole, rest = divmod(count, len(zones))
    even = [whole + (1 if index < rest else 0) for index in range(len(zones))]
    return {
        "states": {"InService": count} if count else {},
        "by zone": sorted(each for each in even if each),
        "template versions": ["1"] if count else [],
        "tags": [group_tags(cluster, group)] if count else [],
    }
