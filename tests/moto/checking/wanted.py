"""What a cluster must be in an account: names, tags, rules and ports as kops has them.

The rules are those of kubernetes/kops (`pkg/model`, `pkg/model/awsmodel`, `pkg/truncate` and
`upup/pkg/fi/cloudup/awsup`), with kprod's own where it differs on purpose: the owner tag, a
security group and a role for machines of etcd alone, an internal load balancer in any case, an
interface for each group that hosts etcd, numeric template versions.

`wanted(cluster)` gives {(kind, name): {field: value}}. A value may be a compiled pattern, for what
no hand can know.
"""

from .fleet import JUMP_HOSTS, OFFICE, PUBLIC_ZONE, REGION
from .groups import group_parts
from .names import GROUP_OF, digested, fixed_tags, group_name, name32, owned
from .parameters import authorities

ANYWHERE = "0.0.0.0/0"
ANYWHERE_V6 = "::/0"

# A member's peer and client ports (kops, pkg/wellknownports); nodes reach neither.
MAIN_PEER, EVENTS_PEER, MAIN_CLIENT, EVENTS_CLIENT = 2380, 2381, 4001, 4002
OPEN_TO_NODES = ["1-2379", "2382-4000", "4003-65535"]


def wanted(cluster):
    """Everything that the cluster must be."""
    parts = [
        security_groups(cluster),
        rules(cluster),
        identities(cluster),
        balancers(cluster),
        zones_and_records(cluster),
        etcd(cluster),
        authorities(cluster),
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
    """The volumes of the members, the epochs that they form under, and the interfaces of the groups that
    host them."""
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
        made["object", f"{cluster.name}/etcd/{cluster.name}/{etcd_cluster}/epoch"] = {}
    made["object", f"{cluster.name}/assets/{cluster.name}/SHA256"] = {}
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
