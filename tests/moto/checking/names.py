"""Names and tags, as kops has them (kubernetes/kops, `pkg/model/names.go`, `context.go`)."""

import base64
import re

# kprod's own: what a resource was made from, as 16 hex digits.
DIGEST = re.compile("[0-9a-f]{16}")

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
