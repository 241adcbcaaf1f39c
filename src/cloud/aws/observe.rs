//! One look at everything: the services in parallel, then one observation.

use std::collections::{BTreeMap, BTreeSet};

use super::{AwsCloud, balancers, dns, ec2, groups, iam, templates};
use crate::cloud::{CloudError, Foreignness, Observation, Observed, Ownership, Query};
use crate::facts::{Facts, VpcFact};
use crate::resource::{Attribute, Key, Resource};

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

/// Reads the cluster's world. The services are asked at the same time; where several fail, the one
/// that says most comes first: who the credentials are.
pub(super) async fn observe(cloud: &AwsCloud, query: &Query) -> Result<Observation, CloudError> {
    let taken_at = jiff::Timestamp::now().to_string();
    let (account, network, groups, templates, balancers, dns, iam) = tokio::join!(
        account(cloud),
        ec2::read(cloud, query),
        groups::read(cloud, query),
        templates::read(cloud, query),
        balancers::read(cloud, query),
        dns::read(cloud, query),
        iam::read(cloud, query),
    );
    let (account, network, dns) = (account?, network?, dns?);
    let found = [groups?, templates?, balancers?, iam?, network.found, dns.found];

    let mut resources = BTreeMap::new();
    for found in found.into_iter().flatten() {
        keep(&mut resources, query, found);
    }
    // A VPC's own ranges would be one call more, and nothing is built from them.
    let vpc = network.subnets.values().find(|subnet| subnet.vpc_id == query.vpc_id);
    let vpc = vpc.map(|subnet| VpcFact { id: subnet.vpc_id.clone(), cidrs: Vec::new() });
    Ok(Observation {
        format_version: Observation::FORMAT_VERSION,
        cloud: "aws".to_owned(),
        taken_at,
        cluster: query.cluster.clone(),
        facts: Facts {
            account,
            region: cloud.region.clone(),
            vpc,
            subnets: network.subnets,
            public_zone: dns.public_zone,
        },
        resources,
    })
}

/// The account of the credentials.
async fn account(cloud: &AwsCloud) -> Result<String, CloudError> {
    let answer = cloud.sts.get_caller_identity().send().await;
    let identity = answer.map_err(|error| cloud.failed("GetCallerIdentity", error))?;
    Ok(identity.account().unwrap_or_default().to_owned())
}

/// Keeps what is ours, what kops made for a cluster of this name, and what has a wanted name.
/// Names that AWS does not keep unique (volumes, interfaces, zones) can come twice: ours wins, then
/// the one that came first. What has no name cannot be told apart from its like.
fn keep(resources: &mut BTreeMap<Key, Observed>, query: &Query, found: Found) {
    if found.key.name.is_empty() {
        return;
    }
    let wanted = query.keys.contains(&found.key);
    let concerns = match &found.observed.ownership {
        Ownership::Owned | Ownership::Foreign(Foreignness::Kops) => true,
        Ownership::Foreign(Foreignness::OtherCluster(_) | Foreignness::Untagged) => wanted,
    };
    if !concerns {
        return;
    }
    match resources.get(&found.key) {
        Some(known) if known.ownership.is_owned() || !found.observed.ownership.is_owned() => {}
        _ => {
            resources.insert(found.key, found.observed);
        }
    }
}
