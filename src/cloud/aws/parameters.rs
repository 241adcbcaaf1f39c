//! Systems Manager's parameters: a cluster's authorities.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ssm::types::Parameter;

use super::AwsCloud;
use super::observe::Found;
use crate::cloud::{CloudError, CloudErrorKind, Query, authority};
use crate::pki::{Authority, PUBLIC_PLACE, Secret};
use crate::resource::{Key, Kind};

/// The biggest page, and the most names of one call.
/// Source: Systems Manager API reference, GetParametersByPath and GetParameters.
const PAGE: i32 = 10;
const NAMES: usize = 10;

/// Authorities by what is public of them, in one call for up to ten. A run that makes them also asks for
/// the keys of those that nobody was told of: a run that was killed in between leaves one behind.
pub(super) async fn read(cloud: &AwsCloud, query: &Query) -> Result<Vec<Found>, CloudError> {
    let public = public(cloud, &query.cluster).await?;
    let halves = if query.deep { halves(cloud, query, &public).await? } else { BTreeSet::new() };
    let found = authority::observed(&query.cluster, &public, &halves).into_iter();
    let found =
        found.map(|(name, observed)| Found { key: Key::new(Kind::Authority, name), observed });
    Ok(found.collect())
}

/// Everything below a cluster's public place.
pub(super) async fn public(
    cloud: &AwsCloud,
    cluster: &str,
) -> Result<BTreeMap<String, String>, CloudError> {
    let path = format!("/kprod/{cluster}/{PUBLIC_PLACE}");
    let call = cloud.ssm.get_parameters_by_path().path(path).recursive(true).max_results(PAGE);
    let page = |token| call.clone().set_next_token(token).send();
    let pages = cloud.pages("GetParametersByPath", page, |page| page.next_token()).await?;
    Ok(pages.iter().flat_map(|page| page.parameters()).filter_map(text).collect())
}

/// One parameter, decrypted.
pub(super) async fn secret(cloud: &AwsCloud, name: &str) -> Result<Option<Secret>, CloudError> {
    let call = cloud.ssm.get_parameter().name(name).with_decryption(true);
    match cloud.read("GetParameter", || call.clone().send()).await {
        Ok(answer) => {
            let value = answer.parameter.and_then(|parameter| parameter.value);
            Ok(value.map(Secret::new))
        }
        Err(error) if error.kind == CloudErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Wanted authorities of which nothing is public, and a key is there. It is not decrypted.
async fn halves(
    cloud: &AwsCloud,
    query: &Query,
    public: &BTreeMap<String, String>,
) -> Result<BTreeSet<Authority>, CloudError> {
    let cluster = &query.cluster;
    let wanted = query.keys.iter().filter_map(|key| authority::of_key(key, cluster));
    let untold: BTreeMap<String, Authority> = wanted
        .filter(|wanted| !public.contains_key(&wanted.public_parameter(cluster)))
        .map(|wanted| (wanted.secret_parameter(cluster), wanted))
        .collect();
    let names: Vec<&String> = untold.keys().collect();
    let mut halves = BTreeSet::new();
    for names in names.chunks(NAMES) {
        let names = names.iter().map(|name| (*name).clone()).collect();
        let call = cloud.ssm.get_parameters().set_names(Some(names)).with_decryption(false);
        let answer = cloud.read("GetParameters", || call.clone().send()).await?;
        let there = answer.parameters().iter().filter_map(Parameter::name);
        halves.extend(there.filter_map(|name| untold.get(name).cloned()));
    }
    Ok(halves)
}

fn text(parameter: &Parameter) -> Option<(String, String)> {
    Some((parameter.name()?.to_owned(), parameter.value()?.to_owned()))
}
