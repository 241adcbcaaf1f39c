//! What a run can see: the world as its reads tell it, lag included.
//!
//! Resources are found by the owner's tag, by kops' tag, and by the natural keys of the query. What
//! only a tag finds is read as old as tag-filtered reads are; what is asked for by name is fresher.
//! The tags that engines keep for themselves (digest, version, target, failed revision) are left out
//! of `tags` and told by the fields made for them.

use std::collections::BTreeMap;

use super::look::Look;
use super::{Machine, Power, StoredZone, World, parameter};
use crate::cloud::{CloudError, Observation, Observed, Query, TaggedInstance, asset, epoch};
use crate::facts::{Facts, ImageFact, SubnetFact, VpcFact, ZoneFact};
use crate::resource::{Key, Kind, OWN_TAG_PREFIX, OWNER_TAG};

impl World {
    /// Reads a cluster's world.
    ///
    /// # Errors
    /// When the fault plan says so.
    pub fn observe(&mut self, query: &Query) -> Result<Observation, CloudError> {
        self.begin_read("Observe")?;
        self.settle();
        let etcd_remains = self.etcd_remains(query);
        let mut look = Look { world: self, query, now: self.now, found: BTreeMap::new() };
        look.security_groups();
        look.iam();
        look.balancers();
        look.zones();
        look.storage();
        look.authorities();
        look.epochs()?;
        look.assets();
        look.templates();
        look.groups();
        let resources = look.found;
        let observation = Observation {
            format_version: Observation::FORMAT_VERSION,
            cloud: "sim".to_owned(),
            taken_at: self.now.timestamp().to_string(),
            cluster: query.cluster.clone(),
            facts: self.facts(query),
            resources,
            etcd_remains,
        };
        self.record_reads(query, &observation);
        Ok(observation)
    }

    /// Reads the instances that carry a cluster's owner tag, in a group or not.
    ///
    /// # Errors
    /// When the fault plan says so.
    pub fn tagged_instances(&mut self, cluster: &str) -> Result<Vec<TaggedInstance>, CloudError> {
        self.begin_read("DescribeInstances")?;
        self.settle();
        self.record("DescribeInstances", false, "ok");
        let owned = |machine: &&Machine| machine.tags.get(OWNER_TAG).is_some_and(|c| c == cluster);
        let ours = |(key, _): &(&String, &String)| key.starts_with(OWN_TAG_PREFIX);
        let told = |machine: &Machine| TaggedInstance {
            instance_id: machine.instance_id.clone(),
            group: machine.group.clone(),
            availability_zone: machine.availability_zone.clone(),
            state: machine.power.as_str().to_owned(),
            instance_type: machine.instance_type.clone(),
            launched_at: Some(machine.launched_at.timestamp()),
            is_spot: machine.is_spot,
            version: Some(machine.version),
            tags: machine.tags.iter().filter(ours).map(|(k, v)| (k.clone(), v.clone())).collect(),
        };
        let alive = |machine: &&Machine| machine.power != Power::Terminated;
        Ok(self.machines_tagged().filter(owned).filter(alive).map(told).collect())
    }

    /// Reads the groups alone, with nothing that costs a call each.
    ///
    /// # Errors
    /// When the fault plan says so.
    pub fn observe_groups(&mut self, query: &Query) -> Result<BTreeMap<Key, Observed>, CloudError> {
        self.begin_read("DescribeAutoScalingGroups")?;
        self.settle();
        let shallow = query.deep.then(|| Query { deep: false, ..query.clone() });
        let query = shallow.as_ref().unwrap_or(query);
        let mut look = Look { world: self, query, now: self.now, found: BTreeMap::new() };
        look.groups();
        let found = look.found;
        self.record_group_reads(query, &found);
        Ok(found)
    }

    /// Logs what it costs to read the groups: listings by the page, and for each that is short of
    /// machines its activities.
    fn record_group_reads(&mut self, query: &Query, found: &BTreeMap<Key, Observed>) {
        const PAGE: usize = 100;
        let groups: Vec<&Key> =
            found.keys().filter(|key| key.kind == Kind::AutoScalingGroup).collect();
        let is_short = |key: &Key| {
            !query.brief && self.groups.get(&key.name).is_some_and(|g| self.is_short(g))
        };
        let short = groups.iter().filter(|key| is_short(key)).count();
        for _ in 0..groups.len().div_ceil(PAGE).max(1) {
            self.record("DescribeAutoScalingGroups", false, "ok");
        }
        for _ in 0..short {
            self.record("DescribeScalingActivities", false, "ok");
        }
    }

