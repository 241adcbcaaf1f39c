"""EC2: security groups and their rules."""

import re
from ipaddress import ip_network

from moto.ec2.models import EC2Backend
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.responses.security_groups import SecurityGroups
from moto.elbv2.models import elbv2_backends

from mends.tools import check_first, refused

# Rules of one direction and address family in one group: Amazon VPC quotas.
RULES_MAX = 60


# What a name or a description is made of: EC2 API reference, CreateSecurityGroup.
TEXT = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{0,255}")


def check_texts_and_rules():
    """A group is in a VPC that is there, its texts are of certain characters, its rules of ports in
    order and of networks without host bits.

    EC2 API reference, CreateSecurityGroup, IpRange, and "Error codes": InvalidVpcID.NotFound,
    InvalidParameterValue, InvalidGroup.Reserved. moto takes anything.
    """

    def check_new(self):
        name, vpc = self._get_param("GroupName"), self._get_param("VpcId")
        check_text(self._get_param("Description"))
        check_text(name)
        if name.startswith("sg-"):
            raise refused("InvalidParameterValue", f"Value ({name}) for groupName is invalid.")
        if name == "default":
            raise refused("InvalidGroup.Reserved", "Cannot use reserved security group name")
        if vpc and vpc not in self.ec2_backend.vpcs:
            raise refused("InvalidVpcID.NotFound", f"The vpc ID '{vpc}' does not exist")

    def check_rules(self):
        for rule in self._get_param("IpPermissions", []):
            low, high = rule.get("FromPort"), rule.get("ToPort")
            if rule["IpProtocol"] in ("tcp", "udp") and not 0 <= low <= high <= 65535:
                raise refused("InvalidParameterValue", f"Invalid value for portRange: {low}-{high}")
            for field, name in PEERS:
                for peer in rule.get(field, []):
                    check_text(peer.get("Description", ""))
                    check_network(peer.get(name))

    check_first(SecurityGroups, "create_security_group", check_new)
    check_first(SecurityGroups, "authorize_security_group_ingress", check_rules)
    check_first(SecurityGroups, "authorize_security_group_egress", check_rules)


PEERS = [
    ("IpRanges", "CidrIp"),
    ("Ipv6Ranges", "CidrIpv6"),
    ("UserIdGroupPairs", None),
    ("PrefixListIds", None),
]


def check_text(text):
    if not TEXT.fullmatch(text):
        raise refused("InvalidParameterValue", f"Value ({text}) has characters that are not valid.")


def check_network(cidr):
    try:
        ip_network(cidr or "0.0.0.0/0")
    except ValueError as error:
        raise refused("InvalidParameterValue", f"CIDR block {cidr} is malformed") from error


def compare_rules_by_what_they_allow():
    """Two rules that allow the same are the same, whatever their descriptions; a protocol by number
    has no ports.

    EC2 API reference, AuthorizeSecurityGroupIngress, and "Error codes",
    InvalidPermission.Duplicate. moto takes the same rule with another description, and breaks at a
    protocol without ports.
    """
    make = SecurityGroupRule.__init__

    def make_any(self, *args, **kwargs):
        args = list(args)
        if args[1] not in (None, "-1") and args[3] is None:
            args[3] = args[4] = -1
        make(self, *args, **kwargs)

    SecurityGroupRule.__init__ = make_any
    SecurityGroupRule.__eq__ = lambda self, other: allowed(self) == allowed(other)
    SecurityGroupRule.__hash__ = lambda self: hash(self.id)


def allowed(rule):
    """What a rule allows, and to whom."""
    ports = (rule.from_port, rule.to_port) if rule.ip_protocol != "-1" else (None, None)
    peer = (rule.cidr_ipv4, rule.cidr_ipv6, rule.prefix_list_id, rule.source_group.get("GroupId"))
    return (rule.ip_protocol, ports, peer)


def change_rules_all_or_none():
    """A call that fails changes no rule, and no call goes beyond the quota.

    EC2 API reference, AuthorizeSecurityGroupIngress; "Error codes",
    RulesPerSecurityGroupLimitExceeded. moto keeps the rules before the one that it refuses.
    """
    for direction in ("ingress", "egress"):
        for verb in ("authorize", "revoke"):
            whole(f"{verb}_security_group_{direction}")


def whole(method):
    change = getattr(SecurityGroups, method)

    def change_whole(self):
        group = self.ec2_backend.get_security_group_from_id(self._get_param("GroupId") or "")
        if group is None:
            return change(self)
        before = list(group.ingress_rules), list(group.egress_rules)
        try:
            answer = change(self)
            check_quota(group)
        except Exception:
            group.ingress_rules, group.egress_rules = before
            raise
        return answer

    setattr(SecurityGroups, method, change_whole)


def check_quota(group):
    for rules in (group.ingress_rules, group.egress_rules):
        ipv4 = [rule for rule in rules if not rule.cidr_ipv6]
        ipv6 = [rule for rule in rules if not rule.cidr_ipv4]
        if max(len(ipv4), len(ipv6)) > RULES_MAX:
            message = "The maximum number of rules per security group has been reached."
            raise refused("RulesPerSecurityGroupLimitExceeded", message)


def keep_groups_in_use():
    """A group that a rule of another one refers to, or that anything uses, is not deleted.

    EC2 API reference, DeleteSecurityGroup, and "Error codes", DependencyViolation. moto deletes it.
    """

    def check(self):
        group_id = self._get_param("GroupId")
        if group_id and is_used(self, group_id):
            message = f"resource {group_id} has a dependent object"
            raise refused("DependencyViolation", message)

    check_first(SecurityGroups, "delete_security_group", check)


def is_used(response, group_id):
    backend = response.ec2_backend
    for groups in backend.groups.values():
        for group in groups.values():
            rules = [*group.ingress_rules, *group.egress_rules]
            peers = [rule.source_group.get("GroupId") for rule in rules]
            if group.id != group_id and group_id in peers:
                return True
    if any(group_id in [g.id for g in nic.group_set] for nic in backend.enis.values()):
        return True
    balancers = elbv2_backends[response.current_account][response.region]
    of_balancers = [item.security_groups or [] for item in balancers.load_balancers.values()]
    lingering = getattr(balancers, "lingering_groups", [])
    return any(group_id in groups for groups in of_balancers + lingering)


def revoke_egress_to_ipv6():
    """A rule for IPv6 can be taken out of any group.

    EC2 API reference, RevokeSecurityGroupEgress: "Removes the specified outbound rules". In a VPC
    without IPv6 addresses moto says that it did, and keeps the rule.
    """
    revoke = EC2Backend.revoke_security_group_egress

    def revoke_all(self, **named):
        return revoke(self, **named | {"ip_ranges": Kept(named["ip_ranges"])})

    EC2Backend.revoke_security_group_egress = revoke_all


class Kept(list):
    """A list that nothing is taken out of."""

    def remove(self, item):
        pass


MENDS = [
    revoke_egress_to_ipv6,
    check_texts_and_rules,
    compare_rules_by_what_they_allow,
    change_rules_all_or_none,
    keep_groups_in_use,
]
