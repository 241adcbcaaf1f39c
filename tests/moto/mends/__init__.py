"""In which ways moto is brought nearer to AWS, one module a service.

Each mend is a function. It says which behaviour of AWS it brings back and where AWS documents it,
and puts its own code in the place of moto's. What moto does right is left to moto.
"""

from moto.autoscaling.models import autoscaling_backends

from mends import (
    autoscaling,
    balancers,
    ec2,
    group_parts,
    groups,
    iam,
    lag,
    machines,
    moves,
    route53,
    s3,
    security,
    storage,
    targets,
)

SERVICES = (
    machines,
    security,
    storage,
    ec2,
    lag,
    iam,
    balancers,
    targets,
    route53,
    autoscaling,
    moves,
    group_parts,
    s3,
)


def apply():
    """Mends moto, once, before its first call."""
    for service in SERVICES:
        for mend in service.MENDS:
            mend()


def before_call(account):
    """Lets happen what AWS does by itself between two calls."""
    machines.tick(account)
    if account not in autoscaling_backends:
        return
    for backend in autoscaling_backends[account].values():
        for group in list(backend.autoscaling_groups.values()):
            groups.reconcile(group)