    fn facts(&self, query: &Query) -> Facts {
        let subnet_fact = |id: &String| {
            let subnet = self.subnets.get(id)?;
            let fact = SubnetFact {
                id: subnet.subnet_id.clone(),
                zone: subnet.availability_zone.clone(),
                cidr: subnet.cidr,
                vpc_id: subnet.vpc_id.clone(),
            };
            Some((id.clone(), fact))
        };
        let vpc_fact =
            |vpc: &super::Vpc| VpcFact { id: vpc.vpc_id.clone(), cidrs: vpc.cidrs.clone() };
        Facts {
            account: self.account.clone(),
            region: self.region.clone(),
            vpc: self.vpcs.get(&query.vpc_id).map(vpc_fact),
            subnets: query.subnet_ids.iter().filter_map(subnet_fact).collect(),
            public_zone: self
                .public_zone_of(query)
                .map(|zone| ZoneFact { id: zone.id.clone(), name: zone.name.clone() }),
            images: query.image_ids.iter().filter_map(|id| self.image_fact(id)).collect(),
        }
    }

    /// Every well-formed image id is that of an image, unless the fault plan lacks it.
    fn image_fact(&self, id: &str) -> Option<(String, ImageFact)> {
        self.check_image(id).ok()?;
        Some((id.to_owned(), ImageFact { root_device_name: "/dev/xvda".to_owned() }))
    }

    pub(super) fn public_zone_of(&self, query: &Query) -> Option<&StoredZone> {
        query.public_zone.as_deref().and_then(|zone| self.find_public_zone(zone))
    }

    /// Logs the reads that such an observation costs on AWS: listings by the page, and what AWS
    /// tells only one by one. Subnets, VPC and images are told apart from what a cluster owns.
    fn record_reads(&mut self, query: &Query, observation: &Observation) {
        let public = self.public_of(&query.cluster);
        let keys = parameter::calls_for_keys(query, &public);
        let count = |kind: Kind| observation.resources.keys().filter(|k| k.kind == kind).count();
        let pages = |count: usize, page: usize| count.div_ceil(page).max(1);
        let balanced = count(Kind::LoadBalancer) + count(Kind::TargetGroup);
        let zones = count(Kind::HostedZone);
        let mut reads: Vec<(&str, usize)> = vec![
            ("DescribeSubnets", usize::from(!query.subnet_ids.is_empty())),
            ("DescribeVpcs", 1),
            ("DescribeImages", usize::from(!query.image_ids.is_empty())),
            ("DescribeSecurityGroups", pages(count(Kind::SecurityGroup), 1000)),
            ("DescribeVolumes", pages(count(Kind::Volume), 500)),
            ("DescribeNetworkInterfaces", pages(count(Kind::NetworkInterface), 500)),
            ("DescribeLaunchTemplates", pages(count(Kind::LaunchTemplate), 200)),
            ("GetAccountAuthorizationDetails", pages(count(Kind::Role), 1000)),
            ("DescribeLoadBalancers", 1),
            ("DescribeTargetGroups", 1),
            ("DescribeTags", balanced.div_ceil(20)),
            ("DescribeListeners", count(Kind::LoadBalancer)),
            ("GetParametersByPath", parameter::pages(public.len())),
            ("DescribeParameters", if query.deep { keys } else { 0 }),
            ("GetObject", epoch::wanted(query).len()),
            ("ListObjectsV2", usize::from(asset::is_asked(query))),
            ("ListHostedZones", 1),
            (
                "ListResourceRecordSets",
                zones + usize::from(observation.facts.public_zone.is_some()),
            ),
        ];
        if query.deep {
            reads.extend([
                ("DescribeLifecycleHooks", count(Kind::AutoScalingGroup)),
                ("DescribeLoadBalancerAttributes", count(Kind::LoadBalancer)),
                ("DescribeTargetGroupAttributes", count(Kind::TargetGroup)),
                ("ListTagsForResource", zones),
                ("GetHostedZone", zones),
            ]);
        }
        self.record_group_reads(query, &observation.resources);
        for (operation, times) in reads {
            for _ in 0..times {
                self.record(operation, false, "ok");
            }
        }
    }
}
