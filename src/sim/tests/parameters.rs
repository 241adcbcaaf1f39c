//! Parameters: made once, told by halves, never part of the world's state.

use std::collections::BTreeSet;

use super::{account, make, owner, refused};
use crate::cloud::{Call, Query, authority};
use crate::pki::{Authority, Signer};
use crate::resource::{Attribute, Key, Kind, Resource};
use crate::sim::World;

const CLUSTER: &str = "c.example.com";

fn peers() -> Authority {
    Authority::EtcdPeers("main".to_owned())
}

fn create() -> Call {
    Call::CreateAuthority {
        cluster: CLUSTER.to_owned(),
        authority: peers().to_string(),
        parameter: peers().secret_parameter(CLUSTER),
        tags: owner(),
    }
}

fn read() -> Call {
    Call::ReadAuthority {
        cluster: CLUSTER.to_owned(),
        authority: peers().to_string(),
        parameter: peers().secret_parameter(CLUSTER),
    }
}

fn publish(certificate: &str) -> Call {
    Call::PublishAuthority {
        parameter: peers().public_parameter(CLUSTER),
        certificate: certificate.to_owned(),
        tags: owner(),
    }
}

fn key() -> Key {
    Key::new(Kind::Authority, authority::name(&peers(), CLUSTER))
}

/// What a look finds of the authority: its certificate, if that is public.
fn seen(world: &mut World, deep: bool) -> Option<Option<String>> {
    let query =
        Query { cluster: CLUSTER.to_owned(), keys: [key()].into(), deep, ..Query::default() };
    let found = world.observe(&query).unwrap().resources.remove(&key())?;
    assert!(found.ownership.is_owned());
    Some(found.attributes.get(&Attribute::Certificate).cloned())
}

/// Whether a look says that the key is there; none if it does not say.
fn has_key(world: &mut World, deep: bool) -> Option<bool> {
    let query =
        Query { cluster: CLUSTER.to_owned(), keys: [key()].into(), deep, ..Query::default() };
    let found = world.observe(&query).unwrap().resources.remove(&key())?;
    let Resource::Authority(seen) = found.resource else { panic!() };
    found.unread.is_empty().then_some(seen.key_spec.is_some())
}

#[test]
fn an_authority_is_made_once_and_a_half_of_it_is_seen_by_who_makes_the_rest() {
    let mut world = account(1);
    assert_eq!(refused(&mut world, &read()), "ParameterNotFound");
    assert_eq!((seen(&mut world, false), seen(&mut world, true)), (None, None));
    let made = make(&mut world, &create()).unwrap().attributes;
    assert_eq!(refused(&mut world, &create()), "ParameterAlreadyExists");
    assert_eq!((seen(&mut world, false), seen(&mut world, true)), (None, Some(None)));
    assert_eq!(make(&mut world, &read()).unwrap().attributes, made, "the first one's");
    let certificate = &made[&Attribute::Certificate];
    make(&mut world, &publish(certificate)).unwrap();
    assert_eq!(refused(&mut world, &publish("another")), "ParameterAlreadyExists");
    for deep in [false, true] {
        assert_eq!(seen(&mut world, deep), Some(Some(certificate.clone())));
    }
    let secret = world.secret_parameter(&peers().secret_parameter(CLUSTER)).unwrap().unwrap();
    let signer = Signer::parse(&peers(), CLUSTER, &secret).unwrap();
    assert_eq!(&signer.to_public(), certificate);
    let not_before = signer.certificate().unwrap().not_before;
    assert!(not_before <= world.now.timestamp(), "by the world's clock");
    let keyless = Call::DeleteAuthority { parameters: [peers().secret_parameter(CLUSTER)].into() };
    let mut other = world.clone();
    make(&mut other, &keyless).unwrap();
    assert_eq!((has_key(&mut other, false), has_key(&mut other, true)), (None, Some(false)));
    assert_eq!((has_key(&mut world, false), has_key(&mut world, true)), (None, Some(true)));
    let parameters: BTreeSet<String> = world.parameter_names();
    for _ in 0..2 {
        make(&mut world, &Call::DeleteAuthority { parameters: parameters.clone() }).unwrap();
        assert_eq!(seen(&mut world, true), None);
    }
}

#[test]
fn no_key_is_in_what_a_world_prints_or_stores() {
    let mut world = account(1);
    let made = make(&mut world, &create()).unwrap();
    let secret = world.secret_parameter(&peers().secret_parameter(CLUSTER)).unwrap().unwrap();
    let shown = format!("{world:?} {} {made:?}", serde_json::to_string(&world).unwrap());
    assert!(!shown.contains("PRIVATE"));
    for line in secret.expose().lines().filter(|line| !line.contains("-----")).take(2) {
        assert!(!shown.contains(line));
    }
}

#[test]
fn what_is_of_no_authority_of_ours_is_foreign() {
    let mut world = account(1);
    make(&mut world, &publish("somebody's")).unwrap();
    let query = Query { cluster: CLUSTER.to_owned(), keys: [key()].into(), ..Query::default() };
    let found = world.observe(&query).unwrap().resources.remove(&key()).unwrap();
    assert!(!found.ownership.is_owned());
}
