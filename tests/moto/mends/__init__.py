"""In which ways moto is brought nearer to AWS, one module a service.

Each mend is a function. It says which behaviour of AWS it brings back and where AWS documents it,
and puts its own code in the place of moto's. What moto does right is left to moto.
"""

from . import autoscaling, balancers, ec2


def apply():
    """Mends moto, once, before its first call."""
    for service in (autoscaling, balancers, ec2):
        for mend in service.MENDS:
            mend()


def before_call(account, service):
    """Lets happen what AWS does by itself between two calls."""
