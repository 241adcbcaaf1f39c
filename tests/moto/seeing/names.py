"""Route53: zones, and batches that are done whole or not at all."""

from seeing.world import (
    REGION,
    refuses,
    route53,
)


def check_hosted_zones(world):
    make = {
        "Name": "one.example.com",
        "CallerReference": "one",
        "VPC": {"VPCRegion": REGION, "VPCId": world.vpc},
        "HostedZoneConfig": {"PrivateZone": True},
    }
    zone = route53.create_hosted_zone(**make)["HostedZone"]["Id"].removeprefix("/hostedzone/")
    assert zone.startswith("Z") and len(zone) == 21
    refuses("HostedZoneAlreadyExists", route53.create_hosted_zone, **make)
    other = make | {"CallerReference": "other"}
    refuses("ConflictingDomainExists", route53.create_hosted_zone, **other)
    wrong = other | {"VPC": {"VPCRegion": REGION, "VPCId": "vpc-0123456789abcdef0"}}
    refuses("InvalidVPCId", route53.create_hosted_zone, **wrong)


def check_records(world):
    made = route53.create_hosted_zone(Name="two.example.com", CallerReference="two")
    zone = made["HostedZone"]["Id"].removeprefix("/hostedzone/")

    def record(name, *values, kind="A", ttl=60):
        values = [{"Value": value} for value in values]
        return {"Name": name, "Type": kind, "TTL": ttl, "ResourceRecords": values}

    def batch(*changes):
        changes = [{"Action": do, "ResourceRecordSet": made} for do, made in changes]
        return {"HostedZoneId": zone, "ChangeBatch": {"Changes": changes}}

    def names():
        sets = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        return sorted(
            (item["Name"], item["Type"]) for item in sets if item["Type"] not in ("SOA", "NS")
        )

    change = route53.change_resource_record_sets
    a = record("A.two.example.com", "10.0.0.1")
    change(**batch(("UPSERT", a), ("CREATE", record("t.two.example.com", '"x y"', kind="TXT"))))
    assert names() == [("a.two.example.com.", "A"), ("t.two.example.com.", "TXT")]

    def no(*changes):
        before = names()
        message = refuses("InvalidChangeBatch", change, **batch(*changes))
        assert names() == before, "all or none"
        return message

    good = record("b.two.example.com", "10.0.0.2")
    srv = record("s.two.example.com", "0 0 2380 a.two.example.com", kind="SRV")
    assert "already exists" in no(("UPSERT", good), ("CREATE", a))
    assert "not match" in no(("UPSERT", good), ("DELETE", a | {"TTL": 61}))
    assert "not found" in no(("UPSERT", good), ("DELETE", srv))
    assert "not permitted in zone" in no(
        ("UPSERT", good), ("UPSERT", record("a.example.com", "10.0.0.1"))
    )
    assert "conflicts" in no(("UPSERT", record("a.two.example.com", "b.example.com", kind="CNAME")))
    assert "apex" in no(("UPSERT", record("two.example.com", "b.example.com", kind="CNAME")))
    assert "10.0.0" in no(("UPSERT", record("b.two.example.com", "10.0.0.256")))
    assert "x" in no(("UPSERT", record("u.two.example.com", "x", kind="TXT")))
    no(("UPSERT", srv | {"ResourceRecords": [{"Value": "0 0 a.two.example.com"}]}))
    no(("UPSERT", good), ("UPSERT", good))
    no(("UPSERT", record("b.two.example.com", *[f"10.0.{i // 250}.{i % 250}" for i in range(501)])))
    alias = {"HostedZoneId": zone, "DNSName": "none.two.example.com", "EvaluateTargetHealth": False}
    no(("UPSERT", {"Name": "b.two.example.com", "Type": "A", "AliasTarget": alias}))
    alias = alias | {"HostedZoneId": "Z0000000000000"}
    no(("UPSERT", {"Name": "b.two.example.com", "Type": "A", "AliasTarget": alias}))
    alias = alias | {"HostedZoneId": zone, "DNSName": "a.two.example.com"}
    change(**batch(("UPSERT", {"Name": "b.two.example.com", "Type": "A", "AliasTarget": alias})))
    change(**batch(("DELETE", a), ("UPSERT", a | {"ResourceRecords": [{"Value": "10.0.0.9"}]})))
    refuses("HostedZoneNotEmpty", route53.delete_hosted_zone, Id=zone)
