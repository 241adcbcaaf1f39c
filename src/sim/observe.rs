//! What a run can see: the world as its reads tell it, lag included.
//!
//! Resources are found by the owner's tag, by kops' tag, and by the natural keys of the query. What
//! only a tag finds is read as old as tag-filtered reads are; what is asked for by name is fresher.
//! The tags that engines keep for themselves (digest, version, target, failed revision) are left out
//! of `tags` and told by the fields made for them.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::Time;
use super::fault::Verdict;
use super::lag::Shelf;
use super::{StoredGroup, StoredSecurityGroup, StoredTemplate, StoredZone, World};
use crate::cloud::{
    CloudError, Foreignness, GroupFacts, Instance, Observation, Observed, Ownership, Query,
    TemplateFacts, VersionFacts,
};
use crate::facts::{Facts, ImageFact, SubnetFact, VpcFact, ZoneFact};
use crate::resource::{
    Attribute, AutoScalingGroup, DIGEST_TAG, DnsName, FAILED_TAG, HostedZone, KOPS_CLUSTER_TAG,
    Key, Kind, LaunchTemplate, Listener, OWNER_TAG, Ref, Resource, SecurityGroupRules, TARGET_TAG,
    Tags, VERSION_TAG,
};

/// Tags that are told elsewhere in an observation.
const ENGINE_TAGS: [&str; 4] = [DIGEST_TAG, VERSION_TAG, TARGET_TAG, FAILED_TAG];

/// One look at the world.
struct Look<'a> {
    world: &'a World,
    query: &'a Query,
    now: Time,
    found: BTreeMap<Key, Observed>,
}

impl World {
    /// Reads a cluster's world.
    ///
    /// # Errors
    /// When the fault plan says so.
    pub fn observe(&mut self, query: &Query) -> Result<Observation, CloudError> {
        self.pass_call_time();
        let verdict = self.read_verdict();
        if let Verdict::Fault(fault) = verdict {
            let refused = fault.refused();
            self.record("Observe", false, &refused.code);
            return Err(refused.into_error("Observe"));
        }
        self.settle();
        let mut look = Look { world: self, query, now: self.now, found: BTreeMap::new() };
        look.security_groups();
        look.iam();
        look.balancers();
        look.zones();
        look.storage();
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
        };
        self.record_reads(query, &observation);
        Ok(observation)
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

    fn public_zone_of(&self, query: &Query) -> Option<&StoredZone> {
        query.public_zone.as_deref().and_then(|zone| self.find_public_zone(zone))
    }

    /// Logs the reads that such an observation costs on AWS: listings by the page, and what AWS
    /// gives only one by one.
    fn record_reads(&mut self, query: &Query, observation: &Observation) {
        let count = |kind: Kind| observation.resources.keys().filter(|k| k.kind == kind).count();
        let pages = |count: usize, page: usize| count.div_ceil(page).max(1);
        let mut reads: Vec<(&str, usize)> = vec![
            ("DescribeSubnets", 1),
            ("DescribeVpcs", 1),
            ("DescribeImages", usize::from(!query.image_ids.is_empty())),
            ("DescribeSecurityGroups", pages(count(Kind::SecurityGroup), 1000)),
            ("DescribeVolumes", pages(count(Kind::Volume), 500)),
            ("DescribeNetworkInterfaces", pages(count(Kind::NetworkInterface), 1000)),
            ("DescribeLaunchTemplates", pages(count(Kind::LaunchTemplate), 200)),
            ("DescribeAutoScalingGroups", pages(count(Kind::AutoScalingGroup), 100)),
            ("DescribeLoadBalancers", 1),
            ("DescribeTargetGroups", 1),
            ("DescribeListeners", count(Kind::LoadBalancer)),
            ("ListHostedZonesByName", 1),
            ("ListResourceRecordSets", count(Kind::HostedZone)),
            ("GetRole", count(Kind::Role)),
            ("GetInstanceProfile", count(Kind::InstanceProfile)),
        ];
        if observation.facts.public_zone.is_some() {
            reads.push(("ListResourceRecordSets", 1));
        }
        if query.deep {
            reads.push(("DescribeLifecycleHooks", count(Kind::AutoScalingGroup)));
        }
        for (operation, times) in reads {
            for _ in 0..times {
                self.record(operation, false, "ok");
            }
        }
    }
}

