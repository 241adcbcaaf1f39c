//! What AWS refuses, and what it surprisingly does not.

use serde_json::json;

use super::*;
use crate::cloud::CloudErrorKind;
use crate::resource::{
    AliasTarget, HealthCheck, Listener, LoadBalancer, RecordSet, Role, Rule, SubnetMapping,
    TargetGroup, Volume,
};

fn rule(port: i32, cidr: &str) -> Rule {
    Rule {
        is_egress: false,
        ip_protocol: "tcp".to_owned(),
        from_port: port,
        to_port: port,
        cidr_ipv4: Some(cidr.to_owned()),
        cidr_ipv6: None,
        prefix_list_id: None,
        referenced_group_id: None,
    }
}

fn from_group(port: i32, group: &str) -> Rule {
    let referenced_group_id = Some(Ref::Known(group.to_owned()));
    Rule { cidr_ipv4: None, referenced_group_id, ..rule(port, "") }
}

fn allow(group: &str, rules: impl IntoIterator<Item = Rule>) -> Call {
    Call::AuthorizeSecurityGroupIngress {
        group_id: group.to_owned(),
        rules: rules.into_iter().collect(),
        description: "who".to_owned(),
    }
}

#[test]
fn a_rule_exists_once_whatever_its_description() {
    let mut world = account(1);
    let sg = security_group(&mut world, "sg");
    make(&mut world, &allow(&sg, [rule(22, "10.0.0.0/8")])).unwrap();
    let both = allow(&sg, [rule(22, "10.0.0.0/8"), rule(23, "10.0.0.0/8")]);
    assert_eq!(refused(&mut world, &both), "InvalidPermission.Duplicate");
    // The group came with a rule of AWS' own, without a description.
    let everything = Rule {
        is_egress: true,
        ip_protocol: "-1".to_owned(),
        from_port: -1,
        to_port: -1,
        ..rule(0, "0.0.0.0/0")
    };
    let egress = |rules| Call::AuthorizeSecurityGroupEgress {
        group_id: sg.clone(),
        rules,
        description: "who".to_owned(),
    };
    let again = egress(BTreeSet::from([everything.clone()]));
    assert_eq!(refused(&mut world, &again), "InvalidPermission.Duplicate");
    let revoke = Call::RevokeSecurityGroupEgress {
        group_id: sg.clone(),
        rules: BTreeSet::from([everything]),
    };
    make(&mut world, &revoke).unwrap();
    assert_eq!(refused(&mut world, &revoke), "InvalidPermission.NotFound");
    make(&mut world, &again).unwrap();
}

#[test]
fn rules_are_limited_to_sixty_and_well_formed() {
    let mut world = account(1);
    let sg = security_group(&mut world, "sg");
    let many = |count| (1..=count).map(|port| rule(port, "10.0.0.0/8"));
    assert_eq!(refused(&mut world, &allow(&sg, many(61))), "RulesPerSecurityGroupLimitExceeded");
    make(&mut world, &allow(&sg, many(60))).unwrap();
    let more = allow(&sg, [from_group(99, &sg)]);
    assert_eq!(refused(&mut world, &more), "RulesPerSecurityGroupLimitExceeded");
    let ipv6 = Rule { cidr_ipv4: None, cidr_ipv6: Some("::/0".to_owned()), ..rule(1, "") };
    make(&mut world, &allow(&sg, [ipv6])).unwrap();

    let other = security_group(&mut world, "other");
    let host_bits = allow(&other, [rule(22, "10.0.0.1/8")]);
    assert_eq!(refused(&mut world, &host_bits), "InvalidParameterValue");
    let nobody = allow(&other, [from_group(22, "sg-0")]);
    assert_eq!(refused(&mut world, &nobody), "InvalidGroup.NotFound");
    let numbered = Rule { ip_protocol: "6".to_owned(), ..rule(22, "10.0.0.0/8") };
    make(&mut world, &allow(&other, [numbered])).unwrap();
    let named = allow(&other, [rule(22, "10.0.0.0/8")]);
    assert_eq!(refused(&mut world, &named), "InvalidPermission.Duplicate");
}

