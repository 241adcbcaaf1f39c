"""What a cluster must be in an account: names, tags, rules and ports as kops has them.

The rules are those of kubernetes/kops (`pkg/model`, `pkg/model/awsmodel`, `pkg/truncate` and
`upup/pkg/fi/cloudup/awsup`), with kprod's own where it differs on purpose: the owner tag, a security group
and a role for machines of etcd alone, an internal load balancer in any case, an interface for each group
that hosts etcd, numeric template versions.

`wanted(cluster)` gives {(kind, name): {field: value}}. A value may be a compiled pattern, for what no hand
can know.
"""

import base64
import re

from .fleet import JUMP_HOSTS, OFFICE, PUBLIC_ZONE, REGION

ANYWHERE = "0.0.0.0/0"
ANYWHERE_V6 = "::/0"
DIGEST = re.compile("[0-9a-f]{16}")

# A member's peer and client ports (kops, pkg/wellknownports); nodes reach neither.
MAIN_PEER, EVENTS_PEER, MAIN_CLIENT, EVENTS_CLIENT = 2380, 2381, 4001, 4002
OPEN_TO_NODES = ["1-2379", "2382-4000", "4003-65535"]

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
FILES = {
    "etcd": FILES_ETCD,
    "control-plane": FILES_CONTROL_PLANE,
    "node": [*FILES_CONTROL_PLANE, "/etc/systemd/system/drain-on-shutdown.service"],
}

# kops calls the control plane's group and role `masters`.
GROUP_OF = {"control-plane": "masters", "etcd": "etcd", "node": "nodes"}


def name32(prefix, cluster):
    """kops' name of 32 characters: cut, with a hash of the whole at its end.

    The hash is the first six characters, in lower-case base32hex, of the big-endian 32-bit FNV-1a
    (`pkg/truncate/truncate.go`).
    """
    whole = f"{prefix}-{cluster.replace('.', '-')}"
    value = 0x811C9DC5
    for byte in whole.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    digest = base64.b32hexencode(value.to_bytes(4, "big")).decode().lower()[:6]
    return f"{whole[:25]}-{digest}"


def group_name(cluster, group):
    """The name of the auto scaling group, its template and its machines."""
    middle = {"control-plane": "masters.", "etcd": "etcd.", "node": ""}[group.role]
    return f"{group.name}.{middle}{cluster.name}"


def owned(cluster, name):
    """Tags of everything that the cluster owns."""
    return {
        "Name": name,
        "KubernetesCluster": cluster.name,
        f"kubernetes.io/cluster/{cluster.name}": "owned",
        "kprod.dev/cluster": cluster.name,
        **cluster.labels,
    }


def digested(tags):
    return tags | {"kprod.dev/digest": DIGEST}


def wanted(cluster):
    """Everything that the cluster must be."""
    parts = [
        security_groups(cluster),
        rules(cluster),
        identities(cluster),
        balancers(cluster),
        zones_and_records(cluster),
        etcd(cluster),
        *[group_parts(cluster, group) for group in cluster.groups],
    ]
    everything = {}
    for part in parts:
        assert not everything.keys() & part.keys()
        everything |= part
    return everything


def has_etcd_machines(cluster):
    return any(group.role == "etcd" for group in cluster.groups)


def security_groups(cluster):
    descriptions = {"masters": "masters", "nodes": "nodes", "api-elb": "api ELB"}
    if has_etcd_machines(cluster):
        descriptions["etcd"] = "etcd"
    made = {}
    for prefix, words in descriptions.items():
        name = f"{prefix}.{cluster.name}"
        made["security group", name] = {
            "description": f"Security group for {words}",
            "vpc": cluster.vpc,
            "tags": digested(owned(cluster, name)),
        }
    return made


