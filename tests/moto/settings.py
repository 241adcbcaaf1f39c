"""What a test may set about the emulated AWS, for each account.

launch_seconds           from the launch of a group's machine until it runs
terminate_seconds        from a machine's end being asked for until it is gone
hooks_complete_seconds   from a machine's wait in a hook until the software on it completes the
                         hook with CONTINUE; null: never, so that the hook's own time decides
iam_lag_seconds          how long EC2 and Auto Scaling know nothing of a new instance profile
                         or of the role put into it
balancer_seconds         how long a new load balancer is `provisioning`
balancer_linger_seconds  how long a deleted load balancer keeps its security groups in use
clock_offset_seconds     how far AWS's clock is ahead of this machine's
detach_seconds           how long a machine takes to leave its group
target_seconds           how long a new target is `initial`; null: as long as the health check of its
                         target group takes
deregistration_seconds   how long a target drains; null: as long as its target group says
impaired                 ids of instances that fail EC2's status checks
shortages                [{"zone", "type"}]: where Auto Scaling finds no capacity; without
                         `type` for any type
instances_max            quota of running instances
"""

DEFAULTS = {
    "launch_seconds": 0.0,
    "terminate_seconds": 0.0,
    "hooks_complete_seconds": 0.0,
    "iam_lag_seconds": 0.0,
    "fresh_id_seconds": 0.0,
    "tag_lag_seconds": 0.0,
    "balancer_seconds": 0.0,
    "balancer_linger_seconds": 0.0,
    "clock_offset_seconds": 0.0,
    "detach_seconds": 0.0,
    "target_seconds": 0.0,
    "deregistration_seconds": 0.0,
    "impaired": [],
    "shortages": [],
    "instances_max": None,
}

_changed = {}


def of(account, name):
    """A setting of an account: its own, or that of all accounts, or the default."""
    for scope in (account, None):
        if name in _changed.get(scope, {}):
            return _changed[scope][name]
    return DEFAULTS[name]


def change(account, values):
    """Changes settings of an account, or of all accounts."""
    unknown = set(values) - set(DEFAULTS)
    if unknown:
        raise ValueError(f"no such setting: {sorted(unknown)}")
    _changed.setdefault(account, {}).update(values)


def all_of(account):
    return {name: of(account, name) for name in DEFAULTS}