impl Look<'_> {
    /// Objects of a shelf that this look finds: wanted by name, or carrying one of the two tags.
    fn find<'s, T: Clone>(
        &self,
        shelf: &'s Shelf<T>,
        is_wanted: impl Fn(&T) -> bool,
        tags: impl Fn(&T) -> Tags,
    ) -> Vec<&'s T> {
        let by_key = |id: &String| shelf.by_key(id, self.now).filter(|value| is_wanted(value));
        let by_tag = |id: &String| {
            shelf.by_tag(id, self.now).filter(|value| self.is_of_cluster(&tags(value)))
        };
        shelf.ids().filter_map(|id| by_key(id).or_else(|| by_tag(id))).collect()
    }

    fn is_of_cluster(&self, tags: &Tags) -> bool {
        let is_ours = |key: &str| tags.get(key).is_some_and(|name| *name == self.query.cluster);
        is_ours(OWNER_TAG) || is_ours(KOPS_CLUSTER_TAG)
    }

    fn wants(&self, kind: Kind, name: &str) -> bool {
        self.query.keys.contains(&Key::new(kind, name))
    }

    fn ownership(&self, tags: &Tags) -> Ownership {
        Ownership::of(tags, &self.query.cluster)
    }

    /// Adds a resource. Two that AWS allows under one name (volumes, interfaces) both show: the
    /// second under the name and its id.
    fn add(&mut self, name: &str, observed: Observed) {
        let kind = observed.resource.kind();
        let mut key = Key::new(kind, name);
        if self.found.contains_key(&key)
            && let Some(id) = observed.attributes.get(&Attribute::Id)
        {
            key = Key::new(kind, format!("{name}/{id}"));
        }
        self.found.insert(key, observed);
    }

    fn security_groups(&mut self) {
        let world = self.world;
        let vpc_id = &self.query.vpc_id;
        let is_wanted = |known: &StoredSecurityGroup| {
            known.group.vpc_id == *vpc_id
                && (self.wants(Kind::SecurityGroup, &known.group.group_name)
                    || self.wants(Kind::SecurityGroupRules, &known.group.group_name))
        };
        let found = self.find(&world.security_groups, is_wanted, |known| known.group.tags.clone());
        for known in found.into_iter().filter(|known| known.group.vpc_id == *vpc_id) {
            let tags = &known.group.tags;
            let mut group = known.group.clone();
            group.tags = shown(tags);
            let name = group.group_name.clone();
            let ownership = self.ownership(tags);
            let attributes = BTreeMap::from([(Attribute::Id, known.group_id.clone())]);
            self.add_rules(&name, known, ownership.clone());
            let resource = Resource::SecurityGroup(group);
            self.add(&name, observed(resource, ownership, attributes, digest_of(tags)));
        }
    }

    /// Our rules of a group exist as a resource once there is one of them, and show when wanted.
    fn add_rules(&mut self, name: &str, known: &StoredSecurityGroup, ownership: Ownership) {
        let mark = SecurityGroupRules::owner_description(&self.query.cluster);
        let (ours, others): (Vec<_>, Vec<_>) =
            known.rules.iter().partition(|(_, description)| *description == mark);
        if ours.is_empty() && !self.wants(Kind::SecurityGroupRules, name) {
            return;
        }
        let group_id = Ref::Known(known.group_id.clone());
        let rules = ours.into_iter().map(|(rule, _)| rule.clone()).collect();
        let resource = Resource::SecurityGroupRules(SecurityGroupRules { group_id, rules });
        let mut observed = observed(resource, ownership, BTreeMap::new(), None);
        observed.foreign_rules = others.into_iter().map(|(rule, _)| rule.clone()).collect();
        self.add(name, observed);
    }

    fn iam(&mut self) {
        let world = self.world;
        let is_wanted = |role: &crate::resource::Role| self.wants(Kind::Role, &role.role_name);
        for role in self.find(&world.roles, is_wanted, |role| role.tags.clone()) {
            let name = role.role_name.clone();
            let attributes = BTreeMap::from([(Attribute::Arn, world.role_arn(&name))]);
            let (ownership, digest) = (self.ownership(&role.tags), digest_of(&role.tags));
            let role = crate::resource::Role { tags: shown(&role.tags), ..role.clone() };
            self.add(&name, observed(Resource::Role(role), ownership, attributes, digest));
        }
        let is_wanted = |profile: &crate::resource::InstanceProfile| {
            self.wants(Kind::InstanceProfile, &profile.instance_profile_name)
        };
        for profile in self.find(&world.profiles, is_wanted, |profile| profile.tags.clone()) {
            let name = profile.instance_profile_name.clone();
            let attributes = BTreeMap::from([(Attribute::Arn, world.profile_arn(&name))]);
            let (ownership, digest) = (self.ownership(&profile.tags), digest_of(&profile.tags));
            let mut profile = profile.clone();
            profile.tags = shown(&profile.tags);
            let resource = Resource::InstanceProfile(profile);
            self.add(&name, observed(resource, ownership, attributes, digest));
        }
    }

    fn balancers(&mut self) {
        let world = self.world;
        let is_wanted =
            |known: &super::StoredBalancer| self.wants(Kind::LoadBalancer, &known.balancer.name);
        for known in self.find(&world.balancers, is_wanted, |known| known.balancer.tags.clone()) {
            let mut balancer = known.balancer.clone();
            let (ownership, digest) = (self.ownership(&balancer.tags), digest_of(&balancer.tags));
            self.add_listeners(&known.arn, &balancer.name, &ownership);
            balancer.tags = shown(&balancer.tags);
            let name = balancer.name.clone();
            let attributes = BTreeMap::from([
                (Attribute::Arn, known.arn.clone()),
                (Attribute::DnsName, known.dns_name.clone()),
                (Attribute::CanonicalHostedZoneId, known.canonical_hosted_zone_id.clone()),
            ]);
            let resource = Resource::LoadBalancer(balancer);
            self.add(&name, observed(resource, ownership, attributes, digest));
        }
        let is_wanted = |known: &super::StoredTargetGroup| {
            self.wants(Kind::TargetGroup, &known.target_group.name)
        };
        let tags = |known: &super::StoredTargetGroup| known.target_group.tags.clone();
        for known in self.find(&world.target_groups, is_wanted, tags) {
            let mut target_group = known.target_group.clone();
            let (ownership, digest) =
                (self.ownership(&target_group.tags), digest_of(&target_group.tags));
            target_group.tags = shown(&target_group.tags);
            let name = target_group.name.clone();
            let attributes = BTreeMap::from([(Attribute::Arn, known.arn.clone())]);
            let resource = Resource::TargetGroup(target_group);
            self.add(&name, observed(resource, ownership, attributes, digest));
        }
    }

    /// Listeners belong to their load balancer, and are read by its ARN.
    fn add_listeners(&mut self, balancer_arn: &str, balancer_name: &str, ownership: &Ownership) {
        let world = self.world;
        for id in world.listeners.ids() {
            let Some(known) = world.listeners.by_key(id, self.now) else { continue };
            if known.listener.load_balancer_arn.known() != Some(balancer_arn) {
                continue;
            }
            let name = Listener::name_of(balancer_name, known.listener.port);
            let attributes = BTreeMap::from([(Attribute::Arn, known.arn.clone())]);
            let resource = Resource::Listener(known.listener.clone());
            self.add(&name, observed(resource, ownership.clone(), attributes, None));
        }
    }

    fn zones(&mut self) {
        let world = self.world;
        let vpc_id = self.query.vpc_id.as_str();
        let is_wanted = |zone: &StoredZone| self.wants(Kind::HostedZone, &zone.name);
        let mut zones = self.find(&world.zones, is_wanted, owner_tags);
        zones.retain(|zone| zone.vpc_id.as_deref() == Some(vpc_id));
        for zone in &zones {
            let tags = owner_tags(zone);
            let resource = Resource::HostedZone(HostedZone {
                name: zone.name.clone(),
                vpc_id: vpc_id.to_owned(),
                comment: zone.comment.clone(),
                tags: shown(&zone.tags),
            });
            let attributes = BTreeMap::from([(Attribute::Id, zone.id.clone())]);
            let ownership = self.ownership(&tags);
            self.add(&zone.name, observed(resource, ownership, attributes, digest_of(&tags)));
        }
        // A name stands in one of the cluster's own zones or in the public one; own zones win.
        for zone in zones {
            self.names(zone, true);
        }
        if let Some(public) = world.public_zone_of(self.query)
            && let Some(public) = world.zones.by_key(&public.id, self.now)
        {
            self.names(public, false);
        }
    }

    /// Names of a zone: those with our owner record, those that are wanted, and in a private zone of
    /// the cluster all others too, since they keep the zone from going.
    fn names(&mut self, zone: &StoredZone, is_own: bool) {
        let owners = zone
            .records
            .keys()
            .filter_map(|name| name.strip_prefix(&DnsName::owner_record("")))
            .filter(|name| owner_of_name(zone, name).is_some());
        let plain =
            zone.records.keys().map(String::as_str).filter(|name| !is_owner_record(zone, name));
        let names: BTreeSet<&str> = owners.chain(plain).collect();
        for name in names {
            let owner = owner_of_name(zone, name);
            let is_ours = owner == Some(self.query.cluster.as_str());
            let key = Key::new(Kind::DnsName, name);
            let is_wanted = is_own || is_ours || self.query.keys.contains(&key);
            if !is_wanted || self.found.contains_key(&key) {
                continue;
            }
            let ownership = match owner {
                _ if is_ours => Ownership::Owned,
                Some(other) => Ownership::Foreign(Foreignness::OtherCluster(other.to_owned())),
                None => Ownership::Foreign(Foreignness::Untagged),
            };
            let resource = Resource::DnsName(DnsName {
                hosted_zone_id: Ref::Known(zone.id.clone()),
                name: name.to_owned(),
                record_sets: zone.records.get(name).cloned().unwrap_or_default(),
                owner: owner.unwrap_or_default().to_owned(),
            });
            self.add(name, observed(resource, ownership, BTreeMap::new(), None));
        }
    }

    /// Volumes and interfaces have no name but a tag, so every read of them lags as tags do.
    fn storage(&mut self) {
        let world = self.world;
        for id in world.volumes.ids() {
            let Some(known) = world.volumes.by_tag(id, self.now) else { continue };
            let tags = &known.volume.tags;
            let name = tags.get("Name").cloned().unwrap_or_else(|| id.clone());
            if self.is_of_cluster(tags) || self.wants(Kind::Volume, &name) {
                let volume = crate::resource::Volume { tags: shown(tags), ..known.volume.clone() };
                let attributes = BTreeMap::from([(Attribute::Id, id.clone())]);
                let (ownership, digest) = (self.ownership(tags), digest_of(tags));
                self.add(&name, observed(Resource::Volume(volume), ownership, attributes, digest));
            }
        }
        for id in world.interfaces.ids() {
            let Some(known) = world.interfaces.by_tag(id, self.now) else { continue };
            let tags = &known.interface.tags;
            let name = tags.get("Name").cloned().unwrap_or_else(|| id.clone());
            if self.is_of_cluster(tags) || self.wants(Kind::NetworkInterface, &name) {
                let mut interface = known.interface.clone();
                interface.tags = shown(tags);
                let attributes = BTreeMap::from([
                    (Attribute::Id, id.clone()),
                    (Attribute::PrivateIpAddress, known.private_ip_address.clone()),
                ]);
                let (ownership, digest) = (self.ownership(tags), digest_of(tags));
                let resource = Resource::NetworkInterface(interface);
                self.add(&name, observed(resource, ownership, attributes, digest));
            }
        }
    }

    fn templates(&mut self) {
        let world = self.world;
        let is_wanted = |known: &StoredTemplate| self.wants(Kind::LaunchTemplate, &known.name);
        for known in self.find(&world.templates, is_wanted, |known| known.tags.clone()) {
            let wanted = known.tags.get(VERSION_TAG).and_then(|text| parse_version_tag(text));
            let latest_version = known.latest();
            let marked = wanted.as_ref().map_or(latest_version, |(number, ..)| *number);
            let version =
                known.versions.get(&marked).or_else(|| known.versions.get(&latest_version));
            let Some(version) = version else { continue };
            let mut attributes = BTreeMap::from([(Attribute::Id, known.id.clone())]);
            if let Some((number, revision, _)) = &wanted {
                attributes.insert(Attribute::Target, format!("{number}:{revision}"));
            }
            let resource = Resource::LaunchTemplate(LaunchTemplate {
                launch_template_name: known.name.clone(),
                launch_template_data: version.data.clone(),
                tags: shown(&known.tags),
            });
            let ownership = self.ownership(&known.tags);
            let mut observed = observed(resource, ownership, attributes, digest_of(&known.tags));
            let versions: BTreeMap<u64, VersionFacts> = BTreeMap::new();
            observed.template = Some(TemplateFacts { latest_version, wanted, versions });
            // As on AWS, where content takes a call for each template.
            observed.unread.insert("launch_template_data".to_owned());
            self.add(&known.name, observed);
        }
    }

    fn groups(&mut self) {
        let world = self.world;
        let is_wanted = |known: &StoredGroup| {
            self.wants(Kind::AutoScalingGroup, &known.group.auto_scaling_group_name)
        };
        for known in self.find(&world.groups, is_wanted, group_tags) {
            let tags = group_tags(known);
            let name = known.group.auto_scaling_group_name.clone();
            let mut group: AutoScalingGroup = known.group.clone();
            group.target = Ref::Known(tags.get(TARGET_TAG).cloned().unwrap_or_default());
            group.tags.retain(|key, _| !ENGINE_TAGS.contains(&key.as_str()));
            let arn = format!(
                "arn:aws:autoscaling:{}:{}:autoScalingGroup:autoScalingGroupName/{name}",
                world.region, world.account
            );
            let attributes = BTreeMap::from([(Attribute::Arn, arn)]);
            let resource = Resource::AutoScalingGroup(group);
            let ownership = self.ownership(&tags);
            let mut observed = observed(resource, ownership, attributes, digest_of(&tags));
            observed.group = Some(world.group_facts(known, &tags));
            if !self.query.deep {
                observed.unread.insert("lifecycle_hooks".to_owned());
            }
            self.add(&name, observed);
        }
    }
}