def rules(cluster):
    """Every rule, as `GROUP ingress|egress PROTOCOL PORTS PEER`."""
    masters, nodes, balancer, etcd_group = (
        f"{prefix}.{cluster.name}" for prefix in ("masters", "nodes", "api-elb", "etcd")
    )
    dedicated = has_etcd_machines(cluster)
    groups = [masters, nodes, balancer, *([etcd_group] if dedicated else [])]
    lines = []
    for group in groups:
        lines += [f"{group} egress all {ANYWHERE}", f"{group} egress all {ANYWHERE_V6}"]
    lines += [
        f"{masters} ingress all {masters}",
        f"{nodes} ingress all {masters}",
        f"{nodes} ingress all {nodes}",
        f"{masters} ingress udp 1-65535 {nodes}",
        *[f"{masters} ingress tcp {ports} {nodes}" for ports in OPEN_TO_NODES],
        f"{masters} ingress tcp 22 {JUMP_HOSTS}",
        f"{nodes} ingress tcp 22 {JUMP_HOSTS}",
        f"{balancer} ingress tcp 443 {OFFICE}",
        f"{balancer} ingress icmp 3:4 {OFFICE}",
        f"{masters} ingress tcp 443 {balancer}",
        f"{masters} ingress icmp 3:4 {balancer}",
        f"{balancer} ingress icmp 3:4 {masters}",
        # Machines reach the API through the internal load balancer, as the office does.
        f"{balancer} ingress tcp 443 {masters}",
        f"{balancer} ingress tcp 443 {nodes}",
        f"{balancer} ingress icmp 3:4 {nodes}",
    ]
    if dedicated:
        lines += [
            f"{etcd_group} ingress tcp {MAIN_PEER} {etcd_group}",
            f"{etcd_group} ingress tcp {EVENTS_PEER} {etcd_group}",
            f"{etcd_group} ingress tcp {MAIN_CLIENT} {masters}",
            f"{etcd_group} ingress tcp {EVENTS_CLIENT} {masters}",
            f"{etcd_group} ingress tcp 22 {JUMP_HOSTS}",
        ]
    owner = f"kprod.dev/cluster={cluster.name}"
    made = {}
    for line in lines:
        # The rule that every new group has is AWS's own and stays as it is.
        made["rule", line] = {
            "description": "" if line.endswith(f"egress all {ANYWHERE}") else owner
        }
    assert len(made) == len(lines)
    return made


def identities(cluster):
    made = {}
    roles = ["masters", "nodes", *(["etcd"] if has_etcd_machines(cluster) else [])]
    for role in roles:
        name = f"{role}.{cluster.name}"
        made["role", name] = {
            "trust": {"ec2.amazonaws.com": ["sts:AssumeRole"]},
            "inline policies": [name],
            "attached policies": [],
            "tags": digested(owned(cluster, name)),
        }
        made["instance profile", name] = {
            "roles": [name],
            "tags": digested(owned(cluster, name)),
        }
    return made


def balancers(cluster):
    made = {}
    control_plane = sorted(
        group_name(cluster, group)
        for group in cluster.groups
        if group.role == "control-plane"
        for _ in range(group.sizes[0])
    )
    for kind in cluster.balancers:
        public = kind == "public"
        name = name32("api" if public else "api-internal", cluster.name)
        target = name32("tcp" if public else "tcp-internal", cluster.name)
        label = f"api.{cluster.name}" if public else f"api.internal.{cluster.name}"
        subnets = cluster.public if public else cluster.private
        made["load balancer", name] = {
            "type": "network",
            "scheme": "internet-facing" if public else "internal",
            "vpc": cluster.vpc,
            "subnets": sorted(subnets.values()),
            "security groups": [f"api-elb.{cluster.name}"],
            "cross zone": "false",
            "tags": digested(owned(cluster, label)),
        }
        made["target group", target] = {
            "protocol": "TCP",
            "port": 443,
            "target type": "instance",
            "vpc": cluster.vpc,
            "load balancers": [name],
            "health check": {"protocol": "TCP", "interval": 10, "healthy": 2, "unhealthy": 2},
            "deregistration seconds": "30",
            "ends connections": "true",
            # So that a machine of the control plane reaches itself.
            "keeps client addresses": "false",
            "targets": control_plane,
            "tags": digested(owned(cluster, label)),
        }
        made["listener", f"{name}:443"] = {"protocol": "TCP", "target groups": [target]}
    return made


