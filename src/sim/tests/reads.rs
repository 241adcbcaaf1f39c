//! What a look at the world tells.

use super::*;
use crate::cloud::{Foreignness, Observation, Ownership, Query};
use crate::resource::{
    DIGEST_TAG, DnsName, GroupTag, HostedZone, Key, Kind, RecordSet, Resource, SecurityGroupRules,
    TARGET_TAG, VERSION_TAG, Volume,
};
use crate::sim::Lag;

const CLUSTER: &str = "c.example.com";

fn query(keys: &[(Kind, &str)]) -> Query {
    Query {
        cluster: CLUSTER.to_owned(),
        region: "eu-west-3".to_owned(),
        vpc_id: VPC.to_owned(),
        subnet_ids: names(&["subnet-a", "subnet-none"]),
        public_zone: Some("example.com".to_owned()),
        image_ids: names(&["ami-0123456789abcdef0", "ami-none"]),
        config_base: None,
        keys: keys.iter().map(|(kind, name)| Key::new(*kind, *name)).collect(),
        deep: true,
        brief: false,
    }
}

fn look(world: &mut World, keys: &[(Kind, &str)]) -> Observation {
    world.observe(&query(keys)).unwrap()
}

#[test]
fn facts_are_what_exists() {
    let facts = look(&mut account(1), &[]).facts;
    assert_eq!(facts.vpc.unwrap().id, VPC);
    assert_eq!(facts.subnets.keys().collect::<Vec<_>>(), ["subnet-a"]);
    assert_eq!(facts.public_zone.unwrap().name, "example.com");
    assert_eq!(facts.images.keys().collect::<Vec<_>>(), ["ami-0123456789abcdef0"]);
}

#[test]
fn a_kops_cluster_of_the_same_name_is_foreign_all_of_it() {
    let mut world = account(1);
    world.seed_kops_cluster(CLUSTER, VPC).unwrap();
    world.advance_secs(600);
    let api = format!("api.{CLUSTER}");
    let seen = look(&mut world, &[(Kind::DnsName, &api)]);
    let kinds: BTreeSet<Kind> = seen.resources.keys().map(|key| key.kind).collect();
    assert_eq!(kinds.len(), 8, "{kinds:?}");
    for (key, observed) in &seen.resources {
        let why = if key.kind == Kind::DnsName { Foreignness::Untagged } else { Foreignness::Kops };
        assert_eq!(observed.ownership, Ownership::Foreign(why), "{key}");
    }
    let group = Key::new(Kind::AutoScalingGroup, format!("nodes.{CLUSTER}"));
    assert_eq!(seen.resources[&group].group.as_ref().unwrap().instances.len(), 1);
}

#[test]
fn a_name_finds_sooner_than_a_tag_and_both_find_in_the_end() {
    let (mut only_by_name, mut neither) = (0, 0);
    for seed in 0..30 {
        let mut world = account(seed);
        world.lag = Lag { by_key_secs_max: 5, by_tag_secs_max: 60, fresh_id_secs_max: 0 };
        security_group(&mut world, "sg");
        world.advance_secs(2);
        let count = |world: &mut World, keys: &[(Kind, &str)]| {
            let seen = look(world, keys);
            seen.resources.keys().filter(|key| key.kind == Kind::SecurityGroup).count()
        };
        let by_name = count(&mut world, &[(Kind::SecurityGroup, "sg")]);
        let by_tag = count(&mut world, &[]);
        only_by_name += usize::from((by_name, by_tag) == (1, 0));
        neither += usize::from((by_name, by_tag) == (0, 0));
        world.advance_secs(60);
        assert_eq!(count(&mut world, &[]), 1);
    }
    assert!(only_by_name > 0 && neither > 0, "{only_by_name} {neither}");
}

