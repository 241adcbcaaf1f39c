//! Epochs of etcd: opened once whoever comes second, seen at once, removed with what members said.

use std::collections::{BTreeMap, BTreeSet};

use kprod::cloud::{Call, Cloud, CloudErrorKind, Condition, epoch as address};
use kprod::epoch;
use kprod::etcd::Phase;
use kprod::etcd::report::report_key;
use kprod::resource::{Attribute, EpochMember, Key, Kind, Resource};

use super::Scene;

pub(super) async fn epochs<C: Cloud>(scene: &Scene<'_, C>) {
    let cluster = scene.cluster.clone();
    let member = EpochMember {
        peer_url: format!("https://etcd-a.internal.{cluster}:2380"),
        client_url: format!("https://etcd-a.internal.{cluster}:4001"),
    };
    let members = BTreeMap::from([("a".to_owned(), member)]);
    let name = address::name("main", &cluster);
    let open = || Call::CreateEpoch {
        cluster: cluster.clone(),
        etcd: "main".to_owned(),
        members: members.clone(),
    };
    let cloud = &scene.stage.cloud;
    let report = report_key(&cluster, "main", "a");
    cloud.put(&report, b"{}".to_vec(), Condition::Any).await.unwrap();
    let key = Key::new(Kind::Epoch, &name);
    let remains = scene.look(&key).await.etcd_remains.remove(&key);
    assert_eq!(remains, Some(BTreeSet::from([report.clone()])), "a member was here");

    let token = scene.make(open()).await.attributes[&Attribute::Id].clone();
    let again = cloud.call(&open()).await.unwrap_err();
    assert_eq!(again.kind, CloudErrorKind::AlreadyExists, "{again}");
    let wanted = address::resource(&cluster, "main", members.clone());
    let seen = scene.shows(&name, &wanted).await;
    assert_eq!(seen.attributes[&Attribute::Id], token);
    let read = epoch::read(cloud, &cluster, "main").await.unwrap().unwrap().epoch;
    assert_eq!((read.number, &read.phase, &read.token), (1, &Phase::Open, &token));

    let Resource::Epoch(there) = &wanted else { panic!("{wanted:?}") };
    for _ in 0..2 {
        for key in address::objects(there) {
            scene.make(Call::DeleteObject { key }).await;
        }
        scene.gone(Kind::Epoch, &name).await;
    }
    assert_eq!(cloud.get(&report).await, Ok(None));
    assert!(scene.look(&key).await.etcd_remains.is_empty());
    assert_ne!(scene.make(open()).await.attributes[&Attribute::Id], token, "it is another one");
    for key in address::objects(there) {
        scene.make(Call::DeleteObject { key }).await;
    }
}