def zones_and_records(cluster):
    internal = f"internal.{cluster.name}"
    made = {
        ("hosted zone", internal): {
            "private": True,
            "vpcs": [cluster.vpc],
            "tags": digested(owned(cluster, internal)),
        }
    }
    at_api = name32("api" if "public" in cluster.balancers else "api-internal", cluster.name)
    in_private = name32("api-internal", cluster.name)
    for name, zone, balancer in [
        (f"api.{cluster.name}", PUBLIC_ZONE, at_api),
        (f"api.internal.{cluster.name}", internal, in_private),
    ]:
        for kind in ("A", "AAAA"):
            made["record", f"{zone}: {name} {kind}"] = {
                "alias": balancer,
                "alias zone": "the balancer's",
                "asks targets": False,
            }
        made |= owner_record(cluster, zone, name)
    members = [
        (cluster.main, "etcd", "_etcd-server-ssl._tcp", MAIN_PEER),
        (cluster.events, "etcd-events", "_etcd-server-ssl-events._tcp", EVENTS_PEER),
    ]
    for hosts, prefix, service, port in members:
        for member, group in hosts.items():
            name = f"{prefix}-{member}.{internal}"
            made["record", f"{internal}: {name} A"] = {
                "ttl": 60,
                "values": [f"address of {interface_name(cluster, group)}"],
            }
            made |= owner_record(cluster, internal, name)
        name = f"{service}.{internal}"
        made["record", f"{internal}: {name} SRV"] = {
            "ttl": 60,
            "values": sorted(f"0 0 {port} {prefix}-{member}.{internal}" for member in hosts),
        }
        made |= owner_record(cluster, internal, name)
    return made


def owner_record(cluster, zone, name):
    value = f'"kprod.dev/cluster={cluster.name}"'
    return {("record", f"{zone}: kprod-owner.{name} TXT"): {"ttl": 300, "values": [value]}}


def interface_name(cluster, group):
    [hosting] = [each for each in cluster.groups if each.name == group]
    return group_name(cluster, hosting)


def etcd(cluster):
    """The volumes of the members, and the interfaces of the groups that host them."""
    made = {}
    for etcd_cluster, hosts in (("main", cluster.main), ("events", cluster.events)):
        for member, group in hosts.items():
            name = f"{member}.etcd-{etcd_cluster}.{cluster.name}"
            [hosting] = [each for each in cluster.groups if each.name == group]
            everyone = ",".join(sorted(hosts))
            tags = owned(cluster, name) | {
                f"k8s.io/etcd/{etcd_cluster}": f"{member}/{everyone}",
                "k8s.io/role/control-plane": "1",
                "k8s.io/role/master": "1",
            }
            made["volume", name] = {
                "zone": f"{REGION}{hosting.zones}",
                "size": cluster.volume_gb,
                "type": "gp3",
                "iops": 3000,
                "throughput": 125,
                "encrypted": True,
                # A machine attaches its members' volumes when it starts.
                "attached": False,
                "tags": digested(tags),
            }
    for group in cluster.groups:
        if group.hosts_etcd:
            name = group_name(cluster, group)
            made["network interface", name] = {
                "subnet": cluster.private[group.zones],
                "security groups": [f"{GROUP_OF[group.role]}.{cluster.name}"],
                "description": f"etcd host {name}",
                "tags": digested(fixed_tags(cluster, group)),
            }
    return made


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


def fixed_tags(cluster, group):
    """Tags that stay as long as the group does: those of its template, interface and disks.

    A disk that comes and goes with its machine is nobody's to look for, so it bears no owner.
    """
    roles = {
        "control-plane": {"k8s.io/role/control-plane": "1", "k8s.io/role/master": "1"},
        "etcd": {"k8s.io/role/etcd": "1"},
        "node": {"k8s.io/role/node": "1"},
    }
    return {
        **owned(cluster, group_name(cluster, group)),
        **roles[group.role],
        "kops.k8s.io/instancegroup": group.name,
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
        "written files": FILES[group.role],
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
        "hooks": [],
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
    even = [count // len(zones) + (1 if index < count % len(zones) else 0) for index in range(len(zones))]
    return {
        "states": {"InService": count} if count else {},
        "by zone": sorted(each for each in even if each),
        "template versions": ["1"] if count else [],
        "tags": [group_tags(cluster, group)] if count else [],
    }
