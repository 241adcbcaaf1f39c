//! From a spec and facts to the resources it asks for: pure, one builder a file, in the order in
//! which resources need each other.
//!
//! [`build`] wants a spec that was filled and checked. What is not there yet stands as a reference
//! ([`crate::resource::Ref`]). Names never depend on facts, so [`query`] knows every natural key
//! before the cloud was asked anything.

mod asset;
mod authority;
mod balancer;
mod dns;
mod draft;
mod epoch;
mod etcd;
mod group;
mod iam;
mod launch_template;
mod name;
mod node;
mod policy;
mod rules;
mod security;
mod storage;
mod tag;
mod user_data;

use std::collections::BTreeSet;

use crate::cloud::Query;
use crate::facts::{AdoptedNetwork, Facts};
use crate::finding::Finding;
use crate::resource::ResourceSet;
use crate::spec::{DnsType, Spec, SubnetSpec};
use draft::Draft;

pub use name::{balancer_names, role_names, target_group_names};

/// What a cluster wants to be there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// The resources by key; every reference points to one of them.
    pub resources: ResourceSet,
    /// What AWS would not take: names, tags and user data over its limits, names wanted twice.
    pub findings: Vec<Finding>,
}

/// Builds all resources of a filled and checked spec.
pub fn build(spec: &Spec, facts: &Facts) -> Desired {
    let mut draft = Draft::new(spec);
    name::check(spec, &mut draft);
    security::build(spec, &mut draft);
    rules::build(spec, &mut draft);
    iam::build(spec, &mut draft);
    balancer::build(spec, &mut draft);
    storage::build(spec, &mut draft);
    authority::build(spec, &mut draft);
    epoch::build(spec, &mut draft);
    asset::build(spec, &mut draft);
    launch_template::build(spec, facts, &mut draft);
    group::build(spec, &mut draft);
    dns::build(spec, facts, &mut draft);
    draft.finish()
}

/// What to observe for a spec: the facts it needs, and every resource it wants by natural key.
pub fn query(spec: &Spec) -> Query {
    let cluster = &spec.cluster.spec;
    Query {
        cluster: spec.name().to_owned(),
        region: cluster.region.clone().unwrap_or_default(),
        vpc_id: vpc_id(spec),
        subnet_ids: subnet_ids(&cluster.subnets).into_iter().collect(),
        public_zone: public_zone(spec).map(str::to_owned),
        config_base: spec.cluster.spec.config_base.clone(),
        image_ids: spec.groups.values().filter_map(|group| group.spec.image.clone()).collect(),
        keys: build(spec, &Facts::default()).resources.into_keys().collect::<BTreeSet<_>>(),
        deep: false,
        brief: false,
    }
}

/// The network that a spec expects to be there, for a simulated account to hold it.
pub fn adopted_network(spec: &Spec) -> AdoptedNetwork {
    let cluster = &spec.cluster.spec;
    let subnets = cluster
        .subnets
        .iter()
        .filter_map(|subnet| Some((subnet.id.clone()?, subnet.zone.clone(), subnet.cidr)));
    let more = cluster.additional_network_cidrs.iter().copied();
    AdoptedNetwork {
        vpc_id: vpc_id(spec),
        vpc_cidrs: cluster.network_cidr.into_iter().chain(more).collect(),
        subnets: subnets.collect(),
        public_zone: public_zone(spec).map(str::to_owned),
        cluster: spec.name().to_owned(),
    }
}

/// The VPC; empty only in a spec that failed its check.
fn vpc_id(spec: &Spec) -> String {
    spec.cluster.spec.network_id.clone().unwrap_or_default()
}

/// The zone of the public records, by name or id; none when the cluster has no such records.
fn public_zone(spec: &Spec) -> Option<&str> {
    spec.cluster.spec.dns_zone.as_deref().filter(|_| spec.dns_type() != DnsType::None)
}

/// Ids of subnets, in their order; those without one are left to the check.
fn subnet_ids<'a>(subnets: impl IntoIterator<Item = &'a SubnetSpec>) -> Vec<String> {
    subnets.into_iter().filter_map(|subnet| subnet.id.clone()).collect()
}

/// A count as AWS takes it. No count that passes the checks is out of range.
fn number(count: Option<u32>) -> i32 {
    count.map_or(0, |count| i32::try_from(count).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests;
