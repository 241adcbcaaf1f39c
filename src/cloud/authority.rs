//! Authorities between `pki`'s words and a resource's: how they are called, and what is seen of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Foreignness, Observed, Ownership};
use crate::pki::{self, Certificate, PkiError, check_public};
use crate::resource::{Attribute, Authority, Key, Kind, Resource};

/// The sort of all keys, in AWS's words. Source: KMS API reference, CreateKey, `KeySpec`.
const KEY_SPEC: &str = "ECC_NIST_P256";

/// An authority's name in an address: its own and the cluster's.
pub fn name(authority: &pki::Authority, cluster: &str) -> String {
    format!("{authority}.{cluster}")
}

/// The authority of an address in a cluster's plan.
pub fn of_key(key: &Key, cluster: &str) -> Option<pki::Authority> {
    let name = key.name.strip_suffix(cluster)?.strip_suffix('.')?;
    (key.kind == Kind::Authority).then(|| name.parse().ok())?
}

/// An authority as a resource.
pub fn resource(authority: &pki::Authority, cluster: &str) -> Resource {
    Resource::Authority(whole(authority, cluster))
}

fn whole(authority: &pki::Authority, cluster: &str) -> Authority {
    Authority {
        authority: authority.to_string(),
        cluster: cluster.to_owned(),
        key_spec: KEY_SPEC.to_owned(),
        secret_parameter: authority.secret_parameter(cluster),
        public_parameter: Some(authority.public_parameter(cluster)),
    }
}

/// What a cluster's public parameters say of its authorities. Those of `halves` have a secret
/// parameter, and perhaps no public one yet: a run was killed between the two.
pub(crate) fn observed(
    cluster: &str,
    public: &BTreeMap<String, String>,
    halves: &BTreeSet<pki::Authority>,
) -> Vec<(String, Observed)> {
    let place = format!("/kprod/{cluster}/{}/", pki::PUBLIC_PLACE);
    let whole = public.iter().filter_map(|(parameter, text)| {
        Some((parameter.strip_prefix(&place)?.parse::<pki::Authority>().ok()?, text.as_str()))
    });
    let mut found: BTreeMap<pki::Authority, Option<&str>> =
        halves.iter().map(|half| (half.clone(), None)).collect();
    found.extend(whole.map(|(authority, text)| (authority, Some(text))));
    found
        .into_iter()
        .map(|(authority, text)| (name(&authority, cluster), seen(&authority, cluster, text)))
        .collect()
}

fn seen(authority: &pki::Authority, cluster: &str, public: Option<&str>) -> Observed {
    let attributes = public.map(|text| attributes(authority, cluster, text)).transpose();
    let ownership = match &attributes {
        Ok(_) => Ownership::Owned,
        Err(_) => Ownership::Foreign(Foreignness::Untagged),
    };
    let mut found = whole(authority, cluster);
    if public.is_none() {
        found.public_parameter = None;
    }
    Observed {
        resource: Resource::Authority(found),
        ownership,
        attributes: attributes.ok().flatten().unwrap_or_default(),
        digest: None,
        group: None,
        template: None,
        foreign_rules: BTreeSet::new(),
        unread: BTreeSet::new(),
    }
}

/// What is decided when an authority is made: its certificate or public key, and as its id the
/// fingerprint of that.
pub(crate) fn attributes(
    authority: &pki::Authority,
    cluster: &str,
    public: &str,
) -> Result<BTreeMap<Attribute, String>, PkiError> {
    let certificate: Option<Certificate> = check_public(authority, cluster, public)?;
    let id = certificate.map_or_else(|| pki::fingerprint(public), |read| read.fingerprint);
    Ok([(Attribute::Id, id), (Attribute::Certificate, public.to_owned())].into())
}