#[test]
fn engine_tags_are_told_apart_from_tags() {
    let mut world = account(1);
    template(&mut world, "web-template", template_data(&[]));
    let template = world.templates.get("web-template").unwrap().clone();
    let tags = Tags::from([
        (DIGEST_TAG.to_owned(), "d".to_owned()),
        (VERSION_TAG.to_owned(), "1:rev:content".to_owned()),
    ]);
    make(&mut world, &Call::CreateTags { resource_ids: [template.id].into(), tags }).unwrap();
    let mut wanted = group("web", 1, 1, "a");
    wanted.launch_template_name = "web-template".to_owned();
    let own = |value: &str| GroupTag { value: value.to_owned(), propagate_at_launch: false };
    wanted.tags = BTreeMap::from([
        (OWNER_TAG.to_owned(), own(CLUSTER)),
        (TARGET_TAG.to_owned(), own("1:rev")),
    ]);
    make(&mut world, &create(wanted)).unwrap();

    let seen = look(&mut world, &[]);
    let template = &seen.resources[&Key::new(Kind::LaunchTemplate, "web-template")];
    assert_eq!(template.resource.tags().unwrap(), owner());
    assert_eq!(template.digest.as_deref(), Some("d"));
    assert_eq!(template.attributes[&Attribute::Target], "1:rev");
    let wanted = template.template.as_ref().unwrap().wanted.clone();
    assert_eq!(wanted, Some((1, "rev".to_owned(), "content".to_owned())));
    let group = &seen.resources[&Key::new(Kind::AutoScalingGroup, "web")];
    let Resource::AutoScalingGroup(resource) = &group.resource else { panic!() };
    assert_eq!(resource.target, Ref::Known("1:rev".to_owned()));
    assert_eq!(resource.tags.keys().collect::<Vec<_>>(), [OWNER_TAG]);
    assert_eq!(group.group.as_ref().unwrap().pin, Some(1));
}

#[test]
fn a_rule_is_ours_by_its_description() {
    let mut world = account(1);
    let sg = security_group(&mut world, "sg");
    let mut ours = crate::resource::Rule::default_egress();
    (ours.is_egress, ours.ip_protocol, ours.from_port, ours.to_port) = (false, "tcp".into(), 1, 2);
    let call = Call::AuthorizeSecurityGroupIngress {
        group_id: sg,
        rules: BTreeSet::from([ours.clone()]),
        description: SecurityGroupRules::owner_description(CLUSTER),
    };
    make(&mut world, &call).unwrap();
    world.meddle_add_rule("sg", 22, "0.0.0.0/0").unwrap();
    let seen = look(&mut world, &[]);
    let rules = &seen.resources[&Key::new(Kind::SecurityGroupRules, "sg")];
    let Resource::SecurityGroupRules(resource) = &rules.resource else { panic!() };
    assert_eq!(resource.rules, BTreeSet::from([ours.clone()]));
    assert_eq!(rules.foreign_rules.len(), 2, "the hand-made one and AWS' own");

    // A group that the spec names by its id: only our rules in it are ours to keep.
    let world = &mut account(1);
    let call = Call::CreateSecurityGroup {
        group_name: "theirs".to_owned(),
        description: "test".to_owned(),
        vpc_id: VPC.to_owned(),
        tags: Tags::new(),
    };
    let theirs = id(&make(world, &call).unwrap());
    let keys = [(Kind::SecurityGroupRules, theirs.as_str())];
    assert!(look(world, &keys).resources.is_empty());
    let call = Call::AuthorizeSecurityGroupIngress {
        group_id: theirs.clone(),
        rules: BTreeSet::from([ours]),
        description: SecurityGroupRules::owner_description(CLUSTER),
    };
    make(world, &call).unwrap();
    let seen = look(world, &keys);
    let (key, rules) = seen.resources.first_key_value().unwrap();
    assert_eq!((key.name.as_str(), rules.ownership.is_owned()), (theirs.as_str(), true));
    assert_eq!(seen.resources.len(), 1);
}

