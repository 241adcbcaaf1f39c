//! Systems Manager's parameters: a cluster's authorities.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ssm::types::{Parameter, ParameterStringFilter};

use super::AwsCloud;
use super::error::unbuilt;
use super::observe::Found;
use crate::cloud::{CloudError, CloudErrorKind, Query, authority};
use crate::pki::{PUBLIC_PLACE, Secret};
use crate::resource::{Key, Kind};

/// The biggest page. Source: Systems Manager API reference, GetParametersByPath.
const PAGE: i32 = 10;
/// The most values of a filter. Source: Systems Manager API reference, ParameterStringFilter.
const NAMES: usize = 50;

/// Authorities by what is public of them, in one call for up to ten. A deep look also asks whether their
/// keys are there: one that is gone can sign nothing, and a run that was killed leaves one behind that
/// nobody was told of.
pub(super) async fn read(cloud: &AwsCloud, query: &Query) -> Result<Vec<Found>, CloudError> {
    let public = public(cloud, &query.cluster).await?;
    let keys = if query.deep {
        let secrets = authority::secrets(query, &public);
        let there = there(cloud, &secrets.keys().cloned().collect()).await?;
        Some(there.iter().filter_map(|name| secrets.get(name).cloned()).collect())
    } else {
        None
    };
    let found = authority::observed(&query.cluster, &public, keys.as_ref()).into_iter();
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

/// Which of these parameters there are. What they hold is not asked for, so that whoever may only look
/// needs no leave to read a key.
pub(super) async fn there(
    cloud: &AwsCloud,
    names: &BTreeSet<String>,
) -> Result<BTreeSet<String>, CloudError> {
    let operation = "DescribeParameters";
    let names: Vec<&String> = names.iter().collect();
    let mut there = BTreeSet::new();
    for names in names.chunks(NAMES) {
        let values = names.iter().map(|name| (*name).clone()).collect();
        let filter = ParameterStringFilter::builder().key("Name").set_values(Some(values)).build();
        let filter = filter.map_err(|error| unbuilt(operation, &error))?;
        let call = cloud.ssm.describe_parameters().parameter_filters(filter);
        let page = |token| call.clone().set_next_token(token).send();
        let pages = cloud.pages(operation, page, |page| page.next_token()).await?;
        let found = pages.iter().flat_map(|page| page.parameters());
        there.extend(found.filter_map(|parameter| parameter.name().map(str::to_owned)));
    }
    Ok(there)
}

fn text(parameter: &Parameter) -> Option<(String, String)> {
    Some((parameter.name()?.to_owned(), parameter.value()?.to_owned()))
}
