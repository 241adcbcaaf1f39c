//! What EC2 refuses of security groups and rules.

use super::*;
use crate::resource::Rule;

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