#[test]
fn a_zone_is_ours_by_its_caller_reference_and_a_name_by_its_owner_record() {
    let mut world = account(1);
    let call = Call::CreateHostedZone {
        name: format!("internal.{CLUSTER}"),
        vpc_id: VPC.to_owned(),
        comment: String::new(),
        caller_reference: HostedZone::caller_reference(CLUSTER, "t"),
    };
    let zone = id(&make(&mut world, &call).unwrap());
    let set = RecordSet {
        ttl: Some(60),
        resource_records: BTreeSet::from([Ref::Known("10.0.0.1".to_owned())]),
        alias_target: None,
    };
    let (ours, others) = (format!("etcd.internal.{CLUSTER}"), format!("x.internal.{CLUSTER}"));
    let key = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    let call = Call::ChangeResourceRecordSets {
        hosted_zone_id: zone,
        delete: BTreeMap::new(),
        upsert: BTreeMap::from([
            (key(&ours, "A"), set.clone()),
            (key(&DnsName::owner_record(&ours), "TXT"), DnsName::owner_record_set(CLUSTER)),
            (key(&others, "A"), set),
        ]),
    };
    make(&mut world, &call).unwrap();
    let seen = look(&mut world, &[]);
    let ownership = |kind, name: &str| seen.resources[&Key::new(kind, name)].ownership.clone();
    assert_eq!(ownership(Kind::HostedZone, &format!("internal.{CLUSTER}")), Ownership::Owned);
    assert_eq!(ownership(Kind::DnsName, &ours), Ownership::Owned);
    let foreign = Ownership::Foreign(Foreignness::Untagged);
    assert_eq!(ownership(Kind::DnsName, &others), foreign);
    assert_eq!(seen.resources.len(), 3, "an owner record is no name of its own");
}

#[test]
fn two_volumes_of_one_name_both_show() {
    let mut world = account(1);
    let volume = |tags: Tags| Volume {
        availability_zone: "eu-west-3a".to_owned(),
        size: 20,
        volume_type: "gp3".to_owned(),
        iops: None,
        throughput: None,
        encrypted: true,
        kms_key_id: None,
        tags,
    };
    let name = ("Name".to_owned(), "etcd".to_owned());
    let mut ours = owner();
    ours.insert(name.0.clone(), name.1.clone());
    for (token, tags) in [("a", Tags::from([name])), ("b", ours.clone()), ("c", ours)] {
        let client_token = token.to_owned();
        make(&mut world, &Call::CreateVolume { volume: Box::new(volume(tags)), client_token })
            .unwrap();
    }
    let seen = look(&mut world, &[(Kind::Volume, "etcd")]);
    assert_eq!(seen.resources.len(), 3);
    assert!(seen.resources[&Key::new(Kind::Volume, "etcd")].ownership.is_owned());
}

/// Whoever waits for machines anyway does without the reason, and without its call.
#[test]
fn a_brief_look_is_one_call_however_many_groups_are_short() {
    let mut world = account(1);
    for name in ["web-a", "web-b"] {
        running_group(&mut world, group(name, 1, 3, "a"));
        world.faults.unbootable_images.insert("ami-0123456789abcdef0".to_owned());
        make(&mut world, &desire(name, 2)).unwrap();
    }
    world.advance_secs(300);
    let keys = ["web-a", "web-b"].map(|name| (Kind::AutoScalingGroup, name));
    let whole = query(&keys);
    for (brief, calls) in [(false, 3), (true, 1)] {
        world.log.clear();
        let found = world.observe_groups(&Query { brief, ..whole.clone() }).unwrap();
        assert_eq!(world.log.len(), calls);
        let facts = found.values().filter_map(|observed| observed.group.as_ref());
        assert!(facts.map(|facts| facts.failed_activity.is_none()).all(|is_none| is_none == brief));
    }
}

#[test]
fn an_unchanged_look_costs_the_same_with_many_machines() {
    let calls = |max: i32| {
        let mut world = account(1);
        running_group(&mut world, group("web-template", max, max, "abc"));
        world.log.clear();
        look(&mut world, &[(Kind::AutoScalingGroup, "web-template")]);
        world.log.len()
    };
    assert_eq!(calls(1), calls(200));
}