impl World {
    fn group_facts(&self, known: &StoredGroup, tags: &Tags) -> GroupFacts {
        let name = &known.group.auto_scaling_group_name;
        let instances: Vec<Instance> = self
            .members(name)
            .map(|machine| Instance {
                instance_id: machine.instance_id.clone(),
                availability_zone: machine.availability_zone.clone(),
                instance_type: machine.instance_type.clone(),
                lifecycle_state: machine.lifecycle.as_str().to_owned(),
                health_status: "Healthy".to_owned(),
                launch_template_version: Some(machine.version),
                protected_from_scale_in: machine.is_protected,
            })
            .collect();
        let serving = instances.iter().filter(|i| i.lifecycle_state == "InService").count();
        let is_short =
            i64::try_from(serving).unwrap_or(i64::MAX) < i64::from(known.desired_capacity);
        let failed = self.works.get(name).and_then(|work| {
            work.activities.iter().rev().find(|activity| activity.status == "Failed")
        });
        GroupFacts {
            desired_capacity: known.desired_capacity,
            pin: Some(known.version),
            failed_revision: tags.get(FAILED_TAG).cloned(),
            instances,
            failed_activity: failed.filter(|_| is_short).map(|activity| activity.message.clone()),
        }
    }
}

fn observed(
    resource: Resource,
    ownership: Ownership,
    attributes: BTreeMap<Attribute, String>,
    digest: Option<String>,
) -> Observed {
    Observed {
        resource,
        ownership,
        attributes,
        digest,
        group: None,
        template: None,
        foreign_rules: BTreeSet::new(),
        unread: BTreeSet::new(),
    }
}