#[test]
fn a_group_in_use_stays() {
    let mut world = account(1);
    let (one, other) = (security_group(&mut world, "one"), security_group(&mut world, "other"));
    make(&mut world, &allow(&one, [from_group(22, &other), from_group(23, &one)])).unwrap();
    let delete = |id: &str| Call::DeleteSecurityGroup { group_id: id.to_owned() };
    assert_eq!(refused(&mut world, &delete(&other)), "DependencyViolation");
    let made = interface(&mut world, "a", std::slice::from_ref(&one), "t");
    assert_eq!(refused(&mut world, &delete(&one)), "DependencyViolation");
    make(&mut world, &Call::DeleteNetworkInterface { network_interface_id: id(&made) }).unwrap();
    make(&mut world, &delete(&one)).unwrap();
    make(&mut world, &delete(&other)).unwrap();
    assert_eq!(refused(&mut world, &delete(&other)), "InvalidGroup.NotFound");
}

#[test]
fn machines_hold_their_security_groups() {
    let mut world = account(1);
    let sg = security_group(&mut world, "sg");
    template(&mut world, "web", template_data(std::slice::from_ref(&sg)));
    make(&mut world, &create(group("web", 1, 1, "a"))).unwrap();
    world.advance_secs(600);
    let force =
        Call::DeleteAutoScalingGroup { auto_scaling_group_name: "web".to_owned(), force: true };
    make(&mut world, &force).unwrap();
    let delete = Call::DeleteSecurityGroup { group_id: sg };
    assert_eq!(refused(&mut world, &delete), "DependencyViolation");
    world.advance_secs(600);
    make(&mut world, &delete).unwrap();
}

#[test]
fn names_follow_the_rules_of_each_service() {
    let mut world = account(1);
    security_group(&mut world, "same");
    let sg = |name: &str| Call::CreateSecurityGroup {
        group_name: name.to_owned(),
        description: "test".to_owned(),
        vpc_id: VPC.to_owned(),
        tags: Tags::new(),
    };
    assert_eq!(refused(&mut world, &sg("same")), "InvalidGroup.Duplicate");
    make(&mut world, &sg("Same")).unwrap();
    assert_eq!(refused(&mut world, &sg("sg-1")), "InvalidParameterValue");
    assert_eq!(refused(&mut world, &sg("ümlaut")), "InvalidParameterValue");

    let profile = |name: &str| Call::CreateInstanceProfile {
        instance_profile_name: name.to_owned(),
        tags: Tags::new(),
    };
    make(&mut world, &profile("nodes")).unwrap();
    // IAM keeps the case of names and does not tell them apart by it.
    assert_eq!(refused(&mut world, &profile("Nodes")), "EntityAlreadyExists");

    let reserved = Tags::from([("AWS:mine".to_owned(), String::new())]);
    let reserved =
        Call::CreateInstanceProfile { instance_profile_name: "p".to_owned(), tags: reserved };
    assert_eq!(refused(&mut world, &reserved), "InvalidParameterValue");
    let many = (0..51).map(|n| (n.to_string(), String::new())).collect();
    let many = Call::CreateInstanceProfile { instance_profile_name: "p".to_owned(), tags: many };
    assert_eq!(refused(&mut world, &many), "TagLimitExceeded");
}

#[test]
fn a_template_takes_any_content_and_the_proof_does_not() {
    let mut world = account(1);
    let mut data = template_data(&["sg-0".to_owned()]);
    data.iam_instance_profile_name = Some("nobody".to_owned());
    template(&mut world, "lt-name", data.clone());
    let prove = |version| Call::ProveLaunchTemplateVersion {
        launch_template_name: "lt-name".to_owned(),
        version,
        subnet_id: Some("subnet-a".to_owned()),
    };
    let error = make(&mut world, &prove(1)).unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.kind),
        ("InvalidParameterValue", CloudErrorKind::NotFound)
    );
    assert_eq!(refused(&mut world, &prove(2)), "InvalidLaunchTemplateId.VersionNotFound");
    let mut wanted = group("web", 0, 1, "a");
    wanted.launch_template_name = "lt-name".to_owned();
    assert_eq!(refused(&mut world, &create(wanted)), "ValidationError");

    let profile = "nobody".to_owned();
    make(
        &mut world,
        &Call::CreateInstanceProfile { instance_profile_name: profile, tags: Tags::new() },
    )
    .unwrap();
    assert_eq!(refused(&mut world, &prove(1)), "InvalidParameterValue", "a profile without role");
    make(&mut world, &Call::CreateRole { role: Box::new(role("r")) }).unwrap();
    let add = Call::AddRoleToInstanceProfile {
        instance_profile_name: "nobody".to_owned(),
        role_name: "r".to_owned(),
    };
    make(&mut world, &add).unwrap();
    assert_eq!(refused(&mut world, &add), "LimitExceeded", "also for the role that it holds");
    assert_eq!(refused(&mut world, &prove(1)), "InvalidGroup.NotFound");

    data.user_data = "x".repeat(16 * 1024 + 1);
    let big = Call::CreateLaunchTemplateVersion {
        launch_template_name: "lt-name".to_owned(),
        version_description: String::new(),
        data: Box::new(data),
        client_token: "t".to_owned(),
    };
    assert_eq!(refused(&mut world, &big), "InvalidUserData.Malformed");
}

