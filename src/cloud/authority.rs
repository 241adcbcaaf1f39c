//! Authorities between `pki`'s words and a resource's: how they are called, and what is seen of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Foreignness, Observed, Ownership, Query};
use crate::pki::{self, Certificate, PkiError, check_public};
use crate::resource::{Attribute, Authority, Key, Kind, Resource};

/// The sort of all keys, in AWS's words. Source: KMS API reference, CreateKey, `KeySpec`.
const KEY_SPEC: &str = "ECC_NIST_P256";

/// The field that says whether the key is there: asking costs a call, so only a deep look does.
const KEY_FIELD: &str = "key_spec";

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
        key_spec: Some(KEY_SPEC.to_owned()),
        secret_parameter: authority.secret_parameter(cluster),
        public_parameter: Some(authority.public_parameter(cluster)),
    }
}

/// The secret parameters that a deep look asks after: those of wanted authorities, and of those of which
/// something is public.
pub(crate) fn secrets(
    query: &Query,
    public: &BTreeMap<String, String>,
) -> BTreeMap<String, pki::Authority> {
    let cluster = &query.cluster;
    let wanted = query.keys.iter().filter_map(|key| of_key(key, cluster));
    let told = public_of(cluster, public).map(|(authority, _)| authority);
    wanted.chain(told).map(|one| (one.secret_parameter(cluster), one)).collect()
}

/// What a cluster's public parameters say of its authorities, and of which of them the key is there, if
/// that was asked. One with a key alone is a half: a run was killed between the two parameters.
pub(crate) fn observed(
    cluster: &str,
    public: &BTreeMap<String, String>,
    keys: Option<&BTreeSet<pki::Authority>>,
) -> Vec<(String, Observed)> {
    let mut found: BTreeMap<pki::Authority, Option<&str>> =
        keys.into_iter().flatten().map(|one| (one.clone(), None)).collect();
    found.extend(public_of(cluster, public).map(|(authority, text)| (authority, Some(text))));
    found
        .into_iter()
        .map(|(authority, text)| {
            let has_key = keys.map(|keys| keys.contains(&authority));
            (name(&authority, cluster), seen(&authority, cluster, text, has_key))
        })
        .collect()
}

/// The authorities of a cluster's public parameters, each with the text there.
fn public_of<'a>(
    cluster: &str,
    public: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = (pki::Authority, &'a str)> {
    let place = format!("/kprod/{cluster}/{}/", pki::PUBLIC_PLACE);
    public.iter().filter_map(move |(parameter, text)| {
        Some((parameter.strip_prefix(&place)?.parse().ok()?, text.as_str()))
    })
}

fn seen(
    authority: &pki::Authority,
    cluster: &str,
    public: Option<&str>,
    has_key: Option<bool>,
) -> Observed {
    let attributes = public.map(|text| attributes(authority, cluster, text)).transpose();
    let ownership = match &attributes {
        Ok(_) => Ownership::Owned,
        Err(_) => Ownership::Foreign(Foreignness::Untagged),
    };
    let mut found = whole(authority, cluster);
    found.public_parameter = found.public_parameter.filter(|_| public.is_some());
    found.key_spec = found.key_spec.filter(|_| has_key != Some(false));
    let unread = has_key.is_none().then(|| KEY_FIELD.to_owned());
    Observed {
        resource: Resource::Authority(found),
        ownership,
        attributes: attributes.ok().flatten().unwrap_or_default(),
        digest: None,
        group: None,
        template: None,
        foreign_rules: BTreeSet::new(),
        unread: unread.into_iter().collect(),
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
