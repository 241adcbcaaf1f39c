//! Authorities: made once whoever comes second, finished by whoever finds a half, removed together.

use std::collections::BTreeMap;

use kprod::cloud::{Call, Cloud, CloudErrorKind, Observed, authority};
use kprod::pki::{Authority, check_public};
use kprod::resource::{Attribute, Key, Kind, Resource};

use super::Scene;

pub(super) async fn authorities<C: Cloud>(scene: &Scene<'_, C>) {
    for wanted in [Authority::EtcdPeers("main".to_owned()), Authority::ServiceAccount] {
        made_once(scene, &wanted).await;
    }
}

async fn made_once<C: Cloud>(scene: &Scene<'_, C>, wanted: &Authority) {
    let cluster = scene.cluster.clone();
    let (secret, public) = (wanted.secret_parameter(&cluster), wanted.public_parameter(&cluster));
    let name = authority::name(wanted, &cluster);
    let read = || Call::ReadAuthority {
        cluster: cluster.clone(),
        authority: wanted.to_string(),
        parameter: secret.clone(),
    };
    let create = || Call::CreateAuthority {
        cluster: cluster.clone(),
        authority: wanted.to_string(),
        parameter: secret.clone(),
        tags: scene.tags(),
    };
    scene.refused(read(), CloudErrorKind::NotFound, "ParameterNotFound").await;
    let made: BTreeMap<Attribute, String> = scene.make(create()).await.attributes;
    let certificate = made[&Attribute::Certificate].clone();
    let read_back = check_public(wanted, &cluster, &certificate).unwrap();
    assert_eq!(read_back.is_some(), wanted.has_certificate());
    let exists = (CloudErrorKind::AlreadyExists, "ParameterAlreadyExists");
    scene.refused(create(), exists.0, exists.1).await;

    let key = Key::new(Kind::Authority, &name);
    let is_half = |seen: &Observed| match &seen.resource {
        Resource::Authority(seen) => seen.public_parameter.is_none(),
        _ => false,
    };
    let half = scene.see(&key, is_half).await;
    assert!(half.ownership.is_owned() && half.attributes.is_empty(), "a run sees a half");
    assert_eq!(scene.make(read()).await.attributes, made, "and tells what was made");

    let publish = |text: &str| Call::PublishAuthority {
        parameter: public.clone(),
        certificate: text.to_owned(),
        tags: scene.tags(),
    };
    scene.make(publish(&certificate)).await;
    scene.refused(publish("another"), exists.0, exists.1).await;
    let whole = scene.shows(&name, &authority::resource(wanted, &cluster)).await;
    assert_eq!(whole.attributes, made);
    let parameters = [secret.clone()].into();
    scene.make(Call::DeleteAuthority { parameters }).await;
    let is_keyless = |seen: &Observed| match &seen.resource {
        Resource::Authority(seen) => seen.key_spec.is_none(),
        _ => false,
    };
    let keyless = scene.see(&key, is_keyless).await;
    assert_eq!(keyless.attributes, made, "a run sees that the key is gone");

    for _ in 0..2 {
        let parameters = [secret.clone(), public.clone()].into();
        scene.make(Call::DeleteAuthority { parameters }).await;
        scene.gone(Kind::Authority, &name).await;
    }
}
