"""Route53: zones that are not made twice, and batches that are done whole or not at all."""

import random
import re
import string
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from moto.ec2 import ec2_backends
from moto.route53 import models
from moto.route53.models import RecordSet, Route53Backend
from moto.route53.responses import Route53

from mends.tools import check_first, refused

# What one batch takes, values of an UPSERT counted twice: Route53 Developer Guide, "Quotas",
# "ChangeResourceRecordSets".
VALUES_MAX, CHARACTERS_MAX = 1000, 32_000
SECONDS_MAX = 2_147_483_647


def make_zones_once():
    """A caller reference makes one zone; a VPC has one private zone of a name; ids begin with Z.

    Route53 API reference, CreateHostedZone: HostedZoneAlreadyExists, ConflictingDomainExists,
    InvalidVPCId. moto makes a second zone.
    """

    def check(self):
        name = plain(self._get_param("Name"))
        vpc = self._get_param("VPC.VPCId")
        region = self._get_param("VPC.VPCRegion")
        if vpc and vpc not in ec2_backends[self.current_account][region].vpcs:
            raise refused("InvalidVPCId", f"The VPC: {vpc} that you provided is not valid.")
        for zone in self.backend.zones.values():
            if zone.caller_reference == self._get_param("CallerReference"):
                message = (
                    "A hosted zone has already been created with the specified caller reference."
                )
                raise refused("HostedZoneAlreadyExists", message)
            if vpc and plain(zone.name) == name and vpc in [v["vpc_id"] for v in zone.vpcs]:
                message = f"The VPC {vpc} has a hosted zone with the same domain name: {zone.id}"
                raise refused("ConflictingDomainExists", message)

    def make_id(resource_identifier, existing_ids=None, tags=None):
        letters = string.ascii_uppercase + string.digits
        return "Z" + "".join(random.choice(letters) for _ in range(20))

    check_first(Route53, "create_hosted_zone", check)
    models.create_route53_zone_id = make_id


def change_records_all_or_none():
    """A batch is checked as a whole, with what it would leave, before any of it is done.

    Route53 API reference, ChangeResourceRecordSets: "Changes are transactional", InvalidChangeBatch
    with all its messages; Developer Guide, "Supported DNS record types", says what each type's
    values look like. moto keeps the changes before the one that it refuses, deletes what has other
    values than told, makes a name twice, and takes any value.
    """

    def change(self, zoneid, change_list):
        zone = self.get_hosted_zone(zoneid)
        check_size(change_list)
        records = {key_of(vars(record)): record for record in zone.rrsets}
        problems, written = [], set()
        for item in change_list:
            record = normal(item["ResourceRecordSet"])
            problems += change_one(zone, records, written, item["Action"], record)
        problems += dangling_aliases(zone, records)
        if problems:
            raise refused("InvalidChangeBatch", f"[{', '.join(problems)}]")
        zone.rrsets = list(records.values())

    Route53Backend.change_resource_record_sets = change


def change_one(zone, records, written, action, record):
    """Makes one change of a batch; gives what is wrong with it."""
    key, known = key_of(record), records.get(key_of(record))
    name, kind = record["Name"], record["Type"]
    told = f"resource record set [name='{name}', type='{kind}']"
    if action == "DELETE":
        if known is None:
            return [f"Tried to delete {told} but it was not found"]
        if not same(known, record):
            return [
                f"Tried to delete {told} but the values provided do not match the current values"
            ]
        if name == zone.name and kind in ("SOA", "NS"):
            return [f"A HostedZone must contain its {kind} record"]
        del records[key]
        return []
    if action not in ("CREATE", "UPSERT"):
        return [f"Invalid action {action}"]
    if action == "CREATE" and known is not None:
        return [f"Tried to create {told} but it already exists"]
    if key in written:
        message = "The request contains an invalid set of changes for a resource record set"
        return [f"{message} '{kind} {name}'"]
    written.add(key)
    problem = problem_of(zone, records, record)
    records[key] = RecordSet(record)
    return [problem] if problem else []


def problem_of(zone, records, record):
    """What Route53 has against a record, if anything."""
    name, kind, alias = record["Name"], record["Type"], record.get("AliasTarget")
    if name != zone.name and not name.endswith(f".{zone.name}"):
        return f"RRSet with DNS name {name} is not permitted in zone {zone.name}"
    if kind == "CNAME" and name == zone.name:
        return f"RRSet of type CNAME with DNS name {name} is not permitted at apex in zone {name}"
    others = {other_kind for other, other_kind, _ in records if other == name} - {kind}
    if (kind == "CNAME" and others) or "CNAME" in others:
        return f"RRSet of type {kind} with DNS name {name} conflicts with other records of the name"
    if alias is not None:
        if record.get("TTL") is not None or record.get("ResourceRecords"):
            return f"An alias has neither TTL nor values: {kind} {name}"
        return problem_of_alias(zone, kind, alias)
    return problem_of_values(name, kind, record)


