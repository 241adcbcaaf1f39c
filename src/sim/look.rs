//! What one look at the world finds, kind by kind, as the AWS adapter would: fields that would cost
//! a call of their own are left unread unless the query is deep.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::Time;
use super::lag::Shelf;
use super::{
    Activity, Lifecycle, Machine, StoredBalancer, StoredGroup, StoredSecurityGroup,
    StoredTargetGroup, StoredTemplate, StoredZone, World,
};
use crate::cloud::shortfall::{abandoned_launches, failed_launch};
use crate::cloud::{
    Foreignness, GroupFacts, Instance, Observed, Ownership, Query, TemplateFacts, VersionFacts,
};
use crate::resource::{
    Attribute, AutoScalingGroup, DIGEST_TAG, DnsName, FAILED_TAG, HostedZone, InstanceProfile,
    KOPS_CLUSTER_TAG, Key, Kind, LaunchTemplate, Listener, LoadBalancer, OWNER_TAG, ROLL_TAG, Ref,
    Resource, Role, SecurityGroupRules, TARGET_TAG, Tags, TargetGroup, VERSION_TAG, Volume,
};

/// Tags that are told elsewhere in an observation.
const ENGINE_TAGS: [&str; 5] = [DIGEST_TAG, VERSION_TAG, TARGET_TAG, FAILED_TAG, ROLL_TAG];

/// Fields of a load balancer that are attributes, and cost a call each.
const LOAD_BALANCER_ATTRIBUTES: [&str; 2] = ["cross_zone_enabled", "deletion_protection_enabled"];

/// The same of a target group.
const TARGET_GROUP_ATTRIBUTES: [&str; 3] = [
    "deregistration_delay_seconds",
    "connection_termination_enabled",
    "preserve_client_ip_enabled",
];

/// One look at the world.
pub(super) struct Look<'a> {
    pub(super) world: &'a World,
    pub(super) query: &'a Query,
    pub(super) now: Time,
    pub(super) found: BTreeMap<Key, Observed>,
}

