//! One look at everything: the services in parallel, then one observation.

use std::collections::{BTreeMap, BTreeSet};

use super::{AwsCloud, assets, balancers, dns, ec2, epochs, groups, iam, parameters, templates};
use crate::cloud::{CloudError, Foreignness, Observation, Observed, Ownership, Query};
use crate::facts::Facts;
use crate::resource::{Attribute, Key, Kind, Resource};

/// One resource that was found, before it is known whether it concerns the cluster.
pub(super) struct Found {
    pub key: Key,
    pub observed: Observed,
}

impl Found {
    /// A found resource with nothing but itself; the rest is filled in where there is more.
    pub(super) fn new(name: &str, resource: Resource, ownership: Ownership) -> Self {
        Found {
            key: Key::new(resource.kind(), name),
            observed: Observed {
                resource,
                ownership,
                attributes: BTreeMap::new(),
                digest: None,
                group: None,
                template: None,
                foreign_rules: BTreeSet::new(),
                unread: BTreeSet::new(),
            },
        }
    }

    /// Adds what AWS decided, where it did.
    pub(super) fn attribute(mut self, attribute: Attribute, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.observed.attributes.insert(attribute, value.to_owned());
        }
        self
    }

    /// Adds the digest that the resource carries.
    pub(super) fn digest(mut self, digest: Option<String>) -> Self {
        self.observed.digest = digest;
        self
    }

    /// Names fields that were not read.
    pub(super) fn unread(mut self, fields: &[&str]) -> Self {
        self.observed.unread.extend(fields.iter().map(|field| (*field).to_owned()));
        self
    }
}

/// Reads the cluster's world, all services at the same time once it is known that the account is the
/// cluster's. Where several fail, the first in this order speaks for all.
pub(super) async fn observe(cloud: &AwsCloud, query: &Query) -> Result<Observation, CloudError> {
    let taken_at = cloud.clock.now().to_string();
    // IAM's answer tells the account as well, which saves asking for it.
    let roles = match cloud.knows_account().await? {
        true => None,
        false => Some(iam::read(cloud, query).await?),
    };
    if let Some(roles) = &roles {
        cloud.learn_account(roles.account.clone()).await?;
    }
    let account = cloud.account().await?.to_owned();
    let iam = async || match roles {
        Some(roles) => Ok(roles),
        None => iam::read(cloud, query).await,
    };
    let (iam, network, groups, templates, balancers, dns, authorities, epochs, assets) = tokio::join!(
        iam(),
        ec2::read(cloud, query),
        groups::read(cloud, query),
        templates::read(cloud, query),
        balancers::read(cloud, query),
        dns::read(cloud, query),
        parameters::read(cloud, query),
        epochs::read(cloud, query),
        assets::read(cloud, query),
    );
    let (iam, network) = (iam?, network?);
    let (groups, templates, balancers, dns) = (groups?, templates?, balancers?, dns?);
    let (authorities, epochs, assets) = (authorities?, epochs?, assets?);
    let images = templates::images(cloud, query, &templates).await?;
    let found = [
        iam.found,
        network.found,
        groups,
        templates,
        balancers,
        dns.found,
        authorities,
        epochs.found,
        assets,
    ];

    let mut resources = BTreeMap::new();
    for found in found.into_iter().flatten() {
        keep(&mut resources, query, found);
    }
    Ok(Observation {
        format_version: Observation::FORMAT_VERSION,
        cloud: "aws".to_owned(),
        taken_at,
        cluster: query.cluster.clone(),
        facts: Facts {
            account,
            region: cloud.region.clone(),
            vpc: network.vpc,
            subnets: network.subnets,
            public_zone: dns.public_zone,
            images,
        },
        resources,
        etcd_remains: epochs.remains,
    })
}

/// Reads the groups alone.
pub(super) async fn groups(
    cloud: &AwsCloud,
    query: &Query,
) -> Result<BTreeMap<Key, Observed>, CloudError> {
    let query = Query { deep: false, ..query.clone() };
    let mut resources = BTreeMap::new();
    for found in groups::read(cloud, &query).await? {
        keep(&mut resources, &query, found);
    }
    Ok(resources)
}

/// Keeps what is ours, what kops made for a cluster of this name, and what has a wanted name.
/// Names that AWS does not keep unique (volumes, interfaces, zones) can come twice: one of ours takes
/// the name, any other shows under the name and its id.
fn keep(resources: &mut BTreeMap<Key, Observed>, query: &Query, found: Found) {
    let Found { mut key, mut observed } = found;
    let concerns = match &observed.ownership {
        Ownership::Owned | Ownership::Foreign(Foreignness::Kops) => true,
        Ownership::Foreign(Foreignness::OtherCluster(_) | Foreignness::Untagged) => {
            query.keys.contains(&key) || observed.resource.kind() == Kind::DnsName
        }
    };
    if !concerns {
        return;
    }
    if let Some(first) = resources.get_mut(&key) {
        if observed.ownership.is_owned() && !first.ownership.is_owned() {
            std::mem::swap(first, &mut observed);
        }
        let id = observed.attributes.get(&Attribute::Id).map(String::as_str);
        key.name = format!("{}/{}", key.name, id.unwrap_or("another"));
    }
    resources.insert(key, observed);
}
