"""Elastic Load Balancing v2."""

import json
import re

from moto.elbv2 import models
from moto.elbv2.models import ELBv2Backend, FakeLoadBalancer
from moto.elbv2.responses import ELBV2Response

import clock
import settings
from mends import machines
from mends.tools import check_first, refused


def any_hyphens_in_names():
    """A target group's name may hold two hyphens in a row.

    Elastic Load Balancing API reference, CreateTargetGroup, `Name`: "can have a maximum of 32
    characters, must contain only alphanumeric characters or hyphens, and must not begin or end with
    a hyphen". moto refuses `--`, which kops' names have wherever they are cut at a hyphen.
    """

    class Patterns:
        """Python's `re` as moto's module uses it, without that one clause."""

        def match(self, pattern, text):
            return re.match(pattern.replace("(?!.*--)", ""), text)

        def __getattr__(self, name):
            return getattr(re, name)

    models.re = Patterns()


def be_network_load_balancers():
    """The ARN and the DNS name of a network load balancer say what it is.

    Elastic Load Balancing API reference, CreateLoadBalancer, "Examples": `loadbalancer/net/`. moto
    says `app` of all, and two of one name in two accounts have the same DNS name.
    """
    make_arn = models.make_arn_for_load_balancer
    create = ELBv2Backend.create_load_balancer
    kinds = {"network": "net", "gateway": "gwy"}
    made = {}

    def make_right_arn(account_id, lb_id, name, region_name):
        arn = make_arn(account_id, lb_id, name, region_name)
        return arn.replace("/app/", f"/{kinds.get(made['type'], 'app')}/")

    def create_right(self, *args, **kwargs):
        made["type"] = kwargs.get("loadbalancer_type")
        balancer = create(self, *args, **kwargs)
        digits = balancer.arn.rsplit("/", 1)[1]
        suffix = f"elb.{self.region_name}.amazonaws.com"
        balancer.dns_name = f"{balancer.name}-{digits}.{suffix}".lower()
        balancer.made_at = clock.now(self.account_id)
        return balancer

    models.make_arn_for_load_balancer = make_right_arn
    ELBv2Backend.create_load_balancer = create_right


def take_time_to_be_active():
    """A new load balancer is `provisioning` for a while.

    Elastic Load Balancing API reference, data type `LoadBalancerState`. moto's is active when it is
    described.
    """
    activate = FakeLoadBalancer.activate

    def activate_late(self):
        account = self.arn.split(":")[4]
        age = clock.now(account) - self.made_at
        if age >= settings.of(account, "balancer_seconds"):
            activate(self)

    FakeLoadBalancer.activate = activate_late


def have_attributes_of_their_own():
    """Target groups of network load balancers keep the client's address until told otherwise.

    Elastic Load Balancing API reference, data type `TargetGroupAttribute`. moto gives every target
    group the attributes of an application load balancer's.
    """
    create = ELBv2Backend.create_target_group

    def create_right(self, *args, **kwargs):
        group = create(self, *args, **kwargs)
        if group.protocol in ("TCP", "TLS", "UDP", "TCP_UDP"):
            group.attributes.setdefault("preserve_client_ip.enabled", "true")
            ended = "deregistration_delay.connection_termination.enabled"
            group.attributes.setdefault(ended, "false")
        return group

    ELBv2Backend.create_target_group = create_right


def make_once():
    """The same settings again give what is there; other settings under its name are refused.

    Elastic Load Balancing API reference, CreateLoadBalancer and CreateTargetGroup: "This operation
    is idempotent", DuplicateLoadBalancerName, DuplicateTargetGroupName. moto makes a second load
    balancer, and refuses the same target group.
    """
    once("create_load_balancer", "load_balancers", "DuplicateLoadBalancerName")
    once("create_target_group", "target_groups", "DuplicateTargetGroupName")


def once(method, shelf, code):
    create = getattr(ELBV2Response, method)

    def create_once(self):
        name = self._get_param("Name")
        asked = json.dumps(self._get_params(), sort_keys=True, default=str)
        for known in getattr(self.elbv2_backend, shelf).values():
            if known.name == name and known.asked == asked:
                return known.answer
            if known.name == name:
                what = method.removeprefix("create_").replace("_", " ")
                message = (
                    f"A {what} with the same name '{name}' exists, but with different settings"
                )
                raise refused(code, message)
        answer = create(self)
        for known in getattr(self.elbv2_backend, shelf).values():
            if known.name == name:
                known.asked, known.answer = asked, answer
        return answer

    setattr(ELBV2Response, method, create_once)


