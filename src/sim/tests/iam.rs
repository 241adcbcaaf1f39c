//! What IAM refuses, and names.

use serde_json::json;

use super::*;
use crate::resource::Role;

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

pub(super) fn role(name: &str) -> Role {
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
