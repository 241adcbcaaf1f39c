"""The clusters of this repository's fleet, written down by hand from `vars/`, `templates/` and
`snippets/`.

What they must be in an account follows in `wanted.py`. Neither reads kprod, its plan or its files:
they are what it is compared with.
"""

from dataclasses import dataclass, field

REGION = "eu-west-3"
PUBLIC_ZONE = "k8s.example.com"

# Who reaches the API, and who the machines' port 22.
OFFICE = "198.51.100.0/24"
JUMP_HOSTS = "198.51.100.16/28"

# What a machine of a class may be, in the order of preference.
TYPES_2X_8GB = ["m6i.large", "m7i.large", "m6a.large", "m5.large", "m5a.large"]
TYPES_4X_16GB = ["m6i.xlarge", "m7i.xlarge", "m6a.xlarge", "m5.xlarge", "m5a.xlarge"]
TYPES_8X_64GB = ["r6i.2xlarge", "r7i.2xlarge", "r6a.2xlarge", "r5.2xlarge", "r5a.2xlarge"]
TYPES_4X_32GB = [
    "r6i.xlarge",
    "r6a.xlarge",
    "r6id.xlarge",
    "r7i.xlarge",
    "r7a.xlarge",
    "r5.xlarge",
    "r5a.xlarge",
    "r5d.xlarge",
    "r5ad.xlarge",
    "r5n.xlarge",
    "i4i.xlarge",
    "i3en.xlarge",
]


@dataclass
class Group:
    """An instance group."""

    name: str
    role: str  # "control-plane", "etcd" or "node"
    zones: str
    sizes: tuple
    types: list
    disk: int
    market: str = "single"  # "single" type, "spot" mix or "on-demand" mix
    suspended: list = field(default_factory=list)
    pool: str = ""
    taint: tuple = ()
    hosts_etcd: bool = False


@dataclass
class Cluster:
    name: str
    labels: dict
    vpc: str
    private: dict
    public: dict
    balancers: list  # "internal" and perhaps "public"
    volume_gb: int
    main: dict  # member to its group
    events: dict
    groups: list


def control_plane(name, zones, size, kind, **more):
    return Group(
        name, "control-plane", zones, (size, size), [kind], 64, suspended=["AZRebalance"], **more
    )


def pool_of_any(market, zones, sizes):
    return Group(
        f"{market}-4x-32gb",
        "node",
        zones,
        sizes,
        TYPES_4X_32GB,
        128,
        market=market,
        suspended=["AZRebalance"],
        pool="any",
    )


STAGING = Cluster(
    name="staging.k8s.example.com",
    labels={"environment": "staging", "team": "platform"},
    vpc="10.20.0.0/16",
    private={"a": "10.20.0.0/20", "b": "10.20.16.0/20", "c": "10.20.32.0/20"},
    public={"a": "10.20.240.0/24", "b": "10.20.241.0/24", "c": "10.20.242.0/24"},
    balancers=["internal"],
    volume_gb=20,
    main={zone: f"control-plane-{REGION}{zone}" for zone in "abc"},
    events={zone: f"control-plane-{REGION}{zone}" for zone in "abc"},
    groups=[
        *[
            control_plane(f"control-plane-{REGION}{zone}", zone, 1, "m6i.large", hosts_etcd=True)
            for zone in "abc"
        ],
        pool_of_any("spot", "abc", (3, 9)),
        pool_of_any("on-demand", "abc", (0, 5)),
    ],
)

PROD = Cluster(
    name="prod.k8s.example.com",
    labels={"environment": "production", "team": "platform"},
    vpc="10.40.0.0/16",
    private={"a": "10.40.0.0/19", "b": "10.40.32.0/19", "c": "10.40.64.0/19"},
    public={"a": "10.40.240.0/24", "b": "10.40.241.0/24", "c": "10.40.242.0/24"},
    balancers=["internal", "public"],
    volume_gb=50,
    main={member: f"etcd-{member}" for member in ("a1", "a2", "b1", "b2", "c1")},
    events={member: f"etcd-{member}" for member in ("a1", "b1", "c1")},
    groups=[
        control_plane("control-plane", "abc", 3, "m6i.xlarge"),
        *[
            Group(f"etcd-{member}", "etcd", member[0], (1, 1), ["m6i.large"], 32, hosts_etcd=True)
            for member in ("a1", "a2", "b1", "b2", "c1")
        ],
        pool_of_any("spot", "abc", (1, 100)),
        pool_of_any("on-demand", "abc", (0, 50)),
        Group(
            "admin",
            "node",
            "abc",
            (3, 6),
            TYPES_2X_8GB,
            128,
            market="on-demand",
            suspended=["AZRebalance"],
            pool="admin",
            taint=("CriticalAddonsOnly", "true:NoSchedule"),
        ),
        *[
            Group(
                f"general-{REGION}{zone}",
                "node",
                zone,
                (1, 20),
                TYPES_4X_16GB,
                128,
                market="on-demand",
                pool="general",
            )
            for zone in "abc"
        ],
        *[
            Group(
                f"high-memory-{REGION}{zone}",
                "node",
                zone,
                (1, 4),
                TYPES_8X_64GB,
                128,
                market="on-demand",
                pool="high-memory",
                taint=("example.com/pool", "high-memory:NoSchedule"),
            )
            for zone in "ab"
        ],
    ],
)

CLUSTERS = {cluster.name: cluster for cluster in (STAGING, PROD)}