impl Look<'_> {
    /// Objects of a shelf that this look finds: wanted by name, or carrying one of the two tags.
    fn find<'s, T: Clone>(
        &self,
        shelf: &'s Shelf<T>,
        is_wanted: impl Fn(&T) -> bool,
        is_ours: impl Fn(&T) -> bool,
    ) -> Vec<&'s T> {
        let by_key = |id: &String| shelf.by_key(id, self.now).filter(|value| is_wanted(value));
        let by_tag = |id: &String| shelf.by_tag(id, self.now).filter(|value| is_ours(value));
        shelf.ids().filter_map(|id| by_key(id).or_else(|| by_tag(id))).collect()
    }

    fn is_of_cluster(&self, tags: &Tags) -> bool {
        self.names_cluster(|key| tags.get(key))
    }

    fn names_cluster<'t>(&self, tag: impl Fn(&str) -> Option<&'t String>) -> bool {
        let is_ours = |key: &str| tag(key).is_some_and(|name| *name == self.query.cluster);
        is_ours(OWNER_TAG) || is_ours(KOPS_CLUSTER_TAG)
    }

    pub(super) fn wants(&self, kind: Kind, name: &str) -> bool {
        self.query.keys.contains(&Key::new(kind, name))
    }

    fn ownership(&self, tags: &Tags) -> Ownership {
        Ownership::of(tags, &self.query.cluster)
    }

    /// Adds a resource. Names that AWS does not keep unique (volumes, interfaces, zones) can come
    /// twice: one of ours takes the name, any other shows under the name and its id.
    pub(super) fn add(&mut self, name: &str, mut observed: Observed) {
        let mut key = Key::new(observed.resource.kind(), name);
        if let Some(first) = self.found.get_mut(&key) {
            if observed.ownership.is_owned() && !first.ownership.is_owned() {
                std::mem::swap(first, &mut observed);
            }
            let id = observed.attributes.get(&Attribute::Id).map(String::as_str);
            key.name = format!("{name}/{}", id.unwrap_or("another"));
        }
        self.found.insert(key, observed);
    }

    /// Names fields that were not read, unless the query is deep.
    fn leave_unread(&self, observed: &mut Observed, fields: &[&str]) {
        if !self.query.deep {
            observed.unread.extend(fields.iter().map(|field| (*field).to_owned()));
        }
    }

    pub(super) fn security_groups(&mut self) {
        let world = self.world;
        let vpc_id = &self.query.vpc_id;
        let is_wanted = |known: &StoredSecurityGroup| {
            [&known.group.group_name, &known.group_id].into_iter().any(|name| {
                self.wants(Kind::SecurityGroup, name) || self.wants(Kind::SecurityGroupRules, name)
            })
        };
        let is_ours = |known: &StoredSecurityGroup| self.is_of_cluster(&known.group.tags);
        let found = self.find(&world.security_groups, is_wanted, is_ours);
        for known in found.into_iter().filter(|known| known.group.vpc_id == *vpc_id) {
            let tags = &known.group.tags;
            let mut group = known.group.clone();
            group.tags = shown(tags);
            let name = group.group_name.clone();
            let ownership = self.ownership(tags);
            let attributes = BTreeMap::from([(Attribute::Id, known.group_id.clone())]);
            self.add_rules(&name, known, ownership.clone());
            if self.is_of_cluster(tags) || self.wants(Kind::SecurityGroup, &name) {
                let resource = Resource::SecurityGroup(group);
                self.add(&name, observed(resource, ownership, attributes, digest_of(tags)));
            }
        }
    }

    /// A group's rules go by its name, and are whose it is. A group that the spec names by id is not
    /// ours to keep, but our rules in it are: they go by its id, and exist once there is one of them.
    fn add_rules(&mut self, name: &str, known: &StoredSecurityGroup, ownership: Ownership) {
        let mark = SecurityGroupRules::owner_description(&self.query.cluster);
        let (ours, others): (Vec<_>, Vec<_>) =
            known.rules.iter().partition(|(_, description)| *description == mark);
        let is_by_id = self.wants(Kind::SecurityGroupRules, &known.group_id);
        let (name, ownership) = match is_by_id {
            true if ours.is_empty() => return,
            true => (known.group_id.as_str(), Ownership::Owned),
            false => (name, ownership),
        };
        let group_id = Ref::Known(known.group_id.clone());
        let rules = ours.into_iter().map(|(rule, _)| rule.clone()).collect();
        let resource = Resource::SecurityGroupRules(SecurityGroupRules { group_id, rules });
        let mut observed = observed(resource, ownership, BTreeMap::new(), None);
        observed.foreign_rules = others.into_iter().map(|(rule, _)| rule.clone()).collect();
        self.add(name, observed);
    }

    pub(super) fn iam(&mut self) {
        let world = self.world;
        let is_wanted = |role: &Role| self.wants(Kind::Role, &role.role_name);
        for role in self.find(&world.roles, is_wanted, |role| self.is_of_cluster(&role.tags)) {
            let name = role.role_name.clone();
            let attributes = BTreeMap::from([(Attribute::Arn, world.role_arn(&name))]);
            let (ownership, digest) = (self.ownership(&role.tags), digest_of(&role.tags));
            let role = Role { tags: shown(&role.tags), ..role.clone() };
            self.add(&name, observed(Resource::Role(role), ownership, attributes, digest));
        }
        let is_wanted = |profile: &InstanceProfile| {
            self.wants(Kind::InstanceProfile, &profile.instance_profile_name)
        };
        let is_ours = |profile: &InstanceProfile| self.is_of_cluster(&profile.tags);
        for profile in self.find(&world.profiles, is_wanted, is_ours) {
            let name = profile.instance_profile_name.clone();
            let attributes = BTreeMap::from([(Attribute::Arn, world.profile_arn(&name))]);
            // Listed with its role, a profile comes without its tags, and is whose the role is.
            let role = profile.roles.first().and_then(|name| world.roles.by_key(name, self.now));
            let tags = if role.is_some() { Tags::new() } else { profile.tags.clone() };
            let ownership = self.ownership(role.map_or(&profile.tags, |role| &role.tags));
            let resource = InstanceProfile { tags: shown(&tags), ..profile.clone() };
            let resource = Resource::InstanceProfile(resource);
            let mut observed = observed(resource, ownership, attributes, digest_of(&tags));
            if role.is_some() {
                observed.unread.insert("tags".to_owned());
            }
            self.add(&name, observed);
        }
    }

    pub(super) fn balancers(&mut self) {
        let world = self.world;
        let is_wanted =
            |known: &StoredBalancer| self.wants(Kind::LoadBalancer, &known.balancer.name);
        let is_ours = |known: &StoredBalancer| self.is_of_cluster(&known.balancer.tags);
        for known in self.find(&world.balancers, is_wanted, is_ours) {
            let tags = &known.balancer.tags;
            let (ownership, digest) = (self.ownership(tags), digest_of(tags));
            let mut balancer = LoadBalancer { tags: shown(tags), ..known.balancer.clone() };
            self.add_listeners(&known.arn, &balancer.name, &ownership);
            if !self.query.deep {
                balancer.cross_zone_enabled = false;
                balancer.deletion_protection_enabled = false;
            }
            let name = balancer.name.clone();
            let attributes = BTreeMap::from([
                (Attribute::Arn, known.arn.clone()),
                (Attribute::DnsName, known.dns_name.clone()),
                (Attribute::CanonicalHostedZoneId, known.canonical_hosted_zone_id.clone()),
            ]);
            let resource = Resource::LoadBalancer(balancer);
            let mut observed = observed(resource, ownership, attributes, digest);
            self.leave_unread(&mut observed, &LOAD_BALANCER_ATTRIBUTES);
            self.add(&name, observed);
        }
        let is_wanted =
            |known: &StoredTargetGroup| self.wants(Kind::TargetGroup, &known.target_group.name);
        let is_ours = |known: &StoredTargetGroup| self.is_of_cluster(&known.target_group.tags);
        for known in self.find(&world.target_groups, is_wanted, is_ours) {
            let tags = &known.target_group.tags;
            let (ownership, digest) = (self.ownership(tags), digest_of(tags));
            let mut target_group = TargetGroup { tags: shown(tags), ..known.target_group.clone() };
            if !self.query.deep {
                target_group.deregistration_delay_seconds = 0;
                target_group.connection_termination_enabled = false;
                target_group.preserve_client_ip_enabled = false;
            }
            let name = target_group.name.clone();
            let attributes = BTreeMap::from([(Attribute::Arn, known.arn.clone())]);
            let resource = Resource::TargetGroup(target_group);
            let mut observed = observed(resource, ownership, attributes, digest);
            self.leave_unread(&mut observed, &TARGET_GROUP_ATTRIBUTES);
            self.add(&name, observed);
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

    pub(super) fn zones(&mut self) {
        let world = self.world;
        let vpc_id = self.query.vpc_id.as_str();
        let is_wanted = |zone: &StoredZone| self.wants(Kind::HostedZone, &zone.name);
        let is_ours = |zone: &StoredZone| self.is_of_cluster(&owner_tags(zone));
        let mut zones = self.find(&world.zones, is_wanted, is_ours);
        zones.retain(|zone| zone.vpc_id.as_deref() == Some(vpc_id));
        for zone in &zones {
            let (deep, tags) = (self.query.deep, owner_tags(zone));
            let resource = Resource::HostedZone(HostedZone {
                name: zone.name.clone(),
                vpc_id: if deep { vpc_id.to_owned() } else { String::new() },
                comment: zone.comment.clone(),
                tags: if deep { shown(&zone.tags) } else { Tags::new() },
            });
            let attributes = BTreeMap::from([(Attribute::Id, zone.id.clone())]);
            let digest = digest_of(&tags).filter(|_| deep);
            let mut observed = observed(resource, self.ownership(&tags), attributes, digest);
            self.leave_unread(&mut observed, &["tags", "vpc_id"]);
            self.add(&zone.name, observed);
        }
        // Inside the VPC a private zone hides what a public one says under its name.
        let hidden: Vec<String> = zones.iter().map(|zone| zone.name.clone()).collect();
        for zone in zones {
            let is_own = owner_tags(zone).get(OWNER_TAG) == Some(&self.query.cluster);
            self.names(zone, is_own, &[]);
        }
        if let Some(public) = world.public_zone_of(self.query)
            && let Some(public) = world.zones.by_key(&public.id, self.now)
        {
            self.names(public, false, &hidden);
        }
    }

    /// Names of a zone: those with our owner record, those that are wanted, and in a private zone of
    /// the cluster all others too, since they keep the zone from going.
    fn names(&mut self, zone: &StoredZone, is_own: bool, hidden: &[String]) {
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
            let is_hidden = hidden.iter().any(|suffix| is_under(name, suffix));
            if !is_wanted || is_hidden || self.found.contains_key(&key) {
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
    pub(super) fn storage(&mut self) {
        let world = self.world;
        for id in world.volumes.ids() {
            let Some(known) = world.volumes.by_tag(id, self.now) else { continue };
            let tags = &known.volume.tags;
            let name = tags.get("Name").cloned().unwrap_or_else(|| id.clone());
            if self.is_of_cluster(tags) || self.wants(Kind::Volume, &name) {
                let volume = Volume { tags: shown(tags), ..known.volume.clone() };
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

    pub(super) fn templates(&mut self) {
        let world = self.world;
        let is_wanted = |known: &StoredTemplate| self.wants(Kind::LaunchTemplate, &known.name);
        let is_ours = |known: &StoredTemplate| self.is_of_cluster(&known.tags);
        for known in self.find(&world.templates, is_wanted, is_ours) {
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

    pub(super) fn groups(&mut self) {
        let world = self.world;
        let is_wanted = |known: &StoredGroup| {
            self.wants(Kind::AutoScalingGroup, &known.group.auto_scaling_group_name)
        };
        let is_ours = |known: &StoredGroup| {
            self.names_cluster(|key| known.group.tags.get(key).map(|tag| &tag.value))
        };
        let members = world.members_listed();
        for known in self.find(&world.groups, is_wanted, is_ours) {
            let tags = group_tags(known);
            let name = known.group.auto_scaling_group_name.clone();
            let mut group: AutoScalingGroup = known.group.clone();
            group.target = Ref::Known(tags.get(TARGET_TAG).cloned().unwrap_or_default());
            group.tags.retain(|key, _| !ENGINE_TAGS.contains(&key.as_str()));
            if !self.query.deep {
                group.lifecycle_hooks.clear();
            }
            let arn = format!(
                "arn:aws:autoscaling:{}:{}:autoScalingGroup:autoScalingGroupName/{name}",
                world.region, world.account
            );
            let attributes = BTreeMap::from([(Attribute::Arn, arn)]);
            let resource = Resource::AutoScalingGroup(group);
            let ownership = self.ownership(&tags);
            let mut observed = observed(resource, ownership, attributes, digest_of(&tags));
            let members = members.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
            let mut facts = world.group_facts(known, &tags, members);
            if self.query.brief {
                facts.failed_activity = None;
                facts.abandoned_at.clear();
            }
            observed.group = Some(facts);
            self.leave_unread(&mut observed, &["lifecycle_hooks"]);
            self.add(&name, observed);
        }
    }
}

impl World {
    /// Whether a group has fewer machines in service than it should.
    pub(super) fn is_short(&self, known: &StoredGroup) -> bool {
        let members = self.members(&known.group.auto_scaling_group_name);
        let serving = members.filter(|machine| machine.lifecycle == Lifecycle::InService).count();
        i64::try_from(serving).unwrap_or(i64::MAX) < i64::from(known.desired_capacity)
    }

    /// Machines as the listing of their groups shows them, by group.
    fn members_listed(&self) -> BTreeMap<&str, Vec<&Machine>> {
        let mut members: BTreeMap<&str, Vec<&Machine>> = BTreeMap::new();
        for machine in self.machines_listed() {
            if let Some(group) = &machine.group {
                members.entry(group).or_default().push(machine);
            }
        }
        members
    }

    fn group_facts(&self, known: &StoredGroup, tags: &Tags, members: &[&Machine]) -> GroupFacts {
        let name = &known.group.auto_scaling_group_name;
        let instances: Vec<Instance> = members
            .iter()
            .map(|machine| Instance {
                instance_id: machine.instance_id.clone(),
                availability_zone: machine.availability_zone.clone(),
                instance_type: machine.instance_type.clone(),
                lifecycle_state: machine.lifecycle.as_str().to_owned(),
                health_status: machine.health_status().to_owned(),
                launch_template_version: (!machine.is_attached).then_some(machine.version),
                protected_from_scale_in: machine.is_protected,
            })
            .collect();
        let activities = self.works.get(name).into_iter().flat_map(|w| w.activities.iter().rev());
        let told = activities.map(|Activity { description, status, message, .. }| {
            (description.as_str(), status.as_str(), message.as_str())
        });
        let is_short = self.is_short(known);
        let failed = failed_launch(told).filter(|_| is_short);
        let activities = self.works.get(name).into_iter().flat_map(|w| w.activities.iter().rev());
        let told = activities.filter(|_| is_short).map(|activity| {
            let Activity { at, description, status, message, .. } = activity;
            (at.timestamp(), description.as_str(), status.as_str(), message.as_str())
        });
        let abandoned_at = abandoned_launches(told);
        GroupFacts {
            desired_capacity: known.desired_capacity,
            pin: Some(known.version),
            failed_revision: tags.get(FAILED_TAG).cloned(),
            mark: tags.get(ROLL_TAG).cloned(),
            instances,
            failed_activity: failed.map(str::to_owned),
            abandoned_at,
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

/// Whether a name is a suffix or something under it.
fn is_under(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
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