fn shown(tags: &Tags) -> Tags {
    let is_shown = |(key, _): &(&String, &String)| !ENGINE_TAGS.contains(&key.as_str());
    tags.iter().filter(is_shown).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn digest_of(tags: &Tags) -> Option<String> {
    tags.get(DIGEST_TAG).cloned()
}

fn group_tags(known: &StoredGroup) -> Tags {
    known.group.tags.iter().map(|(key, tag)| (key.clone(), tag.value.clone())).collect()
}

/// A zone's tags, and the owner that its caller reference names until it is tagged.
fn owner_tags(zone: &StoredZone) -> Tags {
    let mut tags = zone.tags.clone();
    if let Some(owner) = HostedZone::owner_of(&zone.caller_reference) {
        tags.entry(OWNER_TAG.to_owned()).or_insert_with(|| owner.to_owned());
    }
    tags
}

/// The cluster that a name's owner record names.
fn owner_of_name<'z>(zone: &'z StoredZone, name: &str) -> Option<&'z str> {
    DnsName::owner_of(zone.records.get(&DnsName::owner_record(name))?.get("TXT")?)
}

fn is_owner_record(zone: &StoredZone, name: &str) -> bool {
    name.strip_prefix(&DnsName::owner_record(""))
        .is_some_and(|of| owner_of_name(zone, of).is_some())
}

/// `<version>:<revision>:<content digest>`.
fn parse_version_tag(text: &str) -> Option<(u64, String, String)> {
    let mut parts = text.split(':');
    let wanted = (parts.next()?.parse().ok()?, parts.next()?.to_owned(), parts.next()?.to_owned());
    parts.next().is_none().then_some(wanted)
}
