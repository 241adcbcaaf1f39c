"""The life of EC2 instances: they take time to start and to end, and give back what they held."""

from moto.ec2.models.instances import Instance, InstanceState

import clock
import settings

PENDING, RUNNING = ("pending", 0), ("running", 16)
SHUTTING_DOWN, TERMINATED = ("shutting-down", 32), ("terminated", 48)

# What is to happen in an account, and when.
_due = {}


def end_in_two_steps():
    """An instance is `shutting-down` for a while before it is `terminated`, and holds what it holds
    until then. What is not deleted with it is free again afterwards.

    EC2 User Guide, "Amazon EC2 instance state changes" and "Terminate Amazon EC2 instances", "How
    instance termination works". moto ends instances at once, and leaves interfaces `in-use` for
    ever.
    """
    end = Instance.terminate

    def end_slowly(self):
        previous = InstanceState(self._state.name, self._state.code)
        if self.state in (SHUTTING_DOWN[0], TERMINATED[0]):
            return previous
        set_state(self, SHUTTING_DOWN)
        after(self.owner_id, "terminate_seconds", lambda: finish(self))
        return previous

    def finish(instance):
        kept = [nic for nic in instance.nics.values() if not nic.delete_on_termination]
        end(instance)
        for interface in kept:
            instance.detach_eni(interface)
        instance.nics = {}

    Instance.terminate = end_slowly


def end_with_their_interfaces():
    """The interface that is made for an instance is deleted with it, unless the launch says
    otherwise; one that was there before is not.

    EC2 API reference, InstanceNetworkInterfaceSpecification, DeleteOnTermination; EC2 User Guide,
    "Network interface attachments". moto deletes only what the launch says to delete.
    """
    make = Instance.prep_nics

    def make_and_mark(self, nic_spec, **kwargs):
        given = [nic.get("NetworkInterfaceId") for nic in nic_spec]
        asked = {int(nic["DeviceIndex"]): nic.get("DeleteOnTermination") for nic in nic_spec}
        make(self, nic_spec, **kwargs)
        for index, nic in self.nics.items():
            nic.delete_on_termination = nic.id not in given and asked.get(index) is not False

    Instance.prep_nics = make_and_mark


def have_no_address_once_gone():
    """An instance that ended has no interface, hence no address.

    EC2 User Guide, "Terminate Amazon EC2 instances". moto cannot tell an instance without one.
    """

    def of_main(field):
        return property(lambda self: getattr(self.nics[0], field) if 0 in self.nics else None)

    def named(self):
        address = (self.private_ip or "").replace(".", "-")
        return f"ip-{address}.{self.region_name}.compute.internal" if address else ""

    Instance.private_ip = Instance.private_ip_address = of_main("private_ip_address")
    Instance.public_ip = Instance.public_ip_address = of_main("public_ip")
    Instance.private_dns_name = property(named)


def start(instance):
    """Lets a new instance be `pending` for as long as machines take to start."""
    set_state(instance, PENDING)

    def run():
        if instance.state == PENDING[0]:
            set_state(instance, RUNNING)

    after(instance.owner_id, "launch_seconds", run)


def set_state(instance, state):
    instance._state.name, instance._state.code = state


def after(account, setting, happen):
    """Has something happen after the time that a setting names; at once if that is none."""
    seconds = settings.of(account, setting)
    if seconds <= 0:
        happen()
    else:
        _due.setdefault(account, []).append((clock.now(account) + seconds, happen))


def tick(account):
    """Lets happen what is due in an account, in its order."""
    now = clock.now(account)
    waiting = _due.get(account, [])
    _due[account] = [item for item in waiting if item[0] > now]
    for _, happen in sorted((item for item in waiting if item[0] <= now), key=lambda i: i[0]):
        happen()


MENDS = [end_in_two_steps, end_with_their_interfaces, have_no_address_once_gone]