#[test]
fn a_client_token_answers_once() {
    let mut world = account(1);
    let version = |user_data: &str, token: &str| Call::CreateLaunchTemplateVersion {
        launch_template_name: "lt".repeat(2),
        version_description: String::new(),
        data: Box::new(LaunchTemplateData {
            user_data: user_data.to_owned(),
            ..template_data(&[])
        }),
        client_token: token.to_owned(),
    };
    template(&mut world, "ltlt", template_data(&[]));
    let first = make(&mut world, &version("a", "t")).unwrap();
    assert_eq!(make(&mut world, &version("a", "t")).unwrap(), first);
    assert_eq!(refused(&mut world, &version("b", "t")), "IdempotentParameterMismatch");
    assert_eq!(make(&mut world, &version("a", "u")).unwrap().version, Some(3));

    // Even what was deleted since: nothing is made, and nobody is told.
    let one = interface(&mut world, "a", &[], "eni");
    make(&mut world, &Call::DeleteNetworkInterface { network_interface_id: id(&one) }).unwrap();
    assert_eq!(interface(&mut world, "a", &[], "eni"), one);
    assert_eq!(world.interfaces.iter().count(), 0);
    world.advance_secs(86_401);
    assert_ne!(id(&interface(&mut world, "a", &[], "eni")), id(&one));
}

fn role(name: &str) -> Role {
    Role {
        role_name: name.to_owned(),
        assume_role_policy_document: json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"},
        }]}),
        permissions_boundary: None,
        inline_policies: BTreeMap::from([("ignored".to_owned(), json!({}))]),
        attached_policy_arns: BTreeSet::new(),
        tags: Tags::new(),
    }
}