def check_balancers():
    """What a network load balancer cannot be asked.

    Elastic Load Balancing API reference: SetSubnets (subnets of a network load balancer are added
    only), SetSecurityGroups (not for one made without), DeleteLoadBalancer (OperationNotPermitted
    under deletion protection), CreateLoadBalancer (one subnet of each zone). moto does all of it.
    """

    def balancer_of(response):
        arn = response._get_param("LoadBalancerArn")
        return response.elbv2_backend.load_balancers.get(arn)

    def subnets(response):
        named = [item["SubnetId"] for item in response._get_param("SubnetMappings", [])]
        return named + response._get_param("Subnets", [])

    def check_zones(self):
        known = self.elbv2_backend.ec2_backend.subnets
        if not all(any(item in items for items in known.values()) for item in subnets(self)):
            raise refused("SubnetNotFound", f"The subnets {subnets(self)} do not all exist")
        for group in self._get_param("SecurityGroups", []):
            if self.elbv2_backend.ec2_backend.get_security_group_from_id(group) is None:
                message = f"The security group '{group}' does not exist"
                raise refused("InvalidSecurityGroup", message)
        zones = [zone for zone, items in known.items() for item in items if item in subnets(self)]
        if len(zones) != len(set(zones)):
            message = "A load balancer takes one subnet of each Availability Zone"
            raise refused("InvalidConfigurationRequest", message)

    def check_subnets(self):
        balancer = balancer_of(self)
        if balancer and not {item.id for item in balancer.subnets} <= set(subnets(self)):
            message = "Subnet removal is not supported for Network Load Balancers"
            raise refused("InvalidConfigurationRequest", message)

    def check_groups(self):
        balancer = balancer_of(self)
        if balancer and not (balancer.security_groups and self._get_param("SecurityGroups")):
            message = "SetSecurityGroups needs a load balancer that was made with security groups"
            raise refused("InvalidConfigurationRequest", message)

    def check_protection(self):
        balancer = balancer_of(self)
        if balancer and balancer.attrs.get("deletion_protection.enabled") == "true":
            message = f"Load balancer '{balancer.arn}' cannot be deleted: it is protected"
            raise refused("OperationNotPermitted", message)

    check_first(ELBV2Response, "create_load_balancer", check_zones)
    check_first(ELBV2Response, "set_subnets", check_subnets)
    check_first(ELBV2Response, "set_subnets", check_zones)
    check_first(ELBV2Response, "set_security_groups", check_groups)
    check_first(ELBV2Response, "delete_load_balancer", check_protection)


def check_listeners():
    """A port of a load balancer has one listener, a target group one load balancer.

    Elastic Load Balancing API reference, CreateListener: DuplicateListener,
    TargetGroupAssociationLimit; ModifyListener speaks all protocols of network load balancers. moto
    compares ports with ARNs.
    """

    def check(self):
        arn, port = self._get_param("LoadBalancerArn"), self._get_int_param("Port")
        balancer = self.elbv2_backend.load_balancers.get(arn)
        if balancer is None:
            return
        if any(int(item.port) == port for item in balancer.listeners.values()):
            message = "A listener already exists on this port for this load balancer"
            raise refused("DuplicateListener", message)
        for action in self._get_param("DefaultActions", []):
            target_group = self.elbv2_backend.target_groups.get(action.get("TargetGroupArn"))
            if target_group and set(target_group.load_balancer_arns) - {arn}:
                message = (
                    f"{target_group.arn} cannot be associated with more than one load balancer"
                )
                raise refused("TargetGroupAssociationLimit", message)

    check_first(ELBV2Response, "create_listener", check)


def forget_what_is_gone():
    """A deleted load balancer gives its target groups free, and its interfaces a little later; to
    delete a target group that is not there succeeds.

    Elastic Load Balancing API reference, DeleteTargetGroup and DeleteLoadBalancer ("Deleting a load
    balancer does not affect its registered targets"; "If the load balancer does not exist or has
    already been deleted, the call succeeds"). moto keeps the association.
    """
    delete = ELBv2Backend.delete_load_balancer
    delete_target_group = ELBv2Backend.delete_target_group

    def delete_whole(self, arn):
        balancer = self.load_balancers.get(arn)
        for target_group in self.target_groups.values():
            if arn in target_group.load_balancer_arns:
                target_group.load_balancer_arns.remove(arn)
        delete(self, arn)
        if balancer is not None:
            linger(self, balancer.security_groups or [])

    def delete_any(self, target_group_arn):
        if target_group_arn in self.target_groups:
            return delete_target_group(self, target_group_arn)
        return None

    ELBv2Backend.delete_load_balancer = delete_whole
    ELBv2Backend.delete_target_group = delete_any


def linger(backend, groups):
    """The interfaces of a deleted load balancer keep its security groups in use for a while."""
    lingering = backend.__dict__.setdefault("lingering_groups", [])
    lingering.append(groups)
    machines.after(backend.account_id, "balancer_linger_seconds", lambda: lingering.remove(groups))


MENDS = [
    any_hyphens_in_names,
    be_network_load_balancers,
    take_time_to_be_active,
    have_attributes_of_their_own,
    make_once,
    check_balancers,
    check_listeners,
    forget_what_is_gone,
]
