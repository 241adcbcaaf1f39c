//! Hosted zones and records.

use super::balancer::balancer;
use super::*;
use crate::resource::{AliasTarget, RecordSet};

fn a_record(address: &str) -> RecordSet {
    RecordSet {
        ttl: Some(60),
        resource_records: BTreeSet::from([Ref::Known(address.to_owned())]),
        alias_target: None,
    }
}

fn change(
    zone: &str,
    delete: &[(&str, &str, RecordSet)],
    upsert: &[(&str, &str, RecordSet)],
) -> Call {
    let map = |records: &[(&str, &str, RecordSet)]| {
        let pair = |(name, kind, set): &(&str, &str, RecordSet)| {
            (((*name).to_owned(), (*kind).to_owned()), set.clone())
        };
        records.iter().map(pair).collect()
    };
    Call::ChangeResourceRecordSets {
        hosted_zone_id: zone.to_owned(),
        delete: map(delete),
        upsert: map(upsert),
    }
}

#[test]
fn records_change_together_or_not_at_all() {
    let mut world = account(1);
    let zone = |reference: &str, name: &str| Call::CreateHostedZone {
        name: name.to_owned(),
        vpc_id: VPC.to_owned(),
        comment: String::new(),
        caller_reference: reference.to_owned(),
    };
    let made = id(&make(&mut world, &zone("r", "internal.c.example.com")).unwrap());
    assert_eq!(refused(&mut world, &zone("r", "other.com")), "HostedZoneAlreadyExists");
    let twin = zone("s", "internal.c.example.com");
    assert_eq!(refused(&mut world, &twin), "ConflictingDomainExists");

    let (name, outside) = ("etcd.internal.c.example.com", "etcd.example.org");
    let good = (name, "A", a_record("10.0.0.1"));
    let half = change(&made, &[], &[good.clone(), (outside, "A", a_record("10.0.0.2"))]);
    assert_eq!(refused(&mut world, &half), "InvalidChangeBatch");
    make(&mut world, &change(&made, &[], std::slice::from_ref(&good))).unwrap();
    let wrong = change(&made, &[(name, "A", a_record("10.9.9.9"))], &[]);
    assert_eq!(refused(&mut world, &wrong), "InvalidChangeBatch");
    let cname = change(&made, &[], &[(name, "CNAME", a_record("x.org"))]);
    assert_eq!(refused(&mut world, &cname), "InvalidChangeBatch");
    let swap = change(&made, std::slice::from_ref(&good), &[(name, "CNAME", a_record("x.org"))]);
    make(&mut world, &swap).unwrap();
    let bare_text = change(&made, &[], &[("t.internal.c.example.com", "TXT", a_record("bare"))]);
    assert_eq!(refused(&mut world, &bare_text), "InvalidChangeBatch");
    let delete = Call::DeleteHostedZone { hosted_zone_id: made.clone() };
    assert_eq!(refused(&mut world, &delete), "HostedZoneNotEmpty");
    make(&mut world, &change(&made, &[(name, "CNAME", a_record("x.org"))], &[])).unwrap();
    make(&mut world, &delete).unwrap();
}

#[test]
fn an_alias_points_into_the_zone_of_its_target() {
    let mut world = account(1);
    let call = Call::CreateLoadBalancer { load_balancer: Box::new(balancer(&[], "a")) };
    let made = make(&mut world, &call).unwrap().attributes;
    let zone = world.zones.ids().next().unwrap().clone();
    let alias = |zone_id: &str| RecordSet {
        ttl: None,
        resource_records: BTreeSet::new(),
        alias_target: Some(AliasTarget {
            dns_name: Ref::Known(made[&Attribute::DnsName].clone()),
            hosted_zone_id: Ref::Known(zone_id.to_owned()),
            evaluate_target_health: false,
        }),
    };
    let name = "api.example.com";
    let wrong = change(&zone, &[], &[(name, "A", alias("Z0"))]);
    assert_eq!(refused(&mut world, &wrong), "InvalidChangeBatch");
    let right = alias(&made[&Attribute::CanonicalHostedZoneId]);
    let with_ttl = RecordSet { ttl: Some(60), ..right.clone() };
    assert_eq!(
        refused(&mut world, &change(&zone, &[], &[(name, "A", with_ttl)])),
        "InvalidChangeBatch"
    );
    make(&mut world, &change(&zone, &[], &[(name, "A", right)])).unwrap();
}