def problem_of_alias(zone, kind, alias):
    target, target_zone = alias["DNSName"], alias["HostedZoneId"]
    balancer = r".*\.elb\.[a-z0-9-]+\.amazonaws\.com\."
    if target_zone == zone.resource_id or (
        target_zone == BALANCER_ZONE and re.fullmatch(balancer, target)
    ):
        return None
    return (
        f"Tried to create an alias that targets {target}, type {kind} in zone {target_zone}, "
        "but the alias target name does not lie within the target zone"
    )


# moto gives all load balancers this zone.
BALANCER_ZONE = "Z2P70J7EXAMPLE"


def problem_of_values(name, kind, record):
    seconds, values = record.get("TTL"), record.get("ResourceRecords") or []
    if seconds is None or not 0 <= int(seconds) <= SECONDS_MAX:
        return f"{kind} {name} has no valid TTL"
    if not values:
        return f"{kind} {name} has no value"
    if len(values) != len(set(values)):
        return f"Duplicate Resource Record: '{kind} {name}'"
    for value in values:
        if not is_value(kind, value):
            problem = "Invalid Resource Record: FATAL problem: encountered with"
            return f"{problem} '{value}' of {kind} {name}"
    return None


def is_value(kind, value):
    """Whether Route53 takes a value of this type."""
    try:
        if kind == "A":
            return bool(IPv4Address(value))
        if kind == "AAAA":
            return bool(IPv6Address(value))
    except AddressValueError:
        return False
    if kind == "TXT":
        return re.fullmatch(r'("([^"\\]|\\.){0,255}"\s*)+', value) is not None
    if kind == "SRV":
        match = re.fullmatch(r"(\d+) (\d+) (\d+) (\S+)", value)
        return match is not None and all(int(number) < 65536 for number in match.groups()[:3])
    return bool(value)


def dangling_aliases(zone, records):
    """An alias into its own zone has to find a record of its type there."""
    for (_, kind, _), record in records.items():
        alias = record.alias_target
        if alias and alias["HostedZoneId"] == zone.resource_id:
            if not any(key[:2] == (alias["DNSName"], kind) for key in records):
                yield (
                    f"Tried to create an alias that targets {alias['DNSName']}, type {kind} in "
                    f"zone {zone.resource_id}, but that target was not found"
                )


def check_size(changes):
    values = characters = 0
    for item in changes:
        times = 2 if item["Action"] == "UPSERT" else 1
        found = [v["Value"] for v in item["ResourceRecordSet"].get("ResourceRecords") or []]
        values += times * max(len(found), 1)
        characters += times * sum(len(value) for value in found)
    if values > VALUES_MAX:
        raise refused("InvalidChangeBatch", f"[Number of records limit of {VALUES_MAX} exceeded.]")
    if characters > CHARACTERS_MAX:
        message = f"[Number of characters limit of {CHARACTERS_MAX} exceeded.]"
        raise refused("InvalidChangeBatch", message)


def normal(record):
    """A record as Route53 keeps it: names in lower case with the last dot."""
    record = {**record, "Name": plain(record["Name"]) + "."}
    if record.get("ResourceRecords"):
        record["ResourceRecords"] = [item["Value"] for item in record["ResourceRecords"]]
    if record.get("AliasTarget"):
        alias = record["AliasTarget"]
        record["AliasTarget"] = {**alias, "DNSName": plain(alias["DNSName"]) + "."}
    return record


def plain(name):
    return name.rstrip(".").lower().replace("\\052", "*")


def key_of(record):
    """What a record is known by, of a request or of moto's own."""
    name, kind = record.get("Name") or record["name"], record.get("Type") or record["type"]
    return plain(name) + ".", kind, record.get("SetIdentifier") or record.get("set_identifier")


def same(known, record):
    """Whether a DELETE tells a record as it is."""
    if known.alias_target or record.get("AliasTarget"):
        return known.alias_target == record.get("AliasTarget")
    seconds = int(known.ttl or 0) == int(record.get("TTL") or 0)
    return seconds and sorted(known.records or []) == sorted(record.get("ResourceRecords") or [])


MENDS = [make_zones_once, change_records_all_or_none]
