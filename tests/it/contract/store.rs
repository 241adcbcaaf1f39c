//! The state store: conditions hold, and of those who race exactly one wins.

use std::collections::BTreeSet;

use kprod::cloud::archive::Address;
use kprod::cloud::{Archive, Cloud, Condition, StateBucket, StoreError};
use kprod::etcd::snapshot::{Content, sha256_of};

use super::Scene;

pub(super) async fn conditions<C: Cloud>(scene: &Scene<'_, C>) {
    let cloud = &scene.stage.cloud;
    let key = "contract/conditions";
    assert_eq!(cloud.get(key).await.unwrap(), None);
    let first = cloud.put(key, b"one".to_vec(), Condition::Absent).await.unwrap();
    lost(cloud.put(key, b"two".to_vec(), Condition::Absent).await);
    let entry = cloud.get(key).await.unwrap().unwrap();
    assert_eq!((entry.body.as_slice(), &entry.etag), (b"one".as_slice(), &first));

    let second = cloud.put(key, b"two".to_vec(), Condition::Match(first.clone())).await.unwrap();
    assert_ne!(first, second);
    lost(cloud.put(key, b"three".to_vec(), Condition::Match(first.clone())).await);
    let third = cloud.put(key, b"three".to_vec(), Condition::Any).await.unwrap();
    let later = cloud.get(key).await.unwrap().unwrap();
    assert_eq!(later.body, b"three");
    assert!(
        later.written_at >= entry.written_at,
        "{} before {}",
        later.written_at,
        entry.written_at
    );

    lost(cloud.remove(key, Condition::Match(second)).await);
    cloud.remove(key, Condition::Match(third.clone())).await.unwrap();
    assert_eq!(cloud.get(key).await.unwrap(), None);
    // What is gone matches nothing; to remove it once more is no error.
    lost(cloud.put(key, b"four".to_vec(), Condition::Match(third)).await);
    cloud.remove(key, Condition::Any).await.unwrap();
    cloud.put(key, b"five".to_vec(), Condition::Absent).await.unwrap();
    cloud.remove(key, Condition::Any).await.unwrap();
}

pub(super) async fn races<C: Cloud>(scene: &Scene<'_, C>) {
    let cloud = &scene.stage.cloud;
    for round in 0..5 {
        let key = format!("contract/race/{round}");
        let winner = race(cloud, &key, "first", &Condition::Absent).await;
        assert_eq!(cloud.get(&key).await.unwrap().unwrap().etag, winner);
        let next = race(cloud, &key, "next", &Condition::Match(winner)).await;
        assert_eq!(cloud.get(&key).await.unwrap().unwrap().etag, next);
        cloud.remove(&key, Condition::Any).await.unwrap();
    }
}

/// Six write at once, each something that nobody wrote before; gives the entity tag of the winner.
async fn race<C: Cloud>(cloud: &C, key: &str, what: &str, condition: &Condition) -> String {
    let write = |who: u8| cloud.put(key, format!("{what} {who}").into_bytes(), condition.clone());
    let (a, b, c, d, e, f) =
        tokio::join!(write(1), write(2), write(3), write(4), write(5), write(6));
    let mut winners = Vec::new();
    for result in [a, b, c, d, e, f] {
        match result {
            Ok(etag) => winners.push(etag),
            lost_race => lost(lost_race),
        }
    }
    assert_eq!(winners.len(), 1, "{key}");
    winners.remove(0)
}

fn lost<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Conflict(_))), "{result:?}");
}

/// Large objects: what was stored comes back byte for byte, or was never taken; what is gone is gone.
pub(super) async fn large_objects<C: Archive + Cloud + StateBucket>(scene: &Scene<'_, C>) {
    let cloud = &scene.stage.cloud;
    let bucket = cloud.bucket().unwrap().map_or("simulated", |place| place.bucket.as_str());
    let address = |key: &str| Address {
        bucket: bucket.to_owned(),
        key: format!("contract/large/{}/{key}", scene.cluster),
    };
    let folder = tempfile::tempdir().unwrap();
    let [sent, got] = ["sent", "got"].map(|name| folder.path().join(name));
    let body: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    let content = Content { bytes: body.len() as u64, sha256: sha256_of(&body) };
    std::fs::write(&sent, &body).unwrap();
    let (one, two) = (address("one/snapshot.db"), address("two/snapshot.db"));
    assert!(!cloud.fetch(&one, &got, 1 << 20).await.unwrap(), "it is not there yet");
    for object in [&one, &two] {
        cloud.store(object, &sent, &content).await.unwrap();
        assert!(cloud.fetch(object, &got, 1 << 20).await.unwrap());
        assert_eq!(std::fs::read(&got).unwrap(), body);
    }
    assert!(cloud.fetch(&one, &got, 1000).await.is_err(), "it is larger than allowed");
    // A byte that flips between the sum and the store is noticed on the way.
    let mut flipped = body.clone();
    flipped[1000] ^= 1;
    std::fs::write(&sent, &flipped).unwrap();
    assert!(cloud.store(&address("three/snapshot.db"), &sent, &content).await.is_err());
    let listed = async || {
        let found = cloud.stored(&address("")).await.unwrap();
        assert!(found.iter().all(|stored| stored.bytes == content.bytes), "{found:?}");
        found.into_iter().map(|stored| stored.address).collect::<BTreeSet<Address>>()
    };
    assert_eq!(listed().await, BTreeSet::from([one.clone(), two.clone()]));
    cloud.discard(&one).await.unwrap();
    cloud.discard(&one).await.unwrap();
    assert_eq!(listed().await, BTreeSet::from([two.clone()]));
    assert!(!cloud.fetch(&one, &got, 1 << 20).await.unwrap());
    cloud.discard(&two).await.unwrap();
}