#[test]
fn a_role_goes_last_and_policies_are_read() {
    let mut world = account(1);
    make(&mut world, &Call::CreateRole { role: Box::new(role("r")) }).unwrap();
    assert_eq!(world.roles.get("r").unwrap().inline_policies, BTreeMap::new());
    let mut bad = role("bad");
    bad.assume_role_policy_document["Statement"][0]["Resource"] = json!("*");
    let bad = Call::CreateRole { role: Box::new(bad) };
    assert_eq!(refused(&mut world, &bad), "MalformedPolicyDocument");

    let put = |document| Call::PutRolePolicy {
        role_name: "r".to_owned(),
        policy_name: "p".to_owned(),
        policy_document: document,
    };
    assert_eq!(refused(&mut world, &put(json!({"Statement": []}))), "MalformedPolicyDocument");
    let actions: Vec<String> = (0..1500).map(|n| format!("s3:Action{n}")).collect();
    let big = json!({"Statement": {"Effect": "Allow", "Action": actions, "Resource": "*"}});
    assert_eq!(refused(&mut world, &put(big)), "LimitExceeded");
    let fine = json!({"Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}});
    make(&mut world, &put(fine)).unwrap();

    let delete = Call::DeleteRole { role_name: "r".to_owned() };
    assert_eq!(refused(&mut world, &delete), "DeleteConflict");
    let policy = Call::DeleteRolePolicy { role_name: "r".to_owned(), policy_name: "p".to_owned() };
    make(&mut world, &policy).unwrap();
    assert_eq!(refused(&mut world, &policy), "NoSuchEntity");
    make(&mut world, &delete).unwrap();
}

fn balancer(groups: &[String], zones: &str) -> LoadBalancer {
    LoadBalancer {
        name: "api".to_owned(),
        scheme: "internal".to_owned(),
        ip_address_type: "ipv4".to_owned(),
        subnet_mappings: zones.chars().map(mapping).collect(),
        security_groups: groups.iter().cloned().map(Ref::Known).collect(),
        cross_zone_enabled: true,
        deletion_protection_enabled: true,
        tags: owner(),
    }
}

fn mapping(zone: char) -> SubnetMapping {
    let subnet_id = format!("subnet-{zone}");
    SubnetMapping { subnet_id, private_ipv4_address: None, allocation_id: None }
}

fn target_group(name: &str) -> TargetGroup {
    TargetGroup {
        name: name.to_owned(),
        protocol: "TCP".to_owned(),
        port: 443,
        vpc_id: VPC.to_owned(),
        health_check: HealthCheck {
            protocol: "TCP".to_owned(),
            port: "traffic-port".to_owned(),
            path: None,
            interval_seconds: 10,
            healthy_threshold_count: 2,
            unhealthy_threshold_count: 2,
        },
        deregistration_delay_seconds: 30,
        connection_termination_enabled: true,
        preserve_client_ip_enabled: false,
        tags: owner(),
    }
}

#[test]
fn the_same_load_balancer_twice_is_one() {
    let mut world = account(1);
    let sg = security_group(&mut world, "sg");
    let call = |wanted| Call::CreateLoadBalancer { load_balancer: Box::new(wanted) };
    let wanted = balancer(std::slice::from_ref(&sg), "ab");
    let made = make(&mut world, &call(wanted.clone())).unwrap();
    assert_eq!(make(&mut world, &call(wanted.clone())).unwrap(), made);
    let other = LoadBalancer { scheme: "internet-facing".to_owned(), ..wanted };
    assert_eq!(refused(&mut world, &call(other)), "DuplicateLoadBalancerName");

    let arn = made.attributes[&Attribute::Arn].clone();
    let stored = world.balancers.get(&arn).unwrap().balancer.clone();
    assert!(!stored.deletion_protection_enabled, "attributes are a call of their own");
    let protect = |on| Call::ModifyLoadBalancerAttributes {
        load_balancer_arn: arn.clone(),
        cross_zone_enabled: true,
        deletion_protection_enabled: on,
    };
    make(&mut world, &protect(true)).unwrap();
    let delete = Call::DeleteLoadBalancer { load_balancer_arn: arn.clone() };
    assert_eq!(refused(&mut world, &delete), "OperationNotPermitted");
    let subnets = |zones: &str| Call::SetSubnets {
        load_balancer_arn: arn.clone(),
        subnet_mappings: zones.chars().map(mapping).collect(),
    };
    assert_eq!(refused(&mut world, &subnets("a")), "InvalidConfigurationRequest");
    make(&mut world, &subnets("abc")).unwrap();
    make(&mut world, &protect(false)).unwrap();
    make(&mut world, &delete).unwrap();
    make(&mut world, &delete).unwrap();

    let group = Call::DeleteSecurityGroup { group_id: sg };
    assert_eq!(refused(&mut world, &group), "DependencyViolation", "its interfaces linger");
    world.advance_secs(60);
    make(&mut world, &group).unwrap();
}

#[test]
fn a_load_balancer_without_security_groups_never_takes_any() {
    let mut world = account(1);
    let sg = security_group(&mut world, "sg");
    let call = Call::CreateLoadBalancer { load_balancer: Box::new(balancer(&[], "a")) };
    let made = make(&mut world, &call).unwrap();
    let set = Call::SetSecurityGroups {
        load_balancer_arn: made.attributes[&Attribute::Arn].clone(),
        security_groups: BTreeSet::from([sg]),
    };
    assert_eq!(refused(&mut world, &set), "InvalidConfigurationRequest");
}

#[test]
fn a_target_group_belongs_to_one_load_balancer() {
    let mut world = account(1);
    let make_balancer = |world: &mut World, name: &str| {
        let wanted = LoadBalancer { name: name.to_owned(), ..balancer(&[], "a") };
        let call = Call::CreateLoadBalancer { load_balancer: Box::new(wanted) };
        make(world, &call).unwrap().attributes[&Attribute::Arn].clone()
    };
    let (one, other) = (make_balancer(&mut world, "one"), make_balancer(&mut world, "other"));
    let call = Call::CreateTargetGroup { target_group: Box::new(target_group("tcp")) };
    let target = make(&mut world, &call).unwrap().attributes[&Attribute::Arn].clone();
    assert!(world.target_groups.get(&target).unwrap().target_group.preserve_client_ip_enabled);
    let listen = |balancer: &str, port| Call::CreateListener {
        listener: Box::new(Listener {
            load_balancer_arn: Ref::Known(balancer.to_owned()),
            port,
            protocol: "TCP".to_owned(),
            certificate_arn: None,
            ssl_policy: None,
            target_group_arn: Ref::Known(target.clone()),
        }),
    };
    make(&mut world, &listen(&one, 443)).unwrap();
    assert_eq!(refused(&mut world, &listen(&one, 443)), "DuplicateListener");
    assert_eq!(refused(&mut world, &listen(&other, 443)), "TargetGroupAssociationLimit");
    let delete = Call::DeleteTargetGroup { target_group_arn: target.clone() };
    assert_eq!(refused(&mut world, &delete), "ResourceInUse");
    make(&mut world, &Call::DeleteLoadBalancer { load_balancer_arn: one }).unwrap();
    make(&mut world, &delete).unwrap();

    // Machines in service are its targets, others are not.
    let call = Call::CreateTargetGroup { target_group: Box::new(target_group("api")) };
    let target = make(&mut world, &call).unwrap().attributes[&Attribute::Arn].clone();
    let mut wanted = group("control", 2, 2, "ab");
    wanted.target_group_arns.insert(Ref::Known(target.clone()));
    template(&mut world, "control", template_data(&[]));
    template(&mut world, "xx-", template_data(&[]));
    make(
        &mut world,
        &create(AutoScalingGroup { launch_template_name: "xx-".to_owned(), ..wanted }),
    )
    .unwrap();
    world.advance_secs(10);
    assert_eq!(world.targets(&target).len(), 0);
    world.advance_secs(600);
    assert_eq!(world.targets(&target).len(), 2);
}

fn a_record(address: &str) -> RecordSet {
    RecordSet {
        ttl: Some(60),
        resource_records: BTreeSet::from([Ref::Known(address.to_owned())]),
        alias_target: None,
    }
}

fn change(
    zone: &str,
    delete: &[(&str, &str, RecordSet)],
    upsert: &[(&str, &str, RecordSet)],
) -> Call {
    let map = |records: &[(&str, &str, RecordSet)]| {
        let pair = |(name, kind, set): &(&str, &str, RecordSet)| {
            (((*name).to_owned(), (*kind).to_owned()), set.clone())
        };
        records.iter().map(pair).collect()
    };
    Call::ChangeResourceRecordSets {
        hosted_zone_id: zone.to_owned(),
        delete: map(delete),
        upsert: map(upsert),
    }
}

#[test]
fn records_change_together_or_not_at_all() {
    let mut world = account(1);
    let zone = |reference: &str, name: &str| Call::CreateHostedZone {
        name: name.to_owned(),
        vpc_id: VPC.to_owned(),
        comment: String::new(),
        caller_reference: reference.to_owned(),
    };
    let made = id(&make(&mut world, &zone("r", "internal.c.example.com")).unwrap());
    assert_eq!(refused(&mut world, &zone("r", "other.com")), "HostedZoneAlreadyExists");
    let twin = zone("s", "internal.c.example.com");
    assert_eq!(refused(&mut world, &twin), "ConflictingDomainExists");

    let (name, outside) = ("etcd.internal.c.example.com", "etcd.example.org");
    let good = (name, "A", a_record("10.0.0.1"));
    let half = change(&made, &[], &[good.clone(), (outside, "A", a_record("10.0.0.2"))]);
    assert_eq!(refused(&mut world, &half), "InvalidChangeBatch");
    make(&mut world, &change(&made, &[], std::slice::from_ref(&good))).unwrap();
    let wrong = change(&made, &[(name, "A", a_record("10.9.9.9"))], &[]);
    assert_eq!(refused(&mut world, &wrong), "InvalidChangeBatch");
    let cname = change(&made, &[], &[(name, "CNAME", a_record("x.org"))]);
    assert_eq!(refused(&mut world, &cname), "InvalidChangeBatch");
    let swap = change(&made, std::slice::from_ref(&good), &[(name, "CNAME", a_record("x.org"))]);
    make(&mut world, &swap).unwrap();
    let bare_text = change(&made, &[], &[("t.internal.c.example.com", "TXT", a_record("bare"))]);
    assert_eq!(refused(&mut world, &bare_text), "InvalidChangeBatch");
    let delete = Call::DeleteHostedZone { hosted_zone_id: made.clone() };
    assert_eq!(refused(&mut world, &delete), "HostedZoneNotEmpty");
    make(&mut world, &change(&made, &[(name, "CNAME", a_record("x.org"))], &[])).unwrap();
    make(&mut world, &delete).unwrap();
}

#[test]
fn an_alias_points_into_the_zone_of_its_target() {
    let mut world = account(1);
    let call = Call::CreateLoadBalancer { load_balancer: Box::new(balancer(&[], "a")) };
    let made = make(&mut world, &call).unwrap().attributes;
    let zone = world.zones.ids().next().unwrap().clone();
    let alias = |zone_id: &str| RecordSet {
        ttl: None,
        resource_records: BTreeSet::new(),
        alias_target: Some(AliasTarget {
            dns_name: Ref::Known(made[&Attribute::DnsName].clone()),
            hosted_zone_id: Ref::Known(zone_id.to_owned()),
            evaluate_target_health: false,
        }),
    };
    let name = "api.example.com";
    let wrong = change(&zone, &[], &[(name, "A", alias("Z0"))]);
    assert_eq!(refused(&mut world, &wrong), "InvalidChangeBatch");
    let right = alias(&made[&Attribute::CanonicalHostedZoneId]);
    let with_ttl = RecordSet { ttl: Some(60), ..right.clone() };
    assert_eq!(
        refused(&mut world, &change(&zone, &[], &[(name, "A", with_ttl)])),
        "InvalidChangeBatch"
    );
    make(&mut world, &change(&zone, &[], &[(name, "A", right)])).unwrap();
}

#[test]
fn volumes_only_grow_and_only_one_change_at_a_time() {
    let mut world = account(1);
    let volume = Volume {
        availability_zone: "eu-west-3a".to_owned(),
        size: 20,
        volume_type: "gp3".to_owned(),
        iops: Some(3000),
        throughput: Some(125),
        encrypted: true,
        kms_key_id: None,
        tags: owner(),
    };
    let create = |volume: &Volume, token: &str| Call::CreateVolume {
        volume: Box::new(volume.clone()),
        client_token: token.to_owned(),
    };
    let elsewhere = Volume { availability_zone: "eu-west-3z".to_owned(), ..volume.clone() };
    assert_eq!(refused(&mut world, &create(&elsewhere, "x")), "InvalidZone.NotFound");
    let slow = Volume { iops: Some(100), ..volume.clone() };
    assert_eq!(refused(&mut world, &create(&slow, "y")), "InvalidParameterValue");
    let made = id(&make(&mut world, &create(&volume, "z")).unwrap());
    let modify = |size| Call::ModifyVolume {
        volume_id: made.clone(),
        size,
        volume_type: "gp3".to_owned(),
        iops: Some(3000),
        throughput: Some(125),
    };
    assert_eq!(refused(&mut world, &modify(19)), "InvalidParameterValue");
    make(&mut world, &modify(30)).unwrap();
    assert_eq!(refused(&mut world, &modify(40)), "IncorrectModificationState");
    world.advance_secs(60);
    make(&mut world, &modify(40)).unwrap();
}

#[test]
fn groups_need_what_they_name() {
    let mut world = account(1);
    template(&mut world, "web-template", template_data(&[]));
    let wanted = || AutoScalingGroup {
        launch_template_name: "web-template".to_owned(),
        ..group("web", 1, 2, "a")
    };
    let cases: [(&str, AutoScalingGroup); 6] = [
        ("limits", AutoScalingGroup { min_size: 3, ..wanted() }),
        ("no zone", AutoScalingGroup { vpc_zone_identifier: BTreeSet::new(), ..wanted() }),
        (
            "unknown subnet",
            AutoScalingGroup { vpc_zone_identifier: names(&["subnet-x"]), ..wanted() },
        ),
        ("both", AutoScalingGroup { availability_zones: names(&["eu-west-3a"]), ..wanted() }),
        ("an hour", AutoScalingGroup { max_instance_lifetime: 3600, ..wanted() }),
        ("no template", AutoScalingGroup { launch_template_name: "none".to_owned(), ..wanted() }),
    ];
    for (case, group) in cases {
        assert_eq!(refused(&mut world, &create(group)), "ValidationError", "{case}");
    }
    let mut busy = wanted();
    busy.suspended_processes = names(&["AZRebalance"]);
    busy.enabled_metrics = names(&["GroupMinSize"]);
    make(&mut world, &create(busy)).unwrap();
    let stored = world.groups.get("web").unwrap();
    assert!(stored.group.suspended_processes.is_empty(), "suspending is a call of its own");
    assert!(stored.group.enabled_metrics.is_empty(), "so are metrics");
    assert_eq!(refused(&mut world, &create(wanted())), "AlreadyExists");
}
