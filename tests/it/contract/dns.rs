//! Private zones, and batches of records that happen whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use kprod::cloud::{Call, Cloud, CloudErrorKind};
use kprod::resource::{DnsName, HostedZone, Kind, RecordSet, Resource, Tags};

use super::{Scene, known, strings};

type Records = BTreeMap<(String, String), RecordSet>;

impl<C: Cloud> Scene<'_, C> {
    fn create_zone(&self, name: &str, token: &str) -> Call {
        Call::CreateHostedZone {
            name: name.to_owned(),
            vpc_id: self.network().vpc.clone(),
            comment: "contract".to_owned(),
            caller_reference: HostedZone::caller_reference(&self.cluster, token),
        }
    }
}

pub(super) async fn zones<C: Cloud>(scene: &Scene<'_, C>) {
    let name = scene.name("internal");
    let hosted_zone_id = scene.made(scene.create_zone(&name, "1")).await;
    let again = scene.create_zone(&name, "1");
    scene.refused(again, CloudErrorKind::AlreadyExists, "HostedZoneAlreadyExists").await;
    let twin = scene.create_zone(&name, "2");
    scene.refused(twin, CloudErrorKind::AlreadyExists, "ConflictingDomainExists").await;

    let id = || hosted_zone_id.clone();
    let add = |tags: Tags, remove| Call::ChangeTagsForResource {
        hosted_zone_id: id(),
        add: tags,
        remove,
    };
    scene.make(add(scene.tags(), BTreeSet::new())).await;
    let tags = Tags::from([("colour".to_owned(), "blue".to_owned())]);
    scene.make(add(tags, strings(["Name"]))).await;
    scene
        .make(Call::UpdateHostedZoneComment { hosted_zone_id: id(), comment: "another".to_owned() })
        .await;
    let mut wanted = HostedZone {
        name: name.clone(),
        vpc_id: scene.network().vpc.clone(),
        comment: "another".to_owned(),
        tags: scene.tags(),
    };
    wanted.tags.remove("Name");
    wanted.tags.insert("colour".to_owned(), "blue".to_owned());
    scene.shows(&name, &Resource::HostedZone(wanted)).await;

    let delete = || Call::DeleteHostedZone { hosted_zone_id: id() };
    scene.make(delete()).await;
    scene.gone(Kind::HostedZone, &name).await;
    scene.refused(delete(), CloudErrorKind::NotFound, "NoSuchHostedZone").await;
}

pub(super) async fn names<C: Cloud>(scene: &Scene<'_, C>) {
    let zone = scene.name("internal");
    let hosted_zone_id = scene.made(scene.create_zone(&zone, "1")).await;
    let batch = |delete: &Records, upsert: &Records| Call::ChangeResourceRecordSets {
        hosted_zone_id: hosted_zone_id.clone(),
        delete: delete.clone(),
        upsert: upsert.clone(),
    };
    let none = Records::new();
    let name = format!("etcd-a.{zone}");
    let owned = |name: &str, kind: &str, set: &RecordSet| {
        let owner = DnsName::owner_record_set(&scene.cluster);
        Records::from([
            ((name.to_owned(), kind.to_owned()), set.clone()),
            ((DnsName::owner_record(name), "TXT".to_owned()), owner),
        ])
    };
    let shown = |name: &str, kind: &str, set: &RecordSet| {
        Resource::DnsName(DnsName {
            hosted_zone_id: known(&hosted_zone_id),
            name: name.to_owned(),
            record_sets: BTreeMap::from([(kind.to_owned(), set.clone())]),
            owner: scene.cluster.clone(),
        })
    };
    let (first, second) = (set(60, &["10.0.0.4"]), set(30, &["10.0.0.5", "10.0.0.6"]));
    scene.make(batch(&none, &owned(&name, "A", &first))).await;
    scene.make(batch(&none, &owned(&name, "A", &second))).await;
    scene.shows(&name, &shown(&name, "A", &second)).await;
    let srv = set(300, &[&format!("0 0 2380 {name}")]);
    let discovery = format!("_etcd-server-ssl._tcp.{zone}");
    scene.make(batch(&none, &owned(&discovery, "SRV", &srv))).await;
    scene.shows(&discovery, &shown(&discovery, "SRV", &srv)).await;

    // One bad change of a batch undoes the others: other values, outside of the zone, no address.
    let invalid = |delete: &Records, upsert: &Records| {
        let call = batch(delete, upsert);
        scene.refused(call, CloudErrorKind::Invalid, "InvalidChangeBatch")
    };
    let third = set(60, &["10.0.0.7"]);
    let good = owned(&name, "A", &third);
    invalid(&owned(&discovery, "SRV", &set(300, &["0 0 1 other."])), &good).await;
    let outside = owned("etcd-a.elsewhere.example.net", "A", &first);
    invalid(&none, &good.clone().into_iter().chain(outside).collect()).await;
    let bad = owned(&format!("etcd-b.{zone}"), "A", &set(60, &["no address"]));
    invalid(&none, &good.clone().into_iter().chain(bad).collect()).await;
    scene.shows(&name, &shown(&name, "A", &second)).await;

    let delete_zone = || Call::DeleteHostedZone { hosted_zone_id: hosted_zone_id.clone() };
    scene.refused(delete_zone(), CloudErrorKind::InUse, "HostedZoneNotEmpty").await;
    scene.make(batch(&owned(&name, "A", &second), &none)).await;
    scene.gone(Kind::DnsName, &name).await;
    invalid(&owned(&name, "A", &second), &none).await;
    scene.make(batch(&owned(&discovery, "SRV", &srv), &none)).await;
    scene.make(delete_zone()).await;
    let late = batch(&none, &good);
    scene.refused(late, CloudErrorKind::NotFound, "NoSuchHostedZone").await;
}

fn set(ttl: i64, values: &[&str]) -> RecordSet {
    RecordSet {
        ttl: Some(ttl),
        resource_records: values.iter().map(|value| known(value)).collect(),
        alias_target: None,
    }
}
